//! Templates and expressions: how a step's request is made from a run's input and from the outputs of the steps before it.
//!
//! By the crate `minijinja`, with nothing of its own but the language: `for`, `if`, `set`, operators. There is one filter, `json`, one test,
//! `defined`, and one function, `before`. What a model wrote is data: a template is rendered once, and what it rendered is never read as a
//! template.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use minijinja::value::{Serde, Value as Rendered, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::context::{Context, Done};
use super::document::{Check, Document, Feedback, Place, Step};
use super::{input, path};
use crate::ids::SubjectId;
use crate::limits::{FEEDBACK_BYTES_MAX, PROMPT_BYTES_MAX, TEMPLATE_FUEL};

/// Why a template has no text, or an expression no value. The message names the template and what is wrong, and repeats no input and no
/// output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct TemplateError {
    /// `prompt`, `system`, `messages[2]`, `when`, `subject` or `checks[0]`.
    pub place: String,
    /// What is wrong, in one sentence.
    pub message: String,
}

/// A check of a result, and whether it is true of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// What it means that it is true.
    pub message: String,
    /// Whether it is.
    pub ok: bool,
}

impl Step {
    /// The body of the step's next request, as `POST /v1/generations` takes it: its settings, and the rendered texts, which have 1 MB at
    /// most together. A step with a schema asks for it, and is validated strictly. One attempt, in the step's own time: the run is what
    /// tries again. `feedback` is about the try before.
    ///
    /// # Errors
    /// A template refers to what is not there, or takes too long, or its text is too large.
    pub fn request(&self, context: &Context, feedback: Option<&Feedback>) -> Result<Value, TemplateError> {
        let mut scope = Scope::of_step(self, context);
        let mut body = self.settings.clone();
        if let Some(system) = &self.system {
            let system = scope.render("system", system)?;
            // An empty text would be refused, and says nothing.
            if !system.trim().is_empty() {
                body.insert("instructions".to_owned(), system.into());
            }
        }
        let mut messages = Vec::new();
        for (index, message) in self.messages.iter().flatten().enumerate() {
            let content = scope.render(&format!("messages[{index}]"), &message.content)?;
            messages.push(json!({ "role": message.role, "content": content }));
        }
        if let Some(prompt) = &self.prompt {
            let prompt = scope.render("prompt", prompt)?;
            if prompt.trim().is_empty() {
                return Err(TemplateError { place: "prompt".into(), message: "its text is empty".into() });
            }
            match feedback {
                None => {
                    body.insert("prompt".to_owned(), prompt.into());
                }
                Some(_) => messages.push(json!({ "role": "user", "content": prompt })),
            }
        }
        messages.extend(feedback.map(|feedback| json!({ "role": "user", "content": told(feedback) })));
        if !messages.is_empty() {
            body.insert("messages".to_owned(), messages.into());
        }
        if let Some(schema) = &self.output {
            let format = json!({ "type": "json_schema", "json_schema": { "name": self.id, "schema": schema } });
            body.insert("response_format".to_owned(), format);
            body.insert("validation".to_owned(), "strict".into());
        }
        body.insert("timeout".to_owned(), self.timeout.as_secs().into());
        body.insert("max_attempts".to_owned(), 1.into());
        Ok(body.into())
    }

    /// The steps whose outputs its texts, its `when` and the input of its part are made of. Others need not be read for it.
    #[must_use]
    pub fn outputs(&self) -> BTreeSet<String> {
        let environment = language(UndefinedBehavior::SemiStrict);
        let texts = self.messages.iter().flatten().map(|message| &message.content);
        let texts = texts.chain(&self.system).chain(&self.prompt);
        let of_texts = texts.filter_map(|text| Some(environment.template_from_str(text).ok()?.undeclared_variables(true)));
        let of_when =
            self.when.iter().filter_map(|when| Some(environment.compile_expression(when).ok()?.undeclared_variables(true)));
        let names: Vec<String> = of_texts.chain(of_when).flatten().collect();
        let given = self.place.parts.iter().flat_map(|part| part.with.values());
        let paths = names.iter().chain(given).filter_map(|path| path.strip_prefix("steps."));
        let named = paths.filter_map(|path| path.split('.').next()).map(str::to_owned);
        // `before()` has all of its part.
        let has_all = names.iter().any(|name| ["before", "steps"].contains(&name.as_str()));
        named.chain(self.place.ancestors.iter().filter(|_| has_all).cloned()).collect()
    }

