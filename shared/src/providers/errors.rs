//! Errors as providers write them: in the body of an HTTP response, or in an event of a stream.

use reqwest::StatusCode;
use serde_json::Value;

use super::{Fault, ProviderError};

/// Words in a type or a code that stand for an error that the same request meets again, in lower case and without underscores.
const PERMANENT: [&str; 16] = [
    "badrequest",
    "invalidrequest",
    "invalidargument",
    "invalidparameter",
    "invalidprompt",
    "validation",
    "accessdenied",
    "unrecognizedclient",
    "invalidapikey",
    "authentication",
    "unauthenticated",
    "permission",
    "notfound",
    "unprocessable",
    "contextlength",
    "datainspection",
];

/// What a provider reports.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    message: Option<String>,
    /// The HTTP status that a number names.
    status: Option<StatusCode>,
    /// The provider's own code, if it is a word.
    code: Option<String>,
    /// The kind of the error, such as `BadRequestError`.
    kind: Option<String>,
}

/// The provider's own sentence in a JSON body, with its code. Other bodies, such as HTML pages, are not quoted.
pub(super) fn in_body(body: &[u8]) -> Option<String> {
    Report::read(&serde_json::from_slice(body).ok()?)?.sentence()
}

/// The error that an event reports.
pub(super) fn in_stream(data: &str) -> ProviderError {
    let report = match serde_json::from_str(data) {
        Ok(json) => Report::read(&json).unwrap_or_default(),
        Err(_) => Report { message: Some(data.to_owned()), ..Report::default() },
    };
    let fault = if report.is_permanent() { Fault::Rejected } else { Fault::ReportedError };
    let status = report.status.map(|status| status.as_u16());
    let error = match report.sentence() {
        Some(sentence) => ProviderError::new(fault, format!("the provider reported an error in its stream: {sentence}")),
        None => ProviderError::new(fault, "the provider reported an error without a message"),
    };
    error.with_status(status)
}

/// Whether an event without output reports an error.
pub(super) fn is_error(data: &str) -> bool {
    let Ok(json) = serde_json::from_str::<Value>(data) else { return false };
    if let Value::Array(list) = &json {
        return list.first().is_some_and(|first| is_given(&first["error"]));
    }
    let is_named = ["error", "detail", "error_message", "error_type"].iter().any(|name| is_given(&json[name]));
    is_named || json["object"] == "error" || (is_given(&json["message"]) && is_given(&json["code"]))
}

/// The fault that an HTTP status stands for.
pub(super) const fn fault(status: StatusCode) -> Fault {
    match status.as_u16() {
        429 => Fault::RateLimited,
        // 424 is Bedrock's ModelErrorException.
        408 | 409 | 424 | 425 | 500..=599 => Fault::Unavailable,
        _ => Fault::Rejected,
    }
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

impl Report {
    /// Reads the forms of OpenAI, vLLM, Gemini, `FastAPI`, `DashScope`, AWS and others. `None`: it is none of them.
    fn read(json: &Value) -> Option<Self> {
        match json {
            Value::String(text) if !text.is_empty() => Some(Self { message: Some(text.clone()), ..Self::default() }),
            Value::Array(list) => list.first().and_then(Self::read),
            Value::Object(_) => match ["error", "errors"].iter().map(|name| &json[name]).find(|inner| is_given(inner)) {
                Some(inner) => Some(Self::read(inner)?.or(Self::of_fields(json))),
                None => Some(Self::of_fields(json)),
            },
            _ => None,
        }
    }

    fn of_fields(json: &Value) -> Self {
        let word = |names: &[&str]| {
            let text = names.iter().find_map(|name| json[name].as_str())?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let number = |name: &&str| json[name].as_u64().or_else(|| json[name].as_str()?.parse().ok());
        let status = ["code", "status_code", "status"].iter().find_map(number);
        Self {
            message: word(&["message", "Message", "msg", "detail", "error_message"]).or_else(|| invalid_fields(&json["detail"])),
            status: status.and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok()),
            code: word(&["code"]).filter(|code| code.parse::<u64>().is_err()),
            kind: word(&["type", "error_type", "status"]),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            message: self.message.or(other.message),
            status: self.status.or(other.status),
            code: self.code.or(other.code),
            kind: self.kind.or(other.kind),
        }
    }

    fn is_permanent(&self) -> bool {
        let words = [&self.kind, &self.code].into_iter().flatten().map(|word| word.to_lowercase().replace('_', ""));
        let is_named = || words.into_iter().any(|word| PERMANENT.iter().any(|permanent| word.contains(permanent)));
        self.status.map_or_else(is_named, |status| fault(status) == Fault::Rejected)
    }

    fn sentence(self) -> Option<String> {
        match (self.message, self.code) {
            (Some(message), Some(code)) if !message.contains(&code) => Some(format!("{message} ({code})")),
            (message, code) => message.or(code),
        }
    }
}

/// `FastAPI`'s list of wrong fields: `body.stream_options: Extra inputs are not permitted`.
fn invalid_fields(detail: &Value) -> Option<String> {
    let field = |wrong: &Value| {
        let name = |part: &Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        let place: Vec<String> = wrong["loc"].as_array()?.iter().map(name).collect();
        Some(format!("{}: {}", place.join("."), wrong["msg"].as_str()?))
    };
    let fields: Vec<String> = detail.as_array()?.iter().filter_map(field).collect();
    (!fields.is_empty()).then(|| fields.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_is_quoted_from_every_form() {
        for (body, sentence) in [
            (r#"{"error":{"message":"boom","code":"c"}}"#, "boom (c)"),
            (r#"{"error":{"message":"boom c","code":"c"}}"#, "boom c"),
            (r#"{"error":"boom"}"#, "boom"),
            (r#"{"error":{"code":"c"}}"#, "c"),
            (r#"{"error":{"type":"t"},"message":"boom"}"#, "boom"),
            (r#"[{"error":{"code":400,"message":"boom","status":"INVALID_ARGUMENT"}}]"#, "boom"),
            (r#"{"object":"error","message":"boom","code":400}"#, "boom"),
            (r#"{"errors":[{"message":"boom"},{"message":"bang"}]}"#, "boom"),
            (r#"{"Message":"boom"}"#, "boom"),
            (r#"{"detail":"boom"}"#, "boom"),
            (r#"{"error_type":"BadRequestError","error_message":"boom"}"#, "boom"),
            (r#"{"code":"DataInspectionFailed","message":"boom"}"#, "boom (DataInspectionFailed)"),
            (r#"{"detail":[{"loc":["body","a",0],"msg":"no"},{"loc":["b"],"msg":"nor"}]}"#, "body.a.0: no; b: nor"),
        ] {
            assert_eq!(in_body(body.as_bytes()).as_deref(), Some(sentence), "{body}");
        }
        for body in ["", "<html>", "7", "null", "[]", "{}", r#"{"error":{}}"#, r#"{"detail":[7]}"#] {
            assert_eq!(in_body(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn permanent_errors_are_known_by_number_or_word() {
        for (data, is_permanent) in [
            (r#"{"error":{"code":400}}"#, true),
            (r#"{"error":{"code":"404","type":"server_error"}}"#, true),
            (r#"{"error":{"code":429,"type":"invalid_request_error"}}"#, false),
            (r#"{"error_type":"BadRequestError","error_message":"boom"}"#, true),
            (r#"{"error":{"status":"PERMISSION_DENIED"}}"#, true),
            (r#"{"error":{"type":"overloaded_error"}}"#, false),
            ("boom", false),
        ] {
            assert_eq!(in_stream(data).fault == Fault::Rejected, is_permanent, "{data}");
        }
    }
}
