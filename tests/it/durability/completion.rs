//! What a generation leaves behind: its result as JSON, the judgement on it, its metadata, and the log once the buffer is gone.

mod beside;
mod compaction;
mod hostile_schemas;
mod json;
mod judgement;
mod keeping;
mod lagging;
mod large_logs;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
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

/// The stack's DynamoDB, to look at rows that no verb shows.
fn dynamodb(harness: &Harness) -> Client {
    let environment = harness.stack.environment("compact");
    let credentials =
        Credentials::new(&environment["AWS_ACCESS_KEY_ID"], &environment["AWS_SECRET_ACCESS_KEY"], None, None, "test");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(environment["AWS_REGION"].clone()))
        .credentials_provider(credentials)
        .endpoint_url(&harness.stack.endpoints().dynamodb);
    Client::from_conf(config.build())
}

/// A person's own verbs, and what they are called with for a generation.
async fn by_hand(harness: &Harness, id: &str) -> (App, GenerationKey) {
    (harness.stack.app().await.expect("an app"), key_of(id))
}
