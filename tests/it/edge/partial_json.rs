//! `GET /v1/generations/{id}/progress?partial=json`: the JSON of a text that is still being written.

use longhand_local::playback::Ending;
use longhand_local::{Playback, Script};
use longhand_tests::Harness;
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn partial(harness: &Harness, id: &str) -> Value {
    let (status, view) = harness.get(&format!("generations/{id}/progress?partial=json")).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    assert!(view.as_object().unwrap().contains_key("partial"), "{view}");
    view
}

/// A generation that has said these pieces, and says no more for now.
async fn said(pieces: &[&str]) -> (Harness, Playback, String) {
    let script = Script { ending: Ending::Stall, ..Script::new(pieces.iter().copied()) };
    let (harness, playback) = Harness::playing(script, &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == pieces.len()).await;
    (harness, playback, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certain_so_far_is_shown_and_what_is_not_is_left_out() {
    let cases = [
        (&["{\"title\": \"Hola", " mun", "do\", \"price\": 12"][..], json!({ "title": "Hola mundo" })),
        (&["Here it is:\n\n```js", "on\n[1, {\"a\": [true, fal"], json!([1, { "a": [true] }])),
        (&["{\"text\": \"two \\", "u00f1"], json!({ "text": "two ñ" })),
        (&["I am thinking"], Value::Null),
        (&["```json\n[1]\n```\n```json\n[2]\n```"], Value::Null),
    ];
    for (pieces, expected) in cases {
        let (harness, _playback, id) = said(pieces).await;
        let view = partial(&harness, &id).await;
        assert_eq!(view["partial"], expected, "{pieces:?}");
        let (_, plain) = harness.get(&format!("generations/{id}/progress")).await;
        assert!(!plain.as_object().unwrap().contains_key("partial"), "only where it is asked for");
        assert_eq!(
            (&view["progress"]["received_bytes"], &view["status"]),
            (&plain["progress"]["received_bytes"], &plain["status"])
        );

        let url = format!("{}/v1/generations/{id}/cancel", harness.stack.url());
        assert_eq!(harness.http.post(url).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(partial(&harness, &id).await["partial"], expected, "cut off: what was certain, from the log");
        harness.ended(&id).await;
        assert_eq!(partial(&harness, &id).await["partial"], expected, "cut off: what was certain, from the bucket");
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_only_grows_and_ends_as_the_final_value() {
    let script = Script { tempo: 1_500.0, ..Script::recorded().unwrap() };
    let whole: Value = serde_json::from_str(&script.text()).unwrap();
    let (harness, _playback) = Harness::playing(script, &[("LONGHAND_UNWATCHED_WINDOW_MS", "20")]).await;
    let id = harness.start_generation(json!({})).await;
    let (mut sizes, mut statuses) = (vec![0], Vec::new());
    while statuses.last() != Some(&json!("completed")) {
        let view = partial(&harness, &id).await;
        assert_ne!(view["status"], "failed");
        let size = view["partial"].to_string().len();
        assert!(size >= *sizes.last().unwrap() || view["partial"].is_null());
        sizes.push(if view["partial"].is_null() { 0 } else { size });
        statuses.push(view["status"].clone());
    }
    sizes.dedup();
    assert!(sizes.len() > 5, "seen in the making: {sizes:?}");
    let view = partial(&harness, &id).await;
    assert_eq!(view["partial"], whole);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_as_written_a_number_alone_waits_for_the_end_and_large_json_comes_from_the_bucket() {
    let large = json!({ "filler": "x".repeat(100_000) }).to_string();
    for (text, expected) in [
        ("[12345678901234567890.10, 0.10]", "[12345678901234567890.10,0.10]"),
        ("12", "12"),
        (large.as_str(), large.as_str()),
        ("so: 12", "null"),
    ] {
        let (harness, _playback) = Harness::playing(Script::new([text]), &[]).await;
        let id = harness.start_generation(json!({})).await;
        harness.ended(&id).await;
        let url = format!("{}/v1/generations/{id}/progress?partial=json", harness.stack.url());
        let body = harness.http.get(url).send().await.unwrap().text().await.unwrap();
        let partial = body.split_once("\"partial\":").unwrap().1.replace(", ", ",");
        assert_eq!(partial, format!("{expected}}}"));
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_attempt_begins_with_nothing_and_other_forms_are_refused() {
    let script = Script { ending: Ending::Cut, ..Script::new(["{\"a\": [1, 2,"]) };
    let (harness, playback) = Harness::playing(script, &[]).await;
    let id = harness.start_generation(json!({ "max_attempts": 2 })).await;
    harness.ended(&id).await;
    assert_eq!(playback.stats().requests, 2);
    assert_eq!(partial(&harness, &id).await["partial"], json!({ "a": [1, 2] }), "the last attempt's alone");
    let (status, problem) = harness.get(&format!("generations/{id}/progress?partial=xml")).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("partial")));
    assert_eq!(harness.get("generations/no-id/progress?partial=json").await.0, StatusCode::NOT_FOUND);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_reads_the_log_once() {
    let (harness, _playback, id) = said(&["{\"a\": 1, ", "\"b\": 2, "]).await;
    let app = harness.stack.app().await.unwrap();
    let before = app.meter().reading().reads;
    let view = app.progress_with_partial(&longhand_tests::key_of(&id)).await.unwrap();
    assert_eq!(view.partial.unwrap().get(), "{\"a\": 1, \"b\": 2}");
    assert_eq!(app.meter().reading().reads - before, 3, "the record, meta, and the log");
    harness.finish().await;
}
