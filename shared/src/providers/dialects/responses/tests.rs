//! Requests as the Responses API takes them, and streams as it sends them.

#![expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]

use futures::StreamExt;
use proptest::prelude::*;

use super::*;
use crate::providers::decode::deltas;
use crate::providers::dialects::reading::{self, Read};
use crate::providers::{Delta, Fault, FinishMeaning, OwnFinishWords, parse_providers};

fn settings(continuation: &str) -> ProviderSettings {
    let settings = json!({ "x": { "base_url": "https://x/v1", "dialect": "responses", "continuation": continuation } });
    parse_providers(Some(&settings.to_string())).unwrap().remove("x").unwrap()
}

fn foreground() -> ProviderSettings {
    ProviderSettings { continuation: None, ..settings("retrieve") }
}

fn sent(request: Value) -> Value {
    let mut whole = json!({ "model": "gpt-5", "provider": "x" });
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    body(&foreground(), &serde_json::from_value(whole).unwrap())
}

#[test]
fn conversation_becomes_input_items() {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let custom = json!({ "id": "c2", "type": "custom", "custom": { "name": "g", "input": "x" } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==", "detail": "low" } });
    let rendered = sent(json!({
        "instructions": "Be brief.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "Look" }, image.clone()] },
            { "role": "assistant", "content": "Well", "reasoning_content": "hm", "tool_calls": [call, custom] },
            { "role": "tool", "tool_call_id": "c1", "content": "1" },
            { "role": "tool", "tool_call_id": "c2", "content": [image] },
        ],
        "tools": [
            { "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } },
            { "type": "web_search" },
        ],
        "tool_choice": { "type": "function", "function": { "name": "f" } }, "stop": "FIN", "temperature": 0.5, "seed": 7,
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } },
        "provider_options": { "reasoning_effort": "low", "verbosity": "high", "user": "u", "stream": false, "store": true },
    }));
    let image = json!({ "type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low" });
    let expected = json!({
        "model": "gpt-5",
        "input": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "input_text", "text": "Look" }, image.clone()] },
            { "role": "assistant", "content": "Well" },
            { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}" },
            { "type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x" },
            { "type": "function_call_output", "call_id": "c1", "output": "1" },
            { "type": "function_call_output", "call_id": "c2", "output": [image] },
        ],
        "temperature": 0.5, "stop": "FIN",
        "text": { "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" } }, "verbosity": "high" },
        "tools": [{ "type": "function", "name": "f", "parameters": { "type": "object" } }, { "type": "web_search" }],
        "tool_choice": { "type": "function", "name": "f" },
        "reasoning": { "effort": "low" }, "user": "u", "store": false, "stream": true,
    });
    assert_eq!(rendered, expected);
}

