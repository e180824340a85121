//! What is told of a generation: its ids in every line, one line for its outcome, and the metrics in it.

use std::collections::BTreeSet;
use std::time::Duration;

use longhand::telemetry::{ATTEMPT, MEASURED, OUTCOME, SWEEP};
use longhand_local::playback::{Ending, Usage};
use longhand_local::{Options, Script};
use longhand_tests::{Harness, environment, key_of, logs};
use serde_json::{Value, json};

const ENDED: &str = "A generation has ended.";

fn of(id: &str) -> Vec<Value> {
    logs::captured().into_iter().filter(|line| line["generation"] == id).collect()
}

fn outcomes(id: &str) -> Vec<Value> {
    of(id).into_iter().filter(|line| line["message"] == ENDED).collect()
}

/// That CloudWatch can make metrics of the line: every one of them, if they are `all`.
fn assert_measured(line: &Value, name: &str, all: bool) {
    let measured = MEASURED.iter().find(|measured| measured.line == name).unwrap();
    assert!(line["_aws"]["Timestamp"].is_u64(), "{line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    let expected: Vec<_> =
        if measured.dimensions.is_empty() { vec![json!([[]])] } else { vec![json!([[]]), json!([measured.dimensions])] };
    assert_eq!(directives.iter().map(|directive| directive["Dimensions"].clone()).collect::<Vec<_>>(), expected);
    for dimension in measured.dimensions {
        assert!(line[dimension].is_string(), "{dimension}: {line}");
    }
    let metrics = directives.iter().flat_map(|directive| directive["Metrics"].as_array().unwrap());
    for metric in metrics {
        let unit = measured.metrics.iter().find(|(name, _)| metric["Name"] == *name).unwrap().1;
        assert!(line[metric["Name"].as_str().unwrap()].is_number() && metric["Unit"] == unit, "{metric}: {line}");
    }
    assert!(directives.iter().all(|directive| directive["Namespace"] == "longhand"));
    let counts: Vec<_> = directives.iter().map(|directive| directive["Metrics"].as_array().unwrap().len()).collect();
    let all_counts = [measured.metrics.len(), measured.dimensioned.len()];
    assert!(!all || counts[..] == all_counts[..counts.len()], "{counts:?}: {line}");
}

#[tokio::test]
async fn lines_carry_the_request_id() {
    logs::capture();
    let (harness, _playback) = Harness::playing(Script::new(["Uno ", "dos ", "tres"]), &[]).await;
    let request = harness.http.post(harness.url_of("/v1/responses"));
    let request = request.json(&json!({ "model": "test/m", "input": "Hola", "background": true }));
    let response = harness.execute(request.build().unwrap()).await;
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let response: Value = response.json().await.unwrap();
    let id = response["id"].as_str().unwrap().replace("resp_", "gen_");
    harness.ended(&id).await;
    harness.finish().await;

    let lines = of(&id);
    let functions: BTreeSet<&str> = lines.iter().filter_map(|line| line["faas.name"].as_str()).collect();
    assert_eq!(functions, ["compact", "start", "stream"].into());
    for line in &lines {
        assert_eq!((&line["request_id"], &line["organization"]), (&json!(request_id), &json!("local")), "{line}");
        assert!(line["faas.invocation_id"].is_string() && line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(lines.iter().all(|line| line["gen_ai.provider.name"] == "test" && line["gen_ai.request.model"] == "m"));
}

#[tokio::test]
async fn outcome_and_attempt_lines() {
    logs::capture();
    let usage = Usage { prompt_tokens: 3, completion_tokens: 5 };
    let script = Script { usage: Some(usage), ..Script::new(["Uno ", "dos ", "tres"]) };
    let prices = [("LONGHAND_PRICES", r#"{"test":{"m":{"input":1000000,"output":2000000}}}"#)];
    let (harness, _playback) = Harness::playing(script, &prices).await;
    let before = harness.stack.write_units();
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let charged = harness.stack.write_units() - before;
    harness.finish().await;

    let [outcome] = &outcomes(&id)[..] else { panic!("{:#?}", of(&id)) };
    assert_measured(outcome, OUTCOME, true);
    let expected = json!({
        "status": "completed", "model": "m", "generations_ended": 1, "attempts": 1, "hand_overs": 0, "deltas": 3, "output_bytes": 12,
        "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 5, "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.operation.name": "chat", "cost_micro_dollars": 13, "compacted_by": "compact", "faas.name": "compact",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&outcome[name], value, "{name}: {outcome}");
    }
    assert_eq!(outcome["log_write_units"], outcome["chunk_count"], "small chunks are a unit each");
    let first_text = outcome["first_text_ms"].as_u64().unwrap();
    assert!(outcome["duration_ms"].as_u64() >= Some(first_text), "{outcome}");

    let attempts: Vec<Value> = of(&id).into_iter().filter(|line| line["message"] == "An attempt has ended.").collect();
    let [attempt] = &attempts[..] else { panic!("{attempts:#?}") };
    assert_measured(attempt, ATTEMPT, true);
    assert_eq!((&attempt["stopped"], &attempt["attempt"], &attempt["deltas"]), (&json!("completed"), &json!(1), &json!(3)));
    assert_eq!((&attempt["flushes"], &attempt["received_bytes"]), (&outcome["chunk_count"], &json!(12)));
    // The chunks and the claim; with the request, the record, its two indexes and its end it is all.
    let written = attempt["write_units"].as_u64().unwrap();
    assert_eq!(written, outcome["log_write_units"].as_u64().unwrap() + 1);
    assert!(written < charged, "{written} of {charged}");
}

#[tokio::test]
async fn outcome_is_logged_once() {
    logs::capture();
    // Cancelled by the caller, and compacted; the writer stops beside it.
    let (harness, _playback) = Harness::playing(Script { ending: Ending::Stall, ..Script::new(["Uno"]) }, &[]).await;
    let cancelled = harness.start_generation(json!({})).await;
    harness.until(&cancelled, |record| record["progress"]["received_chunks"] == 1).await;
    harness.cancel(&cancelled).await;
    harness.ended(&cancelled).await;
    // Compacted again, and again: nobody tells anew.
    let app = harness.stack.app().await.unwrap();
    for _ in 0..2 {
        app.compact(&key_of(&cancelled), "test").await.unwrap();
    }
    harness.finish().await;
    let [line] = &outcomes(&cancelled)[..] else { panic!("{:#?}", of(&cancelled)) };
    assert_eq!((&line["status"], &line["attempts"]), (&json!("cancelled"), &json!(1)));
    assert_eq!((&line["generations_ended"], &line["generations_failed"]), (&json!(1), &json!(0)));
    assert_measured(line, OUTCOME, false);

    // Failed by the provider.
    let (harness, _playback) = Harness::playing(Script { ending: Ending::Cut, ..Script::new(["Uno"]) }, &[]).await;
    let failed = harness.start_generation(json!({ "max_attempts": 2 })).await;
    harness.ended(&failed).await;
    harness.finish().await;
    let [line] = &outcomes(&failed)[..] else { panic!("{:#?}", of(&failed)) };
    assert_eq!((&line["status"], &line["error.type"]), (&json!("failed"), &json!("attempts_exhausted")));
    assert_eq!((&line["generations_ended"], &line["generations_failed"]), (&json!(1), &json!(1)));
    let stopped: Vec<_> = of(&failed).iter().filter_map(|line| Some(line["stopped"].as_str()?.to_owned())).collect();
    assert_eq!(stopped, ["interrupted", "failed"]);
}

#[tokio::test]
async fn sweep_logs_outcome_and_counts() {
    logs::capture();
    let options = Options { env: environment("http://127.0.0.1:9/v1", &[]), ..Options::default() };
    let clock = options.clock.clone();
    let harness = Harness::without(&["EveryMinute"], options).await;
    // Nothing streams it: its invoke is lost with the function's name.
    let app = harness.stack.app().await.unwrap();
    let request = longhand::generation::request::Request::parse(
        br#"{"provider":"test","model":"m","prompt":"Hola"}"#,
        &app.config().request_rules(),
    )
    .unwrap();
    let (app, organization) = (app.for_request(Some("req-1")), "local".parse().unwrap());
    let record = app.accept(&organization, &request, &longhand::Claim::None).await.unwrap().into_inner();
    clock.advance(Duration::from_hours(48));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    harness.finish().await;

    let id = record.generation.to_string();
    let [line] = &outcomes(&id)[..] else { panic!("{:#?}", of(&id)) };
    assert_measured(line, OUTCOME, false);
    assert_eq!((&line["request_id"], &line["faas.name"], &line["reason"]), (&json!("req-1"), &json!("sweep"), &json!("timeout")));
    let is_this =
        |line: &Value| line["message"] == "A sweep is done." && line["oldest_open_seconds"].as_u64() >= Some(48 * 60 * 60);
    let sweep = logs::captured().into_iter().find(is_this).unwrap();
    assert_measured(&sweep, SWEEP, true);
    assert_eq!((&sweep["open_generations"], &sweep["timed_out"]), (&json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_issues_are_counted_soft_ones_too() {
    logs::capture();
    let (harness, _playback) = Harness::playing(Script::new(["hola"]), &[]).await;
    let mut expected = Vec::new();
    for (format, issues) in [(json!({ "type": "text" }), 0), (json!({ "type": "json_object" }), 1)] {
        let id = harness.start_generation(json!({ "response_format": format })).await;
        assert_eq!(harness.ended(&id).await["status"], "completed");
        expected.push((id, issues));
    }
    // The line follows the write that makes the outcome visible.
    harness.finish().await;
    for (id, issues) in expected {
        assert_eq!(outcomes(&id)[0]["validation_issues"], issues);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generation_near_its_output_limit_is_warned_of_once() {
    logs::capture();
    let (harness, _playback) = Harness::playing(Script::new(["1234567890"; 9]), &[]).await;
    for (limit, warnings) in [(100, 1), (1_000, 0)] {
        let id = harness.start_generation(json!({ "max_output_bytes": limit })).await;
        assert_eq!(harness.ended(&id).await["status"], "completed");
        let lines = of(&id).into_iter().filter(|line| line["message"] == "A generation has 80 % of the output that it may have.");
        let lines: Vec<Value> = lines.collect();
        assert_eq!(lines.len(), warnings, "{lines:?}");
        assert!(lines.iter().all(|line| line["received_bytes"] == 80 && line["max_output_bytes"] == 100), "{lines:?}");
    }
    harness.finish().await;
}
