//! `kill -9`, again and again, while generations are started, written and read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhand_client::Error;
use longhand_local::Agents;
use longhand_tests::author::{Author, Prompt};
use longhand_tests::sampling::rounds;
use longhand_tests::{Api, PATIENCE, read_live, seed};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dev::{Dev, Place};

/// In a full run and in a sampled one.
const KILLS: (u64, u64) = (50, 15);
const STARTS_PER_LIFE: u64 = 3;
/// Starts that got no answer, sent again in one life.
const REPEATS_PER_LIFE: usize = 3;
const READERS: usize = 6;
const ENVIRONMENT: [(&str, &str); 2] = [("LONGHAND_LEASE_SECONDS", "1"), ("LONGHAND_MAX_RUNNING", "1000")];

/// What the callers know: they outlive every stack.
#[derive(Default)]
struct Known {
    /// By the key of its start: the prompt, and the id that the answer had.
    starts: BTreeMap<u64, (Prompt, Option<String>)>,
    /// By the id of a generation: every event that its reader has been shown.
    transcripts: BTreeMap<String, Vec<Value>>,
    /// Starts that broke off and were sent again.
    repeated: usize,
}

type Callers = Arc<Mutex<Known>>;

fn prompt(number: u64, dice: &mut fastrand::Rng) -> Prompt {
    let (pieces, pace) = match number % 3 {
        0 => (dice.usize(0..20), 0),
        1 => (dice.usize(20..200), dice.u64(0..5_000)),
        _ => (dice.usize(200..1_000), dice.u64(1_000..6_000)),
    };
    Prompt { number, pieces, pace: Duration::from_micros(pace) }
}

/// Sends a start under its own key. A stack that is killed returns no response, and the start is repeated at the next one.
async fn start(place: Place, callers: Callers, key: u64, prompt: Prompt) -> Result<(), Error> {
    let mut body = prompt.request();
    body["max_attempts"] = json!(10 - key % 9);
    let started = place.client().start(&body, Some(&key.to_string())).await.inspect_err(|error| {
        callers.lock().unwrap().repeated += 1;
        // The stack of another test may have got the port of one that was killed; it does not know the key.
        let is_another = matches!(error, Error::Problem(problem) if problem.status == 401);
        assert!(error.is_transient() || is_another, "{error}");
    })?;
    let id = Some(started.id.to_string());
    callers.lock().unwrap().starts.entry(key).and_modify(|(_, known)| *known = id);
    Ok(())
}

/// Reads on after the events that were seen, until the log or the stack ends.
async fn read(place: Place, callers: Callers, id: String) {
    let seen = callers.lock().unwrap().transcripts.get(&id).cloned().unwrap_or_default();
    let after = seen.last().and_then(|last| last["seq"].as_u64());
    if let Ok(Some(response)) = place.client().open_events(&id, after).await {
        let (events, _) = read_live(response, |_| false).await;
        callers.lock().unwrap().transcripts.entry(id).or_default().extend(events);
    }
}

