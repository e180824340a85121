//! Texts of versions side by side, with the accents that they have.

use longhand::limits::DIFF_LINES_MAX;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::{Value, json};

use super::Scene;

async fn subject_of(texts: &[Value]) -> Scene {
    let scene = Scene::start().await;
    for text in texts {
        scene.done("POST", "subjects/s/versions", text).await;
    }
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_tells_lines_and_takes_white_space_of_json_for_nothing() {
    let scene = subject_of(&[
        json!({ "text": "mañana\nestación\ncorazón\n" }),
        json!({ "text": "mañana\nestaciones\ncorazón\n" }),
        json!({ "json": { "país": "España", "año": 1 } }),
        json!({ "text": "{\"país\": \"España\",\n  \"año\": 1}" }),
    ])
    .await;
    let diff = scene.found("subjects/s/diff?from=1&to=2").await;
    assert_eq!((&diff["added"], &diff["removed"], &diff["is_json"]), (&json!(1), &json!(1), &json!(false)));
    let lines: Vec<(&str, &str)> = diff["hunks"][0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["op"].as_str().unwrap(), line["text"].as_str().unwrap()))
        .collect();
    assert_eq!(lines, [(" ", "mañana\n"), ("-", "estación\n"), ("+", "estaciones\n"), (" ", "corazón\n")]);
    let same = scene.found("subjects/s/diff").await;
    assert_eq!((&same["from"], &same["to"], &same["is_json"], &same["hunks"]), (&json!(3), &json!(4), &json!(true), &json!([])));
    scene.done("POST", "subjects/s/versions", &json!({ "text": "\n".repeat(DIFF_LINES_MAX) })).await;
    let (status, problem) = scene.ask("GET", "subjects/s/diff", None, None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("text_too_large")));
    assert_eq!(scene.ask("GET", "subjects/s/diff?from=9", None, None).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_version_in_every_form() {
    let long = "corazón ".repeat(2_000);
    let scene =
        subject_of(&[json!({ "text": "=SUM(A1)", "reason": "+ññ" }), json!({ "text": long, "reason": "á, \"b\"" })]).await;
    let export = async |format: &str| {
        let request = scene.harness.http.get(scene.harness.url_of(&format!("/v1/subjects/s/export?format={format}")));
        let response = scene.harness.execute(request.build().unwrap()).await;
        assert_eq!(response.headers()[CONTENT_DISPOSITION], format!("attachment; filename=\"s.{format}\""));
        let media_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (media_type, response.text().await.unwrap())
    };
    let (_, whole) = export("json").await;
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!((&whole["versions"][0]["text"], &whole["versions"][1]["text"]), (&json!("=SUM(A1)"), &json!(long)));
    let (_, lines) = export("ndjson").await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(whole["versions"], json!(lines));
    let (media_type, markdown) = export("md").await;
    assert_eq!(media_type, "text/markdown; charset=utf-8");
    assert!(markdown.contains("## Version 2") && markdown.contains("> +ññ"), "{markdown}");
    let (media_type, table) = export("csv").await;
    assert_eq!(media_type, "text/csv; charset=utf-8");
    // The byte order mark, by which Excel knows the encoding; `text` has taken none away.
    assert!(table.contains("'=SUM(A1)") && table.contains("'+ññ") && table.contains("\"á, \"\"b\"\"\""), "{table}");
    let bytes = scene.harness.http.get(scene.harness.url_of("/v1/subjects/s/export?format=csv")).build().unwrap();
    assert!(scene.harness.execute(bytes).await.bytes().await.unwrap().starts_with(b"\xef\xbb\xbfnumber,"));
    let (status, problem) = scene.ask("GET", "subjects/s/export?format=xlsx", None, None).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("format")));
    scene.harness.finish().await;
}
