//! `longhand token`: a token with which a page or a program may read one generation for a while.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::options::{Format, Target};
use crate::running_stack;
use crate::terminal::output::{json_line, line};

/// Make a token that reads one generation for a while
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    /// The generation's id
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
    let token = client.create_token(&args.id, args.expires_in.map(Duration::from_secs)).await?;
    if args.format.json {
        json_line(&token.text)?;
    } else {
        line(&token.token)?;
    }
    Ok(ExitCode::SUCCESS)
}
