//! One generation's whole life under a plan of faults, and what is wrong with how it ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longhand::log::event::{Event, NumberedEvent};
use longhand::{App, Clock, Config, GenerationId, Organization};
use longhand_local::{Options, Stack};
use longhand_tests::faults::{Faults, Made, Mode};
use longhand_tests::{PATIENCE, environment, key_of, start_stack};
use serde_json::json;

use super::caller::Caller;
use super::invariants;
use super::kind::{Kind, Upstream};

/// What one round of looking waits for.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// Nothing runs and nothing has come in so many looks: nothing more will, but for the sweep. Looks, and no time: a machine that
/// is busy is slow at looking too.
const IDLE_LOOKS: u32 = 6;
/// The same where an answer is open for as long as the log is, whether anyone writes it or not: then all that tells is the log.
const SILENT_LOOKS: u32 = 12;
/// How long the others have for their work while a call is late.
const MEANWHILE: Duration = Duration::from_millis(150);
/// Between two sweeps, by the product's clock. On AWS it is a minute; here, a little more than any lease and any pause.
const SWEEP_EVERY: Duration = Duration::from_secs(90);
/// Each fault is found within two sweeps.
const SWEEPS_PER_FAULT: usize = 2;

/// This only turns a hang into a violation.
const LIFE_MAX: Duration = Duration::from_mins(3);
/// Text that a caller wants to have seen before it cancels.
const CANCELLED_BEHIND_BYTES: usize = 4;

/// What a run came to.
pub struct Life {
    /// The calls that left the functions.
    pub made: Vec<Made>,
    /// The sweeps that were needed.
    pub sweeps: usize,
    /// What does not hold. Empty: all does.
    pub violations: Vec<String>,
}

/// A generation of a kind under `plan`.
pub async fn live(kind: Kind, plan: &[(usize, Mode)]) -> Life {
    let upstream = kind.upstream().await;
    let faults = Faults::new(plan.iter().copied());
    let clock = kind.clock();
    let providers = upstream.providers();
    let env = [
        ("LONGHAND_UNWATCHED_WINDOW_MS", "1"),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("LONGHAND_PROVIDERS", &providers),
        ("LONGHAND_MAX_GENERATIONS_PER_DAY", kind.generations_per_day()),
    ];
    let options = Options {
        env: environment("", &env),
        clock: clock.clone(),
        retry_delay: Duration::from_millis(1),
        parts: faults.parts(),
        ..Options::default()
    };
    let registry = faults.registry(&clock);
    let stack = Arc::new(start_stack(options, &kind.template(), registry).await);
    let late = (Arc::downgrade(&stack), clock.clone());
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
    let run = Run {
        kind,
        app: observer(&stack, &clock).await,
        caller: Caller::new(stack.url(), kind, plan.len()),
        stack: Arc::clone(&stack),
        faults: faults.clone(),
        clock,
        upstream,
    };
    let life = Box::pin(run.to_the_end(plan)).await;
    drop(run);
    if let Some(stack) = Arc::into_inner(stack) {
        stack.shutdown().await;
    }
    life
}

/// An app that tries again, as the SDK does: what it sees is not to be spoiled by a busy machine.
async fn observer(stack: &Stack, clock: &Clock) -> App {
    let environment = stack.environment("api");
    let given = |name: &str| environment.get(name).filter(|_| name != "AWS_MAX_ATTEMPTS").cloned();
    App::from_parts(Config::from_vars(&given).expect("the settings"), clock.clone(), stack.parts()).await
}

pub struct Run {
    pub kind: Kind,
    pub app: App,
    pub caller: Caller,
    pub upstream: Upstream,
    pub stack: Arc<Stack>,
    pub faults: Faults,
    pub clock: Clock,
}

impl Run {
    async fn to_the_end(&self, plan: &[(usize, Mode)]) -> Life {
        let mut violations = Vec::new();
        let mut sweeps = 0;
        match self.start().await {
            Ok(id) => {
                let mut seen = Vec::new();
                sweeps = self.watch(&id, plan.len(), &mut seen, &mut violations).await;
                if violations.is_empty() {
                    Box::pin(invariants::check(self, &id, &seen, &mut violations)).await;
                }
            }
            Err(wrong) => violations.push(wrong),
        }
        Life { made: self.faults.made(), sweeps, violations }
    }

    /// An attached start is answered with the log, and its first event may have to wait for a sweep. So it goes on by itself.
    async fn start(&self) -> Result<GenerationId, String> {
        if self.kind != Kind::Attached {
            return self.caller.start().await;
        }
        let caller = self.caller.clone();
        let attached = tokio::spawn(async move { caller.start().await });
        loop {
            let list = self.app.list(&organization(), &longhand::ListQuery::default()).await.expect("the list");
            match list.data.into_iter().next() {
                Some(generation) => return Ok(generation.id),
                None if attached.is_finished() => return attached.await.expect("a caller does not panic"),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
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
        let mut is_cancelled = false;
        let is_attached = self.kind == Kind::Attached;
        let looks_max = if is_attached { SILENT_LOOKS } else { IDLE_LOOKS };
        loop {
            let after = seen.last().map(|event| event.seq);
            match self.app.events(&key_of(id), after, None).await {
                Ok(page) => {
                    let moves = !page.data.is_empty() || !(is_attached || self.faults.is_idle());
                    idle_looks = if moves { 0 } else { idle_looks + 1 };
                    if is_cancelled && !page.data.is_empty() {
                        violations.push(format!("it was cancelled, and then came {:?}", page.data));
                    }
                    seen.extend(page.data);
                }
                Err(error) => violations.push(format!("a reader was told {error}")),
            }
            if self.kind == Kind::Cancelled && !is_cancelled && text_of(seen).len() >= CANCELLED_BEHIND_BYTES {
                is_cancelled = true;
                self.cancel(id, seen, violations).await;
            }
            let generation = self.app.get(&key_of(id)).await.expect("the generation");
            if generation.compacted_at.is_some() {
                return sweeps;
            }
            if idle_looks > looks_max {
                if sweeps == SWEEPS_PER_FAULT * faults.max(1) {
                    violations.push(format!("it is still {:?} after {sweeps} sweeps", generation.status));
                    return sweeps;
                }
                sweeps += 1;
                self.clock.advance(SWEEP_EVERY);
                drop(self.stack.invoke("sweep", json!({})).await);
                idle_looks = 0;
            }
            if began.elapsed() > LIFE_MAX {
                violations.push(format!("it has not come to an end, after {sweeps} sweeps: {:?}", generation.status));
                return sweeps;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Cancels it, and reads what there is to be read from then on.
    async fn cancel(&self, id: &GenerationId, seen: &mut Vec<NumberedEvent>, violations: &mut Vec<String>) {
        violations.extend(self.caller.cancel(id).await.err());
        let after = seen.last().map(|event| event.seq);
        match self.app.events(&key_of(id), after, None).await {
            Ok(page) => seen.extend(page.data),
            Err(error) => violations.push(format!("a reader was told {error}")),
        }
    }

    /// Waits for what still runs.
    pub async fn until_idle(&self) {
        let began = Instant::now();
        while !self.faults.is_idle() && began.elapsed() < PATIENCE {
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
