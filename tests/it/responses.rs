//! `/v1/responses` over its HTTP edge: the acceptance list of the API's background mode, and its rules for errors.

use std::time::{Duration, Instant};

use futures::StreamExt;
use longhand_local::playback::Ending;
use longhand_local::{Playback, Script};
use longhand_tests::{Harness, PATIENCE};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

fn script(deltas: usize, tempo: f64) -> Script {
    Script { deltas: (0..deltas).map(|number| format!("{number} ")).collect(), tempo, ..Script::default() }
}

/// What `POST` and its kin were answered.
struct Answer {
    status: StatusCode,
    should_retry: Option<String>,
    body: Value,
}

fn url(harness: &Harness, path: &str) -> String {
    format!("{}/v1/responses{path}", harness.stack.url())
}

async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert!(header("x-request-id").is_some());
    let should_retry = header("x-should-retry");
    Answer { status: response.status(), should_retry, body: response.json().await.unwrap() }
}

async fn get(harness: &Harness, path: &str) -> Answer {
    send(harness.http.get(url(harness, path))).await
}

async fn post(harness: &Harness, path: &str, body: &Value) -> Answer {
    send(harness.http.post(url(harness, path)).json(body)).await
}

fn ask(extra: &Value) -> Value {
    let mut body = json!({ "model": "test/m", "input": "Hola" });
    for (name, value) in extra.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Creates a response and answers with its id.
async fn create(harness: &Harness, extra: Value) -> String {
    let answer = post(harness, "", &ask(&extra)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn ended(harness: &Harness, id: &str) -> Value {
    until(harness, id, |response| !["queued", "in_progress"].contains(&response["status"].as_str().unwrap())).await
}

async fn until(harness: &Harness, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let response = get(harness, &format!("/{id}")).await.body;
        if is_so(&response) {
            return response;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting: {response}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads server-sent events to their end, or until there are `enough`; then the connection is dropped.
async fn read(request: RequestBuilder, enough: usize) -> Vec<Value> {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let (mut body, mut text, mut events) = (response.bytes_stream(), Vec::new(), Vec::new());
    while let Some(bytes) = body.next().await {
        text.extend_from_slice(&bytes.unwrap());
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let frame: Vec<u8> = text.drain(..end + 2).collect();
            let frame = String::from_utf8(frame).unwrap();
            if frame.starts_with(':') {
                continue;
            }
            let (name, data) = frame.trim_end().split_once('\n').unwrap();
            let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name, format!("event: {}", event["type"].as_str().unwrap()));
            events.push(event);
            if events.len() == enough {
                return events;
            }
        }
    }
    assert!(text.is_empty(), "half an event");
    events
}

async fn replay(harness: &Harness, id: &str, after: Option<u64>) -> Vec<Value> {
    let after = after.map(|after| format!("&starting_after={after}")).unwrap_or_default();
    read(harness.http.get(url(harness, &format!("/{id}?stream=true{after}"))), usize::MAX).await
}

fn text(events: &[Value]) -> String {
    events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect()
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect()
}

/// Numbers from 0 without gaps; one terminal event, and that one last.
fn assert_whole(events: &[Value]) {
    assert_eq!(numbers(events), (0..events.len() as u64).collect::<Vec<_>>());
    let terminal = ["response.completed", "response.failed", "response.incomplete"].map(Value::from);
    let ends: Vec<usize> = (0..events.len()).filter(|place| terminal.contains(&events[*place]["type"])).collect();
    assert_eq!(ends, [events.len() - 1]);
    assert_eq!(events[0]["type"], "response.created");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_response_is_queued_at_once_and_polled_to_its_end() {
    let (harness, playback) = Harness::playing(script(60, 100.0), &[("LONGHAND_UNWATCHED_WINDOW_MS", "20")]).await;
    let began = Instant::now();
    let created = post(&harness, "", &ask(&json!({ "background": true, "metadata": { "k": "v" } }))).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!((created.status, &created.body["status"]), (StatusCode::OK, &json!("queued")));
    assert_eq!(created.body["output"], json!([]));
    let id = created.body["id"].as_str().unwrap();
    let partial = until(&harness, id, |response| response["output"][0]["content"][0]["text"].is_string()).await;
    assert_eq!((&partial["status"], &partial["output"][0]["status"]), (&json!("in_progress"), &json!("in_progress")));
    let response = ended(&harness, id).await;
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][0]["content"][0]["text"], script(60, 0.0).text());
    assert_eq!(response["usage"]["output_tokens"], 60);
    assert!(response["completed_at"].as_i64() >= response["created_at"].as_i64());
    assert_eq!((&response["metadata"]["k"], &response["model"]), (&json!("v"), &json!("test/m")));
    assert_eq!(playback.stats().last_request.unwrap()["model"], "m");

    let generation = id.replace("resp_", "gen_");
    assert_eq!(harness.ended(&generation).await["status"], "completed");
    assert_eq!(get(&harness, &format!("/{id}")).await.body, response, "compaction changes nothing");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_numbered_from_0_and_every_replay_of_it_is_the_same() {
    let (harness, _playback) = Harness::playing(script(300, 600.0), &[]).await;
    let body = ask(&json!({ "background": true, "stream": true }));
    let seen = read(harness.http.post(url(&harness, "")).json(&body), 20).await;
    let id = seen[0]["response"]["id"].as_str().unwrap().to_owned();
    let (one, other) = futures::join!(replay(&harness, &id, None), replay(&harness, &id, None));
    assert_whole(&one);
    assert_eq!(one, other, "two readers at once");
    assert_eq!(one[..20], seen[..], "what the creator saw");
    assert_eq!(text(&one), script(300, 0.0).text());
    assert_eq!(one[one.len() - 1]["response"], get(&harness, &format!("/{id}")).await.body);
    harness.ended(&id.replace("resp_", "gen_")).await;
    let last = one.len() as u64 - 1;
    for after in [0, 1, 7, last - 1, last, last + 10] {
        let rest = replay(&harness, &id, Some(after)).await;
        assert_eq!(rest, one[one.len().min(after as usize + 1)..], "behind {after}");
    }
    let types: Vec<&str> = one.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(
        types[..4],
        ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    );
    assert_eq!(
        types[types.len() - 4..],
        ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_drops_at_random_and_comes_back_misses_nothing_and_sees_nothing_twice() {
    let (harness, _playback) = Harness::playing(script(1_000, 1_000.0), &[]).await;
    let id = create(&harness, json!({ "background": true })).await;
    let streamed = ask(&json!({ "background": true, "stream": true }));
    let mut seen = read(harness.http.post(url(&harness, "")).json(&streamed), 3).await;
    let id_streamed = seen[0]["response"]["id"].as_str().unwrap().to_owned();
    for step in [1, 2, 1, 17, 5, 40, 3, 1, 1, 60, 8] {
        let after = seen[seen.len() - 1]["sequence_number"].as_u64().unwrap();
        let path = format!("/{id_streamed}?stream=true&starting_after={after}");
        seen.extend(read(harness.http.get(url(&harness, &path)), step).await);
    }
    let after = seen[seen.len() - 1]["sequence_number"].as_u64();
    seen.extend(replay(&harness, &id_streamed, after).await);
    assert_whole(&seen);
    assert_eq!(text(&seen), script(1_000, 0.0).text());
    ended(&harness, &id).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_stream_and_is_final() {
    let (harness, playback) = Harness::playing(Script { ending: Ending::Stall, ..script(30, 0.0) }, &[]).await;
    let body = ask(&json!({ "background": true, "stream": true }));
    let seen = read(harness.http.post(url(&harness, "")).json(&body), 5).await;
    let id = seen[0]["response"]["id"].as_str().unwrap().to_owned();
    let reader = tokio::spawn(read(harness.http.get(url(&harness, &format!("/{id}?stream=true"))), usize::MAX));
    until(&harness, &id, |response| response["output"][0]["content"][0]["text"].is_string()).await;
    let cancelled = send(harness.http.post(url(&harness, &format!("/{id}/cancel")))).await;
    assert_eq!((cancelled.status, &cancelled.body["status"]), (StatusCode::OK, &json!("cancelled")));
    let events = reader.await.unwrap();
    assert_whole(&events);
    let last = &events[events.len() - 1];
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("cancelled")));
    assert_eq!(last["response"], cancelled.body);
    let again = send(harness.http.post(url(&harness, &format!("/{id}/cancel")))).await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &cancelled.body));
    harness.ended(&id.replace("resp_", "gen_")).await;
    assert_eq!(get(&harness, &format!("/{id}")).await.body, cancelled.body);
    assert_eq!(playback.stats().closed_early, 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_cannot_be_cancelled_and_what_runs_cannot_be_deleted() {
    let (harness, _playback) = Harness::playing(script(3, 0.0), &[]).await;
    let id = create(&harness, json!({ "background": true })).await;
    ended(&harness, &id).await;
    let refused = send(harness.http.post(url(&harness, &format!("/{id}/cancel")))).await;
    assert_eq!((refused.status, refused.should_retry.as_deref()), (StatusCode::BAD_REQUEST, Some("false")));
    assert_eq!(refused.body["error"]["message"], "Cannot cancel a completed response.");
    let deleted = send(harness.http.delete(url(&harness, &format!("/{id}")))).await;
    assert_eq!((deleted.status, &deleted.body["deleted"]), (StatusCode::OK, &json!(true)));
    for gone in [get(&harness, &format!("/{id}")).await, send(harness.http.post(url(&harness, &format!("/{id}/cancel")))).await] {
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        let message = format!("Response with id '{id}' not found.");
        let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
        assert_eq!(gone.body, json!({ "error": error }));
    }

    let synchronous = create(&harness, json!({})).await;
    let refused = send(harness.http.post(url(&harness, &format!("/{synchronous}/cancel")))).await;
    assert_eq!(refused.body["error"]["message"], "Cannot cancel a synchronous response.");
    let refused = get(&harness, &format!("/{synchronous}?stream=true")).await;
    assert_eq!(refused.body["error"]["param"], "stream");
    assert!(refused.body["error"]["message"].as_str().unwrap().ends_with("with background=true."));
    let refused = get(&harness, &format!("/{}?stream=true", create(&harness, json!({ "background": true })).await)).await;
    assert!(refused.body["error"]["message"].as_str().unwrap().ends_with("with stream=true."));
    harness.finish().await;

    let stalled = Playback::start(Script { ending: Ending::Stall, ..script(2, 0.0) }).unwrap();
    let harness = Harness::start(stalled.base_url(), &[]).await;
    let id = create(&harness, json!({ "background": true })).await;
    let refused = send(harness.http.delete(url(&harness, &format!("/{id}")))).await;
    assert_eq!(refused.body["error"]["message"], "Cannot delete an in-flight response.");
    send(harness.http.post(url(&harness, &format!("/{id}/cancel")))).await;
    let deleted = send(harness.http.delete(url(&harness, &format!("/{id}")))).await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.body);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreground_response_is_answered_at_its_end_or_goes_on_without_its_caller() {
    let (harness, playback) = Harness::playing(script(40, 100.0), &[]).await;
    let answer = post(&harness, "", &ask(&json!({ "instructions": "Sé breve.", "max_output_tokens": 9 }))).await;
    assert_eq!((&answer.body["status"], &answer.body["background"]), (&json!("completed"), &json!(false)));
    assert_eq!(answer.body["output"][0]["content"][0]["text"], script(40, 0.0).text());
    let sent = playback.stats().last_request.unwrap();
    assert_eq!(sent["messages"][0], json!({ "role": "system", "content": "Sé breve." }));
    assert_eq!(sent["max_tokens"], 9);

    let body = ask(&json!({ "stream": true }));
    let seen = read(harness.http.post(url(&harness, "")).json(&body), 6).await;
    let id = seen[0]["response"]["id"].as_str().unwrap();
    assert_eq!(seen[0]["response"]["status"], "in_progress");
    assert_eq!(ended(&harness, id).await["output"][0]["content"][0]["text"], script(40, 0.0).text());

    let unstored = post(&harness, "", &ask(&json!({ "store": false }))).await;
    assert_eq!(unstored.body["status"], "completed");
    let id = unstored.body["id"].as_str().unwrap();
    assert_eq!(get(&harness, &format!("/{id}")).await.status, StatusCode::NOT_FOUND);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_retry_is_the_same_response_and_an_equal_request_is_another() {
    let (harness, playback) = Harness::playing(script(5, 50.0), &[]).await;
    let body = ask(&json!({ "background": true }));
    let try_again = async |count: &str| {
        let request = harness.http.post(url(&harness, "")).header("x-stainless-retry-count", count).json(&body);
        send(request).await.body["id"].as_str().unwrap().to_owned()
    };
    let first = try_again("0").await;
    assert_eq!(try_again("1").await, first);
    assert_eq!(try_again("2").await, first);
    let equal = try_again("0").await;
    assert_ne!(equal, first, "two equal requests are two");
    assert_eq!(try_again("1").await, equal, "the newest of them");
    let other = ask(&json!({ "background": true, "temperature": 0.5 }));
    let request = harness.http.post(url(&harness, "")).header("x-stainless-retry-count", "1").json(&other);
    let other = send(request).await.body["id"].as_str().unwrap().to_owned();
    assert!(other != first && other != equal, "a first try that never came");

    let keyed = async || {
        let request = harness.http.post(url(&harness, "")).header("idempotency-key", "k").json(&body);
        send(request).await.body["id"].as_str().unwrap().to_owned()
    };
    let with_key = keyed().await;
    assert_eq!(keyed().await, with_key);
    for id in [&first, &equal, &other, &with_key] {
        ended(&harness, id).await;
    }
    assert_eq!(playback.stats().requests, 4);
    let body = ask(&json!({ "background": true, "input": "otra" }));
    let conflict = send(harness.http.post(url(&harness, "")).header("idempotency-key", "k").json(&body)).await;
    assert_eq!((conflict.status, conflict.should_retry.as_deref()), (StatusCode::CONFLICT, Some("false")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_told_in_the_envelope() {
    let (harness, playback) = Harness::playing(script(1, 0.0), &[]).await;
    let wrong = [
        (json!({ "background": true, "store": false }), "background", json!("unsupported_parameter")),
        (json!({ "previous_response_id": "resp_x" }), "previous_response_id", json!("unsupported_parameter")),
        (json!({ "temperature": 3 }), "temperature", json!(null)),
        (json!({ "input": [] }), "input", json!(null)),
        (json!({ "input": [{ "role": "nobody", "content": "x" }] }), "input[0].role", json!(null)),
        (json!({ "input": [{ "type": "item_reference", "id": "x" }] }), "input[0].type", json!(null)),
        (json!({ "model": "" }), "model", json!(null)),
        (json!({ "metadata": { "k": 1 } }), "metadata", json!(null)),
        (json!({ "stream": "yes" }), "stream", json!(null)),
        (json!({ "text": { "format": { "type": "json_schema", "name": "n" } } }), "text.format.schema", json!(null)),
    ];
    for (extra, param, code) in wrong {
        let answer = post(&harness, "", &ask(&extra)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{extra}");
        let error = &answer.body["error"];
        assert_eq!((&error["type"], &error["param"], &error["code"]), (&json!("invalid_request_error"), &json!(param), &code));
        assert!(error["message"].as_str().unwrap().contains(param), "{error}");
    }
    let answer = post(&harness, "", &ask(&json!({ "unknown_to_us": { "a": 1 }, "temperature": null }))).await;
    assert_eq!(answer.body["status"], "completed", "unknown fields are ignored");
    assert_eq!(playback.stats().requests, 1);
    for path in ["/nothing", "/nothing?stream=true", "/nothing/input_items"] {
        assert_eq!(get(&harness, path).await.body["error"]["message"], "Response with id 'nothing' not found.");
    }
    let id = answer.body["id"].as_str().unwrap();
    for (path, param) in [
        ("?stream=true&starting_after=x", "starting_after"),
        ("/input_items?limit=0", "limit"),
        ("/input_items?after=x", "after"),
    ] {
        assert_eq!(get(&harness, &format!("/{id}{path}")).await.body["error"]["param"], param);
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_items_are_paged_and_reach_the_provider_as_messages() {
    let (harness, playback) = Harness::playing(script(1, 0.0), &[]).await;
    let input = json!([
        { "role": "developer", "content": "uno" },
        { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "dos" }] },
        { "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c", "output": "tres" },
    ]);
    let tool = json!({ "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": true });
    let extra =
        json!({ "background": true, "input": input, "tools": [tool], "tool_choice": { "type": "function", "name": "f" } });
    let id = create(&harness, extra).await;
    let response = ended(&harness, &id).await;
    assert_eq!(response["tools"], json!([tool]));
    let sent = playback.stats().last_request.unwrap();
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    assert_eq!(
        sent["messages"],
        json!([
            { "role": "system", "content": "uno" },
            { "role": "user", "content": "dos" },
            { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c", "content": "tres" },
        ])
    );
    assert_eq!(sent["tools"][0]["function"]["name"], "f");
    for order in ["asc", "desc"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&harness, &format!("/{id}/input_items?limit=1&order={order}{after}")).await.body;
            seen.extend(page["data"].as_array().unwrap().clone());
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", page["last_id"].as_str().unwrap());
        }
        if order == "desc" {
            seen.reverse();
        }
        let kinds: Vec<&Value> = seen.iter().map(|item| &item["type"]).collect();
        assert_eq!(kinds, ["message", "message", "function_call", "function_call_output"]);
        assert_eq!(seen[0]["content"], json!([{ "type": "input_text", "text": "uno" }]));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ends_are_told_as_the_api_has_them() {
    let (harness, _playback) = Harness::playing(Script { finish_reason: "length".into(), ..script(2, 0.0) }, &[]).await;
    let answer = post(&harness, "", &ask(&json!({}))).await.body;
    assert_eq!(
        (&answer["status"], &answer["incomplete_details"]),
        (&json!("incomplete"), &json!({ "reason": "max_output_tokens" }))
    );
    assert_eq!((&answer["output"][0]["status"], &answer["completed_at"]), (&json!("incomplete"), &json!(null)));
    harness.finish().await;

    // Each attempt is cut off: the items of those that were given up are closed, and not part of the result.
    let cut = Playback::start(Script { ending: Ending::Cut, ..script(2, 0.0) }).unwrap();
    let harness = Harness::start(cut.base_url(), &[("LONGHAND_MAX_ATTEMPTS", "2")]).await;
    let body = ask(&json!({ "stream": true }));
    let events = read(harness.http.post(url(&harness, "")).json(&body), usize::MAX).await;
    assert_whole(&events);
    let last = &events[events.len() - 1]["response"];
    assert_eq!((&last["status"], &last["error"]["code"]), (&json!("failed"), &json!("server_error")));
    let ids: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "response.output_item.added").map(|event| &event["item"]["id"]).collect();
    assert_eq!((ids.len(), last["output"].as_array().unwrap().len(), &last["output"][0]["id"]), (2, 1, ids[1]));
    let begun = events.iter().filter(|event| event["type"] == "response.in_progress").count();
    assert_eq!(begun, 2);
    harness.finish().await;
}
