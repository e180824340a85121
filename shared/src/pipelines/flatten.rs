//! From a document as people write it to its canonical form. What cannot be read is told and left out, so that the rest is checked as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::PipelineName;
use super::document::{Check, Document, FORM, Limits, Message, OnError, Part, Phase, RetryOn, Step, Violation};
use super::{duration, path};

const RUN_TIMEOUT: Duration = Duration::from_mins(30);
const STEP_TIMEOUT: Duration = Duration::from_mins(5);
/// The longest that a run, or a try of a step, may be given.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);
const MAX_PARALLEL: u32 = 4;
const RETRIES: u32 = 2;
/// The fields of a step that are no settings of its requests.
const OWN: [&str; 17] = [
    "id", "part", "phase", "title", "needs", "when", "retries", "retry_on", "timeout", "feedback", "on_error", "max_cost",
    "output", "system", "prompt", "messages", "use",
];

/// A text of a document, and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub path: String,
    pub text: String,
}

/// The document in its canonical form, and where its parts were written.
pub(super) struct Flat {
    pub document: Document,
    /// Where each step was written: the step, or the `use` that it came with.
    pub origins: Vec<String>,
    /// Where each step's `system`, `prompt` and messages were written. None for steps of parts, which were checked when they were published.
    pub texts: Vec<Vec<Text>>,
    /// Where each check was written.
    pub checks: Vec<String>,
    /// The prompts that are shared.
    pub prompts: Vec<Text>,
    /// Where each part is given its input, by its name.
    pub uses: Vec<(String, String)>,
}

/// Reads a document.
pub(super) fn flatten(value: &Value, parts: &dyn Fn(&str) -> Option<Document>, violations: &mut Vec<Violation>) -> Flat {
    Reader { value, parts, violations, missing: BTreeSet::new() }.read()
}

struct Reader<'a> {
    value: &'a Value,
    parts: &'a dyn Fn(&str) -> Option<Document>,
    violations: &'a mut Vec<Violation>,
    /// The pipelines that are used and cannot be found.
    missing: BTreeSet<String>,
}

/// A step or a `use`, as far as it is read in the first pass.
struct Entry {
    /// The steps that it stands for, by their place in the document.
    steps: Vec<usize>,
    /// What waits for it waits for these.
    ends: Vec<String>,
    /// The pipeline that is used.
    name: Option<String>,
}

