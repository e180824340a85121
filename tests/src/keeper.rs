//! A provider that speaks the Responses API, and keeps background responses: it works on them without a reader, and streams them again
//! from behind any event (OpenAI's guide to background mode).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::unfold;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;

/// What the provider says, and how.
#[derive(Clone, Debug, Default)]
pub struct Speech {
    /// The deltas of the answer.
    pub deltas: Vec<String>,
    /// Between two events.
    pub pace: Duration,
    /// Each stream is cut off behind so many events.
    pub cut_after: Option<usize>,
    /// The same for each stream, by its number, in place of `cut_after`; those behind the last are whole.
    pub cuts: Vec<usize>,
    /// Where a stream is cut off, an `error` event comes first.
    pub cuts_with_error: bool,
    /// Streams begin at the first event, whatever is asked for.
    pub ignores_starting_after: bool,
    /// Responses are streamed again until so many of their events are there; then only as a whole.
    pub streams_until: Option<usize>,
    /// How long a request for a response waits for its answer, while the response is worked on.
    pub answers_after: Duration,
    /// Each response fails behind so many events, the first so many times.
    pub fails: Option<(usize, usize)>,
}

/// What the provider has done.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The bodies of the requests for responses.
    pub created: Vec<Value>,
    /// Deltas of the answer that were generated, for all responses.
    pub generated: usize,
    /// The ids of the responses that were cancelled while they ran.
    pub cancelled: Vec<String>,
    /// Reads of kept responses: `starting_after` of each.
    pub reads: Vec<Option<u64>>,
    /// Responses that have ended.
    pub ended: usize,
}

/// The provider. Dropping it closes every connection.
pub struct Keeper {
    address: String,
    kept: watch::Receiver<Kept>,
    shelf: Arc<Shelf>,
    listening: AbortHandle,
}

#[derive(Default)]
struct Shelf {
    speech: Speech,
    kept: watch::Sender<Kept>,
    responses: watch::Sender<BTreeMap<String, Vec<String>>>,
    running: watch::Sender<BTreeMap<String, AbortHandle>>,
}

impl Keeper {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(speech: Speech) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let shelf = Arc::new(Shelf { speech, ..Shelf::default() });
        let router = Router::new()
            .route("/v1/responses", post(create))
            .route("/v1/responses/{id}", get(retrieve))
            .route("/v1/responses/{id}/cancel", post(cancel))
            .with_state(Arc::clone(&shelf));
        let listening = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Self { address, kept: shelf.kept.subscribe(), shelf, listening }
    }

    /// The base URL.
    pub fn base_url(&self) -> &str {
        &self.address
    }

    /// `LONGHAND_PROVIDERS` with this provider, under the name `test`, whose responses are kept.
    pub fn providers(&self) -> String {
        let settings = json!({ "base_url": self.address, "dialect": "responses", "continuation": "retrieve" });
        json!({ "test": settings }).to_string()
    }

    /// What it has done.
    pub fn kept(&self) -> Kept {
        self.kept.borrow().clone()
    }

    /// Waits until what it has done satisfies `is_so`.
    pub async fn until(&self, is_so: impl Fn(&Kept) -> bool) -> Kept {
        let mut kept = self.kept.clone();
        let so = timeout(PATIENCE, kept.wait_for(is_so)).await.unwrap_or_else(|_| panic!("still waiting: {:?}", self.kept()));
        so.expect("the provider listens").clone()
    }

    /// Forgets every response, those that run included.
    pub fn forget(&self) {
        self.shelf.running.send_modify(|running| std::mem::take(running).into_values().for_each(|task| task.abort()));
        self.shelf.responses.send_modify(BTreeMap::clear);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn create(State(shelf): State<Arc<Shelf>>, Json(body): Json<Value>) -> Response {
    let number = shelf.kept.borrow().created.len() + 1;
    let id = format!("resp_kept{number}");
    shelf.responses.send_modify(|responses| drop(responses.insert(id.clone(), Vec::new())));
    shelf.kept.send_modify(|kept| kept.created.push(body));
    let task = tokio::spawn(write(Arc::clone(&shelf), id.clone(), number)).abort_handle();
    shelf.running.send_modify(|running| drop(running.insert(id.clone(), task)));
    sleep(shelf.speech.answers_after).await;
    stream(&shelf, id, 0, 0)
}

/// Writes a response, whoever reads it.
async fn write(shelf: Arc<Shelf>, id: String, number: usize) {
    let speech = &shelf.speech;
    let fails = speech.fails.filter(|(_, times)| number <= *times).map(|(behind, _)| behind);
    for (sequence, mut event) in events(&id, &speech.deltas).into_iter().enumerate() {
        if fails == Some(sequence) {
            let error = json!({ "code": "server_error", "message": "The model is gone." });
            event = json!({ "type": "response.failed", "response": { "id": id, "status": "failed", "error": error } });
        }
        if event["type"] == "response.output_text.delta" {
            shelf.kept.send_modify(|kept| kept.generated += 1);
        }
        let has_ended = ["response.completed", "response.failed"].iter().any(|kind| event["type"] == *kind);
        event["sequence_number"] = sequence.into();
        let framed = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default());
        shelf.responses.send_modify(|responses| {
            if let Some(events) = responses.get_mut(&id) {
                events.push(framed);
            }
        });
        if has_ended {
            break;
        }
        sleep(speech.pace).await;
    }
    shelf.kept.send_modify(|kept| kept.ended += 1);
    shelf.running.send_modify(|running| drop(running.remove(&id)));
}

