//! A pipeline's document in its canonical form, and what each part of it means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::PipelineName;
use super::duration;
use crate::error::FieldError;
use crate::hash::sha256_hex;
use crate::log::reason;

/// The form of document that this program reads.
pub const FORM: &str = "pipeline/1";

/// Something in a document that must be otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// A JSON Pointer (RFC 6901) into the document; empty: the document itself.
    pub path: String,
    /// What was expected there, in one sentence.
    pub message: String,
}

impl Violation {
    /// Names the place and what was expected there.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl From<FieldError> for Violation {
    fn from(error: FieldError) -> Self {
        Self { path: error.pointer, message: error.detail }
    }
}

impl From<Violation> for FieldError {
    fn from(violation: Violation) -> Self {
        Self { pointer: violation.path, detail: violation.message }
    }
}

/// A pipeline in its canonical form: its steps have their defaults and their prompts, and `use` is flattened. It is a document itself:
/// parsed again, it is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Document {
    /// Always [`FORM`].
    pub longhand: String,
    /// Its name. The number of its version comes from publishing, and is no part of it.
    pub name: PipelineName,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON Schema of a run's input, which is an object.
    pub input: Value,
    /// What a run may take.
    pub limits: Limits,
    /// The phases, in the order in which they are displayed.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "phases")]
    pub phases: Vec<Phase>,
    /// The pipelines that were flattened into this one, by their names; those of a part as `part/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Part>,
    /// The steps. Each step's [`Step::needs`] say what it waits for; their order here is the order of display.
    pub steps: Vec<Step>,
    /// The result: an object of paths and of such objects.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub result: Map<String, Value>,
    /// What must be true of a result that is coherent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// The template of the subject whose next version the result becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The number under which it was published; 0: it was not. No part of the document.
    #[serde(skip)]
    pub version: u64,
}

/// A version of a pipeline, as it was published.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: PipelineName,
    /// The number of the version.
    pub version: u64,
    /// SHA-256 in hex of the document's canonical form.
    pub sha256: String,
    /// When it was published, RFC 3339.
    pub created_at: String,
    /// The API key by which it was published.
    pub created_by: Option<String>,
    /// The document.
    pub document: Document,
}

/// What a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// A run that takes longer fails with the reason `timeout`.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How many steps may run at once. At least 1.
    pub max_parallel: u32,
    /// A run that has cost more micro-dollars than this fails with the reason `spend_limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<u64>,
}

/// Steps that are displayed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Its name in the document.
    pub id: String,
    /// What people call it.
    pub title: String,
}

/// A pipeline that is a part of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The part that it is a part of; `None`: of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The number of its version; `None`: it was not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// SHA-256 in hex of its own canonical form.
    pub sha256: String,
    /// The JSON Schema of its input.
    pub input: Value,
    /// Its input: names, and paths in the document, or in the part that it is a part of.
    pub with: BTreeMap<String, String>,
    /// Its result, in its own terms.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub result: Map<String, Value>,
}

/// A step: one generation, with its tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the document: a letter, then up to 31 letters, digits and `_`.
    pub id: String,
    /// The part that it belongs to, whose input its templates see; `None`: the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The phase that it is displayed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What people call it.
    pub title: String,
    /// The steps that must have ended before it begins.
    pub needs: Vec<String>,
    /// An expression: the step is skipped if it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Tries after the first.
    pub retries: u32,
    /// Why it is tried again.
    pub retry_on: BTreeSet<RetryOn>,
    /// How long one try may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// After an answer that was not accepted, the next try is told why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub feedback: bool,
    /// What its failure means for the run.
    pub on_error: OnError,
    /// No further try begins once its tries have cost this many micro-dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<u64>,
    /// The JSON Schema of its output; `None`: the output is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The template of the instructions before the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The template of its one user message; or `messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The conversation; or `prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// The other fields of its requests: provider, model, temperature …, as `POST /v1/generations` takes them.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
    /// Where it stands among the others.
    #[serde(skip)]
    pub(super) place: Arc<Place>,
}

/// Where a step stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Place {
    /// The steps before it that its templates see, in the order of the document.
    pub ancestors: Vec<String>,
    /// The part that it belongs to and those around it, from the inside out.
    pub parts: Arc<Vec<Part>>,
}

/// A message of a step's conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: String,
    /// The template of its text.
    pub content: String,
}

/// An expression that is true of a coherent result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The part whose input and result it speaks of; `None`: the document's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The expression, over `input`, `steps` and `result`.
    pub expression: String,
    /// What it means that it is true, for people.
    pub message: String,
}

/// Why a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// The provider refused, was not there, or told of an error.
    Provider,
    /// The answer broke off: attempts were used up, the function's time was over, or the answer reached a limit of the provider.
    Interrupted,
    /// The step's time was over.
    Timeout,
    /// The answer does not match the step's schema.
    ValidationError,
}

