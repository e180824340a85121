//! The API's `OpenAPI` document as a judge: is this answer one that it tells of?

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];
/// Read from callers, so that what is not told of them is ignored, or which say themselves what else they may have.
const OPEN: [&str; 6] = ["CreateResponse", "InputItem", "InputPart", "StartRequest", "GenerationRequest", "GenerationMetadata"];

/// The document of this build.
pub static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::read);

/// The document, in which an object that is answered has no other members than those told.
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

    /// Method, path, and where it is told, of every operation.
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

    /// What is at `place`, a JSON Pointer, and where that is: references are followed.
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

    /// Whether the document tells of this answer to that request.
    ///
    /// # Errors
    /// How it differs.
    pub fn judge(&self, method: &Method, path: &str, answer: &Answer<'_>) -> Result<(), String> {
        let place = match self.operation(method, path) {
            Some(operation) => format!("{operation}/responses/{}", answer.status.as_u16()),
            None if answer.status == StatusCode::NOT_FOUND => "/components/responses/NotFound".to_owned(),
            None if answer.status == StatusCode::FORBIDDEN => "/components/responses/Forbidden".to_owned(),
            None => "/components/responses/MethodNotAllowed".to_owned(),
        };
        let (place, told) = self.find(&place).ok_or_else(|| format!("{method} {path}: {} is not told", answer.status))?;
        let judged = self.headers(&place, told, answer.headers).and_then(|()| self.content(&place, told, method, answer));
        judged.map_err(|wrong| format!("{method} {path}: {}, {place}: {wrong}", answer.status))
    }

    /// Whether a value is of the schema at `place`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, place: &str, value: &Value) -> Result<(), String> {
        let validator = self.validator(place);
        let wrong: Vec<String> = validator.iter_errors(value).map(|error| format!("{} {error}", error.instance_path())).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{value:#}", wrong.join("\n"))) }
    }

    /// Whether the text of an event stream has events as the schema at `place` tells of each.
    ///
    /// # Errors
    /// What is wrong with the first event that is of another form.
    pub fn check_stream(&self, place: &str, text: &str) -> Result<(), String> {
        for frame in text.split("\n\n") {
            let fields = frame.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| !name.is_empty());
            let event: Map<String, Value> =
                fields.map(|(name, value)| (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).into())).collect();
            let (Some(name), Some(data)) = (event.get("event"), event.get("data").and_then(Value::as_str)) else { continue };
            let data: Value = serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))?;
            let schema = self.data_schema(place, name).ok_or_else(|| format!("{name} is not told"))?;
            self.check(&schema, &data)?;
            self.check(place, &event.into())?;
        }
        Ok(())
    }

    /// Where the data of the events of that name is told.
    fn data_schema(&self, place: &str, event: &Value) -> Option<String> {
        let (place, schema) = self.find(place)?;
        let kinds = schema["oneOf"].as_array().map_or(0, Vec::len);
        let kinds = (0..kinds).map(|kind| format!("{place}/oneOf/{kind}")).chain([place.clone()]);
        let told = |place: &String| self.document.pointer(&format!("{place}/properties/event"));
        let mut fitting = kinds.filter(|kind| told(kind).is_some_and(|told| told.get("const").is_none_or(|name| name == event)));
        fitting.next().map(|kind| format!("{kind}/properties/data/contentSchema"))
    }

    fn headers(&self, place: &str, told: &Value, given: &HeaderMap) -> Result<(), String> {
        for name in told["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
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

    fn content(&self, place: &str, told: &Value, method: &Method, answer: &Answer<'_>) -> Result<(), String> {
        let text = std::str::from_utf8(answer.body).map_err(|error| error.to_string())?;
        let Some(content) = told["content"].as_object().filter(|_| method != Method::HEAD) else {
            return if text.is_empty() { Ok(()) } else { Err(format!("a body: {text}")) };
        };
        let given = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = given.split(';').next().unwrap_or_default().trim();
        if !content.contains_key(media_type) {
            return Err(format!("{given:?} is not told"));
        }
        let schema = format!("{place}/content/{}/schema", media_type.replace('/', "~1"));
        if media_type == "text/event-stream" {
            return self.check_stream(&schema, text);
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

/// Forbids the members that are not told, except where it is told that there may be others.
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
