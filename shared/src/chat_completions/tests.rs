//! Requests, and properties of the rendering: the chunks add up to the completion.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::generation::request::{Request, RequestRules, Validation};
use crate::ids::GenerationId;
use crate::log::composer::Composer;
use crate::log::event::{End, Event};
use crate::providers::{Delta, ToolCallDelta};

fn parse(body: &Value) -> Result<Request, Error> {
    parse_create(
        body.to_string().as_bytes(),
        &RequestRules {
            providers: vec!["acme", "openai"],
            responses_providers: vec![],
            max_output_bytes: 1_000,
            timeout_seconds: 60,
        },
    )
}

fn hello() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "Hola" }] })
}

#[expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]
fn with(fields: Value) -> Value {
    let mut body = hello();
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[test]
fn parameters_become_those_of_a_generation() {
    let request = parse(&with(json!({
        "model": "acme/m/1", "stream": true, "stream_options": { "include_usage": true }, "max_completion_tokens": 9, "max_tokens": 7,
        "temperature": 0.5, "tools": [], "tool_choice": "auto", "parallel_tool_calls": true, "reasoning_effort": "low", "n": 1,
        "user": "u", "store": true, "logprobs": false, "presence_penalty": null,
    })))
    .unwrap();
    assert_eq!((request.provider.as_str(), request.model.as_str(), request.max_output_tokens), ("acme", "m/1", Some(9)));
    assert_eq!((&request.tools, &request.tool_choice, request.validation), (&None, &None, Some(Validation::Soft)));
    assert_eq!(Value::from(request.provider_options), json!({ "reasoning_effort": "low", "user": "u", "logprobs": false }));
    assert!(!request.delete_after);
    let own = request.chat_completion.unwrap();
    assert_eq!((own.model.as_str(), own.stream, own.include_usage), ("acme/m/1", true, true));
    assert!(parse(&hello()).unwrap().delete_after, "nothing is stored but the result");
}

#[test]
fn errors_have_the_names_of_this_api() {
    let pointers = |fields: Value| match parse(&with(fields)).unwrap_err() {
        Error::InvalidRequest(errors) => errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>(),
        Error::Refused { param, .. } => vec![param.unwrap_or_default().to_owned()],
        error => panic!("{error}"),
    };
    assert_eq!(pointers(json!({ "model": 7, "messages": [], "stream": "yes" })), ["/model", "/messages", "/stream"]);
    assert_eq!(pointers(json!({ "max_tokens": 0, "max_completion_tokens": 7 })), ["/max_tokens"]);
    assert_eq!(pointers(json!({ "max_completion_tokens": 1.5 })), ["/max_completion_tokens"]);
    for (name, value) in [("n", json!(2)), ("functions", json!([])), ("audio", json!({})), ("logprobs", json!(true))] {
        assert_eq!(pointers(json!({ name: value })), [name]);
    }
}

fn completion(body: &Value) -> Completion {
    let generation: GenerationId = "gen_01arz3ndektsv4rrffq69g5fav".parse().unwrap();
    Completion::new(CompletionHead::new(generation, 1_795_219_200_123, &parse(body).unwrap()))
}

fn follow(whole: &mut Completion, events: &[Event]) {
    for event in events {
        whole.follow(event);
    }
}

/// A log of these deltas in one attempt, and its end.
fn log(deltas: Vec<Delta>, end: Event) -> Vec<Event> {
    let mut composer = Composer::default();
    composer.event(Event::Created);
    composer.event(Event::InProgress { attempt: 1, used: None });
    for delta in deltas {
        composer.delta(delta);
    }
    composer.close(true);
    composer.event(end);
    let mut events = Vec::new();
    while composer.has_pending() {
        events.extend(composer.take(1_000));
    }
    events
}

fn data(chunks: &[Chunk]) -> Vec<&Value> {
    chunks.iter().filter_map(|chunk| if let Chunk::Data(data) = chunk { Some(data) } else { None }).collect()
}

/// The message that a client assembles from chunks.
fn assembled(chunks: &[Chunk]) -> Value {
    let (mut text, mut reasoning, mut refusal, mut calls) = (String::new(), String::new(), String::new(), Vec::<Value>::new());
    for chunk in data(chunks) {
        let delta = &chunk["choices"][0]["delta"];
        text.push_str(delta["content"].as_str().unwrap_or_default());
        reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or_default());
        refusal.push_str(delta["refusal"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if index == calls.len() {
                calls.push(json!({ "id": call["id"], "type": call["type"], "function": call["function"] }));
            } else {
                let arguments = &mut calls[index]["function"]["arguments"];
                *arguments = format!("{}{}", arguments.as_str().unwrap(), call["function"]["arguments"].as_str().unwrap()).into();
            }
        }
    }
    json!([text, reasoning, refusal, calls])
}

fn deltas() -> impl Strategy<Value = Vec<Delta>> {
    let text = || "[a-zñ😀0]{0,6}";
    let call = |(index, arguments): (u32, String)| {
        Delta::ToolCall(ToolCallDelta { index, id: Some(format!("c{index}")), name: Some("f".into()), arguments })
    };
    let delta = prop_oneof![
        3 => text().prop_map(Delta::Text),
        1 => text().prop_map(Delta::Reasoning),
        1 => text().prop_map(Delta::Refusal),
        1 => (0_u32..3, text()).prop_map(call),
    ];
    prop::collection::vec(delta, 0..20)
}

proptest! {
    #[test]
    fn chunks_add_up_to_the_completion(deltas in deltas()) {
        let events = log(deltas, Event::Completed(End::default()));
        let (mut streamed, mut whole) = (completion(&hello()), completion(&hello()));
        let chunks: Vec<Chunk> = events.iter().flat_map(|event| streamed.render(event)).collect();
        follow(&mut whole, &events);
        let whole = whole.completion();
        let message = &whole["choices"][0]["message"];
        let or_empty = |value: &Value| if value.is_null() { json!("") } else { value.clone() };
        let calls = message.get("tool_calls").cloned().unwrap_or_else(|| json!([]));
        let parts = ["content", "reasoning_content", "refusal"].map(|name| or_empty(&message[name]));
        prop_assert_eq!(assembled(&chunks), json!([parts[0], parts[1], parts[2], calls]));
        prop_assert_eq!(chunks.last(), Some(&Chunk::Done));
        let last = &data(&chunks).last().unwrap()["choices"][0]["finish_reason"];
        prop_assert_eq!(last, &whole["choices"][0]["finish_reason"]);
        prop_assert_eq!(chunks.iter().filter(|chunk| **chunk == Chunk::Done).count(), 1);
    }
}

#[test]
fn usage_comes_last_where_it_is_requested() {
    let mut streamed = completion(&with(json!({ "stream": true, "stream_options": { "include_usage": true } })));
    let events = log(vec![Delta::Text("Hola".into())], Event::Completed(End::default()));
    let chunks: Vec<Chunk> = events.iter().flat_map(|event| streamed.render(event)).collect();
    let chunks = data(&chunks);
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(0)));
    assert!(others.iter().all(|chunk| chunk["usage"].is_null() && chunk["id"] == "chatcmpl-01arz3ndektsv4rrffq69g5fav"));
}

