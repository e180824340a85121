//! `/v1/chat/completions` over its HTTP edge.

use futures::StreamExt as _;
use longhand_client::frames;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A stack with one provider for each script. Its name is the prefix of its model.
async fn stage(scripts: &[(&'static str, Vec<Script>)]) -> (Harness, Hostile) {
    let hostile = Hostile::start(scripts.iter().cloned()).await;
    let providers = hostile.providers(scripts.iter().map(|(name, _)| *name));
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers)]).await;
    (harness, hostile)
}

async fn ask(harness: &Harness, provider: &str, more: &Value) -> Response {
    let mut body = json!({ "model": format!("{provider}/m"), "messages": [{ "role": "user", "content": "Hola" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = harness.http.request(Method::POST, harness.url_of("/v1/chat/completions")).json(&body);
    harness.execute(request.build().unwrap()).await
}

/// The status and the checked body of a completion that is not streamed.
async fn whole(harness: &Harness, provider: &str, more: &Value) -> (StatusCode, Value) {
    let mut body = json!({ "model": format!("{provider}/m"), "messages": [{ "role": "user", "content": "Hola" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    harness.send(harness.http.request(Method::POST, harness.url_of("/v1/chat/completions")).json(&body).build().unwrap()).await
}

/// The data of all events; `[DONE]` as a string.
async fn chunks(response: Response) -> Vec<Value> {
    let read = async {
        let mut frames = frames(response);
        let mut chunks = Vec::new();
        while let Some(frame) = frames.next().await {
            let data = frame.unwrap().data.unwrap_or_default();
            chunks.push(serde_json::from_str(&data).unwrap_or_else(|_| data.into()));
        }
        chunks
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap()
}

fn pieces(chunks: &[Value], name: &str) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][name].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_completion_are_the_generation() {
    let (harness, hostile) = stage(&[("p", vec![Script::stream([wire::whole(&["Uno ", "dos"])])])]).await;
    let more = json!({ "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 9, "user": "u", "n": 1 });
    let response = ask(&harness, "p", &more).await;
    assert_eq!(response.status(), StatusCode::OK);
    let id = response.headers()["x-longhand-generation"].to_str().unwrap().to_owned();
    let chunks = chunks(response).await;
    assert_eq!((pieces(&chunks, "content").as_str(), chunks.last()), ("Uno dos", Some(&json!("[DONE]"))));
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let [finish, usage] = [&chunks[chunks.len() - 3], &chunks[chunks.len() - 2]];
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(10)));
    assert_eq!((harness.ended(&id).await["status"].clone(), harness.text(&id).await), (json!("completed"), "Uno dos".to_owned()));
    let seen = hostile.seen("p").bodies.remove(0);
    assert_eq!((&seen["model"], &seen["max_tokens"], &seen["user"]), (&json!("m"), &json!(9), &json!("u")));

    let (status, completion) = whole(&harness, "p", &json!({})).await;
    assert_eq!((status, &completion["object"], &completion["model"]), (StatusCode::OK, &json!("chat.completion"), &json!("p/m")));
    let expected = json!({ "role": "assistant", "content": "Uno dos", "refusal": null });
    assert_eq!(completion["choices"][0]["message"], expected);
    assert_eq!(completion["usage"]["completion_tokens"], 3);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_calls_have_their_own_indexes() {
    let call = |index: u32, id: &str, arguments: &str| {
        wire::delta(json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": "f", "arguments": arguments } }] }))
    };
    let body = [wire::text("Miro."), call(3, "a", "{}"), call(7, "b", "[]"), wire::finish("tool_calls"), wire::DONE.into()];
    let (harness, _hostile) = stage(&[("p", vec![Script::stream([body.concat()])])]).await;
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let chunks = chunks(ask(&harness, "p", &json!({ "stream": true, "tools": tools })).await).await;
    let calls: Vec<(&Value, &Value)> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
        .filter(|call| call["id"].is_string())
        .map(|call| (&call["index"], &call["id"]))
        .collect();
    assert_eq!(calls, [(&json!(0), &json!("a")), (&json!(1), &json!("b"))]);
    let (_, completion) = whole(&harness, "p", &json!({ "tools": tools })).await;
    let choice = &completion["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &json!("Miro.")));
    assert_eq!(choice["message"]["tool_calls"][1]["function"], json!({ "name": "f", "arguments": "[]" }));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_the_provider_has_its_status() {
    let answer = |status: &str, message: &str| {
        Script::plain(status, "application/json", json!({ "error": { "message": message } }).to_string())
    };
    let table = [
        ("missing", answer("404 Not Found", "no such model"), 404, "invalid_request_error", "model_not_found"),
        ("key", answer("401 Unauthorized", "bad key"), 502, "server_error", "provider_key_refused"),
        ("long", answer("400 Bad Request", "maximum context length is 9"), 400, "invalid_request_error", "context_length_exceeded"),
        ("bad", answer("422 Unprocessable Entity", "no"), 400, "invalid_request_error", "provider_rejected"),
        (
            "limited",
            answer("429 Too Many Requests", "slow").header("Retry-After", "0"),
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
        ),
    ];
    let scripts: Vec<_> = table.iter().map(|(name, script, ..)| (*name, vec![script.clone()])).collect();
    let (harness, _hostile) = stage(&scripts).await;
    for (name, _, status, kind, code) in &table {
        for more in [json!({ "stream": true }), json!({})] {
            let (found, body) = whole(&harness, name, &more).await;
            let error = &body["error"];
            assert_eq!((found.as_u16(), &error["type"], &error["code"]), (*status, &json!(kind), &json!(code)), "{name}: {body}");
        }
        let body = json!({ "model": format!("{name}/m"), "input": "Hola" });
        let request = harness.http.request(Method::POST, harness.url_of("/v1/responses")).json(&body).build().unwrap();
        assert_eq!(harness.send(request).await.0.as_u16(), *status, "{name}, as a response");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_would_double_its_text_ends_with_an_error() {
    let scripts = || vec![Script::stream([wire::text("Uno ")]), Script::stream([wire::whole(&["Dos"])])];
    let (harness, _hostile) = stage(&[("streamed", scripts()), ("whole", scripts())]).await;
    let response = ask(&harness, "streamed", &json!({ "stream": true })).await;
    let id = response.headers()["x-longhand-generation"].to_str().unwrap().to_owned();
    let chunks = chunks(response).await;
    assert_eq!((pieces(&chunks, "content").as_str(), &chunks.last().unwrap()["error"]["code"]), ("Uno ", &json!("restarted")));
    harness.ended(&id).await;
    assert_eq!(harness.text(&id).await, "Dos");
    let (_, completion) = whole(&harness, "whole", &json!({})).await;
    assert_eq!(completion["choices"][0]["message"]["content"], "Dos");
    harness.finish().await;
}

/// Deltas and final text would differ, and this caller would rather have an end.
#[tokio::test(flavor = "multi_thread")]
async fn caller_of_one_attempt_gets_the_interruption() {
    let (harness, hostile) = stage(&[("p", vec![Script::stream([wire::text("Uno ")])])]).await;
    let body = json!({ "model": "p/m", "messages": [{ "role": "user", "content": "Hola" }], "stream": true });
    let request = harness.http.request(Method::POST, harness.url_of("/v1/chat/completions"));
    let response = harness.execute(request.header("x-longhand-max-attempts", "1").json(&body).build().unwrap()).await;
    let chunks = chunks(response).await;
    assert_eq!((pieces(&chunks, "content").as_str(), &chunks.last().unwrap()["error"]["code"]), ("Uno ", &json!("interrupted")));
    assert_eq!(hostile.seen("p").bodies.len(), 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_tools_keep_their_kind() {
    let call = json!({ "index": 0, "id": "c1", "type": "custom", "custom": { "name": "g", "input": "a b" } });
    let script = [wire::delta(json!({ "tool_calls": [call] })), wire::finish("tool_calls"), wire::DONE.to_owned()];
    let (harness, _hostile) = stage(&[("p", vec![Script::stream(script)])]).await;
    let tools = json!([{ "type": "custom", "custom": { "name": "g" } }]);
    let (_, completion) = whole(&harness, "p", &json!({ "tools": tools })).await;
    let whole = json!({ "id": "c1", "type": "custom", "custom": { "name": "g", "input": "a b" } });
    assert_eq!(completion["choices"][0]["message"]["tool_calls"], json!([whole]));
    let streamed = chunks(ask(&harness, "p", &json!({ "tools": tools, "stream": true })).await).await;
    let pieces: Vec<&Value> = streamed.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
    assert_eq!(*pieces[0], json!({ "index": 0, "id": "c1", "type": "custom", "custom": { "name": "g", "input": "" } }));
    assert_eq!(*pieces[1], json!({ "index": 0, "custom": { "input": "a b" } }));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_errors_name_the_parameter() {
    let (harness, _hostile) = stage(&[("p", Vec::new())]).await;
    for (more, param) in [
        (json!({ "messages": [] }), "messages"),
        (json!({ "n": 2 }), "n"),
        (json!({ "temperature": 9 }), "temperature"),
        (json!({ "max_tokens": 0, "max_completion_tokens": 9 }), "max_tokens"),
        (json!({ "functions": [] }), "functions"),
    ] {
        let (status, body) = whole(&harness, "p", &more).await;
        assert_eq!((status, &body["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{body}");
    }
    harness.finish().await;
}
