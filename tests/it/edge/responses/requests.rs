//! What may be asked, what is refused, and what a retry is.

use longhand_tests::Harness;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::edge::{ask, create, ended, get, post, script, send, url};

#[tokio::test(flavor = "multi_thread")]
async fn client_retry_is_one_response() {
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
async fn request_errors_use_the_envelope() {
    let (harness, playback) = Harness::playing(script(1, 0.0), &[]).await;
    let wrong = [
        (json!({ "background": true, "store": false }), "background", json!("unsupported_parameter")),
        (json!({ "previous_response_id": "resp_x" }), "previous_response_id", json!("previous_response_not_found")),
        (json!({ "conversation": "conv_x" }), "conversation", json!("unsupported_parameter")),
        (json!({ "temperature": 3 }), "temperature", json!(null)),
        (json!({ "input": [] }), "input", json!(null)),
        (json!({ "input": [{ "role": "nobody", "content": "x" }] }), "input[0].role", json!(null)),
        (json!({ "input": [{ "type": "item_reference", "id": "x" }] }), "input", json!(null)),
        (json!({ "input": [{ "type": {}, "role": "user", "content": "x" }] }), "input[0].type", json!(null)),
        (
            json!({ "input": [{ "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_image", "file_id": "f" }] }] }),
            "input[0].output[0].image_url",
            json!(null),
        ),
        (json!({ "model": "" }), "model", json!(null)),
        (json!({ "metadata": { "k": 1 } }), "metadata", json!(null)),
        (json!({ "stream": "yes" }), "stream", json!(null)),
        (json!({ "user": {} }), "user", json!(null)),
        (json!({ "parallel_tool_calls": "no" }), "parallel_tool_calls", json!(null)),
        (json!({ "top_logprobs": 1.5 }), "top_logprobs", json!(null)),
        (json!({ "reasoning": "high" }), "reasoning", json!(null)),
        (json!({ "reasoning": { "effort": 3 } }), "reasoning.effort", json!(null)),
        (json!({ "text": { "format": "json" } }), "text.format", json!(null)),
        (json!({ "text": { "verbosity": 1 } }), "text.verbosity", json!(null)),
        (json!({ "text": { "format": { "type": "json_schema", "name": "n" } } }), "text.format.schema", json!(null)),
    ];
    for (extra, param, code) in wrong {
        let answer = post(&harness, "", &ask(&extra)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{extra}");
        let error = &answer.body["error"];
        assert_eq!((&error["type"], &error["param"], &error["code"]), (&json!("invalid_request_error"), &json!(param), &code));
        assert!(error["message"].as_str().unwrap().contains(param), "{error}");
    }
    let odd = json!({ "unknown_to_us": { "a": 1 }, "temperature": null, "text": { "format": null, "verbosity": null } });
    let answer = post(&harness, "", &ask(&odd)).await;
    assert_eq!(answer.body["status"], "completed", "unknown fields are ignored");
    assert_eq!(answer.body["text"]["verbosity"], "medium", "null is the same as nothing");
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
async fn input_items_become_messages() {
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
async fn create_costs_one_more_write_unit() {
    // Nothing is streamed: what is counted are the writes that accept a request.
    let harness = Harness::start("http://127.0.0.1:1/v1", &[("LONGHAND_STREAM_FUNCTION", "nobody")]).await;
    harness.start_generation(json!({})).await;
    let generation = harness.stack.write_units();
    create(&harness, json!({ "background": true })).await;
    assert_eq!(harness.stack.write_units() - generation, generation + 1);
    harness.stack.shutdown().await;
}
