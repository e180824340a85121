//! The chat completions dialect, chunk by chunk, as a provider writes it.

use serde_json::{Value, json};

/// What ends a stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// An event with this JSON.
pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A chunk with this delta.
#[expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]
pub fn delta(delta: Value) -> String {
    chunk(&json!([{ "index": 0, "delta": delta, "finish_reason": null }]))
}

/// A chunk with these choices.
pub fn chunk(choices: &Value) -> String {
    event(&json!({ "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-2", "choices": choices }))
}

/// The chunk that comes first.
pub fn role() -> String {
    delta(json!({ "role": "assistant", "content": "" }))
}

/// A piece of the answer.
pub fn text(text: &str) -> String {
    delta(json!({ "content": text }))
}

/// A piece of the answer whose JSON string is written as given: escapes stay as they are.
pub fn escaped(text: &str) -> String {
    self::text("@").replace('@', text)
}

/// The finish reason.
pub fn finish(reason: &str) -> String {
    chunk(&json!([{ "index": 0, "delta": {}, "finish_reason": reason }]))
}

/// Tokens: 7 for the prompt, 3 for the answer. `choices` is what servers differ in.
#[expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]
pub fn usage(choices: Value) -> String {
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
    event(
        &json!({ "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-2", "choices": choices, "usage": usage }),
    )
}

/// The end of a well-behaved stream.
pub fn ending() -> String {
    [finish("stop"), usage(json!([])), DONE.to_owned()].concat()
}

/// A whole, well-behaved stream.
pub fn whole(texts: &[&str]) -> String {
    let texts: String = texts.iter().map(|piece| text(piece)).collect();
    [role(), texts, ending()].concat()
}
