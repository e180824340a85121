//! Behaviours of providers on the wire, and the outcome that a caller sees: one table per kind of behaviour.
//!
//! Every case is a generation against scripts of [`Hostile`], on a provider of its own. Whatever the outcome, its log must be
//! whole and all counts of it equal.

mod anthropic;
mod deviations;
mod dialects;
mod ends;
mod faults;
mod framing;
mod hostile_peer;
mod http;
mod keys;
mod native;
mod responses;
mod text;
mod tools;
mod waits;
mod wounds;

use futures::future::join_all;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, assert_whole, key_of};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A name, the scripts for its requests, fields of the request, and the expected [`outcome`].
struct Case {
    name: &'static str,
    scripts: Vec<Script>,
    request: Value,
    expected: Value,
}

/// A case of one request upstream, and one attempt.
fn case(name: &'static str, script: Script, expected: Value) -> Case {
    Case { name, scripts: vec![script], request: json!({}), expected }
}

impl Case {
    /// With other scripts for the requests after the first.
    fn then(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// With these fields in the request.
    fn with_request(self, request: Value) -> Self {
        Self { request, ..self }
    }
}

/// The usage that a well-behaved script reports.
fn usage() -> Value {
    json!({ "input_tokens": 7, "output_tokens": 3, "total_tokens": 10 })
}

/// A completed generation with this text, in so many deltas, after one request.
fn completed(text: &str, deltas: u64) -> Value {
    json!({ "status": "completed", "text": text, "deltas": deltas, "requests": 1, "usage": usage() })
}

/// The outcome of two deltas, `Uno ` and `dos`, that [`uno_dos_then`] begins with.
fn uno_dos() -> Value {
    completed("Uno dos", 2)
}

/// A stream whose first write ends with the deltas `Uno ` and `dos`, then `then`.
fn uno_dos_then(then: impl AsRef<[u8]>) -> Script {
    let begun = [wire::role(), wire::text("Uno "), wire::text("dos")].concat();
    Script::stream([begun.as_bytes(), then.as_ref()])
}

/// The same with other or more fields; null takes one away.
#[expect(clippy::needless_pass_by_value, reason = "callers write JSON literals")]
fn with(mut outcome: Value, changes: Value) -> Value {
    let fields = outcome.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().into_iter().flatten() {
        fields.insert(name.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
    outcome
}

/// A failed generation: one code as reason and error code, the text that is kept, requests upstream.
fn failed(code: &str, message: &str, text: &str, deltas: u64, requests: usize) -> Value {
    let error = json!({ "code": code, "message": message });
    json!({ "status": "failed", "reason": code, "error": error, "text": text, "deltas": deltas, "requests": requests })
}

/// Plays all cases side by side on one stack.
async fn play(env: &[(&str, &str)], cases: Vec<Case>) {
    let hostile = Hostile::start(cases.iter().map(|case| (case.name, case.scripts.clone()))).await;
    let providers = hostile.providers(cases.iter().map(|case| case.name));
    let env: Vec<_> = [("LONGHAND_PROVIDERS", providers.as_str())].into_iter().chain(env.iter().copied()).collect();
    let harness = Harness::start("http://127.0.0.1:9", &env).await;
    let outcomes = join_all(cases.iter().map(|case| outcome(&harness, &hostile, case.name, &case.request))).await;
    for (case, outcome) in cases.iter().zip(&outcomes) {
        print_row(case.name, outcome);
        assert_not_retried(case, outcome);
    }
    let wrong: Vec<String> = cases
        .iter()
        .zip(&outcomes)
        .filter(|(case, outcome)| case.expected != **outcome)
        .map(|(case, outcome)| format!("{}:\n  expected {}\n  got      {outcome}", case.name, case.expected))
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    harness.finish().await;
}

/// One line of the table: the script, the status and its reason, requests upstream, text.
fn print_row(name: &str, outcome: &Value) {
    let word = |field: &str| outcome[field].as_str().unwrap_or("-").to_owned();
    let text: String = word("text").chars().take(24).collect();
    println!("{name:<26} {:<10} {:<21} {} {text:?}", word("status"), word("reason"), outcome["requests"]);
}

/// After text was received, an attempt sends no further request.
fn assert_not_retried(case: &Case, outcome: &Value) {
    let attempts = case.request.get("max_attempts").and_then(Value::as_u64).unwrap_or(1);
    if attempts == 1 && outcome["deltas"].as_u64() > Some(0) {
        let first = case.scripts.iter().position(Script::has_answer).unwrap_or(case.scripts.len());
        assert_eq!(outcome["requests"], first + 1, "{}", case.name);
    }
}

/// Runs one generation, checks its log and its counts, and returns what a caller sees of it, without null and empty fields.
async fn outcome(harness: &Harness, hostile: &Hostile, provider: &str, request: &Value) -> Value {
    let request = with(json!({ "provider": provider, "max_attempts": 1 }), request.clone());
    let id = harness.start_generation(request).await;
    let record = harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_counted(harness, &record, &events).await;
    let (_, output) = harness.get(&format!("generations/{id}/output")).await;
    let text = output["text"].as_str().expect("a text");
    assert_eq!(record["sha256"], format!("{:x}", Sha256::digest(text)), "{provider}");
    assert_eq!(record["bytes"], text.len(), "{provider}");
    let reasoning: String = events
        .iter()
        .filter(|event| event["type"] == "reasoning_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect();
    // What the provider counted is that of the attempt which it finished.
    let usage = Some(&record["usage"]["last_attempt"]).filter(|last| last.is_object()).unwrap_or(&record["usage"]);
    let ended = json!({
        "status": record["status"],
        "reason": record["reason"],
        "error": portable(&record["error"], hostile),
        "usage": Some(usage).filter(|usage| usage["estimated"].is_null()),
        "deltas": record["progress"]["received_chunks"],
        "requests": hostile.seen(provider).bodies.len(),
        "text": text,
        "reasoning": reasoning,
        "refusal": output["refusal"],
        "tool_calls": output["tool_calls"],
    });
    let Value::Object(ended) = ended else { return ended };
    let ended: Map<String, Value> = ended
        .into_iter()
        .filter(|(name, value)| !value.is_null() && value != &json!([]) && (name == "text" || value != &json!("")))
        .collect();
    ended.into()
}

/// An error without the number that the operating system gives it, and without the hostile provider's address.
fn portable(error: &Value, hostile: &Hostile) -> Value {
    let mut error = error.clone();
    if let Some(message) = error["message"].as_str() {
        let message = message.split_once(" (os error ").map_or(message, |(message, _)| message);
        let base_url = hostile.base_url("");
        let host = base_url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        error["message"] = message.replace(&format!(" at {host}"), "").into();
    }
    error
}

/// The record, its metadata, the newest slot of the log and the events themselves count the same.
async fn assert_counted(harness: &Harness, record: &Value, events: &[Value]) {
    let bytes: usize = events.iter().filter_map(|event| event["delta"].as_str()).map(str::len).sum();
    let progress = &record["progress"];
    assert_eq!(progress["received_bytes"], bytes, "{record}");
    assert_eq!(progress["last_seq"], events.len() - 1, "{record}");
    assert_eq!(progress["chunk_count"], record["chunk_count"], "{record}");
    for count in ["received_bytes", "received_chunks"] {
        assert_eq!(record["metadata"]["progress"][count], progress[count], "{record}");
    }
    assert_eq!(record["metadata"]["chunk_count"], record["chunk_count"], "{record}");
    let key = key_of(record["id"].as_str().expect("an id"));
    let log = harness.stack.app().await.expect("an app").inspect(&key).await.expect("a log");
    let newest = log.slots.last().expect("a slot");
    assert_eq!(record["chunk_count"], log.slots.len());
    assert_eq!(progress["received_bytes"], newest.received_bytes);
    assert_eq!(progress["received_chunks"], newest.received_chunks);
    assert_eq!(log.slots.iter().map(|slot| slot.bytes).sum::<u64>(), newest.received_bytes);
}
