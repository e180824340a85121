//! `longhand webhooks`: where events are sent to, and how each fared, over the API.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use longhand::notifications::endpoint::EventFilter;
use longhand::notifications::mail::SCHEME;
use longhand::{DeliveryId, DeliveryList, DeliveryView, EndpointId, EndpointList, EndpointView, Recovered};
use longhand_client::{Method, RequestBuilder};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::{flags, read, said, with_query};
use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, table};

/// Work with webhooks: where events are sent to, and how each delivery fared
#[derive(Args, Clone, Debug)]
pub struct WebhooksArgs {
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum WebhooksCommand {
    Create(CreateArgs),
    List(ListArgs),
    Get(OfWebhook),
    Update(UpdateArgs),
    /// Delete a webhook
    Delete(OfWebhook),
    /// Give a webhook a new secret; for a day both sign
    Rotate(OfWebhook),
    /// Send a webhook a test
    Test(OfWebhook),
    Deliveries(DeliveriesArgs),
    Resend(ResendArgs),
    Recover(RecoverArgs),
}

/// Create a webhook, and print its secret, this once
#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// Where events are sent to: a URL, or for `email` `mailto:` and an address
    address: String,
    /// A type of events, such as `batch.completed`, or a family, such as `batch.*`; repeat for more [default: all]
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<EventFilter>,
    /// What the receiver is: `slack` gets one sentence, `email` a few lines [default: by the address]
    #[arg(long, value_parser = ["webhook", "slack", "email"])]
    kind: Option<String>,
    /// The form of what is sent
    #[arg(long, value_parser = ["longhand", "openai"], default_value = "longhand")]
    dialect: String,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// List the webhooks
#[derive(Args, Clone, Debug)]
struct ListArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Show a webhook
#[derive(Args, Clone, Debug)]
struct OfWebhook {
    /// The webhook's id
    id: EndpointId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Change a webhook
#[derive(Args, Clone, Debug)]
struct UpdateArgs {
    /// Another address
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// The events that it wants from now on; repeat for more
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<EventFilter>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Have it told again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Have it told nothing
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    of: OfWebhook,
}

/// List the deliveries to a webhook, the newest first
#[derive(Args, Clone, Debug)]
struct DeliveriesArgs {
    /// Those with this status
    #[arg(long, value_parser = ["pending", "succeeded", "failed"])]
    status: Option<String>,
    /// Begin after this delivery
    #[arg(long, value_name = "ID")]
    after: Option<DeliveryId>,
    #[command(flatten)]
    of: OfWebhook,
}

/// Send the event of a delivery again
#[derive(Args, Clone, Debug)]
struct ResendArgs {
    /// The delivery's id
    id: DeliveryId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Send a webhook again what has failed, and what it has missed
#[derive(Args, Clone, Debug)]
struct RecoverArgs {
    /// From when on, such as 2026-11-21T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: String,
    #[command(flatten)]
    of: OfWebhook,
}

pub async fn run(args: WebhooksArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        WebhooksCommand::Create(args) => create(args).await,
        WebhooksCommand::List(args) => list(args).await,
        WebhooksCommand::Get(of) => show(of.format, of.call(Method::GET, "").await?).await,
        WebhooksCommand::Update(args) => update(args).await,
        WebhooksCommand::Delete(of) => {
            let (_, whole): (Value, String) = read(of.call(Method::DELETE, "").await?).await?;
            said(of.format, &whole, &format!("{} is deleted\n", of.id))
        }
        WebhooksCommand::Rotate(of) => show(of.format, of.call(Method::POST, "/rotate").await?).await,
        WebhooksCommand::Test(of) => delivery(of.format, of.call(Method::POST, "/test").await?).await,
        WebhooksCommand::Deliveries(args) => deliveries(args).await,
        WebhooksCommand::Resend(args) => {
            let client = running_stack::connect(&args.target).await?;
            delivery(args.format, client.request(Method::POST, &format!("/v1/deliveries/{}/resend", args.id))).await
        }
        WebhooksCommand::Recover(args) => {
            let call = args.of.call(Method::POST, "/recover").await?.json(&json!({ "since": args.since }));
            let (sent, whole): (Recovered, String) = read(call).await?;
            let more = if sent.has_more { "; the same again sends more" } else { "" };
            said(
                args.of.format,
                &whole,
                &format!("{} that had failed and {} that were missed are sent{more}\n", sent.failed, sent.missed),
            )
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

impl OfWebhook {
    async fn call(&self, method: Method, rest: &str) -> anyhow::Result<RequestBuilder> {
        let client = running_stack::connect(&self.target).await?;
        Ok(client.request(method, &format!("/v1/webhooks/{}{rest}", self.id)))
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let by_address = if args.address.starts_with(SCHEME) { "email" } else { "webhook" };
    let kind = args.kind.as_deref().unwrap_or(by_address);
    let mut body = json!({ "url": args.address, "kind": kind, "dialect": args.dialect, "description": args.description });
    if !args.events.is_empty() {
        body["events"] = json!(args.events);
    }
    let call = running_stack::connect(&args.target).await?.request(Method::POST, "/v1/webhooks").json(&body);
    show(args.format, call).await
}

async fn update(args: UpdateArgs) -> anyhow::Result<()> {
    let mut change = Map::new();
    change.extend(args.address.map(|address| ("url".to_owned(), json!(address))));
    change.extend(args.description.map(|description| ("description".to_owned(), json!(description))));
    if !args.events.is_empty() {
        change.insert("events".to_owned(), json!(args.events));
    }
    if args.enable || args.disable {
        change.insert("enabled".to_owned(), json!(args.enable));
    }
    show(args.of.format, args.of.call(Method::PATCH, "").await?.json(&change)).await
}

/// The name in JSON.
fn word(of: impl Serialize) -> String {
    serde_json::to_value(of).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn events(filters: &[EventFilter]) -> String {
    filters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn state(webhook: &EndpointView) -> String {
    match webhook.disabled_reason {
        Some(reason) => format!("disabled ({})", word(reason)),
        None if webhook.failures > 0 => format!("failing ({})", webhook.failures),
        None => "enabled".to_owned(),
    }
}

async fn show(format: Format, call: RequestBuilder) -> anyhow::Result<()> {
    let (webhook, whole): (EndpointView, String) = read(call).await?;
    let secret = webhook.secret.as_ref().map(|secret| format!("secret  {secret}\n")).unwrap_or_default();
    let words = format!("{}  {}  {}  {}\n{secret}", webhook.id, state(&webhook), webhook.url, events(&webhook.events));
    said(format, &whole, &words)
}

async fn delivery(format: Format, call: RequestBuilder) -> anyhow::Result<()> {
    let (delivery, whole): (DeliveryView, String) = read(call).await?;
    said(format, &whole, &format!("{}  {}\n", delivery.id, word(delivery.status)))
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let call = running_stack::connect(&args.target).await?.request(Method::GET, "/v1/webhooks");
    let (all, whole): (EndpointList, String) = read(call).await?;
    if args.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |webhook: EndpointView| {
        let state = state(&webhook);
        [webhook.id.to_string(), state, webhook.url, events(&webhook.events), webhook.description.unwrap_or_default()]
    };
    let rows: Vec<[String; 5]> = all.data.into_iter().map(row).collect();
    Ok(table(["WEBHOOK", "STATE", "URL", "EVENTS", "DESCRIPTION"], &rows)?)
}

async fn deliveries(args: DeliveriesArgs) -> anyhow::Result<()> {
    let after = args.after.map(|after| after.to_string());
    let path = with_query("/deliveries", &[("status", args.status.clone()), ("after", after)])?;
    let (page, whole): (DeliveryList, String) = read(args.of.call(Method::GET, &path).await?).await?;
    if args.of.format.json {
        return Ok(json_line(&whole)?);
    }
    let row = |delivery: DeliveryView| {
        let last = delivery.attempts.last();
        let answer = last.and_then(|last| last.status_code.map(|code| code.to_string()).or_else(|| last.error.clone()));
        let status = delivery.reason.map_or_else(|| word(delivery.status), |reason| format!("failed ({})", word(reason)));
        let next = delivery.next_attempt_at.or(delivery.ended_at).unwrap_or_default();
        [delivery.id.to_string(), delivery.kind, status, delivery.tries.to_string(), answer.unwrap_or_default(), next]
    };
    let rows: Vec<[String; 6]> = page.data.into_iter().map(row).collect();
    table(["DELIVERY", "TYPE", "STATUS", "TRIES", "ANSWER", "NEXT OR ENDED"], &rows)?;
    if let (true, Some(last)) = (page.has_more, page.last_id) {
        let filters = flags([("status", args.status)]);
        eprintln!("more: longhand webhooks deliveries {} --after {last}{filters}{}", args.of.id, args.of.target.as_flags());
    }
    Ok(())
}
