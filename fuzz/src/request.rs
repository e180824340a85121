//! Bodies of `POST /v1/generations` and `POST /v1/responses`.

use std::sync::LazyLock;

use longhand::generation::request::Request;
use longhand::providers::chat_messages;
use longhand::responses::parse_create;
use longhand::{Config, Error};
use serde_json::Value;

use crate::split;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let variable = |name: &str| match name {
        "LONGHAND_BUFFER_TABLE" | "LONGHAND_RECORDS_TABLE" | "LONGHAND_BUCKET" | "AWS_REGION" => Some("x".to_owned()),
        _ => None,
    };
    Config::from_vars(&variable).expect("a configuration")
});

/// A body is rejected with a reason, or parsed into an equivalent request.
pub fn request(data: &[u8]) {
    let (selector, body) = split(data);
    let is_generation = selector % 2 == 0;
    let rules = CONFIG.request_rules();
    let parsed = if is_generation { Request::parse(body, &rules) } else { parse_create(body, &rules) };
    match parsed {
        Ok(request) => assert_round_trip(&request, is_generation),
        Err(Error::InvalidRequest(errors)) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.detail.is_empty()), "{errors:?}");
        }
        Err(Error::RequestTooLarge(_) | Error::Refused { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}

fn assert_round_trip(request: &Request, is_generation: bool) {
    let stored = serde_json::to_vec(request).expect("JSON");
    let read: Request = serde_json::from_slice(&stored).expect("a stored request can be read");
    assert_eq!(&read, request);
    assert_eq!(read.fingerprint(), request.fingerprint());
    if is_generation {
        let again = Request::parse(&stored, &CONFIG.request_rules()).expect("an accepted request is accepted again");
        assert_eq!(&again, request);
    }
    let messages = chat_messages(request.conversation());
    assert!(messages.iter().all(Value::is_object));
    if let Some(given) = request.messages.as_deref() {
        let instructions = usize::from(request.instructions.is_some());
        assert_eq!(serde_json::to_string(&messages[instructions..]).expect("JSON"), serde_json::to_string(given).expect("JSON"));
    }
}
