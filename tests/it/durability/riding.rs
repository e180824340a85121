//! Several generations in one invocation: each ends by itself, whatever the others come to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use longhand::app::Parts;

use longhand::{App, Clock, GenerationKey, NextRider, NoNext, RideJob, Rider, StreamJob, Streamed};
use longhand_functions::Function;
use longhand_local::{Options, Registry};
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::walk::walk;
use longhand_tests::{Harness, PATIENCE, assert_whole, environment, noise, start_stack, template_without};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const CALM_PIECES: usize = 30;
const FLOOD_BYTES: usize = 12 * 1024 * 1024;
const FAULTS_SAMPLED: usize = 32;
const SIDE_BY_SIDE: usize = 16;
const SWEEP_EVERY: Duration = Duration::from_secs(90);

fn piece(name: &str, number: usize) -> String {
    format!("{name} {number}; ")
}

fn calm_text(name: &str) -> String {
    (0..CALM_PIECES).map(|number| piece(name, number)).collect()
}

fn calm(name: &str) -> Script {
    let pieces = (0..CALM_PIECES).map(|number| wire::text(&piece(name, number)));
    Script::stream(pieces.chain([wire::ending()])).paced(Duration::from_millis(10))
}

/// A provider that behaves as the prompt says.
async fn provider() -> Hostile {
    let noise = noise(FLOOD_BYTES);
    Hostile::improvising("test", move |_, body| match body["messages"][0]["content"].as_str().unwrap_or_default() {
        "fails" => Script::plain("400 Bad Request", "application/json", r#"{"error":{"message":"no"}}"#),
        "breaks off" => Script::stream([wire::text("half")]).ending(Ending::Cut),
        "stalls" => Script::stream([wire::text("half")]).ending(Ending::Stall),
        "is stopped" => Script::stream((0..10_000).map(|_| wire::text("and so on "))).paced(Duration::from_millis(5)),
        "floods" => {
            let pieces = noise.as_bytes().chunks(256 * 1024).map(|piece| wire::text(&String::from_utf8_lossy(piece)));
            Script::stream(pieces.chain([wire::ending()]))
        }
        name => calm(name),
    })
    .await
}

/// A stack in which nobody streams what is started.
async fn stack(hostile: &Hostile, env: &[(&str, &str)]) -> Harness {
    let mut env = environment(&hostile.base_url("test"), env);
    env.insert("LONGHAND_STREAM_FUNCTION".into(), "nobody".into());
    Harness::without(&["EveryMinute"], Options { env, ..Options::default() }).await
}

async fn started(harness: &Harness, prompts: &[&str]) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for prompt in prompts {
        let id = harness.start_generation(json!({ "prompt": prompt, "max_attempts": 2 })).await;
        ids.insert((*prompt).to_owned(), id);
    }
    ids
}

fn job<'a>(ids: impl IntoIterator<Item = &'a String>) -> RideJob {
    let generations = ids.into_iter().map(|id| id.parse().unwrap()).collect();
    RideJob::new("local".parse().unwrap(), generations).unwrap()
}

