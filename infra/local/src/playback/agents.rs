//! The agents of E.D.N.360, recorded: each answers with a JSON object that fits its schema, and breaks off as often as it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::Value;

use super::play::counted;
use super::{Ending, Playback, Script, Usage};

const RECORDING: &str = include_str!("../../recordings/edn360.json");
/// What the instructions of each agent begin with.
const GREETING: &str = "You are agent ";
/// Fewer than the four bytes of a usual token, so that what is told is never less than what the bytes come to.
const DELTA_CHARS: usize = 3;

/// A running provider that plays the agents.
#[derive(Debug)]
pub struct Agents {
    playback: Playback,
    ledger: Arc<Mutex<Ledger>>,
}

/// What was told to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The agent that the request speaks to; empty: none of them.
    pub agent: String,
    /// The tokens that were told, or would have been.
    pub usage: Usage,
    /// Whether the answer broke off.
    pub is_broken: bool,
}

#[derive(Debug, Default)]
struct Ledger {
    /// How often each agent has yet to break off.
    faults: BTreeMap<String, u32>,
    told: Vec<Told>,
}

impl Agents {
    /// Starts a provider whose agents answer `tempo` deltas a second, 0: as fast as the client reads. Each agent in `faults` breaks off so
    /// often, in the middle of its answer, before it answers in full. Needs a Tokio runtime.
    ///
    /// # Errors
    /// No port could be opened.
    pub fn start(tempo: f64, faults: &[(&str, u32)]) -> anyhow::Result<Self> {
        let answers: BTreeMap<String, Value> =
            serde_json::from_str(RECORDING).context("the recording of the agents is no JSON")?;
        let faults = faults.iter().map(|(agent, times)| ((*agent).to_owned(), *times)).collect();
        let ledger = Arc::new(Mutex::new(Ledger { faults, told: Vec::new() }));
        let own = Arc::clone(&ledger);
        let choose = move |request: &Value| {
            let agent = agent_of(request).filter(|agent| answers.contains_key(*agent)).unwrap_or_default();
            let answer = answers.get(agent).map_or_else(|| "I am none of the agents.".to_owned(), Value::to_string);
            let mut script = Script { tempo, model: "gpt-5-mini".into(), ..Script::new(deltas(&answer)) };
            let usage = counted(request, &script);
            script.usage = Some(usage);
            let mut ledger = lock(&own);
            let is_broken = ledger.faults.get_mut(agent).filter(|left| **left > 0).map(|left| *left -= 1).is_some();
            if is_broken {
                script.deltas.truncate(script.deltas.len() / 2);
                script.ending = Ending::Cut;
            }
            ledger.told.push(Told { agent: agent.to_owned(), usage, is_broken });
            script
        };
        let listed = Script { model: "gpt-5-mini".into(), ..Script::default() };
        Ok(Self { playback: Playback::serve(listed, Some(Box::new(choose)), |_, _| {})?, ledger })
    }

    /// The provider's base URL.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.playback.base_url()
    }

    /// What was told so far, in the order of the requests.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        lock(&self.ledger).told.clone()
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The agent that a request speaks to, by its first message.
fn agent_of(request: &Value) -> Option<&str> {
    let instructions = request.pointer("/messages/0/content")?.as_str()?;
    let rest = instructions.split_once(GREETING)?.1;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn deltas(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(DELTA_CHARS).map(|chunk| chunk.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use longhand::json::schema::Schema;
    use longhand::pipelines::Document;
    use serde_json::json;

    use super::*;

    /// The three documents, as if they had been published.
    fn full() -> Document {
        let part = |name: &str| match name {
            "edn360-training" => Some(include_str!("../../../pipelines/edn360-training.yaml")),
            "edn360-nutrition" => Some(include_str!("../../../pipelines/edn360-nutrition.yaml")),
            _ => None,
        };
        let published = |name: &str| part(name).map(|text| Document::parse(text.as_bytes(), |_| None).unwrap());
        Document::parse(include_bytes!("../../../pipelines/edn360-full.yaml"), published).unwrap()
    }

    fn speaks_to(agent: &str) -> Value {
        json!({ "stream": true, "messages": [{ "role": "system", "content": format!("You are agent {agent} (X) of E.D.N.360.") }] })
    }

    #[test]
    fn each_agent_answers_by_its_schema() {
        let answers: BTreeMap<String, Value> = serde_json::from_str(RECORDING).unwrap();
        let full = full();
        for step in &full.steps {
            let schema = Schema::compile(step.output.as_ref().unwrap()).unwrap();
            assert_eq!(schema.errors(&answers[&step.id]), [], "{}", step.id);
            assert_eq!(agent_of(&speaks_to(&step.id)), Some(step.id.as_str()));
        }
        assert_eq!(answers.len(), full.steps.len());
    }

    #[tokio::test]
    async fn an_agent_breaks_off_as_often_as_it_is_told_to() {
        let agents = Agents::start(0.0, &[("E5", 1)]).unwrap();
        let url = format!("{}/chat/completions", agents.base_url());
        let http = reqwest::Client::new();
        for (agent, is_whole) in [("E5", false), ("E5", true), ("E1", true), ("X9", true)] {
            let text = http.post(&url).json(&speaks_to(agent)).send().await.unwrap().text().await.unwrap();
            assert_eq!(text.contains("[DONE]"), is_whole, "{agent}: {text}");
        }
        let told = agents.told();
        let agents: Vec<(&str, bool)> = told.iter().map(|told| (told.agent.as_str(), told.is_broken)).collect();
        assert_eq!(agents, [("E5", true), ("E5", false), ("E1", false), ("", false)]);
        assert!(told[0].usage == told[1].usage && told[1].usage.completion_tokens > 100);
    }
}
