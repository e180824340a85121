//! Statistics at the HTTP edge of the embedded stack: what ended is counted once, however often it is told.

mod counting;
mod faults;
mod redelivery;

use std::time::{Duration, Instant};

use longhand_local::Options;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Api, Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(20);
/// Micro-dollars for a million tokens: one for each of a prompt, two for each of an answer. The model `free` has none.
const PRICES: &str = r#"{"test":{"m":{"input":1000000,"output":2000000},"n/2":{"input":3000000,"output":0}}}"#;

/// A stack of the organization `acme`, whose provider repeats what it is asked.
pub struct Scene {
    pub harness: Harness,
    pub acme: Api,
    _echo: Hostile,
}

impl Scene {
    /// Without the template's events of these names.
    pub async fn without(events: &[&str]) -> Self {
        Self::with(events, Options::default()).await
    }

    /// The same with these options.
    pub async fn with(without: &[&str], options: Options) -> Self {
        let echo = Hostile::improvising("test", |_, body| match body["messages"][0]["content"].as_str().unwrap_or_default() {
            "stall" => Script::stream([wire::role(), wire::text("uno")]).ending(Ending::Stall),
            "cut short" => Script::stream([[wire::role(), wire::text("uno"), wire::finish("length")].concat()]),
            "refuse" => Script::plain("400 Bad Request", "application/json", "{}"),
            text => Script::stream([wire::whole(&[text])]),
        })
        .await;
        let env = environment(&echo.base_url("test"), &[("LONGHAND_PRICES", PRICES)]);
        let options = Options { authorize: true, organization: "acme".to_owned(), env, ..options };
        let harness = Harness::without(without, options).await;
        let acme = harness.with_key(&harness.stack.key().unwrap().text);
        Self { harness, acme, _echo: echo }
    }
}

/// Generates a text, and returns the record.
pub async fn generate(api: &Api, request: Value) -> Value {
    let id = api.start_generation(request).await;
    api.ended(&id).await
}

/// What an organization is told.
pub async fn usage(api: &Api, query: &str) -> Value {
    let (status, usage) = api.get(&format!("usage{query}")).await;
    assert_eq!(status, StatusCode::OK, "{usage}");
    usage
}

/// The same, as soon as so many generations are counted.
pub async fn counted(api: &Api, generations: u64, query: &str) -> Value {
    let began = Instant::now();
    loop {
        let usage = usage(api, query).await;
        if usage["total"]["generations"]["total"].as_u64().unwrap() >= generations {
            return usage;
        }
        assert!(began.elapsed() < PATIENCE, "not counted: {usage}");
        sleep(PAUSE).await;
    }
}

/// Whether a figure of a histogram is that of this value.
pub fn is_near(told: &Value, exact: u64) -> bool {
    told.as_u64().is_some_and(|told| told.abs_diff(exact) <= exact / 32)
}

/// The figures of generations of which nothing is known but how many completed.
pub fn nothing_but_counts(group: &Value) -> Value {
    json!([group["model"], group["generations"]["total"], group["generations"]["completed"]])
}
