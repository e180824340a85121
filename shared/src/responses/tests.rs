//! Rendering, its numbering, and the round trip of a request.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::generation::request::Request;
use crate::ids::GenerationId;
use crate::log::composer::Composer;
use crate::log::event::{End, Event, NumberedEvent};
use crate::providers::{Delta, ToolCallDelta};

const ENDED_MS: i64 = 1_800_000_009_000;

fn config() -> Config {
    let var = |name: &str| match name {
        "LONGHAND_PROVIDERS" => Some(r#"{"test":{"base_url":"https://test/v1"}}"#.to_owned()),
        _ => Some("t".to_owned()).filter(|_| name.ends_with("TABLE") || name.ends_with("BUCKET")),
    };
    Config::from_vars(&var).unwrap()
}

fn parse(body: &Value) -> Request {
    parse_create(body.to_string().as_bytes(), &config().request_rules()).unwrap()
}

fn refused(body: &Value) -> String {
    parse_create(body.to_string().as_bytes(), &config().request_rules()).unwrap_err().to_string()
}

fn snapshot(request: &Request) -> Snapshot {
    Snapshot::new("resp_01mcc5rm00928ktjzje2c0zbfp".parse().unwrap(), 1_800_000_000_000, request)
}

fn renderer() -> Renderer {
    Renderer::new(snapshot(&parse(&json!({ "model": "m", "input": "x", "background": true, "stream": true }))))
}

/// Deltas of a provider, with interruptions between them.
#[derive(Debug, Clone)]
enum Step {
    Delta(Delta),
    Interruption,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let call = |(index, arguments): (u32, String)| {
        Delta::ToolCall(ToolCallDelta { index, id: None, name: Some(format!("tool_{index}")), arguments })
    };
    let delta = prop_oneof![
        4 => "[a-zñ\\n\"😀]{0,6}".prop_map(Delta::Text),
        2 => "[a-z]{1,4}".prop_map(Delta::Reasoning),
        1 => "[a-z]{1,4}".prop_map(Delta::Refusal),
        1 => (0_u32..3, "[a-z{}]{0,4}").prop_map(call),
    ];
    prop::collection::vec(prop_oneof![12 => delta.prop_map(Step::Delta), 1 => Just(Step::Interruption)], 0..60)
}

fn ends() -> impl Strategy<Value = Event> {
    let end = |reason: &str| End { reason: Some(reason.to_owned()), ..End::default() };
    prop_oneof![
        Just(Event::Completed(End::default())),
        Just(Event::Incomplete(end("max_output_tokens"))),
        Just(Event::Failed(end("interrupted"))),
        Just(Event::Cancelled(End::default())),
    ]
}

/// A log as the writer composes it. A cancel closes no item: another process appends it.
fn log(steps: Vec<Step>, end: Event) -> Vec<NumberedEvent> {
    let mut composer = Composer::default();
    composer.event(Event::Created);
    composer.event(Event::InProgress { attempt: 1, used: None });
    let (mut events, mut attempt) = (Vec::new(), 1);
    for step in steps {
        match step {
            Step::Delta(delta) => composer.delta(delta),
            Step::Interruption => {
                attempt += 1;
                composer.abandon();
                composer.event(Event::InProgress { attempt, used: None });
            }
        }
        events.extend(composer.take(9));
    }
    match end {
        Event::Cancelled(_) => {}
        _ => composer.close(matches!(end, Event::Completed(_))),
    }
    composer.event(end);
    while composer.has_pending() {
        events.extend(composer.take(1_000));
    }
    (0..).zip(events).map(|(seq, event)| NumberedEvent { seq, event }).collect()
}

fn render(log: &[NumberedEvent]) -> (Vec<Value>, Value) {
    let mut renderer = renderer();
    let events = log.iter().map(|event| renderer.render(event, Some(ENDED_MS))).collect();
    (events, renderer.response())
}

/// The concatenated deltas of the item with this id.
fn joined_deltas(events: &[Value], id: &Value) -> String {
    let deltas = events.iter().filter(|event| event["item_id"] == *id);
    deltas.filter_map(|event| event["delta"].as_str()).collect()
}

proptest! {
    #[test]
    fn resumed_rendering_is_the_rest_of_the_whole(steps in steps(), end in ends(), after in 0_usize..80) {
        let log = log(steps, end);
        let (whole, response) = render(&log);
        let mut resumed = renderer();
        let mut rest = Vec::new();
        for event in &log {
            if event.seq <= after as u64 {
                resumed.follow(&event.event, Some(ENDED_MS));
            } else {
                rest.push(resumed.render(event, Some(ENDED_MS)));
            }
        }
        prop_assert_eq!(&rest[..], &whole[whole.len().min(after + 1)..]);
        prop_assert_eq!(&resumed.response(), &response);
        prop_assert_eq!(&whole[whole.len() - 1]["response"], &response, "the last event has the final object");
    }

    #[test]
    fn events_are_numbered_and_consistent(steps in steps(), end in ends()) {
        let log = log(steps, end);
        let (events, response) = render(&log);
        for (number, event) in events.iter().enumerate() {
            prop_assert_eq!(&event["sequence_number"], &json!(number));
            prop_assert!(event["type"].as_str().unwrap().starts_with("response."));
            prop_assert!(event.get("error").is_none(), "that would fail the stream");
        }
        let added: Vec<&Value> = events.iter().filter(|event| event["type"] == "response.output_item.added").collect();
        let mut ids: Vec<&str> = added.iter().map(|event| event["item"]["id"].as_str().unwrap()).collect();
        for (number, event) in added.iter().enumerate() {
            prop_assert_eq!(&event["output_index"], &json!(number), "no index is used twice");
        }
        for event in events.iter().filter(|event| event["type"] == "response.output_item.done") {
            let item = &event["item"];
            let text: String = match item["arguments"].as_str() {
                Some(arguments) => arguments.to_owned(),
                None => item["content"].as_array().unwrap().iter().filter_map(|part| part.get("text").or(part.get("refusal"))?.as_str()).collect(),
            };
            prop_assert_eq!(text, joined_deltas(&events, &item["id"]), "done repeats the deltas");
        }
        ids.dedup();
        prop_assert_eq!(ids.len(), added.len());
        let begun = events.iter().rposition(|event| event["type"] == "response.in_progress").unwrap();
        let of_last_attempt: Vec<&Value> =
            events[begun..].iter().filter(|event| event["type"] == "response.output_item.added").map(|event| &event["item"]["id"]).collect();
        let output: Vec<&Value> = response["output"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
        prop_assert_eq!(output, of_last_attempt, "an abandoned attempt is not part of the result");
    }

    #[test]
    fn accepted_body_survives_storage(field in "[a-z_]{1,12}", text in ".{0,8}") {
        for value in [json!(text), json!([text]), json!({ "type": text }), json!([{ "role": "user", "content": [{ "type": text }] }])] {
            for body in [json!({ "model": "m", "input": value, "text": { "format": value } }), json!({ "model": "m", "input": value }), json!({ "model": "m", "input": "x", &field: value })] {
                if let Ok(request) = parse_create(body.to_string().as_bytes(), &config().request_rules()) {
                    let stored: Request = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
                    prop_assert_eq!(&stored, &request);
                    prop_assert_eq!(stored.conversation(), request.conversation());
                }
            }
        }
    }
}

#[test]
fn cancel_is_rendered_as_failed_with_status_cancelled() {
    let log = log(vec![Step::Delta(Delta::Text("Hola".into()))], Event::Cancelled(End::default()));
    let (events, response) = render(&log);
    assert_eq!(events[events.len() - 1]["type"], "response.failed");
    assert_eq!(
        (&response["status"], &response["error"], &response["completed_at"]),
        (&json!("cancelled"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&response["output"][0]["status"], &response["output"][0]["content"][0]["text"]),
        (&json!("incomplete"), &json!("Hola"))
    );
}

#[test]
fn response_repeats_the_request() {
    let tool = json!({ "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true });
    let hosted = json!({ "type": "provider_search" });
    let format = json!({ "type": "json_schema", "name": "n", "schema": { "type": "object" }, "strict": true });
    let body = json!({
        "model": "test/m", "input": "x", "instructions": "i", "temperature": 0.5, "top_p": 0.25, "max_output_tokens": 7,
        "metadata": { "k": "v" }, "tools": [tool, hosted], "tool_choice": { "type": "function", "name": "f" },
        "text": { "format": format, "verbosity": "low" }, "reasoning": { "effort": "low" }, "parallel_tool_calls": false,
        "truncation": "auto", "user": "u", "service_tier": "flex", "max_tool_calls": 3,
    });
    let request = parse(&body);
    let stored: Request = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
    assert_eq!(stored, request);
    let response = Renderer::new(snapshot(&stored)).response();
    for name in [
        "model",
        "instructions",
        "temperature",
        "top_p",
        "max_output_tokens",
        "metadata",
        "tools",
        "tool_choice",
        "text",
        "parallel_tool_calls",
        "truncation",
        "user",
        "service_tier",
        "max_tool_calls",
    ] {
        assert_eq!(response[name], body[name], "{name}");
    }
    assert_eq!(response["reasoning"], json!({ "effort": "low", "summary": null }));
    assert_eq!((request.provider.as_str(), request.model.as_str()), ("test", "m"));
    assert_eq!(request.response_format.unwrap()["json_schema"]["name"], "n");
    assert_eq!(request.tools.unwrap()[0]["function"]["name"], "f");
    assert_eq!(request.provider_options["reasoning_effort"], "low");
    assert_eq!(request.provider_options["parallel_tool_calls"], false);
}

#[test]
fn model_prefix_selects_a_configured_provider_only() {
    let request = parse(&json!({ "model": "meta/llama", "input": "x" }));
    assert_eq!((request.provider.as_str(), request.model.as_str()), ("openai", "meta/llama"));
}

#[test]
fn object_has_every_required_field_from_the_first() {
    let response = renderer().response();
    let required = [
        "id",
        "object",
        "created_at",
        "error",
        "incomplete_details",
        "instructions",
        "model",
        "tools",
        "output",
        "parallel_tool_calls",
        "metadata",
        "tool_choice",
        "temperature",
        "top_p",
        "status",
        "background",
        "completed_at",
        "usage",
        "text",
        "reasoning",
    ];
    for name in required {
        assert!(response.get(name).is_some(), "{name}");
    }
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("queued")));
}

#[test]
fn response_ids_and_generation_ids_share_their_ulid() {
    let generation = GenerationId::new(5);
    let response = ResponseId::of(generation.clone());
    assert_eq!(response.to_string().parse::<ResponseId>().unwrap().generation(), &generation);
    assert_eq!(response.to_string().replace("resp_", "gen_"), generation.to_string());
    for wrong in ["", "resp_", "gen_01", generation.as_str()] {
        assert!(wrong.parse::<ResponseId>().is_err(), "{wrong}");
    }
}

#[test]
fn unsupported_parameters_are_refused() {
    assert!(refused(&json!({ "model": "m", "input": "x", "conversation": "c" })).contains("'conversation'"));
    assert!(refused(&json!({ "model": "m", "input": "x", "background": true, "store": false })).contains("'store'"));
    assert!(refused(&json!({ "model": "m" })).contains("/input"));
    let both = refused(&json!({ "model": "m", "input": "x", "temperature": 9, "top_p": 9 }));
    assert!(both.contains("/temperature") && both.contains("/top_p"), "all errors at once: {both}");
}

#[test]
fn items_that_share_an_id_get_distinct_ids() {
    let item = json!({ "id": "same", "role": "user", "content": "x" });
    let request = parse(&json!({ "model": "m", "input": [item, item, { "role": "assistant", "content": "y" }] }));
    let items = input_items(&ResponseId::of(GenerationId::new(5)), &request);
    assert_eq!(items[0]["id"], "same");
    assert!(items[1]["id"].as_str().unwrap().starts_with("in_") && items[1]["id"] != items[2]["id"]);
    assert_eq!(items[2]["content"][0]["type"], "output_text");
    let second =
        InputPage::cut(items, &InputQuery { limit: Some(1), order: InputOrder::Ascending, after: Some("same".into()) }).unwrap();
    assert!(second.has_more && second.data[0]["id"] != "same");
}
