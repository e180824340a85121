//! Runs, played through by hand and by random schedules.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::generation::usage::Usage;

fn document(value: &Value) -> Document {
    Document::from_value(value, |_| None).unwrap()
}

/// Two steps side by side behind the first, one that is skipped, one that may fail, and one behind them all.
fn branching() -> Document {
    document(&json!({
        "longhand": "pipeline/1",
        "name": "branching",
        "input": { "type": "object" },
        "limits": { "timeout": "30m", "max_parallel": 2 },
        "phases": { "one": "One", "two": "Two" },
        "defaults": { "provider": "test", "model": "m", "retries": 2 },
        "steps": [
            { "id": "A", "phase": "one", "title": "A", "prompt": "a" },
            { "id": "B", "phase": "one", "title": "B", "prompt": "b {{ steps.A.output }}" },
            { "id": "C", "phase": "one", "title": "C", "prompt": "c {{ steps.A.output }}", "needs": ["A"], "on_error": "continue" },
            { "id": "D", "phase": "two", "title": "D", "prompt": "d", "needs": ["A"], "when": "input.wanted" },
            { "id": "E", "phase": "two", "title": "E", "prompt": "e {{ steps.B.output }}", "needs": ["B", "C", "D"], "retries": 0 },
        ],
        "result": { "e": "steps.E.output" },
    }))
}

fn failure(code: &str) -> Failure {
    Failure { code: code.into(), message: "it was so".into() }
}

/// A run's rows, and what a world outside knows of its generations.
struct World<'a> {
    document: &'a Document,
    input: Value,
    progress: Progress,
    steps: Steps,
    now_ms: i64,
    minted: Cell<usize>,
    /// Every id that was minted: the same plan made again has the same ones.
    ids: RefCell<Vec<GenerationId>>,
    /// Each generation that was created: its step, the number of the try, and the steps that had ended then.
    created: RefCell<Vec<(GenerationId, String, u32)>>,
    entries: Vec<Entry>,
}

impl<'a> World<'a> {
    fn new(document: &'a Document) -> Self {
        Self {
            document,
            input: json!({}),
            progress: Progress::new(u32::try_from(document.steps.len()).unwrap()),
            steps: Steps::new(),
            now_ms: 1_000,
            minted: Cell::new(0),
            ids: RefCell::default(),
            created: RefCell::default(),
            entries: Vec::new(),
        }
    }

    fn outputs(&self, news: &[News]) -> BTreeMap<String, Value> {
        let completed = self.steps.iter().filter(|(_, state)| state.status == StepStatus::Completed).map(|(id, _)| id);
        let told = news.iter().filter(|news| news.failure.is_none()).map(|news| &news.step);
        completed.chain(told).map(|id| (id.clone(), json!(format!("{id}'s output")))).collect()
    }

    /// The plan, which is the same of all outputs and of those that are said to be needed.
    fn plan(&self, news: &[News], act: Act) -> Option<Plan> {
        let (all, minted) = (self.outputs(news), self.minted.get());
        let of_all = self.plan_of(&all, news, act);
        let (mut narrow, mut asked) = (of_all.clone(), BTreeSet::new());
        let mut wanted = outputs(self.document, &self.steps, news, None);
        while !wanted.is_empty() {
            asked.extend(wanted);
            let read: BTreeMap<_, _> =
                all.iter().filter(|(id, _)| asked.contains(*id)).map(|(id, output)| (id.clone(), output.clone())).collect();
            self.minted.set(minted);
            narrow = self.plan_of(&read, news, act);
            wanted = narrow.as_ref().map(|plan| outputs(self.document, &self.steps, news, Some(plan))).unwrap_or_default();
            wanted.retain(|id| !asked.contains(id));
        }
        assert_eq!(of_all, narrow);
        of_all
    }

    fn plan_of(&self, outputs: &BTreeMap<String, Value>, news: &[News], act: Act) -> Option<Plan> {
        let (none, refused, none_lost) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let known = Known {
            document: self.document,
            input: &self.input,
            outputs,
            lost: &none_lost,
            feedback: &none,
            refused: &refused,
            starts_max: 8,
            now_ms: self.now_ms,
        };
        let mint = || {
            let (number, mut ids) = (self.minted.get(), self.ids.borrow_mut());
            self.minted.set(number + 1);
            if ids.len() <= number {
                ids.push(GenerationId::new(i64::try_from(number).unwrap() + 1));
            }
            ids[number].clone()
        };
        plan((&self.progress, &self.steps), news, act, known, mint)
    }

