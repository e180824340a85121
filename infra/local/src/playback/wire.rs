//! Renders the `OpenAI` chat completion stream.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Usage;

const DONE: &str = "data: [DONE]\n\n";

/// Renders the chunks of one completion. The shared part is rendered once, because a completion may have millions of chunks.
#[derive(Debug)]
pub struct Dialect {
    head: String,
    with_usage: bool,
}

impl Dialect {
    /// The dialect for `request`; `number` makes the completion's id unique.
    pub fn new(request: &Value, number: u64, model: &str) -> Self {
        let model = request.get("model").and_then(Value::as_str).unwrap_or(model);
        let (id, model) = (json!(format!("chatcmpl-{number}")), json!(model));
        let head = format!(r#"data: {{"id":{id},"object":"chat.completion.chunk","created":{},"model":{model},"#, now());
        let with_usage = request.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
        Self { head, with_usage }
    }

    /// The first chunk, with the role.
    pub fn role(&self) -> String {
        self.chunk(r#"{"role":"assistant","content":""}"#, "null")
    }

    /// A chunk with one delta of text.
    pub fn content(&self, text: &str) -> String {
        self.chunk(&format!(r#"{{"content":{}}}"#, Value::from(text)), "null")
    }

    /// The chunks after the last delta.
    pub fn ending(&self, finish_reason: &str, usage: Usage) -> String {
        let finish = self.chunk("{}", &Value::from(finish_reason).to_string());
        let usage = if self.with_usage { self.usage(usage) } else { String::new() };
        finish + &usage + DONE
    }

    fn usage(&self, Usage { prompt_tokens, completion_tokens }: Usage) -> String {
        let total_tokens = prompt_tokens + completion_tokens;
        let usage = json!({"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total_tokens});
        format!("{}\"choices\":[],\"usage\":{usage}}}\n\n", self.head)
    }

    fn chunk(&self, delta: &str, finish_reason: &str) -> String {
        let usage = if self.with_usage { r#","usage":null"# } else { "" };
        let choice = format!(r#"{{"index":0,"delta":{delta},"finish_reason":{finish_reason}}}"#);
        format!("{}\"choices\":[{choice}]{usage}}}\n\n", self.head)
    }
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
