//! `sweep` sets going again what stands still, or ends it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use longhand::generation::request::Request;
use longhand::{App, Clock};
use longhand_functions::Function;
use longhand_local::{Data, Options, Registry, Script};
use longhand_tests::hostile::{Ending, Hostile, Script as Bytes, wire};
use longhand_tests::sensitive::play;
use longhand_tests::tap::{Action, Call, Tap, in_front_of};
use longhand_tests::{Harness, PATIENCE, assert_whole, environment, key_of, start_stack, template_without};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a sweep did, without the age of the oldest.
async fn sweep(harness: &Harness) -> Value {
    let mut swept = harness.stack.invoke("sweep", json!({})).await.unwrap();
    let fields = swept.as_object_mut().unwrap();
    fields.remove("oldest_seconds");
    assert_eq!(fields.remove("due_deliveries"), Some(json!(0)), "there are no webhooks");
    assert_eq!(fields.remove("open_batches"), Some(json!(0)), "there are no batches");
    assert_eq!(fields.remove("open_imports"), Some(json!(0)), "there are no imports");
    assert_eq!(
        (fields.remove("open_runs"), fields.remove("runs_over_time")),
        (Some(json!(0)), Some(json!(0))),
        "there are no runs"
    );
    swept
}

/// A sweep that found `open` generations, one of which was as `what` says.
fn found(open: u64, what: &str) -> Value {
    let mut swept = json!({ "open": open, "looked_at": open, "streamed": 0, "compacted": 0, "timed_out": 0, "errors": 0 });
    match what {
        "well" => {}
        "young" => swept["looked_at"] = json!(0),
        _ => swept[what] = json!(1),
    }
    swept
}

/// Meta, as `longhand inspect` shows it.
async fn meta(harness: &Harness, id: &str) -> Value {
    let app = harness.stack.app().await.unwrap();
    let inspection = app.inspect(&key_of(id)).await.unwrap();
    serde_json::to_value(inspection).unwrap()["meta"].clone()
}

