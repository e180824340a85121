//! `/v1/stream/generations/{id}`: what the read part of the Durable Streams protocol says of single answers.

use longhand_local::Script;
use longhand_local::playback::Ending;
use longhand_tests::Harness;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// An answer: status, headers, body.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn events(&self) -> Vec<Value> {
        self.json().as_array().unwrap().clone()
    }
}

pub async fn ask(harness: &Harness, method: Method, id: &str, query: &str, headers: &[(&str, &str)]) -> Answer {
    let url = format!("{}/v1/stream/generations/{id}{query}", harness.stack.url());
    let mut request = harness.http.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.text().await.unwrap() }
}

pub async fn read(harness: &Harness, id: &str, query: &str) -> Answer {
    ask(harness, Method::GET, id, query, &[]).await
}

pub fn offset(seq: usize) -> String {
    format!("{seq:016}")
}

/// A provider that says a few words and then nothing, on an open connection.
pub fn stalling() -> Script {
    Script { ending: Ending::Stall, ..Script::new(["uno ", "dos ", "tres"]) }
}

/// A generation that has said all it will say for now.
pub async fn stalled(env: &[(&str, &str)]) -> (Harness, longhand_local::Playback, String) {
    let (harness, playback) = Harness::playing(stalling(), env).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"] == 3).await;
    (harness, playback, id)
}

pub async fn cancel(harness: &Harness, id: &str) {
    let url = format!("{}/v1/generations/{id}/cancel", harness.stack.url());
    assert_eq!(harness.http.post(url).send().await.unwrap().status(), StatusCode::OK);
}

