//! A provider that can go on: whatever breaks off, the result is one text, as if nothing had.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use longhand::Clock;
use longhand_local::Data;
use longhand_tests::hostile::{Ending, Hostile, Script, rest_of, wire};
use longhand_tests::{Harness, assert_whole, seed};
use serde_json::{Value, json};

use super::*;

const PAUSE: Duration = Duration::from_millis(5);

#[tokio::test(flavor = "multi_thread")]
async fn killed_writer_is_continued_as_one_text() {
    let text = pieces(400).concat();
    let said = text.clone();
    let hostile = Hostile::improvising("test", move |_, body| saying(&said, body, PAUSE)).await;
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::system());
    let data = Data::Folder(folder.path().to_owned());
    let env = providers(&hostile, &going_on());
    let harness = stack(data.clone(), &clock, &[("LONGHAND_PROVIDERS", &env)], 900).await;
    let id = harness.start_generation(json!({})).await;
    harness.until(&id, |record| record["progress"]["received_chunks"].as_u64() > Some(50)).await;
    let shown = harness.events(&id).await;
    drop(harness);

    clock.advance(Duration::from_mins(1));
    let harness = stack(data, &clock, &[("LONGHAND_PROVIDERS", &env)], 900).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(harness.text(&id).await, text);
    let events = harness.events(&id).await;
    assert_whole(&events);
    assert_eq!(events[..shown.len()], shown[..], "what a reader saw has not changed");
    assert_eq!(attempts(&events), [1, 2]);
    assert_eq!((count(&events, "output_item.added"), count(&events, "output_item.done")), (1, 1), "one item");
    let bodies = hostile.seen("test").bodies;
    assert_eq!(bodies.len(), 2);
    assert_eq!(prefix(&bodies[0]), None);
    assert_eq!(prefix(&bodies[1]), Some(text_before(&events, 2).as_str()), "exactly what is stored");
    harness.finish().await;
}

