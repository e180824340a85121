//! Pipelines through the HTTP edge: published in versions, checked, read and listed.

mod agents;

use std::sync::Arc;

use futures::future::join_all;
use longhand::pipelines::PipelineRef;
use longhand_tests::{Api, Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

const TRAINING: &str = include_str!("../../../infra/pipelines/edn360-training.yaml");
const NUTRITION: &str = include_str!("../../../infra/pipelines/edn360-nutrition.yaml");
const FULL: &str = include_str!("../../../infra/pipelines/edn360-full.yaml");
const QUESTIONNAIRE: &str = include_str!("../../../infra/pipelines/questionnaire.json");
/// As the field states it, in micro-dollars per million tokens.
const PRICES: &str = r#"{"openai":{"gpt-5-mini":{"input":75000,"output":300000}}}"#;

async fn stack(prices: &str) -> Harness {
    let env = environment(
        "",
        &[("LONGHAND_PROVIDERS", r#"{"openai":{"base_url":"http://127.0.0.1:9"}}"#), ("LONGHAND_PRICES", prices)],
    );
    Harness::with(longhand_local::Options { env, ..longhand_local::Options::default() }).await
}

fn json_of(yaml: &str) -> Value {
    serde_norway::from_str(yaml).unwrap()
}

/// A document of one step.
fn small(name: &str, prompt: &str) -> Value {
    json!({ "longhand": "pipeline/1", "name": name, "steps": [{ "id": "A", "model": "gpt-5-mini", "prompt": prompt }] })
}

async fn send(api: &Api, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = api.http.request(method.parse().unwrap(), api.url_of(&format!("/v1/pipelines{path}"))).json(body);
    api.send(request.build().unwrap()).await
}

async fn publish(api: &Api, document: &Value) -> (StatusCode, Value) {
    send(api, "PUT", &format!("/{}", document["name"].as_str().unwrap()), document).await
}

fn pointers(answer: &Value) -> Vec<&str> {
    answer["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_become_versions_that_never_change() {
    let harness = stack("{}").await;
    let (first, second) = (small("greeting", "one"), small("greeting", "two"));
    for (document, expected, version) in [
        (&first, StatusCode::CREATED, 1),
        (&first, StatusCode::OK, 1),
        (&second, StatusCode::CREATED, 2),
        (&second, StatusCode::OK, 2),
        // What was taken back is published once more: the newest version is what counts.
        (&first, StatusCode::CREATED, 3),
    ] {
        let (status, told) = publish(&harness, document).await;
        assert_eq!((status, &told["version"]), (expected, &json!(version)), "{told}");
    }
    let of = async |path: &str| harness.get(&format!("pipelines/greeting{path}")).await;
    for (path, version, prompt) in
        [("", 3, "one"), ("/versions/1", 1, "one"), ("/versions/2", 2, "two"), ("/versions/3", 3, "one")]
    {
        let (status, told) = of(path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!((&told["version"], &told["document"]["steps"][0]["prompt"]), (&json!(version), &json!(prompt)));
    }
    assert_eq!(of("/versions/1").await.1["sha256"], of("/versions/3").await.1["sha256"]);
    for absent in ["/versions/0", "/versions/4", "/versions/01", "/versions/x", "/versions/1000000"] {
        assert_eq!(of(absent).await.0, StatusCode::NOT_FOUND, "{absent}");
    }
    // What is stored can be published as it is: it is the same.
    let stored = of("").await.1["document"].clone();
    assert_eq!(publish(&harness, &stored).await.0, StatusCode::OK);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_publish_at_once_get_numbers_without_gaps() {
    let harness = stack("{}").await;
    let documents: Vec<Value> = (0..8).map(|number| small("race", &format!("prompt {number}"))).collect();
    let told = join_all(documents.iter().map(|document| publish(&harness, document))).await;
    let mut versions: Vec<u64> = told.iter().map(|(_, told)| told["version"].as_u64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    for (document, (_, told)) in documents.iter().zip(&told) {
        let path = format!("pipelines/race/versions/{}", told["version"]);
        assert_eq!(harness.get(&path).await.1["document"]["steps"][0]["prompt"], document["steps"][0]["prompt"]);
    }
    // The same document from many at once is one version.
    let same = small("same", "prompt");
    let told = join_all((0..8).map(|_| publish(&harness, &same))).await;
    assert_eq!(told.iter().filter(|(status, _)| *status == StatusCode::CREATED).count(), 1);
    assert!(told.iter().all(|(_, told)| told["version"] == 1));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_that_are_used_are_written_into_the_version() {
    let harness = stack(PRICES).await;
    let (training, nutrition, full) = (json_of(TRAINING), json_of(NUTRITION), json_of(FULL));
    let (status, told) = publish(&harness, &full).await;
    assert_eq!((status, pointers(&told)), (StatusCode::UNPROCESSABLE_ENTITY, vec!["/steps/0/use", "/steps/1/use"]));
    for document in [&training, &nutrition, &full] {
        assert_eq!(publish(&harness, document).await.0, StatusCode::CREATED);
    }
    let (_, version) = harness.get("pipelines/edn360-full").await;
    assert_eq!(version["document"]["steps"].as_array().unwrap().len(), 18);
    assert_eq!(version["document"]["parts"]["edn360-training"]["version"], 1);
    // A new version of a part changes nothing until the whole is published again.
    let mut changed = training.clone();
    changed["defaults"]["retries"] = json!(1);
    assert_eq!(publish(&harness, &changed).await.1["version"], 2);
    assert_eq!(harness.get("pipelines/edn360-full").await.1["document"], version["document"]);
    let (status, again) = publish(&harness, &full).await;
    assert_eq!((status, &again["version"]), (StatusCode::CREATED, &json!(2)));
    let mut pinned = full.clone();
    pinned["steps"][0]["use"] = json!("edn360-training@1");
    let (_, told) = publish(&harness, &pinned).await;
    assert_eq!(told["sha256"], version["sha256"], "as it was with the first version of the part");
    let app = harness.stack.app().await.unwrap();
    let reference: PipelineRef = "edn360-full@1".parse().unwrap();
    let organization = "local".parse().unwrap();
    let read = app.pipeline(&organization, &reference).await.unwrap();
    assert_eq!((read.version, read.document.version, read.document.sha256()), (1, 1, read.sha256.clone()));
    assert!(Arc::ptr_eq(&read, &app.pipeline(&organization, &reference).await.unwrap()), "read once");
    let newest = app.pipeline(&organization, &"edn360-full".parse().unwrap()).await.unwrap();
    assert_eq!(newest.version, 3);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_told_at_once() {
    let harness = stack("{}").await;
    let mut wrong = json_of(TRAINING);
    wrong["novelty"] = json!(1);
    wrong["steps"][3]["needs"] = json!(["E99"]);
    wrong["steps"][4]["prompt"] = json!("{{ steps.E8.output | upper }}");
    wrong["result"]["audit"] = json!("steps.E77.output");
    let (status, told) = send(&harness, "PUT", "/other", &wrong).await;
    assert_eq!((status, &told["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_pipeline")));
    for pointer in ["/name", "/novelty", "/steps/3/needs/0", "/steps/4/prompt", "/result/audit"] {
        assert!(pointers(&told).contains(&pointer), "{pointer} in {told}");
    }
    // A sound document that this deployment cannot run: it has no prices, and no provider of this name.
    let mut unknown = json_of(TRAINING);
    unknown["steps"][0]["provider"] = json!("nobody");
    let (_, told) = publish(&harness, &unknown).await;
    assert_eq!((pointers(&told)[0], pointers(&told).len()), ("/steps/0/provider", 9), "{told}");
    assert!(told["errors"][1]["detail"].as_str().unwrap().starts_with("step E2: must have a price"), "{told}");
    let large = small("large", &"x".repeat(300_000));
    let (status, told) = publish(&harness, &large).await;
    assert_eq!((status, pointers(&told)), (StatusCode::UNPROCESSABLE_ENTITY, vec![""]), "{told}");
    assert_eq!(harness.get("pipelines").await.1["data"], json!([]), "nothing was stored");
    let put = harness.http.put(harness.url_of("/v1/pipelines/yaml")).body("longhand: pipeline/1").build().unwrap();
    assert_eq!(harness.send(put).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(send(&harness, "PUT", "/Not-A-Name", &json!({})).await.0, StatusCode::NOT_FOUND);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_shows_requests_or_what_is_wrong_with_the_input() {
    let harness = stack(PRICES).await;
    let (training, sample): (Value, Value) = (json_of(TRAINING), serde_json::from_str(QUESTIONNAIRE).unwrap());
    let check = async |body: Value| send(&harness, "POST", "/edn360-training/check", &body).await;
    let (status, told) =
        check(json!({ "document": training, "input": sample, "outputs": { "E1": { "client_summary": "una montañera" } } })).await;
    assert_eq!((status, &told["version"], &told["is_new"]), (StatusCode::OK, &json!(1), &json!(true)), "{told}");
    let request = &told["rehearsal"]["steps"][2]["request"];
    assert!(request["prompt"].as_str().unwrap().starts_with(r#"{"client_summary":"una montañera"}"#), "{request}");
    assert_eq!(
        request["instructions"],
        "You are agent E3 (Adaptation) of E.D.N.360. Answer with one JSON object and nothing else."
    );
    assert_eq!(told["rehearsal"]["subject"], "training-plan:cliente-0042");
    let (_, told) = check(json!({ "document": training, "input": { "submission": { "user_id": "u" } } })).await;
    assert_eq!(told["rehearsal"], Value::Null);
    let errors = told["input_errors"]["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["path"]), (1, &json!("submission.responses")), "{told}");
    assert_eq!(errors[0]["message"], "missing: the answers of the questionnaire");
    assert_eq!(harness.get("pipelines/edn360-training").await.0, StatusCode::NOT_FOUND, "nothing was stored");
    publish(&harness, &training).await;
    let (_, told) = check(json!({ "document": training })).await;
    assert_eq!((&told["version"], &told["is_new"], &told["rehearsal"]), (&json!(1), &json!(false), &Value::Null));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_are_listed_by_name() {
    let harness = stack("{}").await;
    for name in ["c", "a", "b-2", "b", "d"] {
        publish(&harness, &small(name, "x")).await;
    }
    publish(&harness, &small("b", "y")).await;
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = harness.get(&format!("pipelines?limit=2{after}")).await;
        let data = page["data"].as_array().unwrap();
        names.extend(
            data.iter().map(|pipeline| (pipeline["name"].as_str().unwrap().to_owned(), pipeline["version"].as_u64().unwrap())),
        );
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
    let expected = [("a", 1), ("b", 2), ("b-2", 1), ("c", 1), ("d", 1)].map(|(name, version)| (name.to_owned(), version));
    assert_eq!(names, expected);
    for wrong in ["limit=0", "limit=101", "after=A", "other=1"] {
        assert_eq!(harness.get(&format!("pipelines?{wrong}")).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    harness.finish().await;
}
