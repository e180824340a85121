//! Bodies of the requests about endpoints and notifications, each with all its errors at once.

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::address::{self, Doors};
use super::endpoint::{Dialect, EventFilter, Kind};
use super::inbox::Preferences;
use super::mail;
use crate::clock::millis_of;
use crate::error::{Error, FieldError};
use crate::generation::request::read_json;
use crate::ids::InboxId;
use crate::json::schema::Schema;
use crate::limits::{EVENT_FILTERS_MAX, READ_AT_ONCE, WEBHOOK_DESCRIPTION_CHARS_MAX, WEBHOOK_URL_BYTES_MAX};

static CREATE: LazyLock<Schema> = LazyLock::new(|| {
    let kinds = json!({ "kind": { "enum": ["webhook", "slack", "email"] }, "dialect": { "enum": ["longhand", "openai"] } });
    compiled(&merged(&[kinds, changes()]), &["url"])
});
static CHANGE: LazyLock<Schema> = LazyLock::new(|| compiled(&changes(), &[]));
static SINCE: LazyLock<Schema> = LazyLock::new(|| compiled(&json!({ "since": { "type": "string" } }), &["since"]));
static READ: LazyLock<Schema> = LazyLock::new(|| {
    let ids = json!({ "type": "array", "maxItems": READ_AT_ONCE, "items": { "type": "string" } });
    compiled(&json!({ "ids": ids, "all": { "const": true } }), &[])
});
static PREFERENCES: LazyLock<Schema> = LazyLock::new(|| compiled(&json!({ "inbox": filters(0) }), &["inbox"]));

/// A new endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    /// Where it is.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// The form of what it gets.
    pub dialect: Dialect,
    /// What it wants.
    pub events: Vec<EventFilter>,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Whether it is to be told.
    pub enabled: bool,
}

/// What changes of an endpoint; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChange {
    /// Where it is.
    pub url: Option<String>,
    /// What it wants.
    pub events: Option<Vec<EventFilter>>,
    /// What its owner says of it; `Some(None)`: nothing.
    pub description: Option<Option<String>>,
    /// Whether it is to be told.
    pub enabled: Option<bool>,
}

/// Which entries of a list have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichRead {
    /// These.
    Ids(Vec<InboxId>),
    /// All that there are.
    All,
}

fn changes() -> Value {
    json!({
        "url": { "type": "string", "maxLength": WEBHOOK_URL_BYTES_MAX },
        "events": filters(1),
        "description": { "type": ["string", "null"], "maxLength": WEBHOOK_DESCRIPTION_CHARS_MAX },
        "enabled": { "type": "boolean" },
    })
}

fn filters(least: usize) -> Value {
    let all: Vec<&str> = EventFilter::all().collect();
    json!({ "type": "array", "minItems": least, "maxItems": EVENT_FILTERS_MAX, "uniqueItems": true, "items": { "enum": all } })
}

fn merged(parts: &[Value]) -> Value {
    let fields = parts.iter().filter_map(Value::as_object).flatten();
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[expect(clippy::expect_used, reason = "the schemas are compiled in, and a test compiles them")]
fn compiled(properties: &Value, required: &[&str]) -> Schema {
    let schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    Schema::compile(&schema).expect("a schema of this file compiles")
}

/// What is wrong with the address of an endpoint.
fn check_address(url: &str, kind: Kind, doors: Doors) -> Option<FieldError> {
    let checked = match kind {
        Kind::Webhook | Kind::Slack => address::receiver(url, doors).map(drop),
        Kind::Email => mail::mailbox(url).map(drop),
    };
    checked.err().map(|why| FieldError::new("/url", why))
}

/// A new endpoint: `url` is required; without `events` it wants all. `has_mail`: the deployment can send e-mail.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn new_endpoint(body: &[u8], doors: Doors, has_mail: bool) -> Result<NewEndpoint, Error> {
    #[derive(Deserialize)]
    struct Body {
        url: String,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        dialect: Dialect,
        events: Option<Vec<EventFilter>>,
        description: Option<String>,
        enabled: Option<bool>,
    }
    let Body { url, kind, dialect, events, description, enabled } = read(body, &CREATE)?;
    let mut errors: Vec<FieldError> = check_address(&url, kind, doors).into_iter().collect();
    if kind != Kind::Webhook && dialect == Dialect::Openai {
        errors.push(FieldError::new("/dialect", "must be `longhand` where `kind` is `slack` or `email`"));
    }
    if kind == Kind::Email && !has_mail {
        let expected =
            "cannot be `email`: this deployment sends none, because it has no address to send from (the parameter EmailSender)";
        errors.push(FieldError::new("/kind", expected));
    }
    let events = events.unwrap_or_else(|| "*".parse().into_iter().collect());
    errors.extend(check_filters(&events, dialect));
    if errors.is_empty() {
        Ok(NewEndpoint { url, kind, dialect, events, description, enabled: enabled.unwrap_or(true) })
    } else {
        Err(Error::InvalidRequest(errors))
    }
}

