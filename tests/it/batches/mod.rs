//! Batches, at the HTTP edge of the embedded stack.

mod crashes;
mod ends;
mod field;
mod following;
mod life;
mod uploads;
mod width;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longhand_local::Options;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(10);
/// A prompt that the provider refuses: the request will not get better.
pub const REFUSED: &str = "refuse this request";
/// A prompt at which the provider fails the first time, and then no more.
pub const FLAKY: &str = "fail at first and then answer";
/// A prompt whose answer takes for as long as the scene does.
pub const ENDLESS: &str = "answer without an end";

/// A provider that says what it is asked to say, but for the prompts above.
async fn provider() -> Hostile {
    let flaky = Arc::new(Semaphore::new(1));
    Hostile::improvising("test", move |_, body| {
        let prompt = body["messages"][0]["content"].as_str().unwrap_or_default();
        match prompt {
            REFUSED => Script::plain(
                "400 Bad Request",
                "application/json",
                r#"{"error":{"message":"no","type":"invalid_request_error"}}"#,
            ),
            FLAKY if flaky.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_ok() => {
                Script::stream([wire::text("beg")]).ending(Ending::Reset)
            }
            ENDLESS => Script::stream(std::iter::repeat_n(wire::text("more "), 100_000)).paced(Duration::from_millis(50)),
            text => Script::stream([wire::whole(&[text])]),
        }
    })
    .await
}

/// A stack with that provider.
pub struct Scene {
    pub harness: Harness,
    _provider: Hostile,
}

impl Deref for Scene {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl Scene {
    pub async fn start() -> Self {
        Self::with(&[], Options::default(), &[]).await
    }

    /// With these options and variables, and without the template's events of these names.
    pub async fn with(without: &[&str], options: Options, env: &[(&str, &str)]) -> Self {
        let provider = provider().await;
        let env = environment(&provider.base_url("test"), env);
        let harness = Harness::without(without, Options { env, authorize: true, ..options }).await;
        Self { harness, _provider: provider }
    }

    /// An answer that is no JSON.
    pub async fn raw(&self, path: &str) -> Response {
        let answer = self.answer(path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer
    }

    /// An answer to a request with these headers.
    pub async fn answer(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.harness.http.get(self.harness.url_of(&format!("/v1/{path}")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.harness.execute(request.build().unwrap()).await
    }

    /// Starts a batch of these prompts, with these fields beside them, and returns its id.
    pub async fn batch(&self, prompts: &[&str], fields: Value) -> String {
        let items: Vec<Value> = prompts.iter().map(|prompt| json!({ "request": { "prompt": prompt } })).collect();
        let mut body = json!({ "items": items, "defaults": { "provider": "test", "model": "m" } });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let batch = self.done("POST", "batches", &body).await;
        assert_sums(&batch);
        batch["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a batch is so, and returns it.
    pub async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let batch = self.found(&format!("batches/{id}")).await;
            assert_sums(&batch);
            if is_so(&batch) {
                return batch;
            }
            assert!(began.elapsed() < PATIENCE, "{batch}");
            sleep(PAUSE).await;
        }
    }

    /// Waits until a batch has ended, and returns it.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, |batch| !batch["ended_at"].is_null()).await
    }

    /// All items of a batch.
    pub async fn items(&self, id: &str) -> Vec<Value> {
        let page = self.found(&format!("batches/{id}/items?limit=1000")).await;
        page["data"].as_array().unwrap().clone()
    }
}

/// Counts sum to the total, whatever happens.
pub fn assert_sums(batch: &Value) {
    let counts = batch["counts"].as_object().unwrap();
    let sum: u64 = counts.iter().filter(|(name, _)| *name != "total").map(|(_, count)| count.as_u64().unwrap()).sum();
    assert_eq!(counts["total"], sum, "{batch}");
}

/// How many items have each status, without the zeros.
pub fn counts(batch: &Value) -> Value {
    let counts = batch["counts"].as_object().unwrap();
    let told = counts.iter().filter(|(name, count)| *name != "total" && **count != json!(0));
    Value::Object(told.map(|(name, count)| (name.clone(), count.clone())).collect())
}
