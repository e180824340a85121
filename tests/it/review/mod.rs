//! What is accepted, imported and decided, at the HTTP edge of the embedded stack; and what the audit tells of it.

mod accepting;
mod auditing;
mod crashes;
mod deciding;
mod importing;
mod postgres;

use std::ops::Deref;
use std::time::Duration;

use longhand::Clock;
use longhand_local::Options;
use longhand_tests::faults::Faults;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment, start_stack, template_without};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The subject of the tests.
pub const SUBJECT: &str = "scenario:59";

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

/// A provider that says what it is asked to say.
pub async fn echo() -> Hostile {
    Hostile::improvising("test", |_, body| {
        Script::stream([wire::whole(&[body["messages"][0]["content"].as_str().unwrap_or_default()])])
    })
    .await
}

impl Scene {
    /// A stack that imports.
    pub async fn start() -> Self {
        Self::with(&[("LONGHAND_IMPORT_GENERATION", "true")]).await
    }

    /// A stack with these settings.
    pub async fn with(env: &[(&str, &str)]) -> Self {
        let echo = echo().await;
        let env = environment(&echo.base_url("test"), env);
        Self { harness: Harness::with(Options { env, ..Options::default() }).await, _echo: echo }
    }

    /// A stack that imports, without its schedule, whose calls meet a plan.
    pub async fn faulty(faults: &Faults, clock: &Clock) -> Self {
        let echo = echo().await;
        let options = Options {
            env: environment(&echo.base_url("test"), &[("LONGHAND_IMPORT_GENERATION", "true"), ("AWS_MAX_ATTEMPTS", "1")]),
            clock: clock.clone(),
            retry_delay: Duration::from_millis(1),
            parts: faults.parts(),
            ..Options::default()
        };
        let stack = start_stack(options, &template_without(&["EveryMinute"]), faults.registry(clock)).await;
        Self { harness: Harness::over(stack), _echo: echo }
    }

    /// A completed generation that says so, about a subject.
    pub async fn generated(&self, subject: &str, text: &str) -> String {
        let id = self.start_generation(json!({ "prompt": text, "subject": subject })).await;
        let record = self.ended(&id).await;
        assert_eq!(record["status"], "completed", "{record}");
        id
    }

    /// Accepts a generation.
    pub async fn accept(&self, id: &str, body: &Value) -> (StatusCode, Value) {
        self.harness.ask("POST", &format!("generations/{id}/accept"), &[], Some(body)).await
    }

    /// Accepts and imports an answer for [`SUBJECT`], and returns the import.
    pub async fn imported(&self, answer: &Value) -> Value {
        let id = self.generated(SUBJECT, &answer.to_string()).await;
        let (status, accepted) = self.accept(&id, &json!({ "import": true, "replace": true })).await;
        assert_eq!(status, StatusCode::CREATED, "{accepted}");
        accepted["import"].clone()
    }

    /// Every entity of a subject, by id.
    pub async fn entities(&self, query: &str) -> Vec<Value> {
        let page = self.found(&format!("subjects/{SUBJECT}/entities?limit=1000{query}")).await;
        assert_eq!(page["has_more"], false);
        page["data"].as_array().unwrap().clone()
    }

    /// Decides entities.
    pub async fn decide(&self, act: &str, body: &Value) -> Value {
        self.done("POST", &format!("subjects/{SUBJECT}/entities/{act}"), body).await
    }

    /// The whole audit, oldest first.
    pub async fn audit(&self) -> Vec<Value> {
        let (mut entries, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.found(&format!("audit?order=asc&limit=1000{after}")).await;
            entries.extend(page["data"].as_array().unwrap().clone());
            if page["has_more"] != true {
                return entries;
            }
            after = format!("&after={}", page["last_id"].as_str().unwrap());
        }
    }
}

/// A scenario with two capabilities, one of which has competencies and skills, and a role.
pub fn small() -> Value {
    json!({
        "scenario_metadata": { "name": "Small" },
        "capabilities": [
            { "id": "c1", "name": "Data", "competencies": [{ "name": "Modelling", "skills": ["SQL", { "name": "Python" }] }] },
            { "id": "c2", "name": "People" },
        ],
        "suggested_roles": [{ "name": "Analyst", "estimated_fte": 1.5 }],
    })
}

/// A report without the ids, which are the entities' own.
pub fn without_ids(report: &Value) -> Value {
    let mut report = report.clone();
    for entries in report.as_object_mut().unwrap().values_mut() {
        for entry in entries.as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().remove("id");
        }
    }
    report
}
