//! `longhand accept`: a completed generation becomes what its subject stands on, and its answer is imported, if asked for.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use longhand::documents::DocumentRef;
use longhand::{AcceptanceView, SubjectId};
use longhand_client::Method;
use serde_json::{Value, json};

use crate::api::{read, said};
use crate::options::{Format, Target};
use crate::running_stack;

/// Accept a completed generation for its subject
#[derive(Args, Clone, Debug)]
pub struct AcceptArgs {
    /// The generation's id
    id: String,
    /// The subject [default: the one that the generation is about]
    #[arg(long)]
    subject: Option<SubjectId>,
    /// Import its answer, too
    #[arg(long)]
    import: bool,
    /// By which importer [default: the built-in one]
    #[arg(long, value_name = "NAME[@NUMBER]", requires = "import")]
    importer: Option<DocumentRef>,
    /// Take the place of another accepted generation
    #[arg(long)]
    replace: bool,
    /// Why
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub async fn run(args: AcceptArgs) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect(&args.target).await?;
    let body = json!({
        "subject": args.subject, "import": args.import, "importer": args.importer, "replace": args.replace, "note": args.note,
    });
    let call = client.request(Method::POST, &format!("/v1/generations/{}/accept", args.id)).json(&body);
    let (accepted, whole): (AcceptanceView, String) = read(call).await?;
    let mut words = format!("{} is accepted for {}\n", accepted.generation, accepted.subject);
    if let Some(import) = accepted.import {
        writeln!(words, "import {}", import.id)?;
        for (name, entries) in import.report.into_iter().flatten() {
            let entries = entries.as_array().cloned().unwrap_or_default();
            let new = entries.iter().filter(|entry| entry["created"] == Value::Bool(true)).count();
            match name.as_str() {
                "errors" => writeln!(words, "  errors: {}", entries.len())?,
                name => writeln!(words, "  {name}: {}, {new} new", entries.len())?,
            }
        }
    }
    said(args.format, &whole, &words)?;
    Ok(ExitCode::SUCCESS)
}
