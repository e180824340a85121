//! A caller's schema and a model's output must not be able to hold up the compactor, nor to keep a record from being written.

use longhand_local::Script;
use longhand_tests::Harness;
use longhand_tests::sensitive::play;
use reqwest::StatusCode;
use serde_json::{Value, json};

fn asking_for(schema: &Value) -> Value {
    json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema } } })
}

async fn judged(text: String, schema: Value) -> Value {
    let playback = play(Script { deltas: vec![text], ..Script::default() }).unwrap();
    let harness = Harness::start(playback.base_url(), &[]).await;
    let id = harness.start_generation(asking_for(&schema)).await;
    let record = harness.ended(&id).await;
    harness.finish().await;
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_whose_check_would_take_for_ever_is_refused_at_the_start() {
    let mut definitions = serde_json::Map::new();
    for link in 0..40 {
        let next = json!({ "$ref": format!("#/definitions/a{}", link + 1) });
        definitions.insert(format!("a{link}"), json!({ "anyOf": [next.clone(), next] }));
    }
    definitions.insert("a40".into(), json!(false));
    let (harness, _playback) = Harness::playing(Script::default(), &[]).await;
    let mut body = asking_for(&json!({ "$ref": "#/definitions/a0", "definitions": definitions }));
    body["model"] = "m".into();
    body["prompt"] = "p".into();
    let (status, problem) = harness.post(&body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["errors"][0]["pointer"], "/response_format/json_schema/schema");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_errors_are_told_in_one_and_a_name_of_half_a_megabyte_in_two_hundred_characters() {
    let many = format!("[{}]", vec!["1"; 500_000].join(","));
    let record = judged(many, json!({ "items": { "type": "string" } })).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(record["metadata"]["validation_errors"], json!([{ "path": "output/0", "message": "must be a string" }]));

    let name = "n".repeat(450_000);
    let record = judged(json!({ name: 1 }).to_string(), json!({ "properties": {}, "additionalProperties": false })).await;
    let path = record["metadata"]["validation_errors"][0]["path"].as_str().unwrap();
    assert!(path.chars().count() < 220 && path.starts_with("output/nnn"), "{path}");
}
