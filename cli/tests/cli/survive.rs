//! A stack that is killed in the middle, and started again on the same folder.

use std::path::Path;
use std::time::{Duration, Instant};

use longhand_local::Script;
use longhand_tests::hostile::{self, Hostile, rest_of, wire};
use longhand_tests::keeper::{Keeper, Speech};
use longhand_tests::sensitive::play;
use longhand_tests::{Api, assert_whole};
use serde_json::{Value, json};

use crate::dev::Dev;

async fn start(data: &Path, base_url: &str, arguments: &[&str]) -> (Dev, Api) {
    let own = ["--provider", "test", "--base-url", base_url];
    let (dev, place) = Dev::start(data, &[&own, arguments].concat(), &[("LONGHAND_LEASE_SECONDS", "2")]).await;
    (dev, Api::open(&place.url).with_key(&place.key))
}

/// Starts a generation, kills the stack as soon as there is text, starts it again, and returns the generation's final record,
/// events and text.
async fn killed_in_the_middle(base_url: &str, arguments: &[&str]) -> (Value, Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (dev, api) = start(folder.path(), base_url, arguments).await;
    let id = api.start_generation(json!({})).await;
    api.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    let shown = api.events(&id).await;
    drop(dev);

    let key = std::fs::read(folder.path().join("key")).unwrap();
    let (_dev, api) = start(folder.path(), base_url, arguments).await;
    assert_eq!(std::fs::read(folder.path().join("key")).unwrap(), key, "the data folder keeps its key");
    let record = api.ended(&id).await;
    let events = api.events(&id).await;
    assert_whole(&events);
    assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    (record, events, api.text(&id).await)
}

/// Starts generations with one attempt at most; returns their ids once each has some text, and the events that each has then.
pub async fn under_way(api: &Api, count: usize) -> (Vec<String>, Vec<Vec<Value>>) {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(api.start_generation(json!({ "max_attempts": 1 })).await);
    }
    for id in &ids {
        api.until(id, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    }
    let mut shown = Vec::new();
    for id in &ids {
        shown.push(api.events(id).await);
    }
    (ids, shown)
}

