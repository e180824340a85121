//! Logs of many events and many pages: the result is correct while the generation runs.

use longhand::aws::{Buffer, Meter};
use longhand::log::chunk::{Chunk, Counters};
use longhand::log::event::{Event, Item, Place, Stretch, TextKind};
use longhand::{Clock, GenerationKey};
use longhand_local::Options;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use serde_json::{Value, json};

const CHUNKS: u64 = 150;
const PAIRS_OF_A_CHUNK: usize = 150;
const REASONING_BYTES: usize = 2_000;

/// The chunks of an answer whose every short piece of text comes with a longer piece of reasoning.
fn chunks(mut seq: u64) -> Vec<Chunk> {
    let stretch = |output_index, delta: String| Stretch { output_index, content_index: 0, delta };
    let place = |output_index, kind| Place { output_index, content_index: 0, kind };
    let mut counters = Counters { chunk_count: 1, ..Counters::default() };
    let mut opening = vec![
        Event::OutputItemAdded { output_index: 0, item: Item::Reasoning },
        Event::ContentPartAdded(place(0, TextKind::Reasoning)),
        Event::OutputItemAdded { output_index: 1, item: Item::Message },
        Event::ContentPartAdded(place(1, TextKind::OutputText)),
    ];
    let chunk = |number: u64| {
        let mut events = std::mem::take(&mut opening);
        for pair in 0..PAIRS_OF_A_CHUNK {
            events.push(Event::ReasoningTextDelta(stretch(0, "r".repeat(REASONING_BYTES))));
            events.push(Event::OutputTextDelta(stretch(1, format!("{:0>6}", number * PAIRS_OF_A_CHUNK as u64 + pair as u64))));
        }
        counters.chunk_count += 1;
        counters.received_chunks += 2 * PAIRS_OF_A_CHUNK as u64;
        counters.stored_bytes += (PAIRS_OF_A_CHUNK * (REASONING_BYTES + 6)) as u64;
        let chunk = Chunk {
            first_seq: seq,
            writer: "w".into(),
            at_ms: number.cast_signed(),
            first_text_at_ms: None,
            counters,
            output_from: 0,
            upstream: None,
            events,
        };
        seq = chunk.last_seq() + 1;
        chunk
    };
    (0..CHUNKS).map(chunk).collect()
}

/// `GET …/output` of a running generation with 45,000 events and 45 MB of text.
#[tokio::test(flavor = "multi_thread")]
async fn output_of_a_large_running_log_is_whole() {
    let hostile = Hostile::start([("test", vec![Script::stream([wire::role()]).ending(Ending::Stall)])]).await;
    let options = Options { env: environment(&hostile.base_url("test"), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.until(&id, |record| record["status"] == "running").await;
    let next = record["progress"]["last_seq"].as_u64().unwrap() + 1;
    let table = &harness.stack.environment("stream")["LONGHAND_BUFFER_TABLE"];
    let buffer = Buffer::new(harness.clients().await.dynamodb, table.clone(), Clock::system(), Meter::default());
    let key = GenerationKey::new("local".parse().unwrap(), id.parse().unwrap());
    for chunk in chunks(next) {
        buffer.append(&key, &chunk, i64::MAX / 1_000).await.unwrap();
    }
    let (_, output) = harness.get(&format!("generations/{id}/output")).await;
    let pieces: Vec<String> = (0..CHUNKS * PAIRS_OF_A_CHUNK as u64).map(|number| format!("{number:0>6}")).collect();
    let text = pieces.concat();
    assert_eq!((&output["status"], &output["bytes"]), (&json!("running"), &json!(text.len())));
    assert_eq!(output["text"].as_str(), Some(text.as_str()));
    assert_eq!(output["tool_calls"], Value::Array(Vec::new()));
    harness.finish().await;
}