/// The caller's items are sent as they are, but for ids that only we know.
#[test]
fn input_items_are_passed_on() {
    let items = json!([
        { "type": "reasoning", "id": "rs_1", "summary": [] },
        { "type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "e" },
        { "type": "message", "id": "msg_1", "role": "developer", "content": [{ "type": "input_text", "text": "a" }] },
    ]);
    let responses =
        json!({ "model": "x/gpt-5", "input": items, "echo": { "reasoning": { "effort": "high", "summary": "auto" } } });
    let options = json!({ "reasoning_effort": "high" });
    let rendered = sent(json!({ "instructions": "b", "messages": [], "responses": responses, "provider_options": options }));
    let expected = json!({
        "model": "gpt-5",
        "input": [
            { "type": "reasoning", "summary": [], "encrypted_content": "e" },
            { "type": "message", "role": "developer", "content": [{ "type": "input_text", "text": "a" }] },
        ],
        "instructions": "b", "reasoning": { "effort": "high", "summary": "auto" }, "store": false, "stream": true,
    });
    assert_eq!(rendered, expected);
    let kept = body(&settings("retrieve"), &serde_json::from_value(json!({ "model": "m", "prompt": "a" })).unwrap());
    assert_eq!((&kept["background"], &kept["store"]), (&json!(true), &json!(true)));
}

#[test]
fn rest_of_a_response_is_asked_for_by_its_id() {
    let path = |cursor| rest(&Upstream { id: "resp/1?".into(), cursor }).path;
    assert_eq!(path(None), "/responses/resp%2F1%3F?stream=true");
    assert_eq!(path(Some(7)), "/responses/resp%2F1%3F?stream=true&starting_after=7");
    assert_eq!(cancel_path("resp_1"), "/responses/resp_1/cancel");
}

/// Numbers events as the API does.
fn framed(events: &[Value]) -> Vec<String> {
    let frame = |(number, event): (u64, &Value)| {
        let mut event = event.clone();
        event["sequence_number"] = number.into();
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
    };
    (0..).zip(events).map(frame).collect()
}

fn at(index: u64, kind: &str, fields: Value) -> Value {
    let mut event = json!({ "type": format!("response.{kind}"), "output_index": index });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

fn ended(kind: &str, extra: Value) -> Value {
    let usage =
        json!({ "input_tokens": 9, "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 5, "total_tokens": 14 });
    let mut response = json!({ "id": "resp_1", "model": "gpt-5-x", "output": [], "usage": usage });
    response.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({ "type": format!("response.{kind}"), "response": response })
}

fn begun() -> Value {
    json!({ "type": "response.created", "response": { "id": "resp_1", "model": "gpt-5-x", "status": "queued", "output": [] } })
}

/// A recorded answer: reasoning, a text, a call of a function, one of a custom tool, a refusal, and events that are not read.
fn fixture() -> Vec<Value> {
    let text =
        |index, delta: &str| at(index, "output_text.delta", json!({ "content_index": 0, "delta": delta, "obfuscation": "x9" }));
    let call = json!({ "type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "" });
    let custom = json!({ "type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "g", "input": "" });
    vec![
        begun(),
        json!({ "type": "response.in_progress", "response": { "id": "resp_1" } }),
        at(0, "output_item.added", json!({ "item": { "type": "reasoning", "id": "rs_1", "summary": [] } })),
        at(0, "reasoning_summary_part.added", json!({ "summary_index": 0, "part": {} })),
        at(0, "reasoning_summary_text.delta", json!({ "summary_index": 0, "delta": "Think" })),
        at(0, "reasoning_summary_part.added", json!({ "summary_index": 1, "part": {} })),
        at(0, "reasoning_summary_text.delta", json!({ "summary_index": 1, "delta": "twice" })),
        at(
            0,
            "output_item.done",
            json!({ "item": { "type": "reasoning", "summary": [{ "text": "Think" }, { "text": "twice" }] } }),
        ),
        at(1, "output_item.added", json!({ "item": { "type": "web_search_call", "id": "ws_1" } })),
        at(1, "web_search_call.searching", json!({ "item_id": "ws_1" })),
        at(1, "output_item.done", json!({ "item": { "type": "web_search_call", "id": "ws_1" } })),
        at(2, "output_item.added", json!({ "item": { "type": "message", "id": "msg_1", "content": [] } })),
        at(2, "content_part.added", json!({ "content_index": 0, "part": { "type": "output_text", "text": "" } })),
        text(2, "Ho"),
        text(2, "la 😀 "),
        text(2, "0"),
        at(2, "output_text.annotation.added", json!({ "annotation": {} })),
        at(2, "output_text.done", json!({ "content_index": 0, "text": "Hola 😀 0" })),
        at(
            2,
            "output_item.done",
            json!({ "item": { "type": "message", "content": [{ "type": "output_text", "text": "Hola 😀 0" }] } }),
        ),
        at(3, "output_item.added", json!({ "item": call })),
        at(3, "function_call_arguments.delta", json!({ "delta": "{\"a\"" })),
        at(3, "function_call_arguments.delta", json!({ "delta": ":1}" })),
        at(3, "function_call_arguments.done", json!({ "arguments": "{\"a\":1}" })),
        at(
            3,
            "output_item.done",
            json!({ "item": { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}" } }),
        ),
        at(4, "output_item.added", json!({ "item": custom })),
        at(4, "custom_tool_call_input.delta", json!({ "delta": "x y" })),
        at(
            4,
            "output_item.done",
            json!({ "item": { "type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x y" } }),
        ),
        json!({ "type": "keepalive" }),
        ended("completed", json!({ "output": [{}, {}, {}, {}, {}] })),
    ]
}

fn calls() -> Vec<(Option<String>, Option<String>, String)> {
    let call = |id: &str, name: &str, arguments: &str| (Some(id.to_owned()), Some(name.to_owned()), arguments.to_owned());
    vec![call("c1", "f", "{\"a\":1}"), call("c2", "g", "x y")]
}

fn read(body: &str, cuts: &[usize]) -> Read {
    reading::read(body.as_bytes(), cuts, |reads| {
        deltas(reads, String::new(), Decoder::new(OwnFinishWords::default(), false, None))
    })
}

#[test]
fn fixture_is_read() {
    let expected = Read {
        text: "Hola 😀 0".into(),
        reasoning: "Think\n\ntwice".into(),
        calls: calls(),
        usage: Some((9, 4, 5)),
        finish: Some(("completed".into(), Some(FinishMeaning::Completed))),
        fault: None,
    };
    assert_eq!(read(&framed(&fixture()).concat(), &[]), expected);
}

/// A server that sends no deltas, or only the response.
#[test]
fn what_comes_whole_is_kept() {
    let whole: Vec<Value> = fixture().into_iter().filter(|event| event["delta"].is_null()).collect();
    let read_whole = read(&framed(&whole).concat(), &[]);
    assert_eq!((read_whole.text.as_str(), read_whole.calls), ("Hola 😀 0", calls()));
    let output = json!([
        { "type": "message", "content": [{ "type": "output_text", "text": "Hola" }] },
        { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}" },
    ]);
    let alone = read(&framed(&[begun(), ended("completed", json!({ "output": output }))]).concat(), &[]);
    assert_eq!((alone.text.as_str(), alone.calls), ("Hola", calls()[..1].to_vec()));
}

#[test]
fn ends_are_told_apart() {
    let incomplete = |reason: &str| ended("incomplete", json!({ "incomplete_details": { "reason": reason } }));
    for (end, meaning) in [
        (incomplete("max_output_tokens"), Some(FinishMeaning::MaxOutputTokens)),
        (incomplete("content_filter"), Some(FinishMeaning::ContentFilter)),
        (incomplete("steered"), None),
    ] {
        let finish = read(&framed(&[begun(), end.clone()]).concat(), &[]).finish.unwrap();
        assert_eq!((finish.0.as_str(), finish.1), (end["response"]["incomplete_details"]["reason"].as_str().unwrap(), meaning));
    }
    let failed = |code: &str| ended("failed", json!({ "error": { "code": code, "message": "no" } }));
    for (event, fault) in [
        (failed("server_error"), Fault::ReportedError),
        (failed("invalid_prompt"), Fault::Rejected),
        (json!({ "type": "error", "code": "rate_limit_exceeded", "message": "slow" }), Fault::ReportedError),
        (json!({ "type": "response.output_text.delta", "delta": 7 }), Fault::Unreadable),
    ] {
        let read = read(&framed(&[begun(), event.clone()]).concat(), &[]);
        assert_eq!((read.fault, read.finish), (Some(fault), None), "{event}");
    }
    assert_eq!(read("data: {\"choices\":[]}\n\n", &[]).fault, Some(Fault::NotAStream));
    assert_eq!(read("data: {\"error\":{\"message\":\"no\"}}\n\n", &[]).fault, Some(Fault::ReportedError));
}

/// The deltas of a kept response that is read from `from`, in reads of these numbers of events, up to `limit` events; and the
/// position behind the last.
fn read_kept(events: &[String], from: Option<Upstream>, sizes: &[usize], limit: usize) -> (Vec<Delta>, Option<Upstream>) {
    let begin = from.as_ref().and_then(|upstream| upstream.cursor).map_or(0, |cursor| usize::try_from(cursor).unwrap() + 1);
    let (mut reads, mut rest, mut sizes) = (Vec::new(), &events[begin.min(limit)..limit], sizes.iter().cycle());
    while !rest.is_empty() {
        let (read, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        reads.push(Ok::<_, std::io::Error>(bytes::Bytes::from(read.concat())));
        rest = after;
    }
    let mut upstream = from.clone();
    let mut stream = deltas(futures::stream::iter(reads), String::new(), Decoder::new(OwnFinishWords::default(), true, from));
    let mut all = Vec::new();
    futures::executor::block_on(async {
        while let Some(read) = stream.next().await {
            for delta in read.unwrap() {
                match delta {
                    Delta::Upstream(position) => upstream = Some(position),
                    delta => all.push(delta),
                }
            }
        }
    });
    (all, upstream)
}

fn text_and_reasoning(deltas: &[Delta]) -> (String, String) {
    let mut read = (String::new(), String::new());
    for delta in deltas {
        match delta {
            Delta::Text(text) => read.0.push_str(text),
            Delta::Reasoning(text) => read.1.push_str(text),
            _ => {}
        }
    }
    read
}

fn calls_of(deltas: &[Delta]) -> Vec<String> {
    let mut calls = Vec::new();
    for delta in deltas {
        if let Delta::ToolCall(call) = delta {
            match &call.id {
                Some(id) => calls.push(format!("{id} {}", call.arguments)),
                None => calls.last_mut().unwrap().push_str(&call.arguments),
            }
        }
    }
    calls
}

/// The fixture's text, cut in the middle of a character of two UTF-16 units.
fn with_half_characters() -> Vec<String> {
    let mut events = framed(&fixture());
    let place = events.iter().position(|event| event.contains("la 😀 ")).unwrap();
    let (first, second) = (events[place].replace("😀 ", "\\ud83d"), events[place + 1].replace("\"0\"", "\"\\ude00 0\""));
    events.splice(place..place + 2, [first, second]);
    events
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(cuts in prop::collection::vec(0_usize..100_000, 0..12), halves: bool) {
        let body = if halves { with_half_characters() } else { framed(&fixture()) }.concat();
        prop_assert_eq!(read(&body, &cuts), read(&framed(&fixture()).concat(), &[]));
    }

    #[test]
    fn no_character_is_lost_or_doubled(
        pieces in prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let text = |piece: &String| at(0, "output_text.delta", json!({ "content_index": 0, "delta": piece }));
        let events: Vec<Value> = [begun()].into_iter().chain(pieces.iter().map(text)).chain([ended("completed", json!({}))]).collect();
        let read = read(&framed(&events).concat(), &cuts);
        prop_assert_eq!((read.text, read.fault), (pieces.concat(), None));
        prop_assert_eq!(read.finish, Some(("completed".to_owned(), Some(FinishMeaning::Completed))));
    }

    /// However often the stream of a kept response breaks off, what is read before a position and what is read behind it are the whole.
    #[test]
    fn any_interruption_of_a_kept_response_loses_and_doubles_nothing(
        breaks in prop::collection::vec(0_usize..40, 0..6),
        sizes in prop::collection::vec(1_usize..5, 1..4),
        halves: bool,
    ) {
        let events = if halves { with_half_characters() } else { framed(&fixture()) };
        let (mut all, mut position) = (Vec::new(), None::<Upstream>);
        for limit in breaks.into_iter().map(|limit| limit.min(events.len())).chain([events.len()]) {
            if position.as_ref().is_none_or(|position| position.cursor.is_none()) {
                all.clear();
            }
            let (read, next) = read_kept(&events, position.clone(), &sizes, limit.max(1));
            all.extend(read);
            position = next;
        }
        let (whole, _) = read_kept(&events, None, &[1], events.len());
        prop_assert_eq!(text_and_reasoning(&all), text_and_reasoning(&whole));
        prop_assert_eq!(calls_of(&all), calls_of(&whole));
        prop_assert!(all.iter().any(|delta| matches!(delta, Delta::Finish(_))), "the end is never behind the position");
    }
}
