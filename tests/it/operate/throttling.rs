//! Batches that DynamoDB processes in part, partitions of many pages, and bulk work that must not go row by row.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::FutureExt as _;
use longhand::generation::request::Request;
use longhand::{App, Clock, GenerationId, Organization, RetentionRules, Started};
use longhand_local::{Options, Playback, Script};
use longhand_tests::proxy::{Decide, DynamoCall, app_behind};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, environment, key_of};
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;

/// The concurrency that bulk verbs promise.
const SIDE_BY_SIDE: usize = 16;

fn local() -> Organization {
    "local".parse().unwrap()
}

/// A stack that never streams what it accepts.
async fn idle(clock: &Clock) -> Harness {
    let env = environment("http://127.0.0.1:9", &[("LONGHAND_STREAM_FUNCTION", "nobody")]);
    Harness::without(&["EveryMinute"], Options { clock: clock.clone(), env, ..Options::default() }).await
}

fn start(app: &App, key: Option<&'static str>) -> impl Future<Output = Started> + Send + 'static {
    let body = json!({ "provider": "test", "model": "m", "prompt": "p" }).to_string();
    let request = Request::parse(body.as_bytes(), &app.config().request_rules()).unwrap();
    let app = app.clone();
    async move { app.start(&local(), &request, key).await.unwrap() }
}

/// Leaves the first `refused` calls of `operation` unprocessed, and counts all of them.
fn unprocessed(operation: &'static str, field: &'static str, refused: usize) -> (Arc<AtomicUsize>, Decide) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let decide: Decide = Arc::new(move |call: DynamoCall| {
        let is_refused = call.operation == operation && counted.fetch_add(1, Ordering::SeqCst) < refused;
        let answer = is_refused.then(|| json!({ "Responses": {}, field: call.body["RequestItems"] }));
        std::future::ready(answer).boxed()
    });
    (calls, decide)
}

