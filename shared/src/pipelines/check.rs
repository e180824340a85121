//! What publishing checks of a document that has been flattened: ids, needs, templates and the names in them, paths, schemas.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minijinja::{ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value, json};

use super::document::{Document, Part, Step, Violation};
use super::flatten::{Flat, escaped};
use super::input::referred;
use super::path;
use super::template::language;
use super::vocabulary::{Kind, strangers};
use crate::error::Error;
use crate::generation::request::{Request, RequestRules};
use crate::json::json_bytes;
use crate::json::schema::Schema;
use crate::limits::{PIPELINE_BYTES_MAX, PIPELINE_STEPS_MAX};
use crate::quota::prices::Prices;

pub(super) fn check(flat: &Flat, found: &mut Vec<Violation>) {
    let document = &flat.document;
    structure(flat, found);
    schema(&document.input, "/input", found);
    if document.input.get("type").is_some_and(|kind| kind != "object") {
        found.push(Violation::new("/input/type", "must be `object`: a run's input is one"));
    }
    for prompt in &flat.prompts {
        syntax(&prompt.text, &prompt.path, Kind::Template, found);
    }
    for ((step, at), texts) in document.steps.iter().zip(&flat.origins).zip(&flat.texts) {
        let names = Names::of_step(document, step);
        for text in texts {
            // What is shared was looked at where it is written.
            let is_sound = flat.prompts.iter().any(|prompt| prompt.text == text.text)
                || syntax(&text.text, &text.path, Kind::Template, found);
            if is_sound {
                names.check(&text.text, &text.path, Kind::Template, found);
            }
        }
        if let Some(when) = step.when.as_ref().filter(|_| step.part.is_none()) {
            let at = format!("{at}/when");
            if syntax(when, &at, Kind::Expression, found) {
                names.check(when, &at, Kind::Expression, found);
            }
        }
        if let Some(output) = step.output.as_ref().filter(|_| step.part.is_none()) {
            schema(output, &format!("{at}/output"), found);
        }
    }
    results(&document.result, "/result", document, found);
    for (check, at) in document.checks.iter().zip(&flat.checks) {
        let names = Names::of_document(document, check.part.as_deref(), true);
        if syntax(&check.expression, at, Kind::Expression, found) {
            names.check(&check.expression, at, Kind::Expression, found);
        }
    }
    if let Some(subject) = &document.subject
        && syntax(subject, "/subject", Kind::Template, found)
    {
        Names::of_document(document, None, false).check(subject, "/subject", Kind::Template, found);
    }
    for (name, at) in &flat.uses {
        if let Some(part) = document.parts.get(name) {
            given(document, name, part, at, found);
        }
    }
    let bytes = json_bytes(document);
    if bytes > PIPELINE_BYTES_MAX as u64 {
        let told = format!("must have at most {PIPELINE_BYTES_MAX} bytes with all defaults, prompts and parts; it has {bytes}");
        found.push(Violation::new("", told));
    }
}

/// Ids, needs, phases, and what each step must have.
fn structure(flat: &Flat, found: &mut Vec<Violation>) {
    let document = &flat.document;
    if document.steps.len() > PIPELINE_STEPS_MAX {
        let told =
            format!("must have at most {PIPELINE_STEPS_MAX} steps, those of its parts included; it has {}", document.steps.len());
        found.push(Violation::new("/steps", told));
    }
    let mut first: BTreeMap<&str, &str> = BTreeMap::new();
    for (step, at) in document.steps.iter().zip(&flat.origins) {
        if let Some(before) = first.insert(&step.id, at).filter(|_| !step.id.is_empty()) {
            let at = if step.part.is_some() { format!("{at}/use") } else { format!("{at}/id") };
            found.push(Violation::new(
                at,
                format!("must be different from every other step's; {before} has `{}` as well", step.id),
            ));
        }
        if step.phase.as_ref().is_some_and(|phase| document.phases.iter().all(|known| known.id != *phase)) {
            found.push(Violation::new(format!("{at}/phase"), "must be one of `phases`"));
        }
        if step.part.as_ref().is_some_and(|part| !document.parts.contains_key(part)) {
            found.push(Violation::new(format!("{at}/part"), "must be one of `parts`"));
        }
        match (&step.prompt, &step.messages) {
            (Some(_), Some(_)) => found.push(Violation::new(format!("{at}/messages"), "cannot be given together with `prompt`")),
            (None, None) => found.push(Violation::new(format!("{at}/prompt"), "is required, unless `messages` is given")),
            _ => {}
        }
        if !step.settings.contains_key("model") {
            found.push(Violation::new(format!("{at}/model"), "is required, here or in `defaults`"));
        }
        if step.output.is_some() && step.settings.contains_key("response_format") {
            found.push(Violation::new(
                format!("{at}/response_format"),
                "cannot be given together with `output`, which asks for its schema",
            ));
        }
        if step.feedback && step.output.is_none() {
            found.push(Violation::new(format!("{at}/feedback"), "needs an `output`, whose errors it tells"));
        }
    }
    for (name, part) in &document.parts {
        let around = name.rsplit_once('/').map(|(around, _)| around);
        if part.of.as_deref() != around || around.is_some_and(|around| !document.parts.contains_key(around)) {
            found
                .push(Violation::new(format!("/parts/{}/of", escaped(name)), "must be the part before the last `/` of its name"));
        }
        if flat.uses.iter().all(|(used, _)| name.split('/').next() != Some(used)) {
            schema(&part.input, &format!("/parts/{}/input", escaped(name)), found);
        }
    }
    // Two steps of one name look like a circle, and are told already.
    if first.len() == document.steps.len() {
        circle(flat, found);
    }
}

