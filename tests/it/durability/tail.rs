//! Logs followed live: watch, leave, come back; and the attached start.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use longhand::aws::Blobs;
use longhand::hints::Hints;
use longhand::log::event::NumberedEvent;
use longhand::{App, Clock, Error, Tail};
use longhand_local::playback::Ending;
use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::tap::{self, Action, Call, Fault, Tap};
use longhand_tests::{Api, Harness, PATIENCE, assert_whole, environment, key_of, read_live};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

fn script(deltas: usize, tempo: f64) -> Script {
    Script { deltas: (0..deltas).map(|number| format!("{number} ñ€😀 ")).collect(), tempo, ..Script::default() }
}

fn text(events: &[Value]) -> String {
    events.iter().filter(|event| event["type"] == "output_text.delta").filter_map(|event| event["delta"].as_str()).collect()
}

/// A reader that drops its connection now and then, at places that `seed` decides, and comes back where it was.
async fn drop_and_come_back(api: Api, id: String, seed: u64) -> Vec<Value> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 12).unwrap()
    };
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let (leave_after, after) = (1 + random(), seen.last().and_then(|event| event["seq"].as_u64()));
        let (events, ended) = api.read_live(&id, after, |events| events.len() >= leave_after).await;
        seen.extend(events);
        if ended {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reconnecting_readers_get_whole_logs() {
    let (harness, _playback) = Harness::playing(script(150, 60.0), &[]).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(harness.start_generation(json!({})).await);
    }
    let readers = (0..200_u64).map(|number| {
        let id = ids[usize::try_from(number).unwrap() % ids.len()].clone();
        tokio::spawn(drop_and_come_back(harness.api.clone(), id, number + 1))
    });
    let expected = script(150, 0.0).text();
    for seen in join_all(readers).await {
        let seen = seen.unwrap();
        assert_whole(&seen);
        assert_eq!(text(&seen), expected);
    }
    for id in &ids {
        harness.ended(id).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_buffer_and_bucket_give_the_same_events() {
    let playback = play(script(40, 200.0)).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::with(options).await;
    let id = harness.start_generation(json!({})).await;
    let (live, ended) = harness.read_live(&id, None, |_| false).await;
    assert!(ended);
    assert_whole(&live);
    harness.ended(&id).await;
    let (both, _) = harness.read_live(&id, None, |_| false).await;
    for after in 0..live.len() {
        let (rest, ended) = harness.read_live(&id, Some(after as u64), |_| false).await;
        assert_eq!(
            (rest.as_slice(), ended),
            (&live[after + 1..], true),
            "after {after}, while the buffer and the bucket have it"
        );
    }
    clock.advance(Duration::from_hours(25));
    let (archived, _) = harness.read_live(&id, None, |_| false).await;
    assert_eq!(both, live);
    assert_eq!(archived, live);
    for after in 0..live.len() {
        let (rest, ended) = harness.read_live(&id, Some(after as u64), |_| false).await;
        assert_eq!((rest.as_slice(), ended), (&live[after + 1..], true), "after {after}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_reader_waits_for_the_next_events() {
    let (harness, _playback) = Harness::playing(Script { first_byte_delay: Duration::from_secs(4), ..script(3, 0.0) }, &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["last_seq"] == 1).await;
    let (_, at_once) = harness.get(&format!("generations/{id}/events?after=1")).await;
    assert_eq!(at_once["data"], json!([]));
    let (_, waited) = harness.get(&format!("generations/{id}/events?after=1&wait=20")).await;
    assert_eq!(waited["data"][0]["seq"], 2);
    let (status, problem) = harness.get(&format!("generations/{id}/events?wait=21")).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("wait")));
    harness.ended(&id).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_start_survives_its_caller() {
    let (harness, playback) = Harness::playing(script(100, 200.0), &[]).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "Hola", "stream": true });
    let post = || harness.http.post(format!("{}/v1/generations", harness.stack.url())).json(&body).send();

    let response = post().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let (events, ended) = read_live(response, |_| false).await;
    assert!(ended);
    assert_whole(&events);
    assert_eq!(text(&events), script(100, 0.0).text());
    let id = location.rsplit('/').next().unwrap();
    assert_eq!(harness.events(id).await, events);

    let response = post().await.unwrap();
    let id = response.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let (seen, ended) = read_live(response, |events| text(events).len() > 40).await;
    assert!(!ended, "the caller hung up in the middle");
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(harness.text(&id).await, script(100, 0.0).text());
    assert_eq!(harness.events(&id).await[..seen.len()], seen[..]);
    assert_eq!(playback.stats().closed_early, 0);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_behind_the_end_gets_no_content() {
    let (harness, _playback) = Harness::playing(script(3, 0.0), &[]).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    let get = harness.http.get(harness.events_url(&id)).header("accept", "text/event-stream");
    let response = get.header("last-event-id", record["progress"]["last_seq"].to_string()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT, "an EventSource stops at 204");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shortened_archive_is_reported_as_damage() {
    let playback = play(script(40, 200.0)).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::with(options).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let whole = harness.events(&id).await;
    clock.advance(Duration::from_hours(25));
    let config = harness.config("api");
    let s3 = harness.clients().await.s3;
    let object = Blobs::events_key(&key_of(&id));
    let stored = s3.get_object().bucket(&config.bucket).key(&object).send().await.unwrap().body.collect().await.unwrap().to_vec();
    let half = stored[..stored.len() / 2].to_vec();
    s3.put_object().bucket(&config.bucket).key(&object).body(half.into()).send().await.unwrap();

    let (status, problem) = harness.get(&format!("generations/{id}/events")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
    let followed = harness.read_live(&id, None, |_| false);
    let (events, _) = tokio::time::timeout(PATIENCE, followed).await.expect("the stream ends");
    assert!(events.len() < whole.len(), "{} events", events.len());
    assert_eq!(events[..], whole[..events.len()]);
    let mut tail = harness.stack.app().await.unwrap().tail(&key_of(&id), None).await.unwrap();
    let error = loop {
        match tail.next().await {
            Ok(events) => assert!(events.is_some(), "an end that is not stored"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::LogDamaged(..)), "{error}");
    harness.finish().await;
}

/// Records the operations of an app, and refuses its writes to DynamoDB for as long as it is told to.
#[derive(Debug, Default)]
struct Writes {
    are_refused: AtomicBool,
    made: Mutex<Vec<String>>,
}

impl Writes {
    fn made(&self, operation: &str) -> usize {
        self.made.lock().unwrap().iter().filter(|made| *made == operation).count()
    }
}

impl Tap for Writes {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        let is_refused = self.are_refused.load(Ordering::SeqCst) && call.operation == "UpdateItem";
        self.made.lock().unwrap().push(call.operation);
        let action = if is_refused { Action::Refuse(Fault::Broken) } else { Action::Pass };
        async move { action }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_announcement_is_repeated_by_the_next_poll() {
    let (harness, _playback) = Harness::playing(Script { ending: Ending::Stall, ..script(3, 0.0) }, &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 3).await;
    let writes = Arc::new(Writes::default());
    let parts = tap::in_front_of(harness.stack.parts(), Arc::<Writes>::clone(&writes));
    let app = App::from_parts(harness.config("tail"), Clock::system(), parts).await;
    let mut tail = app.tail(&key_of(&id), None).await.unwrap();
    writes.are_refused.store(true, Ordering::SeqCst);
    let failed = loop {
        if let Err(error) = tail.next().await {
            break error;
        }
    };
    assert!(matches!(failed, Error::Aws { .. }), "{failed}");
    writes.are_refused.store(false, Ordering::SeqCst);
    writes.made.lock().unwrap().clear();
    // The stalled writer stores nothing, so the reader polls until it is dropped.
    let polled = async {
        while writes.made("UpdateItem") == 0 && writes.made("Query") < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        read = tail.next() => panic!("there is nothing to read: {read:?}"),
        () = polled => {}
    }
    assert_eq!(writes.made("UpdateItem"), 1, "{:?}", writes.made);
    harness.cancel(&id).await;
    harness.finish().await;
}

/// Readers of one generation in one app, and the tap in front of it.
async fn readers(harness: &Harness, id: &str, hints: Option<&Hints>, count: usize) -> (Arc<Writes>, Vec<Tail>) {
    let calls = Arc::new(Writes::default());
    let parts = tap::in_front_of(harness.stack.parts(), Arc::<Writes>::clone(&calls));
    let app = App::from_parts(harness.config("tail"), Clock::system(), parts).await;
    let app = app.with_hints(hints.cloned().unwrap_or_default());
    let mut tails = Vec::new();
    for _ in 0..count {
        tails.push(app.tail(&key_of(id), None).await.unwrap());
    }
    (calls, tails)
}

async fn read_to_the_end(mut tail: Tail) -> Vec<NumberedEvent> {
    let mut events = Vec::new();
    while let Some(next) = tail.next().await.unwrap() {
        events.extend(next);
    }
    events
}

/// Twenty readers in one process poll as often as one, and where the writer is in it too, hardly at all.
#[expect(clippy::print_stdout, reason = "the figures are part of the result")]
#[tokio::test(flavor = "multi_thread")]
async fn readers_in_one_process_share_their_polls() {
    const READERS: usize = 20;
    /// The queries with which a reader finds its place, and one more where it looks again.
    const OWN: usize = 3;
    let (harness, _playback) = Harness::playing(script(200, 80.0), &[]).await;
    let id = harness.start_generation(json!({})).await;
    let of_the_stack = harness.stack.app().await.unwrap();
    let (by_one, one) = readers(&harness, &id, None, 1).await;
    let (by_many, many) = readers(&harness, &id, None, READERS).await;
    let (beside_writer, beside) = readers(&harness, &id, Some(of_the_stack.hints()), READERS).await;
    let tails = one.into_iter().chain(many).chain(beside);
    let mut logs = join_all(tails.map(|tail| tokio::spawn(read_to_the_end(tail)))).await.into_iter().map(Result::unwrap);
    let first = logs.next().unwrap();
    assert_whole(&first.iter().map(|event| serde_json::to_value(event).unwrap()).collect::<Vec<_>>());
    assert!(logs.all(|log| log == first));
    let [one, many, beside] = [by_one, by_many, beside_writer].map(|calls| calls.made("Query"));
    println!("queries of one reader: {one}; of {READERS} in one process: {many}; of as many beside the writer: {beside}");
    assert!(many <= 2 * one + OWN * READERS, "{one} queries of one reader, {many} of {READERS}");
    assert!(beside <= OWN * READERS + one / 2, "{one} queries of one reader, {beside} of {READERS} beside the writer");
    harness.ended(&id).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_log_is_read_from_the_bucket() {
    let (harness, _playback) = Harness::playing(script(40, 0.0), &[]).await;
    let id = harness.start_generation(json!({})).await;
    let last = harness.ended(&id).await["progress"]["last_seq"].as_u64().unwrap();
    let calls = Arc::new(Writes::default());
    let parts = tap::in_front_of(harness.stack.parts(), Arc::<Writes>::clone(&calls));
    let app = App::from_parts(harness.config("tail"), Clock::system(), parts).await;
    let read = async |after| read_to_the_end(app.tail(&key_of(&id), after).await.unwrap()).await;
    let all = read(None).await;
    assert_eq!(all.last().map(|event| event.seq), Some(last));
    assert_eq!((calls.made("GetObject"), calls.made("Query")), (1, 0), "one request, whatever its length: {:?}", calls.made);
    let rest = read(Some(last - 2)).await;
    assert_eq!(rest, all[all.len() - 2..]);
    assert_eq!(calls.made("GetObject"), 1, "its last events are in the buffer: {:?}", calls.made);
    harness.finish().await;
}

/// A long log in the bucket is read from its last place before the reader's: what lies before it may even be gone.
#[tokio::test(flavor = "multi_thread")]
async fn long_compacted_log_is_read_from_its_places() {
    let deltas: Vec<String> = (0..500).map(|number| format!("{number} {}", "ñandú ".repeat(900))).collect();
    let (harness, _playback) = Harness::playing(Script { tempo: 0.0, ..Script::new(deltas) }, &[]).await;
    let id = harness.start_generation(json!({})).await;
    let last = harness.ended(&id).await["progress"]["last_seq"].as_u64().unwrap();
    let calls = Arc::new(Writes::default());
    let parts = tap::in_front_of(harness.stack.parts(), Arc::<Writes>::clone(&calls));
    let app = App::from_parts(harness.config("tail"), Clock::system(), parts).await;
    let all = read_to_the_end(app.tail(&key_of(&id), None).await.unwrap()).await;
    let all: Vec<Value> = all.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_whole(&all);
    assert_eq!(harness.events(&id).await, all);

    let object = Blobs::events_key(&key_of(&id));
    let (s3, bucket) = (harness.clients().await.s3, harness.config("tail").bucket);
    let mut bytes = s3.get_object().bucket(&bucket).key(&object).send().await.unwrap().body.collect().await.unwrap().to_vec();
    bytes[..1_000].fill(0);
    s3.put_object().bucket(&bucket).key(&object).body(bytes.into()).send().await.unwrap();
    let (status, damaged) = harness.get(&format!("generations/{id}/events?after=1")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "its beginning is gone: {damaged}");

    let before = calls.made("GetObject");
    let after = last * 2 / 3;
    let rest = read_to_the_end(app.tail(&key_of(&id), Some(after)).await.unwrap()).await;
    let rest: Vec<Value> = rest.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_eq!(rest, all[usize::try_from(after).unwrap() + 1..]);
    assert_eq!((calls.made("GetObject") - before, calls.made("Query")), (1, 0), "{:?}", calls.made);
    let (_, page) = harness.get(&format!("generations/{id}/events?after={after}&limit=3")).await;
    assert_eq!(page["data"].as_array().unwrap()[..], rest[..3]);

    // The same log of one member, as a `compact` of an earlier version writes it: its places lie within the member.
    let unpacked = all.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n";
    for level in [Compression::none(), Compression::best()] {
        let mut one = GzEncoder::new(Vec::new(), level);
        one.write_all(unpacked.as_bytes()).unwrap();
        let one = one.finish().unwrap();
        s3.put_object().bucket(&bucket).key(&object).body(one.into()).send().await.unwrap();
        let read = read_to_the_end(app.tail(&key_of(&id), Some(after)).await.unwrap()).await;
        let read: Vec<Value> = read.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
        assert!(read == rest, "{level:?}: {} events of {}", read.len(), rest.len());
        let (_, page) = harness.get(&format!("generations/{id}/events?after={after}&limit=3")).await;
        assert_eq!(page["data"].as_array().unwrap()[..], rest[..3]);
    }
    let mut behind = Blobs::new(s3, bucket).read_from(&object, 1 << 40).await.unwrap().unwrap();
    assert_eq!(behind.next().await.unwrap(), None, "an object that ends before the place");
    harness.finish().await;
}

/// Holds the answers of queries back while it is closed.
#[derive(Debug)]
struct Gate(watch::Sender<bool>);

impl Tap for Gate {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        let mut is_closed = self.0.subscribe();
        let until = async move { drop(is_closed.wait_for(|is_closed| !is_closed).await) };
        let action = if call.operation == "Query" { Action::Hold { until: until.boxed(), lost: false } } else { Action::Pass };
        std::future::ready(action).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_readers_go_on_in_the_bucket() {
    let playback = play(Script { ending: Ending::Stall, ..script(3, 0.0) }).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 3).await;
    let gate = Arc::new(Gate(watch::Sender::new(false)));
    let parts = tap::in_front_of(harness.stack.parts(), Arc::<Gate>::clone(&gate));
    let app = App::from_parts(harness.config("tail"), clock.clone(), parts).await;
    let mut tails = Vec::new();
    for _ in 0..5 {
        let mut tail = app.tail(&key_of(&id), None).await.unwrap();
        let mut read = Vec::new();
        while text(&read) != script(3, 0.0).text() {
            let events = tail.next().await.unwrap().expect("more");
            read.extend(events.iter().map(|event| serde_json::to_value(event).unwrap()));
        }
        tails.push((tail, read));
    }
    // The next poll has no end yet, and the one after it finds that the buffer has expired.
    gate.0.send_replace(true);
    let rest = tails.into_iter().map(|(tail, read)| tokio::spawn(async move { (read, read_to_the_end(tail).await) }));
    let rest: Vec<_> = rest.collect();
    harness.cancel(&id).await;
    harness.ended(&id).await;
    clock.advance(Duration::from_hours(25));
    gate.0.send_replace(false);
    for (mut read, rest) in join_all(rest).await.into_iter().map(Result::unwrap) {
        read.extend(rest.iter().map(|event| serde_json::to_value(event).unwrap()));
        assert_whole(&read);
        assert_eq!(read.last().unwrap()["type"], "cancelled");
    }
    harness.finish().await;
}
