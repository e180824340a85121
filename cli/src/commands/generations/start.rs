//! `longhand start`: a generation from the command line, on whichever stack there is.

mod request;

use std::process::ExitCode;

use clap::Args;
use longhand_local::{Data, Options, Stack};
use serde_json::Value;

use crate::api::{Api, Reply};
use crate::options::{Format, Target, Tenant};
use crate::patience::insist;
use crate::provider::{ProviderArgs, key_name};
use crate::terminal::{follow, output};
use crate::{failure, place};

use super::get;
use request::RequestArgs;

/// Start a generation: on --url, on the `longhand dev` that runs, or on a stack of its own
#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    provider: ProviderArgs,
    /// Repeating a request with the same key answers with the same generation
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait for the end: the text goes to stdout, what is told about it to stderr; exits with 0 if it completes
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
        return on_a_running_stack(url.as_str(), place::at(url)?, &args, &request).await;
    }
    let Some(place) = place::running(&args.target.folder.data).await? else {
        return on_a_stack_of_its_own(&args, &request).await;
    };
    if let Some(other) = args.tenant.organization.as_ref().filter(|name| **name != place.organization) {
        let organization = &place.organization;
        return Err(failure::usage(format!(
            "the `longhand dev` that runs there is of the organization {organization}, not {other}"
        )));
    }
    on_a_running_stack(&place.url, place.api()?, &args, &request).await
}

async fn on_a_running_stack(url: &str, api: Api, args: &StartArgs, request: &Value) -> anyhow::Result<ExitCode> {
    if let (Some(base_url), Some(name)) = (&args.provider.base_url, &args.provider.provider) {
        let key = key_name(name);
        return Err(failure::usage(format!(
            "the API at {url} takes no base URL from a request, because {key} would be sent there: stop it and run \
             `longhand dev --provider {name} --base-url {base_url}`, or give another --data to start a stack just for this"
        )));
    }
    let started = api.start(request, args.idempotency_key.as_deref()).await?;
    if args.wait {
        return see_through(&api, &started, args).await;
    }
    get::print(&started, args.format)?;
    if !args.format.json {
        eprintln!("to watch it: longhand tail {} --poll{}", id(&started)?, args.target.as_flags());
    }
    Ok(ExitCode::SUCCESS)
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
        outcome = start_and_see_through(&stack, args, request) => outcome,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nstopping; `longhand dev` goes on with it");
            Ok(failure::interrupted())
        }
    };
    stack.shutdown().await;
    outcome
}

async fn start_and_see_through(stack: &Stack, args: &StartArgs, request: &Value) -> anyhow::Result<ExitCode> {
    let api = place::of(stack)?;
    let started = api.start(request, args.idempotency_key.as_deref()).await?;
    see_through(&api, &started, args).await
}

async fn see_through(api: &Api, started: &Reply, args: &StartArgs) -> anyhow::Result<ExitCode> {
    let id = id(started)?;
    let record = follow::to_the_end(api, id, None).await?;
    let completed = record.value["status"] == "completed";
    if args.format.json {
        get::print(&record, args.format)?;
    } else {
        get::fields(&record.value).note();
        if !record.value["compacted"].is_null() {
            eprintln!();
            output::text(&insist(async || api.text(id).await).await?)?;
        }
    }
    if completed {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {id} ended as {}", follow::outcome(&record.value));
    Ok(failure::failed())
}

fn id(started: &Reply) -> anyhow::Result<&str> {
    started.value["id"].as_str().ok_or_else(|| anyhow::anyhow!("the API did not say the generation's id: {}", started.text))
}
