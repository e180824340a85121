//! Going on with an answer that was begun: which providers can, and with which requests.

use serde::Deserialize;

use crate::generation::request::Request;

/// Options under which a request is not continued: they constrain the output from its first character, or take the form of the
/// continuation for themselves. Names of vLLM (`extra_body`) and llama.cpp.
const OPTIONS_IN_THE_WAY: [&str; 16] = [
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

/// How a provider is asked to go on from a text: it is sent again as the last message, the assistant's. Neither of the two
/// repeats that text in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuation {
    /// Nothing more is said: llama.cpp goes on from a trailing assistant message (its pull request 13174).
    TrailingAssistant,
    /// `continue_final_message: true` and `add_generation_prompt: false`: vLLM (its pull request 8942), and others after it.
    ContinueFinalMessage,
}

/// Whether what a provider says behind a prefix continues the answer to this request, and does not begin another.
/// `in_format`: the provider's grammar for a `response_format` goes on from the prefix too.
#[must_use]
pub fn can_be_continued(request: &Request, in_format: bool) -> bool {
    let is_constrained = request.response_format.as_ref().is_some_and(|format| format["type"] != "text");
    // A conversation that ends with the assistant is a continuation already, by the caller's own prefix.
    let ends_with_assistant = request.chat_messages().last().is_some_and(|message| message["role"] == "assistant");
    request.tools.is_none()
        && (in_format || !is_constrained)
        && !ends_with_assistant
        && !OPTIONS_IN_THE_WAY.iter().any(|name| request.provider_options.contains_key(*name))
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
    fn only_what_a_prefix_says_in_full_is_continued() {
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
