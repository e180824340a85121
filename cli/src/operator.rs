//! Access to the tables and the bucket themselves, of a running stack or of a deployment on AWS.

use anyhow::Context as _;
use clap::Args;
use longhand::app::Parts;
use longhand::aws::{Queues, SharedHttpClient};
use longhand::{App, Clock, Config, Organization};

use crate::options::Folder;
use crate::running_stack::{self, RunningStack};
use crate::{environment, failure};

/// The tables and the bucket, and one organization.
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
    /// The product on those tables, and the organization.
    pub async fn open(&self) -> anyhow::Result<(App, Organization)> {
        let (config, stack) = settings(&self.folder, self.aws).await?;
        let http_client = stack.as_ref().map(RunningStack::http_client);
        let organization = self.organization.clone().or(stack.map(|stack| stack.organization)).unwrap_or_default();
        Ok((open_app(config, http_client).await, parse_organization(&organization)?))
    }
}

/// The tables, the bucket and the queues, of all organizations.
#[derive(Args, Clone, Debug)]
pub struct DeploymentArgs {
    #[command(flatten)]
    pub folder: Folder,
    /// Use the deployment that this process's environment names (`LONGHAND_BUFFER_TABLE`, …) instead of a running stack
    #[arg(long)]
    pub aws: bool,
}

/// The product on those tables.
pub struct Deployment {
    pub app: App,
    /// A client of its on-failure queues.
    pub queues: Queues,
    /// URLs of the on-failure queues; empty on AWS.
    pub queue_urls: Vec<String>,
}

impl DeploymentArgs {
    pub async fn open(&self) -> anyhow::Result<Deployment> {
        let (config, stack) = settings(&self.folder, self.aws).await?;
        let http_client = stack.as_ref().map(RunningStack::http_client);
        let queues = Queues::new(&config.aws, http_client.clone()).await;
        let queue_urls = stack.map(|stack| stack.queues).unwrap_or_default();
        Ok(Deployment { app: open_app(config, http_client).await, queues, queue_urls })
    }
}

async fn open_app(config: Config, http_client: Option<SharedHttpClient>) -> App {
    App::from_parts(config, Clock::system(), Parts { http_client, ..Parts::default() }).await
}

/// An organization named on the command line.
pub fn parse_organization(organization: &str) -> anyhow::Result<Organization> {
    organization.parse().map_err(|error| failure::usage(format!("--organization: {error}")))
}

async fn settings(folder: &Folder, aws: bool) -> anyhow::Result<(Config, Option<RunningStack>)> {
    if aws {
        let config = Config::from_vars(&environment::variable).context("the environment does not name a deployment")?;
        return Ok((config, None));
    }
    let data = &folder.data;
    let stack = running_stack::find(data).await?.ok_or_else(|| running_stack::no_stack(data, "give --aws"))?;
    let config = Config::from_vars(&|name| stack.environment.get(name).cloned())
        .with_context(|| format!("the settings of the stack on {} are incomplete", data.display()))?;
    Ok((config, Some(stack)))
}
