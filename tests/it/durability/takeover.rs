//! One attempt after another: what goes on from the text so far, what begins again, and what readers are told of it.

mod answers;
mod hand_over;
mod interruptions;
mod llama;
mod refusals;

use std::time::Duration;

use longhand::Clock;
use longhand_local::{Data, Options, Registry, TEMPLATE};
use longhand_tests::hostile::{Hostile, Script, rest_of, wire};
use longhand_tests::{Harness, key_of, start_stack, template_without, with_writer_timeout};
use serde_json::{Map, Value, json};

/// A text with characters of one to four bytes, in pieces as a provider sends them.
fn pieces(count: usize) -> Vec<String> {
    const ENDS: [&str; 5] = ["", " ñandú", " €", " 😀🏽", "\n\"中\" \\"];
    (0..count).map(|number| format!("{number}{} ", ENDS[number % ENDS.len()])).collect()
}

/// A stream of what is left of a text, one write for each piece of it, with a pause between them.
fn saying(text: &str, body: &Value, pause: Duration) -> Script {
    let Some(rest) = rest_of(text, body) else {
        return Script::plain("400 Bad Request", "application/json", r#"{"error":{"message":"not how my text begins"}}"#);
    };
    let pieces = rest.split_inclusive(' ').map(wire::text);
    Script::stream([wire::role()].into_iter().chain(pieces).chain([wire::ending()])).paced(pause)
}

/// `LONGHAND_PROVIDERS` with the provider `test`, which plays the scripts of that name and has these settings too.
fn providers(hostile: &Hostile, settings: &Value) -> String {
    let mut test = json!({ "base_url": hostile.base_url("test") });
    test.as_object_mut().unwrap().extend(settings.as_object().cloned().unwrap_or_default());
    json!({ "test": test }).to_string()
}

/// Of a provider that goes on from a trailing assistant message.
fn going_on() -> Value {
    json!({ "continuation": "trailing_assistant" })
}

/// A stack over `data`, whose functions are cut off after so many seconds; nothing is swept but by hand.
async fn stack(data: Data, clock: &Clock, env: &[(&str, &str)], timeout_seconds: u64) -> Harness {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = Options { data, clock: clock.clone(), env, ..Options::default() };
    let template = with_writer_timeout(&template_without(&["EveryMinute"]), timeout_seconds);
    assert!(TEMPLATE.contains("Timeout: 900\n"), "the writers' deadline");
    let registry: Registry = std::sync::Arc::new(longhand_functions::function);
    Harness::over(start_stack(options, &template, registry).await)
}

fn job(id: &str) -> Value {
    json!({ "organization": "local", "generation": id })
}

/// The attempts that readers were told of.
fn attempts(events: &[Value]) -> Vec<u64> {
    events.iter().filter(|event| event["type"] == "in_progress").filter_map(|event| event["attempt"].as_u64()).collect()
}

/// How often each kind of event occurs.
fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["type"] == kind).count()
}

/// The text of the events before this attempt, whatever item it is in.
fn text_before(events: &[Value], attempt: u64) -> String {
    let before = events.iter().take_while(|event| event["attempt"] != attempt);
    before.filter_map(|event| event["delta"].as_str()).collect()
}

/// What the assistant is told to have said, in a request to the provider.
fn prefix(body: &Value) -> Option<&str> {
    let last = body["messages"].as_array()?.last()?;
    if last["role"] == "assistant" { last["content"].as_str() } else { None }
}

async fn meta(harness: &Harness, id: &str) -> Map<String, Value> {
    let app = harness.stack.app().await.unwrap();
    let inspection = app.inspect(&key_of(id)).await.unwrap();
    serde_json::to_value(inspection.meta.unwrap()).unwrap().as_object().unwrap().clone()
}
