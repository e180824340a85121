//! Output that breaks its schema: told at once, and if the request says so, the end of the generation.

use longhand_local::playback::Ending;
use longhand_local::{Playback, Script};
use longhand_tests::{Harness, assert_whole};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// `{"items": [{"name": "…", "price": …}, …]}`, one item in a delta.
fn items(prices: &[&str]) -> Vec<String> {
    let item = |price: &&str| format!("{{\"name\": \"n\", \"price\": {price}}}, ");
    let pieces = prices.iter().map(item);
    let end = "{\"name\": \"n\", \"price\": 1}]}".to_owned();
    std::iter::once("{\"items\": [".to_owned()).chain(pieces).chain([end]).collect()
}

fn asking(extra: &Value) -> Value {
    let schema = json!({
        "$defs": { "item": {
            "type": "object", "properties": { "name": { "type": "string" }, "price": { "type": "number", "maximum": 100 } },
            "required": ["name", "price"], "additionalProperties": false,
        } },
        "type": "object", "properties": { "items": { "type": "array", "items": { "$ref": "#/$defs/item" } } },
    });
    let mut body = json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "items", "schema": schema } } });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

async fn ended(script: Script, extra: Value) -> (Harness, Playback, String, Value) {
    let (harness, playback) = Harness::playing(script, &[]).await;
    let id = harness.start_generation(asking(&extra)).await;
    let record = harness.ended(&id).await;
    (harness, playback, id, record)
}

fn violations(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["type"] == "schema_violation").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violation_is_told_once_and_at_its_place_and_the_generation_goes_on() {
    let script = Script { tempo: 200.0, ..Script::new(items(&["1", "2", "300", "4", "\"5\""])) };
    let text = script.text();
    let (harness, playback, id, record) = ended(script, json!({})).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(record["metadata"]["validation_errors"][0]["path"], "output/items/2/price", "the end's check finds the same");
    let events = harness.events(&id).await;
    assert_whole(&events);
    let told = violations(&events);
    let [told] = told[..] else { unreachable!("one: {told:?}") };
    assert_eq!((told["path"].as_str(), told["message"].as_str()), (Some("/items/2/price"), Some("must be at most 100")));
    let before: String = events[..usize::try_from(told["seq"].as_u64().unwrap()).unwrap()]
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert!(text.starts_with(&before) && before.ends_with("300}, "), "behind the delta that decided it: {before}");
    assert_eq!(harness.text(&id).await, text, "the text is whole");
    assert_eq!((playback.stats().closed_early, playback.stats().requests), (0, 1));

    let sse =
        harness.http.get(format!("{}/v1/generations/{id}/events", harness.stack.url())).header("accept", "text/event-stream");
    let frames = sse.send().await.unwrap().text().await.unwrap();
    let frame = frames.split("\n\n").find(|frame| frame.starts_with("event: schema_violation\ndata: {"));
    assert!(frame.is_some_and(|frame| frame.ends_with(&format!("\nid: {}", told["seq"]))), "{frames}");
    let stream = harness.http.get(format!("{}/v1/stream/generations/{id}", harness.stack.url())).send().await.unwrap();
    assert_eq!(stream.json::<Vec<Value>>().await.unwrap(), events);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_the_generation_early_and_closes_the_providers_connection() {
    // After the violation the provider says nothing more, and would hold the connection for ever.
    let pieces = &items(&["1", "\"2\"", "3"])[..4];
    for fence in ["", "```json\n"] {
        let script = Script {
            tempo: 100.0,
            ending: Ending::Stall,
            ..Script::new([fence].into_iter().chain(pieces.iter().map(String::as_str)))
        };
        let (harness, playback, id, record) = ended(script.clone(), json!({ "on_schema_violation": "stop" })).await;
        assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("schema_violation")), "{record}");
        assert_eq!(record["error"]["code"], "schema_violation");
        assert_eq!(record["error"]["message"], "the output breaks its schema: /items/1/price must be a number");
        let events = harness.events(&id).await;
        assert_whole(&events);
        assert_eq!(violations(&events).len(), 1);
        assert_eq!(events.last().unwrap()["reason"], "schema_violation");
        let kept = harness.text(&id).await;
        assert!(script.text().starts_with(&kept) && kept.contains("\"2\""), "what had come is kept: {kept}");
        let partial = harness.get(&format!("generations/{id}/progress?partial=json")).await.1["partial"].clone();
        assert_eq!(partial["items"][1]["price"], "2");
        harness.until(&id, |_| playback.stats().closed_early == 1).await;
        assert_eq!(playback.stats().requests, 1, "it is not tried again");
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_saves_what_the_provider_would_have_said() {
    let prices: Vec<&str> = std::iter::once("null").chain(std::iter::repeat_n("1", 2_000)).collect();
    let script = Script { tempo: 200.0, ..Script::new(items(&prices)) };
    let (harness, playback, _, record) = ended(script, json!({ "on_schema_violation": "stop", "validation": "strict" })).await;
    assert_eq!(record["reason"], "schema_violation", "{record}");
    harness.until(record["id"].as_str().unwrap(), |_| playback.stats().closed_early == 1).await;
    assert!(playback.stats().deltas < 1_000, "of 2,000: {}", playback.stats().deltas);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_output_is_not_disturbed_and_stop_needs_a_schema() {
    let (harness, _playback, id, record) =
        ended(Script::new(items(&["1", "99.5"])), json!({ "on_schema_violation": "stop" })).await;
    assert_eq!((&record["status"], &record["metadata"]["validation_errors"]), (&json!("completed"), &Value::Null), "{record}");
    assert!(violations(&harness.events(&id).await).is_empty());
    let body = json!({ "provider": "test", "model": "m", "prompt": "p" });
    for (field, value) in [("on_schema_violation", json!("stop")), ("on_schema_violation", json!("explode"))] {
        let mut body = body.clone();
        body[field] = value;
        let (status, problem) = harness.post(&body).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (StatusCode::BAD_REQUEST, &json!("/on_schema_violation")),
            "{problem}"
        );
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_all_break_the_schema_tell_of_it_once() {
    let script = Script { ending: Ending::Cut, ..Script::new(items(&["null"])) };
    let (harness, playback, id, record) = ended(script, json!({ "max_attempts": 3 })).await;
    assert_eq!(record["reason"], "attempts_exhausted", "{record}");
    assert_eq!(playback.stats().requests, 3);
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!(violations(&events).len(), 1);
    harness.finish().await;
}
