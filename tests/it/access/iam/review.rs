//! What reviews come to: an accepted generation whose prompt is large, its import, decisions, and the end of all.

use longhand::Clock;
use longhand_tests::calls::Recorder;
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
