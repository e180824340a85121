//! The product's own verbs, for the commands that do not go through the HTTP API.

use anyhow::Context as _;
use serde_json::Value;

pub use longhand::aws::{QueueMessage, Queues};
pub use longhand::clock::rfc3339;
pub use longhand::estimate::{Estimate, Pace, Workload, estimate};
pub use longhand::limits;
pub use longhand::quota::{Quota, dollars};
pub use longhand::{
    App, Clock, Config, GenerationId, GenerationKey, GivenUp, KeyId, NewKey, Organization, QuotaView, Redriven, RetentionRules,
    Scope,
};

/// The log of a generation as it is stored: slots, counters, lease; and its record.
pub async fn inspect(app: &App, key: &GenerationKey) -> anyhow::Result<Value> {
    let inspection = app.inspect(key).await?;
    serde_json::to_value(inspection).context("the inspection cannot be written as JSON")
}

/// Compacts a generation now.
pub async fn compact(app: &App, key: &GenerationKey) -> anyhow::Result<Value> {
    let compaction = app.compact(key, "longhand compact").await?;
    serde_json::to_value(compaction).context("the compaction cannot be written as JSON")
}

/// Deletes buffer, blob and record of an ended generation.
pub async fn purge(app: &App, key: &GenerationKey) -> anyhow::Result<()> {
    app.purge(key).await?;
    Ok(())
}
