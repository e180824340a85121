//! `infra/schemas/openapi.yaml` agrees with the code. `Api::send` also checks every answer that any test reads.

mod life;

use std::collections::{BTreeMap, BTreeSet};

use longhand::limits;
use longhand_functions::http::{Envelope, ROUTES};
use longhand_tests::contract::CONTRACT;
use serde_json::{Map, Value};

use crate::template::CODES;

/// Codes of a gateway's own answers. The table in docs/errors.md has those of the functions.
const OF_GATEWAYS: [(&str, &str); 3] = [("timeout", "504"), ("internal_server_error", "502"), ("stopping", "503")];

/// The answers of an operation: the status, and the place of its description.
pub fn answers(operation: &str) -> Vec<(String, String)> {
    let answers = CONTRACT.document().pointer(&format!("{operation}/responses")).and_then(Value::as_object).unwrap();
    let place = |status: &String| CONTRACT.find(&format!("{operation}/responses/{status}")).unwrap().0;
    answers.keys().map(|status| (status.clone(), place(status))).collect()
}

fn object(place: &str) -> Map<String, Value> {
    CONTRACT.document().pointer(place).and_then(Value::as_object).cloned().unwrap_or_default()
}

#[test]
fn operations_are_the_routes() {
    let operations: BTreeSet<String> = CONTRACT.operations().iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let routes: BTreeSet<String> =
        ROUTES.iter().filter(|route| !route.is_page()).map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(operations, routes);
}

#[test]
fn credentials_and_envelopes_are_those_of_the_routes() {
    for route in ROUTES.iter().filter(|route| !route.is_page()) {
        let method = route.method.as_str().to_ascii_lowercase();
        let place = format!("/paths/{}/{method}", route.path.replace('/', "~1"));
        let operation = CONTRACT.document().pointer(&place).unwrap();
        let description = operation["description"].as_str().unwrap();
        let needs = route.scope.map_or("eeds no key".to_owned(), |scope| format!("eeds the scope `{scope}`"));
        assert!(description.contains(&needs), "{place}: {description}");
        let takes =
            |scheme: &str| operation["security"].as_array().is_some_and(|ways| ways.iter().any(|way| way.get(scheme).is_some()));
        assert_eq!((takes("token"), takes("tokenInQuery")), (route.by_token, route.token_in_query), "{place}");
        let envelope = operation["responses"]["500"]["$ref"].as_str().unwrap();
        assert_eq!(envelope.ends_with("/ResponsesInternal"), route.envelope == Envelope::OpenAi, "{place}: {envelope}");
    }
}

