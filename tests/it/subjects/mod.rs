//! Subjects and their versions, at the HTTP edge of the embedded stack.

mod compare;
mod keeping;
mod races;
mod versions;

use std::ops::Deref;
use std::time::{Duration, Instant};

use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(10);

/// A stack whose provider says what it is asked to say.
pub struct Scene {
    pub harness: Harness,
    _echo: Hostile,
}

impl Deref for Scene {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl Scene {
    pub async fn start() -> Self {
        Self::with(&[], Options::default()).await
    }

    /// With these options, and without the template's events of these names.
    pub async fn with(without: &[&str], options: Options) -> Self {
        let echo = Hostile::improvising("test", |_, body| {
            Script::stream([wire::whole(&[body["messages"][0]["content"].as_str().unwrap_or_default()])])
        })
        .await;
        let env = environment(&echo.base_url("test"), &[]);
        let harness = Harness::without(without, Options { env, ..options }).await;
        Self { harness, _echo: echo }
    }

    /// Sends a request, and checks the answer against the API's document.
    pub async fn ask(&self, method: &str, path: &str, if_match: Option<u64>, body: Option<&Value>) -> (StatusCode, Value) {
        let number = if_match.map(|number| format!("\"{number}\""));
        let headers: Vec<(&str, &str)> = number.iter().map(|number| ("if-match", number.as_str())).collect();
        self.harness.ask(method, path, &headers, body).await
    }

    /// Generates a text for a subject, and returns the generation's record.
    pub async fn generate(&self, subject: &str, text: &str) -> Value {
        let id = self.harness.start_generation(json!({ "prompt": text, "subject": subject })).await;
        self.harness.ended(&id).await
    }

    /// Waits until a subject has a version of this number, and returns that.
    pub async fn version(&self, subject: &str, number: u64) -> Value {
        let began = Instant::now();
        loop {
            let (status, version) = self.harness.get(&format!("subjects/{subject}/versions/{number}")).await;
            if status == StatusCode::OK {
                return version;
            }
            assert!(began.elapsed() < PATIENCE, "{subject} has no version {number}: {version}");
            sleep(PAUSE).await;
        }
    }

    /// The versions of a subject, oldest first, which must have the numbers 1, 2, 3 ….
    pub async fn all(&self, subject: &str) -> Vec<Value> {
        let page = self.found(&format!("subjects/{subject}/versions?limit=100")).await;
        let mut versions = page["data"].as_array().unwrap().clone();
        versions.reverse();
        let numbers: Vec<u64> = versions.iter().map(|version| version["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=versions.len() as u64).collect::<Vec<_>>(), "without gaps and doubles");
        versions
    }

    /// The text of a version.
    pub async fn text(&self, subject: &str, number: u64) -> String {
        let output = self.found(&format!("subjects/{subject}/versions/{number}/output")).await;
        output["text"].as_str().unwrap().to_owned()
    }

    /// A record with its outcome, as the table's stream tells `settle`.
    pub fn ended_event(id: &str) -> Value {
        let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/settle.json")).unwrap();
        event["Records"][0]["dynamodb"]["Keys"]["pk"] = json!({ "S": format!("local#{id}") });
        event
    }
}
