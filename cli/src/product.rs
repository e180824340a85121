//! The product's own verbs, for the commands that do not go through the HTTP API.

use anyhow::Context as _;
use serde_json::Value;

pub use longhand::App;
pub use longhand::clock::Clock;
pub use longhand::config::Config;
pub use standin::{GenerationId, Organization};

/// The log of a generation as it is stored: slots, counters, lease; and its record.
pub async fn inspect(app: &App, organization: &Organization, id: &GenerationId) -> anyhow::Result<Value> {
    let inspection = standin::inspect(app, organization, id).await?;
    serde_json::to_value(inspection).context("the inspection cannot be written as JSON")
}

/// Compacts a generation now.
pub async fn compact(app: &App, organization: &Organization, id: &GenerationId) -> anyhow::Result<Value> {
    let compaction = standin::compact(app, organization, id).await?;
    serde_json::to_value(compaction).context("the compaction cannot be written as JSON")
}

/// Deletes buffer, blob and record of an ended generation.
pub async fn purge(app: &App, organization: &Organization, id: &GenerationId) -> anyhow::Result<()> {
    standin::purge(app, organization, id).await
}

/// The signatures of verbs and ids, until the product itself is merged.
mod standin {
    use std::fmt;
    use std::str::FromStr;

    use anyhow::bail;
    use longhand::App;
    use serde_json::Value;

    #[derive(Clone, Debug)]
    pub struct Organization;

    #[derive(Clone, Debug)]
    pub struct GenerationId(String);

    impl FromStr for Organization {
        type Err = std::io::Error;
        fn from_str(_: &str) -> Result<Self, Self::Err> {
            Ok(Self)
        }
    }

    impl FromStr for GenerationId {
        type Err = std::io::Error;
        fn from_str(text: &str) -> Result<Self, Self::Err> {
            if text.starts_with("gen_") && text.len() == 30 {
                return Ok(Self(text.to_owned()));
            }
            Err(std::io::Error::other(format!("a generation's id is `gen_` and 26 characters, not {text:?}")))
        }
    }

    impl fmt::Display for GenerationId {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(&self.0)
        }
    }

    pub async fn inspect(_: &App, _: &Organization, _: &GenerationId) -> anyhow::Result<Value> {
        bail!("the product is not built yet")
    }

    pub async fn compact(_: &App, _: &Organization, _: &GenerationId) -> anyhow::Result<Value> {
        bail!("the product is not built yet")
    }

    pub async fn purge(_: &App, _: &Organization, _: &GenerationId) -> anyhow::Result<()> {
        bail!("the product is not built yet")
    }
}
