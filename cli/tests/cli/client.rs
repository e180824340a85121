//! The typed client (`cli/client`), against servers on loopback that answer as the API or a gateway may.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use futures::StreamExt as _;
use longhand::log::event::{End, Event, Item, Stretch};
use longhand_client::{Client, Error, ResultText, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves `router` for as long as the test runs, and returns its address.
pub async fn serve(router: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A server with one response for every request.
async fn always(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> String {
    let (headers, body) = (headers.to_vec(), body.to_owned());
    let respond = move || {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        std::future::ready(response.body(Body::from(body)).unwrap())
    };
    serve(Router::new().fallback(any(respond))).await
}

/// A body of these parts, which breaks off behind them if `breaks`.
pub fn body(parts: Vec<String>, breaks: bool) -> Body {
    // The server flushes what it has while it waits for the error.
    let end = async move {
        tokio::task::yield_now().await;
        breaks.then(|| Err(std::io::Error::other("broken")))
    };
    let parts = futures::stream::iter(parts.into_iter().map(Ok));
    Body::from_stream(parts.chain(futures::stream::once(end).filter_map(std::future::ready)))
}

/// A frame of server-sent events.
pub fn frame(event: &Value) -> String {
    format!("id: {}\nevent: {}\ndata: {event}\n\n", event["seq"], event["type"].as_str().unwrap())
}

async fn problem(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Error {
    let url = always(status, headers, body).await;
    Client::new(&url).unwrap().generation("gen_1").await.unwrap_err()
}

#[tokio::test]
async fn problem_is_typed() {
    let body = json!({
        "title": "Too Many Requests", "status": 429, "code": "too_many_running", "detail": "the request is not valid: /a must be 1",
        "errors": [{ "pointer": "/a", "detail": "must be 1" }], "request_id": "r-1",
    });
    let headers = [("content-type", "application/problem+json"), ("retry-after", "7")];
    let error = problem(429, &headers, &body.to_string()).await;
    assert!(error.is_transient());
    assert_eq!(error.to_string(), "the request is not valid (429 Too Many Requests)\n  /a must be 1");
    let problem = error.problem().unwrap();
    assert_eq!((problem.status, problem.code.as_deref()), (StatusCode::TOO_MANY_REQUESTS, Some("too_many_running")));
    assert_eq!((problem.request_id.as_deref(), problem.retry_after), (Some("r-1"), Some(Duration::from_secs(7))));
    assert_eq!((problem.errors.len(), problem.detail.as_str()), (1, "the request is not valid"));
}

#[tokio::test]
async fn foreign_error_is_a_problem_too() {
    let error = problem(502, &[("content-type", "text/html")], "<p>Bad\n gateway</p>").await;
    assert!(error.is_transient() && error.problem().unwrap().code.is_none());
    assert_eq!(error.to_string(), "<p>Bad gateway</p> (502 Bad Gateway)");
    let error = problem(404, &[], "").await;
    assert!(!error.is_transient());
    assert_eq!(error.to_string(), "the API gave no reason (404 Not Found)");
}

#[tokio::test]
async fn response_of_another_form_is_unexpected() {
    let error = problem(200, &[("content-type", "application/json")], "{\"id\": 1}").await;
    assert!(matches!(&error, Error::Unexpected { what, .. } if what == "the response from /v1/generations/gen_1"), "{error}");
    let Err(error) = Client::new("data:text") else { panic!("an address without a host") };
    assert!(matches!(error, Error::Address(_)), "{error}");
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let elsewhere = serve(Router::new().fallback(any(async move || *count.lock().unwrap() += 1))).await;
    let redirect = move || std::future::ready((StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere)]).into_response());
    let url = serve(Router::new().fallback(any(redirect))).await;
    let client = Client::new(&url).unwrap().with_key(Some("lh_secret".to_owned()));
    let error = client.list(None, None).await.unwrap_err().to_string();
    assert!(error.contains("redirects to http://127.0.0.1:") && error.contains("is not followed"), "{error}");
    assert_eq!(*seen.lock().unwrap(), 0, "the key went elsewhere");
}

#[tokio::test]
async fn every_path_and_query_is_encoded_and_has_the_key() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let record = move |uri: Uri, headers: HeaderMap| {
        let key = headers["authorization"].to_str().unwrap().to_owned();
        requests.lock().unwrap().push((uri.to_string(), key));
        std::future::ready(StatusCode::NO_CONTENT)
    };
    let url = serve(Router::new().fallback(any(record))).await;
    let client = Client::new(&format!("{url}/live")).unwrap().with_key(Some("lh_a".to_owned()));
    let _ = client.list(Some(2), Some("a&b")).await;
    let _ = client.generation("../x?").await;
    let _ = client.events("gen_1", Some(7)).await;
    assert!(client.open_events("gen_1", None).await.unwrap().is_none(), "204: nothing more comes");
    let paths = ["?limit=2&after=a%26b", "/..%2Fx%3F", "/gen_1/events?after=7", "/gen_1/events"];
    let expected = paths.map(|path| (format!("/live/v1/generations{path}"), "Bearer lh_a".to_owned()));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn followed_log_resumes_after_its_newest_event() {
    let seen: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let asked = Arc::clone(&seen);
    let events = move |headers: HeaderMap| {
        let mut asked = asked.lock().unwrap();
        asked.push(headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned()));
        let parts = match asked.len() {
            1 => vec![frame(&json!({ "seq": 0, "type": "created" }))],
            // A type that this build does not have, behind a heartbeat; and a response that ends well.
            2 => vec![": hb\n\n".to_owned(), frame(&json!({ "seq": 1, "type": "weather", "delta": 5 }))],
            3 => vec![],
            _ => vec![frame(&json!({ "seq": 2, "type": "completed" })), frame(&json!({ "seq": 3, "type": "created" }))],
        };
        std::future::ready(body(parts, asked.len() == 1).into_response())
    };
    let url = serve(Router::new().route("/v1/generations/gen_1/events", get(events))).await;
    let mut log = Client::new(&url).unwrap().follow("gen_1", None);
    assert_eq!(log.next().await.unwrap().unwrap().event, Event::Created);
    assert!(log.next().await.unwrap_err().is_transient(), "the break is reported, and the next call resumes");
    assert_eq!(log.next().await.unwrap().unwrap().event, Event::Completed(End::default()));
    assert!(log.next().await.unwrap().is_none() && log.after() == Some(2), "nothing is read behind the terminal event");
    let expected: [Option<&str>; 4] = [None, Some("0"), Some("1"), Some("1")];
    assert_eq!(seen.lock().unwrap().iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn damaged_event_is_an_error_and_an_unknown_one_is_left_out() {
    let page = |event: Value| {
        json!({ "object": "list", "data": [event], "status": "running", "has_more": false, "last_seq": 4 }).to_string()
    };
    let json = [("content-type", "application/json")];
    let url = always(200, &json, &page(json!({ "seq": 4, "type": "weather" }))).await;
    let read = Client::new(&url).unwrap().events("gen_1", None).await.unwrap();
    assert_eq!((read.data.len(), read.last_seq), (0, Some(4)));
    let url = always(200, &json, &page(json!({ "seq": 4, "type": "output_text.delta" }))).await;
    let error = Client::new(&url).unwrap().events("gen_1", None).await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { .. }), "{error}");
}

fn text(output_index: u32, delta: &str) -> Event {
    Event::OutputTextDelta(Stretch { output_index, content_index: 0, delta: delta.to_owned() })
}

fn item(output_index: u32) -> Event {
    Event::OutputItemAdded { output_index, item: Item::Message }
}

fn done(output_index: u32, complete: bool) -> Event {
    Event::OutputItemDone { output_index, complete }
}

fn result_text(events: impl IntoIterator<Item = Event>) -> String {
    let mut text = ResultText::default();
    events.into_iter().for_each(|event| text.push(&event));
    text.into()
}

#[test]
fn result_text_is_that_of_all_items_of_the_last_attempt() {
    let begun = |attempt| [Event::Created, Event::InProgress { attempt, used: None }];
    let two_items = [item(0), text(0, "Uno "), done(0, true), item(1), text(1, "dos"), done(1, true)];
    assert_eq!(result_text(begun(1).into_iter().chain(two_items.clone())), "Uno dos");

    let interrupted = begun(1).into_iter().chain([item(0), text(0, "lost"), done(0, false)]);
    let again = [Event::InProgress { attempt: 2, used: None }, item(1), text(1, "Uno "), done(1, true), item(2), text(2, "dos")];
    assert_eq!(result_text(interrupted.chain(again)), "Uno dos");

    let between_items =
        begun(1).into_iter().chain(two_items).chain([Event::InProgress { attempt: 2, used: None }, item(2), text(2, "tres")]);
    assert_eq!(result_text(between_items), "tres");

    let continued = [item(0), text(0, "Uno "), Event::InProgress { attempt: 2, used: None }, text(0, "dos")];
    assert_eq!(result_text(begun(1).into_iter().chain(continued)), "Uno dos");
}
