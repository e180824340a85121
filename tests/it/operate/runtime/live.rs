//! The release binary behind a runtime API that hands on a streamed answer while it comes, which the emulator does not.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use longhand_local::playback::now_micros;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::emulator;

/// What arrived, and when, in microseconds since the epoch.
type Arrival = (u64, Vec<u8>);

/// A function that waits for its one invocation. Dropping it kills the process.
pub struct Live {
    process: Child,
    invoke: Option<oneshot::Sender<Value>>,
    answer: mpsc::UnboundedReceiver<Arrival>,
}

struct Invocation {
    event: Mutex<Option<oneshot::Receiver<Value>>>,
    asked: mpsc::UnboundedSender<()>,
    answer: Mutex<Option<mpsc::UnboundedSender<Arrival>>>,
    until: Duration,
}

impl Live {
    /// Starts the binary `bootstrap` as `function`, and waits until it is initialized.
    pub async fn start(bootstrap: &Path, function: &str, environment: &BTreeMap<String, String>, timeout: Duration) -> Self {
        let ((invoke, event), (asked, mut is_asked), (sender, answer)) =
            (oneshot::channel(), mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let invocation = Invocation {
            event: Mutex::new(Some(event)),
            asked,
            answer: Mutex::new(Some(sender)),
            until: SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + timeout,
        };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/1/response", post(response))
            .with_state(Arc::new(invocation));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let lambda = [
            ("_HANDLER", function),
            ("AWS_LAMBDA_FUNCTION_NAME", function),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_RUNTIME_API", &address),
        ];
        let mut command = Command::new(bootstrap);
        let process = command.env_clear().envs(environment).envs(lambda).stdout(Stdio::null()).spawn().unwrap();
        is_asked.recv().await.unwrap();
        Self { process, invoke: Some(invoke), answer }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn cpu(&self) -> f64 {
        emulator::cpu(self.id())
    }

    pub fn peak_bytes(&self) -> u64 {
        emulator::peak_bytes(self.id())
    }

    /// Invokes the function, and returns the lines of its answer's body with the times at which they had arrived.
    pub async fn lines(&mut self, event: Value) -> Vec<(u64, String)> {
        self.invoke.take().unwrap().send(event).unwrap();
        let (mut lines, mut rest) = (Vec::new(), Vec::new());
        while let Some((at, bytes)) = self.answer.recv().await {
            rest.extend(bytes);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                lines.push((at, String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
        }
        lines
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn next(State(invocation): State<Arc<Invocation>>) -> Response {
    let _ = invocation.asked.send(());
    let event = invocation.event.lock().unwrap().take();
    let Some(event) = event else { return std::future::pending().await };
    let Ok(event) = event.await else { return StatusCode::GONE.into_response() };
    let headers = [
        ("lambda-runtime-aws-request-id", "1".to_owned()),
        ("lambda-runtime-deadline-ms", invocation.until.as_millis().to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:f".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn response(State(invocation): State<Arc<Invocation>>, body: Body) -> StatusCode {
    let answer = invocation.answer.lock().unwrap().take();
    let mut body = body.into_data_stream();
    while let Some(Ok(bytes)) = body.next().await {
        let _ = answer.as_ref().map(|answer| answer.send((now_micros(), bytes.to_vec())));
    }
    StatusCode::ACCEPTED
}
