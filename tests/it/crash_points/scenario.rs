//! One generation's whole life under a plan of faults, and what is wrong with how it ended.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use longhand::event::{Event, NumberedEvent};
use longhand::{App, Clock, GenerationId, Organization};
use longhand_local::{Options, Playback, Script, Stack};
use longhand_tests::faults::{Faults, Made, Mode};
use longhand_tests::{PATIENCE, environment, start_stack, template_without};
use serde_json::{Value, json};

use super::invariants;

/// What one round of looking waits for.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// Nothing runs and nothing has come in so many looks: nothing more will, but for the sweep. Looks, and no time: a machine that
/// is busy is slow at looking too.
const IDLE_LOOKS: u32 = 6;
/// How long the others have for their work while a call is late.
const MEANWHILE: Duration = Duration::from_millis(150);
/// Between two sweeps, by the product's clock. On AWS it is a minute; here, a little more than any lease and any pause.
const SWEEP_EVERY: Duration = Duration::from_secs(90);
/// Each fault is found within two sweeps.
const SWEEPS_PER_FAULT: usize = 2;

/// Its TLS roots take longer to load than a life lasts.
static HTTP: OnceLock<reqwest::Client> = OnceLock::new();

/// What a run came to.
pub struct Life {
    /// The calls that left the functions.
    pub made: Vec<Made>,
    /// The sweeps that were needed.
    pub sweeps: usize,
    /// What does not hold. Empty: all does.
    pub violations: Vec<String>,
}

/// The text that the provider says.
pub fn script() -> Script {
    let deltas = ["{\"score\": ", "0", ".", "78", ", \"names\": [\"año\", ", "\"0\"", "]", "}"];
    Script { tempo: 400.0, ..Script::new(deltas) }
}

/// A generation under `plan`.
pub async fn live(plan: &[(usize, Mode)]) -> Life {
    let provider = Playback::start(script()).expect("the provider starts");
    let faults = Faults::new(plan.iter().copied());
    let clock = Clock::system();
    let env = [("LONGHAND_UNWATCHED_WINDOW_MS", "1"), ("AWS_MAX_ATTEMPTS", "1")];
    let options = Options {
        env: environment(provider.base_url(), &env),
        clock: clock.clone(),
        retry_delay: Duration::from_millis(1),
        taps: Some(faults.taps()),
        ..Options::default()
    };
    let stack = Arc::new(start_stack(options, &template_without(&["EveryMinute"]), faults.registry()).await);
    let run = Run { app: stack.app().await.expect("an app"), stack: Arc::clone(&stack), faults: faults.clone(), clock };
    let late = (Arc::downgrade(&stack), run.clock.clone());
    faults.meanwhile(move || {
        let (stack, clock) = late.clone();
        async move {
            if let Some(stack) = stack.upgrade() {
                clock.advance(SWEEP_EVERY);
                drop(stack.invoke("sweep", json!({})).await);
                tokio::time::sleep(MEANWHILE).await;
            }
        }
    });
    let life = run.to_the_end(plan, &provider).await;
    drop(run);
    if let Some(stack) = Arc::into_inner(stack) {
        stack.shutdown().await;
    }
    life
}

pub struct Run {
    pub app: App,
    pub stack: Arc<Stack>,
    pub faults: Faults,
    pub clock: Clock,
}

impl Run {
    async fn to_the_end(&self, plan: &[(usize, Mode)], provider: &Playback) -> Life {
        let mut violations = Vec::new();
        let mut sweeps = 0;
        if let Some(id) = self.start(plan.len(), &mut violations).await {
            let mut seen = Vec::new();
            sweeps = self.watch(&id, plan.len(), &mut seen, &mut violations).await;
            if violations.is_empty() {
                invariants::check(self, &id, &seen, provider, &mut violations).await;
            }
        }
        Life { made: self.faults.made(), sweeps, violations }
    }

    /// A client that tries again with the same key, as clients do.
    async fn start(&self, faults: usize, violations: &mut Vec<String>) -> Option<GenerationId> {
        let http = HTTP.get_or_init(reqwest::Client::new);
        let body = json!({ "provider": "test", "model": "m", "prompt": "Hola" });
        let mut answers = Vec::new();
        for _ in 0..=faults {
            let post = http.post(format!("{}/v1/generations", self.stack.url())).header("idempotency-key", "one").json(&body);
            let answer = post.send().await.expect("an answer");
            if answer.status() == 202 {
                let started: Value = answer.json().await.expect("JSON");
                return started["id"].as_str().and_then(|id| id.parse().ok());
            }
            answers.push(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()));
        }
        violations.push(format!("no try was accepted: {answers:?}"));
        None
    }

    /// Reads the log as it grows, and sweeps when nothing moves any more.
    async fn watch(
        &self,
        id: &GenerationId,
        faults: usize,
        seen: &mut Vec<NumberedEvent>,
        violations: &mut Vec<String>,
    ) -> usize {
        let (began, mut sweeps, mut idle_looks) = (Instant::now(), 0, 0);
        loop {
            let after = seen.last().map(|event| event.seq);
            match self.app.events(&organization(), id, after, None).await {
                Ok(page) => {
                    let moves = !page.data.is_empty() || !self.faults.is_idle();
                    idle_looks = if moves { 0 } else { idle_looks + 1 };
                    seen.extend(page.data);
                }
                Err(error) => violations.push(format!("a reader was told {error}")),
            }
            let generation = self.app.get(&organization(), id).await.expect("the generation");
            if generation.compacted_at.is_some() {
                return sweeps;
            }
            if idle_looks > IDLE_LOOKS {
                if sweeps == SWEEPS_PER_FAULT * faults.max(1) {
                    violations.push(format!("it is still {:?} after {sweeps} sweeps", generation.status));
                    return sweeps;
                }
                sweeps += 1;
                self.clock.advance(SWEEP_EVERY);
                drop(self.stack.invoke("sweep", json!({})).await);
                idle_looks = 0;
            }
            if began.elapsed() > PATIENCE {
                violations.push(format!("it has not come to an end: {:?}", generation.status));
                return sweeps;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Whose generation it is.
pub fn organization() -> Organization {
    "local".parse().expect("an organization")
}

/// The text of the events that are in the result.
pub fn text_of(events: &[NumberedEvent]) -> String {
    let mut text = String::new();
    for NumberedEvent { event, .. } in events {
        match event {
            // The item is given up: it is no part of the result.
            Event::OutputItemDone { complete: false, .. } => text.clear(),
            Event::OutputTextDelta(stretch) => text.push_str(&stretch.delta),
            _ => {}
        }
    }
    text
}
