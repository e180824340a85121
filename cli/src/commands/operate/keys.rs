//! `longhand keys`: creates, lists and revokes API keys, in the tables themselves.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use longhand::{KeyId, KeyView, NewKey, Scope};
use serde_json::json;

use crate::failure;
use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::terminal::output::{Fields, line, table};

const LIFETIME_MIN: Duration = Duration::from_secs(1);
/// A hundred years.
const LIFETIME_MAX: Duration = Duration::from_hours(36_500 * 24);

/// Create, list and revoke API keys
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysCommand {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Create a key and print it, once: only its hash is stored
#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// The key's name, for lists
    #[arg(long, default_value = "")]
    name: String,
    /// A scope of the key: start (and cancel), read or admin (delete); repeatable [default: start and read]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// The key's lifetime, such as 90s, 30m, 12h or 30d [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

/// List an organization's keys, with those that have expired or were revoked
#[derive(Args, Clone, Debug)]
struct ListArgs {
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

/// Revoke a key for good; API Gateway may trust it for up to five minutes more
#[derive(Args, Clone, Debug)]
struct RevokeArgs {
    /// The key's id
    id: String,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        KeysCommand::Create(args) => create(args).await,
        KeysCommand::List(args) => list(args).await,
        KeysCommand::Revoke(args) => revoke(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let (app, organization) = args.operator.open().await?;
    let scopes = if args.scopes.is_empty() { vec![Scope::Start, Scope::Read] } else { args.scopes };
    let new = NewKey { name: args.name, scopes: scopes.into_iter().collect(), expires_in: args.expires_in };
    let (key, secret) = app.create_key(&organization, new).await?;
    if args.format.json {
        let mut key = serde_json::to_value(key)?;
        key["key"] = json!(secret.reveal());
        return Ok(line(key)?);
    }
    fields(&key).add("key", secret.reveal()).print()?;
    eprintln!("\nThis is the only time that the key is shown. Requests carry it as `Authorization: Bearer lh_…`.");
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (app, organization) = args.operator.open().await?;
    let keys = app.list_keys(&organization).await?;
    if args.format.json {
        return Ok(line(json!({ "object": "list", "data": keys }))?);
    }
    if keys.is_empty() {
        eprintln!("{organization} has no keys");
        return Ok(());
    }
    let rows: Vec<_> = keys.iter().map(row).collect();
    Ok(table(["KEY", "NAME", "SCOPES", "CREATED", "EXPIRES", "STATE"], &rows)?)
}

async fn revoke(args: RevokeArgs) -> anyhow::Result<()> {
    // Not in the parser of arguments: its error repeats the argument, which may be the key itself.
    let id: KeyId = args.id.parse().map_err(|error| failure::usage(format!("{error}")))?;
    let (app, organization) = args.operator.open().await?;
    let key = app.revoke_key(&organization, &id).await?;
    if args.format.json {
        return Ok(line(serde_json::to_string(&key)?)?);
    }
    Ok(fields(&key).print()?)
}

fn fields(key: &KeyView) -> Fields {
    let mut fields = Fields::default();
    fields.add("id", &key.id).add_if("name", Some(&key.name).filter(|name| !name.is_empty()));
    fields.add("organization", &key.organization).add("scopes", &key.scopes);
    fields.add("created", &key.created_at).add("expires", expiry(key)).add("state", state(key));
    fields
}

fn row(key: &KeyView) -> [String; 6] {
    let (id, scopes) = (key.id.to_string(), key.scopes.to_string());
    [id, key.name.clone(), scopes, key.created_at.clone(), expiry(key).to_owned(), state(key)]
}

fn expiry(key: &KeyView) -> &str {
    key.expires_at.as_deref().unwrap_or("never")
}

fn state(key: &KeyView) -> String {
    match &key.revoked_at {
        Some(at) => format!("revoked {at}"),
        None if key.is_good => "good".to_owned(),
        None => "expired".to_owned(),
    }
}

/// Parses a lifetime in jiff's friendly format, such as `30d`, `12h` or `1h 30m`; a day has 24 hours.
fn lifetime(text: &str) -> Result<Duration, String> {
    let span = SpanParser::new().parse_span(text).ok();
    let lifetime = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let lifetime = lifetime.and_then(|lifetime| Duration::try_from(lifetime).ok());
    let lifetime = lifetime.filter(|lifetime| (LIFETIME_MIN..=LIFETIME_MAX).contains(lifetime));
    lifetime.ok_or_else(|| "expected a time from 1s to 36500d, such as 90s, 30m, 12h or 30d".to_owned())
}
