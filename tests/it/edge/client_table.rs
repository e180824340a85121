//! A table of clients and features: clients that people have, unmodified, through their own way of each feature. The scripts are in
//! `tests/clients/table/`, and run in processes of their own.
//!
//! `LONGHAND_PYTHON` and `LONGHAND_PYTHON_OPENAI_2`: Pythons with the packages of `requirements.txt` and `requirements-openai2.txt`.
//! `LONGHAND_NODE_MODULES`: the folder in which npm installed the clients for Node.js. A full run has all of them, and another one two
//! by seed.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt;
use longhand_local::Options;
use longhand_tests::sampling::sample;
use longhand_tests::{Harness, environment, seed};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long one client may take for everything.
const PATIENCE: Duration = Duration::from_mins(3);
/// Between two pieces, so that they are two deltas.
const PAUSE: Duration = Duration::from_millis(50);
const PLACE: &str = r#"{"city":"Sevilla","people":684000}"#;
const SAMPLED: usize = 2;
/// Each script, the variable that says what it runs with, and its rows.
const CLIENTS: [(&str, &str, usize); 9] = [
    ("openai_py.py", "LONGHAND_PYTHON", 2),
    ("agents_py.py", "LONGHAND_PYTHON", 2),
    ("langchain_py.py", "LONGHAND_PYTHON", 2),
    ("litellm_py.py", "LONGHAND_PYTHON", 2),
    ("pydantic_ai_py.py", "LONGHAND_PYTHON", 2),
    ("instructor_py.py", "LONGHAND_PYTHON_OPENAI_2", 2),
    ("llamaindex_py.py", "LONGHAND_PYTHON_OPENAI_2", 2),
    ("openai_js.mjs", "LONGHAND_NODE_MODULES", 2),
    ("ai_sdk.mjs", "LONGHAND_NODE_MODULES", 2),
];
const FEATURES: [&str; 6] = ["stream", "tools", "structured", "second_turn", "error_429", "error_404"];
/// What a client does not have.
const ABSENT: [(&str, &str); 2] = [("Instructor", "tools"), ("Instructor", "second_turn")];

/// A feature of a client, and what came of it.
#[derive(Debug, Deserialize)]
struct Cell {
    client: String,
    version: String,
    feature: String,
    ok: Option<bool>,
    detail: String,
}

/// A provider that always says the same to the same: it speaks chat completions.
async fn provider() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v1/chat/completions", post(async |Json(request): Json<Value>| answer(&request)));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn answer(request: &Value) -> Response {
    let refused = |status, message: &str, kind: &str, code: &str| {
        let error = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
        // A 429 is tried again: at once, with this.
        (status, [(RETRY_AFTER, "0")], Json(error)).into_response()
    };
    match request["model"].as_str() {
        Some("limited") => {
            let message = "Slow down, please.";
            return refused(StatusCode::TOO_MANY_REQUESTS, message, "rate_limit_error", "rate_limit_exceeded");
        }
        Some("absent") => {
            let message = "The model `absent` does not exist.";
            return refused(StatusCode::NOT_FOUND, message, "invalid_request_error", "model_not_found");
        }
        _ => {}
    }
    let (deltas, finish) = says(request);
    let chunk = |delta: &Value, finish: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        format!(
            "data: {}\n\n",
            json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": choices })
        )
    };
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": deltas.len(), "total_tokens": 10 + deltas.len() });
    let end =
        [chunk(&json!({}), finish.into()), format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [], "usage": usage }))];
    let chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta, Value::Null)).chain([end.concat()]).collect();
    let paced = futures::stream::iter(chunks).then(async |chunk| {
        sleep(PAUSE).await;
        Ok::<_, std::io::Error>(chunk)
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(paced)).into_response()
}

