//! `longhand serve`: what API Gateway and the functions answer, from one process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use longhand::Clock;
use longhand_local::{Options, Script, fleet};
use longhand_tests::sensitive::play;
use longhand_tests::{Api, Harness, PATIENCE, assert_whole, environment};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::app;
use crate::fleet::working::Workers;

/// A server of the API, in this process.
struct Server {
    url: String,
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(harness: &Harness) -> Self {
        let stopping = CancellationToken::new();
        let app = app(harness, &stopping).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = stopping.clone();
        let task = tokio::spawn(async move { fleet::serve(&app, Clock::system(), listener, &stop).await.unwrap() });
        Self { url, stopping, task }
    }

    fn api(&self, harness: &Harness) -> Api {
        Api::open(&self.url).with_key(&harness.stack.key().unwrap().text)
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.task.await.unwrap();
    }
}

async fn start(script: Script) -> (Harness, longhand_local::Playback) {
    let playback = play(script).unwrap();
    let options = Options { authorize: true, env: environment(playback.base_url(), &[]), ..Options::default() };
    (Harness::with(options).await, playback)
}

/// Status, headers that say something of the answer, and the body without what differs from request to request.
async fn answer(
    url: &str,
    (method, path, key, body): (&str, &str, Option<&str>, Option<&str>),
) -> (StatusCode, BTreeMap<String, String>, String) {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}{path}"));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let own = ["date", "content-length", "x-request-id", "transfer-encoding"];
    let headers = response.headers().iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let text = response.text().await.unwrap();
    let body = match serde_json::from_str::<Value>(&text) {
        Ok(mut value) => {
            for name in ["request_id", "id", "created_at"] {
                if let Some(field) = value.get_mut(name) {
                    *field = json!("…");
                }
            }
            value.to_string()
        }
        Err(_) => text,
    };
    (status, headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn server_answers_as_the_gateway_does() {
    let (harness, _playback) = start(Script::new(["Hola"])).await;
    let server = Server::start(&harness).await;
    let key = harness.stack.key().unwrap().text.clone();
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let (_, token) = harness.create_token(&id).await;
    let token = token["token"].as_str().unwrap();
    let bad = format!("lh_{}", "0".repeat(64));
    let paths = ["", "/output", "/events", "/progress"].map(|way| format!("/v1/generations/{id}{way}"));
    let (by_query, wrong_token) = (format!("/v1/generations/{id}/events?token={token}"), format!("{}?token=lht_x.y", paths[2]));
    let large = json!({ "model": "m", "prompt": "x".repeat(5 * 1024 * 1024) }).to_string();
    let mut asked = vec![
        ("GET", "/healthz", None, None),
        ("HEAD", "/healthz", None, None),
        ("GET", "/console", None, None),
        ("GET", "/console/", None, None),
        ("GET", "/console/index.html", None, None),
        ("GET", "/v1/generations", None, None),
        ("GET", "/v1/generations", Some(bad.as_str()), None),
        ("GET", "/v1/generations", Some("nonsense"), None),
        ("GET", "/v1/generations?limit=0", Some(&key), None),
        ("GET", "/v1/models", Some(&key), None),
        ("GET", "/v2/things", Some(&key), None),
        ("PUT", "/v1/generations", Some(&key), Some("{}")),
        ("DELETE", "/healthz", None, None),
        ("POST", "/v1/generations", Some(&key), Some("{")),
        ("POST", "/v1/generations", Some(&key), Some(r#"{"model":7}"#)),
        ("POST", "/v1/generations", Some(&key), Some(&large)),
        ("POST", "/v1/chat/completions", Some(&key), Some(r#"{"model":"m"}"#)),
        ("POST", "/v1/chat/completions", Some(bad.as_str()), Some("{}")),
        ("GET", "/v1/generations/gen_01arz3ndektsv4rrffq69g5fav", Some(&key), None),
        ("GET", "/v1/generations/nonsense", Some(&key), None),
        ("GET", by_query.as_str(), None, None),
        ("GET", wrong_token.as_str(), None, None),
        ("POST", "/v1/generations", Some(token), Some("{}")),
    ];
    asked.extend(paths.iter().map(|path| ("GET", path.as_str(), Some(key.as_str()), None)));
    let mut statuses = BTreeMap::<u16, usize>::new();
    for request in asked {
        let (gateway, served) = (answer(harness.stack.url(), request).await, answer(&server.url, request).await);
        assert_eq!(served, gateway, "{} {}", request.0, request.1);
        *statuses.entry(served.0.as_u16()).or_default() += 1;
    }
    println!("{statuses:?}");
    for status in [200, 302, 400, 401, 403, 404, 405, 413] {
        assert!(statuses.contains_key(&status), "{status}: {statuses:?}");
    }
    server.stop().await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_goes_on_at_another_server_where_the_first_stopped() {
    let deltas: Vec<String> = (0..300).map(|number| format!("{number} ")).collect();
    let script = Script { deltas, tempo: 150.0, ..Script::default() };
    let text = script.text();
    let (harness, _playback) = start(script).await;
    let (first, second) = (Server::start(&harness).await, Server::start(&harness).await);
    let workers = Workers::start(&harness, 1, 4).await;
    let id = first.api(&harness).start_generation(json!({})).await;

    let api = first.api(&harness);
    let reads = tokio::spawn({
        let id = id.clone();
        async move { api.read_live(&id, None, |_| false).await }
    });
    second.api(&harness).until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(20)).await;
    first.stop().await;
    let (mut seen, has_ended) = reads.await.unwrap();
    assert!(has_ended && !seen.is_empty(), "the response ends between two events");
    assert!(seen.iter().all(|event| event["type"] != "completed"), "in the middle");
    let after = seen.last().and_then(|event| event["seq"].as_u64());
    let (rest, _) = second.api(&harness).read_live(&id, after, |_| false).await;
    seen.extend(rest);
    assert_whole(&seen);
    assert_eq!(second.api(&harness).text(&id).await, text);
    workers.stop().await;
    second.stop().await;
    harness.finish().await;
}

/// The writer of an attached start is in the server.
#[tokio::test(flavor = "multi_thread")]
async fn attached_start_is_handed_to_a_worker_when_its_server_stops() {
    let deltas: Vec<String> = (0..300).map(|number| format!("{number} ")).collect();
    let script = Script { deltas, tempo: 150.0, ..Script::default() };
    let text = script.text();
    let (harness, _playback) = start(script).await;
    let (first, second) = (Server::start(&harness).await, Server::start(&harness).await);
    let body =
        json!({ "provider": "test", "model": "m", "prompt": "a prompt of some length", "stream": true, "max_attempts": 1 });
    let request =
        reqwest::Client::new().post(format!("{}/v1/generations", first.url)).bearer_auth(&harness.stack.key().unwrap().text);
    let response = request.json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let api = second.api(&harness);
    let id = api.list(Some(1), None).await.unwrap().value.data[0].id.to_string();
    api.until(&id, |record| record["progress"]["received_bytes"].as_u64() > Some(20)).await;
    let reads = tokio::spawn(response.text());
    first.stop().await;
    assert!(!reads.await.unwrap().unwrap().contains("completed"), "it ended before the generation");
    let workers = Workers::start(&harness, 1, 4).await;
    let record = api.ended(&id).await;
    assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(1)), "{record}");
    assert_eq!(api.text(&id).await, text);
    workers.stop().await;
    second.stop().await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_goes_on_in_the_worker_that_writes_its_first_items() {
    const ITEMS: usize = 20;
    let script = Script::new(["Hola", ", ", "mundo"]);
    let text = script.text();
    let (harness, _playback) = start(script).await;
    let server = Server::start(&harness).await;
    let workers = Workers::start(&harness, 1, 2).await;
    let api = server.api(&harness);
    let item = json!({ "request": { "provider": "test", "model": "m", "prompt": "the prompt of an item" } });
    let (_, batch) = api.ask("POST", "batches", &[], Some(&json!({ "items": vec![item; ITEMS], "concurrency": 8 }))).await;
    let id = batch["id"].as_str().unwrap();
    let began = Instant::now();
    while api.get(&format!("batches/{id}")).await.1["ended_at"].is_null() {
        assert!(began.elapsed() < PATIENCE, "{batch}");
        sleep(Duration::from_millis(20)).await;
    }
    let page = api.get(&format!("batches/{id}/items?limit=100")).await.1;
    for item in page["data"].as_array().unwrap() {
        assert_eq!(item["tries"], 1, "{item}");
        assert_eq!(api.text(item["generation"].as_str().unwrap()).await, text);
    }
    let worked = workers.stop().await;
    assert!((1..=3).contains(&worked.done), "a ride of eight goes on to the last item: {worked:?}");
    assert_eq!(harness.stack.jobs(), (0, Vec::new()));
    server.stop().await;
    harness.finish().await;
}
