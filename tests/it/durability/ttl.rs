//! How long things live: the buffer's TTL, restarts on the same folder, purge.

use std::time::Duration;

use longhand::Clock;
use longhand_local::{Data, Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, assert_whole, environment, key_of};
use reqwest::StatusCode;
use serde_json::json;

fn text() -> Script {
    Script { deltas: ["{\"a\"", ": 0", ".78}"].map(str::to_owned).to_vec(), ..Script::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_buffer_is_absent_and_its_events_come_from_the_bucket() {
    let playback = play(text()).unwrap();
    let clock = Clock::system();
    let env = environment(playback.base_url(), &[("GENERATION_CHUNK_TTL", "3600")]);
    let harness = Harness::with(Options { clock: clock.clone(), env, ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_whole(&events);
    // Nothing has been deleted yet: DynamoDB may take days. What has expired is absent all the same.
    clock.advance(Duration::from_mins(61));
    let app = harness.stack.app().await.unwrap();
    let inspection = app.inspect(&key_of(&id)).await.unwrap();
    assert!(inspection.slots.is_empty() && inspection.meta.is_none());
    assert_eq!(harness.events(&id).await, events);
    let (_, page) = harness.get(&format!("generations/{id}/events?after=2&limit=2")).await;
    assert_eq!(page["data"].as_array().unwrap()[..], events[3..5]);
    assert_eq!(harness.text(&id).await, "{\"a\": 0.78}");
    assert_eq!(harness.get(&format!("generations/{id}")).await.1, record);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_that_expired_before_compaction_is_gone() {
    let playback = play(text()).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended"], options).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 3).await;
    clock.advance(Duration::from_hours(25));
    let app = harness.stack.app().await.unwrap();
    let error = app.compact(&key_of(&id), "test").await.unwrap_err();
    assert_eq!(error.to_string(), format!("the log of generation {id} has expired or was deleted"));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_stack_has_everything() {
    let playback = play(text()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        data: Data::Folder(folder.path().to_owned()),
        env: environment(playback.base_url(), &[]),
        ..Options::default()
    };
    let harness = Harness::with(options()).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    harness.finish().await;
    let harness = Harness::with(options()).await;
    assert_eq!(harness.get(&format!("generations/{id}")).await.1, record);
    assert_eq!(harness.text(&id).await, "{\"a\": 0.78}");
    let (_, page) = harness.get("generations").await;
    let mut listed = record;
    listed["llm_response"] = json!(null);
    assert_eq!(page["data"], json!([listed]), "a list leaves the results out");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_deletes_ended_generations_only() {
    let (harness, _playback) = Harness::playing(Script { tempo: 2.0, ..text() }, &[]).await;
    let id = harness.start_generation(json!({})).await;
    let app = harness.stack.app().await.unwrap();
    let key = key_of(&id);
    let purge = || app.purge(&key);
    assert!(purge().await.unwrap_err().to_string().contains("has not ended; only what has ended can be purged"));
    harness.ended(&id).await;
    purge().await.unwrap();
    assert_eq!(harness.get(&format!("generations/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(harness.get("generations").await.1["data"], json!([]));
    harness.finish().await;
}
