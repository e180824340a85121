//! Where the text cannot be gone on with, the next attempt begins again, and readers can tell.

use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, assert_whole};
use serde_json::{Value, json};

use super::*;

/// Breaks off after two words, and says all of it the second time.
async fn interrupted_once() -> Hostile {
    let cut = Script::stream([wire::text("uno "), wire::text("dos ")]).ending(Ending::Cut);
    Hostile::start([("test", vec![cut, Script::stream([wire::whole(&["uno ", "dos ", "tres"])])])]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn output_without_a_prefix_begins_again_under_the_next_index() {
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let cases = [
        (json!({}), json!({})),
        (going_on(), json!({ "response_format": { "type": "json_object" } })),
        (going_on(), json!({ "tools": tool })),
        (going_on(), json!({ "provider_options": { "grammar": "root ::= [a-z ]+" } })),
        (
            going_on(),
            json!({ "prompt": null, "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }] }),
        ),
    ];
    for (settings, request) in cases {
        let hostile = interrupted_once().await;
        let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &settings))]).await;
        let mut body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
        body.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
        body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let (_, started) = harness.post(&body).await;
        let id = started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
        let record = harness.ended(&id).await;
        assert_eq!((&record["status"], &record["progress"]["received_chunks"]), (&json!("completed"), &json!(5)), "{record}");
        assert_eq!(harness.text(&id).await, "uno dos tres", "the second attempt's, whole");
        let events = harness.events(&id).await;
        assert_whole(&events);
        assert_eq!(attempts(&events), [1, 2]);
        let again = events.iter().position(|event| event["attempt"] == 2).unwrap();
        assert_eq!(events[again - 1]["type"], "output_item.done");
        assert_eq!(events[again - 1]["complete"], false);
        let added: Vec<u64> = events
            .iter()
            .filter(|event| event["type"] == "output_item.added")
            .filter_map(|event| event["output_index"].as_u64())
            .collect();
        assert_eq!(added, [0, 1]);
        let bodies = hostile.seen("test").bodies;
        assert_eq!(bodies[0]["messages"], bodies[1]["messages"], "the same request");
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_prefix_begins_again() {
    let make = |_: usize, body: &Value| match prefix(body) {
        Some(_) => Script::plain("400 Bad Request", "application/json", r#"{"error":{"message":"prefill is incompatible"}}"#),
        None => Script::stream([wire::text("uno "), wire::text("dos")]).ending(Ending::Cut),
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["reason"], "attempts_exhausted", "{record}");
    assert_eq!(harness.text(&id).await, "uno dos");
    let events = harness.events(&id).await;
    assert_eq!((attempts(&events), &record["attempts"]), (vec![1, 2, 3, 4], &json!(3)), "the refusal is not counted");
    let prefixes = || hostile.seen("test").bodies.iter().map(|body| prefix(body).is_some()).collect::<Vec<bool>>();
    assert_eq!(prefixes(), [false, true, false, false], "it is not tried twice");
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    assert_eq!(prefixes()[4..], [false, false, false], "this process remembers that the model takes no text");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn max_attempts_bounds_continued_interruptions() {
    let make = |_: usize, body: &Value| {
        Script::stream([wire::text(&format!("{} ", prefix(body).unwrap_or_default().len()))]).ending(Ending::Cut)
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let id = harness.start_generation(json!({ "max_attempts": 4 })).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("attempts_exhausted")));
    assert_eq!(harness.text(&id).await, "0 2 4 6 ", "the text of all attempts is kept");
    assert_eq!(hostile.seen("test").bodies.len(), 4);
    harness.finish().await;
}