/// A generation that has ended, and its events.
async fn ended(extra: Value) -> (Harness, longhand_local::Playback, String, Vec<Value>) {
    let (harness, playback) = Harness::playing(Script::new(["uno ", "dos ", "tres"]), &[]).await;
    let id = harness.start_generation(extra).await;
    harness.ended(&id).await;
    let events = harness.events(&id).await;
    (harness, playback, id, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn catch_up_to_the_tail() {
    for extra in [json!({}), json!({ "delete_after": true })] {
        let (harness, _playback, id, events) = ended(extra).await;
        let end = offset(events.len());
        for query in ["", "?offset=-1", "?offset=0000000000000000", "?unknown=1&offset=-1"] {
            let answer = read(&harness, &id, query).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.events(), events, "{query}");
            assert_eq!(answer.header("stream-next-offset"), Some(end.as_str()));
            assert_eq!(answer.header("stream-up-to-date"), Some("true"));
            assert_eq!(answer.header("stream-closed"), Some("true"));
            assert_eq!(answer.header("cache-control"), Some("private, max-age=60, stale-while-revalidate=300"));
        }
        for from in 0..=events.len() {
            let answer = read(&harness, &id, &format!("?offset={}", offset(from))).await;
            assert_eq!(answer.events(), events[from..], "from {from}");
            assert_eq!(answer.header("stream-next-offset"), Some(end.as_str()));
            assert_eq!(answer.header("stream-closed"), Some("true"));
        }
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_stream_is_up_to_date() {
    let (harness, _playback, id) = stalled(&[]).await;
    let before = read(&harness, &id, "?offset=-1").await;
    assert_eq!(before.header("stream-up-to-date"), Some("true"));
    assert_eq!(before.header("stream-closed"), None);
    assert_eq!(before.header("cache-control"), Some("private, no-cache"), "out of date with the next event");
    let tail = before.header("stream-next-offset").unwrap().to_owned();
    assert_eq!(tail, offset(before.events().len()));
    let at_tail = read(&harness, &id, &format!("?offset={tail}")).await;
    assert_eq!((at_tail.status, at_tail.body.as_str()), (StatusCode::OK, "[]"));
    assert_eq!(at_tail.header("stream-next-offset"), Some(tail.as_str()));
    assert_eq!(at_tail.header("stream-up-to-date"), Some("true"));

    let etag = before.header("etag").unwrap().to_owned();
    let fresh = ask(&harness, Method::GET, &id, "?offset=-1", &[("if-none-match", &etag)]).await;
    assert_eq!((fresh.status, fresh.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(fresh.header("stream-next-offset"), Some(tail.as_str()));
    assert_eq!(fresh.header("etag"), Some(etag.as_str()));
    cancel(&harness, &id).await;
    let after = ask(&harness, Method::GET, &id, "?offset=-1", &[("if-none-match", &etag)]).await;
    assert_eq!(after.status, StatusCode::OK, "closing changes the tag");
    assert_eq!(after.header("stream-closed"), Some("true"));
    assert_ne!(after.header("etag"), Some(etag.as_str()));
    let closed = after.header("etag").unwrap();
    for given in [closed.to_owned(), format!("\"x\", W/{closed}"), "*".into()] {
        let answer = ask(&harness, Method::GET, &id, "", &[("if-none-match", &given)]).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{given}");
        assert_eq!(answer.header("stream-closed"), Some("true"));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn now_is_not_cached() {
    let (harness, _playback, id) = stalled(&[]).await;
    let tail = offset(harness.get(&format!("generations/{id}/events")).await.1["data"].as_array().unwrap().len());
    let open = read(&harness, &id, "?offset=now").await;
    assert_eq!((open.status, open.body.as_str()), (StatusCode::OK, "[]"));
    assert_eq!(open.header("stream-next-offset"), Some(tail.as_str()));
    assert_eq!(open.header("stream-up-to-date"), Some("true"));
    assert_eq!((open.header("cache-control"), open.header("etag")), (Some("no-store"), None));
    assert_eq!(open.header("stream-closed"), None);
    cancel(&harness, &id).await;
    let end = offset(harness.events(&id).await.len());
    let closed = read(&harness, &id, "?offset=now").await;
    assert_eq!((closed.status, closed.body.as_str()), (StatusCode::OK, "[]"));
    assert_eq!(closed.header("stream-closed"), Some("true"));
    assert_eq!(closed.header("stream-next-offset"), Some(end.as_str()));
    let polled = read(&harness, &id, "?offset=now&live=long-poll").await;
    assert_eq!(polled.status, StatusCode::NO_CONTENT);
    assert_eq!(polled.header("stream-closed"), Some("true"));
    let streamed = read(&harness, &id, "?offset=now&live=sse").await;
    let control = json!({ "streamNextOffset": end, "upToDate": true, "streamClosed": true });
    assert_eq!(streamed.body, format!("event: control\ndata:{control}\n\n"));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_offsets_are_refused() {
    let (harness, _playback, id, events) = ended(json!({})).await;
    let beyond = format!("?offset={}", offset(events.len() + 1));
    let refused = [
        "?offset=",
        "?offset=-1&offset=-1",
        "?offset=-1,0",
        "?offset=-1%200",
        "?offset=0%2F0",
        "?offset=..",
        "?offset=%00",
        "?offset=-1%0A",
        "?offset=5",
        "?offset=-2",
        "?offset=NOW",
        "?offset=%C3%A9",
        "?offset=0000000000000000_0000000000000001",
        "?live=long-poll",
        "?live=sse",
        "?offset=-1&live=yes",
        &beyond,
        &format!("{beyond}&live=long-poll"),
        &format!("{beyond}&live=sse"),
    ];
    for query in refused {
        let answer = read(&harness, &id, query).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["code"], "invalid_request");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_tail() {
    let (harness, _playback, id) = stalled(&[]).await;
    let count = harness.get(&format!("generations/{id}/events")).await.1["data"].as_array().unwrap().len();
    let open = ask(&harness, Method::HEAD, &id, "", &[]).await;
    assert_eq!((open.status, open.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(open.header("content-type"), Some("application/json"));
    assert_eq!(open.header("stream-next-offset"), Some(offset(count).as_str()));
    assert_eq!((open.header("stream-closed"), open.header("cache-control")), (None, Some("no-store")));
    cancel(&harness, &id).await;
    let closed = ask(&harness, Method::HEAD, &id, "", &[]).await;
    assert_eq!(closed.header("stream-closed"), Some("true"));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_absent_streams_are_refused() {
    let (harness, _playback, id, _) = ended(json!({})).await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = ask(&harness, method.clone(), &id, "", &[("content-type", "application/json")]).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.json()["code"], "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    for absent in ["gen_01ARZ3NDEKTSV4RRFFQ69G5FAV", "no-id-at-all"] {
        for query in ["", "?offset=now", "?offset=-1&live=long-poll", "?offset=-1&live=sse"] {
            let answer = read(&harness, absent, query).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{absent}{query}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["code"], "not_found");
        }
        assert_eq!(ask(&harness, Method::HEAD, absent, "", &[]).await.status, StatusCode::NOT_FOUND);
    }
    let app = harness.stack.app().await.unwrap();
    let foreign = longhand::GenerationKey::new("other".parse().unwrap(), id.parse().unwrap());
    let foreign = app.log_page(&foreign, None).await;
    assert!(matches!(foreign, Err(longhand::Error::NotFound(_))), "another organization's is absent");
    for query in ["", "?offset=now", "?offset=-1&live=long-poll", "?offset=-1&live=sse"] {
        let answer = read(&harness, &id, query).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{query}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{query}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_make_the_whole_log() {
    const DELTAS: usize = 36;
    let script = Script::new(
        (0..DELTAS).map(|number| char::from(b'a' + u8::try_from(number % 26).unwrap()).to_string().repeat(256 * 1024)),
    );
    for extra in [json!({}), json!({ "delete_after": true })] {
        let (harness, _playback) = Harness::playing(script.clone(), &[]).await;
        let id = harness.start_generation(extra).await;
        harness.ended(&id).await;
        let (mut at, mut events, mut pages) = ("-1".to_owned(), Vec::new(), 0);
        loop {
            let page = read(&harness, &id, &format!("?offset={at}")).await;
            assert!(page.body.len() < 5 * 1024 * 1024, "{} bytes", page.body.len());
            assert!(!page.events().is_empty());
            events.extend(page.events());
            pages += 1;
            page.header("stream-next-offset").unwrap().clone_into(&mut at);
            assert_eq!(at, offset(events.len()));
            assert_eq!(page.header("stream-closed"), page.header("stream-up-to-date"));
            if page.header("stream-closed").is_some() {
                break;
            }
            assert!(page.header("cache-control").unwrap().contains("max-age"), "a full page does not change");
        }
        assert!(pages >= 3, "{pages} pages");
        assert_eq!(events, harness.events(&id).await);
        harness.finish().await;
    }
}
