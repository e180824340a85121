//! The demo of a pipeline: the eighteen agents of E.D.N.360, one of which breaks off in its first try and is tried again alone.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use longhand::generation::Generation;
use longhand::pipelines::read_yaml;
use longhand::quota::dollars;
use longhand::runs::{Entry, EntryType};
use longhand::{PipelineView, RunProgress, RunView, StepList, StepView};
use longhand_client::{Client, Method, StatusCode, frames, send};
use longhand_local::{Agents, Stack};
use serde::Deserialize;
use serde_json::{Value, json};

use super::proof::{self, Check};
use crate::api::{read, with_query};
use crate::environment::{self, PROVIDERS};
use crate::options::Format;
use crate::terminal::output::{Fields, count, json_line, line};
use crate::{failure, running_stack};

/// Deltas per second of each agent, unless the arguments say otherwise: so that one sees them end one after another.
const TEMPO: f64 = 100.0;
/// Those that others use come first.
const DOCUMENTS: [&str; 3] = [
    include_str!("../../../../infra/pipelines/edn360-training.yaml"),
    include_str!("../../../../infra/pipelines/edn360-nutrition.yaml"),
    include_str!("../../../../infra/pipelines/edn360-full.yaml"),
];
const QUESTIONNAIRE: &str = include_str!("../../../../infra/pipelines/questionnaire.json");
const PIPELINE: &str = "edn360-full";
/// Micro-dollars per million tokens of gpt-5-mini, in and out, as E.D.N.360 states them.
const PRICES: (u64, u64) = (75_000, 300_000);
/// The agent that breaks off in its first try.
const FAULTY: &str = "E5";
const STEPS: usize = 18;
const GENERATIONS: usize = STEPS + 1;
const COHERENCE_CHECKS: usize = 7;
const BAR_WIDTH: u32 = 18;

/// Starts the provider.
pub fn agents(tempo: Option<f64>) -> anyhow::Result<Agents> {
    Agents::start(tempo.unwrap_or(TEMPO), &[(FAULTY, 1)])
}

/// The environment for the stack's functions.
pub fn environment(agents: &Agents) -> BTreeMap<String, String> {
    let mut environment = environment::settings();
    let providers = json!({ "openai": { "base_url": agents.base_url() } });
    let prices = json!({ "openai": { "gpt-5-mini": { "input": PRICES.0, "output": PRICES.1 } } });
    environment.insert(PROVIDERS.to_owned(), providers.to_string());
    environment.insert("LONGHAND_PRICES".to_owned(), prices.to_string());
    environment
}

