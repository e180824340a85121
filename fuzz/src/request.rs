//! Bodies of `POST /v1/generations` and `POST /v1/responses`.

use std::sync::LazyLock;

use longhand::generation::request::Request;
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
    let (how, body) = split(data);
    let own = how % 2 == 0;
    let rules = CONFIG.request_rules();
    let parsed = if own { Request::parse(body, &rules) } else { parse_create(body, &rules) };
    match parsed {
        Ok(request) => kept(&request, own),
        Err(Error::InvalidRequest(errors)) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.detail.is_empty()), "{errors:?}");
        }
        Err(Error::RequestTooLarge(_) | Error::Refused { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}

fn kept(request: &Request, own: bool) {
    let stored = serde_json::to_vec(request).expect("JSON");
    let read: Request = serde_json::from_slice(&stored).expect("a stored request can be read");
    assert_eq!(&read, request);
    assert_eq!(read.fingerprint(), request.fingerprint());
    if own {
        let again = Request::parse(&stored, &CONFIG.request_rules()).expect("what was accepted once is accepted again");
        assert_eq!(&again, request);
    }
    assert!(request.chat_messages().iter().all(Value::is_object));
    let _ = request.expected();
}
