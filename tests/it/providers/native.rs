//! The dialects `bedrock`, `gemini` and `ollama` over HTTP.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use longhand_tests::Harness;
use longhand_tests::hostile::{Hostile, Script};
use serde_json::{Value, json};

use super::{completed, failed, outcome, with};

const KEY: &str = "key-0123456789";

/// A stack whose one provider has these settings, and what it comes to.
async fn play(settings: &Value, script: Script) -> (Value, Value) {
    let hostile = Hostile::start([("p", vec![script])]).await;
    let mut providers: Value = serde_json::from_str(&hostile.providers(["p"])).unwrap();
    providers["p"].as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    if settings["auth"] == "none" {
        providers["p"].as_object_mut().unwrap().remove("key_env");
    }
    let providers = providers.to_string();
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers), ("HOSTILE_API_KEY", KEY)]).await;
    let outcome = outcome(&harness, &hostile, "p", &json!({ "max_output_tokens": 9 })).await;
    let sent = hostile.seen("p").bodies.remove(0);
    harness.finish().await;
    (outcome, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn gemini_is_streamed() {
    let settings = json!({ "dialect": "gemini", "auth": { "header": "x-goog-api-key" } });
    let event = |event: Value| format!("data: {event}\r\n\r\n");
    let part = |text: &str| event(json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }] }));
    let usage = json!({ "promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10 });
    let end = event(json!({ "candidates": [{ "finishReason": "STOP" }], "usageMetadata": usage }));
    let (ended, sent) = play(&settings, Script::stream([part("Uno "), part("dos"), end])).await;
    assert_eq!(ended, completed("Uno dos", 2));
    let contents = json!([{ "role": "user", "parts": [{ "text": "Hola" }] }]);
    assert_eq!(sent, json!({ "contents": contents, "generationConfig": { "maxOutputTokens": 9 } }));
    let cut = play(&settings, Script::stream([part("Uno "), part("dos")])).await.0;
    assert_eq!(cut, failed("interrupted", "the provider's stream ended without a finish reason", "Uno dos", 2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_is_streamed() {
    let settings = json!({ "dialect": "ollama", "auth": "none" });
    let line = |line: Value| format!("{line}\n");
    let text = |text: &str| line(json!({ "message": { "role": "assistant", "content": text }, "done": false }));
    let done = line(json!({ "done": true, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 3 }));
    let body = |lines: &[String]| Script::plain("200 OK", "application/x-ndjson", lines.concat());
    let (ended, sent) = play(&settings, body(&[text("Uno "), text("dos"), done.clone()])).await;
    assert_eq!(ended, completed("Uno dos", 2));
    let messages = json!([{ "role": "user", "content": "Hola" }]);
    assert_eq!(sent, json!({ "model": "m", "messages": messages, "options": { "num_predict": 9 }, "stream": true }));
    let length = done.replace("stop", "length");
    let ended = play(&settings, body(&[text("Uno "), text("dos"), length])).await.0;
    assert_eq!(ended, with(completed("Uno dos", 2), json!({ "status": "incomplete", "reason": "max_output_tokens" })));
    let missing = Script::plain("404 Not Found", "application/json", r#"{"error":"model 'm' not found"}"#);
    let refused = failed("provider_rejected", "the provider answered 404 Not Found: model 'm' not found", "", 0, 1);
    assert_eq!(play(&settings, missing).await.0, refused);
}

/// A frame of Amazon's event stream encoding, made by AWS's own crate.
fn frame(kind: &str, name: &str, payload: &Value) -> Vec<u8> {
    let header = |name: &str, value: &str| Header::new(name.to_owned(), HeaderValue::String(value.to_owned().into()));
    let message = Message::new(payload.to_string().into_bytes()).add_header(header(":message-type", kind));
    let mut bytes = Vec::new();
    write_message_to(&message.add_header(header(&format!(":{kind}-type"), name)), &mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrock_is_streamed() {
    let settings = json!({ "dialect": "bedrock", "auth": "sigv4" });
    let text = |text: &str| frame("event", "contentBlockDelta", &json!({ "contentBlockIndex": 0, "delta": { "text": text } }));
    let stop = |reason: &str| frame("event", "messageStop", &json!({ "stopReason": reason }));
    let usage = json!({ "usage": { "inputTokens": 7, "outputTokens": 3, "totalTokens": 10 } });
    let body = |frames: &[Vec<u8>]| Script::plain("200 OK", "application/vnd.amazon.eventstream", frames.concat());
    let whole = |end: Vec<u8>| body(&[text("Uno "), text("dos"), end, frame("event", "metadata", &usage)]);
    let (ended, sent) = play(&settings, whole(stop("end_turn"))).await;
    assert_eq!(ended, completed("Uno dos", 2));
    let messages = json!([{ "role": "user", "content": [{ "text": "Hola" }] }]);
    assert_eq!(sent, json!({ "messages": messages, "inferenceConfig": { "maxTokens": 9 } }));
    let ended = play(&settings, whole(stop("max_tokens"))).await.0;
    assert_eq!(ended, with(completed("Uno dos", 2), json!({ "status": "incomplete", "reason": "max_output_tokens" })));
    let throttled = frame("exception", "throttlingException", &json!({ "message": "Too many tokens." }));
    let message = "the provider reported an error in its stream: Too many tokens. (throttlingException)";
    let ended = play(&settings, body(&[text("Uno"), throttled])).await.0;
    assert_eq!(ended, failed("provider_error", message, "Uno", 1, 1));
    let denied = r#"{"message":"You don't have access to the model."}"#;
    let denied = Script::plain("403 Forbidden", "application/json", denied).header("x-amzn-errortype", "AccessDeniedException");
    let message = "the provider answered 403 Forbidden: You don't have access to the model.";
    assert_eq!(play(&settings, denied).await.0, failed("provider_rejected", message, "", 0, 1));
}
