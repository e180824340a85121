//! `/v1/responses` over its HTTP edge: the acceptance list of the API's background mode.

mod context;
mod edge;
mod requests;
mod tools;

use std::time::Duration;

use longhand::Clock;
use longhand_local::playback::Ending;
use longhand_local::{Options, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use self::edge::{ask, assert_whole, create, ended, get, post, read, replay, script, send, text, until, url};

#[tokio::test(flavor = "multi_thread")]
async fn background_response_is_polled_to_its_end() {
    let (harness, playback) = Harness::playing(script(60, 100.0), &[("LONGHAND_UNWATCHED_WINDOW_MS", "20")]).await;
    let created = post(&harness, "", &ask(&json!({ "background": true, "metadata": { "k": "v" } }))).await;
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
async fn background_response_with_stalled_provider() {
    let (harness, _playback) = Harness::playing(Script { ending: Ending::Stall, ..script(2, 0.0) }, &[]).await;
    let created = post(&harness, "", &ask(&json!({ "background": true }))).await;
    assert_eq!((created.status, &created.body["status"]), (StatusCode::OK, &json!("queued")));
    let id = created.body["id"].as_str().unwrap();
    let cancelled = send(harness.http.post(url(&harness, &format!("/{id}/cancel")))).await;
    assert_eq!((cancelled.status, &cancelled.body["status"]), (StatusCode::OK, &json!("cancelled")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_equal() {
    let (harness, _playback) = Harness::playing(script(300, 600.0), &[]).await;
    let body = ask(&json!({ "background": true, "stream": true }));
    let seen = read(harness.http.post(url(&harness, "")).json(&body), 5).await;
    let id = seen[0]["response"]["id"].as_str().unwrap().to_owned();
    let (one, other) = futures::join!(replay(&harness, &id, None), replay(&harness, &id, None));
    assert_whole(&one);
    assert_eq!(one, other, "two readers at once");
    assert_eq!(one[..5], seen[..], "what the creator saw");
    assert_eq!(text(&one), script(300, 0.0).text());
    assert_eq!(one[one.len() - 1]["response"], get(&harness, &format!("/{id}")).await.body);
    harness.ended(&id.replace("resp_", "gen_")).await;
    let last = one.len() - 1;
    for after in [0, 1, 7, last - 1, last, last + 10] {
        let rest = replay(&harness, &id, Some(after as u64)).await;
        assert_eq!(rest, one[one.len().min(after + 1)..], "behind {after}");
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
async fn dropped_reader_misses_nothing() {
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
async fn cancel_ends_the_stream() {
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
async fn cancel_and_delete_check_the_status() {
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

    let stalled = play(Script { ending: Ending::Stall, ..script(2, 0.0) }).unwrap();
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
async fn foreground_response_outlives_its_caller() {
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
async fn failed_and_incomplete_ends() {
    let (harness, _playback) = Harness::playing(Script { finish_reason: "length".into(), ..script(2, 0.0) }, &[]).await;
    let answer = post(&harness, "", &ask(&json!({}))).await.body;
    assert_eq!(
        (&answer["status"], &answer["incomplete_details"]),
        (&json!("incomplete"), &json!({ "reason": "max_output_tokens" }))
    );
    assert_eq!((&answer["output"][0]["status"], &answer["completed_at"]), (&json!("incomplete"), &json!(null)));
    harness.finish().await;

    // Each attempt is cut off: the items of those that were given up are closed, and not part of the result.
    let cut = play(Script { ending: Ending::Cut, ..script(2, 0.0) }).unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn generation_as_response() {
    let (harness, _playback) = Harness::playing(script(9, 0.0), &[]).await;
    let generation = harness.start_generation(json!({ "instructions": "Sé breve." })).await;
    let id = generation.replace("gen_", "resp_");
    let events = replay(&harness, &id, None).await;
    assert_whole(&events);
    assert_eq!(text(&events), script(9, 0.0).text());
    assert_eq!(events[0]["response"]["instructions"], "Sé breve.");
    assert_eq!(get(&harness, &format!("/{id}/input_items")).await.body["data"][0]["content"][0]["text"], "Hola");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_log_is_failed() {
    let playback = play(script(2, 0.0)).unwrap();
    let clock = Clock::system();
    let options = Options { clock: clock.clone(), env: environment(playback.base_url(), &[]), ..Options::default() };
    let harness = Harness::without(&["Ended", "EveryMinute"], options).await;
    let id = create(&harness, json!({ "background": true, "stream": false })).await;
    let generation = id.replace("resp_", "gen_");
    assert_eq!(ended(&harness, &id).await["status"], "completed");
    clock.advance(Duration::from_hours(25));
    harness.stack.invoke("sweep", json!({})).await.unwrap();
    assert_eq!(harness.ended(&generation).await["status"], "failed");
    let response = get(&harness, &format!("/{id}")).await.body;
    assert_eq!((&response["status"], &response["error"]["code"]), (&json!("failed"), &json!("server_error")));
    assert_eq!(get(&harness, &format!("/{id}?stream=true")).await.status, StatusCode::BAD_REQUEST);
    harness.stack.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wire_snapshot() {
    let (harness, _playback) = Harness::playing(script(1, 0.0), &[]).await;
    let body = ask(&json!({ "background": true, "stream": true }));
    let wire = harness.http.post(url(&harness, "")).json(&body).send().await.unwrap().text().await.unwrap();
    let first: Value = serde_json::from_str(wire.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    let (id, created_at) = (first["response"]["id"].as_str().unwrap(), &first["response"]["created_at"]);
    let completed = serde_json::to_string(&get(&harness, &format!("/{id}")).await.body["completed_at"]).unwrap();
    let wire = wire
        .replace(id.trim_start_matches("resp_"), "ULID")
        .replace(&format!("\"created_at\":{created_at}"), "\"created_at\":SECONDS")
        .replace(&format!("\"completed_at\":{completed}"), "\"completed_at\":SECONDS");
    insta::assert_snapshot!(wire);
    harness.finish().await;
}
