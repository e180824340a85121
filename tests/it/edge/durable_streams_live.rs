//! `/v1/stream/generations/{id}`, live: long polls, and server-sent events with their controls.

use std::time::{Duration, Instant};

use longhand_local::Script;
use longhand_tests::Harness;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::edge::durable_streams::{Answer, cancel, offset, read, stalled};

/// A provider that takes about two seconds.
fn slow() -> Script {
    Script { tempo: 100.0, ..Script::new((0..200).map(|number| format!("{number} "))) }
}

/// Server-sent events: name and data.
fn frames(answer: &Answer) -> Vec<(String, Value)> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.header("cache-control").unwrap().contains("no-cache"));
    assert_eq!(answer.header("content-length"), None);
    let blocks = answer.body.split_terminator("\n\n");
    blocks
        .map(|block| {
            let (name, data) = block.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data:").unwrap()).unwrap();
            (name.strip_prefix("event: ").unwrap().to_owned(), data)
        })
        .collect()
}

/// The events of a connection, from `from` on. Every data is followed by a control that says where it ends.
fn paired(frames: &[(String, Value)], from: usize) -> Vec<Value> {
    let mut events = Vec::new();
    for (at, (name, data)) in frames.iter().enumerate() {
        if name == "data" {
            events.extend(data.as_array().unwrap().iter().cloned());
            assert_eq!(frames[at + 1].0, "control", "a control follows every data");
        } else {
            assert_eq!(data["streamNextOffset"], offset(from + events.len()));
            assert_eq!(data["streamCursor"].is_string(), data["streamClosed"].is_null(), "{data}");
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_reach_the_end() {
    let (harness, _playback) = Harness::playing(slow(), &[("LONGHAND_UNWATCHED_WINDOW_MS", "50")]).await;
    let id = harness.start_generation(json!({})).await;
    let (mut at, mut events, mut cursor, mut polls) = ("-1".to_owned(), Vec::new(), String::new(), 0);
    loop {
        let answer = read(&harness, &id, &format!("?offset={at}&live=long-poll&cursor={cursor}")).await;
        assert_eq!(answer.status, StatusCode::OK, "it ends with the last event, before a poll is in vain");
        assert!(!answer.events().is_empty());
        events.extend(answer.events());
        polls += 1;
        answer.header("stream-next-offset").unwrap().clone_into(&mut at);
        assert_eq!(at, offset(events.len()));
        assert!(answer.header("etag").is_some());
        if answer.header("stream-closed").is_some() {
            break;
        }
        let next = answer.header("stream-cursor").unwrap().to_owned();
        assert!(cursor.is_empty() || next.parse::<u64>().unwrap() > cursor.parse().unwrap(), "{cursor} then {next}");
        cursor = next;
    }
    assert!(polls > 3, "{polls}: some of them waited");
    harness.ended(&id).await;
    assert_eq!(events, harness.events(&id).await);
    let after = read(&harness, &id, &format!("?offset={at}&live=long-poll")).await;
    assert_eq!((after.status, after.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(after.header("stream-closed"), Some("true"));
    assert_eq!(after.header("stream-up-to-date"), Some("true"));
    assert_eq!(after.header("stream-next-offset"), Some(at.as_str()));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_poll_times_out_and_wakes_at_the_end() {
    let (harness, _playback, id) = stalled(&[("LONGHAND_LONG_POLL_MS", "400")]).await;
    let tail = read(&harness, &id, "?offset=now").await.header("stream-next-offset").unwrap().to_owned();
    for at in ["now", &tail] {
        let asked = Instant::now();
        let answer = read(&harness, &id, &format!("?offset={at}&live=long-poll")).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""));
        assert!(asked.elapsed() >= Duration::from_millis(400));
        assert_eq!(answer.header("stream-next-offset"), Some(tail.as_str()));
        assert_eq!(answer.header("stream-up-to-date"), Some("true"));
        assert_eq!(answer.header("stream-closed"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("stream-cursor").unwrap().parse::<u64>().unwrap() > 0);
    }
    let query = format!("?offset={tail}&live=long-poll");
    let (polled, ()) = futures::join!(read(&harness, &id, &query), cancel(&harness, &id));
    assert_eq!(polled.status, StatusCode::OK);
    assert_eq!(polled.header("stream-closed"), Some("true"));
    assert_eq!(polled.events().last().unwrap()["type"], "cancelled");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pair_and_reach_the_end() {
    let (harness, _playback) = Harness::playing(slow(), &[]).await;
    let id = harness.start_generation(json!({})).await;
    let live = frames(&read(&harness, &id, "?offset=-1&live=sse").await);
    harness.ended(&id).await;
    let events = harness.events(&id).await;
    assert_eq!(paired(&live, 0), events);
    assert!(live.len() > 6, "as it was written: {}", live.len());
    let ends = live.iter().filter(|(_, data)| data["streamClosed"] == true).count();
    assert_eq!((ends, &live.last().unwrap().1["streamClosed"]), (1, &json!(true)));
    assert_eq!(live.last().unwrap().1["upToDate"], true);
    for from in [0, 7, events.len() - 1, events.len()] {
        let rest = frames(&read(&harness, &id, &format!("?offset={}&live=sse", offset(from))).await);
        assert_eq!(paired(&rest, from), events[from..], "from {from}");
        assert_eq!(rest.last().unwrap().1["streamClosed"], true);
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_is_kept_alive() {
    let env = [("LONGHAND_SSE_KEEP_ALIVE_MS", "150"), ("LONGHAND_SSE_CONNECTION_MS", "1000")];
    let (harness, _playback, id) = stalled(&env).await;
    let asked = Instant::now();
    let now = frames(&read(&harness, &id, "?offset=now&live=sse").await);
    assert!(asked.elapsed() >= Duration::from_secs(1), "it was the server who ended it, in time");
    assert!((2..=7).contains(&now.len()), "the place at once, and a sign of life every 150 ms: {}", now.len());
    for (name, control) in &now {
        assert_eq!((name.as_str(), &control["upToDate"], &control["streamClosed"]), ("control", &json!(true), &Value::Null));
        assert_eq!(control["streamNextOffset"], now[0].1["streamNextOffset"]);
    }
    let all = frames(&read(&harness, &id, "?offset=-1&live=sse").await);
    let stored = harness.get(&format!("generations/{id}/events")).await.1["data"].clone();
    assert_eq!(json!(paired(&all, 0)), stored);
    assert_eq!(all[1].1["upToDate"], true, "everything was out with the first data");
    cancel(&harness, &id).await;
    let rest =
        frames(&read(&harness, &id, &format!("?offset={}&live=sse", all[1].1["streamNextOffset"].as_str().unwrap())).await);
    assert_eq!(paired(&rest, stored.as_array().unwrap().len()).last().unwrap()["type"], "cancelled");
    assert_eq!(rest.last().unwrap().1["streamClosed"], true);
    harness.finish().await;
}