async fn app(harness: &Harness, parts: Parts) -> App {
    App::from_parts(harness.config("stream"), Clock::system(), parts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_rider_comes_to_the_others_do_not_notice() {
    let hostile = provider().await;
    let harness = stack(&hostile, &[]).await;
    let calm = ["one", "two", "three"];
    let others = ["fails", "breaks off", "stalls", "is stopped", "floods"];
    let ids = started(&harness, &[calm.as_slice(), others.as_slice()].concat()).await;
    let payload = json!({ "organization": "local", "generations": ids.values().collect::<Vec<_>>() });
    let ends = async {
        for name in calm.iter().chain(&["fails", "breaks off", "floods"]) {
            harness.ended(&ids[*name]).await;
        }
        // All of these have ended beside riders that have not.
        for name in ["stalls", "is stopped"] {
            assert_eq!(harness.get(&format!("generations/{}", ids[name])).await.1["status"], "running", "{name}");
            harness.cancel(&ids[name]).await;
        }
    };
    let (answer, ()) = tokio::join!(harness.stack.invoke("stream", payload), ends);
    let answer = answer.unwrap();
    for outcome in answer["generations"].as_array().unwrap() {
        let (name, _) = ids.iter().find(|(_, id)| outcome["generation"] == **id).unwrap();
        let expected = match name.as_str() {
            "fails" | "breaks off" => "failed",
            "stalls" | "is stopped" => "cancelled",
            _ => "completed",
        };
        assert_eq!(outcome["outcome"]["ended"], expected, "{name}: {answer}");
        assert_eq!(harness.ended(&ids[name]).await["status"], expected, "{name}");
        assert_whole(&harness.events(&ids[name]).await);
    }
    assert_eq!(answer["generations"].as_array().map(Vec::len), Some(8));
    for name in calm {
        assert_eq!(harness.text(&ids[name]).await, calm_text(name));
        assert_eq!(harness.ended(&ids[name]).await["attempts"], 1, "{name}");
    }
    assert_eq!(harness.ended(&ids["floods"]).await["bytes"], FLOOD_BYTES);
    assert_eq!(hostile.seen("test").bodies.len(), 9, "one request for each, and two for what breaks off");
    harness.finish().await;
}

/// Generations that wait for a place.
struct Queue {
    waiting: Mutex<VecDeque<GenerationKey>>,
    asked: AtomicUsize,
}

impl NextRider for Queue {
    fn next<'a>(&'a self, _: &'a GenerationKey, _: Option<Duration>) -> BoxFuture<'a, Option<Rider>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let next = self.waiting.lock().unwrap().pop_front();
        Box::pin(async move { next.map(|key| Rider::Stored(StreamJob::new(&key))) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_filled_again_while_there_is_time() {
    let hostile = provider().await;
    let harness = stack(&hostile, &[]).await;
    let ids = started(&harness, &["one", "two", "fails", "three", "four", "five"]).await;
    let (first, rest): (Vec<_>, Vec<_>) = ids.iter().partition(|(name, _)| ["one", "fails"].contains(&name.as_str()));
    let waiting =
        Mutex::new(rest.iter().map(|(_, id)| GenerationKey::new("local".parse().unwrap(), id.parse().unwrap())).collect());
    let queue = Arc::new(Queue { waiting, asked: AtomicUsize::new(0) });
    let next: Arc<dyn NextRider> = queue.clone();
    let app = app(&harness, harness.stack.parts()).await;
    let ride = job(first.iter().map(|(_, id)| *id));
    let soon = Some(tokio::time::Instant::now() + Duration::from_mins(4));
    let rode = app.ride(&ride, soon, &next).await;
    assert_eq!((rode.len(), queue.asked.load(Ordering::SeqCst)), (2, 0), "too late for another");
    let rode = app.ride(&job(rest.iter().take(1).map(|(_, id)| *id)), None, &next).await;
    assert_eq!((rode.len(), queue.asked.load(Ordering::SeqCst)), (5, 5), "the first of them was claimed once more");
    assert_eq!(rode.iter().filter(|rode| matches!(rode.streamed, Ok(Streamed::HadEnded))).count(), 1);
    for (name, id) in &ids {
        let record = harness.ended(id).await;
        assert_eq!(record["status"], if name == "fails" { "failed" } else { "completed" }, "{name}");
    }
    assert_eq!(hostile.seen("test").bodies.len(), 6, "one request for each");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn riders_are_handed_over_together() {
    let hostile = provider().await;
    let rides = Arc::new(Mutex::new(Vec::new()));
    let registry: Registry = {
        let rides = Arc::clone(&rides);
        Arc::new(move |name, app| match longhand_functions::function(name, app)? {
            // What is started is not streamed by itself.
            Function::Event(handler) if name == "stream" => {
                let rides = Arc::clone(&rides);
                Some(Function::Event(Arc::new(move |event| {
                    if event.payload.get("generations").is_none() {
                        return Box::pin(std::future::ready(Ok(Value::Null)));
                    }
                    rides.lock().unwrap().push(event.payload.clone());
                    handler(event)
                })))
            }
            function => Some(function),
        })
    };
    let options = Options { env: environment(&hostile.base_url("test"), &[]), ..Options::default() };
    let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await);
    let ids: Vec<String> = started(&harness, &["one", "two", "three"]).await.into_values().collect();
    let stopping = CancellationToken::new();
    let app = app(&harness, Parts { stopping: stopping.clone(), ..harness.stack.parts() }).await;
    let stop = async {
        hostile.until("test", |seen| seen.bodies.len() == 3).await;
        stopping.cancel();
    };
    let ride = job(&ids);
    let next: Arc<dyn NextRider> = Arc::new(NoNext);
    let (rode, ()) = tokio::join!(app.ride(&ride, None, &next), stop);
    assert!(rode.iter().all(|rode| matches!(rode.streamed, Ok(Streamed::HandedOver))), "{rode:?}");
    for id in &ids {
        assert_eq!(harness.ended(id).await["status"], "completed");
    }
    let rides = rides.lock().unwrap().clone();
    assert_eq!(rides.len(), 1, "{rides:?}");
    assert_eq!(rides[0]["generations"].as_array().map(Vec::len), Some(3), "{rides:?}");
    harness.finish().await;
}

/// Sweeps until a generation has ended, and returns what does not hold.
async fn violations(harness: &Harness, faults: &Faults, clock: &Clock, name: &str, id: &str) -> Vec<String> {
    let began = Instant::now();
    let record = loop {
        let record = harness.get(&format!("generations/{id}")).await.1;
        if !record["compacted_at"].is_null() || began.elapsed() > PATIENCE {
            break record;
        }
        if faults.is_idle() {
            clock.advance(SWEEP_EVERY);
            drop(harness.stack.invoke("sweep", json!({})).await);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    if record["status"] != "completed" {
        return vec![format!("{name}: {record}")];
    }
    let (text, events) = (harness.text(id).await, harness.events(id).await);
    let mut wrong = Vec::new();
    if text != calm_text(name) {
        wrong.push(format!("{name}: {text:?}"));
    }
    if events.iter().zip(0_u64..).any(|(event, seq)| event["seq"] != seq) {
        wrong.push(format!("{name}: {events:?}"));
    }
    wrong
}

/// What does not hold after a ride of three, one of whose functions' calls meets a fault.
async fn live(plan: Option<(usize, Mode)>) -> (usize, Vec<String>) {
    let hostile = provider().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let faults = {
        let calls = Arc::clone(&calls);
        Faults::deciding(move |_, function, call| match (function, call.service) {
            // The test itself has them streamed.
            ("start", "lambda") => Some(Mode::Refused),
            ("stream", _) => {
                let number = calls.fetch_add(1, Ordering::SeqCst);
                plan.filter(|(at, _)| *at == number).map(|(_, mode)| mode)
            }
            _ => None,
        })
    };
    let clock = Clock::system();
    let env = [("LONGHAND_UNWATCHED_WINDOW_MS", "50"), ("AWS_MAX_ATTEMPTS", "1")];
    let options = Options {
        env: environment(&hostile.base_url("test"), &env),
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
    let names = ["one", "two", "three"];
    let ids = started(&harness, &names).await;
    let payload = json!({ "organization": "local", "generations": ids.values().collect::<Vec<_>>() });
    // Lambda runs a job again that has failed.
    for _ in 0..3 {
        if harness.stack.invoke("stream", payload.clone()).await.is_ok() {
            break;
        }
    }
    let mut wrong = Vec::new();
    for (name, id) in &ids {
        wrong.extend(violations(&harness, &faults, &clock, name, id).await);
    }
    let made = calls.load(Ordering::SeqCst);
    harness.stack.shutdown().await;
    (made, wrong)
}

/// Each call of a ride meets each mode; a sample by seed, unless `LONGHAND_FAULT_RUNS` or a full run asks for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn crash_walk_with_riders() {
    walk("riders", (FAULTS_SAMPLED, SIDE_BY_SIDE), live).await;
}