/// One life of a stack: new starts, those that got no answer, and readers; then it is killed.
async fn live(data: &Path, environment: &[(&str, &str)], callers: &Callers, dice: &mut fastrand::Rng, life: u64) {
    let (dev, place) = Dev::start(data, &[], environment).await;
    let mut calls = JoinSet::new();
    let mut starts: Vec<(u64, Prompt)> = unanswered(callers).into_iter().take(REPEATS_PER_LIFE).collect();
    starts.extend((life * STARTS_PER_LIFE..(life + 1) * STARTS_PER_LIFE).map(|number| (number, prompt(number, dice))));
    callers.lock().unwrap().starts.extend(starts.iter().map(|(key, prompt)| (*key, (*prompt, None))));
    let followed: Vec<String> = {
        let known = callers.lock().unwrap();
        let is_open = |id: &&String| known.transcripts.get(*id).and_then(|seen| seen.last()).is_none_or(|last| !is_end(last));
        known.starts.values().rev().filter_map(|(_, id)| id.as_ref()).filter(is_open).take(READERS).cloned().collect()
    };
    for id in followed {
        calls.spawn(read(place.clone(), Arc::clone(callers), id));
    }
    let span = Duration::from_millis(dice.u64(20..1_200));
    for (key, prompt) in starts {
        let (place, callers, wait) = (place.clone(), Arc::clone(callers), span.mul_f64(dice.f64()));
        calls.spawn(async move {
            sleep(wait).await;
            let _ = start(place, callers, key, prompt).await;
        });
    }
    sleep(span).await;
    drop(dev);
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

fn unanswered(callers: &Callers) -> Vec<(u64, Prompt)> {
    let known = callers.lock().unwrap();
    known.starts.iter().filter(|(_, (_, id))| id.is_none()).map(|(key, (prompt, _))| (*key, *prompt)).collect()
}

/// Waits for an end. A sweep that was killed between its note and its invoke leaves that to the next, a minute later; or two.
async fn settle(api: &Api, id: &str) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE * 4 && api.get(&format!("generations/{id}")).await.1["compacted_at"].is_null() {
        sleep(Duration::from_millis(50)).await;
    }
}

