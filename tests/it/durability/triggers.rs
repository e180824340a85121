//! Triggers as they really come: twice, late, in any order, in batches with one that cannot be done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use lambda_runtime::{Context, LambdaEvent};
use longhand::Clock;
use longhand_functions::{EventHandler, Function};
use longhand_local::{Options, Playback, Registry, Script, TEMPLATE};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, PATIENCE, assert_whole, environment, key_of, start_stack, template_without};
use serde_json::{Value, json};

const GENERATIONS: usize = 12;

fn text() -> Script {
    Script { deltas: (0..40).map(|number| format!("{number} ")).collect(), ..Script::default() }
}

/// The product's functions, with what `change` makes of the event handlers.
fn changed(change: impl Fn(&str, EventHandler) -> EventHandler + Send + Sync + 'static) -> Registry {
    Arc::new(move |name, app| match longhand_functions::function(name, app)? {
        Function::Event(handler) => Some(Function::Event(change(name, handler))),
        http => Some(http),
    })
}

async fn start(playback: &Playback, template: &str, registry: Registry) -> Harness {
    let options = Options {
        env: environment(playback.base_url(), &[]),
        retry_delay: Duration::from_millis(1),
        clock: Clock::system(),
        ..Options::default()
    };
    Harness::over(start_stack(options, template, registry).await)
}

fn event(payload: &Value) -> LambdaEvent<Value> {
    LambdaEvent::new(payload.clone(), Context::default())
}

async fn all_completed(harness: &Harness, ids: &[String]) {
    for id in ids {
        let record = harness.ended(id).await;
        assert_eq!(record["status"], "completed", "{record}");
        assert_eq!(harness.text(id).await, text().text());
        assert_whole(&harness.events(id).await);
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_triggers_change_nothing() {
    let playback = play(text()).unwrap();
    // Side by side, and once more when both are done.
    let registry = changed(|_, handler| {
        Arc::new(move |first: LambdaEvent<Value>| {
            let handler = handler.clone();
            Box::pin(async move {
                let event = || LambdaEvent::new(first.payload.clone(), first.context.clone());
                let (one, other) = futures::join!(handler(event()), handler(event()));
                other?;
                handler(event()).await?;
                one
            })
        })
    });
    let harness = start(&playback, TEMPLATE, registry).await;
    let ids = join_all((0..GENERATIONS).map(|_| harness.start_generation(json!({})))).await;
    all_completed(&harness, &ids).await;
    assert_eq!(playback.stats().requests, GENERATIONS as u64, "each was asked for once");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_chunks_compact_in_any_order() {
    let playback = play(text()).unwrap();
    let (seen, is_held): (Arc<Mutex<Vec<Value>>>, _) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    let registry = {
        let (seen, is_held) = (Arc::clone(&seen), Arc::clone(&is_held));
        changed(move |name, handler| {
            if name != "compact" {
                return handler;
            }
            let (seen, is_held) = (Arc::clone(&seen), Arc::clone(&is_held));
            Arc::new(move |event: LambdaEvent<Value>| {
                if !is_held.load(Ordering::Relaxed) {
                    return handler(event);
                }
                seen.lock().unwrap().extend(event.payload["Records"].as_array().unwrap().iter().cloned());
                Box::pin(std::future::ready(Ok(json!({ "batchItemFailures": [] }))))
            })
        })
    };
    let harness = start(&playback, &template_without(&["EveryMinute"]), registry).await;
    let ids = join_all((0..GENERATIONS).map(|_| harness.start_generation(json!({})))).await;
    until("all have ended", async || seen.lock().unwrap().len() == GENERATIONS).await;
    is_held.store(false, Ordering::Relaxed);

    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    // Each twice, dealt into batches that run side by side.
    let mut records: Vec<Value> = seen.lock().unwrap().clone();
    records.extend(records.clone());
    dice.shuffle(&mut records);
    let batches: Vec<Value> = records.chunks(dice.usize(1..=7)).map(|batch| json!({ "Records": batch })).collect();
    for answer in join_all(batches.iter().map(|batch| harness.stack.invoke("compact", batch.clone()))).await {
        assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }));
    }
    all_completed(&harness, &ids).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_record_fails_alone() {
    let playback = play(text()).unwrap();
    let is_held = Arc::new(AtomicBool::new(true));
    let registry = {
        let is_held = Arc::clone(&is_held);
        // A batch that was not delivered comes again, with whatever has joined it.
        changed(move |name, handler| {
            let is_held = Arc::clone(&is_held);
            let waits = name == "compact";
            Arc::new(move |event: LambdaEvent<Value>| {
                let (handler, is_held) = (handler.clone(), Arc::clone(&is_held));
                Box::pin(async move {
                    while waits && is_held.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    handler(event).await
                })
            })
        })
    };
    let harness = start(&playback, &template_without(&["EveryMinute"]), registry).await;
    let mut ids = Vec::new();
    for number in 0..GENERATIONS {
        let id = harness.start_generation(json!({})).await;
        until("its log ends", async || harness.events(&id).await.last().is_some_and(|event| event["type"] == "completed")).await;
        ids.push(id);
        if number == GENERATIONS / 2 {
            poison(&harness).await;
        }
    }
    is_held.store(false, Ordering::Relaxed);
    all_completed(&harness, &ids).await;
    until("the poison is given up", async || !harness.stack.failures().await.is_empty()).await;
    let failures = harness.stack.failures().await;
    assert_eq!(failures.len(), 1, "{failures:#?}");
    assert_eq!(failures[0]["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(failures[0]["DDBStreamBatchInfo"]["batchSize"], 1, "alone");
    for id in &ids {
        assert_eq!(harness.get(&format!("generations/{id}")).await.1["compacted_by"], "compact", "the trigger did them all");
    }
    harness.stack.shutdown().await;
}

/// A terminal chunk whose partition is no generation's.
async fn poison(harness: &Harness) {
    let config = harness.config("compact");
    let clients = harness.clients().await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = clients.dynamodb.put_item().table_name(&config.buffer_table).item("pk", text("poison"));
    put.item("sk", text("000000000000")).item("end", text("completed")).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_after_purge_succeeds() {
    let playback = play(text()).unwrap();
    let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let registry = {
        let seen = Arc::clone(&seen);
        changed(move |name, handler| {
            let (seen, name) = (Arc::clone(&seen), name.to_owned());
            Arc::new(move |event: LambdaEvent<Value>| {
                seen.lock().unwrap().push((name.clone(), event.payload.clone()));
                handler(event)
            })
        })
    };
    let harness = start(&playback, &template_without(&["EveryMinute"]), registry.clone()).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let app = harness.stack.app().await.unwrap();
    app.purge(&key_of(&id)).await.unwrap();
    let late = seen.lock().unwrap().clone();
    assert!(late.len() >= 2, "stream and compact: {late:?}");
    for (name, payload) in late {
        let Some(Function::Event(handler)) = longhand_functions::function(&name, app.clone()) else { panic!("{name}") };
        let answer = handler(event(&payload)).await.unwrap();
        // `meter` answers with the state of its window.
        let is_done = answer["outcome"] == "gone" || answer["batchItemFailures"] == json!([]) || answer["state"].is_object();
        assert!(is_done, "{name}: {answer}");
    }
    assert_eq!(playback.stats().requests, 1);
    harness.finish().await;
}
