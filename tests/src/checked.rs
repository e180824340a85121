//! The client of the HTTP API as tests use it: every JSON response is checked against `infra/schemas/openapi.yaml`.

use std::ops::Deref;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use longhand_client::{Client, frames};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::contract::{Answer, CONTRACT};
use crate::sensitive::{Kind, record};

/// The largest response that is checked. Larger ones have the same forms, and take long to check.
const CHECKED_BYTES_MAX: usize = 256 * 1024;

/// A client of the embedded stack, or of API Gateway. It derefs to the typed [`Client`], whose responses are not checked.
#[derive(Clone)]
pub struct Api {
    /// Sends requests without a key, and follows no redirect.
    pub http: reqwest::Client,
    client: Client,
    key: Option<String>,
}

impl Deref for Api {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Api {
    /// A client without a key.
    #[must_use]
    pub fn open(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, client: Client::new(url).expect("an address"), key: None }
    }

    /// The same client with a key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        record(Kind::Secret, key);
        let key = Some(key.to_owned());
        Self { http: self.http.clone(), client: self.client.clone().with_key(key.clone()), key }
    }

    /// `POST /v1/generations`.
    pub async fn post(&self, body: &Value) -> (StatusCode, Value) {
        self.read(self.request(Method::POST, "/v1/generations").json(body)).await
    }

    /// `POST /v1/generations` with an `Idempotency-Key`.
    pub async fn post_once(&self, idempotency_key: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.request(Method::POST, "/v1/generations").header("idempotency-key", idempotency_key);
        self.read(request.json(body)).await
    }

    /// Starts a generation with the provider `test` and these other fields, and returns its id.
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
        self.read(self.request(Method::GET, &format!("/v1/{path}"))).await
    }

    /// A request of any method to a path, with these headers.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> (StatusCode, Value) {
        let request = self.request(method.parse().expect("a method"), &format!("/v1/{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.read(body.into_iter().fold(request, RequestBuilder::json)).await
    }

    /// The same, where it must succeed.
    pub async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, &[], Some(body)).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// What is at a path, where there must be something.
    pub async fn found(&self, path: &str) -> Value {
        let (status, answer) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// `POST /v1/generations/{id}/cancel`.
    pub async fn cancel(&self, id: &str) -> (StatusCode, Value) {
        self.read(self.request(Method::POST, &format!("/v1/generations/{id}/cancel"))).await
    }

    /// `POST /v1/generations/{id}/tokens`, with the defaults.
    pub async fn create_token(&self, id: &str) -> (StatusCode, Value) {
        self.read(self.request(Method::POST, &format!("/v1/generations/{id}/tokens"))).await
    }

    /// The address of a generation's events.
    #[must_use]
    pub fn events_url(&self, id: &str) -> String {
        self.url_of(&format!("/v1/generations/{id}/events"))
    }

    /// The address of a path.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        self.client.url(path)
    }

    /// The status of the response to a request without a body.
    pub async fn status(&self, method: &str, path: &str) -> StatusCode {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.request(method, path).send().await.expect("a response").status()
    }

    /// Sends a request with the key, and returns the response's JSON, checked.
    pub async fn send(&self, request: Request) -> (StatusCode, Value) {
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        checked(&method, &path, self.execute(request).await).await
    }

    /// Sends a request with the key.
    pub async fn execute(&self, mut request: Request) -> Response {
        if let Some(key) = &self.key {
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {key}").parse().expect("a header's value"));
        }
        self.http.execute(request).await.expect("a response")
    }

    async fn read(&self, request: RequestBuilder) -> (StatusCode, Value) {
        self.send(request.build().expect("a request")).await
    }

    /// Waits until the generation's record is final, and returns it.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, |record| !record["compacted_at"].is_null()).await
    }

    /// Waits until the generation, as `GET` returns it, fulfils the condition.
    pub async fn until(&self, id: &str, is_fulfilled: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (status, record) = self.get(&format!("generations/{id}")).await;
            assert_eq!(status, StatusCode::OK, "{record}");
            if is_fulfilled(&record) {
                return record;
            }
            assert!(began.elapsed() < PATIENCE, "still waiting: {record}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All events of a generation's log, read in pages of the default size.
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

    /// Reads one response of server-sent events, from behind event `after`, until `is_enough` or its end. `true`: it ended.
    pub async fn read_live(&self, id: &str, after: Option<u64>, is_enough: impl FnMut(&[Value]) -> bool) -> (Vec<Value>, bool) {
        match self.open_events(id, after).await.expect("a response") {
            Some(response) => read_live(response, is_enough).await,
            None => (Vec::new(), true),
        }
    }

    /// The number of generations.
    pub async fn count(&self) -> usize {
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.list(Some(100), after.as_deref()).await.expect("a page").value;
            count += page.data.len();
            if !page.has_more {
                return count;
            }
            after = page.last_id.map(|id| id.to_string());
        }
    }

    /// The result's text.
    pub async fn text(&self, id: &str) -> String {
        let (_, output) = self.get(&format!("generations/{id}/output")).await;
        output["text"].as_str().unwrap_or_else(|| panic!("a text: {output}")).to_owned()
    }
}

/// Reads server-sent events until `is_enough` or the end of the response. `true`: it ended.
pub async fn read_live(response: Response, mut is_enough: impl FnMut(&[Value]) -> bool) -> (Vec<Value>, bool) {
    let (mut events, mut frames) = (Vec::new(), frames(response));
    // A connection that breaks off has ended as well.
    while let Some(Ok(frame)) = frames.next().await {
        let Some(data) = frame.data else { continue };
        let event: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!((frame.id, frame.event.as_deref()), (Some(event["seq"].to_string()), event["type"].as_str()));
        events.push(event);
        if is_enough(&events) {
            return (events, false);
        }
    }
    (events, true)
}

/// Checks a response against the `OpenAPI` document, and returns its JSON. An emulator of API Gateway has responses of its own.
async fn checked(method: &Method, path: &str, response: Response) -> (StatusCode, Value) {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("a body");
    if path.starts_with("/v1/") && body.len() <= CHECKED_BYTES_MAX {
        let answer = Answer { status, headers: &headers, body: &body };
        CONTRACT.check_answer(method, path, &answer).unwrap_or_else(|wrong| panic!("openapi.yaml: {wrong}"));
    }
    let (status, body) = unframed(&body).unwrap_or((status, &body));
    let not_json = |_| panic!("a JSON body, not {:?}", String::from_utf8_lossy(body));
    (status, serde_json::from_slice(body).unwrap_or_else(not_json))
}

/// The status and the body within the framing of Lambda's response streaming: a JSON head, eight NUL bytes, the body. API Gateway
/// removes it; an emulator that does not stream leaves it.
fn unframed(response: &[u8]) -> Option<(StatusCode, &[u8])> {
    const END_OF_HEAD: [u8; 8] = [0; 8];
    let head_bytes = response.windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD)?;
    let head: Value = serde_json::from_slice(&response[..head_bytes]).ok()?;
    let status = u16::try_from(head["statusCode"].as_u64()?).ok()?;
    Some((StatusCode::from_u16(status).ok()?, &response[head_bytes + END_OF_HEAD.len()..]))
}