    /// Whether the step is to run: its `when` is true, or it has none. What is not there is false.
    ///
    /// # Errors
    /// The expression has no value.
    pub fn is_wanted(&self, context: &Context) -> Result<bool, TemplateError> {
        let Some(when) = &self.when else { return Ok(true) };
        Scope::of_step(self, context).is_true("when", when, None)
    }
}

/// What the next try is told. A text of a megabyte would crowd out what was asked.
fn told(feedback: &Feedback) -> String {
    let mut end = feedback.text.len().min(FEEDBACK_BYTES_MAX);
    while !feedback.text.is_char_boundary(end) {
        end -= 1;
    }
    let errors: Vec<String> = feedback.errors.iter().map(|error| format!("- {error}")).collect();
    let errors = errors.join("\n");
    let cut = if end < feedback.text.len() { "\n[the rest is left out]" } else { "" };
    format!(
        "Your previous answer was not accepted:\n{errors}\n\nThis was the answer:\n{}{cut}\n\nAnswer again, in full, without these errors.",
        &feedback.text[..end]
    )
}

impl Document {
    /// The result of a run whose steps have ended. What is not there is null.
    #[must_use]
    pub fn result(&self, context: &Context) -> Value {
        object_of(&self.result, &context.input, context)
    }

    /// The checks of the result.
    #[must_use]
    pub fn coherence(&self, context: &Context) -> Vec<CheckResult> {
        let told = |(index, check): (usize, &Check)| {
            let place = Place {
                ancestors: self.steps.iter().map(|step| step.id.clone()).collect(),
                parts: Arc::new(self.parts_around(check.part.as_deref())),
            };
            let input = place.input(context);
            let result = place.parts.first().map_or(&self.result, |part| &part.result);
            let result = object_of(result, &input, context);
            let mut scope = Scope { place: &place, names: None, input, context, bytes_left: 0 };
            let ok = scope.is_true(&format!("checks[{index}]"), &check.expression, Some(result));
            CheckResult { message: check.message.clone(), ok: ok.unwrap_or(false) }
        };
        self.checks.iter().enumerate().map(told).collect()
    }

    /// The subject whose next version the result becomes, if the document says one.
    ///
    /// # Errors
    /// The template refers to what is not there, or its text is no subject's name.
    pub fn subject_of(&self, context: &Context) -> Result<Option<SubjectId>, TemplateError> {
        let Some(template) = &self.subject else { return Ok(None) };
        let place = Place { ancestors: self.steps.iter().map(|step| step.id.clone()).collect(), parts: Arc::default() };
        let mut scope =
            Scope { place: &place, names: None, input: Cow::Borrowed(&context.input), context, bytes_left: PROMPT_BYTES_MAX };
        let text = scope.render("subject", template)?;
        let wrong = |error: crate::ids::InvalidId| TemplateError { place: "subject".into(), message: error.to_string() };
        text.trim().parse().map(Some).map_err(wrong)
    }
}

fn object_of(paths: &Map<String, Value>, input: &Value, context: &Context) -> Value {
    let value = |value: &Value| match value {
        Value::String(path) => path::resolve(path, input, context).unwrap_or_default(),
        Value::Object(paths) => object_of(paths, input, context),
        _ => Value::Null,
    };
    Value::Object(paths.iter().map(|(name, path)| (name.clone(), value(path))).collect())
}

impl Place {
    /// The input that templates see here: the run's, or what the part is given.
    pub(super) fn input<'a>(&self, context: &'a Context) -> Cow<'a, Value> {
        let mut outer = Cow::Borrowed(&context.input);
        for part in self.parts.iter().rev() {
            let given = part.with.iter().filter_map(|(name, path)| Some((name.clone(), path::resolve(path, &outer, context)?)));
            let mut own = Value::Object(given.collect());
            input::fill_defaults(&part.input, &mut own);
            outer = Cow::Owned(own);
        }
        outer
    }
}

/// What the templates of one place see, and how much text they may still make.
struct Scope<'a> {
    place: &'a Place,
    /// `id`, `title` and `phase` of the step.
    names: Option<Value>,
    input: Cow<'a, Value>,
    context: &'a Context,
    bytes_left: usize,
}

impl<'a> Scope<'a> {
    fn of_step(step: &'a Step, context: &'a Context) -> Self {
        let names = json!({ "id": step.id, "title": step.title, "phase": step.phase });
        Self { place: &step.place, names: Some(names), input: step.place.input(context), context, bytes_left: PROMPT_BYTES_MAX }
    }

