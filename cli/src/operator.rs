//! For commands that act on the tables and the bucket themselves: those of a running stack, or of a deployment on AWS.

use anyhow::Context as _;
use clap::Args;

use crate::arguments::Folder;
use crate::product::{App, Clock, Config, Organization};
use crate::{environment, failure, place};

/// Which tables and bucket.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    #[command(flatten)]
    pub folder: Folder,
    /// Use the deployment that this process's environment names (`LONGHAND_BUFFER_TABLE`, …) instead of a running stack
    #[arg(long, requires = "organization")]
    pub aws: bool,
    /// The organization; without it, that of the running stack
    #[arg(long, value_name = "NAME")]
    pub organization: Option<String>,
}

impl OperatorArgs {
    /// The product over those tables, and whose generations are meant.
    pub async fn open(&self) -> anyhow::Result<(App, Organization)> {
        let (config, organization) = if self.aws {
            let config = Config::from_vars(&environment::variable).context("the environment does not name a deployment")?;
            (config, self.organization.clone().unwrap_or_default())
        } else {
            let data = &self.folder.data;
            let place = place::running(data).await?.ok_or_else(|| place::nothing_runs(data, "give --aws"))?;
            let config = Config::from_vars(&|name| place.environment.get(name).cloned())
                .with_context(|| format!("the settings of the stack on {} are incomplete", data.display()))?;
            (config, self.organization.clone().unwrap_or(place.organization))
        };
        let organization = organization.parse().map_err(|error| failure::usage(format!("--organization: {error}")))?;
        Ok((App::new(config, Clock::system()).await?, organization))
    }
}