/// Each request is cut somewhere behind its first words, within a character or between two events or in an HTTP chunk's head,
/// until one is spared.
fn cut_somewhere(text: &str, body: &Value, random: &mut fastrand::Rng) -> Script {
    let rest = rest_of(text, body).expect("a prefix of the text");
    let pieces: Vec<&str> = rest.split_inclusive(' ').collect();
    let stream = wire::whole(&pieces).into_bytes();
    let first = wire::whole(&pieces[..pieces.len().min(2)]).len();
    let cut = random.usize(first.min(stream.len())..=stream.len());
    let ending = [Ending::Cut, Ending::Reset, Ending::End][random.usize(..3)];
    let writes = stream[..cut].chunks(random.usize(1..2_000)).map(<[u8]>::to_vec).collect::<Vec<_>>();
    Script::stream(writes).ending(ending)
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_cuts_leave_one_text() {
    const GENERATIONS: u64 = 40;
    let seed = seed();
    let text = pieces(300).concat();
    let (said, randoms) = (text.clone(), Mutex::new(HashMap::new()));
    let make = move |_: usize, body: &Value| {
        // Each generation is known by its prompt, and has a random sequence of its own.
        let number: u64 = body["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        let mut randoms = randoms.lock().unwrap();
        let random = randoms.entry(number).or_insert_with(|| fastrand::Rng::with_seed(seed.wrapping_add(number)));
        cut_somewhere(&said, body, random)
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let (harness, hostile, text) = (&harness, &hostile, text.as_str());
    let one = |number: u64| async move {
        let prompt = number.to_string();
        let id = harness.start_generation(json!({ "prompt": prompt, "max_attempts": 10 })).await;
        let record = harness.ended(&id).await;
        let (events, result) = (harness.events(&id).await, harness.text(&id).await);
        let told = format!("seed {seed}, generation {number}: {record}");
        assert_whole(&events);
        assert_eq!(count(&events, "output_item.added"), 1, "{told}");
        let bodies = hostile.seen("test").bodies.into_iter().filter(|body| body["messages"][0]["content"] == prompt.as_str());
        // A reset may take away all that was said before it: then the same attempt asks again.
        let mut bodies: Vec<Value> = bodies.collect();
        bodies.dedup_by(|again, first| prefix(again) == prefix(first));
        for (body, attempt) in bodies.iter().zip(1..) {
            assert_eq!(prefix(body).unwrap_or_default(), text_before(&events, attempt), "{told}");
        }
        // Ten cuts in a row are possible, and then what there is is kept.
        if record["status"] == "completed" {
            assert_eq!(result, text, "{told}");
        } else {
            assert!(text.starts_with(&result), "{told}");
            assert_eq!((&record["reason"], bodies.len()), (&json!("attempts_exhausted"), 10), "{told}");
        }
        bodies.len() - 1
    };
    let interruptions: usize = join_all((0..GENERATIONS).map(one)).await.into_iter().sum();
    println!("seed {seed}: {interruptions} interruptions of {GENERATIONS} generations");
    assert!(interruptions as u64 > GENERATIONS, "seed {seed}: {interruptions}");
    harness.stack.failures().await.is_empty().then_some(()).expect("nothing was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_before_the_finish_reason_adds_only_the_end() {
    let text = pieces(20).concat();
    let said = text.clone();
    let make = move |number: usize, body: &Value| {
        let rest = rest_of(&said, body).unwrap();
        let script = [wire::role(), wire::text(rest)].into_iter();
        if number == 0 { Script::stream(script).ending(Ending::Cut) } else { Script::stream([wire::role(), wire::ending()]) }
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let id = harness.start_generation(json!({})).await;
    assert_eq!(harness.ended(&id).await["status"], "completed");
    assert_eq!(harness.text(&id).await, text);
    assert_eq!(hostile.seen("test").bodies.len(), 2);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continuation_request_has_the_providers_form() {
    let text = pieces(20).concat();
    let none = Value::Null;
    for (continuation, said_so, flag) in [
        ("trailing_assistant", &none, &none),
        ("continue_final_message", &json!(true), &none),
        ("prefix_flag", &none, &json!(true)),
    ] {
        let said = text.clone();
        let make = move |number: usize, body: &Value| {
            let script = saying(&said, body, Duration::ZERO);
            if number == 0 { Script::stream([wire::text(&said[..8])]).ending(Ending::Cut) } else { script }
        };
        let hostile = Hostile::improvising("test", make).await;
        let settings = json!({ "continuation": continuation });
        let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &settings))]).await;
        let id = harness.start_generation(json!({})).await;
        assert_eq!(harness.ended(&id).await["status"], "completed");
        assert_eq!(harness.text(&id).await, text);
        let bodies = hostile.seen("test").bodies;
        assert_eq!(prefix(&bodies[1]), Some(&text[..8]));
        assert_eq!(bodies[0].get("continue_final_message"), None, "not where there is nothing to go on from");
        assert_eq!(bodies[1]["continue_final_message"], *said_so);
        assert_eq!(bodies[1]["messages"].as_array().unwrap().last().unwrap()["prefix"], *flag);
        assert_eq!(bodies[1]["add_generation_prompt"], said_so.as_bool().map_or(Value::Null, |said| json!(!said)));
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_reasoning_stays_and_the_answer_continues() {
    let thought = || wire::delta(json!({ "reasoning_content": "hm" }));
    let make = move |number: usize, _: &Value| match number {
        0 => Script::stream([thought()]).ending(Ending::Cut),
        1 => Script::stream([thought(), wire::text("uno ")]).ending(Ending::Cut),
        _ => Script::stream([wire::text("dos"), wire::ending()]),
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let id = harness.start_generation(json!({})).await;
    assert_eq!(harness.ended(&id).await["status"], "completed");
    assert_eq!(harness.text(&id).await, "uno dos");
    let events = harness.events(&id).await;
    assert_whole(&events);
    let done: Vec<_> =
        events.iter().filter(|event| event["type"] == "output_item.done").map(|event| &event["complete"]).collect();
    assert_eq!(done, [&json!(false), &json!(true), &json!(true)], "the first thought was given up, the second is part of it");
    let bodies = hostile.seen("test").bodies;
    assert_eq!((prefix(&bodies[1]), prefix(&bodies[2])), (None, Some("uno ")));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_is_checked_across_attempts() {
    let schema = json!({ "type": "object", "properties": { "price": { "type": "number", "maximum": 100 } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } });
    let request = json!({ "response_format": format, "on_schema_violation": "stop" });
    let settings = json!({ "continuation": "trailing_assistant", "continues_response_format": true });
    for (text, status, reason) in
        [("{\"price\": 99}", "completed", Value::Null), ("{\"price\": 999}", "failed", json!("schema_violation"))]
    {
        let make = move |number: usize, body: &Value| {
            let rest = rest_of(text, body).unwrap();
            if number == 0 {
                Script::stream([wire::text(&rest[..11])]).ending(Ending::Cut)
            } else {
                saying(text, body, Duration::ZERO)
            }
        };
        let hostile = Hostile::improvising("test", make).await;
        let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &settings))]).await;
        let id = harness.start_generation(request.clone()).await;
        let record = harness.ended(&id).await;
        assert_eq!((&record["status"], &record["reason"]), (&json!(status), &reason), "{record}");
        assert_eq!(harness.text(&id).await, text);
        assert_eq!(prefix(&hostile.seen("test").bodies[1]), Some(&text[..11]));
        let (_, progress) = harness.get(&format!("generations/{id}/progress?partial=json")).await;
        assert_eq!(progress["partial"], serde_json::from_str::<Value>(text).unwrap());
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_api_shows_one_item_across_attempts() {
    let text = pieces(60).concat();
    let said = text.clone();
    let make = move |number: usize, body: &Value| {
        let rest = rest_of(&said, body).unwrap();
        let cut = rest.char_indices().nth(40).map_or(rest.len(), |(at, _)| at);
        if number < 2 {
            Script::stream([wire::text(&rest[..cut])]).ending(Ending::Cut)
        } else {
            saying(&said, body, Duration::ZERO)
        }
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let url = format!("{}/v1/responses", harness.stack.url());
    let body = json!({ "model": "test/m", "input": "Hola", "stream": true });
    let told = harness.api.http.post(url).json(&body).send().await.unwrap().text().await.unwrap();
    let events: Vec<Value> =
        told.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(count(&events, "response.in_progress"), 3, "{told}");
    assert_eq!(count(&events, "response.output_item.added"), 1);
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, text);
    let end = &events.last().unwrap()["response"];
    assert_eq!((&end["status"], end["output"].as_array().unwrap().len()), (&json!("completed"), 1));
    assert_eq!(end["output"][0]["content"][0]["text"], text);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_output_tokens_are_those_of_all_attempts() {
    let text = pieces(20).concat();
    let said = text.clone();
    let make = move |number: usize, body: &Value| match number {
        0 => Script::stream([wire::text(&said[..8])]).ending(Ending::Cut),
        _ => Script::stream([wire::text(rest_of(&said, body).unwrap()), wire::ending()]),
    };
    let hostile = Hostile::improvising("test", make).await;
    let harness = Harness::start("", &[("LONGHAND_PROVIDERS", &providers(&hostile, &going_on()))]).await;
    let id = harness.start_generation(json!({ "max_output_tokens": 100 })).await;
    let record = harness.ended(&id).await;
    assert_eq!((&record["status"], &record["attempts"]), (&json!("completed"), &json!(2)), "{record}");
    let asked: Vec<Value> = hostile.seen("test").bodies.iter().map(|body| body["max_tokens"].clone()).collect();
    assert_eq!(asked, [100, 99], "the second attempt continues one delta");
    let events = harness.events(&id).await;
    let used = events.iter().filter(|event| event["type"] == "in_progress").map(|event| &event["used"]).collect::<Vec<_>>();
    assert_eq!((used[0], &used[1]["output_tokens"], &used[1]["estimated"]), (&Value::Null, &json!(2), &json!(true)));
    let usage = &record["usage"];
    let last = &usage["last_attempt"];
    assert_eq!(last["estimated"], Value::Null, "the provider counted: {usage}");
    for name in ["input_tokens", "output_tokens", "total_tokens"] {
        let parts = [used[1], last].map(|part| part[name].as_u64().unwrap());
        assert!(parts[1] > 0 && usage[name] == parts[0] + parts[1], "{name}: {usage}");
    }
    assert_eq!(events.last().unwrap()["usage"], *usage, "the last event has the same");
    harness.finish().await;
}
