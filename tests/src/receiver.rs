//! A receiver of webhooks on loopback: keeps what it gets, and answers as it is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::PATIENCE;

const PAUSE: Duration = Duration::from_millis(10);

/// What a receiver does with what it gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status, with these header fields, and so many bytes.
    Status(u16, Vec<(&'static str, String)>, usize),
    /// Nothing, ever.
    Hang,
}

impl Answer {
    /// A status alone.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        Self::Status(status, Vec::new(), 0)
    }
}

/// What a receiver has got.
#[derive(Clone, Debug)]
pub struct Got {
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub text: String,
}

impl Got {
    /// The body.
    ///
    /// # Panics
    /// It is no JSON.
    #[must_use]
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// A header field.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("no {name}"))
    }
}

#[derive(Clone, Default)]
struct Shared {
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<Option<Answer>>>,
}

/// A receiver. Without another answer it takes everything.
pub struct Receiver {
    url: String,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    /// There is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let shared = Shared::default();
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { url, shared, task }
    }

    /// Starts one that answers so.
    pub async fn answering(answer: Answer) -> Self {
        let receiver = Self::start().await;
        receiver.answer(answer);
        receiver
    }

    /// From now on answers so.
    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has got so far.
    #[must_use]
    pub fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has got so much.
    ///
    /// # Panics
    /// It does not get it.
    pub async fn until(&self, count: usize) -> Vec<Got> {
        let began = Instant::now();
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(began.elapsed() < PATIENCE, "{} of {count}", got.len());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response<axum::body::Body> {
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    shared.got.lock().unwrap_or_else(PoisonError::into_inner).push(Got { headers, text });
    let answer = shared.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, fields, bytes) = match answer {
        None => (204, Vec::new(), 0),
        Some(Answer::Status(status, fields, bytes)) => (status, fields, bytes),
        Some(Answer::Hang) => std::future::pending().await,
    };
    let mut response = Response::new("x".repeat(bytes).into());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in fields {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response
}