impl RetryOn {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Provider, Self::Interrupted, Self::Timeout, Self::ValidationError];

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Interrupted => "interrupted",
            Self::Timeout => "timeout",
            Self::ValidationError => "validation_error",
        }
    }

    /// The kind of a generation's failure, by its reason. `None`: another try would fail as well, or costs what must not be spent.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        match code {
            reason::VALIDATION_ERROR | reason::SCHEMA_VIOLATION => Some(Self::ValidationError),
            reason::TIMEOUT => Some(Self::Timeout),
            reason::ATTEMPTS_EXHAUSTED
            | reason::DEADLINE
            | reason::UNKNOWN_FINISH_REASON
            | reason::MAX_OUTPUT_TOKENS
            | reason::CONTENT_FILTER
            | "interrupted" => Some(Self::Interrupted),
            reason::SPEND_LIMIT | reason::OUTPUT_LIMIT | reason::LOG_DAMAGED | reason::PROVIDER_NOT_CONFIGURED => None,
            _ => Some(Self::Provider),
        }
    }
}

/// What a step's failure means for its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The run goes on; the step's output is null.
    Continue,
}

/// Why the answer before was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The answer.
    pub text: String,
    /// What is wrong with it.
    pub errors: Vec<String>,
}

impl Document {
    /// The form in which it is stored. Equal documents have equal bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 in hex of its canonical form.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(self.canonical())
    }

    /// Reads the canonical form.
    ///
    /// # Errors
    /// It is none.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The step with this id.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Tells each step its place.
    pub(super) fn link(&mut self) {
        let needs: BTreeMap<&str, &[String]> = self.steps.iter().map(|step| (step.id.as_str(), step.needs.as_slice())).collect();
        // The schemas of parts may be large: their steps share them.
        let mut around: BTreeMap<Option<&str>, Arc<Vec<Part>>> = BTreeMap::new();
        for part in self.steps.iter().map(|step| step.part.as_deref()) {
            around.entry(part).or_insert_with(|| Arc::new(self.parts_around(part)));
        }
        let places: Vec<Place> =
            self.steps.iter().map(|step| self.place(step, &needs, Arc::clone(&around[&step.part.as_deref()]))).collect();
        for (step, place) in self.steps.iter_mut().zip(places) {
            step.place = Arc::new(place);
        }
    }

    fn place(&self, step: &Step, needs: &BTreeMap<&str, &[String]>, parts: Arc<Vec<Part>>) -> Place {
        let mut before: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = step.needs.iter().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            if before.insert(id) {
                open.extend(needs.get(id).copied().unwrap_or_default().iter().map(String::as_str));
            }
        }
        let is_seen =
            |other: &&Step| before.contains(other.id.as_str()) && is_within(other.part.as_deref(), step.part.as_deref());
        Place { ancestors: self.steps.iter().filter(is_seen).map(|step| step.id.clone()).collect(), parts }
    }

    /// The part with this name and those around it, from the inside out.
    pub(super) fn parts_around(&self, name: Option<&str>) -> Vec<Part> {
        let mut around = Vec::new();
        let mut next = name;
        while let Some(part) = next.and_then(|name| self.parts.get(name)).filter(|_| around.len() <= self.parts.len()) {
            around.push(part.clone());
            next = part.of.as_deref();
        }
        around
    }
}

/// Whether `part` is `scope` or a part of it; everything is a part of the document, `None`.
pub(super) fn is_within(part: Option<&str>, scope: Option<&str>) -> bool {
    let Some(scope) = scope else { return true };
    part.and_then(|part| part.strip_prefix(scope)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Step {
    /// SHA-256 in hex of what makes its output: prompts, settings, needs, schema, and the input of the part that it belongs to. Equal
    /// fingerprints of two versions say that a run of one may keep what a run of the other completed.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let parts: Vec<Value> = self.place.parts.iter().map(|part| json!({ "input": part.input, "with": part.with })).collect();
        let mut made = json!({
            "id": self.id, "title": self.title, "phase": self.phase, "needs": self.needs, "when": self.when, "output": self.output,
            "system": self.system, "prompt": self.prompt, "messages": self.messages, "settings": self.settings,
            "ancestors": self.place.ancestors, "parts": parts,
        });
        made.sort_all_objects();
        sha256_hex(made.to_string())
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut document = Self::deserialize(deserializer)?;
        document.link();
        Ok(document)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Phases are an object in a document: their order is that of its fields.
mod phases {
    use super::{Deserialize, Deserializer, Map, Phase, Serializer, Value};

    pub fn serialize<S: Serializer>(phases: &[Phase], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(phases.iter().map(|phase| (&phase.id, &phase.title)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Phase>, D::Error> {
        let fields = Map::<String, Value>::deserialize(deserializer)?;
        let phase = |(id, title): (String, Value)| Phase { title: title.as_str().unwrap_or(&id).to_owned(), id };
        Ok(fields.into_iter().map(phase).collect())
    }
}
