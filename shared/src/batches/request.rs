//! A request for a batch: parsed once, with the errors of all items reported together.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, FieldError};
use crate::generation::request::{Request, RequestRules, read_json};
use crate::hash::sha256_hex;
use crate::ids::{UploadId, UserId};
use crate::json::json_bytes;
use crate::json::schema::BATCH_REQUEST;
use crate::limits;
use crate::notifications::notify::Notify;

/// Items that have a place at once, unless the request says otherwise.
const CONCURRENCY: u32 = 8;
/// Seconds of one try, unless the request says otherwise.
const ITEM_TIMEOUT_SECONDS: u64 = 300;
/// Tries after the first, unless the request says otherwise.
const RETRIES: u32 = 2;
/// Errors that one answer tells.
const ERRORS_MAX: usize = limits::VALIDATION_ERRORS_MAX;

/// A request for a batch, as `infra/schemas/batch-request.schema.json` describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    /// The caller's name of it.
    pub name: Option<String>,
    /// What is to be generated.
    pub items: Items,
    /// How many items have a place at once.
    pub concurrency: u32,
    /// Items whose subject has a version are skipped.
    pub only_missing: bool,
    /// How often an item may be started.
    pub tries: u32,
    /// More failed items than this end the batch.
    pub max_failed: Option<u32>,
    /// How long the answer may wait for the end of a small batch.
    pub wait: Duration,
    /// Who is told of the end.
    pub notify: Notify,
    /// The caller's own entries.
    pub metadata: Map<String, Value>,
    /// SHA-256 in hex of the body; independent of the order of fields and of white space in its JSON.
    pub fingerprint: String,
    common: Common,
}

/// Where a batch's items are.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    /// In the body: at least one.
    Given(Vec<ItemRequest>),
    /// In a file, whose texts [`Uploaded`] reads.
    Uploaded(UploadId),
}

/// What the items of a batch have in common.
#[derive(Debug, Clone, PartialEq)]
struct Common {
    /// Fields of a request that every item has, unless it has its own.
    defaults: Map<String, Value>,
    /// Seconds that one try may take at most.
    item_timeout: u64,
}

/// An item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemRequest {
    /// The caller's name of it.
    pub custom_id: Option<String>,
    /// The request of each of its tries: one attempt, within the item's time.
    pub request: Request,
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    #[serde(default)]
    items: Vec<ItemBody>,
    items_from: Option<String>,
    #[serde(default)]
    defaults: Map<String, Value>,
    concurrency: Option<u32>,
    #[serde(default)]
    only_missing: bool,
    item_timeout: Option<u64>,
    retries: Option<u32>,
    max_failed: Option<u32>,
    #[serde(default)]
    wait: u64,
    notify: Option<Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
struct ItemBody {
    custom_id: Option<String>,
    subject: Option<String>,
    change_reason: Option<String>,
    #[serde(default)]
    request: Map<String, Value>,
}

