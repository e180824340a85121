//! The demo of a batch: twelve items, two of which fail, and the notification of the end, verified as a receiver verifies it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use longhand::BatchView;
use longhand_client::{Client, Method, send};
use longhand_local::Stack;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::source::Source;
use crate::api::{body, read};
use crate::commands::batches::{follow, told};
use crate::options::Format;
use crate::running_stack;
use crate::terminal::output;

/// Deltas per second of each item, unless the arguments say otherwise: so that one sees the items end one after another.
pub const TEMPO: f64 = 600.0;
const ITEMS: u64 = 12;
const CONCURRENCY: u64 = 4;
/// Items that may have less text than the recording has.
const FAILING: [u64; 2] = [4, 8];
const FAILING_BYTES_MAX: u64 = 200;
/// The longest wait for the notification.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a receiver of webhooks has got.
type Got = (HeaderMap, String);

pub async fn play(stack: &Stack, source: &Source, format: Format) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect_to_stack(stack)?;
    let (url, mut deliveries) = receiver().await?;
    let hook = json!({ "url": url, "events": ["batch.*"] });
    let (endpoint, _): (Value, String) = read(client.request(Method::POST, "/v1/webhooks").json(&hook)).await?;
    let began = Instant::now();
    let started = client.request(Method::POST, "/v1/batches").json(&request(source));
    let (batch, _): (BatchView, String) = read(started).await?;
    eprintln!("{}: {ITEMS} items of {}, {CONCURRENCY} at once, over {}", batch.id, source.describe(), stack.url());
    let (id, mut after) = (batch.id.to_string(), None);
    let ended = loop {
        if let Some(ended) = follow(&client, &id, format, &mut after).await? {
            break ended;
        }
    };
    let took = began.elapsed();
    let counts = ended.counts.by_status;
    ensure!((counts.completed, counts.failed) == (10, 2), "expected 10 completed items and 2 failed ones, not {}", told(&ended));
    let event = verified(&endpoint, &mut deliveries).await?;
    ensure!(event["data"]["id"] == id.as_str(), "the notification tells of {}, not of {id}", event["data"]["id"]);
    let told_counts = (&event["data"]["counts"]["completed"], &event["data"]["counts"]["failed"]);
    ensure!(told_counts == (&json!(10), &json!(2)), "the notification tells {told_counts:?}");
    let texts = texts(&client, &id, source).await?;
    if format.json {
        let figures =
            json!({ "batch_id": id, "counts": ended.counts, "texts_equal": texts, "event": event, "total_ms": took.as_millis() });
        output::line(figures)?;
    } else {
        output::line(format!("{} in {:.1} s: {}", ended.status.name(), took.as_secs_f64(), told(&ended)))?;
        output::line(format!("{texts} texts are the text that was sent; the failed items have none"))?;
        output::line(format!("the notification {} is signed by the webhook's secret", event["type"]))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn request(source: &Source) -> Value {
    let items: Vec<Value> = (0..ITEMS)
        .map(|number| {
            let request = if FAILING.contains(&number) { json!({ "max_output_bytes": FAILING_BYTES_MAX }) } else { json!({}) };
            json!({ "custom_id": format!("item-{}", number + 1), "subject": format!("demo:{}", number + 1), "request": request })
        })
        .collect();
    json!({ "name": "Demo", "items": items, "defaults": source.request(), "concurrency": CONCURRENCY, "retries": 0 })
}

/// A receiver on loopback, and what it gets.
async fn receiver() -> anyhow::Result<(String, Receiver<Got>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free for the receiver")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let (sender, deliveries) = channel(8);
    let receive = move |headers: HeaderMap, text: String| async move {
        if sender.send((headers, text)).await.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::GONE }
    };
    let router = Router::new().route("/hook", post(receive));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((url, deliveries))
}

/// The event of the first delivery, whose signature must be that of the endpoint's secret.
async fn verified(endpoint: &Value, deliveries: &mut Receiver<Got>) -> anyhow::Result<Value> {
    let delivery = timeout(PATIENCE, deliveries.recv()).await.context("no notification came")?;
    let (headers, text) = delivery.context("the receiver has stopped")?;
    let webhook = Webhook::new(endpoint["secret"].as_str().unwrap_or_default()).context("the webhook's secret cannot be read")?;
    webhook.verify(text.as_bytes(), &headers).context("the notification's signature is not that of the webhook's secret")?;
    serde_json::from_str(&text).context("the notification is no JSON")
}

/// How many items have the text that was sent, which must be all that completed; the others must have none.
async fn texts(client: &Client, id: &str, source: &Source) -> anyhow::Result<u64> {
    let lines = body(send(client.request(Method::GET, &format!("/v1/batches/{id}/results"))).await?).await?;
    let mut equal = 0;
    for (number, line) in (0..).zip(lines.lines()) {
        let line: Value = serde_json::from_str(line)?;
        let expected = source.text().filter(|_| !FAILING.contains(&number));
        ensure!(line["output"]["text"].as_str() == expected, "item {} has another text than was sent", line["custom_id"]);
        equal += u64::from(expected.is_some());
    }
    Ok(equal)
}