fn circle(flat: &Flat, found: &mut Vec<Violation>) {
    let mut waiting: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for step in &flat.document.steps {
        waiting.insert(&step.id, step.needs.iter().map(String::as_str).collect());
    }
    loop {
        let free: Vec<&str> = waiting.iter().filter(|(_, needs)| needs.is_empty()).map(|(id, _)| *id).collect();
        if free.is_empty() {
            break;
        }
        for id in free {
            waiting.remove(id);
            for needs in waiting.values_mut() {
                needs.remove(id);
            }
        }
    }
    let caught = flat.document.steps.iter().zip(&flat.origins).find(|(step, _)| waiting.contains_key(step.id.as_str()));
    if let Some((step, at)) = caught {
        let mut way = vec![step.id.as_str()];
        while let Some(next) = waiting.get(way[way.len() - 1]).and_then(|needs| needs.first()) {
            let closes = way.iter().position(|id| id == next);
            way.push(next);
            if let Some(start) = closes {
                way.drain(..start);
                break;
            }
        }
        found.push(Violation::new(format!("{at}/needs"), format!("must not lead back to itself: {}", way.join(" → "))));
    }
}

fn schema(value: &Value, at: &str, found: &mut Vec<Violation>) {
    if let Err(errors) = Schema::compile(value) {
        found.extend(errors.into_iter().map(|error| Violation::new(format!("{at}{}", error.pointer), error.detail)));
    }
}

/// Whether a template or an expression is one of the language.
fn syntax(source: &str, at: &str, kind: Kind, found: &mut Vec<Violation>) -> bool {
    let environment = language(UndefinedBehavior::SemiStrict);
    let compiled = match kind {
        Kind::Template => environment.template_from_str(source).map(|_| ()),
        Kind::Expression => environment.compile_expression(source).map(|_| ()),
    };
    if let Err(error) = compiled {
        let line = error.line().map(|line| format!(", in line {line}")).unwrap_or_default();
        let detail = match error.kind() {
            ErrorKind::SyntaxError => error.detail().unwrap_or("it is none").to_owned(),
            kind => kind.to_string(),
        };
        let what = if kind == Kind::Template { "a template" } else { "an expression" };
        found.push(Violation::new(at, format!("must be {what}: {detail}{line}")));
        return false;
    }
    let strange = strangers(source, kind);
    found.extend(strange.iter().map(|what| Violation::new(at, format!("must be in the language of templates: {what}"))));
    strange.is_empty()
}

/// The names that a template may have.
struct Names<'a> {
    /// The schema of the input that it sees.
    input: &'a Value,
    /// The steps whose outputs it sees, with their schemas.
    steps: BTreeMap<&'a str, Option<&'a Value>>,
    /// Steps that exist, but are not among those.
    others: BTreeSet<&'a str>,
    is_of_step: bool,
    has_result: bool,
}

impl<'a> Names<'a> {
    fn of_step(document: &'a Document, step: &'a Step) -> Self {
        let seen: BTreeSet<&str> = step.place.ancestors.iter().map(String::as_str).collect();
        let (steps, others): (Vec<&Step>, Vec<&Step>) = document.steps.iter().partition(|other| seen.contains(other.id.as_str()));
        Self {
            input: step.place.parts.first().map_or(&document.input, |part| &part.input),
            steps: steps.into_iter().map(|step| (step.id.as_str(), step.output.as_ref())).collect(),
            others: others.into_iter().map(|step| step.id.as_str()).collect(),
            is_of_step: true,
            has_result: false,
        }
    }