impl BatchRequest {
    /// Parses and validates a body. `max_running`: how many generations the organization may have at once. `caller` is told of the end, unless
    /// the body says who.
    ///
    /// # Errors
    /// [`Error::RequestTooLarge`]; or [`Error::InvalidRequest`] with the first errors of all items.
    pub fn parse(
        body: &[u8],
        rules: &RequestRules<'_>,
        max_running: Option<u64>,
        caller: Option<&UserId>,
    ) -> Result<Self, Error> {
        let mut value = read_json(body)?;
        let errors = BATCH_REQUEST.errors(&value);
        if !errors.is_empty() {
            return Err(Error::InvalidRequest(errors));
        }
        value.sort_all_objects();
        let fingerprint = sha256_hex(value.to_string());
        let body: Body = serde_json::from_value(value).map_err(|error| Error::invalid("", format!("cannot be read: {error}")))?;
        let mut errors = body.errors(rules, max_running);
        let items_from = body.items_from.as_deref().map(str::parse).transpose().unwrap_or_else(|error| {
            errors.push(FieldError::new("/items_from", format!("must be the id of an upload: {error}")));
            None
        });
        let notify = Notify::parse(body.notify.as_ref(), "/notify", caller).unwrap_or_else(|wrong| {
            errors.extend(wrong);
            Notify::default()
        });
        let item_timeout = body.item_timeout.unwrap_or(ITEM_TIMEOUT_SECONDS).min(rules.timeout_seconds);
        let common = Common { defaults: body.defaults, item_timeout };
        let mut items = Vec::with_capacity(body.items.len());
        for (index, item) in body.items.into_iter().enumerate() {
            match item.request(&common, rules) {
                Ok(item) => items.push(item),
                Err(Error::InvalidRequest(of_item)) => errors.extend(of_item.into_iter().map(|error| of_place(index, error))),
                Err(error) => return Err(error),
            }
            if errors.len() >= ERRORS_MAX {
                break;
            }
        }
        if !errors.is_empty() {
            errors.truncate(ERRORS_MAX);
            return Err(Error::InvalidRequest(errors));
        }
        Ok(Self {
            name: body.name,
            items: items_from.map_or(Items::Given(items), Items::Uploaded),
            concurrency: body.concurrency.unwrap_or(CONCURRENCY),
            only_missing: body.only_missing,
            tries: body.retries.unwrap_or(RETRIES) + 1,
            max_failed: body.max_failed,
            wait: Duration::from_secs(body.wait),
            notify,
            metadata: body.metadata,
            fingerprint,
            common,
        })
    }
}

/// Reads the items of a file, one after the other, with the errors of all of them.
#[derive(Debug)]
pub struct Uploaded<'a> {
    batch: &'a BatchRequest,
    rules: &'a RequestRules<'a>,
    /// How many have come.
    count: usize,
    /// The names of items, and who has them.
    named: BTreeMap<String, usize>,
    errors: Vec<FieldError>,
}

impl<'a> Uploaded<'a> {
    /// At the beginning of the file.
    #[must_use]
    pub const fn new(batch: &'a BatchRequest, rules: &'a RequestRules<'a>) -> Self {
        Self { batch, rules, count: 0, named: BTreeMap::new(), errors: Vec::new() }
    }

    /// Reads the next item, which begins in this line of the file. `None`: it is not valid.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: there are too many errors, or items, to read on.
    pub fn read(&mut self, line: usize, text: &[u8]) -> Result<Option<ItemRequest>, Error> {
        let index = self.count;
        self.count += 1;
        if index >= limits::BATCH_ITEMS_MAX {
            let expected = format!("must name a file of at most {} items", limits::BATCH_ITEMS_MAX);
            self.errors.insert(0, FieldError::new("/items_from", expected));
            return Err(self.refused());
        }
        match self.batch.common.read(index, text, self.rules) {
            Ok(item) => {
                if let Some(id) = &item.custom_id
                    && let Some(before) = self.named.insert(id.clone(), index)
                {
                    self.errors.push(in_line(line, has_same_name(index, before)));
                }
                if self.errors.len() < ERRORS_MAX { Ok(Some(item)) } else { Err(self.refused()) }
            }
            Err(errors) => {
                self.errors.extend(errors.into_iter().map(|error| in_line(line, error)));
                if self.errors.len() < ERRORS_MAX { Ok(None) } else { Err(self.refused()) }
            }
        }
    }

    /// The file goes on with something that is no item.
    #[must_use]
    pub fn broken(&mut self, why: &str) -> Error {
        self.errors.push(FieldError::new(format!("/items/{}", self.count), why));
        self.refused()
    }

    /// At the end of the file.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with the first errors of all items, or because there is none.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.count == 0 {
            self.errors.push(FieldError::new("/items_from", "must name a file with at least one item, and this one has none"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.refused()) }
    }

    fn refused(&mut self) -> Error {
        let mut errors = std::mem::take(&mut self.errors);
        errors.truncate(ERRORS_MAX);
        Error::InvalidRequest(errors)
    }
}

