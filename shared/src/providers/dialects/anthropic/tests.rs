//! Requests as the Messages API takes them, and streams as it sends them.

#![expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]

use proptest::prelude::*;

use super::*;
use crate::providers::decode::deltas;
use crate::providers::dialects::reading::{self, Read};
use crate::providers::{Fault, FinishMeaning};

fn upstream(request: Value) -> Value {
    let mut whole = json!({ "model": "claude-sonnet-5", "provider": "anthropic" });
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    body(&serde_json::from_value(whole).unwrap())
}

#[test]
fn conversation_becomes_blocks() {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } });
    let rendered = upstream(json!({
        "instructions": "Be brief.",
        "messages": [
            { "role": "system", "content": "And kind." },
            { "role": "user", "content": [{ "type": "text", "text": "Look", "cache_control": { "type": "ephemeral" } }, image] },
            { "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c1", "content": "1" },
            { "role": "user", "content": "And now?" },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
        "tool_choice": "required", "stop": "FIN", "temperature": 0.5, "seed": 7, "max_output_tokens": 9,
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } },
        "provider_options": { "thinking": { "type": "adaptive" }, "user": "u", "parallel_tool_calls": false, "stream": false },
    }));
    let expected = json!({
        "model": "claude-sonnet-5", "max_tokens": 9,
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "Look", "cache_control": { "type": "ephemeral" } },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AA==" } },
            ] },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "c1", "name": "f", "input": { "a": 1 } }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "c1", "content": [{ "type": "text", "text": "1" }] },
                { "type": "text", "text": "And now?" },
            ] },
        ],
        "system": "Be brief.\n\nAnd kind.", "temperature": 0.5, "stop_sequences": ["FIN"],
        "tools": [{ "name": "f", "input_schema": { "type": "object" } }],
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
        "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } },
        "thinking": { "type": "adaptive" }, "stream": true,
    });
    assert_eq!(rendered, expected);
}

/// The API has no list of allowed tools.
#[test]
fn tools_that_are_not_allowed_are_left_out() {
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
    let allowed = json!({ "mode": "required", "tools": [tool("g")] });
    let choice = json!({ "type": "allowed_tools", "allowed_tools": allowed });
    let body = upstream(json!({ "prompt": "a", "tools": [tool("f"), tool("g")], "tool_choice": choice }));
    assert_eq!(body["tools"], json!([{ "name": "g", "input_schema": { "type": "object" } }]));
    assert_eq!(body["tool_choice"], json!({ "type": "any" }));
}

#[test]
fn sampling_is_left_out_where_the_model_refuses_it() {
    for (model, refuses) in [
        ("claude-opus-4-6", false),
        ("claude-opus-4-20250514", false),
        ("claude-opus-4-7", true),
        ("claude-opus-5-5-20261001", true),
        ("us.anthropic.claude-opus-5", true),
        ("claude-sonnet-5", false),
        ("claude-opus-latest", false),
    ] {
        let body = upstream(json!({ "model": model, "prompt": "Hola", "temperature": 1, "top_p": 1 }));
        assert_eq!((body.get("temperature").is_none(), body.get("top_p").is_none()), (refuses, refuses), "{model}");
    }
    assert_eq!(upstream(json!({ "prompt": "Hola" }))["max_tokens"], MAX_TOKENS);
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or("x"))
}

