//! Accepting a generation: what is kept, and what is refused.

use futures::future::join_all;
use longhand::Scope;
use longhand_local::Options;
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{SUBJECT, Scene, echo, small};
use crate::access::keys::key;

#[tokio::test(flavor = "multi_thread")]
async fn acceptance_is_kept_once_on_subject_and_record_and_told_in_the_audit() {
    let scene = Scene::start().await;
    let request = json!({
        "prompt": "plan for the coming year", "subject": SUBJECT, "used_instruction": { "content": "c", "source": "db", "language": "es" },
    });
    let id = scene.start_generation(request).await;
    scene.ended(&id).await;
    let note = json!({ "note": "Agreed" });
    let answers = join_all((0..4).map(|_| scene.accept(&id, &note))).await;
    let (status, accepted) = answers[0].clone();
    assert_eq!(status, StatusCode::CREATED, "{accepted}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "the same again is answered the same: {answers:#?}");
    assert_eq!((&accepted["generation"], &accepted["version"], &accepted["note"]), (&json!(id), &json!(1), &json!("Agreed")));
    assert_eq!((&accepted["provider"], &accepted["model"], &accepted["revision"]), (&json!("test"), &json!("m"), &json!(1)));
    assert_eq!((&accepted["prompt_bytes"], &accepted["instruction_source"]), (&json!(24), &json!("db")));
    let record = scene.found(&format!("generations/{id}")).await;
    assert_eq!((&record["accepted_subject"], &record["accepted_at"]), (&json!(SUBJECT), &accepted["accepted_at"]));
    assert_eq!(scene.found(&format!("subjects/{SUBJECT}")).await["accepted"], json!(id));
    let entries = scene.audit().await;
    assert_eq!(entries.len(), 1, "{entries:#?}");
    assert_eq!((&entries[0]["action"], &entries[0]["target_id"]), (&json!("accept"), &json!(SUBJECT)));
    assert_eq!((&entries[0]["after"], &entries[0]["note"]), (&json!({ "generation": id, "version": 1 }), &json!("Agreed")));
    assert!(!entries[0].to_string().contains("coming year"), "an entry has no content");
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_generation_at_a_time_is_accepted_and_another_replaces_it_if_asked_to() {
    let scene = Scene::start().await;
    let (one, other) = (scene.generated(SUBJECT, "uno").await, scene.generated(SUBJECT, "dos").await);
    assert_eq!(scene.accept(&one, &json!({})).await.0, StatusCode::CREATED);
    let (status, told) = scene.accept(&other, &json!({})).await;
    assert_eq!((status, &told["code"]), (StatusCode::CONFLICT, &json!("already_accepted")));
    assert!(told["detail"].as_str().unwrap().contains(&one), "{told}");
    let (status, replaced) = scene.accept(&other, &json!({ "replace": true })).await;
    assert_eq!((status, &replaced["revision"]), (StatusCode::CREATED, &json!(2)));
    assert_eq!(scene.found(&format!("generations/{one}")).await.get("accepted_subject"), None);
    assert_eq!(scene.found(&format!("subjects/{SUBJECT}")).await["accepted"], json!(other));
    // At once, one of them is accepted at the end, and each change is told.
    let both = [one.as_str(), other.as_str()];
    let replace = json!({ "replace": true });
    join_all((0..8).map(|number| scene.accept(both[number % 2], &replace))).await;
    let accepted = scene.found(&format!("subjects/{SUBJECT}")).await["accepted"].clone();
    for id in both {
        let record = scene.found(&format!("generations/{id}")).await;
        assert_eq!(record.get("accepted_subject").is_some(), json!(id) == accepted, "{record}");
    }
    let entries = scene.audit().await;
    let revisions: Vec<u64> = entries.iter().map(|entry| entry["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, (1..=entries.len() as u64).collect::<Vec<_>>());
    // A purged one is replaced too.
    let purged = accepted.as_str().unwrap().to_owned();
    scene.done("DELETE", &format!("generations/{purged}"), &Value::Null).await;
    let left = both.into_iter().find(|id| *id != purged).unwrap();
    assert_eq!(scene.accept(left, &replace).await.0, StatusCode::CREATED);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_subject_no_result_or_an_invalid_one_is_not_accepted() {
    let scene = Scene::start().await;
    let plain = scene.start_generation(json!({ "prompt": "about nothing" })).await;
    scene.ended(&plain).await;
    let (status, told) = scene.accept(&plain, &json!({})).await;
    assert_eq!((status, &told["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/subject")));
    let (status, accepted) = scene.accept(&plain, &json!({ "subject": "new" })).await;
    assert_eq!((status, &accepted["version"]), (StatusCode::CREATED, &Value::Null), "{accepted}");
    assert_eq!(scene.found("subjects/new").await["accepted"], json!(plain));
    let (status, told) = scene.accept(&plain, &json!({ "subject": "other", "replace": true })).await;
    assert_eq!((status, &told["code"]), (StatusCode::CONFLICT, &json!("already_accepted")));
    // The subject is gone, and with it what was accepted: another may have it.
    scene.done("DELETE", "subjects/new", &Value::Null).await;
    assert_eq!(scene.accept(&plain, &json!({ "subject": "other" })).await.0, StatusCode::CREATED);
    let own = scene.generated("own", "x").await;
    let (status, told) = scene.accept(&own, &json!({ "subject": "other" })).await;
    assert_eq!((status, &told["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/subject")));
    for (validation, code) in [("soft", "invalid_output"), ("strict", "not_completed")] {
        let request = json!({ "prompt": "no JSON", "subject": "s", "response_format": { "type": "json_object" }, "validation": validation });
        let id = scene.start_generation(request).await;
        scene.ended(&id).await;
        let (status, told) = scene.accept(&id, &json!({})).await;
        assert_eq!((status, &told["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)), "{told}");
    }
    assert_eq!(scene.accept("gen_01arz3ndektsv4rrffq69g5fav", &json!({})).await.0, StatusCode::NOT_FOUND);
    scene.harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_is_shown_redacted_and_to_the_scope_admin_alone() {
    let echo = echo().await;
    let env = environment(&echo.base_url("test"), &[]);
    let harness = Harness::with(Options { authorize: true, env, ..Options::default() }).await;
    let (_, reviewer) = key(&harness, "local", &[Scope::Start, Scope::Read, Scope::Review], None).await;
    let (_, admin) = key(&harness, "local", &[Scope::Admin], None).await;
    let (reviewer, admin) = (harness.with_key(reviewer.reveal()), harness.with_key(admin.reveal()));
    let long = format!("sk-proj-0123456789abcdef {}", "long prompt, ".repeat(1_000));
    for (subject, prompt) in [("short", "use sk-proj-0123456789abcdef now"), ("long", &long)] {
        let id = reviewer.start_generation(json!({ "prompt": prompt, "subject": subject })).await;
        reviewer.ended(&id).await;
        reviewer.done("POST", &format!("generations/{id}/accept"), &json!({})).await;
        let path = format!("subjects/{subject}/accepted_prompt");
        assert_eq!(reviewer.get(&path).await.0, StatusCode::FORBIDDEN);
        let shown = admin.found(&path).await;
        let expected = prompt.replace("sk-proj-0123456789abcdef", "[redacted]");
        assert_eq!((&shown["prompt"], &shown["redacted"]), (&json!(expected), &json!(true)));
        assert_eq!(shown["prompt_bytes"], prompt.len());
    }
    assert_eq!(admin.get("subjects/none/accepted_prompt").await.0, StatusCode::NOT_FOUND);
    // Nobody accepts who may only start and read.
    let (_, starter) = key(&harness, "local", &[Scope::Start, Scope::Read], None).await;
    let starter = harness.with_key(starter.reveal());
    let id = starter.start_generation(json!({ "prompt": small().to_string(), "subject": "s" })).await;
    starter.ended(&id).await;
    assert_eq!(starter.ask("POST", &format!("generations/{id}/accept"), &[], Some(&json!({}))).await.0, StatusCode::FORBIDDEN);
    harness.finish().await;
}
