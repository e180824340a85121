//! Each outside call of a batch's life fails in each of eight ways. Retries and the sweep must bring every item to its end: nothing is lost,
//! nothing is done twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::walk::walk;
use longhand_tests::{Harness, PATIENCE, environment, start_stack, template_without};
use serde_json::{Value, json};

use super::{FLAKY, REFUSED, Scene, assert_sums, counts, provider};

const FAULTS_SAMPLED: usize = 32;
const SIDE_BY_SIDE: usize = 12;
const SWEEP_EVERY: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// One for the provider's fault, one for the walk's: a process that ends costs the try that it was writing.
const TRIES: usize = 3;

/// What the items ask for, and about which subject.
const ITEMS: [(&str, &str); 6] =
    [("uno", "s.1"), (REFUSED, "s.2"), (FLAKY, "s.3"), ("cuatro, año", "s.1"), ("cinco", ""), ("seis", "s.6")];

fn request() -> Value {
    let items = ITEMS.iter().map(|(prompt, subject)| {
        let mut item = json!({ "request": { "prompt": prompt } });
        if !subject.is_empty() {
            item["subject"] = (*subject).into();
        }
        item
    });
    let defaults = json!({ "provider": "test", "model": "m" });
    json!({ "items": items.collect::<Vec<_>>(), "defaults": defaults, "concurrency": 2, "retries": TRIES - 1 })
}

/// What does not hold after the life of a batch, one of whose functions' calls meets a fault.
async fn live(plan: Option<(usize, Mode)>) -> (usize, Vec<String>) {
    let provider = provider().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let faults = {
        let calls = Arc::clone(&calls);
        // `api` answers the test, and `sweep` mends.
        Faults::deciding(move |_, function, _| {
            let is_walked = ["start", "stream", "compact", "settle"].contains(&function);
            let number = is_walked.then(|| calls.fetch_add(1, Ordering::SeqCst))?;
            plan.filter(|(at, _)| *at == number).map(|(_, mode)| mode)
        })
    };
    let clock = Clock::system();
    let options = Options {
        env: environment(&provider.base_url("test"), &[("LONGHAND_UNWATCHED_WINDOW_MS", "50"), ("AWS_MAX_ATTEMPTS", "1")]),
        clock: clock.clone(),
        retry_delay: Duration::from_millis(1),
        parts: faults.parts(),
        ..Options::default()
    };
    let registry = faults.registry(&clock);
    let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await);
    let late = clock.clone();
    faults.meanwhile(move || {
        late.advance(SWEEP_EVERY);
        tokio::time::sleep(Duration::from_millis(150))
    });
    let scene = Scene { harness, _provider: provider };
    let wrong = Box::pin(violations(&scene, &faults, &clock)).await;
    let made = calls.load(Ordering::SeqCst);
    let Scene { harness, _provider: provider } = scene;
    harness.stack.shutdown().await;
    drop(provider);
    (made, wrong)
}

async fn start(scene: &Scene) -> Result<String, String> {
    let mut told = Value::Null;
    for _ in 0..8 {
        let post = scene.harness.http.post(scene.harness.url_of("/v1/batches")).header("idempotency-key", "k").json(&request());
        // A process that is killed does not answer.
        let Ok(answer) = post.send().await else { continue };
        let is_accepted = answer.status().is_success();
        told = answer.json().await.unwrap_or_default();
        if let (true, Some(id)) = (is_accepted, told["id"].as_str()) {
            return Ok(id.to_owned());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(format!("it was not started: {told}"))
}

/// Sweeps until the batch has ended.
async fn ended(scene: &Scene, faults: &Faults, clock: &Clock, id: &str) -> Result<Value, String> {
    let began = Instant::now();
    loop {
        let batch = scene.found(&format!("batches/{id}")).await;
        assert_sums(&batch);
        if !batch["ended_at"].is_null() {
            return Ok(batch);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("it does not end: {batch} {:?}", scene.items(id).await));
        }
        if faults.is_idle() {
            clock.advance(SWEEP_EVERY);
            drop(scene.harness.stack.invoke("sweep", json!({})).await);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn violations(scene: &Scene, faults: &Faults, clock: &Clock) -> Vec<String> {
    let id = match start(scene).await {
        Ok(id) => id,
        Err(wrong) => return vec![wrong],
    };
    let ended = match ended(scene, faults, clock, &id).await {
        Ok(ended) => ended,
        Err(wrong) => return vec![wrong],
    };
    let mut wrong = Vec::new();
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            wrong.push(otherwise);
        }
    };
    must(
        ended["status"] == "completed" && counts(&ended) == json!({ "completed": 5, "failed": 1 }),
        format!("it ended as {ended}"),
    );
    let items = scene.items(&id).await;
    let tries: u64 = items.iter().map(|item| item["tries"].as_u64().unwrap()).sum();
    let generations = scene.found(&format!("generations?batch={id}&limit=100")).await;
    let Some(made) = generations["data"].as_array() else { return vec![format!("the list says {generations}")] };
    must(made.len() as u64 == tries, format!("{tries} tries, and {} generations", made.len()));
    must(items.iter().all(|item| item["tries"].as_u64().unwrap() <= TRIES as u64), format!("too many tries: {items:?}"));
    let mut of_subject: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for ((prompt, subject), item) in ITEMS.iter().zip(&items) {
        let expected = if *prompt == REFUSED { "failed" } else { "completed" };
        must(item["status"] == expected, format!("{prompt}: {item}"));
        if let (true, Some(generation)) = (expected == "completed", item["generation"].as_str()) {
            let text = scene.harness.text(generation).await;
            must(text == *prompt, format!("{prompt}: {text:?}"));
            of_subject.entry(subject).or_default().push(json!(generation));
        }
    }
    // One version of each completed generation, whoever settled it, and how often. Where `sweep` was before a repeated delivery, the batch
    // ends before its last version is there. A lost record of the stream is for `redrive`.
    for (subject, mut expected) in of_subject.into_iter().filter(|(subject, _)| !subject.is_empty()) {
        expected.sort_by_key(ToString::to_string);
        let began = Instant::now();
        loop {
            let versions = versions(scene, subject).await;
            if versions == expected {
                break;
            }
            if began.elapsed() > PATIENCE {
                must(false, format!("{subject} has the versions {versions:?}, not {expected:?}"));
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    // Whatever comes late changes nothing.
    clock.advance(SWEEP_EVERY);
    drop(scene.harness.stack.invoke("sweep", json!({})).await);
    let later = scene.found(&format!("batches/{id}")).await;
    must(later == ended, format!("it has changed: {later} was {ended}"));
    wrong
}

/// The generations that a subject's versions came from, sorted; none while there is no such subject.
async fn versions(scene: &Scene, subject: &str) -> Vec<Value> {
    let page = scene.harness.get(&format!("subjects/{subject}/versions")).await.1;
    let listed = page["data"].as_array().into_iter().flatten();
    let mut versions: Vec<Value> = listed.map(|version| version["generation"].clone()).collect();
    versions.sort_by_key(ToString::to_string);
    versions
}

/// Each call of a batch's life meets each mode; a sample by seed, unless `LONGHAND_FAULT_RUNS` or a full run asks for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn crash_walk_of_a_batch() {
    walk("a batch", (FAULTS_SAMPLED, SIDE_BY_SIDE), live).await;
}
