//! Runs of pipelines, at the HTTP edge of the embedded stack.

mod crashes;
mod edn360;
mod kept;
mod life;
mod width;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhand_local::Options;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use longhand_tests::{Harness, PATIENCE, environment};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(10);

/// How a step's tries go, one after the other; then they go well.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// The stream breaks off.
    Breaks,
    /// The answer is no JSON.
    IsNoJson,
    /// The provider refuses it.
    Refused,
    /// It takes for as long as the scene does.
    Endless,
}

/// What the provider was asked, and what it is to do.
#[derive(Default)]
pub struct Plan {
    fates: HashMap<String, Vec<Fate>>,
    asked: Vec<(String, Value)>,
}

/// A stack with a provider that answers each step with a JSON object that names it. A prompt begins with the step's id and a colon.
pub struct Scene {
    pub harness: Harness,
    pub plan: Arc<Mutex<Plan>>,
    _provider: Hostile,
}

/// The last message that the caller's side said.
fn prompt(body: &Value) -> &str {
    body["messages"].as_array().and_then(|messages| messages.last()).and_then(|last| last["content"].as_str()).unwrap_or_default()
}

/// The first of them, which names the step.
pub fn step_of(body: &Value) -> String {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let first = messages.iter().find(|message| message["role"] == "user").cloned().unwrap_or_default();
    first["content"].as_str().unwrap_or_default().split(':').next().unwrap_or_default().to_owned()
}

fn answer(plan: &Mutex<Plan>, body: &Value) -> Script {
    let step = step_of(body);
    let fate = {
        let mut plan = plan.lock().unwrap();
        plan.asked.push((step.clone(), body.clone()));
        let fates = plan.fates.entry(step.clone()).or_default();
        if fates.is_empty() { None } else { Some(fates.remove(0)) }
    };
    match fate {
        None => Script::stream([wire::whole(&[&json!({ "step": step, "n": 0.78 }).to_string()])]),
        Some(Fate::Breaks) => Script::stream([wire::text("{\"st")]).ending(Ending::Reset),
        Some(Fate::IsNoJson) => Script::stream([wire::whole(&["I would rather not."])]),
        Some(Fate::Refused) => {
            Script::plain("400 Bad Request", "application/json", r#"{"error":{"message":"no","type":"invalid_request_error"}}"#)
        }
        Some(Fate::Endless) => Script::stream(std::iter::repeat_n(wire::text(" "), 100_000)).paced(Duration::from_millis(50)),
    }
}

impl Scene {
    pub async fn start() -> Self {
        Self::without(&[], Options::default(), &[]).await
    }

    /// A stack whose template has lost the events of these names.
    pub async fn without(events: &[&str], options: Options, env: &[(&str, &str)]) -> Self {
        let plan = Arc::<Mutex<Plan>>::default();
        let provider = {
            let plan = Arc::clone(&plan);
            Hostile::improvising("test", move |_, body| answer(&plan, body)).await
        };
        let env = environment(&provider.base_url("test"), env);
        let harness = Harness::without(events, Options { env, authorize: true, ..options }).await;
        Self { harness, plan, _provider: provider }
    }

    /// The step's next tries go so.
    pub fn fate(&self, step: &str, fates: impl IntoIterator<Item = Fate>) {
        self.plan.lock().unwrap().fates.insert(step.to_owned(), fates.into_iter().collect());
    }

    /// The steps that the provider was asked for, in that order.
    pub fn asked(&self) -> Vec<String> {
        self.plan.lock().unwrap().asked.iter().map(|(step, _)| step.clone()).collect()
    }

    /// The last thing that the provider was told, in each request for the step.
    pub fn prompts(&self, step: &str) -> Vec<String> {
        let plan = self.plan.lock().unwrap();
        plan.asked.iter().filter(|(asked, _)| asked == step).map(|(_, body)| prompt(body).to_owned()).collect()
    }

    /// Sends a request, and checks the answer against the API's document.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.harness.http.request(method.parse().unwrap(), self.harness.url_of(&format!("/v1/{path}")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.harness.send(request.build().unwrap()).await
    }

    /// The same, where it must succeed.
    pub async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, &[], Some(body)).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.harness.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Publishes a document.
    pub async fn publish(&self, document: &Value) {
        self.done("PUT", &format!("pipelines/{}", document["name"].as_str().unwrap()), document).await;
    }

    /// Starts a run, and returns its id.
    pub async fn run(&self, body: &Value) -> String {
        let run = self.done("POST", "runs", body).await;
        run["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a run is so, and returns it.
    pub async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let run = self.get(&format!("runs/{id}")).await;
            if is_so(&run) {
                return run;
            }
            assert!(began.elapsed() < PATIENCE, "{run} {}", self.get(&format!("runs/{id}/steps")).await);
            sleep(PAUSE).await;
        }
    }

    /// Waits until a run has ended, and returns it.
    pub async fn ended(&self, id: &str) -> Value {
        self.until(id, |run| !run["ended_at"].is_null()).await
    }

    /// The steps of a run and how they are: `A=completed`.
    pub async fn statuses(&self, id: &str) -> String {
        let steps = self.get(&format!("runs/{id}/steps")).await;
        let steps = steps["data"].as_array().unwrap().iter();
        let statuses = steps.map(|step| format!("{}={}", step["id"].as_str().unwrap(), step["status"].as_str().unwrap()));
        statuses.collect::<Vec<_>>().join(" ")
    }
}

/// Three steps one after the other, the second of which takes a JSON object only; and their result as the next version of a subject.
pub fn chain() -> Value {
    json!({
        "longhand": "pipeline/1",
        "name": "chain",
        "input": {
            "type": "object", "required": ["topic"],
            "properties": { "topic": { "type": "string", "minLength": 1 }, "peso": { "type": "string", "pattern": "^[1-9][0-9]*$", "description": "a positive number, as text: \"78\"" } },
        },
        "limits": { "timeout": "30m", "max_parallel": 2 },
        "phases": { "one": "One", "two": "Two" },
        "defaults": { "provider": "test", "model": "m", "retries": 2, "output": { "type": "object", "required": ["step"] } },
        "steps": [
            { "id": "A", "phase": "one", "title": "First", "prompt": "A: {{ input.topic }}" },
            { "id": "B", "phase": "one", "title": "Second", "prompt": "B: {{ steps.A.output | json }}", "feedback": true },
            { "id": "C", "phase": "two", "title": "Third", "prompt": "C: {{ steps.B.output.step }} {{ steps.B.output.n }}" },
        ],
        "result": { "last": "steps.C.output", "number": "steps.B.output.n" },
        "checks": [{ "expression": "result.number > 0", "message": "the number is positive" }],
        "subject": "plan:{{ input.topic }}",
    })
}
