//! `longhand start`: starts a generation at `--url`, on the `longhand dev` that runs, or on a stack of its own.

pub mod request;

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;

use clap::Args;
use longhand::Started;
use longhand::generation::Status;
use longhand_client::{Client, Reply};
use longhand_local::{Data, Options, Stack};
use serde_json::Value;

use crate::options::{Format, Target, Tenant};
use crate::provider::{ProviderArgs, key_name};
use crate::retry::with_retries;
use crate::terminal::output::{Fields, json_line};
use crate::terminal::{follow, output};
use crate::{failure, running_stack};

use super::{get, tail};
use request::RequestArgs;

/// Start a generation: on --url, on the `longhand dev` that runs, or on a stack of its own
#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    provider: ProviderArgs,
    /// A request that is repeated with the same key returns the same generation
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait for the end: print the text on stdout (on a terminal, as it comes) and the record on stderr; exit with 0 if it completes
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: StartArgs) -> anyhow::Result<ExitCode> {
    let request = args.request.body(args.provider.provider.as_deref())?;
    if let Some(url) = &args.target.url {
        if args.tenant.organization.is_some() {
            return Err(failure::usage(
                "--organization does not go with --url: there it comes from the caller's credential alone",
            ));
        }
        return on_a_running_stack(url.as_str(), running_stack::connect_to_url(url)?, &args, &request).await;
    }
    let Some(stack) = running_stack::find(&args.target.folder.data).await? else {
        return on_a_stack_of_its_own(&args, &request).await;
    };
    if let Some(other) = args.tenant.organization.as_ref().filter(|name| **name != stack.organization) {
        let organization = &stack.organization;
        return Err(failure::usage(format!(
            "the `longhand dev` that runs there belongs to the organization {organization}, not {other}"
        )));
    }
    on_a_running_stack(&stack.url, stack.client()?, &args, &request).await
}

async fn on_a_running_stack(url: &str, client: Client, args: &StartArgs, request: &Value) -> anyhow::Result<ExitCode> {
    if let (Some(base_url), Some(name)) = (&args.provider.base_url, &args.provider.provider) {
        let key = key_name(name);
        let option =
            |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" --{name} {value}")).unwrap_or_default();
        let dialect = option("dialect", &args.provider.dialect);
        let continuation = option("continuation", &args.provider.continuation);
        return Err(failure::usage(format!(
            "the API at {url} takes no base URL from a request, because {key} would be sent there: stop it and run \
             `longhand dev --provider {name} --base-url {base_url}{dialect}{continuation}`, or give another --data to start a stack just for this"
        )));
    }
    let started = client.start(request, args.idempotency_key.as_deref()).await?;
    if args.wait {
        return tokio::select! {
            outcome = wait_for_end(&client, &started, args) => outcome,
            _ = tokio::signal::ctrl_c() => {
                eprintln!("\nto continue: longhand tail {}{}", started.id, args.target.as_flags());
                Ok(failure::interrupted())
            }
        };
    }
    print(&started, args.format, &args.target)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what was started; as JSON on one line, otherwise exactly as the API sent it.
pub fn print(started: &Reply<Started>, format: Format, target: &Target) -> anyhow::Result<()> {
    if format.json {
        return Ok(json_line(&started.text)?);
    }
    fields(started).print()?;
    eprintln!("to watch it: longhand tail {}{}", started.id, target.as_flags());
    Ok(())
}

async fn on_a_stack_of_its_own(args: &StartArgs, request: &Value) -> anyhow::Result<ExitCode> {
    let options = Options {
        data: Data::Folder(args.target.folder.data.clone()),
        authorize: true,
        organization: args.tenant.name(),
        env: args.provider.environment()?,
        ..Options::default()
    };
    let stack = Stack::start(options).await?;
    let outcome = tokio::select! {
        outcome = start_and_wait(&stack, args, request) => outcome,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nstopping; `longhand dev` continues it");
            Ok(failure::interrupted())
        }
    };
    stack.shutdown().await;
    eprintln!("its stack has stopped; `longhand dev{}` serves it again", args.target.as_flags());
    outcome
}

async fn start_and_wait(stack: &Stack, args: &StartArgs, request: &Value) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect_to_stack(stack)?;
    let started = client.start(request, args.idempotency_key.as_deref()).await?;
    wait_for_end(&client, &started, args).await
}

async fn wait_for_end(client: &Client, started: &Started, args: &StartArgs) -> anyhow::Result<ExitCode> {
    let id = started.id.as_str();
    let is_live = stdout().is_terminal() && !args.format.json;
    if is_live {
        eprintln!("generation  {id}\n");
        tail::print_live(client, id, &args.target).await?;
    }
    let record = follow::to_the_end(client, id, None).await?;
    if args.format.json {
        get::print(&record, args.format)?;
    } else {
        get::fields(&record).print_to_stderr();
        if record.compacted.is_some() && !is_live {
            eprintln!();
            output::text(&with_retries(async || client.text(id).await).await?)?;
        }
    }
    if record.status == Status::Completed {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {id} ended as {}", follow::outcome(&record));
    Ok(failure::not_completed())
}

fn fields(started: &Started) -> Fields {
    let mut fields = Fields::default();
    fields.add("generation", &started.id).add("status", started.status.as_str());
    fields.add("provider", &started.provider).add("model", &started.model).add("created", &started.created_at);
    fields
}