impl Reader<'_> {
    fn read(mut self) -> Flat {
        let value = self.value;
        let name = text(value, "name").and_then(|name| name.parse().ok());
        let limits = &value["limits"];
        let mut document = Document {
            longhand: FORM.to_owned(),
            name: name.unwrap_or_else(unnamed),
            title: text(value, "title").map(str::to_owned),
            description: text(value, "description").map(str::to_owned),
            input: value.get("input").filter(|input| input.is_object()).cloned().unwrap_or_else(|| json!({ "type": "object" })),
            limits: Limits {
                timeout: self.duration(limits, "/limits", RUN_TIMEOUT),
                max_parallel: number(limits, "max_parallel").unwrap_or(MAX_PARALLEL),
                max_cost: limits["max_cost"].as_u64(),
            },
            phases: fields(value, "phases").map(|(id, title)| phase(id, title)).collect(),
            parts: value.get("parts").and_then(|parts| serde_json::from_value(parts.clone()).ok()).unwrap_or_default(),
            steps: Vec::new(),
            result: Map::new(),
            checks: Vec::new(),
            subject: text(value, "subject").map(str::to_owned),
            version: 0,
        };
        let prompts = fields(value, "prompts").filter_map(|(name, prompt)| {
            Some(Text { path: format!("/prompts/{}", escaped(name)), text: prompt.as_str()?.to_owned() })
        });
        let mut flat = Flat {
            prompts: prompts.collect(),
            origins: Vec::new(),
            texts: Vec::new(),
            checks: Vec::new(),
            uses: Vec::new(),
            document: document.clone(),
        };
        let mut entries = Vec::new();
        let listed = value["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (index, entry) in listed.iter().enumerate() {
            let at = format!("/steps/{index}");
            let read = match text(entry, "use") {
                Some(reference) => self.part(&mut document, &mut flat, reference, entry, &at),
                None => self.step(&mut document, &mut flat, entry, &at),
            };
            entries.push(read);
        }
        self.needs(&mut document, listed, &entries);
        document.result = self.result(&document, value.get("result"), "/result");
        for (index, check) in value["checks"].as_array().into_iter().flatten().enumerate() {
            if let Ok(check) = serde_json::from_value::<Check>(check.clone()) {
                document.checks.push(check);
                flat.checks.push(format!("/checks/{index}/expression"));
            }
        }
        self.bindings(&mut document, &flat);
        document.link();
        flat.document = document;
        flat
    }

    fn tell(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.violations.push(Violation::new(path, message));
    }

    /// The `timeout` of a part of the document.
    fn duration(&mut self, value: &Value, at: &str, default: Duration) -> Duration {
        let Some(read) = value.get("timeout").and_then(duration::read) else { return default };
        if read > TIMEOUT_MAX {
            self.tell(format!("{at}/timeout"), format!("must be at most {} hours", TIMEOUT_MAX.as_secs() / 3_600));
        }
        read
    }

    fn step(&mut self, document: &mut Document, flat: &mut Flat, own: &Value, at: &str) -> Entry {
        let defaults = &self.value["defaults"];
        let has_own_conversation = own.get("prompt").is_some() || own.get("messages").is_some();
        let mut merged = defaults.as_object().cloned().unwrap_or_default();
        merged.retain(|name, _| !has_own_conversation || !["prompt", "messages"].contains(&name.as_str()));
        merged.extend(own.as_object().cloned().unwrap_or_default());
        let place = |name: &str| if own.get(name).is_some() { at.to_owned() } else { "/defaults".to_owned() };
        let merged = Value::Object(merged);
        let id = text(&merged, "id").unwrap_or_default().to_owned();
        let mut texts = Vec::new();
        let system = self.text(merged.get("system"), &format!("{}/system", place("system")), &mut texts);
        let prompt = self.text(merged.get("prompt"), &format!("{at}/prompt"), &mut texts);
        let messages = merged.get("messages").and_then(Value::as_array).map(|messages| {
            let message = |(index, message): (usize, &Value)| {
                let content = self.text(message.get("content"), &format!("{at}/messages/{index}/content"), &mut texts)?;
                Some(Message { role: text(message, "role").unwrap_or("user").to_owned(), content })
            };
            messages.iter().enumerate().filter_map(message).collect()
        });
        let retry_on = merged.get("retry_on").and_then(|on| serde_json::from_value(on.clone()).ok());
        let settings = merged
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !OWN.contains(&name.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()));
        let timeout_at = place("timeout");
        let step = Step {
            title: text(&merged, "title").unwrap_or(&id).to_owned(),
            part: text(&merged, "part").map(str::to_owned),
            phase: text(&merged, "phase").map(str::to_owned),
            needs: Vec::new(),
            when: text(&merged, "when").map(str::to_owned),
            retries: number(&merged, "retries").unwrap_or(RETRIES),
            retry_on: retry_on.unwrap_or_else(|| RetryOn::ALL.into()),
            timeout: self.duration(&merged, &timeout_at, STEP_TIMEOUT),
            feedback: merged.get("feedback").and_then(Value::as_bool).unwrap_or_default(),
            on_error: if text(&merged, "on_error") == Some("continue") { OnError::Continue } else { OnError::Fail },
            max_cost: merged.get("max_cost").and_then(Value::as_u64),
            output: merged.get("output").filter(|output| output.is_object()).cloned(),
            system,
            prompt,
            messages,
            settings: settings.collect(),
            place: std::sync::Arc::default(),
            id: id.clone(),
        };
        document.steps.push(step);
        flat.origins.push(at.to_owned());
        flat.texts.push(texts);
        Entry { steps: vec![document.steps.len() - 1], ends: vec![id], name: None }
    }

    /// A template, or the shared one that it names.
    fn text(&mut self, value: Option<&Value>, at: &str, texts: &mut Vec<Text>) -> Option<String> {
        let value = value?;
        if let Some(text) = value.as_str() {
            texts.push(Text { path: at.to_owned(), text: text.to_owned() });
            return Some(text.to_owned());
        }
        // The schema tells what is neither a text nor a name. It is given all the same, so that nothing is told twice.
        let Some(name) = text(value, "ref") else { return (!value.is_null()).then(String::new) };
        let Some(shared) = self.value["prompts"].get(name).and_then(Value::as_str) else {
            let known: Vec<&str> = fields(self.value, "prompts").map(|(name, _)| name).collect();
            let known = if known.is_empty() { "there are none".to_owned() } else { format!("those are {}", known.join(", ")) };
            self.tell(format!("{at}/ref"), format!("must be one of `prompts`: {known}"));
            return Some(String::new());
        };
        texts.push(Text { path: at.to_owned(), text: shared.to_owned() });
        Some(shared.to_owned())
    }

    /// The steps of a pipeline that is used.
    fn part(&mut self, document: &mut Document, flat: &mut Flat, reference: &str, entry: &Value, at: &str) -> Entry {
        let name = reference.split('@').next().unwrap_or(reference).to_owned();
        let nothing = Entry { steps: vec![], ends: vec![], name: Some(name.clone()) };
        let Some(used) = (self.parts)(reference) else {
            self.tell(format!("{at}/use"), format!("must be a published pipeline; there is no `{reference}`"));
            self.missing.insert(name);
            return nothing;
        };
        if document.parts.contains_key(&name) {
            self.tell(format!("{at}/use"), format!("must be used once; `{name}` is used above"));
            return nothing;
        }
        let within = |inner: &str| format!("{name}/{inner}");
        let with = fields(entry, "with").filter_map(|(name, path)| Some((name.to_owned(), path.as_str()?.to_owned()))).collect();
        let part = Part {
            of: None,
            version: (used.version > 0).then_some(used.version),
            sha256: used.sha256(),
            input: used.input.clone(),
            with,
            result: used.result.clone(),
        };
        document.parts.insert(name.clone(), part);
        for (inner, part) in &used.parts {
            let of = Some(part.of.as_deref().map_or_else(|| name.clone(), within));
            document.parts.insert(within(inner), Part { of, ..part.clone() });
        }
        flat.uses.push((name.clone(), at.to_owned()));
        let first = document.steps.len();
        for step in &used.steps {
            let part = step.part.as_deref().map_or_else(|| name.clone(), within);
            document.steps.push(Step { part: Some(part), ..step.clone() });
            flat.origins.push(at.to_owned());
            flat.texts.push(Vec::new());
        }
        for phase in used.phases {
            if document.phases.iter().all(|known| known.id != phase.id) {
                document.phases.push(phase);
            }
        }
        for check in used.checks {
            let part = check.part.as_deref().map_or_else(|| name.clone(), within);
            document.checks.push(Check { part: Some(part), ..check });
            flat.checks.push(at.to_owned());
        }
        let needed: BTreeSet<&String> = used.steps.iter().flat_map(|step| &step.needs).collect();
        let ends = used.steps.iter().map(|step| &step.id).filter(|id| !needed.contains(id)).cloned().collect();
        Entry { steps: (first..document.steps.len()).collect(), ends, name: Some(name) }
    }

    /// What each step waits for: what is written, or what is above it. The first steps of a part wait for what the part waits for.
    fn needs(&mut self, document: &mut Document, listed: &[Value], entries: &[Entry]) {
        let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in entries {
            if let Some(name) = &entry.name {
                ends.insert(name.clone(), entry.ends.clone());
            }
        }
        for id in document.steps.iter().map(|step| &step.id) {
            ends.insert(id.clone(), vec![id.clone()]);
        }
        let mut above: &[String] = &[];
        for (index, (value, entry)) in listed.iter().zip(entries).enumerate() {
            let needs = match value.get("needs").and_then(Value::as_array) {
                None => above.to_vec(),
                Some(written) => {
                    let mut needs: Vec<String> = Vec::new();
                    for (place, name) in written.iter().enumerate().filter_map(|(place, name)| Some((place, name.as_str()?))) {
                        match ends.get(name) {
                            Some(ends) => {
                                for end in ends {
                                    if !needs.contains(end) {
                                        needs.push(end.clone());
                                    }
                                }
                            }
                            None => self
                                .tell(format!("/steps/{index}/needs/{place}"), format!("must be a step; there is no `{name}`")),
                        }
                    }
                    needs
                }
            };
            for step in &entry.steps {
                let step = &mut document.steps[*step];
                if step.needs.is_empty() {
                    step.needs.clone_from(&needs);
                }
            }
            if !entry.ends.is_empty() {
                above = &entry.ends;
            }
        }
    }

    /// The result with the results of parts in their places.
    fn result(&mut self, document: &Document, value: Option<&Value>, at: &str) -> Map<String, Value> {
        let mut result = Map::new();
        for (name, value) in value.and_then(Value::as_object).into_iter().flatten() {
            let at = format!("{at}/{}", escaped(name));
            let value = match value {
                Value::String(path) => self.result_of_part(document, path, &at).unwrap_or_else(|| value.clone()),
                Value::Object(_) => self.result(document, Some(value), &at).into(),
                _ => continue,
            };
            result.insert(name.clone(), value);
        }
        result
    }

    /// What `part.result` and `part.result.name` stand for. `None`: the path is none of these.
    fn result_of_part(&mut self, document: &Document, path: &str, at: &str) -> Option<Value> {
        let (name, rest) = path.split_once('.')?;
        if self.missing.contains(name) {
            // Told already. Whatever the document has is the input.
            return Some(Value::String("input".to_owned()));
        }
        let part = document.parts.get(name).filter(|part| part.of.is_none())?;
        let segments = path::segments(rest)?;
        let ["result", below @ ..] = segments.as_slice() else { return None };
        let mut found = Value::Object(part.result.clone());
        for (depth, segment) in below.iter().enumerate() {
            found = match found {
                Value::Object(mut fields) => {
                    let Some(inner) = fields.remove(*segment) else {
                        self.tell(at, format!("must be in the result of `{name}`, which has no `{}`", below[..=depth].join(".")));
                        return Some(Value::Null);
                    };
                    inner
                }
                Value::String(path) => Value::String(format!("{path}.{segment}")),
                other => other,
            };
        }
        Some(in_outer_terms(found, part))
    }

    /// The paths by which parts are given their input, where they are results of other parts.
    fn bindings(&mut self, document: &mut Document, flat: &Flat) {
        for (name, at) in &flat.uses {
            let Some(part) = document.parts.get(name) else { continue };
            let mut with = part.with.clone();
            for (own, path) in &mut with {
                let at = format!("{at}/with/{}", escaped(own));
                match self.result_of_part(document, path, &at) {
                    Some(Value::String(found)) => *path = found,
                    Some(Value::Null) | None => {}
                    Some(_) => self.tell(at, "must be one path; the result has several there"),
                }
            }
            if let Some(part) = document.parts.get_mut(name) {
                part.with = with;
            }
        }
    }
}