/// The rest of each is told by the next stack, and with one attempt at most, an attempt spent would fail it.
#[tokio::test(flavor = "multi_thread")]
async fn terminated_stack_hands_thirty_generations_over_and_spends_no_attempt() {
    const GENERATIONS: usize = 30;
    let deltas: Vec<String> = (0..400).map(|number| format!("{number} ")).collect();
    let script = Script { deltas, tempo: 100.0, ..Script::default() };
    let whole = script.text();
    let playback = play(script).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (dev, api) = start(folder.path(), playback.base_url(), &[]).await;
    let (ids, shown) = under_way(&api, GENERATIONS).await;
    let began = Instant::now();
    assert!(dev.terminate(), "it ends well");
    println!("{GENERATIONS} generations were handed over, and the stack ended, in {:?}", began.elapsed());

    let (_dev, api) = start(folder.path(), playback.base_url(), &[]).await;
    for (id, shown) in ids.iter().zip(&shown) {
        let record = api.ended(id).await;
        assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(1)), "{record}");
        assert_eq!(api.text(id).await, whole);
        let events = api.events(id).await;
        assert_whole(&events);
        assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    }
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["type"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_killed_in_the_middle_is_taken_up_again_and_what_a_reader_saw_stays() {
    let deltas: Vec<String> = (0..600).map(|number| format!("{number} ")).collect();
    let script = Script { deltas, tempo: 200.0, ..Script::default() };
    let whole = script.text();
    let playback = play(script).unwrap();
    let (record, events, text) = killed_in_the_middle(playback.base_url(), &[]).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!((count(&events, "in_progress"), count(&events, "output_item.added")), (2, 2), "the second attempt began again");
    assert_eq!(text, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_killed_in_the_middle_goes_on_from_its_text_where_the_provider_can() {
    let pieces: Vec<String> = (0..600).map(|number| format!("{number} ")).collect();
    let whole = pieces.concat();
    let said = whole.clone();
    let hostile = Hostile::improvising("test", move |_, body| {
        let pieces = rest_of(&said, body).unwrap().split_inclusive(' ').map(wire::text);
        hostile::Script::stream(pieces.chain([wire::ending()])).paced(Duration::from_millis(5))
    });
    let hostile = hostile.await;
    let arguments = ["--continuation", "trailing_assistant"];
    let (record, events, text) = killed_in_the_middle(&hostile.base_url("test"), &arguments).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!((count(&events, "in_progress"), count(&events, "output_item.added")), (2, 1), "the same item went on");
    assert_eq!(text, whole);
}

/// The provider works on while the stack is down.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_the_provider_keeps_is_read_on_after_a_kill_and_nothing_is_generated_twice() {
    let deltas: Vec<String> = (0..400).map(|number| format!("{number} ñ😀 ")).collect();
    let whole = deltas.concat();
    let keeper = Keeper::start(Speech { deltas, pace: Duration::from_millis(5), ..Speech::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let providers = keeper.providers();
    let env = [("LONGHAND_LEASE_SECONDS", "2"), ("LONGHAND_PROVIDERS", providers.as_str())];
    let (dev, place) = Dev::start(folder.path(), &[], &env).await;
    let api = Api::open(&place.url).with_key(&place.key);
    let id = api.start_generation(json!({})).await;
    api.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(0)).await;
    let shown = api.events(&id).await;
    drop(dev);

    let (_dev, place) = Dev::start(folder.path(), &[], &env).await;
    let api = Api::open(&place.url).with_key(&place.key);
    let record = api.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(api.text(&id).await, whole);
    let events = api.events(&id).await;
    assert_whole(&events);
    assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    assert_eq!((count(&events, "in_progress"), count(&events, "output_item.added")), (2, 2), "the same items went on");
    let kept = keeper.kept();
    let (created, generated, cancelled) = (kept.created.len(), kept.generated, kept.cancelled.len());
    println!("responses created: {created}, deltas generated: {generated} of 400, reads: {:?}", kept.reads);
    assert_eq!((created, generated, cancelled), (1, 400, 0));
    assert!(kept.reads.iter().all(Option::is_some), "it was read behind its text");
}

/// Every small file of the stack, cut in half or filled with what is no text, as a machine that stops may leave it.
fn tear(data: &Path) {
    let entries = |name: &str| std::fs::read_dir(data.join(name)).unwrap().map(|entry| entry.unwrap().path());
    for checkpoint in entries("triggers").collect::<Vec<_>>() {
        std::fs::write(checkpoint, [0xFF, 0, b'1']).unwrap();
    }
    std::fs::write(data.join("stack.json"), "{\"pid\": ").unwrap();
    for name in ["events/torn.json", "failures/torn.json"] {
        std::fs::write(data.join(name), "{\"request_id\": \"a").unwrap();
    }
    std::fs::write(data.join("events/torn.new"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_files_do_not_stop_the_next_start_and_nothing_is_lost() {
    let playback = play(Script::new(["Uno ", "dos"])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (dev, api) = start(folder.path(), playback.base_url(), &[]).await;
        ids.push(api.start_generation(json!({})).await);
        for id in &ids {
            assert_eq!(api.ended(id).await["status"], "completed");
            assert_eq!(api.text(id).await, "Uno dos");
        }
        drop(dev);
        tear(folder.path());
    }
    let (_dev, api) = start(folder.path(), playback.base_url(), &[]).await;
    assert_eq!(api.text(&ids[1]).await, "Uno dos");
}

/// A folder that an earlier version left, with two generations. Its tables are migrated, and its keys and positions stay.
#[tokio::test(flavor = "multi_thread")]
async fn folder_of_the_first_format_opens() {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/data-folder-format-1.tar.gz");
    let unpacked = std::process::Command::new("tar").args(["xzf", archive, "-C"]).arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let key = std::fs::read_to_string(folder.path().join("key")).unwrap();
    let playback = play(Script::new(["Nueva"])).unwrap();
    let (_dev, api) = start(folder.path(), playback.base_url(), &[]).await;
    assert_eq!(std::fs::read_to_string(folder.path().join("key")).unwrap(), key);
    let (_, page) = api.get("generations").await;
    let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{page}");
    for id in ids {
        assert_eq!(api.text(id).await, "Hola, mundo");
        assert_whole(&api.events(id).await);
    }
    let id = api.start_generation(json!({})).await;
    assert_eq!(api.ended(&id).await["status"], "completed");
    assert_eq!(api.text(&id).await, "Nueva");
}