    /// Makes a plan and stores it.
    fn step(&mut self, news: &[News], act: Act) -> bool {
        let Some(plan) = self.plan(news, act) else { return false };
        self.store(plan);
        true
    }

    fn store(&mut self, plan: Plan) {
        assert_eq!(plan.progress.revision, self.progress.revision + 1);
        for start in &plan.starts {
            let step = self.document.step(&start.step).unwrap();
            for needed in &step.needs {
                let status = plan.steps[needed].status;
                assert!(
                    matches!(status, StepStatus::Completed | StepStatus::Skipped | StepStatus::Failed),
                    "{} began before {needed} had ended",
                    start.step
                );
            }
            self.created.borrow_mut().push((start.generation.clone(), start.step.clone(), start.number));
        }
        let running = plan.steps.values().filter(|state| state.status == StepStatus::Running).count();
        assert!(running <= self.document.limits.max_parallel as usize);
        assert!(plan.progress.completed_steps >= self.progress.completed_steps, "progress goes back");
        assert!(!self.progress.status.is_terminal(), "a terminal status changed");
        (self.progress, self.steps) = (plan.progress, plan.steps);
        self.entries.extend(plan.entries);
    }

    fn news(&self, step: &str, failure: Option<Failure>) -> News {
        let generation = self.steps[step].generation.clone().unwrap();
        let usage = Usage { input_tokens: 2, output_tokens: 3, total_tokens: 5, ..Usage::default() };
        News { step: step.into(), generation, usage, cost: 7, failure }
    }

    fn completes(&mut self, step: &str) {
        let news = self.news(step, None);
        assert!(self.step(&[news], Act::GoOn));
    }

    fn fails(&mut self, step: &str, code: &str) {
        let news = self.news(step, Some(failure(code)));
        assert!(self.step(&[news], Act::GoOn));
    }

    fn statuses(&self) -> String {
        let status = |step: &Step| self.steps.get(&step.id).map_or("waiting", |state| state.status.name());
        self.document.steps.iter().map(|step| format!("{}={}", step.id, status(step))).collect::<Vec<_>>().join(" ")
    }

    fn types(&self) -> Vec<&'static str> {
        self.entries.iter().map(|entry| entry.entry_type.name()).collect()
    }
}

#[test]
fn run_goes_from_step_to_step() {
    let document = branching();
    let mut world = World::new(&document);
    assert!(!world.step(&[], Act::GoOn), "it has no place yet");
    assert!(world.step(&[], Act::Begin));
    assert_eq!(world.statuses(), "A=running B=waiting C=waiting D=waiting E=waiting");
    assert!(!world.step(&[], Act::Begin), "it has begun");
    world.completes("A");
    assert_eq!(world.statuses(), "A=completed B=running C=running D=skipped E=waiting");
    assert_eq!(world.progress.current_steps, ["B", "C"]);
    world.completes("C");
    assert_eq!(world.statuses(), "A=completed B=running C=completed D=skipped E=waiting");
    world.completes("B");
    world.completes("E");
    assert_eq!((world.progress.status, world.progress.completed_steps), (RunStatus::Completed, 5));
    assert_eq!((world.progress.cost, world.progress.usage.total_tokens), (28, 20));
    assert_eq!(
        world.types(),
        [
            "started",
            "phase_started",
            "step_started",
            "step_completed",
            "step_started",
            "step_started",
            "step_skipped",
            "step_completed",
            "step_completed",
            "phase_started",
            "step_started",
            "phase_completed",
            "step_completed",
            "phase_completed",
            "completed"
        ]
    );
    assert!(!world.step(&[], Act::Cancel), "it has ended");
}

#[test]
fn step_is_tried_again_alone_and_fails_the_run_in_the_end() {
    let document = branching();
    let mut world = World::new(&document);
    world.step(&[], Act::Begin);
    world.completes("A");
    world.completes("C");
    world.fails("B", "interrupted");
    world.fails("B", "validation_error");
    assert_eq!(world.steps["B"].tries, 3);
    world.fails("B", "interrupted");
    assert_eq!(world.statuses(), "A=completed B=failed C=completed D=skipped E=waiting");
    let end = world.progress.end.clone().unwrap();
    assert_eq!((world.progress.status, end.reason, end.step.as_deref()), (RunStatus::Failed, RunReason::StepFailed, Some("B")));
    assert_eq!(end.message, "B failed: interrupted: it was so");
    assert_eq!(world.steps["B"].cost, 21, "every try costs");
    let tries: Vec<u32> =
        world.created.borrow().iter().filter(|(_, step, _)| step == "B").map(|(_, _, number)| *number).collect();
    assert_eq!(tries, [1, 2, 3]);
}

