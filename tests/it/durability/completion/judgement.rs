//! Validation, soft and strict: of the output against what was asked for, and of the metadata against its contract.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::json::schema::GENERATION_METADATA;
use longhand_tests::Harness;
use longhand_tests::hostile::{Script, wire};
use serde_json::{Value, json};

use super::{made, playing, saying};

/// The stored validation issue that a record names: place and message of each error.
async fn issue(harness: &Harness, record: &Value) -> Vec<(String, String)> {
    let table = &harness.stack.environment("compact")["LONGHAND_RECORDS_TABLE"];
    let key = |text: String| AttributeValue::S(text);
    let named = record["last_validation_issue_id"].as_str().expect("an issue");
    let get = harness.clients().await.dynamodb.get_item().table_name(table);
    let get = get.key("pk", key(format!("local#{}", record["id"].as_str().unwrap()))).key("sk", key(format!("issue#{named}")));
    let item = get.send().await.unwrap().item.expect("a row");
    let errors = item["errors"].as_l().unwrap().iter().map(|error| error.as_m().unwrap());
    let text = |error: &HashMap<String, AttributeValue>, name: &str| error[name].as_s().unwrap().clone();
    let errors: Vec<_> = errors.map(|error| (text(error, "path"), text(error, "message"))).collect();
    assert_eq!(item["error_count"].as_n().unwrap(), &errors.len().to_string());
    errors
}

/// The same errors are in the issue's row and in the record's metadata.
async fn assert_issue(harness: &Harness, record: &Value, expected: &[(&str, &str)]) {
    let told: Vec<Value> = expected.iter().map(|(path, message)| json!({ "path": path, "message": message })).collect();
    assert_eq!(record["metadata"]["validation_errors"], json!(told), "{record}");
    assert_eq!(record["metadata"]["last_validation_issue_id"], record["last_validation_issue_id"]);
    let row = issue(harness, record).await;
    let row: Vec<(&str, &str)> = row.iter().map(|(path, message)| (path.as_str(), message.as_str())).collect();
    assert_eq!(row, expected);
}

/// The result was refused, and is there to be looked at.
async fn assert_refused(harness: &Harness, record: &Value, text: &str) {
    let issue = record["last_validation_issue_id"].as_str().expect("an issue");
    let message = format!("the result did not pass strict validation; see validation issue {issue}");
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("validation_error")), "{record}");
    assert_eq!(record["error"], json!({ "code": "validation_error", "message": message }));
    assert_eq!(record["metadata"]["error"], "validation_error");
    assert!(record["llm_response"].is_null() && record["compacted"].is_string(), "{record}");
    assert_eq!(harness.text(record["id"].as_str().unwrap()).await, text);
}

fn object() -> Value {
    json!({ "type": "json_object" })
}

#[expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]
fn schema(schema: Value) -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } })
}

const NO_JSON: [(&str, &str); 1] = [("output", "must be JSON, bare or in one Markdown fence")];

