//! Requests that refer to earlier responses: `previous_response_id` and `item_reference`.

use longhand::Scope;
use longhand_local::Options;
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::edge::{ask, create, post, script, send, url};
use crate::access::keys::key;

#[tokio::test(flavor = "multi_thread")]
async fn conversation_goes_on_from_a_response() {
    let (harness, playback) = Harness::playing(script(2, 0.0), &[]).await;
    let upstream = || playback.stats().last_request.unwrap()["messages"].clone();
    let first = create(&harness, json!({ "input": "Uno" })).await;
    let second = create(&harness, json!({ "input": "Dos", "previous_response_id": first })).await;
    let said = |role: &str, text: &str| json!({ "role": role, "content": text });
    let two = [said("user", "Uno"), said("assistant", "0 1 "), said("user", "Dos")];
    assert_eq!(upstream(), json!(two));
    let answer =
        post(&harness, "", &ask(&json!({ "input": [{ "role": "user", "content": "Tres" }], "previous_response_id": second })))
            .await;
    let three: Vec<Value> = two.iter().cloned().chain([said("assistant", "0 1 "), said("user", "Tres")]).collect();
    assert_eq!((answer.status, upstream()), (StatusCode::OK, json!(three)), "the whole chain");
    assert_eq!(answer.body["previous_response_id"], second);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_found_by_their_ids() {
    let (harness, playback) = Harness::playing(script(2, 0.0), &[]).await;
    let first = post(&harness, "", &ask(&json!({ "input": "Uno" }))).await.body;
    let item = first["output"][0]["id"].as_str().unwrap();
    let reference = json!({ "type": "item_reference", "id": item });
    let call = json!({ "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}" });
    let result = json!({ "type": "function_call_output", "call_id": "c1", "output": "1" });
    let input = json!([{ "role": "user", "content": "Uno" }, reference, call, result]);
    assert_eq!(post(&harness, "", &ask(&json!({ "input": input }))).await.status, StatusCode::OK);
    let calls = json!([{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let messages = json!([
        { "role": "user", "content": "Uno" },
        { "role": "assistant", "content": "0 1 ", "tool_calls": calls },
        { "role": "tool", "tool_call_id": "c1", "content": "1" },
    ]);
    assert_eq!(playback.stats().last_request.unwrap()["messages"], messages, "one turn is one message");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_absent_or_not_stored_is_refused() {
    let (harness, _playback) = Harness::playing(script(2, 0.0), &[]).await;
    let unstored = create(&harness, json!({ "store": false })).await;
    let ulid = unstored.trim_start_matches("resp_").to_owned();
    let reference = |id: &str| json!({ "input": [{ "type": "item_reference", "id": id }] });
    for (extra, param) in [
        (json!({ "previous_response_id": unstored }), "previous_response_id"),
        (json!({ "previous_response_id": "resp_01arz3ndektsv4rrffq69g5fav" }), "previous_response_id"),
        (reference(&format!("msg_{ulid}_0")), "input"),
        (reference("msg_01arz3ndektsv4rrffq69g5fav_0"), "input"),
        (reference("elsewhere"), "input"),
    ] {
        let answer = post(&harness, "", &ask(&extra)).await;
        assert_eq!((answer.status, &answer.body["error"]["param"]), (StatusCode::BAD_REQUEST, &json!(param)), "{extra}");
    }
    let stored = create(&harness, json!({})).await;
    let missing = format!("msg_{}_7", stored.trim_start_matches("resp_"));
    let answer = post(&harness, "", &ask(&reference(&missing))).await;
    assert_eq!(answer.body["error"]["message"], format!("Item with id '{missing}' not found: 'input' refers to it."));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_needs_the_scope_to_read() {
    let playback = play(script(2, 0.0)).unwrap();
    let harness =
        Harness::with(Options { authorize: true, env: environment(playback.base_url(), &[]), ..Options::default() }).await;
    let (_, both) = key(&harness, "local", &[Scope::Start, Scope::Read], None).await;
    let (_, start) = key(&harness, "local", &[Scope::Start], None).await;
    let (_, stranger) = key(&harness, "other", &[Scope::Start, Scope::Read], None).await;
    let ask_with = |text: &str, extra: &Value| send(harness.http.post(url(&harness, "")).bearer_auth(text).json(&ask(extra)));
    let first = ask_with(both.reveal(), &json!({})).await.body["id"].clone();
    let again = json!({ "previous_response_id": first });
    assert_eq!(ask_with(both.reveal(), &again).await.status, StatusCode::OK);
    assert_eq!(ask_with(start.reveal(), &again).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask_with(stranger.reveal(), &again).await.body["error"]["code"], "previous_response_not_found");
    harness.finish().await;
}