#[test]
fn attempt_that_begins_again_breaks_a_stream_and_not_a_completion() {
    let mut composer = Composer::default();
    composer.event(Event::InProgress { attempt: 1, used: None });
    composer.delta(Delta::Text("Uno".into()));
    composer.abandon();
    composer.event(Event::InProgress { attempt: 2, used: None });
    composer.delta(Delta::Text("Dos".into()));
    composer.close(true);
    composer.event(Event::Completed(End::default()));
    let events = composer.take(1_000);
    let (mut streamed, mut whole) = (completion(&hello()), completion(&hello()));
    let chunks: Vec<Chunk> = events.iter().flat_map(|event| streamed.render(event)).collect();
    assert_eq!(data(&chunks).last().unwrap()["error"]["code"], "restarted");
    assert!(!chunks.contains(&Chunk::Done));
    follow(&mut whole, &events);
    assert_eq!(whole.completion()["choices"][0]["message"]["content"], "Dos");
}

#[test]
fn failure_is_an_error_object() {
    let end = End { reason: Some("interrupted".into()), message: Some("it broke off".into()), ..End::default() };
    let events = log(vec![Delta::Text("Uno".into())], Event::Failed(end));
    let (mut streamed, mut whole) = (completion(&hello()), completion(&hello()));
    let chunks: Vec<Chunk> = events.iter().flat_map(|event| streamed.render(event)).collect();
    follow(&mut whole, &events);
    let error = json!({ "error": { "message": "it broke off", "type": "server_error", "param": null, "code": "interrupted" } });
    assert_eq!((data(&chunks).last().copied(), &whole.completion()), (Some(&error), &error));
}
