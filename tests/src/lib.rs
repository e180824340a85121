//! What the integration tests share: a stack, a client of its HTTP edge, and providers on loopback, well-behaved and hostile.
#![expect(clippy::expect_used, clippy::panic, clippy::missing_panics_doc, reason = "a helper of tests fails the test")]

pub mod hostile;
pub mod sse;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhand_local::{Options, Playback, Registry, Script, Stack};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// How long a test waits for what must come. No assertion is about time; this only turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running stack and a client of its API.
pub struct Harness {
    /// The stack.
    pub stack: Stack,
    /// The client.
    pub http: reqwest::Client,
}

impl Harness {
    /// A stack in memory that knows the provider `test` at `base_url`, with `env` over the template's environment.
    pub async fn start(base_url: &str, env: &[(&str, &str)]) -> Self {
        Self::with(Options { env: environment(base_url, env), ..Options::default() }).await
    }

    /// A stack with these options.
    pub async fn with(options: Options) -> Self {
        Self::without(&[], options).await
    }

    /// A stack with these options, whose template has lost the events of these names: `Ended` triggers `compact`,
    /// `EveryMinute` triggers `sweep`.
    pub async fn without(events: &[&str], options: Options) -> Self {
        let registry: Registry = Arc::new(longhand_functions::function);
        let stack = Stack::start_with(options, &template_without(events), registry).await.expect("the stack starts");
        Self { stack, http: reqwest::Client::new() }
    }

    /// A stack, and a provider that plays `script`.
    pub async fn playing(script: Script, env: &[(&str, &str)]) -> (Self, Playback) {
        let playback = Playback::start(script).expect("the provider starts");
        (Self::start(playback.base_url(), env).await, playback)
    }

    /// `POST /v1/generations`.
    pub async fn post(&self, body: &Value) -> (StatusCode, Value) {
        let response = self.http.post(format!("{}/v1/generations", self.stack.url())).json(body).send().await.expect("an answer");
        (response.status(), response.json().await.expect("a JSON body"))
    }

    /// Starts a generation that asks the provider `test`, with `extra` fields, and answers with its id.
    pub async fn start_generation(&self, extra: Value) -> String {
        let mut body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let (status, started) = self.post(&body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        started["id"].as_str().expect("an id").to_owned()
    }

    /// `GET /v1/{path}`.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.http.get(format!("{}/v1/{path}", self.stack.url())).send().await.expect("an answer");
        (response.status(), response.json().await.expect("a JSON body"))
    }

    /// Waits until the generation's record is final, and answers with it.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, |record| !record["compacted_at"].is_null()).await
    }

    /// Waits until the generation as `GET` shows it is as it should be.
    pub async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (status, record) = self.get(&format!("generations/{id}")).await;
            assert_eq!(status, StatusCode::OK, "{record}");
            if is_so(&record) {
                return record;
            }
            assert!(began.elapsed() < PATIENCE, "still waiting: {record}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where a generation's log is followed live.
    pub fn events_url(&self, id: &str) -> String {
        format!("{}/v1/generations/{id}/events", self.stack.url())
    }

    /// `POST /v1/generations/{id}/cancel`.
    pub async fn cancel(&self, id: &str) -> (StatusCode, Value) {
        let response =
            self.http.post(format!("{}/v1/generations/{id}/cancel", self.stack.url())).send().await.expect("an answer");
        (response.status(), response.json().await.expect("a JSON body"))
    }

    /// Every event of a generation's log, by pages of the API's own size.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map(|event| format!("?after={}", event["seq"])).unwrap_or_default();
            let (_, page) = self.get(&format!("generations/{id}/events{after}")).await;
            events.extend(page["data"].as_array().expect("a page").iter().cloned());
            if page["has_more"] == false {
                return events;
            }
        }
    }

    /// The result's text.
    pub async fn text(&self, id: &str) -> String {
        let (_, output) = self.get(&format!("generations/{id}/output")).await;
        output["text"].as_str().unwrap_or_else(|| panic!("a text: {output}")).to_owned()
    }

    /// Stops the stack. Nothing may have been given up.
    pub async fn finish(self) {
        let failures = self.stack.failures().await;
        assert!(failures.is_empty(), "given up: {failures:#?}");
        self.stack.shutdown().await;
    }
}

/// The functions' environment with the provider `test` at `base_url`.
pub fn environment(base_url: &str, env: &[(&str, &str)]) -> BTreeMap<String, String> {
    let providers = json!({ "test": { "base_url": base_url } }).to_string();
    let own = [("LONGHAND_PROVIDERS".to_owned(), providers)];
    own.into_iter().chain(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// The log's invariants, on the events that a reader gets: numbers without gaps, one terminal event, and that one last.
pub fn assert_whole(events: &[Value]) {
    const TERMINAL: [&str; 4] = ["completed", "incomplete", "failed", "cancelled"];
    let seqs: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>());
    let ends: Vec<usize> =
        (0..events.len()).filter(|place| TERMINAL.contains(&events[*place]["type"].as_str().unwrap_or_default())).collect();
    assert_eq!(ends, [events.len() - 1], "{events:#?}");
}

/// The product's template without the events of these names: for a test that calls a function itself, and at a time of its
/// own.
pub fn template_without(events: &[&str]) -> String {
    const INDENT: &str = "        ";
    let mut kept = Vec::new();
    let mut within = false;
    for line in longhand_local::TEMPLATE.lines() {
        let at_this_level = line.starts_with(INDENT) && !line[INDENT.len()..].starts_with(' ');
        if at_this_level {
            within = events.iter().any(|name| line.trim() == format!("{name}:"));
        } else if !line.starts_with(INDENT) {
            within = false;
        }
        if !within {
            kept.push(line);
        }
    }
    kept.join("\n")
}
