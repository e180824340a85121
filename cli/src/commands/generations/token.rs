//! `longhand token`: a token with which a page or a program may read one generation, batch or run for a while.

use std::process::ExitCode;

use clap::Args;
use longhand::ReadToken;
use longhand_client::{Method, RequestBuilder};
use serde_json::json;

use crate::api::read;
use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, line};

/// Make a token that reads one generation, batch or run for a while
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// The id of the generation, the batch or the run
    id: String,
    /// How long it lasts, in seconds; the API's default is 900
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u64>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: TokenArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let nouns = [("bat_", "batches"), ("run_", "runs")];
    let noun = nouns.into_iter().find(|(prefix, _)| args.id.starts_with(prefix)).map_or("generations", |(_, noun)| noun);
    let call = client.request(Method::POST, &format!("/v1/{noun}/{}/tokens", args.id));
    let lifetime = args.expires_in.map(|seconds| json!({ "expires_in": seconds }));
    let (token, whole): (ReadToken, String) = read(lifetime.iter().fold(call, RequestBuilder::json)).await?;
    if args.format.json {
        json_line(&whole)?;
    } else {
        line(&token.token)?;
    }
    Ok(ExitCode::SUCCESS)
}
