//! What reviews come to: an accepted generation whose prompt is large, its import, decisions, and the end of all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use longhand::Clock;
use longhand_tests::calls::Recorder;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::drive::{ask, large_prompt, options};

/// A large prompt, and an answer with two capabilities.
pub async fn with_an_import(recorder: Recorder) {
    let answer = json!({ "scenario_metadata": { "name": "S" }, "capabilities": [{ "name": "A" }, { "name": "B" }] }).to_string();
    let hostile = Hostile::improvising("test", move |_, _| Script::stream([wire::whole(&[&answer])])).await;
    let env = environment(&hostile.base_url("test"), &[("LONGHAND_IMPORT_GENERATION", "true")]);
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &Clock::system(), None)).await;
    let id = harness.start_generation(json!({ "prompt": large_prompt(), "subject": "s" })).await;
    harness.ended(&id).await;
    let accept = json!({ "import": true });
    let accepted = ask(&harness, "POST", &format!("/v1/generations/{id}/accept"), Some(&accept), StatusCode::CREATED).await;
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    let capability = |place: usize| accepted["import"]["report"]["capabilities"][place]["id"].as_str().unwrap();
    let of = |place| json!({ "items": [{ "id": capability(place) }] });
    for act in ["approve", "archive"] {
        ask(&harness, "POST", &format!("/v1/subjects/s/entities/{act}"), Some(&of(0)), StatusCode::OK).await;
    }
    let path = format!("/v1/subjects/s/entities/{}", capability(1));
    ask(&harness, "PATCH", &path, Some(&json!({ "name": "C" })), StatusCode::OK).await;
    let import = format!("/v1/subjects/s/imports/{}", accepted["import"]["id"].as_str().unwrap());
    for way in ["/v1/subjects/s/entities", "/v1/subjects/s/imports", "/v1/subjects/s/accepted_prompt", &import, "/v1/audit"] {
        ask(&harness, "GET", way, None, StatusCode::OK).await;
    }
    ask(&harness, "GET", &format!("/v1/generations/{id}/import_audit"), None, StatusCode::OK).await;
    ask(&harness, "POST", &format!("{import}/revert"), Some(&json!({})), StatusCode::OK).await;
    let document = json!({ "longhand": "importer/1", "name": "own", "collections": [{ "name": "a", "kind": "b" }] });
    ask(&harness, "PUT", "/v1/importers/own", Some(&document), StatusCode::CREATED).await;
    ask(&harness, "GET", "/v1/importers", None, StatusCode::OK).await;
    ask(&harness, "DELETE", "/v1/subjects/s", None, StatusCode::OK).await;
    harness.finish().await;
}

/// An import whose process is gone before its entities are written: `sweep` completes it.
pub async fn with_an_import_that_is_left_alone(recorder: Recorder) {
    let answer = json!({ "scenario_metadata": { "name": "S" }, "capabilities": [{ "name": "A" }] }).to_string();
    let hostile = Hostile::improvising("test", move |_, _| Script::stream([wire::whole(&[&answer])])).await;
    let env = environment(&hostile.base_url("test"), &[("LONGHAND_IMPORT_GENERATION", "true"), ("AWS_MAX_ATTEMPTS", "1")]);
    let clock = Clock::system();
    // The first transaction accepts, the second begins the import.
    let (done, is_armed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let armed = Arc::clone(&is_armed);
    let faults = Faults::deciding(move |_, function, call| {
        let is_counted = armed.load(Ordering::SeqCst) && function == "api" && call.operation == "TransactWriteItems";
        (is_counted && done.fetch_add(1, Ordering::SeqCst) >= 2).then_some(Mode::Refused)
    });
    let harness = Harness::without(&["EveryMinute"], options(&recorder, env, &clock, Some(&faults))).await;
    let document = json!({ "longhand": "importer/1", "name": "own", "collections": [{ "name": "capabilities", "kind": "b" }] });
    ask(&harness, "PUT", "/v1/importers/own", Some(&document), StatusCode::CREATED).await;
    let webhook = json!({ "url": "http://127.0.0.1:9/", "events": ["import.*"] });
    ask(&harness, "POST", "/v1/webhooks", Some(&webhook), StatusCode::CREATED).await;
    let id = harness.start_generation(json!({ "prompt": "an answer to import" })).await;
    harness.ended(&id).await;
    is_armed.store(true, Ordering::SeqCst);
    let post = harness.http.post(harness.url_of(&format!("/v1/generations/{id}/accept")));
    let accepted = post.json(&json!({ "import": true, "importer": "own", "subject": "s" })).send().await.unwrap();
    assert!(accepted.status().is_server_error(), "{accepted:?}");
    clock.advance(Duration::from_secs(61));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    let imports = harness.found("subjects/s/imports").await;
    assert_eq!(imports["data"][0]["state"], "completed", "{imports}");
    harness.finish().await;
}