fn is_end(event: &Value) -> bool {
    ["completed", "incomplete", "failed", "cancelled"].iter().any(|end| event["type"] == *end)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_fifty_times_under_load_everything_goes_on_or_ends_with_a_reason() {
    let (mut dice, kills) = (fastrand::Rng::with_seed(seed()), rounds(KILLS.0, KILLS.1));
    let author = Author::start().await;
    let providers = author.providers();
    let environment: Vec<(&str, &str)> = ENVIRONMENT.into_iter().chain([("LONGHAND_PROVIDERS", providers.as_str())]).collect();
    let (folder, callers, began) = (tempfile::tempdir().unwrap(), Callers::default(), Instant::now());
    for life in 0..kills {
        live(folder.path(), &environment, &callers, &mut dice, life).await;
    }
    println!("{kills} kills in {:.1} s", began.elapsed().as_secs_f64());
    let (_dev, place) = Dev::start(folder.path(), &[], &environment).await;
    for (key, prompt) in unanswered(&callers) {
        start(place.clone(), Arc::clone(&callers), key, prompt).await.unwrap();
    }
    let known = std::mem::take(&mut *callers.lock().unwrap());
    let api = Api::open(&place.url).with_key(&place.key);
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for (prompt, id) in known.starts.values() {
        let id = id.as_deref().expect("every start was answered in the end");
        settle(&api, id).await;
        *ends.entry(prompt.end(&api, id).await).or_default() += 1;
    }
    for (id, seen) in &known.transcripts {
        assert_eq!(seen[..], api.events(id).await[..seen.len()], "what the reader of {id} was shown");
    }
    assert_eq!(api.count().await, known.starts.len(), "no start made two generations");
    println!(
        "{} generations, {} starts sent again, {} requests upstream, {} readers of {} events, {:.1} s",
        known.starts.len(),
        known.repeated,
        author.requests(),
        known.transcripts.len(),
        known.transcripts.values().map(Vec::len).sum::<usize>(),
        began.elapsed().as_secs_f64()
    );
    for (end, count) in ends {
        println!("{count:>5} {end}");
    }
}

/// Kills of a stack while a batch runs, in a full run and in a sampled one, and its items.
const BATCH_KILLS: (u64, u64) = (20, 6);
const BATCH_ITEMS: (u64, u64) = (100, 40);

/// Starts a batch, or learns that it was started. A stack that is killed returns no response.
async fn start_batch(place: &Place, prompts: &[Prompt]) -> Option<String> {
    let items: Vec<Value> = prompts.iter().map(|prompt| json!({ "request": prompt.request() })).collect();
    let body = json!({ "items": items, "concurrency": 8, "retries": 10 });
    let api = Api::open(&place.url).with_key(&place.key);
    let post = api.http.post(api.url_of("/v1/batches")).bearer_auth(&place.key).header("idempotency-key", "one").json(&body);
    let answer = post.send().await.ok().filter(|answer| answer.status().is_success())?;
    let batch: Value = answer.json().await.ok()?;
    batch["id"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_a_batch_ends_with_every_item_done_once() {
    let (mut dice, kills, items) =
        (fastrand::Rng::with_seed(seed()), rounds(BATCH_KILLS.0, BATCH_KILLS.1), rounds(BATCH_ITEMS.0, BATCH_ITEMS.1));
    let author = Author::start().await;
    let providers = author.providers();
    let environment: Vec<(&str, &str)> = ENVIRONMENT.into_iter().chain([("LONGHAND_PROVIDERS", providers.as_str())]).collect();
    let (folder, began) = (tempfile::tempdir().unwrap(), Instant::now());
    let prompts: Vec<Prompt> = (0..items)
        .map(|number| Prompt { number, pieces: dice.usize(20..300), pace: Duration::from_micros(dice.u64(500..4_000)) })
        .collect();
    let mut id = None;
    for _ in 0..kills {
        let (dev, place) = Dev::start(folder.path(), &[], &environment).await;
        let span = Duration::from_millis(dice.u64(100..2_000));
        let _ = tokio::time::timeout(span, async {
            if id.is_none() {
                id = start_batch(&place, &prompts).await;
            }
            std::future::pending::<()>().await;
        })
        .await;
        drop(dev);
    }
    let (_dev, place) = Dev::start(folder.path(), &[], &environment).await;
    let api = Api::open(&place.url).with_key(&place.key);
    let started = start_batch(&place, &prompts).await.expect("the same key is the same batch");
    assert!(id.is_none_or(|id| id == started), "two batches of one request");
    let (batch, last) = (format!("batches/{started}"), Instant::now());
    while api.get(&batch).await.1["ended_at"].is_null() {
        assert!(last.elapsed() < PATIENCE * 6, "{}", api.get(&batch).await.1);
        sleep(Duration::from_millis(100)).await;
    }
    let ended = api.get(&batch).await.1;
    assert_eq!((&ended["status"], &ended["counts"]["completed"]), (&json!("completed"), &json!(items)), "{ended}");
    let page = api.get(&format!("{batch}/items?limit=1000")).await.1;
    let mut tries = 0;
    for (prompt, item) in prompts.iter().zip(page["data"].as_array().unwrap()) {
        assert_eq!(api.text(item["generation"].as_str().unwrap()).await, prompt.text(), "{item}");
        tries += item["tries"].as_u64().unwrap();
    }
    assert_eq!(api.count().await as u64, tries, "each try is one generation");
    println!(
        "{kills} kills, {items} items, {tries} tries, {} requests upstream, {:.1} s",
        author.requests(),
        began.elapsed().as_secs_f64()
    );
}

/// Kills of a stack within one run of eighteen steps, in a full test and in a sampled one.
const RUN_KILLS: (u64, u64) = (20, 5);
/// Deltas a second: an answer takes about a third of a second.
const TEMPO: f64 = 1_500.0;
/// A step has three tries.
const KILLS_OF_STEP: usize = 2;

async fn start_run(place: &Place, input: &Value) -> Option<String> {
    let body = json!({ "pipeline": "edn360-full", "input": input });
    let api = Api::open(&place.url).with_key(&place.key);
    let post = api.http.post(api.url_of("/v1/runs")).bearer_auth(&place.key).header("idempotency-key", "one").json(&body);
    let answer = post.send().await.ok().filter(|answer| answer.status().is_success())?;
    let run: Value = answer.json().await.ok()?;
    run["id"].as_str().map(str::to_owned)
}

/// Publishes the three pipelines of this folder.
async fn publish(place: &Place, folder: &Path) {
    let api = Api::open(&place.url).with_key(&place.key);
    for name in ["edn360-training", "edn360-nutrition", "edn360-full"] {
        let document = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let document: Value = serde_norway::from_str(&document).unwrap();
        let put = api.http.put(api.url_of(&format!("/v1/pipelines/{name}"))).bearer_auth(&place.key).json(&document);
        let answer = put.send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.text().await.unwrap());
    }
}

/// How often each agent was asked.
fn asked(agents: &Agents) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for told in agents.told() {
        *asked.entry(told.agent).or_default() += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_twenty_times_a_run_completes_and_pays_no_finished_step_twice() {
    let (mut dice, kills) = (fastrand::Rng::with_seed(seed()), rounds(RUN_KILLS.0, RUN_KILLS.1));
    let agents = Agents::start(TEMPO, &[]).unwrap();
    let providers = json!({ "openai": { "base_url": agents.base_url() } }).to_string();
    let prices = r#"{"openai":{"gpt-5-mini":{"input":75000,"output":300000}}}"#;
    let own = [("LONGHAND_PROVIDERS", providers.as_str()), ("LONGHAND_PRICES", prices)];
    let environment: Vec<(&str, &str)> = ENVIRONMENT.into_iter().chain(own).collect();
    let (folder, began) = (tempfile::tempdir().unwrap(), Instant::now());
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/pipelines");
    let input: Value = serde_json::from_str(&fs::read_to_string(pipelines.join("questionnaire.json")).unwrap()).unwrap();
    // Each step is killed once at most, but for as many as are needed on top, which are killed twice.
    let (mut killed, mut twice) = (BTreeMap::<String, usize>::new(), kills.saturating_sub(18));
    let mut id = None;
    for _ in 0..kills {
        let (dev, place) = Dev::start(folder.path(), &[], &environment).await;
        if id.is_none() {
            publish(&place, &pipelines).await;
            id = start_run(&place, &input).await;
        }
        let (waits, before) = (Instant::now(), agents.told().len());
        let victim = loop {
            assert!(waits.elapsed() < PATIENCE * 2, "no step goes on: {killed:?}");
            let victim = agents.told()[before..].last().map(|told| told.agent.clone());
            let times = victim.as_ref().map(|victim| killed.get(victim).copied().unwrap_or_default());
            match (victim, times) {
                (Some(victim), Some(0)) => break victim,
                (Some(victim), Some(times)) if times < KILLS_OF_STEP && twice > 0 => {
                    twice -= 1;
                    break victim;
                }
                _ => sleep(Duration::from_millis(5)).await,
            }
        };
        sleep(Duration::from_millis(dice.u64(0..100))).await;
        drop(dev);
        *killed.entry(victim).or_default() += 1;
    }
    let (_dev, place) = Dev::start(folder.path(), &[], &environment).await;
    let api = Api::open(&place.url).with_key(&place.key);
    let id = id.expect("the first stack lived until it had answered");
    assert_eq!(start_run(&place, &input).await.as_ref(), Some(&id), "two runs of one request");
    let last = Instant::now();
    while api.get(&format!("runs/{id}")).await.1["ended_at"].is_null() {
        assert!(last.elapsed() < PATIENCE * 6, "{}", api.get(&format!("runs/{id}")).await.1);
        sleep(Duration::from_millis(100)).await;
    }
    let run = api.get(&format!("runs/{id}")).await.1;
    assert_eq!((&run["status"], &run["progress"]["completed_steps"]), (&json!("completed"), &json!(18)), "{run}");
    let steps = api.get(&format!("runs/{id}/steps")).await.1;
    let (asked, mut tries) = (asked(&agents), 0);
    for step in steps["data"].as_array().unwrap() {
        let (agent, of_step) = (step["id"].as_str().unwrap(), step["tries"].as_u64().unwrap());
        tries += of_step;
        let kills = killed.get(agent).copied().unwrap_or_default();
        assert!(asked[agent] <= 1 + kills, "{agent} was asked {} times, killed {kills} times: {step}", asked[agent]);
    }
    assert_eq!(api.count().await as u64, tries, "each try is one generation");
    println!(
        "{kills} kills, 18 steps, {tries} tries, {} requests upstream, {:.1} s",
        agents.told().len(),
        began.elapsed().as_secs_f64()
    );
}