/// A change of an endpoint of this kind and dialect.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn endpoint_change(body: &[u8], doors: Doors, kind: Kind, dialect: Dialect) -> Result<EndpointChange, Error> {
    #[derive(Deserialize)]
    struct Body {
        url: Option<String>,
        events: Option<Vec<EventFilter>>,
        enabled: Option<bool>,
    }
    let value = check(body, &CHANGE)?;
    // An absent description is none that changes, and null takes it away.
    let description = value.get("description").map(|given| given.as_str().map(str::to_owned));
    let Body { url, events, enabled } = from_value(value)?;
    let mut errors: Vec<FieldError> = url.iter().filter_map(|url| check_address(url, kind, doors)).collect();
    errors.extend(events.iter().flat_map(|events| check_filters(events, dialect)));
    if errors.is_empty() { Ok(EndpointChange { url, events, description, enabled }) } else { Err(Error::InvalidRequest(errors)) }
}

fn check_filters(events: &[EventFilter], dialect: Dialect) -> Vec<FieldError> {
    let foreign = events.iter().enumerate().filter(|(_, filter)| !filter.is_of(dialect));
    let told = match dialect {
        Dialect::Longhand => "is an event of the dialect `openai`, which this endpoint does not have",
        Dialect::Openai => "is no event of the dialect `openai`, which has responses and batches",
    };
    foreign.map(|(place, _)| FieldError::new(format!("/events/{place}"), told)).collect()
}

/// The moment from which failed deliveries are sent again, in milliseconds since the epoch.
///
/// # Errors
/// [`Error::InvalidRequest`]; [`Error::RequestTooLarge`].
pub fn since(body: &[u8]) -> Result<i64, Error> {
    #[derive(Deserialize)]
    struct Body {
        since: String,
    }
    let Body { since } = read(body, &SINCE)?;
    millis_of(&since).ok_or_else(|| Error::invalid("/since", "must be a time by RFC 3339, like 2026-11-21T09:30:00Z"))
}

/// Which entries have been read: `{"ids": […]}` or `{"all": true}`.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn which_read(body: &[u8]) -> Result<WhichRead, Error> {
    #[derive(Deserialize)]
    struct Body {
        ids: Option<Vec<String>>,
        all: Option<bool>,
    }
    match read(body, &READ)? {
        Body { ids: Some(ids), all: None } => {
            let mut errors = Vec::new();
            let mut read = Vec::with_capacity(ids.len());
            for (place, id) in ids.iter().enumerate() {
                match id.parse() {
                    Ok(id) => read.push(id),
                    Err(error) => errors.push(FieldError::new(format!("/ids/{place}"), format!("{error}"))),
                }
            }
            if errors.is_empty() { Ok(WhichRead::Ids(read)) } else { Err(Error::InvalidRequest(errors)) }
        }
        Body { ids: None, all: Some(_) } => Ok(WhichRead::All),
        _ => Err(Error::invalid("", "must have either `ids` or `all`")),
    }
}

/// A user's preferences.
///
/// # Errors
/// [`Error::InvalidRequest`] with every error; [`Error::RequestTooLarge`].
pub fn preferences(body: &[u8]) -> Result<Preferences, Error> {
    #[derive(Deserialize)]
    struct Body {
        inbox: Vec<EventFilter>,
    }
    read(body, &PREFERENCES).map(|Body { inbox }| Preferences::new(inbox))
}

fn read<T: DeserializeOwned>(body: &[u8], schema: &Schema) -> Result<T, Error> {
    from_value(check(body, schema)?)
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::invalid("", format!("cannot be read: {error}")))
}

