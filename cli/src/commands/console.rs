//! `longhand console`: the address of the web console, with a token that reads and changes nothing.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use clap::Args;
use longhand::ReadToken;
use longhand_client::{Client, Method};
use serde_json::json;

use crate::api::read;
use crate::options::Target;
use crate::running_stack;
use crate::terminal::output::line;

/// The program that opens an address in the browser of the desktop.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Print the address of the web console, with a token that reads for eight hours
#[derive(Args, Clone, Debug)]
pub struct ConsoleArgs {
    /// Open it in a browser, too. Other users of this machine may see the token among its processes; --no-token leaves it out
    #[arg(long)]
    open: bool,
    /// Leave out the token: the console asks for an API key, which may do more than read
    #[arg(long)]
    no_token: bool,
    #[command(flatten)]
    target: Target,
}

pub async fn run(args: ConsoleArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let address = if args.no_token { page(&client)? } else { address(&client).await? };
    line(&address)?;
    if args.open {
        let mut opener = Command::new(OPENER);
        let started = opener.arg(&address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.with_context(|| format!("cannot run {OPENER}: open the address yourself"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The console's address with a read token in its fragment, which a browser sends nowhere.
pub async fn address(client: &Client) -> anyhow::Result<String> {
    let call = client.request(Method::POST, "/v1/tokens").json(&json!({ "scope": "read" }));
    let (token, _): (ReadToken, String) = read(call).await?;
    Ok(format!("{}#token={}", page(client)?, token.token))
}

/// The console's address.
pub fn page(client: &Client) -> anyhow::Result<String> {
    let call = client.request(Method::GET, "/console/").build().context("the address of the API is wrong")?;
    Ok(call.url().to_string())
}
