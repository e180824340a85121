//! Requests as Gemini takes them, and streams as it sends them.

use proptest::prelude::*;

use super::*;
use crate::providers::decode::deltas;
use crate::providers::dialects::reading;
use crate::providers::{Fault, FinishMeaning};

fn upstream(request: &Value) -> Value {
    let mut whole = json!({ "model": "gemini-3-pro", "provider": "gemini" });
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let request = serde_json::from_value(whole).unwrap();
    assert_eq!(outgoing(&request).path, "/models/gemini-3-pro:streamGenerateContent?alt=sse");
    body(&request)
}

#[test]
fn conversation_becomes_contents() {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } });
    let rendered = upstream(&json!({
        "instructions": "Be brief.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "Look" }, image] },
            { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c1", "content": "1" },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
        "tool_choice": "required", "stop": "FIN", "temperature": 0.5, "seed": 7, "max_output_tokens": 9,
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } },
        "provider_options": { "safetySettings": [], "user": "u" },
    }));
    let expected = json!({
        "contents": [
            { "role": "user", "parts": [{ "text": "Look" }, { "inlineData": { "mimeType": "image/png", "data": "AA==" } }] },
            { "role": "model", "parts": [{ "functionCall": { "name": "f", "args": { "a": 1 } } }] },
            { "role": "user", "parts": [{ "functionResponse": { "name": "f", "response": { "result": "1" } } }] },
        ],
        "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "generationConfig": {
            "temperature": 0.5, "maxOutputTokens": 9, "stopSequences": ["FIN"], "seed": 7,
            "responseMimeType": "application/json", "responseJsonSchema": { "type": "object" },
        },
        "tools": [{ "functionDeclarations": [{ "name": "f", "parametersJsonSchema": { "type": "object" } }] }],
        "toolConfig": { "functionCallingConfig": { "mode": "ANY" } },
        "safetySettings": [],
    });
    assert_eq!(rendered, expected);
}

#[test]
fn model_stays_within_its_segment_of_the_path() {
    let request = serde_json::from_value(json!({ "model": "../cachedContents?a=b#c/d%2e", "prompt": "p" })).unwrap();
    let path = outgoing(&request).path;
    assert_eq!(path, "/models/..%2FcachedContents%3Fa%3Db%23c%2Fd%252e:streamGenerateContent?alt=sse");
}

fn event(data: &Value) -> String {
    format!("data: {data}\r\n\r\n")
}

fn parts(parts: &Value, finish: &Value) -> String {
    event(&json!({ "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": finish }] }))
}

/// Text, reasoning, calls, the newest usage, what the finish means, and the fault.
type Read = (String, String, Vec<(String, String)>, Option<(u64, u64)>, Option<Option<FinishMeaning>>, Option<Fault>);

fn read(body: &str, cuts: &[usize]) -> Read {
    let read = reading::read(body.as_bytes(), cuts, |body| deltas(body, String::new(), Decoder::default()));
    let calls = read.calls.into_iter().map(|(_, name, arguments)| (name.unwrap_or_default(), arguments)).collect();
    let usage = read.usage.map(|(input, _, output)| (input, output));
    (read.text, read.reasoning, calls, usage, read.finish.map(|(_, meaning)| meaning), read.fault)
}

#[test]
fn whole_answer_is_read() {
    let usage = json!({ "promptTokenCount": 4, "candidatesTokenCount": 9, "thoughtsTokenCount": 3, "totalTokenCount": 16 });
    let body = [
        event(
            &json!({ "candidates": [{ "content": { "parts": [{ "text": "Uno " }] } }], "usageMetadata": { "trafficType": "X" } }),
        ),
        parts(&json!([{ "text": "plan", "thought": true }]), &json!("CONTINUATION")),
        parts(&json!([{ "text": "dos" }, { "functionCall": { "name": "f", "args": { "a": 0 } } }]), &Value::Null),
        event(
            &json!({ "candidates": [{ "content": { "parts": [{ "text": "", "thoughtSignature": "x" }] }, "finishReason": "STOP" }], "usageMetadata": usage }),
        ),
    ];
    let calls = vec![("f".to_owned(), "{\"a\":0}".to_owned())];
    let expected = ("Uno dos".into(), "plan".into(), calls, Some((4, 12)), Some(Some(FinishMeaning::Completed)), None);
    assert_eq!(read(&body.concat(), &[]), expected);
}

#[test]
fn ends_are_told_apart() {
    let ended = |ending: &str| {
        let (text, .., finish, fault) = read(&[&parts(&json!([{ "text": "Uno" }]), &Value::Null), ending].concat(), &[]);
        assert_eq!(text, "Uno");
        (finish, fault)
    };
    let finish = |word: &str| parts(&json!([]), &json!(word));
    assert_eq!(ended(&finish("MAX_TOKENS")), (Some(Some(FinishMeaning::MaxOutputTokens)), None));
    assert_eq!(ended(&finish("RECITATION")), (Some(Some(FinishMeaning::ContentFilter)), None));
    assert_eq!(ended(&finish("OTHER")), (Some(None), None));
    assert_eq!(ended(&finish("CONTINUATION")), (None, None), "no end");
    assert_eq!(ended(&finish("MALFORMED_FUNCTION_CALL")), (Some(Some(FinishMeaning::Failed)), Some(Fault::ReportedError)));
    assert_eq!(ended(""), (None, None));
    let error = json!({ "error": { "code": 503, "message": "overloaded", "status": "UNAVAILABLE" } });
    assert_eq!(ended(&event(&error)), (None, Some(Fault::ReportedError)));
    assert_eq!(ended(&event(&json!([{ "error": { "code": 400, "message": "no" } }]))), (None, Some(Fault::Rejected)));
    assert_eq!(ended(&event(&json!({ "choices": [] }))), (None, Some(Fault::NotAStream)));
    let blocked = read(&event(&json!({ "promptFeedback": { "blockReason": "SAFETY" } })), &[]);
    assert_eq!((blocked.4, blocked.5), (Some(Some(FinishMeaning::ContentFilter)), None));
}

proptest! {
    #[test]
    fn reads_do_not_change_the_deltas(
        pieces in prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let texts: String = pieces.iter().map(|piece| parts(&json!([{ "text": piece }]), &Value::Null)).collect();
        let read = read(&[texts, parts(&json!([]), &json!("STOP"))].concat(), &cuts);
        prop_assert_eq!((read.0, read.4, read.5), (pieces.concat(), Some(Some(FinishMeaning::Completed)), None));
    }
}