#[test]
fn failure_may_be_passed_over() {
    let document = branching();
    let mut world = World::new(&document);
    world.step(&[], Act::Begin);
    world.completes("A");
    world.fails("C", "provider_rejected");
    assert_eq!(world.statuses(), "A=completed B=running C=failed D=skipped E=waiting");
    world.completes("B");
    world.completes("E");
    assert_eq!((world.progress.status, world.progress.completed_steps), (RunStatus::Completed, 5));
}

#[test]
fn failure_ends_what_runs_beside_it() {
    let document = branching();
    let mut world = World::new(&document);
    world.step(&[], Act::Begin);
    world.completes("A");
    world.fails("B", "provider_rejected");
    assert_eq!(
        (world.progress.status, world.statuses().as_str()),
        (RunStatus::Cancelling, "A=completed B=failed C=running D=skipped E=waiting")
    );
    world.fails("C", "cancelled");
    assert_eq!((world.progress.status, world.steps["C"].status), (RunStatus::Failed, StepStatus::Cancelled));
    assert_eq!(world.progress.end.as_ref().unwrap().step.as_deref(), Some("B"));
}

#[test]
fn time_and_cost_are_bounded() {
    let mut of_cost = branching();
    of_cost.limits.max_cost = Some(7);
    let mut world = World::new(&of_cost);
    world.step(&[], Act::Begin);
    world.completes("A");
    world.completes("C");
    world.completes("B");
    let end = world.progress.end.clone().unwrap();
    assert_eq!((world.progress.status, end.reason), (RunStatus::Failed, RunReason::SpendLimit));
    assert_eq!(end.message, "the run has cost 14 micro-dollars, and may cost 7");

    let document = branching();
    let mut world = World::new(&document);
    world.now_ms = 3_600_000;
    world.step(&[], Act::Begin);
    world.now_ms += 30 * 60_000 - 1;
    assert!(!world.step(&[], Act::GoOn));
    world.now_ms += 1;
    assert!(world.step(&[], Act::GoOn));
    assert_eq!(world.progress.status, RunStatus::Cancelling);
    world.fails("A", "cancelled");
    assert_eq!((world.progress.status, world.progress.end.clone().unwrap().reason), (RunStatus::Failed, RunReason::Timeout));
    assert_eq!(world.types().last(), Some(&"timeout"));

    let mut of_step = branching();
    of_step.steps[0].max_cost = Some(7);
    let mut world = World::new(&of_step);
    world.step(&[], Act::Begin);
    world.fails("A", "interrupted");
    assert_eq!((world.progress.status, world.steps["A"].tries), (RunStatus::Failed, 1));
}

#[test]
fn provider_that_asks_to_wait_is_waited_for() {
    let document = branching();
    let mut world = World::new(&document);
    world.step(&[], Act::Begin);
    world.fails("A", "rate_limited");
    assert_eq!((world.steps["A"].status, world.steps["A"].ready_at_ms), (StepStatus::Waiting, Some(11_000)));
    world.now_ms = 10_999;
    assert!(!world.step(&[], Act::GoOn));
    world.now_ms = 11_000;
    assert!(world.step(&[], Act::GoOn));
    world.fails("A", "rate_limited");
    assert_eq!(world.steps["A"].ready_at_ms, Some(41_000));
}

#[test]
fn cancel_ends_a_run_that_waits_at_once() {
    let document = branching();
    let mut world = World::new(&document);
    assert!(world.step(&[], Act::Cancel));
    assert_eq!((world.progress.status, world.types()), (RunStatus::Cancelled, vec!["cancel_requested", "cancelled"]));
}

#[test]
fn text_that_cannot_be_rendered_fails_its_step() {
    let document = document(&json!({
        "longhand": "pipeline/1", "name": "p", "input": { "type": "object", "properties": { "n": { "type": "integer" } } },
        "defaults": { "provider": "test", "model": "m" },
        "steps": [{ "id": "A", "title": "A", "prompt": "{{ 1 / input.n }}" }], "result": { "a": "steps.A.output" },
    }));
    let mut world = World::new(&document);
    world.input = json!({ "n": "no number" });
    world.step(&[], Act::Begin);
    assert_eq!(
        (world.progress.status, world.steps["A"].error.as_ref().unwrap().code.as_str()),
        (RunStatus::Failed, "template_error")
    );
}

