//! Requests as `ConverseStream` takes them, and streams as it sends them. The fixtures are framed by the encoder of AWS's own crate.

#![expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use super::*;
use crate::providers::decode::decoded;
use crate::providers::dialects::reading::{self, Read};
use crate::providers::event_stream::frames;
use crate::providers::{Fault, FinishMeaning, OwnFinishWords};

fn sent(request: Value) -> Value {
    let mut whole = json!({ "model": "us.amazon.nova-pro-v1:0", "provider": "bedrock" });
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let outgoing = outgoing(&serde_json::from_value(whole).unwrap());
    assert_eq!(outgoing.path, "/model/us.amazon.nova-pro-v1%3A0/converse-stream");
    outgoing.body.unwrap()
}

#[test]
fn conversation_becomes_blocks() {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/jpg;base64,AA==" } });
    let file = json!({ "type": "file", "file": { "file_data": "BB==", "filename": "plan_v2.docx" } });
    let rendered = sent(json!({
        "instructions": "Be brief.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "Look" }, image.clone(), file] },
            { "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c1", "content": [{ "type": "text", "text": "1" }, image] },
            { "role": "user", "content": "And now?" },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object" } } }],
        "tool_choice": "required", "stop": "FIN", "temperature": 0.5, "top_p": 1, "seed": 7, "max_output_tokens": 9,
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } },
        "provider_options": { "additionalModelRequestFields": { "top_k": 40 }, "user": "u", "parallel_tool_calls": false },
    }));
    let image = json!({ "image": { "format": "jpeg", "source": { "bytes": "AA==" } } });
    let expected = json!({
        "messages": [
            { "role": "user", "content": [
                { "text": "Look" },
                image.clone(),
                { "document": { "format": "docx", "name": "plan v2", "source": { "bytes": "BB==" } } },
            ] },
            { "role": "assistant", "content": [{ "toolUse": { "toolUseId": "c1", "name": "f", "input": { "a": 1 } } }] },
            { "role": "user", "content": [
                { "toolResult": { "toolUseId": "c1", "content": [{ "text": "1" }, image] } },
                { "text": "And now?" },
            ] },
        ],
        "system": [{ "text": "Be brief." }],
        "inferenceConfig": { "maxTokens": 9, "temperature": 0.5, "topP": 1.0, "stopSequences": ["FIN"] },
        "toolConfig": {
            "tools": [{ "toolSpec": { "name": "f", "description": "d", "inputSchema": { "json": { "type": "object" } } } }],
            "toolChoice": { "any": {} },
        },
        "outputConfig": { "textFormat": {
            "type": "json_schema", "structure": { "jsonSchema": { "schema": "{\"type\":\"object\"}", "name": "n" } },
        } },
        "additionalModelRequestFields": { "top_k": 40 },
    });
    assert_eq!(rendered, expected);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let choice =
        |choice: Value| sent(json!({ "prompt": "a", "tools": tools, "tool_choice": choice }))["toolConfig"]["toolChoice"].clone();
    assert_eq!(choice(json!({ "type": "function", "function": { "name": "f" } })), json!({ "tool": { "name": "f" } }));
    assert_eq!(choice(json!("auto")), json!({ "auto": {} }));
    assert_eq!(sent(json!({ "prompt": "a", "tools": tools, "tool_choice": "none" })).get("toolConfig"), None);
}

fn header(name: &'static str, value: &str) -> Header {
    Header::new(name, HeaderValue::String(value.to_owned().into()))
}

