//! A request for a run, parsed once, with all its errors together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, FieldError};
use crate::generation::request::read_json;
use crate::hash::sha256_hex;
use crate::ids::{RunId, SubjectId, UserId};
use crate::json::json_bytes;
use crate::json::schema::RUN_REQUEST;
use crate::limits;
use crate::notifications::notify::Notify;
use crate::pipelines::PipelineRef;

/// A request for a run, as `infra/schemas/run-request.schema.json` describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRequest {
    /// What is to be run.
    pub pipeline: PipelineRef,
    /// The input, as far as the body has it.
    pub input: Map<String, Value>,
    /// Fields of the input that are taken from earlier results.
    pub input_from: BTreeMap<String, InputFrom>,
    /// An input that does not match is stored as a failed run.
    pub store_invalid: bool,
    /// Who is told of the end.
    pub notify: Notify,
    /// The caller's own entries.
    pub metadata: Map<String, Value>,
    /// SHA-256 in hex of the body; independent of the order of fields and of white space in its JSON.
    pub fingerprint: String,
}

/// An earlier result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputFrom {
    /// What a run has at a path.
    Run(RunId, String),
    /// A version of a subject: its number, or the current one.
    Version(SubjectId, Option<u64>),
}

#[derive(Deserialize)]
struct Body {
    pipeline: String,
    #[serde(default)]
    input: Map<String, Value>,
    #[serde(default)]
    input_from: BTreeMap<String, FromBody>,
    #[serde(default)]
    store_invalid: bool,
    notify: Option<Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
struct FromBody {
    run: Option<String>,
    path: Option<String>,
    subject: Option<String>,
    version: Option<Value>,
}

impl RunRequest {
    /// Parses and validates a body, but for the input, which the pipeline's schema is for. `caller` is told of the end, unless the body says
    /// who.
    ///
    /// # Errors
    /// [`Error::RequestTooLarge`]; or [`Error::InvalidRequest`] with every error.
    pub fn parse(body: &[u8], caller: Option<&UserId>) -> Result<Self, Error> {
        let mut value = read_json(body)?;
        let errors = RUN_REQUEST.errors(&value);
        if !errors.is_empty() {
            return Err(Error::InvalidRequest(errors));
        }
        value.sort_all_objects();
        let fingerprint = sha256_hex(value.to_string());
        let body: Body = serde_json::from_value(value).map_err(|error| Error::invalid("", format!("cannot be read: {error}")))?;
        let mut errors = Vec::new();
        let notify = Notify::parse(body.notify.as_ref(), "/notify", caller).unwrap_or_else(|wrong| {
            errors.extend(wrong);
            Notify::default()
        });
        if json_bytes(&body.metadata) > limits::METADATA_BYTES_MAX as u64 {
            errors.push(FieldError::new("/metadata", format!("must be at most {} bytes of JSON", limits::METADATA_BYTES_MAX)));
        }
        let mut input_from = BTreeMap::new();
        for (name, from) in body.input_from {
            match from.parse() {
                Ok(from) => drop(input_from.insert(name.clone(), from)),
                Err((field, detail)) => errors.push(FieldError::new(format!("/input_from/{name}/{field}"), detail)),
            }
            if body.input.contains_key(&name) {
                errors.push(FieldError::new(format!("/input_from/{name}"), "is in `input` too; give one of them"));
            }
        }
        let pipeline = body.pipeline.parse().map_err(|error: crate::documents::InvalidName| error.to_string());
        match pipeline {
            Ok(pipeline) if errors.is_empty() => Ok(Self {
                pipeline,
                input: body.input,
                input_from,
                store_invalid: body.store_invalid,
                notify,
                metadata: body.metadata,
                fingerprint,
            }),
            Ok(_) => Err(Error::InvalidRequest(errors)),
            Err(detail) => {
                errors.push(FieldError::new("/pipeline", detail));
                Err(Error::InvalidRequest(errors))
            }
        }
    }
}

impl FromBody {
    fn parse(self) -> Result<InputFrom, (&'static str, String)> {
        if let (Some(run), Some(path)) = (self.run, self.path) {
            return Ok(InputFrom::Run(run.parse().map_err(|error: crate::ids::InvalidId| ("run", error.to_string()))?, path));
        }
        let subject = self.subject.unwrap_or_default();
        let subject = subject.parse().map_err(|error: crate::ids::InvalidId| ("subject", error.to_string()))?;
        let version = match self.version {
            None => None,
            Some(Value::String(text)) if text == "current" => None,
            Some(Value::Number(number)) => number.as_u64().filter(|number| *number > 0).map(Some).ok_or_else(expected_version)?,
            Some(_) => return Err(expected_version()),
        };
        Ok(InputFrom::Version(subject, version))
    }
}

fn expected_version() -> (&'static str, String) {
    ("version", "must be the number of a version, or `current`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_checked() {
        let run = "run_00000000000000000000000000";
        let body = format!(
            r#"{{"pipeline":"plan@3","input":{{"a":1}},"input_from":{{"b":{{"run":"{run}","path":"result"}},"c":{{"subject":"s","version":2}},
            "d":{{"subject":"s","version":"current"}}}},"metadata":{{"k":1}}}}"#
        );
        let request = RunRequest::parse(body.as_bytes(), None).unwrap();
        assert_eq!(request.pipeline.to_string(), "plan@3");
        assert_eq!(request.input_from["b"], InputFrom::Run(run.parse().unwrap(), "result".into()));
        assert_eq!(request.input_from["c"], InputFrom::Version("s".parse().unwrap(), Some(2)));
        assert_eq!(request.input_from["d"], InputFrom::Version("s".parse().unwrap(), None));
        for (wrong, pointer) in [
            (r#"{"pipeline":"p","input":[]}"#, "/input"),
            (r#"{"pipeline":"P"}"#, "/pipeline"),
            (r#"{"pipeline":"p@0"}"#, "/pipeline"),
            (r#"{"pipeline":"p","also":1}"#, "/also"),
            (r#"{"pipeline":"p","input":{"a":1},"input_from":{"a":{"subject":"s"}}}"#, "/input_from/a"),
            (r#"{"pipeline":"p","input_from":{"a":{"subject":"s p"}}}"#, "/input_from/a/subject"),
            (r#"{"pipeline":"p","input_from":{"a":{"subject":"s","version":0}}}"#, "/input_from/a/version"),
            (r#"{"pipeline":"p","input_from":{"a":{"subject":"s","version":"newest"}}}"#, "/input_from/a/version"),
            (r#"{"pipeline":"p","input_from":{"a":{"run":"x","path":"result"}}}"#, "/input_from/a/run"),
            (r#"{"pipeline":"p","notify":{"users":["a b"]}}"#, "/notify/users/0"),
        ] {
            let Err(Error::InvalidRequest(errors)) = RunRequest::parse(wrong.as_bytes(), None) else { panic!("{wrong}") };
            assert_eq!(errors[0].pointer, pointer, "{wrong}: {errors:?}");
        }
    }
}