fn start() -> String {
    event(&json!({ "type": "message_start", "message": { "id": "m1", "model": "claude-x", "content": [], "stop_reason": null,
        "usage": { "input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 1, "output_tokens": 1 } } }))
}

fn begin(index: u32, block: Value) -> String {
    event(&json!({ "type": "content_block_start", "index": index, "content_block": block }))
}

fn delta(index: u32, delta: Value) -> String {
    event(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))
}

fn end(index: u32) -> String {
    event(&json!({ "type": "content_block_stop", "index": index }))
}

fn stop(reason: &str) -> String {
    let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 15 } });
    [event(&delta), event(&json!({ "type": "message_stop" }))].concat()
}

fn read(body: &str, cuts: &[usize]) -> Read {
    reading::read(body.as_bytes(), cuts, |body| deltas(body, String::new(), Decoder::default()))
}

#[test]
fn whole_message_is_read() {
    let body = [
        start(),
        event(&json!({ "type": "ping" })),
        begin(0, json!({ "type": "thinking", "thinking": "" })),
        delta(0, json!({ "type": "thinking_delta", "thinking": "hm" })),
        delta(0, json!({ "type": "signature_delta", "signature": "xyz" })),
        end(0),
        begin(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "Uno " })),
        delta(1, json!({ "type": "citations_delta", "citation": { "cited_text": "NO" } })),
        delta(1, json!({ "type": "text_delta", "text": "@" })).replace('@', "\\ud83d"),
        delta(1, json!({ "type": "text_delta", "text": "@" })).replace('@', "\\ude00"),
        end(1),
        begin(2, json!({ "type": "tool_use", "id": "c1", "name": "f", "input": {} })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "" })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": "{\"a\"" })),
        delta(2, json!({ "type": "input_json_delta", "partial_json": ":0}" })),
        end(2),
        begin(3, json!({ "type": "tool_use", "id": "c2", "name": "g", "input": { "b": 1 } })),
        end(3),
        event(&json!({ "type": "novelty", "delta": { "x": 1 } })),
        stop("tool_use"),
    ];
    let call = |id: &str, name: &str, arguments: &str| (Some(id.to_owned()), Some(name.to_owned()), arguments.to_owned());
    let expected = Read {
        text: "Uno 😀".into(),
        reasoning: "hm".into(),
        calls: vec![call("c1", "f", "{\"a\":0}"), call("c2", "g", "{\"b\":1}")],
        usage: Some((9, 3, 15)),
        finish: Some(("tool_use".into(), Some(FinishMeaning::Completed))),
        fault: None,
    };
    assert_eq!(read(&body.concat(), &[]), expected);
}

/// A gateway that numbers its blocks anew gives several calls one index: each is a call of its own.
#[test]
fn calls_at_one_index_are_different_calls() {
    let call = |index: u32, id: &str| begin(index, json!({ "type": "tool_use", "id": id, "name": "f", "input": {} }));
    let arguments = |index: u32, json: &str| delta(index, json!({ "type": "input_json_delta", "partial_json": json }));
    let body = [
        start(),
        call(0, "c1"),
        arguments(0, "\"@").replace('@', "\\ud83d"),
        call(0, "c2"),
        arguments(0, "2"),
        call(1, "c3"),
        arguments(1, "3"),
        stop("tool_use"),
    ];
    let read = read(&body.concat(), &[]);
    let calls = [("c1", "\"\u{fffd}"), ("c2", "2"), ("c3", "3")];
    let calls = calls.map(|(id, arguments)| (Some(id.to_owned()), Some("f".to_owned()), arguments.to_owned()));
    assert_eq!((read.calls, read.fault), (calls.to_vec(), None));
}

#[test]
fn ends_are_told_apart() {
    let begun = [start(), begin(0, json!({ "type": "text", "text": "Uno" }))].concat();
    let ended = |ending: &str| {
        let read = read(&format!("{begun}{ending}"), &[]);
        (read.text, read.finish.and_then(|(_, meaning)| meaning), read.fault)
    };
    let error = |kind: &str| event(&json!({ "type": "error", "error": { "type": kind, "message": "boom" } }));
    let uno = || "Uno".to_owned();
    assert_eq!(ended(&stop("max_tokens")), (uno(), Some(FinishMeaning::MaxOutputTokens), None));
    assert_eq!(ended(&stop("refusal")), (uno(), Some(FinishMeaning::ContentFilter), None));
    assert_eq!(ended(&stop("pause_turn")), (uno(), None, None));
    assert_eq!(ended(""), (uno(), None, None), "no stop reason");
    assert_eq!(ended(&error("overloaded_error")), (uno(), None, Some(Fault::ReportedError)));
    assert_eq!(ended(&error("invalid_request_error")), (uno(), None, Some(Fault::Rejected)));
    assert_eq!(ended("data: {\"choices\":[]}\n\n"), (uno(), None, Some(Fault::NotAStream)));
    assert_eq!(ended("data: {\"error\":{\"message\":\"boom\"}}\n\n"), (uno(), None, Some(Fault::ReportedError)));
    assert_eq!(ended("data: {no\n\n"), (uno(), None, Some(Fault::Unreadable)));
    assert_eq!(ended(&format!("{}data: {{no\n\n", stop("end_turn"))), (uno(), Some(FinishMeaning::Completed), None));
}

proptest! {
    #[test]
    fn reads_do_not_change_the_deltas(
        pieces in prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let texts: String = pieces.iter().map(|piece| delta(0, json!({ "type": "text_delta", "text": piece }))).collect();
        let body = [start(), begin(0, json!({ "type": "text", "text": "" })), texts, end(0), stop("end_turn")].concat();
        let read = read(&body, &cuts);
        prop_assert_eq!((read.text, read.fault), (pieces.concat(), None));
        prop_assert_eq!(read.finish, Some(("end_turn".to_owned(), Some(FinishMeaning::Completed))));
    }
}
