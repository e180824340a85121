//! The command line: every command, and the arguments that several of them share.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};
use reqwest::Url;

use crate::commands::generations::{cancel, get, list, start, tail};
use crate::commands::operate::{compact, inspect, keys, purge, quota, redrive, retention};
use crate::commands::{bench, cost, demo, dev, openapi};

const DATA: &str = "./.longhand";
const ORGANIZATION: &str = "local";

/// Durable LLM generations: start one, watch it, leave, come back; the whole text is kept.
#[derive(Debug, Parser)]
#[command(name = "longhand", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    /// Log more, on stderr; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Dev(dev::DevArgs),
    Demo(demo::DemoArgs),
    Start(Box<start::StartArgs>),
    Get(get::GetArgs),
    List(list::ListArgs),
    Tail(tail::TailArgs),
    Cancel(cancel::CancelArgs),
    Inspect(inspect::InspectArgs),
    Compact(compact::CompactArgs),
    Purge(purge::PurgeArgs),
    Redrive(redrive::RedriveArgs),
    Retention(retention::RetentionArgs),
    Keys(keys::KeysArgs),
    Quota(quota::QuotaArgs),
    Cost(Box<cost::CostArgs>),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
    Bench(bench::BenchArgs),
}

impl Command {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Dev(args) => dev::run(args).await,
            Self::Demo(args) => demo::run(args).await,
            Self::Start(args) => start::run(*args).await,
            Self::Get(args) => get::run(args).await,
            Self::List(args) => list::run(args).await,
            Self::Tail(args) => tail::run(args).await,
            Self::Cancel(args) => cancel::run(args).await,
            Self::Inspect(args) => inspect::run(args).await,
            Self::Compact(args) => compact::run(args).await,
            Self::Purge(args) => purge::run(args).await,
            Self::Redrive(args) => Box::pin(redrive::run(args)).await,
            Self::Retention(args) => retention::run(args).await,
            Self::Keys(args) => keys::run(args).await,
            Self::Quota(args) => quota::run(args).await,
            Self::Cost(args) => cost::run(&args),
            Self::OpenApi(_) => openapi::run(),
            Self::Bench(args) => bench::run(args).await,
        }
    }
}

/// Where the stack's data lies.
#[derive(Args, Clone, Debug)]
pub struct Folder {
    /// The stack's data folder
    #[arg(long, value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
}

/// Which API is asked.
#[derive(Args, Clone, Debug)]
pub struct Target {
    #[command(flatten)]
    pub folder: Folder,
    /// The API's address; without it, that of the `longhand dev` that runs on the data folder
    #[arg(long, value_parser = http_url)]
    pub url: Option<Url>,
}

impl Target {
    /// The flags that lead another command to the same API.
    pub fn as_flags(&self) -> String {
        match (&self.url, self.folder.data.display().to_string()) {
            (Some(url), _) => format!(" --url {url}"),
            (None, data) if data == DATA => String::new(),
            (None, data) => format!(" --data {data}"),
        }
    }
}

/// Whose generations they are.
#[derive(Args, Clone, Debug)]
pub struct Tenant {
    /// The organization of every caller of the stack [default: local]
    #[arg(long, value_name = "NAME")]
    pub organization: Option<String>,
}

impl Tenant {
    /// The organization of a stack that this command starts.
    pub fn name(&self) -> String {
        self.organization.clone().unwrap_or_else(|| ORGANIZATION.to_owned())
    }
}

/// How the answer is printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads an address of an API.
pub fn http_url(text: &str) -> Result<Url, String> {
    let expected = || format!("expected an address such as http://127.0.0.1:4000, not {text:?}");
    let url = Url::parse(text).map_err(|_| expected())?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host();
    if fits { Ok(url) } else { Err(expected()) }
}