impl Common {
    /// An item's text, with its place in the paths of its errors.
    fn read(&self, index: usize, text: &[u8], rules: &RequestRules<'_>) -> Result<ItemRequest, Vec<FieldError>> {
        let at = || format!("/items/{index}");
        let text = std::str::from_utf8(text).map_err(|_| vec![FieldError::new(at(), "must be UTF-8")])?;
        let value: Value =
            serde_json::from_str(text).map_err(|error| vec![FieldError::new(at(), format!("must be JSON: {error}"))])?;
        // An item is described where it stands in a body.
        let mut body = json!({ "items": [value] });
        let errors = BATCH_REQUEST.errors(&body);
        if !errors.is_empty() {
            let placed = |error: FieldError| {
                let rest = error.pointer.strip_prefix("/items/0").unwrap_or_default();
                FieldError::new(format!("{}{rest}", at()), error.detail)
            };
            return Err(errors.into_iter().map(placed).collect());
        }
        let item: ItemBody = serde_json::from_value(body["items"][0].take())
            .map_err(|error| vec![FieldError::new(at(), format!("cannot be read: {error}"))])?;
        item.request(self, rules).map_err(|error| match error {
            Error::InvalidRequest(errors) => errors.into_iter().map(|error| of_place(index, error)).collect(),
            error => vec![FieldError::new(at(), error.to_string())],
        })
    }
}

impl Body {
    /// What the schema, which describes fields one by one, cannot express.
    fn errors(&self, rules: &RequestRules<'_>, max_running: Option<u64>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match (self.items.is_empty(), &self.items_from) {
            (true, None) => errors.push(FieldError::new("/items", "is required, unless `items_from` is given")),
            (false, Some(_)) => errors.push(FieldError::new("/items_from", "cannot be given beside `items`")),
            (true, Some(_)) | (false, None) => {}
        }
        if let (Some(asked), Some(most)) = (self.concurrency, max_running)
            && u64::from(asked) > most
        {
            let expected = format!("must be at most {most}, the organization's limit of running generations");
            errors.push(FieldError::new("/concurrency", expected));
        }
        if self.item_timeout.is_some_and(|seconds| seconds > rules.timeout_seconds) {
            let expected = format!("must be at most {}, the deployment's limit in seconds", rules.timeout_seconds);
            errors.push(FieldError::new("/item_timeout", expected));
        }
        if json_bytes(&self.metadata) > limits::METADATA_BYTES_MAX as u64 {
            errors.push(FieldError::new("/metadata", format!("must be at most {} bytes of JSON", limits::METADATA_BYTES_MAX)));
        }
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, id) in self.items.iter().enumerate().filter_map(|(index, item)| Some((index, item.custom_id.as_deref()?))) {
            if let Some(before) = first.insert(id, index) {
                errors.push(has_same_name(index, before));
            }
        }
        errors
    }
}

impl ItemBody {
    /// The item, with the request of each of its tries: the defaults, and the item's own fields in their places.
    fn request(self, common: &Common, rules: &RequestRules<'_>) -> Result<ItemRequest, Error> {
        let mut fields = common.defaults.clone();
        fields.extend(self.request);
        for (name, own) in [("subject", self.subject), ("change_reason", self.change_reason)] {
            if let Some(own) = own {
                fields.insert(name.to_owned(), own.into());
            }
        }
        let mut errors = Vec::new();
        for (name, expected) in [
            ("stream", "cannot be given for an item of a batch, which nobody waits for"),
            ("max_attempts", "cannot be given for an item of a batch; give the batch `retries`"),
            ("notify", "cannot be given for an item of a batch; give it to the batch"),
        ] {
            if fields.contains_key(name) {
                errors.push(FieldError::new(format!("/{name}"), expected));
            }
        }
        if !errors.is_empty() {
            return Err(Error::InvalidRequest(errors));
        }
        let limit = common.item_timeout;
        let own = fields.get("timeout").and_then(Value::as_u64);
        fields.insert("timeout".to_owned(), own.map_or(limit, |own| own.min(limit)).into());
        // An item's tries are its generations: attempts would multiply with them.
        fields.insert("max_attempts".to_owned(), 1.into());
        Ok(ItemRequest { custom_id: self.custom_id, request: Request::from_value(fields.into(), rules)? })
    }
}

