//! Functions that are killed at random moments, under many generations at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use futures::{StreamExt, stream};
use longhand::Clock;
use longhand_functions::Function;
use longhand_local::{Options, Registry};
use longhand_tests::author::{Author, Prompt};
use longhand_tests::sampling::{number, rounds};
use longhand_tests::serial::turn;
use longhand_tests::{Harness, seed, start_stack, template_without};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// In a full run and in a sampled one; `LONGHAND_KILLS` sets another number.
const GENERATIONS: (u64, u64) = (120, 40);
const AT_ONCE: usize = 16;
const SWEEP_EVERY: Duration = Duration::from_millis(300);
/// After so many sweeps that found nothing to do, or so many of any kind, a minute passes at once. Writers that live are then
/// taken for dead, as by a clock that jumps.
const QUIET_SWEEPS: u32 = 6;
const BUSY_SWEEPS: u32 = 40;

/// How often a function is killed, in percent of its invocations, and how late.
const KILLED: [(&str, u8, u64); 4] = [("start", 20, 30), ("stream", 60, 400), ("compact", 30, 30), ("sweep", 20, 50)];

/// The dice, and what was killed how often.
#[derive(Clone)]
struct Killer(Arc<Mutex<(fastrand::Rng, BTreeMap<&'static str, usize>)>>);

impl Killer {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new((fastrand::Rng::with_seed(seed), BTreeMap::new()))))
    }

    /// Runs an invocation in a task of its own, which may be killed: then it is `None`.
    async fn run<F>(&self, name: &'static str, invocation: F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = AbortOnDropHandle::new(tokio::spawn(invocation));
        let Some(after) = self.throw(name) else { return task.await.ok() };
        let ended = timeout(after, task).await.ok().and_then(Result::ok);
        if ended.is_none() {
            *self.0.lock().unwrap().1.entry(name).or_default() += 1;
        }
        ended
    }

    fn throw(&self, name: &str) -> Option<Duration> {
        let (_, percent, latest_ms) = KILLED.iter().find(|(killed, ..)| *killed == name)?;
        let dice = &mut self.0.lock().unwrap().0;
        (dice.u8(0..100) < *percent).then(|| Duration::from_micros(dice.u64(0..latest_ms * 1_000)))
    }

    /// The product's functions, at its mercy.
    fn registry(&self) -> Registry {
        let killer = self.clone();
        Arc::new(move |name, app| {
            let function = longhand_functions::function(name, app)?;
            let Some((name, ..)) = KILLED.iter().find(|(killed, ..)| *killed == name) else { return Some(function) };
            let killer = killer.clone();
            Some(match function {
                Function::Event(handler) => Function::Event(Arc::new(move |event| {
                    let (killer, invocation) = (killer.clone(), handler(event));
                    Box::pin(async move { killer.run(name, invocation).await.unwrap_or_else(|| Err("killed".into())) })
                })),
                Function::Http(router) | Function::HttpStream(router) => {
                    Function::HttpStream(router.layer(from_fn(move |request: Request, next: Next| {
                        let killer = killer.clone();
                        async move {
                            let answer = killer.run(name, async move { next.run(request).await }).await;
                            answer.unwrap_or_else(|| StatusCode::BAD_GATEWAY.into_response())
                        }
                    })))
                }
            })
        })
    }
}

fn prompt(number: u64, dice: &mut fastrand::Rng) -> Prompt {
    let pieces = [0..2, 2..30, 30..300, 300..900][dice.usize(0..4)].clone();
    Prompt { number, pieces: dice.usize(pieces), pace: Duration::from_micros(dice.u64(0..2_000)) }
}

/// Sends a start until it is answered.
async fn start(harness: &Harness, prompt: Prompt, attempts: u64) -> String {
    let mut body = prompt.request();
    body["max_attempts"] = json!(attempts);
    let url = format!("{}/v1/generations", harness.stack.url());
    loop {
        let request = harness.api.http.post(&url).header("idempotency-key", prompt.number.to_string()).json(&body);
        let answer = harness.execute(request.build().unwrap()).await;
        if answer.status() == StatusCode::ACCEPTED {
            let started: Value = answer.json().await.unwrap();
            return started["id"].as_str().unwrap().to_owned();
        }
        assert!(answer.status().is_server_error(), "{}", answer.status());
    }
}

/// Sweeps often, so that a test is not the hours that its kills would be. A sweep may be killed too.
async fn sweep(harness: &Harness, clock: &Clock) {
    let (mut quiet, mut all) = (0, 0);
    loop {
        let swept = harness.stack.invoke("sweep", json!({})).await.unwrap_or_default();
        let is_quiet = swept["streamed"] == 0 && swept["compacted"] == 0;
        (quiet, all) = if is_quiet { (quiet + 1, all + 1) } else { (0, all + 1) };
        if quiet == QUIET_SWEEPS || all == BUSY_SWEEPS {
            clock.advance(Duration::from_mins(1));
            (quiet, all) = (0, 0);
        }
        sleep(SWEEP_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_lose_nothing() {
    let _turn = turn().await;
    let seed = seed();
    let generations = number("LONGHAND_KILLS").unwrap_or_else(|| rounds(GENERATIONS.0, GENERATIONS.1));
    let (author, killer, clock, began) = (Author::start().await, Killer::new(seed), Clock::system(), Instant::now());
    let providers = author.providers();
    let env = [("LONGHAND_PROVIDERS", &*providers), ("LONGHAND_LEASE_SECONDS", "1"), ("LONGHAND_MAX_RUNNING", "1000")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = Options { env, clock: clock.clone(), retry_delay: Duration::from_millis(50), ..Options::default() };
    let stack = start_stack(options, &template_without(&["EveryMinute"]), killer.registry()).await;
    let harness = Harness::over(stack);
    let mut dice = fastrand::Rng::with_seed(seed);
    let prompts: Vec<(Prompt, u64)> = (0..generations).map(|number| (prompt(number, &mut dice), dice.u64(1..=10))).collect();
    let all = stream::iter(&prompts).map(async |(prompt, attempts)| {
        let id = start(&harness, *prompt, *attempts).await;
        let end = prompt.end(&harness.api, &id).await;
        let events = harness.events(&id).await;
        (end, events.iter().filter(|event| event["type"] == "in_progress").count())
    });
    let all = all.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let ends = tokio::select! { ends = all => ends, () = sweep(&harness, &clock) => unreachable!("a sweep never ends") };
    assert_eq!(harness.api.count().await as u64, generations, "no start made two generations");
    let mut table: BTreeMap<(String, usize), usize> = BTreeMap::new();
    for end in ends {
        *table.entry(end).or_default() += 1;
    }
    println!("{generations} generations in {:.1} s, {} requests upstream", began.elapsed().as_secs_f64(), author.requests());
    println!("killed: {:?}", killer.0.lock().unwrap().1);
    println!("triggers and invokes that were given up, and left to the sweep: {}", harness.stack.failures().await.len());
    println!("{:<22} attempts generations", "end");
    for ((end, attempts), count) in table {
        println!("{end:<22} {attempts:<8} {count}");
    }
    harness.stack.shutdown().await;
}