    fn of_document(document: &'a Document, part: Option<&str>, has_result: bool) -> Self {
        Self {
            input: part.and_then(|part| document.parts.get(part)).map_or(&document.input, |part| &part.input),
            steps: document.steps.iter().map(|step| (step.id.as_str(), step.output.as_ref())).collect(),
            others: BTreeSet::new(),
            is_of_step: false,
            has_result,
        }
    }

    fn check(&self, source: &str, at: &str, kind: Kind, found: &mut Vec<Violation>) {
        let environment = language(UndefinedBehavior::SemiStrict);
        let names = match kind {
            Kind::Template => environment.template_from_str(source).map(|template| template.undeclared_variables(true)),
            Kind::Expression => environment.compile_expression(source).map(|expression| expression.undeclared_variables(true)),
        };
        let names: BTreeSet<String> = names.unwrap_or_default().into_iter().collect();
        for name in names {
            if let Some(wrong) = self.wrong(&name) {
                found.push(Violation::new(at, wrong));
            }
        }
    }

    /// What is wrong with a name, if anything is.
    fn wrong(&self, name: &str) -> Option<String> {
        let segments: Vec<&str> = name.split('.').collect();
        match segments.as_slice() {
            ["input", below @ ..] => {
                forbidden(self.input, below).map(|part| format!("refers to `{name}`, and the input's schema has no `{part}`"))
            }
            ["steps"] => {
                Some("must name a step by `steps.ID.output` or `steps.ID.status`; for all of them there is `before()`".into())
            }
            ["steps", id, below @ ..] => match (self.steps.get(id), below) {
                (None, _) if self.others.contains(id) => {
                    Some(format!("refers to the step `{id}`, which is not before it: add it to `needs`"))
                }
                (None, _) => Some(format!("refers to the step `{id}`, and there is none")),
                (Some(_), [] | ["status"]) => None,
                (Some(schema), ["output", below @ ..]) => {
                    let lost = schema.and_then(|schema| forbidden(schema, below));
                    lost.map(|part| format!("refers to `{name}`, and the schema of the output of `{id}` has no `{part}`"))
                }
                (Some(_), [other, ..]) => Some(format!("refers to `{name}`: a step has `output` and `status`, and no `{other}`")),
            },
            ["step", "id" | "title" | "phase"] | ["before"] if self.is_of_step => None,
            ["step", ..] if self.is_of_step => Some(format!("refers to `{name}`: `step` has `id`, `title` and `phase`")),
            ["result", ..] if self.has_result => None,
            _ => Some(format!("refers to `{name}`, which is not known here: {}", self.known())),
        }
    }

    fn known(&self) -> &'static str {
        match (self.is_of_step, self.has_result) {
            (true, _) => "there are `input`, `steps`, `step` and `before()`",
            (_, true) => "there are `input`, `steps` and `result`",
            _ => "there are `input` and `steps`",
        }
    }
}

/// The first of these names, below each other, that a value of this schema cannot have. Of the outermost, those that are listed: a schema
/// that lists properties and forgets one is more often wrong than a template.
fn forbidden<'n>(schema: &Value, names: &[&'n str]) -> Option<&'n str> {
    let mut node = schema;
    for (depth, name) in names.iter().enumerate() {
        node = referred(schema, node);
        let is_open = |keyword: &str| node.get(keyword).is_some();
        if ["allOf", "anyOf", "oneOf", "if", "patternProperties", "$ref", "$dynamicRef", "dependentSchemas"]
            .into_iter()
            .any(is_open)
        {
            return None;
        }
        let takes_fields = match node.get("type") {
            Some(Value::String(kind)) => kind == "object" || kind == "array",
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object" || kind == "array"),
            _ => true,
        };
        if !takes_fields {
            return Some(name);
        }
        let property = node.get("properties").and_then(|properties| properties.get(name));
        match (property, node.get("additionalProperties")) {
            (Some(property), _) => node = property,
            (None, Some(Value::Bool(false))) => return Some(name),
            (None, None) if depth == 0 && node.get("properties").is_some() => return Some(name),
            _ => return None,
        }
    }
    None
}

