//! The command line: every command.

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::commands::fleet::{serve, work};
use crate::commands::generations::{accept, cancel, get, list, output, retry, start, tail, token};
use crate::commands::operate::{backfill, compact, inspect, keys, migrate, populate, purge, quota, redrive, retention};
use crate::commands::{
    audit, batches, bench, console, cost, demo, dev, entities, importers, notifications, openapi, pipelines, runs, shell,
    subjects, usage, validate, webhooks,
};

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
    Output(output::OutputArgs),
    Cancel(cancel::CancelArgs),
    Retry(retry::RetryArgs),
    Accept(accept::AcceptArgs),
    Token(token::TokenArgs),
    Batches(batches::BatchesArgs),
    Pipelines(pipelines::PipelinesArgs),
    Runs(runs::RunsArgs),
    Subjects(subjects::SubjectsArgs),
    Importers(importers::ImportersArgs),
    Entities(Box<entities::EntitiesArgs>),
    Audit(audit::AuditArgs),
    Console(console::ConsoleArgs),
    Usage(usage::UsageArgs),
    Webhooks(webhooks::WebhooksArgs),
    Notifications(notifications::NotificationsArgs),
    Inspect(inspect::InspectArgs),
    Compact(compact::CompactArgs),
    Populate(populate::PopulateArgs),
    Purge(purge::PurgeArgs),
    Redrive(redrive::RedriveArgs),
    Retention(retention::RetentionArgs),
    Backfill(Box<backfill::BackfillArgs>),
    Migrate(Box<migrate::MigrateArgs>),
    Keys(keys::KeysArgs),
    Quota(quota::QuotaArgs),
    Cost(Box<cost::CostArgs>),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
    Validate(validate::ValidateArgs),
    Bench(bench::BenchArgs),
    Serve(serve::ServeArgs),
    Work(work::WorkArgs),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
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
            Self::Output(args) => output::run(args).await,
            Self::Cancel(args) => cancel::run(args).await,
            Self::Retry(args) => retry::run(args).await,
            Self::Accept(args) => accept::run(args).await,
            Self::Token(args) => token::run(args).await,
            Self::Batches(args) => batches::run(args).await,
            Self::Pipelines(args) => pipelines::run(args).await,
            Self::Runs(args) => runs::run(args).await,
            Self::Subjects(args) => subjects::run(args).await,
            Self::Importers(args) => importers::run(args).await,
            Self::Entities(args) => Box::pin(entities::run(*args)).await,
            Self::Audit(args) => audit::run(args).await,
            Self::Console(args) => console::run(args).await,
            Self::Usage(args) => usage::run(args).await,
            Self::Webhooks(args) => webhooks::run(args).await,
            Self::Notifications(args) => notifications::run(args).await,
            Self::Inspect(args) => inspect::run(args).await,
            Self::Compact(args) => compact::run(args).await,
            Self::Populate(args) => populate::run(args).await,
            Self::Purge(args) => purge::run(args).await,
            Self::Redrive(args) => Box::pin(redrive::run(args)).await,
            Self::Retention(args) => retention::run(args).await,
            Self::Backfill(args) => backfill::run(*args).await,
            Self::Migrate(args) => migrate::run(*args).await,
            Self::Keys(args) => keys::run(args).await,
            Self::Quota(args) => quota::run(args).await,
            Self::Cost(args) => cost::run(&args),
            Self::OpenApi(_) => openapi::run(),
            Self::Validate(args) => validate::run(&args),
            Self::Bench(args) => bench::run(args).await,
            Self::Serve(args) => serve::run(args).await,
            Self::Work(args) => work::run(args).await,
            Self::Completions(args) => Ok(shell::completions::<Arguments>(args)),
            Self::Man(_) => shell::man::<Arguments>(),
        }
    }
}
