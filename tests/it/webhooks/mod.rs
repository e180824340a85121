//! Webhooks and notifications, from the HTTP edge of the embedded stack to receivers on loopback.

mod clients;
mod deliveries;
mod endpoints;
mod events;
mod inbox;
mod mail;
mod receiving;

use std::ops::Deref;
use std::time::Duration;

use longhand::notifications::delivery::DeliverJob;
use longhand::notifications::notify::Notify;
use longhand::notifications::{EventType, Notification};
use longhand::{App, Clock, Delivered};
use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

/// A stack whose provider says what it is asked to say.
pub struct Scene {
    pub harness: Harness,
    pub clock: Clock,
    _echo: Hostile,
}

impl Deref for Scene {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl Scene {
    /// With the time of the day, and everything that the template has.
    pub async fn live() -> Self {
        Self::with(&[], &[], Clock::system()).await
    }

    /// With a clock that stands still, no schedule, and nobody who sends: [`Self::send_due`] does.
    pub async fn still() -> Self {
        let env = [("LONGHAND_DELIVER_FUNCTION", "nobody"), ("LONGHAND_WEBHOOK_TIMEOUT_MS", "300")];
        Self::with(&["EveryMinute"], &env, Clock::manual()).await
    }

    async fn with(without: &[&str], env: &[(&str, &str)], clock: Clock) -> Self {
        let echo = Hostile::improvising("test", |_, body| {
            Script::stream([wire::whole(&[body["messages"][0]["content"].as_str().unwrap_or_default()])])
        })
        .await;
        let env = environment(&echo.base_url("test"), env);
        let harness = Harness::without(without, Options { env, clock: clock.clone(), ..Options::default() }).await;
        Self { harness, clock, _echo: echo }
    }

    /// Sends a request, and checks the answer against the API's document.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        self.harness.ask(method, path, &[], body).await
    }

    /// A new endpoint at `url` for these events, as its creation is answered.
    pub async fn endpoint(&self, url: &str, events: &[&str]) -> Value {
        self.done("POST", "webhooks", &json!({ "url": url, "events": events })).await
    }

    /// The deliveries to an endpoint, newest first.
    pub async fn deliveries(&self, endpoint: &Value) -> Vec<Value> {
        let page = self.found(&format!("webhooks/{}/deliveries?limit=100", endpoint["id"].as_str().unwrap())).await;
        page["data"].as_array().unwrap().clone()
    }

    /// Waits until every delivery to an endpoint has ended, of which there are so many.
    pub async fn delivered(&self, endpoint: &Value, count: usize) -> Vec<Value> {
        let began = std::time::Instant::now();
        loop {
            let all = self.deliveries(endpoint).await;
            if all.len() >= count && all.iter().all(|delivery| delivery["status"] != "pending") {
                return all;
            }
            assert!(began.elapsed() < longhand_tests::PATIENCE, "{all:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The functions' own app, at this scene's time.
    pub async fn app(&self, function: &str) -> App {
        self.harness.app(self.harness.config(function), self.clock.clone()).await
    }

    /// Makes something happen: a batch of this id ends.
    pub async fn happen(&self, batch: &str) -> Notification {
        let organization = "local".parse().unwrap();
        let counts = json!({ "total": 40, "completed": 38, "failed": 2 });
        let data = Map::from_iter([("status".to_owned(), json!("completed")), ("counts".to_owned(), counts)]);
        let now = self.clock.now_ms();
        let event = EventType::BatchCompleted;
        let happened = Notification::new(&organization, event, batch, now, data, &Notify::default());
        self.app("settle").await.fan_out(&happened).await.unwrap();
        happened
    }

    /// Sends what is due to an endpoint, each once.
    pub async fn send_due(&self, endpoint: &Value) -> Vec<Delivered> {
        let ids = self.deliveries(endpoint).await.into_iter().map(|delivery| delivery["id"].as_str().unwrap().parse().unwrap());
        let job = DeliverJob { organization: "local".parse().unwrap(), deliveries: ids.collect() };
        self.app("deliver").await.deliver(&job, Duration::ZERO).await.unwrap()
    }
}