/// Paths of a result, in the document's own terms.
fn results(paths: &Map<String, Value>, at: &str, document: &Document, found: &mut Vec<Violation>) {
    for (name, value) in paths {
        let at = format!("{at}/{}", escaped(name));
        match value {
            Value::String(path) => found.extend(wrong_path(path, document).map(|wrong| Violation::new(at, wrong))),
            Value::Object(paths) => results(paths, &at, document, found),
            _ => {}
        }
    }
}

fn wrong_path(path: &str, document: &Document) -> Option<String> {
    let form = "must be a path: `input.…`, `steps.ID.output…`, `steps.ID.status`, or `PIPELINE.result…` of one that is used";
    match path::segments(path).as_deref() {
        Some(["input", ..] | ["steps", _, "output", ..] | ["steps", _, "status"]) => {
            Names::of_document(document, None, false).wrong(path)
        }
        _ => Some(form.into()),
    }
}

/// What a part is given.
fn given(document: &Document, name: &str, part: &Part, at: &str, found: &mut Vec<Violation>) {
    let properties = part.input.get("properties").and_then(Value::as_object);
    let own: Vec<&Step> = document
        .steps
        .iter()
        .filter(|step| step.part.as_deref().is_some_and(|of| super::document::is_within(Some(of), Some(name))))
        .collect();
    // What every step of the part has before it, outside of it.
    let before: BTreeSet<&str> = own.first().map(|first| outside(document, first, name)).unwrap_or_default();
    for (field, path) in &part.with {
        let at = format!("{at}/with/{}", escaped(field));
        if properties.is_some_and(|properties| !properties.contains_key(field)) {
            found.push(Violation::new(&at, format!("is not in the input of `{name}`")));
        }
        if let Some(wrong) = wrong_path(path, document) {
            found.push(Violation::new(&at, wrong));
            continue;
        }
        let step = path.strip_prefix("steps.").and_then(|rest| rest.split('.').next());
        if let Some(id) = step.filter(|id| !before.contains(id)) {
            found.push(Violation::new(&at, format!("refers to the step `{id}`, which is not before it: add it to `needs`")));
        }
    }
    for field in part.input.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let has_default = properties.and_then(|all| all.get(field)).is_some_and(|property| property.get("default").is_some());
        if !part.with.contains_key(field) && !has_default {
            found.push(Violation::new(format!("{at}/with/{}", escaped(field)), format!("is required by the input of `{name}`")));
        }
    }
}

/// The steps before this one that do not belong to the part.
fn outside<'a>(document: &'a Document, step: &Step, part: &str) -> BTreeSet<&'a str> {
    let mut before = BTreeSet::new();
    let mut open: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        let Some(found) = document.step(id) else { continue };
        if before.insert(found.id.as_str()) {
            open.extend(found.needs.iter().map(String::as_str));
        }
    }
    before.retain(|id| !document.step(id).is_some_and(|step| super::document::is_within(step.part.as_deref(), Some(part))));
    before
}

impl Document {
    /// What this deployment cannot do of the document: providers that it does not know, limits beyond its own, costs that it cannot count.
    #[must_use]
    pub fn check_deployment(&self, rules: &RequestRules<'_>, prices: &Prices) -> Vec<Violation> {
        let mut found = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let mut body = step.settings.clone();
            body.insert("prompt".into(), "x".into());
            if let Some(output) = &step.output {
                let format = json!({ "type": "json_schema", "json_schema": { "name": step.id, "schema": output } });
                body.insert("response_format".into(), format);
            }
            body.insert("timeout".into(), step.timeout.as_secs().into());
            match Request::from_value(body.into(), rules) {
                Ok(request) => {
                    let is_bounded = self.limits.max_cost.is_some() || step.max_cost.is_some();
                    if is_bounded && prices.find(&request.provider, &request.model).is_none() {
                        let told = format!(
                            "step {}: must have a price in this deployment, because `max_cost` bounds what it may cost",
                            step.id
                        );
                        found.push(Violation::new(format!("/steps/{index}/model"), told));
                    }
                }
                Err(Error::InvalidRequest(errors)) => {
                    let told = |error: crate::error::FieldError| {
                        Violation::new(format!("/steps/{index}{}", error.pointer), format!("step {}: {}", step.id, error.detail))
                    };
                    found.extend(errors.into_iter().map(told));
                }
                Err(error) => found.push(Violation::new(format!("/steps/{index}"), error.public_detail())),
            }
        }
        found
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
