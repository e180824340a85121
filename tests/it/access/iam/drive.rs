//! What the scenarios share: recorded stacks, the stores behind them, and requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::Clients;
use longhand::migrations::stratos::convert::IMPORTED_BY;
use longhand::{Clock, Config};
use longhand_local::Options;
use longhand_tests::calls::Recorder;
use longhand_tests::faults::Faults;
use longhand_tests::{Api, Harness, PATIENCE};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(20);

/// Longer than what a request's row may have.
pub fn large_prompt() -> String {
    "Hola ".repeat(2_000)
}

/// The options of a stack whose calls go to `recorder`.
pub fn options(recorder: &Recorder, env: BTreeMap<String, String>, clock: &Clock, faults: Option<&Faults>) -> Options {
    let parts = recorder.in_front_of(faults.map(Faults::parts).unwrap_or_default(), &env);
    Options { env, clock: clock.clone(), parts, ..Options::default() }
}

/// The stores of a stack, past its functions.
pub struct Stores {
    clients: Clients,
    config: Config,
}

impl Stores {
    pub async fn of(harness: &Harness) -> Self {
        Self { clients: harness.clients().await, config: harness.config("api") }
    }

    /// Deletes an object of a generation.
    pub async fn delete_object(&self, id: &str, name: &str) {
        let delete = self.clients.s3.delete_object().bucket(&self.config.bucket).key(format!("local/{id}/{name}"));
        delete.send().await.unwrap();
    }

    /// Marks a generation as one that was imported.
    pub async fn mark_imported(&self, id: &str) {
        let text = |text: String| AttributeValue::S(text);
        let update = self.clients.dynamodb.update_item().table_name(&self.config.records_table);
        let update = update.key("pk", text(format!("local#{id}"))).key("sk", text("record".into()));
        let update = update.update_expression("SET compacted_by = :by, revised_at = :by");
        update.expression_attribute_values(":by", text(IMPORTED_BY.into())).send().await.unwrap();
    }

    /// Deletes the record of a generation, and no other row.
    pub async fn delete_record(&self, id: &str) {
        self.delete_row(&self.config.records_table, id, "record").await;
    }

    /// Deletes a chunk of a log.
    pub async fn delete_slot(&self, id: &str, slot: u64) {
        self.delete_row(&self.config.buffer_table, id, &format!("{slot:012}")).await;
    }

    async fn delete_row(&self, table: &str, id: &str, sort_key: &str) {
        let text = |text: String| AttributeValue::S(text);
        let delete = self.clients.dynamodb.delete_item().table_name(table).key("pk", text(format!("local#{id}")));
        let deleted = delete.key("sk", text(sort_key.to_owned())).return_values("ALL_OLD".into()).send().await.unwrap();
        assert!(deleted.attributes().is_some(), "there is no {sort_key} of {id} in {table}");
    }
}

/// A job of `stream`.
pub fn job(id: &str) -> Value {
    json!({ "organization": "local", "generation": id })
}

/// Sends a request that is to be answered so, and reads the answer to its end.
pub async fn ask(api: &Api, method: &str, path: &str, body: Option<&Value>, expected: StatusCode) -> String {
    let mut request = api.http.request(method.parse().unwrap(), api.url_of(path));
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = api.execute(request.build().unwrap()).await;
    let status = answer.status();
    // An answer that breaks off in the middle is one too.
    let text = answer.text().await.unwrap_or_default();
    assert_eq!(status, expected, "{method} {path}: {text}");
    text
}

/// `POST /v1/generations` with `stream: true` and a key, to the end of what is answered.
pub async fn attached(api: &Api, key: &str, prompt: &str) -> String {
    let body = json!({ "provider": "test", "model": "m", "prompt": prompt, "stream": true });
    let post = api.http.post(api.url_of("/v1/generations")).header("idempotency-key", key).json(&body);
    let answer = api.execute(post.build().unwrap()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let id = answer.headers()["location"].to_str().unwrap().trim_start_matches("generations/").to_owned();
    let _ = answer.text().await;
    id
}

/// Waits until a log has ended, whether it is compacted or not.
pub async fn log_ended(harness: &Harness, id: &str) {
    let began = Instant::now();
    loop {
        let head = harness.http.head(harness.url_of(&format!("/v1/stream/generations/{id}"))).build().unwrap();
        if harness.execute(head).await.headers().contains_key("stream-closed") {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the log of {id} does not end");
        sleep(PAUSE).await;
    }
}

/// Waits for a call.
pub async fn until_called(recorder: &Recorder, function: &str, operation: &str) {
    let began = Instant::now();
    while !recorder.seen().iter().any(|call| call.function == function && call.operation == operation) {
        assert!(began.elapsed() < PATIENCE, "{function} does not call {operation}");
        sleep(PAUSE).await;
    }
}
