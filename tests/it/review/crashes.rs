//! Each outside call of an acceptance with its import fails in each of eight ways: after the next call nothing is half imported.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use longhand::Clock;
use longhand_tests::PATIENCE;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::walk::walk;
use serde_json::{Value, json};

use super::{SUBJECT, Scene, small, without_ids};

const FAULTS_SAMPLED: usize = 48;
const SIDE_BY_SIDE: usize = 8;
const ENTITIES: usize = 6;

/// What does not hold after an acceptance, a call of which meets a fault.
async fn live(plan: Option<(usize, Mode)>) -> (usize, Vec<String>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let is_walking = Arc::new(AtomicUsize::new(0));
    let faults = {
        let (calls, is_walking) = (Arc::clone(&calls), Arc::clone(&is_walking));
        Faults::deciding(move |_, function, _| {
            let is_walked = function == "api" && is_walking.load(Ordering::SeqCst) == 1;
            let number = is_walked.then(|| calls.fetch_add(1, Ordering::SeqCst))?;
            plan.filter(|(at, _)| *at == number).map(|(_, mode)| mode)
        })
    };
    let scene = Scene::faulty(&faults, &Clock::system()).await;
    let id = scene.generated(SUBJECT, &small().to_string()).await;
    is_walking.store(1, Ordering::SeqCst);
    let accepted = accepted(&scene, &id).await;
    is_walking.store(0, Ordering::SeqCst);
    let wrong = match accepted {
        Ok(accepted) => violations(&scene, &accepted).await,
        Err(wrong) => vec![wrong],
    };
    scene.harness.stack.shutdown().await;
    (calls.load(Ordering::SeqCst), wrong)
}

/// Asks until it is answered: a process that is killed does not answer.
async fn accepted(scene: &Scene, id: &str) -> Result<Value, String> {
    let (mut told, began) = (Value::Null, Instant::now());
    while began.elapsed() < PATIENCE {
        let post = scene.http.post(scene.url_of(&format!("/v1/generations/{id}/accept"))).json(&json!({ "import": true }));
        let Ok(answer) = post.send().await else { continue };
        let is_accepted = answer.status().is_success();
        told = answer.json().await.unwrap_or_default();
        if is_accepted {
            return Ok(told);
        }
    }
    Err(format!("it was not accepted: {told}"))
}

async fn violations(scene: &Scene, accepted: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            wrong.push(otherwise);
        }
    };
    let report = without_ids(&accepted["import"]["report"]);
    let created = report.as_object().unwrap().values().flat_map(|entries| entries.as_array().unwrap());
    let created = created.filter(|entry| entry["created"] == true).count();
    must(created == ENTITIES, format!("the report says {report}"));
    let entities = scene.entities("").await;
    must(entities.len() == ENTITIES, format!("{} entities", entities.len()));
    must(entities.iter().all(|entity| entity["revision"] == 1), format!("written twice: {entities:?}"));
    let entries = scene.audit().await;
    let of = |target: &str| entries.iter().filter(|entry| entry["target"] == target).count();
    must(of("entity") == ENTITIES && of("subject") == 1, format!("{} entries: {entries:?}", entries.len()));
    let imports = scene.found(&format!("subjects/{SUBJECT}/imports")).await;
    let of_import =
        imports["data"][0]["revision"].as_u64().and_then(|revision| usize::try_from(revision).ok()).unwrap_or_default();
    must(imports["data"][0]["state"] == "completed" && of("import") == of_import, format!("{imports}: {entries:?}"));
    // Once more, nothing changes.
    let before = (scene.entities("").await, scene.audit().await);
    let id = accepted["generation"].as_str().unwrap();
    let (_, again) = scene.accept(id, &asked()).await;
    must(again == *accepted, format!("{again} was {accepted}"));
    must((scene.entities("").await, scene.audit().await) == before, "the same again has changed something".to_owned());
    wrong
}

/// A sample by seed, unless `LONGHAND_FAULT_RUNS` or a full run asks for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn crash_walk_of_an_import() {
    walk("an import", (FAULTS_SAMPLED, SIDE_BY_SIDE), live).await;
}

/// A completed generation about nothing: its acceptance makes no version, which would be a transaction more.
async fn unsettled(scene: &Scene) -> String {
    let id = scene.start_generation(json!({ "prompt": small().to_string() })).await;
    scene.ended(&id).await;
    id
}

fn asked() -> Value {
    json!({ "import": true, "subject": SUBJECT })
}

/// A stack whose `api` meets `mode` at its transaction of this number, from 0, once it is armed.
async fn at_transaction(number: usize, mode: Mode, clock: &Clock) -> (Scene, Faults, Arc<AtomicUsize>) {
    let is_armed = Arc::new(AtomicUsize::new(0));
    let armed = Arc::clone(&is_armed);
    let faults = Faults::deciding(move |_, function, call| {
        let is_counted = function == "api" && call.operation == "TransactWriteItems" && armed.load(Ordering::SeqCst) > 0;
        (is_counted && armed.fetch_add(1, Ordering::SeqCst) == number + 1).then_some(mode)
    });
    (Scene::faulty(&faults, clock).await, faults, is_armed)
}

