//! For commands that act on the tables and the bucket themselves: those of a running stack, or of a deployment on AWS.

use anyhow::Context as _;
use clap::Args;

use crate::options::Folder;
use crate::place::Place;
use crate::product::{App, Clock, Config, Organization};
use crate::{environment, failure, place};

/// Which tables and bucket, and whose generations.
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
        let (config, place) = settings(&self.folder, self.aws).await?;
        let organization = self.organization.clone().or(place.map(|place| place.organization)).unwrap_or_default();
        Ok((App::new(config, Clock::system()).await, named(&organization)?))
    }
}

/// Which tables, bucket and queues; every organization's generations.
#[derive(Args, Clone, Debug)]
pub struct DeploymentArgs {
    #[command(flatten)]
    pub folder: Folder,
    /// Use the deployment that this process's environment names (`LONGHAND_BUFFER_TABLE`, …) instead of a running stack
    #[arg(long)]
    pub aws: bool,
}

/// The product over those tables.
pub struct Deployment {
    pub app: App,
    /// URLs of the on-failure queues that a running stack has.
    pub queues: Vec<String>,
}

impl DeploymentArgs {
    pub async fn open(&self) -> anyhow::Result<Deployment> {
        let (config, place) = settings(&self.folder, self.aws).await?;
        let queues = place.map(|place| place.queues).unwrap_or_default();
        Ok(Deployment { app: App::new(config, Clock::system()).await, queues })
    }
}

/// An organization named on the command line.
pub fn named(organization: &str) -> anyhow::Result<Organization> {
    organization.parse().map_err(|error| failure::usage(format!("--organization: {error}")))
}

async fn settings(folder: &Folder, aws: bool) -> anyhow::Result<(Config, Option<Place>)> {
    if aws {
        let config = Config::from_vars(&environment::variable).context("the environment does not name a deployment")?;
        return Ok((config, None));
    }
    let data = &folder.data;
    let place = place::running(data).await?.ok_or_else(|| place::nothing_runs(data, "give --aws"))?;
    let config = Config::from_vars(&|name| place.environment.get(name).cloned())
        .with_context(|| format!("the settings of the stack on {} are incomplete", data.display()))?;
    Ok((config, Some(place)))
}
