//! A client of the product's HTTP edge, wherever that is: the embedded stack's, or API Gateway's.

use std::time::{Duration, Instant};

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::contract::{Answer, CONTRACT};
use crate::sensitive::{Kind, record};

/// Larger answers are of the same forms, and take long to look through.
const JUDGED_BYTES_MAX: usize = 256 * 1024;

/// The client.
pub struct Api {
    /// What it sends with.
    pub http: reqwest::Client,
    url: String,
    key: Option<String>,
}

impl Api {
    /// Requests to `url` are sent as they are.
    #[must_use]
    pub fn open(url: &str) -> Self {
        Self { http: reqwest::Client::new(), url: url.to_owned(), key: None }
    }

    /// The same API, to which every request shows this key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        record(Kind::Secret, key);
        Self { http: self.http.clone(), url: self.url.clone(), key: Some(key.to_owned()) }
    }

    /// `POST /v1/generations`.
    pub async fn post(&self, body: &Value) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}/v1/generations", self.url)).json(body);
        self.send(request.build().expect("a request")).await
    }

    /// `POST /v1/generations` with an `Idempotency-Key`.
    pub async fn post_once(&self, idempotency_key: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}/v1/generations", self.url)).header("idempotency-key", idempotency_key);
        self.send(request.json(body).build().expect("a request")).await
    }

    /// Starts a generation that asks the provider `test`, with `extra` fields, and answers with its id.
    pub async fn start_generation(&self, extra: Value) -> String {
        let mut body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let (status, started) = self.post(&body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{started}");
        started["id"].as_str().expect("an id").to_owned()
    }

    /// `GET /v1/{path}`.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = self.http.request(Method::GET, format!("{}/v1/{path}", self.url));
        self.send(request.build().expect("a request")).await
    }

    /// `POST /v1/generations/{id}/cancel`.
    pub async fn cancel(&self, id: &str) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}/v1/generations/{id}/cancel", self.url));
        self.send(request.build().expect("a request")).await
    }

    /// `POST /v1/generations/{id}/tokens`, with the defaults.
    pub async fn create_token(&self, id: &str) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}/v1/generations/{id}/tokens", self.url));
        self.send(request.build().expect("a request")).await
    }

    /// Where a generation's log is followed live.
    #[must_use]
    pub fn events_url(&self, id: &str) -> String {
        format!("{}/v1/generations/{id}/events", self.url)
    }

    /// The address of a path.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The status of the answer to a request without a body.
    pub async fn status(&self, method: &str, path: &str) -> StatusCode {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, self.url_of(path)).build().expect("a request");
        self.execute(request).await.status()
    }

    /// Sends a request, with the key, and reads the answer as JSON. From a stack itself, it must be one that the `OpenAPI` document
    /// tells of; an emulator of API Gateway has answers of its own.
    pub async fn send(&self, request: Request) -> (StatusCode, Value) {
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.execute(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("a body");
        let framed = unframed(&body);
        if path.starts_with("/v1/") && body.len() <= JUDGED_BYTES_MAX {
            let answer = Answer { status, headers: &headers, body: &body };
            CONTRACT.check_answer(&method, &path, &answer).unwrap_or_else(|wrong| panic!("openapi.yaml: {wrong}"));
        }
        let (status, body) = framed.unwrap_or((status, &body));
        let told = || panic!("a JSON body, not {:?}", String::from_utf8_lossy(body));
        (status, serde_json::from_slice(body).unwrap_or_else(|_| told()))
    }

    /// Sends a request, with the key.
    pub async fn execute(&self, mut request: Request) -> reqwest::Response {
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {key}").parse().expect("a header's value"));
        }
        self.http.execute(request).await.expect("an answer")
    }

    /// Waits until the generation's record is final, and answers with it.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, |record| !record["compacted_at"].is_null()).await
    }

    /// Waits until the generation as `GET` shows it is as it should be.
    pub async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (status, record) = self.get(&format!("generations/{id}")).await;
            assert_eq!(status, StatusCode::OK, "{record}");
            if is_so(&record) {
                return record;
            }
            assert!(began.elapsed() < PATIENCE, "still waiting: {record}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Every event of a generation's log, by pages of the API's own size.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map(|event| format!("?after={}", event["seq"])).unwrap_or_default();
            let (_, page) = self.get(&format!("generations/{id}/events{after}")).await;
            events.extend(page["data"].as_array().expect("a page").iter().cloned());
            if page["has_more"] == false {
                return events;
            }
        }
    }

    /// How many generations there are.
    pub async fn count(&self) -> usize {
        let (mut count, mut after) = (0, String::new());
        loop {
            let (_, page) = self.get(&format!("generations?limit=100{after}")).await;
            let data = page["data"].as_array().expect("a page");
            count += data.len();
            if page["has_more"] != true {
                return count;
            }
            after = format!("&after={}", data.last().and_then(|last| last["id"].as_str()).expect("an id"));
        }
    }

    /// The result's text.
    pub async fn text(&self, id: &str) -> String {
        let (_, output) = self.get(&format!("generations/{id}/output")).await;
        output["text"].as_str().unwrap_or_else(|| panic!("a text: {output}")).to_owned()
    }
}

/// The status and body of an answer in the framing of Lambda's response streaming: a JSON head, eight NUL bytes, the body. API
/// Gateway takes it off; an emulator that does not stream leaves it on.
fn unframed(answer: &[u8]) -> Option<(StatusCode, &[u8])> {
    const END_OF_HEAD: [u8; 8] = [0; 8];
    let head_bytes = answer.windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD)?;
    let head: Value = serde_json::from_slice(&answer[..head_bytes]).ok()?;
    let status = u16::try_from(head["statusCode"].as_u64()?).ok()?;
    Some((StatusCode::from_u16(status).ok()?, &answer[head_bytes + END_OF_HEAD.len()..]))
}