/// A stack with one generation, which has ended.
async fn one_ended() -> (Harness, String, Playback) {
    let playback = play(Script::new(["Hola"])).unwrap();
    let harness = Harness::start(playback.base_url(), &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    (harness, id, playback)
}

/// Holds calls that `is_held` selects until as many wait as bulk verbs promise to send side by side.
fn only_together(is_held: impl Fn(&DynamoCall) -> bool + Send + Sync + 'static) -> Decide {
    let barrier = Arc::new(Barrier::new(SIDE_BY_SIDE));
    Arc::new(move |call| {
        let barrier = is_held(&call).then(|| Arc::clone(&barrier));
        async move {
            if let Some(barrier) = barrier {
                barrier.wait().await;
            }
            None
        }
        .boxed()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn list_retries_unprocessed_keys() {
    let clock = Clock::system();
    let harness = idle(&clock).await;
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(harness.start_generation(json!({})).await);
    }
    let (calls, decide) = unprocessed("BatchGetItem", "UnprocessedKeys", 3);
    let app = app_behind(&harness, "api", clock, decide).await;
    let page = app.list(&local(), &longhand::ListQuery::default()).await.unwrap();
    assert_eq!(page.data.iter().map(|generation| generation.id.to_string()).collect::<BTreeSet<_>>(), ids);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unprocessed_deletions_are_retried_and_counted_once() {
    let (harness, id, _playback) = one_ended().await;
    let key = key_of(&id);
    let inspection = harness.stack.app().await.unwrap().inspect(&key).await.unwrap();
    let items = inspection.slots.len() + usize::from(inspection.meta.is_some());
    let (calls, decide) = unprocessed("BatchWriteItem", "UnprocessedItems", 3);
    let purged = app_behind(&harness, "api", Clock::system(), decide).await.purge(&key).await.unwrap();
    assert_eq!(purged.buffer_items, items as u64);
    assert_eq!(calls.load(Ordering::SeqCst), 5, "three refused, one of the buffer, one of the records table");
    harness.finish().await;
}

/// The first call and twelve retries, each after a wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_stays_unprocessed_is_an_error() {
    let (harness, id, _playback) = one_ended().await;
    let (gets, decide) = unprocessed("BatchGetItem", "UnprocessedKeys", usize::MAX);
    let reader = app_behind(&harness, "api", Clock::system(), decide).await;
    let (writes, decide) = unprocessed("BatchWriteItem", "UnprocessedItems", usize::MAX);
    let purger = app_behind(&harness, "api", Clock::system(), decide).await;
    let (organization, query, key) = (local(), longhand::ListQuery::default(), key_of(&id));
    let (listed, purged) = tokio::join!(reader.list(&organization, &query), purger.purge(&key));
    for error in [listed.unwrap_err(), purged.unwrap_err()] {
        assert!(error.to_string().contains("items unprocessed after 12 retries"), "{error}");
    }
    assert_eq!((gets.load(Ordering::SeqCst), writes.load(Ordering::SeqCst)), (13, 13));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_deletes_every_page_and_the_record_last() {
    let (harness, id, _playback) = one_ended().await;
    let config = harness.config("api");
    let dynamodb = harness.clients().await.dynamodb;
    let text = |text: String| AttributeValue::S(text);
    // 1.8 MB: two pages of a query.
    for number in 0..60 {
        let put = dynamodb.put_item().table_name(&config.records_table).item("pk", text(format!("local#{id}")));
        let put = put.item("sk", text(format!("issue#{number:03}"))).item("errors", text("x".repeat(30_000)));
        put.send().await.unwrap();
    }
    let deletes: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (seen, records_table) = (Arc::clone(&deletes), config.records_table.clone());
    let decide: Decide = Arc::new(move |call| {
        let mut seen = seen.lock().unwrap();
        let batch = &call.body["RequestItems"][&records_table];
        let answer = if call.operation == "BatchWriteItem" && batch.is_array() {
            seen.push(batch.clone());
            (seen.len() <= 2).then(|| json!({ "UnprocessedItems": call.body["RequestItems"] }))
        } else {
            if call.operation == "DeleteItem" && call.body["TableName"] == records_table.as_str() {
                seen.push(call.body["Key"]["sk"]["S"].clone());
            }
            None
        };
        std::future::ready(answer).boxed()
    });
    app_behind(&harness, "api", Clock::system(), decide).await.purge(&key_of(&id)).await.unwrap();
    assert_eq!(harness.rows_of_generations(&config.records_table).await, []);
    let sizes: Vec<Option<usize>> = deletes.lock().unwrap().iter().map(|call| call.as_array().map(Vec::len)).collect();
    assert_eq!(sizes, [Some(25), Some(25), Some(25), Some(25), Some(11), None], "60 issues and the request, then the record");
    assert_eq!(deletes.lock().unwrap().last().unwrap(), "record");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_reads_records_concurrently() {
    let clock = Clock::system();
    let harness = idle(&clock).await;
    let config = harness.config("api");
    let s3 = harness.clients().await.s3;
    for _ in 0..2 * SIDE_BY_SIDE {
        let id = GenerationId::new(clock.now_ms() - 26 * 3_600_000);
        s3.put_object().bucket(&config.bucket).key(format!("local/{id}/request.json")).send().await.unwrap();
    }
    // Young objects may be those of an import that is being written.
    clock.advance(Duration::from_hours(26));
    let is_held = |call: &DynamoCall| call.operation == "GetItem" && call.body["Key"]["sk"]["S"] == "record";
    let app = app_behind(&harness, "api", clock, only_together(is_held)).await;
    let found = timeout(PATIENCE, app.retention(&local(), RetentionRules::default())).await.expect("it goes on").unwrap();
    assert_eq!(found.objects.len(), 2 * SIDE_BY_SIDE, "{found:?}");
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catch_up_reads_logs_concurrently() {
    let clock = Clock::system();
    let harness = idle(&clock).await;
    for _ in 0..SIDE_BY_SIDE {
        harness.start_generation(json!({})).await;
    }
    let buffer_table = harness.config("api").buffer_table;
    let is_held = move |call: &DynamoCall| call.operation == "Query" && call.body["TableName"] == buffer_table.as_str();
    let app = app_behind(&harness, "api", clock, only_together(is_held)).await;
    let caught_up = timeout(PATIENCE, app.catch_up(false)).await.expect("it goes on").unwrap();
    assert!(caught_up.compacted.is_empty() && caught_up.failed.is_empty(), "{caught_up:?}");
    harness.stack.shutdown().await;
}

/// Two requests with one key, of which the second is accepted while the first is about to store its rows.
async fn race(quota: &[(&str, &str)]) {
    let env = [&[("LONGHAND_STREAM_FUNCTION", "nobody")], quota].concat();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment("http://127.0.0.1:9", &env), ..Options::default() };
    let harness = Harness::without(&["EveryMinute"], options).await;
    let (waits, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (held, freed) = (Arc::clone(&waits), Arc::clone(&goes_on));
    let decide: Decide = Arc::new(move |call| {
        let stores = call.operation == "TransactWriteItems" || call.body["Item"]["sk"]["S"] == "request";
        let (held, freed) = (Arc::clone(&held), Arc::clone(&freed));
        async move {
            if stores {
                held.notify_one();
                freed.notified().await;
            }
            None
        }
        .boxed()
    });
    let first = app_behind(&harness, "start", clock, decide).await;
    let first = tokio::spawn(start(&first, Some("once")));
    timeout(PATIENCE, waits.notified()).await.expect("the first is about to store its rows");
    let later = Clock::system();
    later.advance(Duration::from_secs(2));
    let second = app_behind(&harness, "start", later, Arc::new(|_| std::future::ready(None).boxed())).await;
    let second = start(&second, Some("once")).await;
    goes_on.notify_one();
    assert_eq!(first.await.unwrap(), second, "both have what is stored");
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotent_race_loser_returns_the_stored_record() {
    race(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counted_idempotent_race_loser_returns_the_stored_record() {
    race(&[("LONGHAND_MAX_GENERATIONS_PER_DAY", "5")]).await;
}
