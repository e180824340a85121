//! `longhand keys`: an operator makes API keys, lists and revokes them, in the stores themselves.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::failure;
use crate::operator::OperatorArgs;
use crate::options::Format;
use crate::product::{KeyId, NewKey, Scope};
use crate::terminal::output::{Fields, line, plain, table};

/// Make, list and revoke API keys
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

/// Make a key and print it, once: only its hash is kept
#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// What the key is called in lists
    #[arg(long, default_value = "")]
    name: String,
    /// What the key may do: start (and cancel), read, admin (delete); may be given again [default: start and read]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// For how long the key is good, such as 90s, 30m, 12h or 30d [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = period)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    format: Format,
}

/// List an organization's keys, those that are good no more too
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
    let mut key = serde_json::to_value(key)?;
    key["key"] = json!(secret.reveal());
    if args.format.json {
        return Ok(line(key)?);
    }
    fields(&key).add("key", secret.reveal()).print()?;
    eprintln!("\nThis is the only time that the key is shown. Requests carry it as `Authorization: Bearer lh_…`.");
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (app, organization) = args.operator.open().await?;
    let keys = serde_json::to_value(app.list_keys(&organization).await?)?;
    let keys = keys.as_array().context("the keys are a list")?;
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
    // Not by the parser of arguments, which repeats what it refuses: it may be the key itself.
    let id: KeyId = args.id.parse().map_err(|error| failure::usage(format!("{error}")))?;
    let (app, organization) = args.operator.open().await?;
    let key = serde_json::to_value(app.revoke_key(&organization, &id).await?)?;
    if args.format.json {
        return Ok(line(key)?);
    }
    Ok(fields(&key).print()?)
}

fn fields(key: &Value) -> Fields {
    let mut fields = Fields::default();
    let [id, name, organization, scopes, created, expires, state] = cells(key);
    fields.add("id", id);
    fields.add_if("name", Some(name).filter(|name| !name.is_empty())).add("organization", organization).add("scopes", scopes);
    fields.add("created", created).add("expires", expires).add("state", state);
    fields
}

fn row(key: &Value) -> [String; 6] {
    let [id, name, _, scopes, created, expires, state] = cells(key);
    [id, name, scopes, created, expires, state]
}

fn cells(key: &Value) -> [String; 7] {
    let word = |name: &str| plain(&key[name]);
    let scopes: Vec<&str> = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let state = match (word("revoked_at"), &key["is_good"]) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Value::Bool(true)) => "good".to_owned(),
        (None, _) => "expired".to_owned(),
    };
    let [id, name, organization, created] =
        ["id", "name", "organization", "created_at"].map(|name| word(name).unwrap_or_default());
    [id, name, organization, scopes.join(" "), created, word("expires_at").unwrap_or_else(|| "never".to_owned()), state]
}

/// `90s`, `30m`, `12h`, `30d`.
fn period(text: &str) -> Result<Duration, String> {
    let read = || {
        let (unit_at, unit) = text.char_indices().last()?;
        let number: u64 = text[..unit_at].parse().ok().filter(|number| *number > 0)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        number.checked_mul(seconds).filter(|seconds| *seconds <= PERIOD_SECONDS_MAX).map(Duration::from_secs)
    };
    read().ok_or_else(|| "expected a time from 1s to 36500d, such as 90s, 30m, 12h or 30d".to_owned())
}

/// A hundred years.
const PERIOD_SECONDS_MAX: u64 = 36_500 * 86_400;