fn events(id: &str, deltas: &[String]) -> Vec<Value> {
    let response = |status: &str| json!({ "id": id, "object": "response", "model": "kept-1", "status": status, "output": [] });
    let at = |index: u64, kind: &str, extra: Value| {
        let mut event = json!({ "type": kind, "output_index": index, "item_id": format!("item{index}") });
        event.as_object_mut().expect("an object").extend(extra.as_object().cloned().unwrap_or_default());
        event
    };
    let mut events = vec![
        json!({ "type": "response.created", "response": response("queued") }),
        json!({ "type": "response.in_progress", "response": response("in_progress") }),
        at(0, "response.output_item.added", json!({ "item": { "type": "reasoning", "id": "item0", "summary": [] } })),
        at(0, "response.reasoning_summary_text.delta", json!({ "summary_index": 0, "delta": "Let me " })),
        at(0, "response.reasoning_summary_text.delta", json!({ "summary_index": 0, "delta": "think." })),
        at(0, "response.output_item.done", json!({ "item": { "type": "reasoning", "id": "item0" } })),
        at(1, "response.output_item.added", json!({ "item": { "type": "message", "id": "item1", "content": [] } })),
    ];
    events.extend(deltas.iter().map(|delta| at(1, "response.output_text.delta", json!({ "content_index": 0, "delta": delta }))));
    let text = deltas.concat();
    events.push(at(1, "response.output_text.done", json!({ "content_index": 0, "text": text })));
    let content = json!([{ "type": "output_text", "text": text }]);
    let message = json!({ "type": "message", "id": "item1", "content": content });
    events.push(at(1, "response.output_item.done", json!({ "item": message })));
    let mut whole = response("completed");
    whole["output"] = json!([{ "type": "reasoning", "id": "item0" }, message]);
    let (input, output) = (7, deltas.len());
    let (cached, reasoning) = (json!({ "cached_tokens": 0 }), json!({ "reasoning_tokens": 2 }));
    whole["usage"] = json!({
        "input_tokens": input, "input_tokens_details": cached,
        "output_tokens": output, "output_tokens_details": reasoning, "total_tokens": input + output,
    });
    events.push(json!({ "type": "response.completed", "response": whole }));
    events
}

async fn retrieve(
    State(shelf): State<Arc<Shelf>>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let after = query.get("starting_after").and_then(|after| after.parse().ok());
    shelf.kept.send_modify(|kept| kept.reads.push(after));
    let Some(events) = shelf.responses.borrow().get(&id).cloned() else { return not_found(&id) };
    if query.get("stream").is_none_or(|stream| stream != "true") {
        return Json(whole(&events)).into_response();
    }
    if shelf.speech.streams_until.is_some_and(|until| events.len() > until) {
        let message = "This response can no longer be streamed because it is more than 5 minutes old.";
        let error = json!({ "message": message, "type": "invalid_request_error", "param": "stream" });
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    }
    let after = after.filter(|_| !shelf.speech.ignores_starting_after);
    let number = shelf.kept.borrow().reads.len();
    stream(&shelf, id, after.map_or(0, |after| usize::try_from(after).unwrap_or(usize::MAX) + 1), number)
}

/// The response, as its newest event has it.
fn whole(events: &[String]) -> Value {
    let snapshot = |event: &String| {
        let (_, data) = event.split_once("data: ")?;
        let event: Value = serde_json::from_str(data.trim()).ok()?;
        event.get("response").cloned()
    };
    events.iter().rev().find_map(snapshot).unwrap_or_default()
}

async fn cancel(State(shelf): State<Arc<Shelf>>, Path(id): Path<String>) -> Response {
    if !shelf.responses.borrow().contains_key(&id) {
        return not_found(&id);
    }
    let mut task = None;
    shelf.running.send_modify(|running| task = running.remove(&id));
    let Some(task) = task else {
        let error = json!({ "message": "Cannot cancel a completed response.", "type": "invalid_request_error" });
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    };
    task.abort();
    shelf.kept.send_modify(|kept| kept.cancelled.push(id.clone()));
    Json(json!({ "id": id, "object": "response", "status": "cancelled" })).into_response()
}

fn not_found(id: &str) -> Response {
    let error = json!({ "message": format!("Response with id '{id}' not found."), "type": "invalid_request_error" });
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

/// The events of a response from number `from` on, as they come, until the response has ended or stream `number` is cut off.
fn stream(shelf: &Arc<Shelf>, id: String, from: usize, number: usize) -> Response {
    let cut_after = shelf.speech.cuts.get(number).copied().or(shelf.speech.cut_after);
    let cut_at = cut_after.map_or(usize::MAX, |events| from + events);
    let error = r#"{"type":"error","code":"server_error","message":"The stream broke."}"#;
    let error = shelf.speech.cuts_with_error.then(|| format!("event: error\ndata: {error}\n\n"));
    let start = (shelf.responses.subscribe(), shelf.running.subscribe(), from);
    let events = unfold(start, move |(mut responses, mut running, next)| {
        let (id, error) = (id.clone(), error.clone());
        async move {
            if next == cut_at
                && let Some(error) = error
            {
                return Some((Ok(error), (responses, running, next + 1)));
            }
            if next >= cut_at {
                return None;
            }
            loop {
                let event = responses.borrow_and_update().get(&id)?.get(next).cloned();
                if let Some(event) = event {
                    return Some((Ok::<_, Infallible>(event), (responses, running, next + 1)));
                }
                if !running.borrow_and_update().contains_key(&id) && responses.borrow().get(&id)?.len() <= next {
                    return None;
                }
                tokio::select! {
                    changed = responses.changed() => changed.ok()?,
                    changed = running.changed() => changed.ok()?,
                }
            }
        }
    });
    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(events)).into_response()
}