fn check(body: &[u8], schema: &Schema) -> Result<Value, Error> {
    let value = read_json(body)?;
    let errors: Vec<FieldError> = schema.errors(&value);
    if errors.is_empty() { Ok(value) } else { Err(Error::InvalidRequest(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors<T: std::fmt::Debug>(refused: Result<T, Error>) -> Vec<String> {
        let Err(Error::InvalidRequest(errors)) = refused else { panic!("{refused:?}") };
        let mut pointers: Vec<String> = errors.into_iter().map(|error| error.pointer).collect();
        pointers.sort_unstable();
        pointers
    }

    fn create(body: &Value) -> Result<NewEndpoint, Error> {
        new_endpoint(body.to_string().as_bytes(), Doors::default(), true)
    }

    #[test]
    fn a_mailbox_has_an_address_and_needs_a_deployment_that_sends() {
        let body = json!({ "kind": "email", "url": "mailto:ada@example.com" });
        assert_eq!(create(&body).unwrap().kind, Kind::Email);
        assert_eq!(errors(new_endpoint(body.to_string().as_bytes(), Doors::default(), false)), ["/kind"]);
        assert_eq!(errors(create(&json!({ "kind": "email", "url": "https://example.com/" }))), ["/url"]);
        assert_eq!(errors(create(&json!({ "url": "mailto:ada@example.com" }))), ["/url"]);
        assert_eq!(
            errors(create(&json!({ "kind": "email", "url": "mailto:ada@example.com", "dialect": "openai" }))),
            ["/dialect"]
        );
        let moved = |url: &str| {
            let body = json!({ "url": url }).to_string();
            endpoint_change(body.as_bytes(), Doors::default(), Kind::Email, Dialect::Longhand)
        };
        assert!(moved("mailto:bob@example.com").is_ok());
        assert_eq!(errors(moved("https://example.com/")), ["/url"]);
    }

    #[test]
    fn an_endpoint_wants_all_unless_it_says_what() {
        let made = create(&json!({ "url": "https://example.com/" })).unwrap();
        assert_eq!(
            (made.events, made.kind, made.dialect, made.enabled),
            (vec!["*".parse().unwrap()], Kind::Webhook, Dialect::Longhand, true)
        );
        let made =
            create(&json!({ "url": "https://example.com/", "dialect": "openai", "events": ["response.*"], "enabled": false }))
                .unwrap();
        assert_eq!((made.events, made.dialect, made.enabled), (vec!["response.*".parse().unwrap()], Dialect::Openai, false));
    }

    #[test]
    fn all_errors_of_a_body_are_told_at_once() {
        assert_eq!(errors(create(&json!({ "url": 7, "events": [], "color": 1 }))), ["/color", "/events", "/url"]);
        assert_eq!(errors(create(&json!({}))), ["/url"]);
        let crossed = json!({ "url": "http://10.0.0.1/", "kind": "slack", "dialect": "openai", "events": ["version.created"] });
        assert_eq!(errors(create(&crossed)), ["/dialect", "/events/0", "/url"]);
        let change =
            |body: &Value| endpoint_change(body.to_string().as_bytes(), Doors::default(), Kind::Webhook, Dialect::Longhand);
        assert_eq!(errors(change(&json!({ "url": "x", "events": ["response.*"] }))), ["/events/0", "/url"]);
        assert_eq!(errors(change(&json!({ "kind": "slack" }))), ["/kind"]);
        assert_eq!(change(&json!({ "description": null })).unwrap().description, Some(None));
        assert_eq!(change(&json!({})).unwrap(), EndpointChange::default());
        assert_eq!(errors(since(br#"{"since": "yesterday"}"#)), ["/since"]);
        assert_eq!(errors(which_read(br#"{"ids": ["x"]}"#)), ["/ids/0"]);
        for wrong in ["{}", r#"{"ids": [], "all": true}"#] {
            assert_eq!(errors(which_read(wrong.as_bytes())), [""], "{wrong}");
        }
        assert_eq!(errors(preferences(br#"{"inbox": ["nothing"]}"#)), ["/inbox/0"]);
        assert_eq!(preferences(br#"{"inbox": []}"#).unwrap().inbox, []);
    }
}
