//! OpenAI's official clients, unmodified, against the stack. They are driven by `tests/clients/openai_py.py` and
//! `tests/clients/openai_js.mjs`, in processes of their own.
//!
//! `LONGHAND_PYTHON`: a Python with `openai`. `LONGHAND_NODE_MODULES`: the folder in which npm installed `openai`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use futures::StreamExt;
use futures::future::join_all;
use longhand_local::playback::Ending;
use longhand_local::{Options, Script};
use longhand_tests::sampling::sample;
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment, seed};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

/// How long one client may take for everything.
const PATIENCE: Duration = Duration::from_mins(3);
/// Longer than the head waits, and then the pause after which a heartbeat is sent.
const SILENCE: Duration = Duration::from_secs(27);
const CUTS: usize = 20;

/// A provider that its models' names tell what to do: `tool` calls one, and `flaky…` breaks off on every other request, and goes on
/// from what the assistant has said.
async fn made_up_provider() -> String {
    let seen: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let answer = async move |Json(request): Json<Value>| {
        let model = request["model"].as_str().unwrap().to_owned();
        let count = *seen.lock().unwrap().entry(model.clone()).and_modify(|count| *count += 1).or_insert(1);
        let chunk = |delta: Value, finish: Value| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
            format!("data: {}\n\n", json!({ "model": model, "choices": [choice] }))
        };
        let body = if model == "tool" {
            let call = |piece: &str| json!({ "tool_calls": [{ "index": 0, "id": "c1", "function": { "name": "f", "arguments": piece } }] });
            [chunk(call("{\"a\""), Value::Null), chunk(call(":1}"), Value::Null), chunk(json!({}), json!("tool_calls"))].concat()
        } else if request["messages"].as_array().unwrap().last().unwrap()["role"] == "assistant" {
            chunk(json!({ "content": "lo" }), Value::Null) + &chunk(json!({}), json!("stop"))
        } else if count % 2 == 1 {
            chunk(json!({ "content": "Hel" }), Value::Null)
        } else {
            chunk(json!({ "content": "Howdy" }), Value::Null) + &chunk(json!({}), json!("stop"))
        };
        ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Leads connections to the stack, and breaks each of the first ones off after so many bytes of the answer.
async fn cutting_proxy(stack: &str, budgets: Vec<u64>) -> String {
    let stack: SocketAddr = stack.strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut budgets = budgets.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(stack).await.unwrap();
            let budget = budgets.next().unwrap_or(u64::MAX);
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let sending = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
                let _ = copy(&mut from_server.take(budget), &mut to_client).await;
                sending.abort();
                let _ = to_client.shutdown().await;
            });
        }
    });
    url
}

async fn run(mut driver: Command, harness: &Harness, seed: u64) -> Output {
    let (stack, key) = (harness.stack.url(), &harness.stack.key().unwrap().text);
    let mut random = fastrand::Rng::with_seed(seed);
    let cuts: Vec<u64> = (0..CUTS).map(|_| random.u64(100..2_500)).collect();
    let cutting = cutting_proxy(stack, cuts).await;
    // The request arrives; of the answer, nothing comes back.
    let dropping = cutting_proxy(stack, vec![1]).await;
    let text = format!("{:x}", Sha256::digest(Script::recorded().unwrap().text()));
    let driver = driver
        .env("LONGHAND_URL", format!("{stack}/v1"))
        .env("LONGHAND_API_KEY", key)
        .env("LONGHAND_CUT_URL", cutting)
        .env("LONGHAND_DROP_URL", dropping)
        .env("LONGHAND_TEXT_SHA256", text)
        .kill_on_drop(true)
        .output();
    timeout(PATIENCE, driver).await.unwrap().unwrap()
}

async fn raw_stream(harness: &Harness) -> String {
    let body = json!({ "model": "late/m", "input": "raw", "stream": true });
    let request = harness.http.post(harness.url_of("/v1/responses")).json(&body).build().unwrap();
    let response = harness.execute(request).await;
    let chunks: Vec<_> = response.bytes_stream().map(|chunk| chunk.unwrap()).collect().await;
    String::from_utf8(chunks.concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_work_unmodified() {
    let (python, modules) = (std::env::var("LONGHAND_PYTHON"), std::env::var("LONGHAND_NODE_MODULES"));
    let (Ok(python), Ok(modules)) = (python, modules) else {
        eprintln!("SKIPPED: OpenAI's clients. Set LONGHAND_PYTHON and LONGHAND_NODE_MODULES to where `openai` is installed.");
        return;
    };
    let text = Script { tempo: 1_500.0, ..Script::recorded().unwrap() };
    let json = Script::new([r#"{"city":"Se"#, r#"villa","people":"#, "684000}"]);
    let stall = Script { ending: Ending::Stall, ..Script::new(["uno", "dos"]) };
    let late = Script { first_byte_delay: SILENCE, ..Script::new(["tarde"]) };
    let scripts = [("text", text), ("json", json), ("stall", stall), ("late", late), ("once", Script::new(["una vez"]))];
    let players = scripts.map(|(name, script)| (name, play(script).unwrap()));
    let mut providers: HashMap<&str, Value> =
        players.iter().map(|(name, player)| (*name, json!({ "base_url": player.base_url(), "models": ["m"] }))).collect();
    let made = made_up_provider().await;
    providers.insert("steady", json!({ "base_url": made, "continuation": "trailing_assistant" }));
    providers.insert("made", json!({ "base_url": made }));
    let providers = json!(providers).to_string();
    let env = [("LONGHAND_PROVIDERS", providers.as_str()), ("LONGHAND_UNWATCHED_WINDOW_MS", "50")];
    let harness = Harness::with(Options { authorize: true, env: environment("", &env), ..Options::default() }).await;

    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let (mut py, mut js) = (Command::new(python), Command::new("node"));
    py.arg(clients.join("openai_py.py"));
    js.arg(clients.join("openai_js.mjs")).env("LONGHAND_NODE_MODULES", modules);
    let clients = sample(seed(), vec![(py, 1), (js, 2)], 1);
    let count = clients.len() as u64;
    let runs = join_all(clients.into_iter().map(|(client, seed)| run(client, &harness, seed)));
    let (outputs, raw) = futures::join!(runs, raw_stream(&harness));
    for output in outputs {
        let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}\n{wrong}");
        eprintln!("{}", told.trim());
    }
    assert!(raw.contains(": hb\n\n") && raw.contains("response.completed"), "what the clients survived was sent");
    let once = players.iter().find(|(name, _)| *name == "once").unwrap();
    assert_eq!(once.1.stats().requests, count, "one request for each client, though each tried twice");
    harness.finish().await;
}