/// The product's functions, but that `stream` does nothing and notes what it was asked for.
fn noting() -> (Arc<Mutex<Vec<Value>>>, Registry) {
    let jobs: Arc<Mutex<Vec<Value>>> = Arc::default();
    let noted = Arc::clone(&jobs);
    let registry: Registry = Arc::new(move |name, app| {
        if name != "stream" {
            return longhand_functions::function(name, app);
        }
        let noted = Arc::clone(&noted);
        Some(Function::Event(Arc::new(move |event| {
            noted.lock().unwrap().push(event.payload);
            Box::pin(std::future::ready(Ok(Value::Null)))
        })))
    });
    (jobs, registry)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text() -> Script {
    Script { deltas: vec!["uno ".into(), "0".into(), "dos".into()], ..Script::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_streams_after_a_lost_invoke() {
    let playback = play(text()).unwrap();
    let clock = Clock::system();
    // `start` invokes a function that is not there: it accepts all the same, for the record is stored.
    let env = environment(playback.base_url(), &[]);
    let lost = environment(playback.base_url(), &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    let folder = tempfile::tempdir().unwrap();
    let data = Data::Folder(folder.path().to_owned());
    let harness = Harness::with(Options { data: data.clone(), clock: clock.clone(), env: lost, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    harness.stack.shutdown().await;

    let harness = Harness::without(&["EveryMinute"], Options { data, clock: clock.clone(), env, ..Options::default() }).await;
    assert_eq!(sweep(&harness).await, found(1, "young"));
    clock.advance(Duration::from_mins(1));
    assert_eq!(sweep(&harness).await, found(1, "streamed"));
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(harness.text(&id).await, "uno 0dos");
    assert_eq!(sweep(&harness).await, found(0, "well"));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_start_streams_after_a_lost_invoke() {
    let playback = play(text()).unwrap();
    let lost = environment(playback.base_url(), &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    let folder = tempfile::tempdir().unwrap();
    let data = Data::Folder(folder.path().to_owned());
    let harness = Harness::with(Options { data: data.clone(), env: lost, ..Options::default() }).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
    let (_, first) = harness.post_once("once", &body).await;
    harness.stack.shutdown().await;

    let env = environment(playback.base_url(), &[]);
    let harness = Harness::without(&["EveryMinute"], Options { data, env, ..Options::default() }).await;
    let (_, again) = harness.post_once("once", &body).await;
    assert_eq!(again["id"], first["id"]);
    let record = harness.ended(first["id"].as_str().unwrap()).await;
    assert_eq!(record["status"], "completed", "{record}");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_compacts_after_a_lost_trigger() {
    let playback = play(text()).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 3).await;
    let began = Instant::now();
    while harness.events(&id).await.last().is_none_or(|event| event["type"] != "completed") {
        assert!(began.elapsed() < PATIENCE, "the log does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sweep(&harness).await, found(1, "young"), "the trigger has its time");
    clock.advance(Duration::from_mins(1));
    assert_eq!(sweep(&harness).await, found(1, "compacted"));
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["compacted_by"]), (&json!("completed"), &json!("sweep")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_resumes_after_a_killed_writer() {
    let hostile = Hostile::start([(
        "test",
        vec![Bytes::stream([wire::text("uno ")]).ending(Ending::Stall), Bytes::stream([wire::whole(&["dos"])])],
    )])
    .await;
    let (clock, folder) = (Clock::system(), tempfile::tempdir().unwrap());
    let options = || Options {
        data: Data::Folder(folder.path().to_owned()),
        clock: clock.clone(),
        env: environment(&hostile.base_url("test"), &[("LONGHAND_LEASE_SECONDS", "600")]),
        ..Options::default()
    };
    let harness = Harness::without(&["EveryMinute"], options()).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 1).await;
    drop(harness);

    // Its own event comes again, and finds the lease of a writer that is no more.
    let harness = Harness::without(&["EveryMinute"], options()).await;
    clock.advance(Duration::from_mins(1));
    assert_eq!(sweep(&harness).await, found(1, "well"), "the lease runs");
    clock.advance(Duration::from_mins(10));
    assert_eq!(sweep(&harness).await, found(1, "streamed"));
    assert_eq!(harness.ended(&id).await["status"], "completed");
    assert_eq!(meta(&harness, &id).await["attempt"], 2);
    assert_eq!(meta(&harness, &id).await["sweeps"], 0, "a new attempt begins the count anew");
    assert_whole(&harness.events(&id).await);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_ends_a_hung_writer() {
    let playback = play(Script { first_byte_delay: Duration::from_mins(10), ..text() }).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["status"] == "running").await;
    clock.advance(Duration::from_mins(30));
    let now = clock.now_ms();
    let began = Instant::now();
    while meta(&harness, &id).await["lease_until"].as_i64().unwrap() < now {
        assert!(began.elapsed() < PATIENCE, "the lease is not renewed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sweep(&harness).await, found(1, "well"), "a writer may end by itself");
    clock.advance(Duration::from_mins(1));
    assert_eq!(sweep(&harness).await, found(1, "timed_out"));
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("timeout")));
    assert_eq!(meta(&harness, &id).await["attempt"], 1, "no writer was begun for it");
    assert_whole(&harness.events(&id).await);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_ends_a_generation_that_never_began() {
    let clock = Clock::system();
    let env = environment("http://127.0.0.1:9", &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    let harness = Harness::without(&["EveryMinute"], Options { clock: clock.clone(), env, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    clock.advance(Duration::from_mins(2));
    assert_eq!(sweep(&harness).await, found(1, "errors"), "there is nobody to invoke");
    assert_eq!(sweep(&harness).await, found(1, "well"), "and nobody is asked again at once");
    clock.advance(Duration::from_mins(29));
    assert_eq!(sweep(&harness).await, found(1, "timed_out"));
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("timeout")));
    assert_whole(&harness.events(&id).await);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_invokes_of_a_sweep_back_off() {
    let (jobs, registry) = noting();
    let clock = Clock::system();
    let env = environment("http://127.0.0.1:9", &[("LONGHAND_GENERATION_TIMEOUT_MS", "7200000")]);
    let options = Options { clock: clock.clone(), env, ..Options::default() };
    let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await);
    harness.start_generation(json!({})).await;
    let mut invoked = Vec::new();
    for minute in 1..=60 {
        clock.advance(Duration::from_mins(1));
        if sweep(&harness).await["streamed"] == 1 {
            invoked.push(minute);
        }
    }
    assert_eq!(invoked, [1, 2, 4, 8, 16, 31, 46]);
    until("every invoke runs", || jobs.lock().unwrap().len() == 1 + invoked.len()).await;
    harness.finish().await;
}

/// Stops a sweep after a number of looks: each look begins with one query of the buffer.
#[derive(Clone, Debug, Default)]
struct Budget(Arc<Mutex<(usize, CancellationToken)>>);

impl Budget {
    /// Ready once this many looks have begun from now on.
    fn spent(&self, looks: usize) -> impl Future<Output = ()> + use<> {
        let token = CancellationToken::new();
        *self.0.lock().unwrap() = (looks, token.clone());
        token.cancelled_owned()
    }
}

impl Tap for Budget {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        if call.operation == "Query" && !call.resource.contains("/index/") {
            let mut budget = self.0.lock().unwrap();
            budget.0 = budget.0.saturating_sub(1);
            if budget.0 == 0 {
                budget.1.cancel();
            }
        }
        std::future::ready(Action::Pass).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_sweeps_check_each_generation_once() {
    const ORGANIZATIONS: usize = 10;
    const EACH: usize = 80;
    /// Looks of one sweep, and those that have begun when the last of them is made.
    const LOOKS: usize = 120;
    let (jobs, registry) = noting();
    // It stands still: no generation becomes due again while others are looked at.
    let clock = Clock::manual();
    let env = environment("http://127.0.0.1:9", &[]);
    let options = Options { clock: clock.clone(), env, ..Options::default() };
    let harness = Harness::over(start_stack(options, &template_without(&["EveryMinute"]), registry).await);
    let starter = harness.app(harness.config_of_lost_invokes(), clock.clone()).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "p" }).to_string();
    let request = Request::parse(body.as_bytes(), &starter.config().request_rules()).unwrap();
    let starts = (0..ORGANIZATIONS * EACH).map(|number| {
        let (starter, request) = (&starter, &request);
        let organization = format!("organization-{}", number % ORGANIZATIONS).parse().unwrap();
        async move { starter.start(&organization, request, None).await.unwrap() }
    });
    futures::stream::iter(starts).buffer_unordered(8).for_each(|_| async {}).await;

    clock.advance(Duration::from_mins(2));
    let budget = Budget::default();
    let parts = in_front_of(harness.stack.parts(), Arc::new(budget.clone()));
    let sweeper = App::from_parts(harness.config("sweep"), clock.clone(), parts).await;
    let (mut streamed, mut looked_at, mut stopped) = (0, 0, 0);
    while streamed < (ORGANIZATIONS * EACH) as u64 {
        let swept = sweeper.sweep(budget.spent(LOOKS)).await.unwrap();
        assert_eq!((swept.open, swept.errors), ((ORGANIZATIONS * EACH) as u64, 0));
        assert!(swept.oldest_seconds >= 120);
        assert!(swept.looked_at >= LOOKS as u64, "a sweep stopped early: {swept:?}");
        streamed += swept.streamed;
        stopped += u32::from(swept.looked_at < swept.open);
        if streamed == swept.open {
            break;
        }
        looked_at += swept.looked_at;
        assert_eq!(looked_at, streamed, "none is looked at twice before all were looked at once");
    }
    assert!(stopped >= 4, "{stopped} sweeps had to stop");
    until("every invoke runs", || jobs.lock().unwrap().len() == ORGANIZATIONS * EACH).await;
    let ids: BTreeSet<String> = jobs.lock().unwrap().iter().map(|job| job["generation"].to_string()).collect();
    assert_eq!(ids.len(), ORGANIZATIONS * EACH, "one was invoked twice, and another not");
    let swept = sweeper.sweep(std::future::pending()).await.unwrap();
    assert_eq!((swept.looked_at, swept.streamed), ((ORGANIZATIONS * EACH) as u64, 0), "nothing is due");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_purge_sweep_and_compaction_leave_nothing() {
    let clock = Clock::system();
    let env = environment("http://127.0.0.1:9", &[]);
    let harness = Harness::without(&["EveryMinute", "Ended"], Options { clock: clock.clone(), env, ..Options::default() }).await;
    let app = harness.stack.app().await.unwrap();
    let mut keys = Vec::new();
    for _ in 0..20 {
        let id = harness.start_generation(json!({ "max_attempts": 1 })).await;
        harness.cancel(&id).await;
        keys.push(key_of(&id));
    }
    clock.advance(Duration::from_mins(2));
    let sweeps = async {
        for _ in 0..5 {
            let swept = app.sweep(std::future::pending()).await.unwrap();
            assert_eq!(swept.errors, 0, "{swept:?}");
        }
    };
    let purges = futures::future::join_all(keys.iter().map(|key| async {
        while let Err(error) = app.purge(key).await {
            assert!(matches!(error, longhand::Error::NotEnded(..)), "{error}");
            tokio::task::yield_now().await;
        }
    }));
    // One of them ends it, the purge follows at once, and the others put what is purged already.
    let compactions = futures::future::join_all(keys.iter().flat_map(|key| [key; 3]).map(|key| async {
        match app.compact(key, "test").await {
            Ok(_) | Err(longhand::Error::NotFound(_) | longhand::Error::LogGone(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }));
    futures::join!(sweeps, purges, compactions);
    for key in &keys {
        assert_eq!(harness.get(&format!("generations/{}", key.generation)).await.0, StatusCode::NOT_FOUND);
    }
    let config = harness.config("api");
    let clients = harness.clients().await;
    for table in [&config.buffer_table, &config.records_table] {
        assert_eq!(harness.rows_of_generations(table).await, [], "in {table}");
    }
    let objects = clients.s3.list_objects_v2().bucket(&config.bucket).send().await.unwrap();
    assert_eq!(objects.contents(), []);
    assert_eq!(sweep(&harness).await, found(0, "well"));
    harness.finish().await;
}