/// The deltas for a request, and the finish reason. The order of the rules matters.
fn says(request: &Value) -> (Vec<Value>, &'static str) {
    let messages = request["messages"].as_array().unwrap();
    let of = |role: &str| messages.iter().filter(|message| message["role"] == role).collect::<Vec<_>>();
    let names: Vec<&str> =
        request["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["function"]["name"].as_str()).collect();
    let choice = &request["tool_choice"];
    let forced = choice["function"]["name"].as_str().or_else(|| names.first().copied().filter(|_| choice == "required"));
    // Before the response format, because Instructor asks for both, and wants the call.
    if let Some(name) = forced.filter(|name| *name != "weather") {
        return (call(name, PLACE), "tool_calls");
    }
    if request["response_format"]["type"] == "json_schema" {
        return (text(PLACE), "stop");
    }
    if names.contains(&"weather") && of("tool").is_empty() {
        return (call("weather", r#"{"city":"Sevilla"}"#), "tool_calls");
    }
    let last = messages.last().unwrap();
    let said = match of("user").as_slice() {
        _ if last["role"] == "tool" => format!("It is {}", text_of(last)),
        [first, _, ..] => format!("You said: {}", text_of(first)),
        _ => "Uno, dos, tres.".to_owned(),
    };
    (text(&said), "stop")
}

/// A message's text, which stands alone or in parts.
fn text_of(message: &Value) -> String {
    let parts = message["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    message["content"].as_str().map_or_else(|| parts.collect(), str::to_owned)
}

fn halves(text: &str) -> [&str; 2] {
    let (first, second) = text.split_at(text.len() / 2);
    [first, second]
}

fn text(text: &str) -> Vec<Value> {
    halves(text).iter().map(|piece| json!({ "content": piece })).collect()
}

fn call(name: &str, arguments: &str) -> Vec<Value> {
    let [first, second] = halves(arguments);
    let begin = json!({ "index": 0, "id": "call_1", "type": "function", "function": { "name": name, "arguments": first } });
    [begin, json!({ "index": 0, "function": { "arguments": second } })].map(|call| json!({ "tool_calls": [call] })).to_vec()
}

/// The cells that a client's script prints. Its errors are shown if it does not end well.
async fn run(script: &str, place: &str, harness: &Harness) -> Vec<Cell> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/table").join(script);
    let mut command = if path.extension().is_some_and(|kind| kind == "py") {
        Command::new(place)
    } else {
        let mut node = Command::new("node");
        node.env("LONGHAND_NODE_MODULES", place);
        node
    };
    let url = format!("{}/v1", harness.stack.url());
    command.arg(path).env("LONGHAND_URL", url).env("LONGHAND_API_KEY", &harness.stack.key().unwrap().text).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{script}: {told}\n{}", String::from_utf8_lossy(&output.stderr));
    told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{script}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_table_have_every_feature() {
    let found = CLIENTS.iter().filter_map(|(script, variable, rows)| Some((*script, env::var(variable).ok()?, *rows)));
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        eprintln!("SKIPPED: the table of clients. Set LONGHAND_PYTHON, LONGHAND_PYTHON_OPENAI_2 and LONGHAND_NODE_MODULES.");
        return;
    }
    let providers = json!({ "table": { "base_url": provider().await, "auth": "none" } }).to_string();
    let env = [("LONGHAND_PROVIDERS", providers.as_str())];
    let harness = Harness::with(Options { authorize: true, env: environment("", &env), ..Options::default() }).await;
    let (mut table, mut wrong) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
    // One after the other: each takes seconds of processor time to load.
    for (script, place, rows) in sample(seed(), found, SAMPLED) {
        let cells = run(script, &place, &harness).await;
        assert_eq!(cells.len(), rows * FEATURES.len(), "{script}: {cells:?}");
        for cell in cells {
            let is_absent = ABSENT.iter().any(|(client, feature)| cell.client.contains(client) && cell.feature == *feature);
            if cell.ok != (!is_absent).then_some(true) {
                wrong.push(format!("{} {}: {}", cell.client, cell.feature, cell.detail));
            }
            let told = if cell.ok == Some(true) { "ok" } else { "-" };
            table.entry(format!("{} {}", cell.client, cell.version)).or_default().push(format!("{} {told}", cell.feature));
        }
    }
    for (client, features) in &table {
        println!("{client:40} {}", features.join("  "));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    harness.finish().await;
}