/// Nobody asks again: the sweep completes what was begun, for who has asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_completes_an_import_whose_process_is_gone() {
    // The first transaction accepts, the second begins the import, the third writes its entities, the fourth completes it.
    for (number, mode) in [(1, Mode::KilledAfter), (2, Mode::Killed), (2, Mode::KilledAfter), (3, Mode::Killed)] {
        let clock = Clock::system();
        let (scene, _, is_armed) = at_transaction(number, mode, &clock).await;
        let id = unsettled(&scene).await;
        is_armed.store(1, Ordering::SeqCst);
        let post = scene.http.post(scene.url_of(&format!("/v1/generations/{id}/accept"))).json(&asked());
        let status = post.send().await.map(|answer| answer.status());
        assert!(status.is_err() || status.is_ok_and(|status| status.is_server_error()), "the process is killed");
        is_armed.store(0, Ordering::SeqCst);
        let imports = async || scene.found(&format!("subjects/{SUBJECT}/imports")).await["data"].clone();
        assert_eq!(imports().await[0]["state"], "started");
        let sweep = async || scene.stack.invoke("sweep", json!({})).await.unwrap();
        assert_eq!(sweep().await["open_imports"], 1);
        assert_eq!(imports().await[0]["state"], "started", "its request may write still");
        clock.advance(Duration::from_secs(61));
        let swept = sweep().await;
        assert_eq!((&swept["open_imports"], &swept["errors"]), (&json!(1), &json!(0)));
        let import = &imports().await[0];
        assert_eq!(import["state"], "completed", "{number} {mode:?}");
        assert_eq!(sweep().await["open_imports"], 0);
        let (_, accepted) = scene.accept(&id, &asked()).await;
        assert_eq!(accepted["import"]["revision"], import["revision"], "the same again finds it complete");
        let wrong = violations(&scene, &accepted).await;
        assert!(wrong.is_empty(), "{number} {mode:?}: {wrong:#?}");
        scene.harness.stack.shutdown().await;
    }
}

/// What cannot be gone on with any more is told, and is not tried every minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_gives_up_an_import_whose_generation_is_purged() {
    let clock = Clock::system();
    let (scene, _, is_armed) = at_transaction(2, Mode::Killed, &clock).await;
    let id = unsettled(&scene).await;
    is_armed.store(1, Ordering::SeqCst);
    let post = scene.http.post(scene.url_of(&format!("/v1/generations/{id}/accept"))).json(&asked());
    drop(post.send().await);
    is_armed.store(0, Ordering::SeqCst);
    scene.done("DELETE", &format!("generations/{id}"), &Value::Null).await;
    clock.advance(Duration::from_secs(61));
    for open in [1, 0] {
        let swept = scene.stack.invoke("sweep", json!({})).await.unwrap();
        assert_eq!((&swept["open_imports"], &swept["errors"]), (&json!(open), &json!(0)));
    }
    let imports = scene.found(&format!("subjects/{SUBJECT}/imports")).await;
    assert_eq!(imports["data"][0]["state"], "failed");
    scene.harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_reverted_while_it_is_written_leaves_nothing() {
    // The answer that it has begun comes late: by then it is reverted.
    let (scene, faults, is_armed) = at_transaction(1, Mode::AnswerLate, &Clock::system()).await;
    let (http, url) = (scene.http.clone(), scene.url_of(&format!("/v1/subjects/{SUBJECT}/imports")));
    faults.meanwhile(move || {
        let (http, url) = (http.clone(), url.clone());
        async move {
            let imports: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
            let id = imports["data"][0]["id"].as_str().unwrap();
            let reverted = http.post(format!("{url}/{id}/revert")).json(&json!({})).send().await.unwrap();
            assert!(reverted.status().is_success(), "{reverted:?}");
        }
    });
    let id = unsettled(&scene).await;
    is_armed.store(1, Ordering::SeqCst);
    let (status, told) = scene.accept(&id, &asked()).await;
    is_armed.store(0, Ordering::SeqCst);
    assert_eq!((status.as_u16(), &told["code"]), (503, &json!("contended")), "{told}");
    assert_eq!(scene.entities("").await.len() + scene.entities("&state=reverted").await.len(), 0);
    let imports = scene.found(&format!("subjects/{SUBJECT}/imports")).await;
    assert_eq!(imports["data"][0]["state"], "reverted");
    // Asked again, it is imported.
    let (status, accepted) = scene.accept(&id, &asked()).await;
    assert_eq!((status.as_u16(), scene.entities("").await.len()), (201, ENTITIES), "{accepted}");
    scene.harness.stack.shutdown().await;
}
