//! OpenAI's official clients read what is delivered, by `client.webhooks.unwrap`, and so does the library of Standard Webhooks for Node.js.
//!
//! `LONGHAND_PYTHON`: a Python with `openai`. `LONGHAND_NODE_MODULES`: the folder in which npm installed `openai` and `standardwebhooks`.

use std::path::Path;
use std::process::Stdio;

use longhand_tests::receiver::Receiver;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Scene;

async fn read(mut client: Command, delivery: &Value) -> Value {
    let mut running = client.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(delivery.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = running.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_clients_unwrap_deliveries() {
    let (python, modules) = (std::env::var("LONGHAND_PYTHON"), std::env::var("LONGHAND_NODE_MODULES"));
    let (Ok(python), Ok(modules)) = (python, modules) else {
        eprintln!("SKIPPED: clients of webhooks. Set LONGHAND_PYTHON and LONGHAND_NODE_MODULES to where `openai` is installed.");
        return;
    };
    if !Path::new(&modules).join("node_modules/standardwebhooks").exists() {
        eprintln!("SKIPPED: clients of webhooks. `standardwebhooks` is not in LONGHAND_NODE_MODULES.");
        return;
    }
    let scene = Scene::live().await;
    let receiver = Receiver::start().await;
    let body = json!({ "url": receiver.url(), "dialect": "openai", "events": ["response.completed"] });
    let endpoint = scene.done("POST", "webhooks", &body).await;
    scene.done("POST", "responses", &json!({ "model": "test/m", "input": "Hola", "background": true })).await;
    let got = receiver.until(1).await.remove(0);
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers: Map<String, Value> = got.headers.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect();
    let delivery = json!({ "secret": endpoint["secret"], "headers": headers, "body": got.text });
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let (mut py, mut js) = (Command::new(python), Command::new("node"));
    py.arg(clients.join("webhook_py.py"));
    js.arg(clients.join("webhook_js.mjs")).env("LONGHAND_NODE_MODULES", modules);
    for client in [py, js] {
        let told = read(client, &delivery).await;
        let event = &told["event"];
        assert_eq!(
            (&event["type"], &event["data"], &told["refused"]),
            (&json!("response.completed"), &got.body()["data"], &json!(true))
        );
    }
    scene.harness.finish().await;
}
