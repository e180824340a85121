//! `longhand validate`: checks metadata against the published contract, and shows the issue that it would make.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use longhand::json::schema::GENERATION_METADATA;
use serde_json::{Value, json};

use crate::commands::generations::start::request::read;
use crate::failure;
use crate::options::Format;
use crate::terminal::output::line;

/// Check metadata against the published contract
#[derive(Args, Clone, Debug)]
pub struct ValidateArgs {
    /// A JSON file, such as the `metadata` of a record; `-` reads it from stdin
    #[arg(value_name = "METADATA.json")]
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

pub fn run(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|error| failure::usage(format!("{}: expected JSON ({error})", args.file.display())))?;
    let errors = GENERATION_METADATA.errors(&metadata);
    if args.format.json {
        let errors: Vec<Value> =
            errors.iter().map(|error| json!({ "path": format!("metadata{}", error.pointer), "message": error.detail })).collect();
        line(json!({ "valid": errors.is_empty(), "errors": errors }))?;
    } else {
        for error in &errors {
            line(format!("metadata{}: {}", error.pointer, error.detail))?;
        }
        eprintln!("{}", if errors.is_empty() { "it fits the contract" } else { "it does not fit the contract" });
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { failure::failed() })
}