#[tokio::test(flavor = "multi_thread")]
async fn text_where_json_was_asked_for_is_kept_softly_and_refused_strictly() {
    let (harness, _hostile) = saying("hola", &[]).await;
    let (id, record) = made(&harness, json!({ "response_format": object() })).await;
    assert_eq!((&record["status"], &record["error"]), (&json!("completed"), &json!(null)));
    assert_issue(&harness, &record, &NO_JSON).await;
    assert_eq!(harness.text(&id).await, "hola");
    assert_eq!(GENERATION_METADATA.errors(&record["metadata"]), []);
    let (_, record) = made(&harness, json!({ "response_format": object(), "validation": "strict" })).await;
    assert_refused(&harness, &record, "hola").await;
    assert_issue(&harness, &record, &NO_JSON).await;
    assert_eq!(GENERATION_METADATA.errors(&record["metadata"]), []);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_place_where_a_result_breaks_its_schema_is_told() {
    let text = r#"{"score": "0.78", "tags": [1, "a"], "extra": null}"#;
    let asked = schema(json!({
        "type": "object", "required": ["score", "name"], "additionalProperties": false,
        "properties": {
            "score": { "type": "number" }, "tags": { "type": "array", "items": { "type": "string" } }, "name": { "type": "string" },
        },
    }));
    let mut expected = [
        ("output/extra", "is not a known field"),
        ("output/name", "is required"),
        ("output/score", "must be a number"),
        ("output/tags/0", "must be a string"),
    ];
    let (harness, _hostile) = saying(text, &[]).await;
    let (_, record) = made(&harness, json!({ "response_format": asked.clone() })).await;
    let mut told = issue(&harness, &record).await;
    told.sort();
    expected.sort_unstable();
    assert_eq!(told, expected.map(|(path, message)| (path.to_owned(), message.to_owned())));
    assert_eq!((&record["status"], &record["llm_response"]["score"]), (&json!("completed"), &json!("0.78")), "it is kept");
    let (_, record) = made(&harness, json!({ "response_format": asked, "validation": "strict" })).await;
    assert_refused(&harness, &record, text).await;
    let right = schema(json!({ "required": ["score"] }));
    let (_, record) = made(&harness, json!({ "response_format": right, "validation": "strict" })).await;
    assert_eq!((&record["status"], &record["last_validation_issue_id"]), (&json!("completed"), &json!(null)));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_cannot_be_checked_is_told_with_the_reason() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let scripts = ["1e400", &deep].map(|text| Script::stream([wire::whole(&[text])]));
    let (harness, _hostile) = playing(scripts.into(), &[]).await;
    let request = json!({ "response_format": schema(json!({ "type": "array" })), "validation": "strict" });
    let (_, record) = made(&harness, request.clone()).await;
    let large = "could not be checked against the schema: number out of range at line 1 column 5";
    assert_issue(&harness, &record, &[("output", large)]).await;
    let (_, record) = made(&harness, request).await;
    let deep = "could not be checked against the schema: recursion limit exceeded at line 1 column 128";
    assert_issue(&harness, &record, &[("output", deep)]).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_result_that_is_whole_is_judged() {
    let cut = Script::stream([wire::text("{\"a\": "), wire::finish("length"), wire::DONE.into()]);
    let broken = Script::stream([wire::text("{\"a\": ")]);
    let (harness, _hostile) = playing(vec![cut, broken], &[("METADATA_VALIDATION_STRICT", "1")]).await;
    let request = json!({ "response_format": object(), "max_attempts": 1 });
    for (status, reason) in [("incomplete", "max_output_tokens"), ("failed", "interrupted")] {
        let (_, record) = made(&harness, request.clone()).await;
        assert_eq!((&record["status"], &record["reason"]), (&json!(status), &json!(reason)), "{record}");
        assert!(record["last_validation_issue_id"].is_null(), "{record}");
        assert_eq!(GENERATION_METADATA.errors(&record["metadata"]), []);
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_the_published_contracts() {
    let (harness, _hostile) = saying("{}", &[]).await;
    let (_, record) = made(&harness, json!({ "metadata": { "provider": "mine", "chunk_count": -1 } })).await;
    let metadata = &record["metadata"];
    assert_eq!(GENERATION_METADATA.errors(metadata), []);
    assert_eq!(
        (&metadata["provider"], &metadata["model"], &metadata["used_provider_model"]),
        (&json!("test"), &json!("m"), &json!("m-2"))
    );
    assert_eq!(metadata["chunk_count"], record["chunk_count"]);
    let progress =
        json!({ "received_chunks": 1, "received_bytes": 2, "total_chunks": 1, "expected_total_bytes": null, "percent": 100 });
    assert_eq!(metadata["progress"], progress);
    assert_eq!((&metadata["sent_at"], &metadata["compacted_at"]), (&record["created_at"], &record["compacted_at"]));
    for (name, same) in [("first_chunk_at", "first_chunk_at"), ("last_chunk_at", "last_chunk_at")] {
        assert_eq!(metadata[name], record["progress"][same]);
    }
    harness.finish().await;
}

/// Nobody watches, so the first delta waits for the last before both are stored.
#[tokio::test(flavor = "multi_thread")]
async fn first_chunk_came_before_it_was_stored() {
    let slow = Script::stream([wire::text("uno "), wire::text("dos"), wire::ending()]).paced(Duration::from_millis(100));
    let (harness, _hostile) = playing(vec![slow], &[("LONGHAND_UNWATCHED_WINDOW_MS", "60000")]).await;
    let (id, record) = made(&harness, json!({})).await;
    assert_eq!(harness.text(&id).await, "uno dos");
    let moment = |name: &str| record["progress"][name].as_str().unwrap().to_owned();
    assert!(moment("first_chunk_at") < moment("last_chunk_at"), "{record}");
    assert!(moment("first_chunk_at").as_str() > record["created_at"].as_str().unwrap(), "{record}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_decides_before_the_deployment_whether_validation_is_strict() {
    let expected = [("output", "must be JSON, bare or in one Markdown fence")];
    let (harness, _hostile) = saying("hola", &[("METADATA_VALIDATION_STRICT", "1")]).await;
    let (_, record) = made(&harness, json!({ "response_format": object() })).await;
    assert_refused(&harness, &record, "hola").await;
    assert_issue(&harness, &record, &expected).await;
    let (_, record) = made(&harness, json!({ "response_format": object(), "validation": "soft" })).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_issue(&harness, &record, &expected).await;
    harness.finish().await;
}