/// What the schedule of a generation's end may be.
#[derive(Debug, Clone)]
enum Event {
    /// The end of the running try with this number is told, and `times` times.
    Tell(usize, usize),
    /// An end that was told long ago is told again.
    Repeat(usize),
    /// A plan is made and lost: nothing of it is stored.
    Crash(usize),
    /// Two plans are made from the same rows; the later one is refused, and made again.
    Race(usize, usize),
    /// Nothing but the time.
    Sweep,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_usize..4, 1_usize..3).prop_map(|(which, times)| Event::Tell(which, times)),
        1 => (0_usize..20).prop_map(Event::Repeat),
        1 => (0_usize..4).prop_map(Event::Crash),
        1 => (0_usize..4, 0_usize..4).prop_map(|(one, other)| Event::Race(one, other)),
        1 => Just(Event::Sweep),
    ]
}

/// How a try ends is settled by its step and its number, whatever the schedule: so every schedule comes to the same rows.
fn outcome(step: &str, number: u32, fates: &BTreeMap<&str, u32>) -> Option<Failure> {
    (number <= fates.get(step).copied().unwrap_or(0)).then(|| failure("interrupted"))
}

fn lived(document: &Document, schedule: &[Event], fates: &BTreeMap<&str, u32>) -> (Progress, Vec<(String, StepState)>) {
    let mut world = World::new(document);
    world.step(&[], Act::Begin);
    let told = |world: &World<'_>, which: usize| -> Option<News> {
        let running: Vec<String> = world.progress.current_steps.clone();
        let step = running.get(which % running.len().max(1))?;
        Some(world.news(step, outcome(step, world.steps[step].tries, fates)))
    };
    let mut past: Vec<News> = Vec::new();
    let mut events = schedule.iter().cloned().chain(std::iter::repeat_n(Event::Tell(0, 1), 64));
    while !world.progress.status.is_terminal() {
        match events.next().expect("the run ends") {
            Event::Tell(which, times) => {
                let Some(news) = told(&world, which) else { continue };
                for _ in 0..times {
                    world.step(std::slice::from_ref(&news), Act::GoOn);
                }
                past.push(news);
            }
            Event::Repeat(which) => {
                if let Some(news) = past.get(which % past.len().max(1)) {
                    assert!(!world.step(std::slice::from_ref(news), Act::GoOn), "what was counted is counted again");
                }
            }
            Event::Crash(which) => drop(told(&world, which).and_then(|news| world.plan(&[news], Act::GoOn))),
            Event::Race(one, other) => {
                let (Some(one), Some(other)) = (told(&world, one), told(&world, other)) else { continue };
                let lost = world.plan(std::slice::from_ref(&other), Act::GoOn).unwrap();
                world.step(std::slice::from_ref(&one), Act::GoOn);
                assert!(lost.progress.revision <= world.progress.revision, "the condition refuses it");
                world.step(std::slice::from_ref(&other), Act::GoOn);
                past.extend([one, other]);
            }
            Event::Sweep => assert!(!world.step(&[], Act::GoOn), "nothing has happened"),
        }
    }
    let created = world.created.borrow();
    let pairs: BTreeSet<(&str, u32)> = created.iter().map(|(_, step, number)| (step.as_str(), *number)).collect();
    assert_eq!(pairs.len(), created.len(), "a try was created twice");
    for (_, step, number) in created.iter() {
        assert!(*number <= document.step(step).unwrap().retries + 1);
    }
    let numbers = world.entries.iter().filter(|entry| entry.entry_type == EntryType::StepStarted).count();
    assert_eq!(numbers, created.len());
    let rows = world.steps.iter().map(|(id, state)| {
        let same = StepState { generation: None, earlier: Vec::new(), ..state.clone() };
        (id.clone(), same)
    });
    let last = Progress { revision: 0, message: String::new(), phase: None, ..world.progress.clone() };
    (last, rows.collect())
}

proptest! {
    /// Four schedules each; `PROPTEST_CASES=2500` tries 10,000.
    #[test]
    fn every_schedule_comes_to_the_same_rows(
        schedules in prop::collection::vec(prop::collection::vec(event(), 0..40), 4),
        fates in (0_u32..3, 0_u32..3, 0_u32..5),
    ) {
        let document = branching();
        // `C` may fail for good, and the run goes on.
        let fates = [("A", fates.0), ("B", fates.1), ("C", fates.2)].into();
        let ends: Vec<_> = schedules.iter().map(|schedule| lived(&document, schedule, &fates)).collect();
        prop_assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:#?}");
        prop_assert_eq!(ends[0].0.status, RunStatus::Completed);
    }
}
