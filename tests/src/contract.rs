//! Validates the API's answers against its `OpenAPI` document.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];
/// Schemas with further members: those of requests, whose unknown members are ignored, and those that declare them.
const OPEN: [&str; 8] = [
    "BatchRequest",
    "BatchResult",
    "CreateResponse",
    "InputItem",
    "InputPart",
    "StartRequest",
    "GenerationRequest",
    "GenerationMetadata",
];

/// The document of this build.
pub static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::read);

/// The document, in which the objects of answers have no members but the documented ones.
pub struct Contract {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An answer, read to its end.
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

impl Contract {
    fn read() -> Self {
        let mut document = longhand_local::openapi().expect("the document is read");
        for (name, schema) in document["components"]["schemas"].as_object_mut().expect("schemas") {
            if !OPEN.contains(&name.as_str()) {
                close(schema);
            }
        }
        Self { document, validators: Mutex::default() }
    }

    /// The document: JSON, in one piece, its answers closed.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Method, path and JSON Pointer of every operation.
    #[must_use]
    pub fn operations(&self) -> Vec<(String, String, String)> {
        let mut operations = Vec::new();
        for (path, item) in self.document["paths"].as_object().expect("paths") {
            for method in METHODS.into_iter().filter(|method| item.get(method).is_some()) {
                operations.push((method.to_uppercase(), path.clone(), format!("/paths/{}/{method}", path.replace('/', "~1"))));
            }
        }
        operations
    }

    /// The value at `place`, a JSON Pointer, and its own place. References are followed.
    #[must_use]
    pub fn find(&self, place: &str) -> Option<(String, &Value)> {
        let found = self.document.pointer(place)?;
        match found["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(reference) => self.find(reference),
            None => Some((place.to_owned(), found)),
        }
    }

    /// Where the operation of a request is told.
    #[must_use]
    pub fn operation(&self, method: &Method, path: &str) -> Option<String> {
        let segments: Vec<&str> = path.split('/').collect();
        let is_at = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            let same = |(told, given): (&&str, &&str)| told == given || told.starts_with('{') && !given.is_empty();
            template.len() == segments.len() && template.iter().zip(&segments).all(same)
        };
        let template = self.document["paths"].as_object()?.keys().find(|template| is_at(template))?;
        let place = format!("/paths/{}/{}", template.replace('/', "~1"), method.as_str().to_ascii_lowercase());
        self.document.pointer(&place).map(|_| place)
    }

    /// Validates an answer to a request.
    ///
    /// # Errors
    /// How the answer differs from the document.
    pub fn check_answer(&self, method: &Method, path: &str, answer: &Answer<'_>) -> Result<(), String> {
        let place = match self.operation(method, path) {
            Some(operation) => format!("{operation}/responses/{}", answer.status.as_u16()),
            None if answer.status == StatusCode::NOT_FOUND => "/components/responses/NotFound".to_owned(),
            None if answer.status == StatusCode::FORBIDDEN => "/components/responses/Forbidden".to_owned(),
            None => "/components/responses/MethodNotAllowed".to_owned(),
        };
        let (place, documented) =
            self.find(&place).ok_or_else(|| format!("{method} {path}: {} is not documented", answer.status))?;
        let checked =
            self.headers(&place, documented, answer.headers).and_then(|()| self.content(&place, documented, method, answer));
        checked.map_err(|wrong| format!("{method} {path}: {}, {place}: {wrong}", answer.status))
    }

    /// Validates a value against the schema at `place`.
    ///
    /// # Errors
    /// The violations.
    pub fn check(&self, place: &str, value: &Value) -> Result<(), String> {
        let validator = self.validator(place);
        let wrong: Vec<String> = validator.iter_errors(value).map(|error| format!("{} {error}", error.instance_path())).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{value:#}", wrong.join("\n"))) }
    }

    /// Validates each event of an event stream against the schema at `place`.
    ///
    /// # Errors
    /// The violations of the first invalid event.
    pub fn check_stream(&self, place: &str, text: &str) -> Result<(), String> {
        for frame in text.split("\n\n") {
            let fields = frame.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| !name.is_empty());
            let event: Map<String, Value> =
                fields.map(|(name, value)| (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).into())).collect();
            let (Some(name), Some(data)) = (event.get("event"), event.get("data").and_then(Value::as_str)) else { continue };
            let data: Value = serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))?;
            let schema = self.data_schema(place, name).ok_or_else(|| format!("{name} is not documented"))?;
            self.check(&schema, &data)?;
            self.check(place, &event.into())?;
        }
        Ok(())
    }

    /// The place of the schema of that event's data.
    fn data_schema(&self, place: &str, event: &Value) -> Option<String> {
        let (place, schema) = self.find(place)?;
        let kinds = schema["oneOf"].as_array().map_or(0, Vec::len);
        let kinds = (0..kinds).map(|kind| format!("{place}/oneOf/{kind}")).chain([place.clone()]);
        let name_in = |place: &String| self.document.pointer(&format!("{place}/properties/event"));
        let mut fitting =
            kinds.filter(|kind| name_in(kind).is_some_and(|schema| schema.get("const").is_none_or(|name| name == event)));
        fitting.next().map(|kind| format!("{kind}/properties/data/contentSchema"))
    }

    fn headers(&self, place: &str, documented: &Value, given: &HeaderMap) -> Result<(), String> {
        for name in documented["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
            let (place, header) = self.find(&format!("{place}/headers/{name}")).ok_or("a reference leads nowhere")?;
            match given.get(name).map(|value| value.to_str().unwrap_or_default()) {
                None if header["required"] == true => return Err(format!("the header {name} is missing")),
                None => {}
                Some(text) => {
                    let number = (header["schema"]["type"] == "integer").then(|| text.parse::<u64>().ok()).flatten();
                    let value = number.map_or_else(|| text.into(), Value::from);
                    self.check(&format!("{place}/schema"), &value).map_err(|wrong| format!("{name}: {wrong}"))?;
                }
            }
        }
        Ok(())
    }

    fn content(&self, place: &str, documented: &Value, method: &Method, answer: &Answer<'_>) -> Result<(), String> {
        let text = std::str::from_utf8(answer.body).map_err(|error| error.to_string())?;
        let Some(content) = documented["content"].as_object().filter(|_| method != Method::HEAD) else {
            return if text.is_empty() { Ok(()) } else { Err(format!("a body: {text}")) };
        };
        let given = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = given.split(';').next().unwrap_or_default().trim();
        if !content.contains_key(media_type) {
            return Err(format!("{given:?} is not documented"));
        }
        let schema = format!("{place}/content/{}/schema", media_type.replace('/', "~1"));
        if media_type == "text/event-stream" {
            return self.check_stream(&schema, text);
        }
        if ["text/plain", "text/csv", "text/markdown", "application/x-ndjson"].contains(&media_type) {
            return self.check(&schema, &text.into());
        }
        let value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        self.check(&schema, &value)
    }

    fn validator(&self, place: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().expect("nobody panics in here");
        let validator = validators.entry(place.to_owned()).or_insert_with(|| {
            let mut schema = self.document.pointer(place).unwrap_or_else(|| panic!("nothing at {place}")).clone();
            schema["components"] = self.document["components"].clone();
            let options = jsonschema::options().should_validate_formats(true).offline();
            Arc::new(options.build(&schema).unwrap_or_else(|error| panic!("{place}: {error}")))
        });
        Arc::clone(validator)
    }
}

/// Forbids undocumented members, except where the schema allows others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
