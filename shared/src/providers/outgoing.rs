//! What a dialect sends, and what rendering it shares.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::generation::request::Request;

/// Options of OpenAI's API that other dialects refuse, and which its clients send all the same.
const FOREIGN_OPTIONS: [&str; 8] = [
    "frequency_penalty",
    "logit_bias",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "safety_identifier",
    "user",
];

/// The caller's options, for a dialect that is not OpenAI's.
pub(super) fn without_foreign_options(options: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    options.iter().filter(|(name, _)| !FOREIGN_OPTIONS.contains(&name.as_str()))
}

/// What a segment of a path cannot hold.
const OUTSIDE_OF_SEGMENTS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one segment of a path. Names come from callers and providers, and the key is sent to whatever the path names.
pub(super) fn path_segment(name: &str) -> String {
    utf8_percent_encode(name, OUTSIDE_OF_SEGMENTS).to_string()
}

/// A request in a dialect.
pub(super) struct Outgoing {
    /// The path behind the base URL.
    pub path: String,
    /// Header fields of the dialect.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body of a POST; `None`: a GET.
    pub body: Option<Value>,
}

impl Outgoing {
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { path: path.into(), headers: Vec::new(), body: Some(body) }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), headers: Vec::new(), body: None }
    }
}

/// The tools of a request, and its choice among them, for an API that has no list of allowed tools: the others are left out, and the
/// choice is the list's mode.
pub(super) fn tools_and_choice(request: &Request) -> (Vec<Value>, Option<Value>) {
    let mut tools = request.tools.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(allowed) = request.tool_choice.as_ref().and_then(|choice| choice.get("allowed_tools")) else {
        return (tools, request.tool_choice.clone());
    };
    let name = |tool: &Value| tool.pointer("/function/name").cloned();
    let names: Vec<Value> = allowed["tools"].as_array().into_iter().flatten().filter_map(name).collect();
    tools.retain(|tool| name(tool).is_some_and(|name| names.contains(&name)));
    (tools, Some(allowed["mode"].clone()).filter(Value::is_string))
}

/// Puts fields that have a value into an object.
pub(super) fn fill<const N: usize>(object: &mut Value, optional: [(&str, Option<Value>); N]) {
    for (name, value) in optional {
        if let Some(value) = value {
            object[name] = value;
        }
    }
}

/// The request's stop sequences as a list, which it may have as one string.
pub(super) fn stop_sequences(request: &Request) -> Option<Value> {
    request.stop.clone().map(|stop| if stop.is_array() { stop } else { json!([stop]) })
}

/// A tool call's arguments for an API that takes objects only. Arguments that are no JSON object were cut off.
pub(super) fn arguments_object(arguments: &str) -> Map<String, Value> {
    serde_json::from_str(arguments).unwrap_or_default()
}

/// The media type and the base64 text of a `data:` URL; `None` for another URL.
pub(super) fn inline_data(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// Messages of these authors. What one author says in a row becomes one message, and an author who says nothing has none. `parts` is
/// the name of the field for what is said.
pub(super) fn turns(said: impl Iterator<Item = (&'static str, Vec<Value>)>, parts: &str) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for (role, said) in said {
        match turns.last_mut().filter(|(last, _)| *last == role) {
            Some((_, last)) => last.extend(said),
            None => turns.push((role, said)),
        }
    }
    let filled = turns.into_iter().filter(|(_, said)| !said.is_empty());
    filled.map(|(role, said)| json!({ "role": role, parts: said })).collect()
}
