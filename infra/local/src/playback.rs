//! A loopback provider: it speaks the `OpenAI` chat completions, plays recorded deltas, and remembers what it sent.

mod play;
mod script;
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

use play::Play;
pub use script::{Ending, Script, Usage};
pub use wire::now_micros;

/// The provider, for as long as it is held: dropping it closes every connection.
#[derive(Debug)]
pub struct Playback {
    base_url: String,
    stage: Arc<Stage>,
}

/// What the provider has seen and sent so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Requests for a completion.
    pub requests: u64,
    /// Those whose client went away before the script's end.
    pub closed_early: u64,
    /// Deltas sent that had text in them, over all requests.
    pub deltas: u64,
    /// Bytes of text sent, over all requests.
    pub bytes: u64,
    /// SHA-256, in hex, of the text sent to the newest request.
    pub sent_sha256: String,
    /// The newest request's body.
    pub last_request: Option<Value>,
    /// The newest request's `Authorization` header.
    pub last_authorization: Option<String>,
}

/// Hears a request's body and its `Authorization` header.
pub type Hears = fn(&Value, Option<&str>);

/// What all requests share.
#[derive(Debug)]
struct Stage {
    script: Script,
    hears: Hears,
    closing: CancellationToken,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    stats: Stats,
    newest_text: Sha256,
}

impl Playback {
    /// Listens on a free port of 127.0.0.1 and plays `script` to every request. Needs a Tokio runtime.
    ///
    /// # Errors
    /// No port could be opened.
    pub fn start(script: Script) -> anyhow::Result<Self> {
        Self::start_heard(script, |_, _| {})
    }

    /// The same, of which `hears` is told each request.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_heard(script: Script, hears: Hears) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the playback provider found no free port")?;
        listener.set_nonblocking(true).context("the playback provider's socket cannot be used")?;
        let base_url = format!("http://{}/v1", listener.local_addr().context("the playback provider has no address")?);
        let listener = tokio::net::TcpListener::from_std(listener).context("the playback provider needs a Tokio runtime")?;
        // Small events must leave at once, or the tempo comes out in bursts.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));

        let stage = Arc::new(Stage { script, hears, closing: CancellationToken::new(), ledger: Mutex::default() });
        let server = axum::serve(listener, router(Arc::clone(&stage)));
        let closed = stage.closing.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = server.with_graceful_shutdown(closed).await {
                tracing::error!(%error, "the playback provider stopped");
            }
        });
        Ok(Self { base_url, stage })
    }

    /// The provider's base URL, such as `http://127.0.0.1:4000/v1`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The figures up to now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let ledger = self.stage.ledger();
        let sent_sha256 = format!("{:x}", ledger.newest_text.clone().finalize());
        Stats { sent_sha256, ..ledger.stats.clone() }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.stage.closing.cancel();
    }
}

impl Stage {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in; answers with its number.
    fn admit(&self, request: &Value, headers: &HeaderMap) -> u64 {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        (self.hears)(request, authorization);
        let mut ledger = self.ledger();
        ledger.newest_text = Sha256::new();
        ledger.stats.requests += 1;
        ledger.stats.last_request = Some(request.clone());
        ledger.stats.last_authorization = authorization.map(str::to_owned);
        ledger.stats.requests
    }
}

fn router(stage: Arc<Stage>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::disable())
        .with_state(stage)
}

async fn complete(State(stage): State<Arc<Stage>>, headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refuse(&format!("the body is not JSON: {error}")),
    };
    if request.get("stream") != Some(&Value::Bool(true)) {
        return refuse("only streams are played: expected \"stream\": true");
    }
    let number = stage.admit(&request, &headers);
    let delay = stage.script.first_byte_delay;
    let play = Play::new(stage, number, &request);
    tokio::time::sleep(delay).await;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(play.into_stream())).into_response()
}

async fn models(State(stage): State<Arc<Stage>>) -> Json<Value> {
    let model = json!({"id": stage.script.model, "object": "model", "created": wire::now(), "owned_by": "playback"});
    Json(json!({"object": "list", "data": [model]}))
}

fn refuse(message: &str) -> Response {
    let error = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
    (StatusCode::BAD_REQUEST, Json(error)).into_response()
}