    fn render(&mut self, place: &str, source: &str) -> Result<String, TemplateError> {
        let environment = self.environment(source, UndefinedBehavior::SemiStrict);
        let mut text = Bounded { bytes: Vec::new(), left: self.bytes_left };
        let rendered = environment.template_from_str(source).and_then(|template| {
            let values = self.values(&template.undeclared_variables(true), None);
            template.render_captured_to(values, &mut text).map(|_| ())
        });
        rendered.map_err(|error| failed(place, &error))?;
        self.bytes_left = text.left;
        String::from_utf8(text.bytes).map_err(|_| TemplateError { place: place.into(), message: "its text is no text".into() })
    }

    fn is_true(&mut self, place: &str, source: &str, result: Option<Value>) -> Result<bool, TemplateError> {
        let environment = self.environment(source, UndefinedBehavior::Chainable);
        let value = environment.compile_expression(source).and_then(|expression| {
            let values = self.values(&expression.undeclared_variables(true), result);
            expression.eval(values)
        });
        value.map(|value| value.is_true()).map_err(|error| failed(place, &error))
    }

    /// The language, and `before` where the text has it: the outputs may be megabytes.
    fn environment(&self, source: &str, undefined: UndefinedBehavior) -> Environment<'a> {
        let mut environment = language(undefined);
        if source.contains("before") {
            let outputs = self.ancestors().map(|(id, done)| (id, done.map_or(&Value::Null, |done| &done.output)));
            let outputs = Rendered::from(Serde(Outputs(outputs.collect())));
            environment.add_function("before", move || outputs.clone());
        }
        environment
    }

    fn ancestors(&self) -> impl Iterator<Item = (&str, Option<&Done>)> {
        self.place.ancestors.iter().map(|id| (id.as_str(), self.context.steps.get(id)))
    }

    /// The values of a template that refers to `names`. Outputs may be megabytes: those that it does not name are left out.
    fn values(&self, names: &std::collections::HashSet<String>, result: Option<Value>) -> Rendered {
        let is_named = |id: &str| {
            let of_step = |name: &str| name.strip_prefix("steps.").is_some_and(|rest| rest.split('.').next() == Some(id));
            names.iter().any(|name| name == "steps" || of_step(name))
        };
        let step = |(id, done): (&str, Option<&Done>)| {
            let absent = json!({ "status": null, "output": null });
            (id.to_owned(), done.map_or(absent, |done| json!({ "status": done.status, "output": done.output })))
        };
        let steps: Map<String, Value> = self.ancestors().filter(|(id, _)| is_named(id)).map(step).collect();
        let mut values = vec![("input", Rendered::from(Serde(&*self.input))), ("steps", Rendered::from(Serde(&steps)))];
        values.extend(self.names.iter().map(|names| ("step", Rendered::from(Serde(names)))));
        values.extend(result.map(|result| ("result", Rendered::from(Serde(&result)))));
        Rendered::from(values.into_iter().collect::<BTreeMap<&str, Rendered>>())
    }
}

/// Outputs by the ids of their steps, in the order of the document.
struct Outputs<'a>(Vec<(&'a str, &'a Value)>);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// The language of templates, without `before`.
pub(super) fn language<'a>(undefined: UndefinedBehavior) -> Environment<'a> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_formatter(write);
    environment.add_filter("json", |value: Rendered| as_json(&value));
    environment.add_test("defined", |value: Rendered| !value.is_undefined());
    environment
}

/// Values are written as JSON, and text as it is: what a model reads must not look like Python.
fn write(output: &mut Output, _: &mut State, value: &Rendered) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => output.write_str(text).map_err(Error::from),
        None => output.write_str(&as_json(value)?).map_err(Error::from),
    }
}

fn as_json(value: &Rendered) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Invalid | ValueKind::Bytes => Err(Error::from(ErrorKind::BadSerialization)),
        _ => serde_json::to_string(value).map_err(|_| Error::from(ErrorKind::BadSerialization)),
    }
}

/// A text that grows no further than its limit.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn failed(place: &str, error: &Error) -> TemplateError {
    let line = error.line().map(|line| format!(", in line {line}")).unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::WriteFailure => format!("the step's texts have more than {PROMPT_BYTES_MAX} bytes"),
        ErrorKind::OutOfFuel => "it takes more work than a template may".into(),
        ErrorKind::UndefinedError => {
            let what = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("it refers to something that is not there{what}{line}")
        }
        kind => {
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("{kind}{detail}{line}")
        }
    };
    TemplateError { place: place.to_owned(), message }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
