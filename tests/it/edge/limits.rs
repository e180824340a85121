//! What is refused before it costs anything: too many generations at once, and requests that are too large to be looked at.

use std::time::Duration;

use futures::future::join_all;
use longhand::Clock;
use longhand_local::{Data, Options, Playback, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

const MAX: usize = 3;

/// A provider that says nothing for as long as a test runs.
fn silent() -> Playback {
    play(Script { first_byte_delay: Duration::from_mins(10), ..Script::default() }).unwrap()
}

fn at_most_three(playback: &Playback) -> Options {
    let max = MAX.to_string();
    Options { env: environment(playback.base_url(), &[("LONGHAND_MAX_RUNNING", &max)]), ..Options::default() }
}

fn create(harness: &Harness, path: &str, body: &Value) -> RequestBuilder {
    harness.http.post(format!("{}{path}", harness.stack.url())).json(body)
}

/// The status, `Retry-After`, and the body.
async fn told(response: Response) -> (StatusCode, Option<String>, Value) {
    let status = response.status();
    let after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (status, after, response.json().await.unwrap())
}

fn body() -> Value {
    json!({ "provider": "test", "model": "m", "prompt": "p" })
}

/// Every row of the records table, counted.
async fn rows(harness: &Harness) -> usize {
    let config = harness.config("api");
    let clients = harness.clients().await;
    clients.dynamodb.scan().table_name(&config.records_table).send().await.unwrap().items().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_limit_a_start_is_refused_with_429_and_nothing_is_stored() {
    let playback = silent();
    let harness = Harness::with(at_most_three(&playback)).await;
    let mut ids = Vec::new();
    for _ in 0..MAX {
        ids.push(harness.start_generation(json!({})).await);
    }
    let stored = rows(&harness).await;
    for attached in [false, true] {
        let mut body = body();
        body["stream"] = attached.into();
        let (status, after, problem) = told(create(&harness, "/v1/generations", &body).send().await.unwrap()).await;
        assert_eq!((status, after.as_deref()), (StatusCode::TOO_MANY_REQUESTS, Some("10")), "{problem}");
        assert_eq!(problem["code"], "too_many_running");
        let keyed = create(&harness, "/v1/generations", &body).header("Idempotency-Key", "new").send().await.unwrap();
        assert_eq!(keyed.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    let openai = json!({ "model": "test/m", "input": "p", "background": true });
    for retries in ["0", "1"] {
        let request = create(&harness, "/v1/responses", &openai).header("x-stainless-retry-count", retries);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-should-retry"], "true");
        let (status, after, refusal) = told(response).await;
        assert_eq!((status, after.as_deref()), (StatusCode::TOO_MANY_REQUESTS, Some("10")), "{refusal}");
        assert_eq!(refusal["error"]["code"], "rate_limit_exceeded");
        assert_eq!(refusal["error"]["type"], "rate_limit_error");
    }
    assert_eq!(rows(&harness).await, stored, "a refused request left a row");
    harness.until(&ids[0], |_| playback.stats().requests >= MAX as u64).await;
    assert_eq!(playback.stats().requests, MAX as u64);

    assert_eq!(harness.cancel(&ids[0]).await.0, StatusCode::OK);
    harness.ended(&ids[0]).await;
    let last = harness.start_generation(json!({})).await;
    assert_eq!(create(&harness, "/v1/generations", &body()).send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    for id in ids[1..].iter().chain([&last]) {
        harness.cancel(id).await;
        harness.ended(id).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_of_what_is_running_is_answered_at_the_limit() {
    let playback = silent();
    let harness = Harness::with(at_most_three(&playback)).await;
    let openai = json!({ "model": "test/m", "input": "p", "background": true });
    let keyed = || create(&harness, "/v1/generations", &body()).header("Idempotency-Key", "k").send();
    let retried = |count: &str| create(&harness, "/v1/responses", &openai).header("x-stainless-retry-count", count).send();
    let first = told(keyed().await.unwrap()).await.2;
    let response = told(retried("0").await.unwrap()).await.2;
    harness.start_generation(json!({})).await;
    assert_eq!(create(&harness, "/v1/generations", &body()).send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    let (status, _, again) = told(keyed().await.unwrap()).await;
    assert_eq!((status, &again["id"]), (StatusCode::ACCEPTED, &first["id"]));
    let (status, _, again) = told(retried("1").await.unwrap()).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &response["id"]));
    let other = json!({ "provider": "test", "model": "m", "prompt": "q" });
    let conflict = create(&harness, "/v1/generations", &other).header("Idempotency-Key", "k").send().await.unwrap();
    assert_eq!(conflict.status(), StatusCode::CONFLICT);
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_organizations_limit_is_not_anothers_and_outlives_a_restart() {
    let playback = silent();
    let folder = tempfile::tempdir().unwrap();
    // Both names have the same shard, and one begins the other.
    let options = |organization: &str| Options {
        data: Data::Folder(folder.path().to_owned()),
        organization: organization.to_owned(),
        ..at_most_three(&playback)
    };
    for (organization, expected) in
        [("acme", StatusCode::ACCEPTED), ("acmeb", StatusCode::ACCEPTED), ("acme", StatusCode::TOO_MANY_REQUESTS)]
    {
        let harness = Harness::with(options(organization)).await;
        for _ in 0..MAX {
            let response = create(&harness, "/v1/generations", &body()).send().await.unwrap();
            assert_eq!(response.status(), expected, "{organization}");
        }
        harness.stack.shutdown().await;
    }
}

/// Sends a head, and a body if there is one, over a socket of its own; the status and the body of the answer.
async fn raw(harness: &Harness, request: &[u8]) -> (u16, String) {
    let address = harness.stack.url().strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // The end of the connection may be a reset where the request was not read to its end.
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the connection ends");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status =
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"));
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn head(path: &str, fields: &[(String, String)]) -> Vec<u8> {
    let first = [format!("GET {path} HTTP/1.1"), "host: localhost".into(), "connection: close".into()];
    let lines: Vec<String> = first.into_iter().chain(fields.iter().map(|(name, value)| format!("{name}: {value}"))).collect();
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_to_be_looked_at_is_told_which_part_of_it() {
    let harness = Harness::start("http://127.0.0.1:9", &[]).await;
    let path = |bytes: usize| format!("/v1/generations/{}", "x".repeat(bytes - "/v1/generations/".len()));
    let query = |bytes: usize| format!("/v1/generations?{}", "x".repeat(bytes));
    let many = |count: usize| (0..count).map(|number| (format!("x-{number}"), "y".to_owned())).collect::<Vec<_>>();
    let large = |bytes: usize| vec![("x-large".to_owned(), "y".repeat(bytes - "hostlocalhostconnectionclosex-large".len()))];
    let rows: Vec<(Vec<u8>, u16, &str)> = vec![
        (head(&path(1024), &[]), 404, "not_found"),
        (head(&path(1025), &[]), 414, "uri_too_long: the request has 1025 bytes of path; at most 1024 are allowed"),
        (head(&query(4096), &[]), 400, "invalid_request: is not a parameter of this route"),
        (head(&query(4097), &[]), 414, "uri_too_long: the request has 4097 bytes of query; at most 4096 are allowed"),
        (head("/v1/generations", &many(98)), 200, ""),
        (
            head("/v1/generations", &many(99)),
            431,
            "headers_too_large: the request has 101 header fields; at most 100 are allowed",
        ),
        (head("/v1/generations", &large(16_384)), 200, ""),
        (
            head("/v1/generations", &large(16_385)),
            431,
            "headers_too_large: the request has 16385 bytes of header fields; at most 16384 are allowed",
        ),
    ];
    for (request, status, expected) in rows {
        let (answered, body) = raw(&harness, &request).await;
        assert_eq!(answered, status, "{body}");
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("JSON, not {body:?}"));
        let (code, detail) = expected.split_once(": ").unwrap_or((expected, ""));
        if status != 200 {
            assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
            assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        }
    }
    let (status, body) = raw(&harness, &head(&format!("/v1/responses/{}", "x".repeat(2_000)), &[])).await;
    let refusal: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &refusal["error"]["code"]), (414, &json!("uri_too_long")), "{refusal}");
    // What is beyond the server's own bounds is answered all the same, with a bare status.
    for request in [head("/v1/generations", &many(500)), head("/v1/generations", &large(200_000)), head(&query(70_000), &[])] {
        assert_eq!(raw(&harness, &request).await, (431, String::new()));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_before_it_is_sent_by_whom_asks_first() {
    let harness = Harness::start("http://127.0.0.1:9", &[]).await;
    for path in ["/v1/generations", "/v1/responses"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4194305\r\n\r\n"
        );
        let (status, body) = raw(&harness, head.as_bytes()).await;
        assert_eq!(status, 413, "{body}");
        assert!(body.contains("the request body has 4194305 bytes; at most 4194304 are allowed"), "{body}");
    }
    let nested = |depth: usize| {
        format!(r#"{{"model":"m","prompt":"p","provider_options":{{"a":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    let bodies =
        [nested(125), nested(126), json!({ "model": "m", "messages": vec![json!({ "role": "user" }); 4097] }).to_string()];
    let answers =
        join_all(bodies.map(|body| harness.http.post(format!("{}/v1/generations", harness.stack.url())).body(body).send())).await;
    let mut statuses = Vec::new();
    for answer in answers {
        let answer = answer.unwrap();
        statuses.push((answer.status().as_u16(), answer.json::<Value>().await.unwrap()["errors"][0]["detail"].clone()));
    }
    assert_eq!(statuses[0].0, 202);
    assert!(statuses[1].0 == 400 && statuses[1].1.as_str().unwrap().contains("nested less deep"), "{statuses:?}");
    assert_eq!(statuses[2], (400, json!("must have at most 4096 items")));
    harness.stack.shutdown().await;
}

/// One start may stay attached.
async fn one_attached(data: Data, clock: &Clock, playback: &Playback) -> Harness {
    let env = environment(playback.base_url(), &[("LONGHAND_MAX_ATTACHED", "1"), ("LONGHAND_MAX_RUNNING", "2")]);
    Harness::without(&["EveryMinute"], Options { data, clock: clock.clone(), env, ..Options::default() }).await
}

async fn attach(harness: &Harness) -> Response {
    let mut body = body();
    body["stream"] = true.into();
    create(harness, "/v1/generations", &body).send().await.unwrap()
}

/// Attaches as soon as the place is free, which is left a moment after its reader, and what ended is no longer counted.
async fn attach_in_turn(harness: &Harness) -> (String, Response) {
    let began = Instant::now();
    loop {
        let response = attach(harness).await;
        if response.status() == StatusCode::OK {
            let id = response.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned();
            return (id, response);
        }
        assert!(["too_many_attached", "too_many_running"].contains(&told(response).await.2["code"].as_str().unwrap()));
        assert!(began.elapsed() < PATIENCE, "nobody leaves the place");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_starts_leave_room_for_others() {
    let playback = silent();
    let harness = one_attached(Data::Memory, &Clock::system(), &playback).await;
    let (first, answer) = attach_in_turn(&harness).await;
    let stored = rows(&harness).await;
    let (status, after, problem) = told(attach(&harness).await).await;
    assert_eq!((status, after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("5")), "{problem}");
    assert_eq!(problem["code"], "too_many_attached");
    let messages = json!([{ "role": "user", "content": "p" }]);
    for (path, body) in [
        ("/v1/chat/completions", json!({ "model": "test/m", "messages": messages })),
        ("/v1/chat/completions", json!({ "model": "test/m", "messages": messages, "stream": true })),
        ("/v1/responses", json!({ "model": "test/m", "input": "p" })),
        ("/v1/responses", json!({ "model": "test/m", "input": "p", "stream": true })),
        ("/v1/responses", json!({ "model": "test/m", "input": "p", "stream": true, "background": true })),
    ] {
        let response = create(&harness, path, &body).send().await.unwrap();
        assert_eq!(response.headers()["x-should-retry"], "true");
        let (status, after, refusal) = told(response).await;
        assert_eq!((status, after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("5")), "{refusal}");
        assert_eq!((&refusal["error"]["code"], &refusal["error"]["type"]), (&json!("too_many_attached"), &json!("server_error")));
    }
    assert_eq!(rows(&harness).await, stored, "a refused request left a row");

    // What is not attached starts as ever. An attached start leaves its place at the end of its log, where its reader goes away although
    // its writer goes on, and where it is refused after all, here for the organization's limit.
    let second = harness.start_generation(json!({})).await;
    harness.cancel(&first).await;
    assert!(answer.text().await.unwrap().contains("cancelled"));
    let (third, answer) = attach_in_turn(&harness).await;
    harness.cancel(&third).await;
    answer.text().await.unwrap();
    let (fourth, answer) = attach_in_turn(&harness).await;
    drop(answer);
    for _ in 0..2 {
        let began = Instant::now();
        while told(attach(&harness).await).await.2["code"] != "too_many_running" {
            assert!(began.elapsed() < PATIENCE, "nobody leaves the place");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for id in [&second, &fourth] {
        harness.cancel(id).await;
        harness.ended(id).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn place_of_a_killed_start_is_free_after_its_time() {
    let (playback, clock, folder) = (silent(), Clock::system(), tempfile::tempdir().unwrap());
    let data = || Data::Folder(folder.path().to_owned());
    let harness = one_attached(data(), &clock, &playback).await;
    let (id, answer) = attach_in_turn(&harness).await;
    // As a process that is killed: nobody leaves the place.
    std::mem::forget(answer);
    drop(harness);

    let harness = one_attached(data(), &clock, &playback).await;
    assert_eq!(told(attach(&harness).await).await.2["code"], "too_many_attached");
    clock.advance(Duration::from_mins(30));
    let (second, _answer) = attach_in_turn(&harness).await;
    for id in [id, second] {
        harness.cancel(&id).await;
        harness.ended(&id).await;
    }
    harness.finish().await;
}
