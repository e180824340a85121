//! The result as JSON: found where it is certain, kept as it was written.

use std::time::Duration;

use futures::future::join_all;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::{made, saying};

/// Both the record and the output of a generation. Its JSON is read as it was sent: a number may be too large for a double.
#[derive(Deserialize)]
struct Resource {
    llm_response: Box<RawValue>,
    last_validation_issue_id: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Resource>,
}

async fn read<R: DeserializeOwned>(harness: &Harness, path: &str) -> R {
    let answer = harness.http.get(format!("{}/v1/{path}", harness.stack.url())).send().await.unwrap();
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Has the provider's text made the result, and answers with what the record and the output both say its JSON is.
async fn found(harness: &Harness, provider: &str, text: &str) -> String {
    let id = harness.start_generation(json!({ "provider": provider })).await;
    let began = Instant::now();
    while harness.get(&format!("generations/{id}/progress")).await.1["status"] != "completed" {
        assert!(began.elapsed() < PATIENCE, "{provider} is not completed");
        sleep(Duration::from_millis(20)).await;
    }
    let record: Resource = read(harness, &format!("generations/{id}")).await;
    assert!(record.last_validation_issue_id.is_none());
    let output: Resource = read(harness, &format!("generations/{id}/output")).await;
    assert_eq!(output.text.as_deref(), Some(text));
    assert_eq!(output.llm_response.get(), record.llm_response.get());
    record.llm_response.get().to_owned()
}

/// Makes each text the result of a generation, and compares what its record and its output say the JSON is.
async fn assert_found(rows: &[(&str, &str, &str)]) {
    let scripts = rows.iter().map(|(name, text, _)| (*name, vec![Script::stream([wire::whole(&[text])])]));
    let hostile = Hostile::start(scripts).await;
    let providers = hostile.providers(rows.iter().map(|(name, ..)| *name));
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers)]).await;
    let found = join_all(rows.iter().map(|(name, text, _)| found(&harness, name, text))).await;
    let expected: Vec<&str> = rows.iter().map(|(.., json)| *json).collect();
    assert_eq!(found, expected);
    let page: Page = read(&harness, "generations").await;
    assert_eq!(page.data.len(), rows.len(), "a list shows them all");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_found_bare_and_in_one_fence_and_what_is_no_json_is_no_error() {
    let rows = [
        ("bare", " {\"b\": 1, \"a\": [0.78]}\n", "{\"b\": 1, \"a\": [0.78]}"),
        ("fenced", "Toma:\n```json\n{\"a\": \"```\"}\n```\n", "{\"a\": \"```\"}"),
        ("scalar", "\"0\"", "\"0\""),
        ("null", "null", "null"),
        ("prose", "Uno {\"a\": 1} dos", "null"),
        ("two-fences", "```\n1\n```\n```\n2\n```", "null"),
        ("cut", "{\"a\": .78}", "null"),
        ("empty", "", "null"),
    ];
    assert_found(&rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_stays_as_it_was_written() {
    let deep = format!("{}0{}", "[".repeat(100), "]".repeat(100));
    let numbers = r#"{"a":1.10,"b":1e400,"c":12345678901234567890,"d":-0.0,"e":0.1000000000000000055511151231257827}"#;
    let strings = "{\"\\u0041\": \"\\ud83d\\ude00 😀 \\/ <\u{2028}>\", \"a\": 1, \"a\": 2}";
    assert_found(&[("numbers", numbers, numbers), ("strings", strings, strings), ("deep", &deep, &deep)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_too_large_or_too_deep_for_the_record_is_in_the_blob_alone() {
    let fits = format!("[{:?}]", "a".repeat(64 * 1024 - 4));
    let large = format!("[{:?}]", "a".repeat(64 * 1024 - 3));
    let deep = format!("{}\"[{{\"{}", "[".repeat(101), "]".repeat(101));
    let endless = "[".repeat(3_000) + &"]".repeat(3_000);
    let rows = [("fits", &*fits, &*fits), ("large", &large, "null"), ("deep", &deep, "null"), ("endless", &endless, "null")];
    assert_found(&rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_not_on_the_record_is_json_all_the_same() {
    let large = format!("[{:?}]", "a".repeat(64 * 1024));
    let (harness, _hostile) = saying(&large, &[]).await;
    let request = json!({ "response_format": { "type": "json_object" }, "validation": "strict" });
    let (_, record) = made(&harness, request).await;
    assert_eq!((&record["status"], &record["llm_response"]), (&json!("completed"), &json!(null)), "{record}");
    assert_eq!(record["bytes"], large.len());
    harness.finish().await;
}
