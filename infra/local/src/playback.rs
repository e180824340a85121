//! A loopback provider that serves `OpenAI` chat completions from recorded deltas, and counts what it sends.

mod agents;
mod play;
mod script;
mod stamp;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use agents::{Agents, Told};
use play::Play;
pub use script::{Ending, Script, Usage};
pub use stamp::{STAMP_BYTES, now_micros, times};

/// A running provider. Dropping it closes every connection.
#[derive(Debug)]
pub struct Playback {
    base_url: String,
    shared: Arc<Shared>,
}

/// The requests received and the data sent so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Completion requests.
    pub requests: u64,
    /// Completion requests whose client disconnected before the end of the script.
    pub closed_early: u64,
    /// Non-empty deltas sent, over all requests.
    pub deltas: u64,
    /// Bytes of text sent, over all requests.
    pub bytes: u64,
    /// The SHA-256, in hex, of the text sent to the latest request.
    pub sent_sha256: String,
    /// The body of the latest request.
    pub last_request: Option<Value>,
    /// The `Authorization` header of the latest request.
    pub last_authorization: Option<String>,
}

/// Receives a request's body and its `Authorization` header.
pub type OnRequest = fn(&Value, Option<&str>);

/// Chooses what is played to a request.
type Choose = Box<dyn Fn(&Value) -> Script + Send + Sync>;

/// The state that all requests share.
struct Shared {
    /// What is played, unless `choose` chooses; the model that is listed.
    script: Arc<Script>,
    choose: Option<Choose>,
    on_request: OnRequest,
    closing: CancellationToken,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    stats: Stats,
    latest_text: Sha256,
}

impl Playback {
    /// Listens on a free port of 127.0.0.1 and plays `script` to every request. Needs a Tokio runtime.
    ///
    /// # Errors
    /// No port could be opened.
    pub fn start(script: Script) -> anyhow::Result<Self> {
        Self::start_observed(script, |_, _| {})
    }

    /// Starts a provider that passes each request to `on_request`.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_observed(script: Script, on_request: OnRequest) -> anyhow::Result<Self> {
        Self::serve(script, None, on_request)
    }

    fn serve(script: Script, choose: Option<Choose>, on_request: OnRequest) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port for the playback provider")?;
        listener.set_nonblocking(true).context("the playback provider's socket cannot be used")?;
        let base_url = format!("http://{}/v1", listener.local_addr().context("the playback provider has no address")?);
        let listener = tokio::net::TcpListener::from_std(listener).context("the playback provider needs a Tokio runtime")?;
        // Otherwise small events are sent in bursts.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));

        let script = Arc::new(script);
        let shared = Shared { script, choose, on_request, closing: CancellationToken::new(), ledger: Mutex::default() };
        let shared = Arc::new(shared);
        let server = axum::serve(listener, router(Arc::clone(&shared)));
        let closed = shared.closing.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = server.with_graceful_shutdown(closed).await {
                tracing::error!(%error, "the playback provider stopped");
            }
        });
        Ok(Self { base_url, shared })
    }

    /// The provider's base URL, such as `http://127.0.0.1:4000/v1`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The statistics so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let ledger = self.shared.ledger();
        let sent_sha256 = format!("{:x}", ledger.latest_text.clone().finalize());
        Stats { sent_sha256, ..ledger.stats.clone() }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("script", &self.script).field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request and returns its number.
    fn record_request(&self, request: &Value, headers: &HeaderMap) -> u64 {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        (self.on_request)(request, authorization);
        let mut ledger = self.ledger();
        ledger.latest_text = Sha256::new();
        ledger.stats.requests += 1;
        ledger.stats.last_request = Some(request.clone());
        ledger.stats.last_authorization = authorization.map(str::to_owned);
        ledger.stats.requests
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return reject(&format!("the body is not JSON: {error}")),
    };
    if request.get("stream") != Some(&Value::Bool(true)) {
        return reject("only streams are supported: expected \"stream\": true");
    }
    let number = shared.record_request(&request, &headers);
    let script = shared.choose.as_ref().map_or_else(|| Arc::clone(&shared.script), |choose| Arc::new(choose(&request)));
    let delay = script.first_byte_delay;
    let play = Play::new(shared, script, number, &request);
    tokio::time::sleep(delay).await;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(play.into_stream())).into_response()
}

async fn models(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let model = json!({"id": shared.script.model, "object": "model", "created": wire::now(), "owned_by": "playback"});
    Json(json!({"object": "list", "data": [model]}))
}

fn reject(message: &str) -> Response {
    let error = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
    (StatusCode::BAD_REQUEST, Json(error)).into_response()
}
