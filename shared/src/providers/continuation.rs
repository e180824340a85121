//! Resuming an interrupted answer: which providers can, and for which requests.

use serde::Deserialize;

use crate::generation::request::Request;

/// Options that prevent a continuation: they constrain the output from its first character, or use the fields that a continuation
/// needs. Names from vLLM (`extra_body`) and llama.cpp.
const BLOCKING_OPTIONS: [&str; 16] = [
    "grammar",
    "json_schema",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "response_format",
    "tools",
    "functions",
    "messages",
    "n",
    "echo",
    "continue_final_message",
    "add_generation_prompt",
    "logprobs",
];

/// How a provider continues an answer. For all kinds but the last, the text so far is sent as the last message, with the role
/// `assistant`, and the stream does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuation {
    /// The message alone: llama.cpp continues a trailing assistant message (its pull request 13174).
    TrailingAssistant,
    /// `continue_final_message: true` and `add_generation_prompt: false`: vLLM (its pull request 8942) and others.
    ContinueFinalMessage,
    /// `prefix: true` in the message: `DeepSeek`, at its base URL `https://api.deepseek.com/beta`
    /// (<https://api-docs.deepseek.com/guides/chat_prefix_completion>), and Mistral
    /// (<https://docs.mistral.ai/capabilities/completion/#prefix>).
    PrefixFlag,
    /// No text is sent: the provider keeps the response and works on without a reader, and the next attempt reads it behind the last
    /// event (`background: true`, then `GET /responses/{id}?stream=true&starting_after=N`:
    /// <https://developers.openai.com/api/docs/guides/background>). Nothing is generated, or paid, twice.
    Retrieve,
}

/// Whether a provider's output after a prefix continues the answer to this request, rather than beginning another.
/// `in_format`: the provider can also continue within a `response_format`.
#[must_use]
pub fn can_be_continued(request: &Request, in_format: bool) -> bool {
    let is_constrained = request.response_format.as_ref().is_some_and(|format| format["type"] != "text");
    // A conversation that ends with the assistant already is a continuation, of the caller's own prefix.
    let ends_with_assistant = request.conversation().ends_with_assistant();
    request.tools.is_none()
        && (in_format || !is_constrained)
        && !ends_with_assistant
        && !BLOCKING_OPTIONS.iter().any(|name| request.provider_options.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(extra: &Value) -> Request {
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hola" }] });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn only_unconstrained_text_is_continued() {
        assert!(can_be_continued(&request(&json!({})), false));
        assert!(can_be_continued(&request(&json!({ "response_format": { "type": "text" } })), false));
        assert!(can_be_continued(&request(&json!({ "provider_options": { "top_k": 40 } })), false));
        let format = json!({ "response_format": { "type": "json_object" } });
        assert!(!can_be_continued(&request(&format), false));
        assert!(can_be_continued(&request(&format), true));
        let refused = [
            json!({ "tools": [] }),
            json!({ "provider_options": { "grammar": "root ::= \"a\"" } }),
            json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }] }),
        ];
        for extra in refused {
            assert!(!can_be_continued(&request(&extra), true), "{extra}");
        }
    }
}