fn has_same_name(index: usize, before: usize) -> FieldError {
    let expected = format!("must be different from that of every other item; item {before} has the same");
    FieldError::new(format!("/items/{index}/custom_id"), expected)
}

fn in_line(line: usize, error: FieldError) -> FieldError {
    FieldError::new(error.pointer, format!("{}; line {line} of the upload", error.detail))
}

fn of_place(index: usize, error: FieldError) -> FieldError {
    // These two stand beside the request, too.
    let is_of_item = ["/subject", "/change_reason"].contains(&error.pointer.as_str());
    let place = if is_of_item { "" } else { "/request" };
    FieldError::new(format!("/items/{index}{place}{}", error.pointer), error.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> RequestRules<'static> {
        RequestRules { providers: vec!["openai"], responses_providers: vec![], max_output_bytes: 1_000, timeout_seconds: 1_800 }
    }

    fn parse(body: &Value) -> Result<BatchRequest, Vec<(String, String)>> {
        BatchRequest::parse(body.to_string().as_bytes(), &rules(), Some(100), None).map_err(|error| match error {
            Error::InvalidRequest(errors) => errors.into_iter().map(|error| (error.pointer, error.detail)).collect(),
            error => panic!("{error}"),
        })
    }

    #[test]
    fn items_have_the_defaults_and_their_own_fields() {
        let batch = parse(&json!({
            "name": "Informe", "retries": 0, "item_timeout": 60,
            "defaults": { "model": "m", "temperature": 0.5, "prompt": "p", "timeout": 90 },
            "items": [{ "custom_id": "a" }, { "request": { "temperature": 1, "prompt": "otro", "timeout": 9 } }],
        }))
        .unwrap();
        let Items::Given(items) = &batch.items else { panic!("{:?}", batch.items) };
        let told = items.iter().map(|item| {
            let request = &item.request;
            (request.prompt.clone().unwrap(), request.temperature, request.timeout, request.max_attempts)
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told, [("p".into(), Some(0.5), Some(60), Some(1)), ("otro".into(), Some(1.0), Some(9), Some(1))]);
        assert_eq!((batch.concurrency, batch.tries, batch.max_failed), (8, 1, None));
    }

    #[test]
    fn fingerprint_does_not_depend_on_order() {
        let one = parse(&json!({ "items": [{ "request": { "model": "m", "prompt": "p" } }], "name": "n" })).unwrap();
        let other = parse(&json!({ "name": "n", "items": [{ "request": { "prompt": "p", "model": "m" } }] })).unwrap();
        let third = parse(&json!({ "name": "n", "items": [{ "request": { "prompt": "q", "model": "m" } }] })).unwrap();
        assert_eq!(one.fingerprint, other.fingerprint);
        assert_ne!(one.fingerprint, third.fingerprint);
    }

    #[test]
    fn errors_of_all_items_are_told_at_once() {
        let errors = parse(&json!({
            "concurrency": 101, "item_timeout": 1_801, "defaults": { "model": "m" },
            "items": [
                { "custom_id": "a", "request": { "prompt": "p", "temperature": 3 } },
                { "custom_id": "a", "request": { "prompt": "p", "stream": true, "max_attempts": 2 } },
                { "request": {} },
            ],
        }))
        .unwrap_err();
        let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        let expected = [
            "/concurrency",
            "/item_timeout",
            "/items/1/custom_id",
            "/items/0/request/temperature",
            "/items/1/request/stream",
            "/items/1/request/max_attempts",
            "/items/2/request/prompt",
        ];
        assert_eq!(pointers, expected, "{errors:#?}");
        for (body, pointer) in [
            (json!({ "items": [] }), "/items"),
            (json!({ "items": [{ "request": 7 }] }), "/items/0/request"),
            (json!({ "items": [{ "novelty": 7 }] }), "/items/0"),
            (json!({ "items": [{}], "concurrency": 0 }), "/concurrency"),
            (json!({ "items": [{}], "concurrency": limits::BATCH_CONCURRENCY_MAX + 1 }), "/concurrency"),
            (json!({ "items": [{}], "wait": limits::BATCH_WAIT_MAX.as_secs() + 1 }), "/wait"),
            (json!({ "items": vec![json!({}); limits::BATCH_ITEMS_MAX + 1] }), "/items"),
        ] {
            let errors = parse(&body).unwrap_err();
            assert!(errors.iter().any(|(found, _)| found.starts_with(pointer)), "{errors:#?}");
        }
    }

    #[test]
    fn items_of_a_file_are_read_as_those_of_a_body_and_their_errors_have_lines() {
        let fields = json!({ "defaults": { "model": "m" }, "item_timeout": 9 });
        let with = |name: &str, value: Value| {
            let mut body = fields.clone();
            body[name] = value;
            parse(&body)
        };
        let upload = "upl_01arz3ndektsv4rrffq69g5fav";
        let batch = with("items_from", upload.into()).unwrap();
        assert_eq!(batch.items, Items::Uploaded(upload.parse().unwrap()));
        let item = json!({ "custom_id": "a", "subject": "s", "request": { "prompt": "p", "timeout": 60 } });
        let given = with("items", json!([item])).unwrap();
        let rules = rules();
        let mut reader = Uploaded::new(&batch, &rules);
        let read = reader.read(1, item.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(given.items, Items::Given(vec![read]));
        for (line, text) in
            [(3, item.to_string().as_str()), (4, "{"), (7, r#"{"novelty":1}"#), (8, r#"{"request":{"prompt":7}}"#)]
        {
            drop(reader.read(line, text.as_bytes()).unwrap());
        }
        drop(reader.read(9, b"\"\xff\"").unwrap());
        let Err(Error::InvalidRequest(errors)) = reader.finish() else { panic!("it has errors") };
        let told: Vec<(&str, bool)> = [3, 4, 7, 8, 9]
            .iter()
            .zip(&errors)
            .map(|(line, error)| (error.pointer.as_str(), error.detail.ends_with(&format!("line {line} of the upload"))))
            .collect();
        let expected = ["/items/1/custom_id", "/items/2", "/items/3/novelty", "/items/4/request/prompt", "/items/5"];
        assert_eq!(told, expected.map(|pointer| (pointer, true)), "{errors:#?}");
        for (body, pointer) in [
            (json!({ "items_from": "upl_7" }), "/items_from"),
            (json!({ "items_from": upload, "items": [{}] }), "/items_from"),
            (json!({}), "/items"),
        ] {
            let errors = parse(&body).unwrap_err();
            assert!(errors.iter().any(|(found, _)| found == pointer), "{errors:#?}");
        }
        let Err(Error::InvalidRequest(errors)) = Uploaded::new(&batch, &rules).finish() else { panic!("it is empty") };
        assert_eq!(errors[0].pointer, "/items_from");
    }

    #[test]
    fn a_file_has_as_many_items_as_a_body() {
        let batch =
            parse(&json!({ "items_from": "upl_01arz3ndektsv4rrffq69g5fav", "defaults": { "model": "m", "prompt": "p" } }));
        let (batch, rules) = (batch.unwrap(), rules());
        let mut reader = Uploaded::new(&batch, &rules);
        for _ in 0..limits::BATCH_ITEMS_MAX {
            assert!(reader.read(1, b"{}").unwrap().is_some());
        }
        assert!(matches!(reader.read(1, b"{}"), Err(Error::InvalidRequest(errors)) if errors[0].pointer == "/items_from"));
    }

    #[test]
    fn errors_are_bounded() {
        let items = vec![json!({ "request": { "temperature": 3 } }); 10_000];
        assert_eq!(parse(&json!({ "items": items })).unwrap_err().len(), ERRORS_MAX);
    }
}
