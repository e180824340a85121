//! Streams of other dialects than the configured one: refused at the first event that shows the dialect.

use longhand_tests::hostile::{Script, wire};
use serde_json::{Value, json};

use super::{Case, case, completed, failed, play};

fn named(name: &str, mut data: Value) -> String {
    data["type"] = name.into();
    format!("event: {name}\n{}", wire::event(&data))
}

fn anthropic(ending: &[String]) -> Script {
    let start =
        json!({ "message": { "id": "msg_1", "role": "assistant", "content": [], "model": "m", "usage": { "input_tokens": 9 } } });
    let text = json!({ "index": 0, "delta": { "type": "text_delta", "text": "Uno" } });
    let body = [named("message_start", start), named("ping", json!({})), named("content_block_delta", text)].concat();
    Script::stream([body, ending.concat()])
}

fn gemini(ending: &str) -> Script {
    let candidate = json!({ "candidates": [{ "content": { "parts": [{ "text": "Uno" }], "role": "model" }, "index": 0 }] });
    Script::stream([wire::event(&candidate).replace('\n', "\r\n"), ending.to_owned()])
}

fn responses(ending: &[String]) -> Script {
    let created = json!({ "response": { "id": "r1", "status": "in_progress", "output": [] } });
    let body = [named("response.created", created), named("response.output_text.delta", json!({ "delta": "Uno" }))].concat();
    Script::stream([body, ending.concat()])
}

#[tokio::test(flavor = "multi_thread")]
async fn other_dialects_are_refused() {
    let refused = |what: &str| {
        let message = format!("the provider's events are not chat completion chunks: one has {what}");
        failed("provider_not_a_stream", &message, "", 0, 1)
    };
    let error =
        |message: &str| failed("provider_error", &format!("the provider reported an error in its stream: {message}"), "", 0, 4);
    let stop = named("message_stop", json!({}));
    let overloaded = named("error", json!({ "error": { "type": "overloaded_error", "message": "Overloaded" } }));
    let blocked =
        wire::event(&json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": { "promptTokenCount": 4 } }));
    let unavailable =
        wire::event(&json!({ "error": { "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE" } }));
    let boom = named("error", json!({ "code": "server_error", "message": "boom", "param": null }));
    let completed_response = named("response.completed", json!({ "response": { "id": "r1", "status": "completed" } }));
    let lines = |body: &str| Script::plain("200 OK", "application/x-ndjson", body);
    let no_stream = |detail: &str| {
        let message = format!("the provider answered 200 OK with application/x-ndjson instead of text/event-stream: {detail}");
        failed("provider_not_a_stream", &message, "", 0, 1)
    };
    let mut cases: Vec<Case> = vec![
        case("anthropic-events", anthropic(&[stop]), refused("the type \"message_start\"")),
        case("anthropic-cut", anthropic(&[]), refused("the type \"message_start\"")),
        case("anthropic-error", Script::stream([overloaded]), error("Overloaded")),
        case("gemini-events", gemini(""), refused("`candidates`")),
        case("gemini-blocked", Script::stream([blocked]), refused("`promptFeedback`")),
        case("gemini-error", Script::stream([unavailable]), error("The model is overloaded.")),
        case("responses", responses(&[completed_response]), refused("the type \"response.created\"")),
        case("responses-cut", responses(&[]), refused("the type \"response.created\"")),
        case("responses-error", Script::stream([boom]), error("boom (server_error)")),
        case("ollama-lines", lines("{\"message\":{\"content\":\"Uno\"},\"done\":true}\n"), no_stream("no event stream")),
        case("ollama-error", lines("{\"error\":\"model 'x' not found\"}\n"), no_stream("model 'x' not found")),
    ];
    cases.push(case("typed-chat", Script::stream([named("ping", json!({})), wire::whole(&["Uno"])]), completed("Uno", 1)));
    let whole = || Script::stream([wire::whole(&["NO"])]);
    play(&[], cases.into_iter().map(|case| case.then(whole())).map(without_mending).collect()).await;
}

/// For an error before any text, which is retried: every response is the same.
fn without_mending(mut case: Case) -> Case {
    if case.expected["requests"] == 4 {
        case.scripts.pop();
    }
    case
}
