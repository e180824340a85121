//! Tools of every kind, images among their results, and reasoning as summaries: in the form that chat completions has, or as they are
//! where the provider speaks the Responses API too.

use longhand_tests::Harness;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::keeper::{Keeper, Speech};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::edge::{ask, assert_whole, post, read, url};

async fn stage(script: Script) -> (Harness, Hostile) {
    let hostile = Hostile::start([("test", vec![script])]).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &hostile.providers(["test"]))]).await;
    (harness, hostile)
}

fn call(pieces: [&str; 2], kind: &str, text: &str) -> Script {
    let mut begin = json!({ "index": 0, "id": "c1", "type": kind });
    begin[kind] = json!({ "name": "g", text: pieces[0] });
    let mut more = json!({ "index": 0 });
    more[kind] = json!({ text: pieces[1] });
    let piece = |call: Value| wire::delta(json!({ "tool_calls": [call] }));
    Script::stream([wire::role(), piece(begin), piece(more), wire::finish("tool_calls"), wire::DONE.to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_tools_and_their_calls_are_text() {
    let (harness, hostile) = stage(call(["a ", "b"], "custom", "input")).await;
    let grammar = json!({ "type": "grammar", "syntax": "regex", "definition": "a+" });
    let custom = json!({ "type": "custom", "name": "g", "description": "d", "format": grammar });
    let tools = json!([custom, { "type": "function", "name": "f", "parameters": {} }]);
    let choice = json!({ "type": "allowed_tools", "mode": "required", "tools": [{ "type": "custom", "name": "g" }] });
    let input = json!([
        { "role": "user", "content": "Hola" },
        { "type": "custom_tool_call", "call_id": "c0", "name": "g", "input": "x" },
        { "type": "custom_tool_call_output", "call_id": "c0", "output": "y" },
    ]);
    let body = ask(&json!({ "input": input, "tools": tools, "tool_choice": choice, "stream": true }));
    let events = read(harness.http.post(url(&harness, "")).json(&body), usize::MAX).await;
    assert_whole(&events);
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone();
    assert_eq!(of("response.custom_tool_call_input.done")["input"], "a b");
    assert!(of("response.custom_tool_call_input.delta")["delta"].is_string());
    let item = &of("response.output_item.done")["item"];
    assert_eq!((&item["type"], &item["name"], &item["input"]), (&json!("custom_tool_call"), &json!("g"), &json!("a b")));
    let response = &of("response.completed")["response"];
    assert_eq!((&response["tools"], &response["tool_choice"]), (&tools, &choice), "as they were asked for");
    let sent = hostile.seen("test").bodies.remove(0);
    let custom = |input: &str| json!({ "id": "c0", "type": "custom", "custom": { "name": "g", "input": input } });
    assert_eq!(sent["messages"][1], json!({ "role": "assistant", "content": null, "tool_calls": [custom("x")] }));
    assert_eq!(sent["messages"][2], json!({ "role": "tool", "tool_call_id": "c0", "content": "y" }));
    let format = json!({ "type": "grammar", "grammar": { "syntax": "regex", "definition": "a+" } });
    assert_eq!(sent["tools"][0], json!({ "type": "custom", "custom": { "name": "g", "description": "d", "format": format } }));
    let allowed = json!({ "mode": "required", "tools": [{ "type": "custom", "custom": { "name": "g" } }] });
    assert_eq!(sent["tool_choice"], json!({ "type": "allowed_tools", "allowed_tools": allowed }));

    // The next turn refers to the call by its id.
    let output = json!({ "type": "custom_tool_call_output", "call_id": "c1", "output": "z" });
    let next = json!({ "input": [{ "type": "item_reference", "id": item["id"] }, output], "tools": tools });
    assert_eq!(post(&harness, "", &ask(&next)).await.status, StatusCode::OK);
    let sent = hostile.seen("test").bodies.remove(1);
    assert_eq!(sent["messages"][0]["tool_calls"][0]["custom"], json!({ "name": "g", "input": "a b" }));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_tool_results_follow_the_results() {
    let (harness, hostile) = stage(Script::stream([wire::whole(&["Uno"])])).await;
    let image = |url: &str| json!({ "type": "input_image", "image_url": url });
    let input = json!([
        { "role": "user", "content": "Hola" },
        { "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}" },
        { "type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}" },
        { "type": "function_call_output", "call_id": "c1", "output": [{ "type": "input_text", "text": "one" }, image("data:a")] },
        { "type": "reasoning", "summary": [] },
        { "type": "function_call_output", "call_id": "c2", "output": [image("data:b")] },
        { "role": "user", "content": "And?" },
    ]);
    let answer = post(&harness, "", &ask(&json!({ "input": input, "tool_choice": "auto" }))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let sent = hostile.seen("test").bodies.remove(0);
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(messages[1]["tool_calls"].as_array().map(Vec::len), Some(2));
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let expected = json!([
        { "role": "tool", "tool_call_id": "c1", "content": "one" },
        { "role": "tool", "tool_call_id": "c2", "content": "The result is in the next message." },
        { "role": "user", "content": [image("data:a"), image("data:b")] },
        { "role": "user", "content": "And?" },
    ]);
    assert_eq!(messages[2..], *expected.as_array().unwrap());
    assert_eq!(sent.get("tool_choice"), None, "there is nothing to choose from");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosted_tools_go_to_a_provider_that_has_them() {
    let keeper = Keeper::start(Speech { deltas: vec!["Uno".into()], ..Speech::default() }).await;
    let other = json!({ "base_url": "http://127.0.0.1:9" });
    let providers = json!({ "test": { "base_url": keeper.base_url(), "dialect": "responses" }, "chat": other }).to_string();
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers)]).await;
    let searched = json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" });
    let item = json!([{ "role": "user", "content": "Hola" }, searched.clone()]);
    let tools = json!([{ "type": "web_search" }, { "type": "file_search", "vector_store_ids": ["vs"] }]);
    for (extra, param) in [(json!({ "tools": tools }), "tools[0].type"), (json!({ "input": item }), "input[1].type")] {
        let mut elsewhere = ask(&extra);
        elsewhere["model"] = "chat/m".into();
        let refused = post(&harness, "", &elsewhere).await;
        assert_eq!((refused.status, &refused.body["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)));
        let message = refused.body["error"]["message"].as_str().unwrap();
        assert!(message.contains("web_search") && message.contains("openai-responses/MODEL"), "{message}");
        let answer = post(&harness, "", &ask(&extra)).await;
        assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("completed")), "{}", answer.body);
    }
    let created = keeper.kept().created;
    assert_eq!(created[0]["tools"], tools);
    assert_eq!(created[1]["input"][1], searched);
    for (tool, param) in [
        (json!({ "type": "apply_patch" }), "tools[0].type"),
        (json!({ "type": "image_generation" }), "tools[0].type"),
        (json!({ "type": "mcp", "server_label": "s" }), "tools[0].require_approval"),
    ] {
        let refused = post(&harness, "", &ask(&json!({ "tools": [tool] }))).await;
        assert_eq!((refused.status, &refused.body["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{tool}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_is_a_summary_where_the_caller_asks_for_one() {
    let reasoned = wire::delta(json!({ "reasoning_content": "hm" }));
    let (harness, _hostile) = stage(Script::stream([wire::role(), reasoned, wire::text("Uno"), wire::ending()])).await;
    for (summary, delta) in [("auto", "response.reasoning_summary_text.delta"), ("", "response.reasoning_text.delta")] {
        let reasoning = if summary.is_empty() { json!({}) } else { json!({ "summary": summary }) };
        let body = ask(&json!({ "stream": true, "reasoning": reasoning }));
        let events = read(harness.http.post(url(&harness, "")).json(&body), usize::MAX).await;
        assert_whole(&events);
        assert!(events.iter().any(|event| event["type"] == delta && event["delta"] == "hm"), "{summary}");
        let item = &events.last().unwrap()["response"]["output"][0];
        let (full, empty) = if summary.is_empty() { ("content", "summary") } else { ("summary", "content") };
        let kind = if summary.is_empty() { "reasoning_text" } else { "summary_text" };
        assert_eq!(item[full], json!([{ "type": kind, "text": "hm" }]));
        assert_eq!(item[empty], json!([]));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_attempt_ends_with_an_error_and_typed_clients_can_read_it() {
    let (harness, hostile) = stage(Script::stream([wire::text("Uno ")])).await;
    let request = harness.http.post(url(&harness, "")).header("x-longhand-max-attempts", "1");
    let events = read(request.json(&ask(&json!({ "stream": true }))), usize::MAX).await;
    let response = &events.last().unwrap()["response"];
    assert_eq!((&events.last().unwrap()["type"], &response["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!((&response["error"]["type"], &response["error"]["code"]), (&json!("server_error"), &json!("server_error")));
    assert!(response["usage"]["total_tokens"].is_u64(), "{response}");
    assert_eq!(hostile.seen("test").bodies.len(), 1);
    for wrong in ["0", "11", "x"] {
        let request = harness.http.post(url(&harness, "")).header("x-longhand-max-attempts", wrong);
        let answer = super::edge::send(request.json(&ask(&json!({})))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains("X-Longhand-Max-Attempts") && message.contains("from 1 to 10"), "{message}");
    }
    harness.finish().await;
}
