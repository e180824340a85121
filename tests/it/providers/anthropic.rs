//! The dialect `anthropic` over HTTP: what is sent, what comes of it, and when it is sent again.

use std::time::Duration;

use longhand_tests::Harness;
use longhand_tests::hostile::{Ending, Hostile, Script};
use serde_json::{Value, json};

use super::{failed, outcome, with};

const KEY: &str = "sk-ant-0123456789";

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn begun(text: &str) -> String {
    let message = json!({ "id": "m1", "model": "claude-x", "content": [], "usage": { "input_tokens": 7, "output_tokens": 1 } });
    let texts = text.split_inclusive(' ').map(|text| json!({ "type": "text_delta", "text": text }));
    let deltas: Vec<String> =
        texts.map(|delta| event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }))).collect();
    let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let ping = event(&json!({ "type": "ping" }));
    [event(&json!({ "type": "message_start", "message": message })), ping, event(&block), deltas.concat()].concat()
}

fn ended(reason: &str) -> String {
    let stop = event(&json!({ "type": "content_block_stop", "index": 0 }));
    let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 3 } });
    [stop, event(&delta), event(&json!({ "type": "message_stop" }))].concat()
}

fn whole() -> Script {
    Script::stream([begun("Uno dos"), ended("end_turn")])
}

/// A stack whose providers speak the dialect, a script each.
async fn stage(scripts: Vec<(&str, Vec<Script>)>, env: &[(&str, &str)]) -> (Harness, Hostile) {
    let names: Vec<&str> = scripts.iter().map(|(name, _)| *name).collect();
    let hostile = Hostile::start(scripts.iter().map(|(name, scripts)| (*name, scripts.clone()))).await;
    let mut providers: Value = serde_json::from_str(&hostile.providers(names)).unwrap();
    for settings in providers.as_object_mut().unwrap().values_mut() {
        settings["dialect"] = json!("anthropic");
        settings["auth"] = json!({ "header": "x-api-key" });
    }
    let providers = providers.to_string();
    let own = [("LONGHAND_PROVIDERS", providers.as_str()), ("HOSTILE_API_KEY", KEY)];
    (Harness::start("http://127.0.0.1:9", &[&own, env].concat()).await, hostile)
}

#[tokio::test(flavor = "multi_thread")]
async fn message_is_streamed() {
    let (harness, hostile) = stage(vec![("a", vec![whole()])], &[]).await;
    let expected = json!({
        "status": "completed", "text": "Uno dos", "deltas": 2, "requests": 1,
        "usage": { "input_tokens": 7, "output_tokens": 3, "total_tokens": 10 },
    });
    assert_eq!(outcome(&harness, &hostile, "a", &json!({ "instructions": "Breve.", "max_output_tokens": 9 })).await, expected);
    let seen = hostile.seen("a");
    let messages = json!([{ "role": "user", "content": [{ "type": "text", "text": "Hola" }] }]);
    let sent = json!({ "model": "m", "max_tokens": 9, "messages": messages, "system": "Breve.", "stream": true });
    assert_eq!((&seen.bodies[0], &seen.keys), (&sent, &vec![Some(KEY.to_owned())]));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_and_errors_are_those_of_the_dialect() {
    let error = |kind: &str| json!({ "type": "error", "error": { "type": kind, "message": format!("boom {KEY}") } });
    let answer = |status: &str, kind: &str| Script::plain(status, "application/json", error(kind).to_string());
    let overloaded = || answer("529 Overloaded", "overloaded_error").header("Retry-After", "0");
    let stream_error = Script::stream([begun("Uno dos"), event(&error("overloaded_error"))]);
    let scripts = vec![
        ("cut", vec![Script::stream([begun("Uno dos")]).ending(Ending::End)]),
        ("limit", vec![Script::stream([begun("Uno dos"), ended("max_tokens")])]),
        ("refusal", vec![Script::stream([begun("Uno dos"), ended("refusal")])]),
        ("error", vec![stream_error]),
        ("overloaded", vec![overloaded(), whole()]),
        ("rejected", vec![answer("400 Bad Request", "invalid_request_error")]),
    ];
    let (harness, hostile) = stage(scripts, &[]).await;
    let completed = json!({
        "status": "completed", "text": "Uno dos", "deltas": 2, "requests": 1,
        "usage": { "input_tokens": 7, "output_tokens": 3, "total_tokens": 10 },
    });
    let counted = json!({ "usage": { "input_tokens": 7, "output_tokens": 1, "total_tokens": 8 } });
    let incomplete = |reason: &str| with(completed.clone(), json!({ "status": "incomplete", "reason": reason }));
    let in_stream = "the provider reported an error in its stream: boom [key]";
    for (name, expected) in [
        (
            "cut",
            with(failed("interrupted", "the provider's stream ended without a finish reason", "Uno dos", 2, 1), counted.clone()),
        ),
        ("limit", incomplete("max_output_tokens")),
        ("refusal", incomplete("content_filter")),
        ("error", with(failed("provider_error", in_stream, "Uno dos", 2, 1), counted)),
        ("overloaded", with(completed.clone(), json!({ "requests": 2 }))),
        ("rejected", failed("provider_rejected", "the provider answered 400 Bad Request: boom [key]", "", 0, 1)),
    ] {
        assert_eq!(outcome(&harness, &hostile, name, &json!({})).await, expected, "{name}");
    }
    harness.finish().await;
}

/// A model that thinks without showing it sends nothing but pings.
#[tokio::test(flavor = "multi_thread")]
async fn pings_are_a_sign_of_life() {
    let ping = || event(&json!({ "type": "ping" }));
    let writes = (0..6).map(|_| ping()).chain([begun("Uno dos"), ended("end_turn")]);
    let thinking = Script::stream(writes).paced(Duration::from_millis(400));
    let env = [("LONGHAND_FIRST_BYTE_TIMEOUT_MS", "1500")];
    let (harness, hostile) = stage(vec![("a", vec![thinking])], &env).await;
    assert_eq!(outcome(&harness, &hostile, "a", &json!({})).await["status"], "completed");
    harness.finish().await;
}