/// Paths of a part as paths around it: what it is given stands where its input was. Null: it is not given that.
fn in_outer_terms(value: Value, part: &Part) -> Value {
    match value {
        Value::String(path) => match path.strip_prefix("input.") {
            None => Value::String(path),
            Some(rest) => {
                let (name, below) = rest.split_once('.').map_or((rest, None), |(name, below)| (name, Some(below)));
                let outer = part.with.get(name);
                outer.map_or(Value::Null, |outer| below.map_or_else(|| outer.clone(), |below| format!("{outer}.{below}")).into())
            }
        },
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, in_outer_terms(value, part))).collect(),
        other => other,
    }
}

#[expect(clippy::expect_used, reason = "the name is a constant, and every test of a document without a name reads it")]
fn unnamed() -> PipelineName {
    "unnamed".parse().expect("a name")
}

fn phase(id: &str, title: &Value) -> Phase {
    Phase { id: id.to_owned(), title: title.as_str().unwrap_or(id).to_owned() }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn number(value: &Value, name: &str) -> Option<u32> {
    value.get(name).and_then(Value::as_f64).filter(|number| number.fract() == 0.0 && (0.0..=1e9).contains(number)).map(|number| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a whole number within the bounds"
        )]
        let number = number as u32;
        number
    })
}

fn fields<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
    value.get(name).and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
