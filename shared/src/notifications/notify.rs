//! The field `notify` of a request: who is told of the end.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::FieldError;
use crate::ids::UserId;
use crate::limits::{NOTIFY_USERS_MAX, USER_CHARS_MAX};

/// Who is told of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Whether the organization's endpoints are told, those that want events of the type.
    #[serde(default = "webhook")]
    pub webhook: bool,
    /// In whose lists it appears: at most [`NOTIFY_USERS_MAX`], each once.
    #[serde(default)]
    pub users: Vec<UserId>,
}

const fn webhook() -> bool {
    true
}

impl Default for Notify {
    /// The endpoints, and no user.
    fn default() -> Self {
        Self { webhook: true, users: Vec::new() }
    }
}

impl Notify {
    /// Parses the value of the field at `pointer`: `{"webhook": true, "users": ["ada@example.com"]}`. Without `users`, `caller` is told.
    /// An absent field (`None`) is `{}`.
    ///
    /// # Errors
    /// Every error, with its place.
    pub fn parse(value: Option<&Value>, pointer: &str, caller: Option<&UserId>) -> Result<Self, Vec<FieldError>> {
        let told = |webhook| Self { webhook, users: caller.into_iter().cloned().collect() };
        let Some(value) = value else { return Ok(told(true)) };
        let Some(fields) = value.as_object() else {
            return Err(vec![FieldError::new(pointer, "must be an object with `webhook` or `users`")]);
        };
        let (mut errors, mut notify) = (Vec::new(), told(true));
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("webhook", Value::Bool(webhook)) => notify.webhook = *webhook,
                ("webhook", _) => errors.push(FieldError::new(format!("{pointer}/webhook"), "must be `true` or `false`")),
                ("users", Value::Array(users)) if users.len() <= NOTIFY_USERS_MAX => {
                    notify.users = read_users(users, pointer, &mut errors);
                }
                ("users", _) => {
                    let expected = format!("must be a list of at most {NOTIFY_USERS_MAX} users");
                    errors.push(FieldError::new(format!("{pointer}/users"), expected));
                }
                _ => errors.push(FieldError::new(format!("{pointer}/{name}"), "is not a field of `notify`")),
            }
        }
        if errors.is_empty() { Ok(notify) } else { Err(errors) }
    }

    /// The JSON Schema of the field.
    #[must_use]
    pub fn schema() -> Value {
        let user = json!({ "type": "string", "pattern": format!("^[A-Za-z0-9._:@+-]{{1,{USER_CHARS_MAX}}}$") });
        let users = json!({ "type": "array", "maxItems": NOTIFY_USERS_MAX, "uniqueItems": true, "items": user });
        json!({ "type": "object", "properties": { "webhook": { "type": "boolean" }, "users": users }, "additionalProperties": false })
    }
}

fn read_users(users: &[Value], pointer: &str, errors: &mut Vec<FieldError>) -> Vec<UserId> {
    let mut read: Vec<UserId> = Vec::with_capacity(users.len());
    for (place, user) in users.iter().enumerate() {
        let at = || format!("{pointer}/users/{place}");
        match user.as_str().map(str::parse::<UserId>) {
            Some(Ok(user)) if read.contains(&user) => errors.push(FieldError::new(at(), "must be named once")),
            Some(Ok(user)) => read.push(user),
            Some(Err(error)) => errors.push(FieldError::new(at(), error.to_string())),
            None => errors.push(FieldError::new(at(), "must be a string")),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::schema::Schema;

    fn parse(value: &Value) -> Result<Notify, Vec<String>> {
        let caller = "ada".parse().unwrap();
        let parsed = Notify::parse(Some(value), "/notify", Some(&caller));
        parsed.map_err(|errors| errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn without_users_the_caller_is_told_and_an_empty_list_is_nobody() {
        let users = |notify: Notify| notify.users.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(users(parse(&json!({})).unwrap()), ["ada"]);
        assert_eq!(users(parse(&json!({ "users": [] })).unwrap()), Vec::<String>::new());
        assert_eq!(users(parse(&json!({ "users": ["b@c.example", "d+e"] })).unwrap()), ["b@c.example", "d+e"]);
        let caller = "ada".parse().unwrap();
        assert_eq!(Notify::parse(None, "", Some(&caller)), Ok(Notify { webhook: true, users: vec![caller] }));
        assert_eq!(Notify::parse(None, "", None), Ok(Notify::default()));
        assert!(!parse(&json!({ "webhook": false })).unwrap().webhook);
    }

    #[test]
    fn all_errors_are_told_at_once_and_the_schema_refuses_the_same() {
        let schema = Schema::compile(&Notify::schema()).unwrap();
        let many: Vec<String> = (0..=NOTIFY_USERS_MAX).map(|user| format!("u{user}")).collect();
        for (wrong, pointers) in [
            (json!(true), vec!["/notify"]),
            (json!({ "webhook": 1, "users": ["a b", 2] }), vec!["/notify/users/0", "/notify/users/1", "/notify/webhook"]),
            (json!({ "users": many }), vec!["/notify/users"]),
            (json!({ "users": ["a", "a"] }), vec!["/notify/users/1"]),
            (json!({ "users": "a", "who": "b" }), vec!["/notify/users", "/notify/who"]),
        ] {
            let mut found = parse(&wrong).unwrap_err();
            found.sort_unstable();
            assert_eq!(found, pointers, "{wrong}");
            assert!(!schema.errors(&wrong).is_empty(), "{wrong}");
        }
    }
}
