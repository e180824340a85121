//! What a generation leaves behind: its result as JSON, the judgement on it, its metadata, and the log once the buffer is gone.

mod beside;
mod compaction;
mod hostile_schemas;
mod json;
mod judgement;
mod keeping;
mod lagging;
mod large_logs;

use longhand::{App, GenerationKey};
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, key_of};
use serde_json::Value;

/// A stack, and a provider that says `text` in one delta.
async fn saying(text: &str, env: &[(&str, &str)]) -> (Harness, Hostile) {
    playing(vec![Script::stream([wire::whole(&[text])])], env).await
}

/// A stack, and a provider that plays `scripts`.
async fn playing(scripts: Vec<Script>, env: &[(&str, &str)]) -> (Harness, Hostile) {
    let hostile = Hostile::start([("test", scripts)]).await;
    (Harness::start(&hostile.base_url("test"), env).await, hostile)
}

/// Has a generation made, and answers with its id and its record.
async fn made(harness: &Harness, request: Value) -> (String, Value) {
    let id = harness.start_generation(request).await;
    let record = harness.ended(&id).await;
    (id, record)
}

/// A person's own verbs, and what they are called with for a generation.
async fn by_hand(harness: &Harness, id: &str) -> (App, GenerationKey) {
    (harness.stack.app().await.expect("an app"), key_of(id))
}