pub async fn play(stack: &Stack, agents: &Agents, format: Format) -> anyhow::Result<ExitCode> {
    let client = running_stack::connect_to_stack(stack)?;
    let phases = publish(&client).await?;
    let input: Value = serde_json::from_str(QUESTIONNAIRE).context("the questionnaire is no JSON")?;
    let began = Instant::now();
    let call = client.request(Method::POST, "/v1/runs").json(&json!({ "pipeline": PIPELINE, "input": input }));
    let (run, _): (RunView, String) = read(call).await?;
    let id = run.id.to_string();
    eprintln!("{id}: {STEPS} agents, {FAULTY} breaks off once, over {}", stack.url());
    Live::begin(&client, &id, format, &phases).await?.follow().await?;
    let took_ms = began.elapsed().as_millis();
    let (report, whole): (Report, String) = read(client.request(Method::GET, &format!("/v1/runs/{id}/report"))).await?;
    let checks = report.checks(&report.generations(&client).await?, agents);
    if format.json {
        let run = &report.run;
        let report: Value = serde_json::from_str(&whole)?;
        let figures = json!({
            "run_id": id, "status": run.status, "steps": run.progress.completed_steps, "generations": agents.told().len(),
            "total_tokens": run.token_usage.total_tokens, "cost": run.cost, "total_ms": took_ms,
            "checks": checks.iter().map(Check::to_json).collect::<Vec<_>>(), "report": report,
        });
        line(figures)?;
    } else {
        report.print()?;
        proof::print_checks(&checks)?;
    }
    let failed = proof::failed(&checks);
    for check in &failed {
        eprintln!("error: {check}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { failure::failed() })
}

/// Publishes the documents; returns the titles of their phases.
async fn publish(client: &Client) -> anyhow::Result<BTreeMap<String, String>> {
    let mut phases = BTreeMap::new();
    for document in DOCUMENTS {
        let document =
            read_yaml(document.as_bytes()).map_err(|violation| anyhow!("a document of the demo: {}", violation.message))?;
        let name = document["name"].as_str().unwrap_or_default();
        let call = client.request(Method::PUT, &format!("/v1/pipelines/{name}")).json(&document);
        let (pipeline, _): (PipelineView, String) = read(call).await.with_context(|| format!("{name} cannot be published"))?;
        eprintln!("published {}@{}", pipeline.name, pipeline.version);
        let titles = document["phases"].as_object().into_iter().flatten();
        phases.extend(titles.filter_map(|(id, title)| Some((id.clone(), title.as_str()?.to_owned()))));
    }
    Ok(phases)
}

/// A run while it goes on: a line for each step that is started, ends or is tried again.
struct Live<'a> {
    client: &'a Client,
    id: &'a str,
    format: Format,
    /// The phase and the name of each step's agent.
    agents: BTreeMap<String, (String, String)>,
    /// What is shown with the next `progress`.
    rows: Vec<String>,
}

/// The data of a `progress`, as far as it is shown.
#[derive(Deserialize)]
struct Progress {
    progress: RunProgress,
}

impl<'a> Live<'a> {
    async fn begin(client: &'a Client, id: &'a str, format: Format, phases: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let (steps, _): (StepList, String) = read(client.request(Method::GET, &format!("/v1/runs/{id}/steps"))).await?;
        let agent = |step: StepView| {
            let phase = step.phase.and_then(|phase| phases.get(&phase).cloned()).unwrap_or_default();
            (step.id.clone(), (phase, format!("{} {}", step.id, step.title)))
        };
        let agents = steps.data.into_iter().map(agent).collect();
        if !format.json {
            line(row(["PHASE", "AGENT", "STATE", "TRY", "TOKENS", "COST"], "DONE"))?;
        }
        Ok(Self { client, id, format, agents, rows: Vec::new() })
    }

    /// Shows what happens until the run has ended.
    async fn follow(mut self) -> anyhow::Result<()> {
        let mut after: Option<u64> = None;
        loop {
            let path = with_query(&format!("/v1/runs/{}/events", self.id), &[("after", after.map(|after| after.to_string()))])?;
            let answer = send(self.client.request(Method::GET, &path).header("accept", "text/event-stream")).await?;
            if answer.status() == StatusCode::NO_CONTENT {
                return Ok(());
            }
            let mut frames = frames(answer);
            while let Some(frame) = frames.next().await {
                let frame = frame?;
                let (Some(name), Some(data)) = (frame.event, frame.data) else { continue };
                self.show(&name, &data).await?;
                if ["completed", "failed", "timeout", "cancelled"].contains(&name.as_str()) {
                    return Ok(());
                }
                // The number stands at the last event of a revision.
                after = frame.id.and_then(|id| id.parse().ok()).or(after);
            }
            // What was told of a revision without its number is told again.
            self.rows.clear();
        }
    }

    async fn show(&mut self, name: &str, data: &str) -> anyhow::Result<()> {
        if self.format.json {
            return Ok(json_line(data)?);
        }
        if name == "progress" {
            let Progress { progress } = serde_json::from_str(data)?;
            let bar = bar(progress.completed_steps, progress.total_steps, progress.percentage);
            return Ok(self.rows.drain(..).try_for_each(|row| line(format!("{row}{bar}")))?);
        }
        let entry: Entry = serde_json::from_str(data)?;
        let (state, has_ended) = match entry.entry_type {
            EntryType::StepStarted => ("running", false),
            EntryType::StepCompleted => ("completed", true),
            EntryType::StepRetried => ("broke off", true),
            EntryType::StepSkipped => ("skipped", false),
            EntryType::StepFailed => ("failed", true),
            _ => return Ok(()),
        };
        let generation = match entry.generation.filter(|_| has_ended) {
            Some(id) => Some(self.client.generation(&id.to_string()).await?.value),
            None => None,
        };
        let tokens = generation.as_ref().and_then(|generation| generation.usage.as_ref());
        let tokens = tokens.map(|usage| usage.total.total_tokens.to_string()).unwrap_or_default();
        let cost = generation.and_then(|generation| generation.cost).map(dollars).unwrap_or_default();
        let number = entry.number.map(|number| number.to_string()).unwrap_or_default();
        let (phase, agent) = entry.step.and_then(|step| self.agents.get(&step).cloned()).unwrap_or_default();
        self.rows.push(row([&phase, &agent, state, &number, &tokens, &cost], ""));
        Ok(())
    }
}

/// A line of the live table: its columns have their widths before what they hold is known.
fn row([phase, agent, state, number, tokens, cost]: [&str; 6], done: &str) -> String {
    format!("{phase:13}  {agent:14}  {state:9}  {number:>3}  {tokens:>6}  {cost:>9}  {done}")
}

/// `[#########---------]  50.0 %`
fn bar(completed: u32, total: u32, percentage: f64) -> String {
    let full = (completed * BAR_WIDTH / total.max(1)) as usize;
    let rest = BAR_WIDTH as usize - full;
    format!("[{}{}] {percentage:5.1} %", "#".repeat(full), "-".repeat(rest))
}

/// The report of a run, as far as the demo reads it.
#[derive(Deserialize)]
struct Report {
    run: RunView,
    duration_ms: Option<u64>,
    is_coherent: bool,
    steps: Vec<StepView>,
}

impl Report {
    /// The generations of each step's tries, in their order.
    async fn generations(&self, client: &Client) -> anyhow::Result<Vec<(&str, Generation)>> {
        let mut generations = Vec::new();
        for step in &self.steps {
            for id in &step.generations {
                generations.push((step.id.as_str(), client.generation(&id.to_string()).await?.value));
            }
        }
        Ok(generations)
    }

    fn checks(&self, generations: &[(&str, Generation)], agents: &Agents) -> Vec<Check> {
        let run = &self.run;
        let all_told = agents.told();
        let told: Vec<(&str, u64, u64)> = all_told
            .iter()
            .filter(|told| !told.is_broken)
            .map(|told| (told.agent.as_str(), told.usage.prompt_tokens, told.usage.completion_tokens))
            .collect();
        let counted = |is_estimated: bool| -> Vec<(&str, u64, u64)> {
            let usages = generations.iter().filter_map(|(step, generation)| Some((*step, generation.usage.as_ref()?)));
            let usages = usages.filter(|(_, usage)| usage.total.estimated == is_estimated);
            usages.map(|(step, usage)| (step, usage.total.input_tokens, usage.total.output_tokens)).collect()
        };
        let (exact, estimated) = (counted(false), counted(true));
        let equal = exact.iter().zip(&told).filter(|(counted, told)| counted == told).count();
        let billed = || told.iter().chain(&estimated);
        let tokens: u64 = billed().map(|(_, input, output)| input + output).sum();
        let by_hand: u64 = billed().map(|(_, input, output)| (input * PRICES.0 + output * PRICES.1).div_ceil(1_000_000)).sum();
        let again: Vec<&str> = self.steps.iter().filter(|step| step.tries > 1).map(|step| step.id.as_str()).collect();
        let of_estimates: Vec<&str> = estimated.iter().map(|(step, ..)| *step).collect();
        let mut checks = vec![
            Check::new("the run completed", "completed", run.status.name()),
            Check::new("every step ended", STEPS, run.progress.completed_steps),
            Check::new("a generation for each step, and one more", GENERATIONS, generations.len()),
            Check::new("the provider was asked as often", GENERATIONS, all_told.len()),
            Check::new("the agent that broke off was tried again, alone", FAULTY, again.join(", ")),
            Check::new("what it broke off was counted by its bytes", FAULTY, of_estimates.join(", ")),
            Check::new("the tokens of each whole answer are those that the provider told", STEPS, equal),
            Check::new("the run's tokens are the sum of them", tokens, run.token_usage.total_tokens),
            Check::new("the run's cost is that of its tokens, by hand", dollars(by_hand), dollars(run.cost)),
            Check::new("the result was checked", COHERENCE_CHECKS, run.checks.iter().flatten().count()),
            Check::new("the report says that the result is coherent", true, self.is_coherent),
        ];
        checks
            .extend(run.checks.iter().flatten().map(|check| Check::new(format!("coherence: {}", check.message), true, check.ok)));
        checks
    }

    fn print(&self) -> anyhow::Result<()> {
        let Self { run, duration_ms, is_coherent, steps } = self;
        let tokens = &run.token_usage;
        let mut fields = Fields::default();
        fields.add("run", &run.id).add("pipeline", format!("{}@{}", run.pipeline.name, run.pipeline.version));
        fields
            .add("status", run.status.name())
            .add("coherent", is_coherent)
            .add_if("time", duration_ms.map(|ms| format!("{ms} ms")));
        let tries: u32 = steps.iter().map(|step| step.tries).sum();
        fields.add("steps", format!("{}, in {}", count(steps.len() as u64, "step"), count(u64::from(tries), "generation")));
        let in_and_out = format!("{} in, {} out", tokens.total_prompt_tokens, tokens.total_completion_tokens);
        fields.add("tokens", format!("{} ({in_and_out})", tokens.total_tokens)).add("cost", dollars(run.cost));
        fields.add_if("subject", run.subject.as_ref());
        let result: Option<BTreeMap<String, Value>> =
            run.result.as_ref().map(|result| serde_json::from_str(result.get())).transpose()?;
        let parts = result.iter().flatten().map(|(name, part)| {
            let of_part: Vec<&str> = part.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            format!("{name} ({})", of_part.join(", "))
        });
        fields.add("result", parts.collect::<Vec<_>>().join(", "));
        line("")?;
        fields.print()?;
        Ok(line("")?)
    }
}
