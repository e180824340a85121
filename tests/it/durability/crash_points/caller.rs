//! The caller: tries again with the same key, as clients do, and follows what it has begun.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use longhand::GenerationId;
use longhand::log::event::{Event, NumberedEvent};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::kind::Kind;

/// Pieces of text with the numbers of their events.
type Pieces = Arc<Mutex<Vec<(u64, String)>>>;

/// The caller of one generation. Clones are the same.
#[derive(Clone)]
pub struct Caller {
    http: reqwest::Client,
    url: String,
    kind: Kind,
    /// Faults that it may have to do with.
    faults: usize,
    told: Pieces,
}

impl Caller {
    /// Of the stack at `url`.
    pub fn new(url: &str, kind: Kind, faults: usize) -> Self {
        // TLS roots take longer to load than a life lasts.
        let http = reqwest::Client::builder().tls_certs_only([]).build().expect("a client");
        Self { http, url: url.to_owned(), kind, faults, told: Arc::default() }
    }

    /// Starts it, and has its id.
    ///
    /// # Errors
    /// What every try was answered.
    pub async fn start(&self) -> Result<GenerationId, String> {
        let mut answers = Vec::new();
        for _ in 0..=self.faults {
            let tried = if self.kind == Kind::Attached { self.attach().await } else { self.post().await };
            match tried {
                Ok(id) => return Ok(id),
                Err(answer) => answers.push(answer),
            }
        }
        Err(format!("no try was accepted: {answers:?}"))
    }

    async fn post(&self) -> Result<GenerationId, String> {
        let mut body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
        body.as_object_mut().expect("an object").extend(self.kind.extra().as_object().cloned().unwrap_or_default());
        let started = self.send("generations", Some(&body), 202).await?.json::<Value>().await;
        let started = started.map_err(|error| error.to_string())?;
        Ok(started["id"].as_str().and_then(|id| id.parse().ok()).expect("an id"))
    }

    /// Has the id of the stream's first event, and reads on for as long as the stream lasts.
    async fn attach(&self) -> Result<GenerationId, String> {
        let body = json!({ "model": "test/m", "input": "Hola", "stream": true });
        let answer = self.send("responses", Some(&body), 200).await?;
        let (sender, mut ids) = mpsc::unbounded_channel();
        let pieces = Arc::clone(&self.told);
        tokio::spawn(async move {
            let (mut body, mut held) = (answer.bytes_stream(), String::new());
            while let Some(Ok(bytes)) = body.next().await {
                held.push_str(&String::from_utf8_lossy(&bytes));
                while let Some((frame, rest)) = held.split_once("\n\n") {
                    let data = frame.lines().find_map(|line| line.strip_prefix("data: "));
                    let event: Value = data.map_or(Value::Null, |data| serde_json::from_str(data).expect("JSON"));
                    if let Some(id) = event["response"]["id"].as_str() {
                        drop(sender.send(id.to_owned()));
                    }
                    if let (Some(seq), Some(delta)) = (event["sequence_number"].as_u64(), event["delta"].as_str()) {
                        pieces.lock().expect("no panic").push((seq, delta.to_owned()));
                    }
                    held = rest.to_owned();
                }
            }
        });
        let id = ids.recv().await.ok_or("the stream broke off before its first event")?;
        id.parse::<longhand::responses::ResponseId>().map(|id| id.generation().clone()).map_err(|error| error.to_string())
    }

    /// Cancels it.
    ///
    /// # Errors
    /// What every try was answered.
    pub async fn cancel(&self, id: &GenerationId) -> Result<(), String> {
        let mut answers = Vec::new();
        for _ in 0..=self.faults {
            match self.send(&format!("generations/{id}/cancel"), None, 200).await {
                Ok(_) => return Ok(()),
                Err(answer) => answers.push(answer),
            }
        }
        Err(format!("no cancel was accepted: {answers:?}"))
    }

    /// Pieces that its own stream told it, and that are not in the log under their numbers.
    pub fn told_otherwise(&self, log: &[NumberedEvent]) -> Vec<(u64, String)> {
        let is_logged = |(seq, delta): &(u64, String)| {
            let event = usize::try_from(*seq).ok().and_then(|seq| log.get(seq));
            event.is_some_and(|event| matches!(&event.event, Event::OutputTextDelta(stretch) if stretch.delta == *delta))
        };
        self.told.lock().expect("no panic").iter().filter(|piece| !is_logged(piece)).cloned().collect()
    }

    /// `Err`: it is answered otherwise, or not at all.
    async fn send(&self, path: &str, body: Option<&Value>, expected: u16) -> Result<reqwest::Response, String> {
        let post = self.http.post(format!("{}/v1/{path}", self.url));
        let post = if let Some(body) = body { post.header("idempotency-key", "one").json(body) } else { post };
        let answer = post.send().await.map_err(|error| error.to_string())?;
        if answer.status() == expected {
            return Ok(answer);
        }
        Err(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()))
    }
}
