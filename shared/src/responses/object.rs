//! The response object: the fields of the request, and the state that the events add.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::ids::ResponseId;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::generation::usage::Usage;
use crate::log::event::End;
use crate::providers::{flat_function, text_format};

/// When a response was created and when it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moments {
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// The same, of the terminal event; `None` before it.
    pub ended_ms: Option<i64>,
}

/// The part of a response object that stays the same from its first to its last snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    id: ResponseId,
    created_ms: i64,
    background: bool,
    custom_tools: BTreeSet<String>,
    summarizes: bool,
    fixed: Map<String, Value>,
}

impl Snapshot {
    /// For a request, whether it came through this API or not.
    #[must_use]
    pub fn new(id: ResponseId, created_ms: i64, request: &Request) -> Self {
        let own = request.responses.as_deref();
        // A generation that `/v1/generations` started runs in the background.
        let background = own.is_none_or(|own| own.background);
        let summary = own.and_then(|own| own.echo.get("reasoning")?.get("summary"));
        Self {
            id,
            created_ms,
            background,
            custom_tools: request.custom_tools(),
            summarizes: summary.is_some_and(|summary| !summary.is_null()),
            fixed: fixed(request),
        }
    }

    /// Whether a tool of this name takes text where functions take JSON.
    pub(super) fn is_custom(&self, tool: &str) -> bool {
        self.custom_tools.contains(tool)
    }

    /// Whether the caller asked for summaries of the reasoning, and so reads it as such.
    pub(super) const fn summarizes(&self) -> bool {
        self.summarizes
    }

    /// The response's id.
    #[must_use]
    pub const fn id(&self) -> &ResponseId {
        &self.id
    }

    /// The object before the end: `status` is `queued` or `in_progress`.
    #[must_use]
    pub(super) fn open(&self, has_begun: bool, output: Vec<Value>) -> Value {
        let status = if has_begun || !self.background { "in_progress" } else { "queued" };
        self.object(status, None, None, output)
    }

    /// The object at its end.
    #[must_use]
    pub(super) fn ended(&self, status: Status, end: &End, ended_ms: Option<i64>, output: Vec<Value>) -> Value {
        let completed_ms = ended_ms.filter(|_| status == Status::Completed);
        self.object(status.as_str(), Some((status, end)), completed_ms, output)
    }

    fn object(&self, status: &str, end: Option<(Status, &End)>, completed_ms: Option<i64>, output: Vec<Value>) -> Value {
        let mut object = Map::with_capacity(40);
        let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
        set("id", self.id.to_string().into());
        set("object", "response".into());
        set("created_at", (self.created_ms / 1_000).into());
        set("status", status.into());
        set("background", self.background.into());
        set("completed_at", completed_ms.map_or(Value::Null, |at| (at / 1_000).into()));
        set("error", end.map_or(Value::Null, |(status, end)| error(status, end)));
        set("incomplete_details", end.map_or(Value::Null, |(status, end)| incomplete_details(status, end)));
        set("output", output.into());
        set("usage", end.map_or(Value::Null, |(_, end)| usage(end.usage.unwrap_or_default().total)));
        object.extend(self.fixed.clone());
        object.into()
    }
}

fn fixed(request: &Request) -> Map<String, Value> {
    let own = request.responses.as_deref();
    let echoed = |name: &str| own.and_then(|own| own.echo.get(name)).cloned();
    let mut text = json!({ "format": text_format(request.response_format.as_ref()) });
    text["verbosity"] = echoed("verbosity").unwrap_or_else(|| "medium".into());
    let tools: Vec<Value> = request.tools.as_ref().and_then(Value::as_array).into_iter().flatten().map(flat_function).collect();
    let mut reasoning = json!({ "effort": null, "summary": null });
    for (name, value) in echoed("reasoning").as_ref().and_then(Value::as_object).into_iter().flatten() {
        reasoning[name] = value.clone();
    }
    let model = own.map_or(&request.model, |own| &own.model);
    let fields = json!({
        "instructions": request.instructions,
        "model": model,
        "metadata": request.metadata,
        "temperature": request.temperature.unwrap_or(1.0),
        "top_p": request.top_p.unwrap_or(1.0),
        "max_output_tokens": request.max_output_tokens,
        "tools": tools,
        "tool_choice": request.tool_choice.as_ref().map_or_else(|| "auto".into(), flat_function),
        "text": text,
        "reasoning": reasoning,
        "store": own.is_none_or(|own| own.store),
        "parallel_tool_calls": echoed("parallel_tool_calls").unwrap_or(true.into()),
        "truncation": echoed("truncation").unwrap_or_else(|| "disabled".into()),
        "service_tier": echoed("service_tier").unwrap_or_else(|| "default".into()),
        "top_logprobs": echoed("top_logprobs").unwrap_or(0.into()),
        "max_tool_calls": echoed("max_tool_calls"),
        "prompt_cache_key": echoed("prompt_cache_key"),
        "safety_identifier": echoed("safety_identifier"),
        "user": echoed("user"),
        "previous_response_id": echoed("previous_response_id"),
        "conversation": null,
        "prompt": null,
    });
    if let Value::Object(fields) = fields { fields } else { Map::new() }
}

/// The client libraries' types have a closed set of codes, so the generation's own code is added to the message.
fn error(status: Status, end: &End) -> Value {
    if status != Status::Failed {
        return Value::Null;
    }
    let reason = end.reason.as_deref().unwrap_or("failed");
    let (code, kind) = match reason {
        "rate_limited" => ("rate_limit_exceeded", "rate_limit_error"),
        "provider_rejected" => ("invalid_prompt", "invalid_request_error"),
        _ => ("server_error", "server_error"),
    };
    let message = end.message.as_deref().unwrap_or("the response could not be finished");
    json!({ "code": code, "type": kind, "message": format!("{message} ({reason})") })
}

fn incomplete_details(status: Status, end: &End) -> Value {
    if status != Status::Incomplete {
        return Value::Null;
    }
    json!({ "reason": end.reason.as_deref().unwrap_or("max_output_tokens") })
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": { "cached_tokens": usage.cached_tokens, "cache_write_tokens": 0 },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
        "total_tokens": usage.total_tokens,
    })
}
