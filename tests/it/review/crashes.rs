//! Each outside call of an acceptance with its import fails in each of eight ways: after the next call nothing is half imported.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::walk::walk;
use longhand_tests::{Harness, PATIENCE, environment, start_stack, template_without};
use serde_json::{Value, json};

use super::{SUBJECT, Scene, echo, small, without_ids};

const FAULTS_SAMPLED: usize = 48;
const SIDE_BY_SIDE: usize = 8;
const ENTITIES: usize = 6;

/// What does not hold after an acceptance, a call of which meets a fault.
async fn live(plan: Option<(usize, Mode)>) -> (usize, Vec<String>) {
    let provider = echo().await;
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
    let clock = Clock::system();
    let env = [("LONGHAND_IMPORT_GENERATION", "true"), ("AWS_MAX_ATTEMPTS", "1")];
    let options = Options {
        env: environment(&provider.base_url("test"), &env),
        clock: clock.clone(),
        retry_delay: Duration::from_millis(1),
        parts: faults.parts(),
        ..Options::default()
    };
    let registry = faults.registry(&clock);
    let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await);
    let scene = Scene { harness, _echo: provider };
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
    let (_, again) = scene.accept(id, &json!({ "import": true })).await;
    must(again == *accepted, format!("{again} was {accepted}"));
    must((scene.entities("").await, scene.audit().await) == before, "the same again has changed something".to_owned());
    wrong
}

/// A sample by seed, unless `LONGHAND_FAULT_RUNS` or a full run asks for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn crash_walk_of_an_import() {
    walk("an import", (FAULTS_SAMPLED, SIDE_BY_SIDE), live).await;
}