#[test]
fn problem_codes_have_the_statuses_of_the_list_of_errors() {
    let (mut problems, mut all) = (BTreeMap::new(), BTreeSet::new());
    let not_allowed = ("405".to_owned(), "/components/responses/MethodNotAllowed".to_owned());
    for (status, place) in CONTRACT.operations().iter().flat_map(|(.., place)| answers(place)).chain([not_allowed]) {
        for (media_type, content) in object(&format!("{place}/content")) {
            for (code, example) in content["examples"].as_object().into_iter().flatten() {
                let at = format!("{place}/content/{}/examples/{code}", media_type.replace('/', "~1"));
                all.insert((code.clone(), status.clone()));
                if media_type == "application/problem+json" {
                    let (_, example) = CONTRACT.find(&at).unwrap_or((at, example));
                    let (own, word) = (&example["value"]["status"], &example["value"]["code"]);
                    assert_eq!((own.to_string(), word.as_str()), (status.clone(), Some(code.as_str())));
                    problems.insert(code.clone(), status.clone());
                }
            }
        }
    }
    let listed = listed();
    let words = object("/components/schemas/Problem/properties/code");
    let words: BTreeSet<&str> = words["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(words, problems.keys().map(String::as_str).collect());
    assert_eq!(problems, listed);
    for code in CODES {
        let word = serde_json::to_value(code).unwrap().as_str().unwrap().to_owned();
        assert!(all.contains(&(word.clone(), code.status().to_string())), "{word} is missing");
    }
}

/// The codes of docs/errors.md, with their statuses.
fn listed() -> BTreeMap<String, String> {
    const LIST: &str = include_str!("../../../docs/errors.md");
    let requests = LIST.split("\n## Generations").next().unwrap();
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    for row in requests.lines().filter_map(|line| line.strip_prefix("| `")).filter(|row| !row.starts_with("code`")) {
        let columns: Vec<&str> = row.split(" | ").collect();
        let codes = columns[0].split(',').map(|code| code.trim_matches([' ', '`']).to_owned());
        listed.extend(codes.map(|code| (code, columns[1].to_owned())));
    }
    assert!(listed.len() > 15, "{listed:?}");
    for (code, status) in OF_GATEWAYS {
        assert!(requests.contains(&format!("{status} `{code}`")), "{code} is not in docs/errors.md");
        listed.insert(code.to_owned(), status.to_owned());
    }
    listed
}

#[test]
fn bodies_have_examples_of_their_schemas() {
    let mut count = 0;
    let bodies = CONTRACT.operations().into_iter().map(|(.., place)| format!("{place}/requestBody"));
    let bodies = bodies.filter(|place| CONTRACT.document().pointer(place).is_some());
    let answers = CONTRACT.operations().into_iter().flat_map(|(.., place)| answers(&place)).map(|(_, place)| place);
    for place in bodies.chain(answers).collect::<BTreeSet<_>>() {
        let contents = object(&format!("{place}/content"));
        let mut has_example = contents.is_empty();
        for media_type in contents.keys() {
            let at = format!("{place}/content/{}", media_type.replace('/', "~1"));
            for name in object(&format!("{at}/examples")).keys() {
                let (_, example) = CONTRACT.find(&format!("{at}/examples/{name}")).unwrap();
                let value = &example["value"];
                let schema = format!("{at}/schema");
                let checked = match value.as_str() {
                    Some(stream) => CONTRACT.check_stream(&schema, stream),
                    None => CONTRACT.check(&schema, value),
                };
                checked.unwrap_or_else(|wrong| panic!("{at}, {name}: {wrong}"));
                (count, has_example) = (count + 1, true);
            }
        }
        assert!(has_example, "{place} has no example");
    }
    assert!(count > 50, "{count} examples");
}

#[test]
fn bounds_are_those_of_the_code() {
    let number = |place: &str| CONTRACT.document().pointer(place).and_then(Value::as_u64);
    let parameter = |operation: &str, name: &str, bound: &str| {
        let parameters = CONTRACT.document().pointer(&format!("/paths/{operation}/parameters")).unwrap().as_array().unwrap();
        let found = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
        found["schema"][bound].as_u64()
    };
    let list = |bound| parameter("~1v1~1generations/get", "limit", bound);
    let events = |bound| parameter("~1v1~1generations~1{id}~1events/get", "limit", bound);
    let some = |bound: usize| Some(bound as u64);
    assert_eq!((list("maximum"), list("default")), (some(limits::LIST_LIMIT_MAX), some(limits::LIST_LIMIT_DEFAULT)));
    assert_eq!((events("maximum"), events("default")), (some(limits::EVENTS_LIMIT_MAX), some(limits::EVENTS_LIMIT_DEFAULT)));
    let expiry = |bound: &str| number(&format!("/components/schemas/TokenRequest/properties/expires_in/{bound}"));
    assert_eq!(expiry("maximum"), Some(limits::READ_TOKEN_TTL_MAX.as_secs()));
    assert_eq!(expiry("default"), Some(limits::READ_TOKEN_TTL_DEFAULT.as_secs()));
    let key = number("/components/parameters/IdempotencyKey/schema/maxLength");
    assert_eq!(key, some(limits::IDEMPOTENCY_KEY_CHARS_MAX));
    assert_eq!(number("/components/schemas/Seq/maximum"), Some(u64::MAX));
    assert_eq!(CONTRACT.document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}