fn frame(headers: impl IntoIterator<Item = Header>, payload: &str) -> Vec<u8> {
    let mut message = Message::new(payload.as_bytes().to_vec());
    for header in headers {
        message = message.add_header(header);
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn event(kind: &str, payload: Value) -> Vec<u8> {
    let headers = [header(":message-type", "event"), header(":event-type", kind), header(":content-type", "application/json")];
    frame(headers, &payload.to_string())
}

fn exception(kind: &str) -> Vec<u8> {
    let headers = [header(":message-type", "exception"), header(":exception-type", kind)];
    frame(headers, r#"{"message":"No more."}"#)
}

fn delta(index: u32, delta: Value) -> Vec<u8> {
    event("contentBlockDelta", json!({ "contentBlockIndex": index, "delta": delta, "p": "abcdefgh" }))
}

fn stop(reason: &str) -> Vec<u8> {
    event("messageStop", json!({ "stopReason": reason }))
}

fn text(pieces: &[String]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| delta(0, json!({ "text": piece }))).collect()
}

fn metadata() -> Vec<u8> {
    let usage =
        json!({ "inputTokens": 5, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 1, "outputTokens": 15, "totalTokens": 24 });
    event("metadata", json!({ "usage": usage, "metrics": { "latencyMs": 900 } }))
}

fn read(body: &[u8], cuts: &[usize]) -> Read {
    reading::read(body, cuts, |reads| decoded(frames(reads), String::new(), Decoder::new(OwnFinishWords::default())))
}

fn fixture() -> Vec<u8> {
    [
        event("messageStart", json!({ "role": "assistant" })),
        delta(0, json!({ "reasoningContent": { "text": "hm" } })),
        delta(0, json!({ "reasoningContent": { "signature": "xyz" } })),
        event("contentBlockStop", json!({ "contentBlockIndex": 0 })),
        event("contentBlockStart", json!({ "contentBlockIndex": 1, "start": {} })),
        delta(1, json!({ "text": "Uno ñ€😀 " })),
        delta(1, json!({ "citation": { "title": "NO" } })),
        delta(1, json!({ "text": "0" })),
        event("contentBlockStart", json!({ "contentBlockIndex": 2, "start": { "toolUse": { "toolUseId": "c1", "name": "f" } } })),
        delta(2, json!({ "toolUse": { "input": "{\"a\"" } })),
        delta(2, json!({ "toolUse": { "input": ":0}" } })),
        event("novelty", json!({ "text": "NO" })),
        stop("tool_use"),
        metadata(),
    ]
    .concat()
}

#[test]
fn fixture_is_read() {
    let expected = Read {
        text: "Uno ñ€😀 0".into(),
        reasoning: "hm".into(),
        calls: vec![(Some("c1".into()), Some("f".into()), "{\"a\":0}".into())],
        usage: Some((9, 3, 15)),
        finish: Some(("tool_use".into(), Some(FinishMeaning::Completed))),
        fault: None,
    };
    assert_eq!(read(&fixture(), &[]), expected);
}

/// Several calls at one index are each a call of its own.
#[test]
fn calls_at_one_index_are_different_calls() {
    let call = |index: u32, id: &str| {
        event(
            "contentBlockStart",
            json!({ "contentBlockIndex": index, "start": { "toolUse": { "toolUseId": id, "name": "f" } } }),
        )
    };
    let arguments = |index: u32, json: &str| delta(index, json!({ "toolUse": { "input": json } }));
    let body =
        [call(0, "c1"), arguments(0, "1"), call(0, "c2"), arguments(0, "2"), call(1, "c3"), arguments(1, "3"), stop("tool_use")];
    let read = read(&body.concat(), &[]);
    let calls = [("c1", "1"), ("c2", "2"), ("c3", "3")];
    let calls = calls.map(|(id, arguments)| (Some(id.to_owned()), Some("f".to_owned()), arguments.to_owned()));
    assert_eq!((read.calls, read.fault), (calls.to_vec(), None));
}

#[test]
fn ends_are_told_apart() {
    let begun = delta(0, json!({ "text": "Uno" }));
    let ended = |ending: &[u8]| {
        let read = read(&[begun.as_slice(), ending].concat(), &[]);
        assert_eq!(read.text, "Uno");
        (read.finish.and_then(|(_, meaning)| meaning), read.fault)
    };
    assert_eq!(ended(&stop("max_tokens")), (Some(FinishMeaning::MaxOutputTokens), None));
    assert_eq!(ended(&stop("guardrail_intervened")), (Some(FinishMeaning::ContentFilter), None));
    assert_eq!(ended(&stop("novelty")), (None, None));
    assert_eq!(ended(&stop("malformed_tool_use")), (Some(FinishMeaning::Failed), Some(Fault::ReportedError)));
    assert_eq!(ended(&[]), (None, None), "no stop reason");
    assert_eq!(ended(&exception("throttlingException")), (None, Some(Fault::ReportedError)));
    assert_eq!(ended(&exception("modelStreamErrorException")), (None, Some(Fault::ReportedError)));
    assert_eq!(ended(&exception("validationException")), (None, Some(Fault::Rejected)));
    assert_eq!(ended(&event("contentBlockDelta", json!({ "delta": { "text": 7 } }))), (None, Some(Fault::Unreadable)));
    let mut broken = stop("end_turn");
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(ended(&broken), (None, Some(Fault::Unreadable)), "a wrong checksum");
    let cut = stop("end_turn");
    assert_eq!(ended(&cut[..cut.len() - 1]), (None, None), "a frame that does not end is none");
    assert_eq!(ended(b"data: {\"choices\":[{}]}\n\n"), (None, None), "what is no frame does not end either");
    let error =
        frame([header(":message-type", "error"), header(":error-code", "InternalFailure"), header(":error-message", "Oh.")], "");
    assert_eq!(ended(&error), (None, Some(Fault::ReportedError)));
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(cuts in prop::collection::vec(any::<usize>(), 0..40)) {
        prop_assert_eq!(read(&fixture(), &cuts), read(&fixture(), &[]));
    }

    #[test]
    fn no_character_is_lost_or_doubled(
        pieces in prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let read = read(&[text(&pieces), stop("end_turn"), metadata()].concat(), &cuts);
        prop_assert_eq!((read.text, read.fault), (pieces.concat(), None));
        prop_assert_eq!(read.finish, Some(("end_turn".to_owned(), Some(FinishMeaning::Completed))));
    }

    #[test]
    fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..9)) {
        let _ = read(&noise, &cuts);
    }
}
