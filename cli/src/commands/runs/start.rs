//! `longhand runs start`.

use std::io::Read as _;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use longhand::error::InputError;
use longhand::pipelines::{PipelineRef, read_yaml};
use longhand::{RunId, RunView, SubjectId, UserId};
use longhand_client::{Error, Method};
use serde_json::{Map, Value, json};

use crate::api::read;
use crate::options::{Format, Target, key_value};
use crate::terminal::output::line;
use crate::{failure, running_stack};

const STDIN: &str = "-";

/// Start a run of a pipeline
#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    /// The pipeline, and after `@` the number of the version [default: the newest]
    #[arg(value_name = "PIPELINE[@NUMBER]")]
    pipeline: PipelineRef,
    /// The input, an object in JSON or YAML; - is stdin
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    /// Take a field of the input from what an earlier run has at a path, such as `result`, or from a subject's version [default: its current
    /// one]; may be repeated
    #[arg(long, value_name = "NAME=run_…:PATH|NAME=subject:SUBJECT[@NUMBER]")]
    input_from: Vec<InputFrom>,
    /// Tell these users of the end, in the lists that `longhand notifications` shows; without a name, the key's own user
    #[arg(long, value_name = "USER", num_args = 0.., value_delimiter = ',')]
    notify: Option<Vec<UserId>>,
    /// An entry of the run's metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// A request that is repeated with the same key returns the same run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Follow the run to its end, as `longhand runs tail` does
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// A field of the input, and where it is taken from.
#[derive(Clone, Debug, PartialEq)]
struct InputFrom {
    name: String,
    from: Value,
}

impl FromStr for InputFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected NAME=run_…:PATH, or NAME=subject:SUBJECT, with @NUMBER for a version";
        let (name, from) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or(expected)?;
        let (kind, rest) = from.split_once(':').ok_or(expected)?;
        let from = if kind == "subject" {
            // A subject may have an `@` of its own, as in an address.
            let version = rest.rsplit_once('@').and_then(|(subject, number)| Some((subject, number.parse::<u64>().ok()?)));
            let (subject, number) = version.map_or((rest, None), |(subject, number)| (subject, Some(number)));
            let subject: SubjectId = subject.parse().map_err(|error| format!("{error}"))?;
            number.map_or(json!({ "subject": subject }), |number| json!({ "subject": subject, "version": number }))
        } else {
            let run: RunId = kind.parse().map_err(|error| format!("{error}; {expected}"))?;
            json!({ "run": run, "path": rest })
        };
        Ok(Self { name: name.to_owned(), from })
    }
}

impl StartArgs {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({ "pipeline": self.pipeline.to_string() });
        if let Some(file) = &self.input {
            body["input"] = input(file)?;
        }
        for InputFrom { name, from } in &self.input_from {
            body["input_from"][name] = from.clone();
        }
        if let Some(users) = &self.notify {
            body["notify"] = if users.is_empty() { json!({}) } else { json!({ "users": users }) };
        }
        if !self.metadata.is_empty() {
            let entries = self.metadata.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
            body["metadata"] = Value::Object(entries.collect::<Map<_, _>>());
        }
        Ok(body)
    }
}

/// The input in a file, or on stdin.
fn input(file: &str) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    if file == STDIN {
        std::io::stdin().read_to_end(&mut bytes).context("stdin cannot be read")?;
    } else {
        bytes = std::fs::read(file).map_err(|error| failure::usage(format!("{file}: {error}")))?;
    }
    let name = if file == STDIN { "stdin" } else { file };
    let value = read_yaml(&bytes).map_err(|error| failure::usage(format!("{name}: it {}", error.message)))?;
    if value.is_object() { Ok(value) } else { Err(failure::usage(format!("{name}: expected an object, in JSON or YAML"))) }
}

pub async fn run(args: StartArgs) -> anyhow::Result<ExitCode> {
    let body = args.body()?;
    let client = running_stack::connect(&args.target).await?;
    let call = client.request(Method::POST, "/v1/runs").json(&body);
    let call = args.idempotency_key.iter().fold(call, |call, key| call.header("idempotency-key", key));
    let (run, whole): (RunView, String) = match read(call).await {
        Ok(started) => started,
        Err(error) => return report_input_errors(error, args.format),
    };
    super::begun(&run, &whole, args.follow, args.target, args.format).await
}

/// Prints the errors of a run's input, one a line, and answers with the exit code for that; another error is given back.
pub fn report_input_errors(error: anyhow::Error, format: Format) -> anyhow::Result<ExitCode> {
    let problem = error.downcast_ref::<Error>().and_then(Error::problem);
    let Some(problem) = problem.filter(|problem| !problem.input_errors.is_empty()) else { return Err(error) };
    if format.json {
        line(json!({ "input_errors": { "errors": problem.input_errors, "more": problem.more_errors } }))?;
        return Ok(failure::failed());
    }
    for InputError { path, message, expected, .. } in &problem.input_errors {
        let place = if path.is_empty() { "the input" } else { path };
        line(format!("{place}: {message}; expected: {expected}"))?;
    }
    if problem.more_errors > 0 {
        line(format!("and {} more", problem.more_errors))?;
    }
    eprintln!("nothing was started: the input does not fit the pipeline");
    Ok(failure::failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_from_a_run_or_a_subject() {
        let run = "run_00000000000000000000000000";
        let from = |text: &str| text.parse::<InputFrom>().map(|from| from.from);
        assert_eq!(from(&format!("plan={run}:steps.E9.output")), Ok(json!({ "run": run, "path": "steps.E9.output" })));
        assert_eq!(from("plan=subject:training-plan:ana"), Ok(json!({ "subject": "training-plan:ana" })));
        assert_eq!(from("plan=subject:plan:ana@3"), Ok(json!({ "subject": "plan:ana", "version": 3 })));
        assert_eq!(from("plan=subject:plan:ana@example.com"), Ok(json!({ "subject": "plan:ana@example.com" })));
        for wrong in ["plan", "=subject:s", "plan=subject", "plan=subject:a b", "plan=run_1:result", "plan=gen:x"] {
            from(wrong).unwrap_err();
        }
    }
}
