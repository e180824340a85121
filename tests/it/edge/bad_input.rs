//! Bad requests, and the exact words that their senders get.

use std::collections::BTreeSet;

use futures::future::join_all;
use longhand_local::{Data, Options};
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment};
use reqwest::header::{self, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// Where no provider is.
const NOWHERE: &str = "http://127.0.0.1:9";
const ABSENT: &str = "gen_01arz3ndektsv4rrffq69g5fav";

/// Bodies, and what is wrong with them.
const BODIES: &[(&str, &str)] = &[
    ("{}", "/model is required; /prompt is required, unless `messages` is given"),
    (r#"{"model":"","prompt":""}"#, "/model must not be empty; /prompt must not be empty"),
    (
        r#"{"model":"m","prompt":"p","messages":[{"role":"user","content":"p"}]}"#,
        "/messages cannot be given together with `prompt`; give one of the two",
    ),
    (r#"{"model":"m"}"#, "/prompt is required, unless `messages` is given"),
    (r#"{"model":7,"prompt":["p"]}"#, "/model must be a string; /prompt must be a string"),
    (
        r#"{"model":"m","prompt":"p","Temperature":1,"a/b~c":2}"#,
        "/Temperature is not a known field; /a~1b~0c is not a known field",
    ),
    (
        r#"{"model":"m","prompt":"p","provider":"nobody"}"#,
        "/provider must be one that this deployment knows: abacus, anthropic, bedrock, gemini, ollama, openai, openai-background, openai-responses, test",
    ),
    (r#"{"model":"m","prompt":"p","provider":null}"#, "/provider must be a string"),
    (r#"{"model":"m","prompt":"p","temperature":3}"#, "/temperature must be at most 2"),
    (
        r#"{"model":"m","prompt":"p","temperature":"warm","top_p":-0.5}"#,
        "/temperature must be a number; /top_p must be at least 0",
    ),
    (r#"{"model":"m","prompt":"p","max_output_tokens":0}"#, "/max_output_tokens must be at least 1"),
    (
        r#"{"model":"m","prompt":"p","max_output_tokens":1.5,"seed":1e30}"#,
        "/max_output_tokens must be an integer; /seed must be at most 9223372036854775807",
    ),
    (r#"{"model":"m","messages":[]}"#, "/messages must not be empty"),
    (
        r#"{"model":"m","messages":[{"content":"p"},{"role":"robot","content":7},"p"]}"#,
        r#"/messages/0/role is required; /messages/1/role must be one of ["system","developer","user","assistant","tool"]; /messages/1/content must be null or a string or an array; /messages/2 must be an object"#,
    ),
    (r#"{"model":"m","prompt":"p","stop":[1]}"#, "/stop/0 must be a string"),
    (
        r#"{"model":"m","prompt":"p","tools":{},"tool_choice":1}"#,
        "/tools must be an array; /tool_choice must be a string or an object",
    ),
    (r#"{"model":"m","prompt":"p","response_format":"json"}"#, "/response_format must be an object"),
    (
        r#"{"model":"m","prompt":"p","response_format":{"type":"xml"}}"#,
        r#"/response_format/type must be one of ["text","json_object","json_schema"]"#,
    ),
    (
        r#"{"model":"m","prompt":"p","response_format":{"type":"json_schema"}}"#,
        "/response_format/json_schema is required with the type `json_schema`",
    ),
    (
        r#"{"model":"m","prompt":"p","response_format":{"type":"json_schema","json_schema":{"name":"n"}}}"#,
        "/response_format/json_schema/schema is required",
    ),
    (r#"{"model":"m","prompt":"p","metadata":[]}"#, "/metadata must be an object"),
    (
        r#"{"model":"m","prompt":"p","validation":"firm","delete_after":"yes"}"#,
        r#"/validation must be one of ["soft","strict"]; /delete_after must be a boolean"#,
    ),
    (
        r#"{"model":"m","prompt":"p","max_output_bytes":99999999999,"max_attempts":11}"#,
        "/max_attempts must be at most 10; /max_output_bytes must be at most 33554432, the deployment's limit",
    ),
    (
        r#"{"model":"m","prompt":"p","max_attempts":0,"provider_options":[]}"#,
        "/max_attempts must be at least 1; /provider_options must be an object",
    ),
    // The price is the named model's, and what comes is reckoned as one answer.
    (
        r#"{"model":"m","prompt":"p","provider_options":{"model":"dear","messages":[],"n":8,"top_k":40}}"#,
        "/provider_options/model must not be given; /provider_options/messages must not be given; /provider_options/n must not be given",
    ),
    ("[]", "the body must be an object"),
    (r#""p""#, "the body must be an object"),
    ("", "the body must be a JSON object, and is empty"),
    ("null", "the body must be an object"),
    ("hola", "the body must be a JSON object, and is no JSON: expected value at line 1 column 1"),
    (r#"{"model":"m","prompt":"p"#, "the body must be a JSON object, and ends within it, at line 1 column 24"),
    (
        r#"{"model":"m","prompt":"p"} {}"#,
        "the body must be a JSON object, and is no JSON: trailing characters at line 1 column 28",
    ),
    (
        r#"{"model":"m","prompt":"\ud83d"}"#,
        "the body must be a JSON object, and is no JSON: unexpected end of hex escape at line 1 column 30",
    ),
    ("model=m&prompt=p", "the body must be a JSON object, and is no JSON: expected value at line 1 column 1"),
];

/// Schemas of a `response_format`, and what is wrong with them. `AT` is where they stand.
const SCHEMAS: &[(&str, &str)] = &[
    (
        r#"{"type":"wat","minimum":"x"}"#,
        "AT/type must be the name of a type or a list of such names; AT/minimum must be a number",
    ),
    (r#"{"$ref":"https://example.com/a.json"}"#, "AT must not refer to https://example.com/a.json: nothing is fetched"),
    (r##"{"$ref":"#/nowhere"}"##, "AT must refer to a schema within the document: Pointer '/nowhere' does not exist"),
    (r#"{"pattern":"(a"}"#, "AT/pattern must be a regular expression, without look-around and back-references"),
    (r#"{"pattern":"(a)\\1"}"#, "AT/pattern must be a regular expression, without look-around and back-references"),
    (r#"{"$schema":"https://example.com/s"}"#, "AT must have a draft of JSON Schema as its `$schema`, not https://example.com/s"),
    (r#"{"$schema":7,"properties":[]}"#, "AT/$schema must be a string; AT/properties must be an object"),
];

/// The answer of API Gateway, which knows no route there.
const NO_ROUTE: &str = "404 not_found: there is no such route; there are /v1/generations, /v1/responses and /v1/chat/completions, \
                        and the base URL of an OpenAI client ends with /v1";

/// Requests without a body. `ID` is a generation, `ABSENT` is none.
const PATHS: &[(&str, &str, &str)] = &[
    ("GET", "/v1/generations/ABSENT", r#"404 not_found: there is no generation "ABSENT""#),
    ("GET", "/v1/generations/ABSENT/output", r#"404 not_found: there is no generation "ABSENT""#),
    ("GET", "/v1/generations/ABSENT/events", r#"404 not_found: there is no generation "ABSENT""#),
    ("GET", "/v1/generations/ABSENT/progress", r#"404 not_found: there is no generation "ABSENT""#),
    ("GET", "/v1/generations/gen_1", r#"404 not_found: there is no generation "gen_1""#),
    ("GET", "/v1/generations/%ZZ", r#"404 not_found: there is no generation "%ZZ""#),
    ("GET", "/v1/generations/a%2Fb%00%0A%22", r#"404 not_found: there is no generation "a/b\0\n\"""#),
    ("GET", "/v1/generations/%FF%FE", r#"404 not_found: there is no generation "%FF%FE""#),
    ("GET", "/v1/generations?limit=0", "limit must be a whole number from 1 to 100"),
    ("GET", "/v1/generations?limit=101", "limit must be a whole number from 1 to 100"),
    ("GET", "/v1/generations?limit=many", "limit must be a whole number from 1 to 100"),
    ("GET", "/v1/generations?limit=-1", "limit must be a whole number from 1 to 100"),
    ("GET", "/v1/generations?limit=", "limit must be a whole number from 1 to 100"),
    ("GET", "/v1/generations?after=gen_1", r#"after must be an id: a generation's id is `gen_` and 26 characters, not "gen_1""#),
    (
        "GET",
        "/v1/generations?after=%FF&limit=%FF",
        r#"after must be an id: a generation's id is `gen_` and 26 characters, not "�""#,
    ),
    ("GET", "/v1/generations/ID/events?after=-1", "after must be the number of an event, 0 or more"),
    ("GET", "/v1/generations/ID/events?after=last&limit=10001", "after must be the number of an event, 0 or more"),
    ("GET", "/v1/generations/ID/events?limit=1.5", "limit must be a whole number from 1 to 10000"),
    ("DELETE", "/v1/generations", "405 method_not_allowed (GET, POST): /v1/generations takes GET or POST, not DELETE."),
    (
        "POST",
        "/v1/generations/ID",
        "405 method_not_allowed (DELETE, GET, HEAD): /v1/generations/ID takes DELETE or GET or HEAD, not POST.",
    ),
    ("PUT", "/v1/generations/ID/events", "405 method_not_allowed (GET): /v1/generations/ID/events takes GET, not PUT."),
    ("GET", "/v1/generation", NO_ROUTE),
    ("GET", "/v2/generations", NO_ROUTE),
    ("GET", "/v1/generations/", NO_ROUTE),
    ("GET", "/", NO_ROUTE),
];

/// What a person reads, on one line. The wrong fields of a body are told one by one, and again in the detail.
async fn told(response: Response) -> String {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let (content_type, allow) = (header(header::CONTENT_TYPE), header(header::ALLOW));
    let problem: Value = response.json().await.expect("a JSON body");
    assert_eq!(content_type.as_deref(), Some("application/problem+json"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{problem}");
    let fields: Vec<String> = problem["errors"].as_array().into_iter().flatten().map(field).collect();
    let code = problem["code"].as_str().expect("a code");
    let detail = problem["detail"].as_str().expect("a detail");
    assert_eq!(fields.is_empty(), code != "invalid_request", "{problem}");
    if !fields.is_empty() {
        assert_eq!(detail, format!("the request is not valid: {}", fields.join("; ")));
    }
    format!("{status} {code}{}: {detail}", allow.map(|methods| format!(" ({methods})")).unwrap_or_default())
}

fn field(error: &Value) -> String {
    let place = error["pointer"].as_str().filter(|pointer| !pointer.is_empty()).unwrap_or("the body");
    format!("{place} {}", error["detail"].as_str().expect("a detail"))
}

/// Sends each request and compares; all differences are told at once. An expectation without a status is about what the
/// request says.
async fn assert_told(rows: impl IntoIterator<Item = (String, RequestBuilder, String)>) {
    let mut wrong = Vec::new();
    for (name, request, expected) in rows {
        let told = told(request.send().await.expect("an answer")).await;
        let has_status = expected.starts_with(|first: char| first.is_ascii_digit());
        let expected = if has_status { expected } else { format!("400 invalid_request: the request is not valid: {expected}") };
        if told != expected {
            wrong.push(format!("{name}\n  expected {expected}\n  got      {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn post(harness: &Harness, body: impl Into<reqwest::Body>) -> RequestBuilder {
    harness.http.post(format!("{}/v1/generations", harness.stack.url())).body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_is_named_with_what_was_expected() {
    let harness = Harness::start(NOWHERE, &[]).await;
    assert_told(BODIES.iter().map(|(body, told)| ((*body).to_owned(), post(&harness, *body), (*told).to_owned()))).await;
    let schemas = SCHEMAS.iter().map(|(schema, told)| {
        let format = format!(r#"{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}"#);
        let body = format!(r#"{{"model":"m","prompt":"p","response_format":{format}}}"#);
        ((*schema).to_owned(), post(&harness, body), told.replace("AT", "/response_format/json_schema/schema"))
    });
    assert_told(schemas).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_much_or_no_text_are_refused() {
    let harness = Harness::start(NOWHERE, &[]).await;
    let large = json!({ "model": "m", "prompt": "p".repeat(4 * 1024 * 1024) }).to_string();
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = large.as_bytes().chunks(65_536).map(|piece| Ok(piece.to_vec())).collect();
    let streamed = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let metadata = json!({ "model": "m", "prompt": "p", "metadata": { "note": "é".repeat(2_100) } }).to_string();
    let deep = format!(r#"{{"model":"m","prompt":"p","metadata":{}{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
    let row = |name: &str, body: reqwest::Body, expected: &str| (name.to_owned(), post(&harness, body), expected.to_owned());
    let rows = vec![
        row(
            "large",
            large.clone().into(),
            "413 request_too_large: the request body has 4194329 bytes; at most 4194304 are allowed",
        ),
        row("large-streamed", streamed, "413 request_too_large: the request body has 4194305 bytes; at most 4194304 are allowed"),
        row("metadata", metadata.into(), "/metadata must have at most 4096 bytes as JSON; it has 4211"),
        row("deep", deep.into(), "the body must be nested less deep: recursion limit exceeded at line 1 column 668"),
        row(
            "not-utf8",
            b"{\"model\":\"m\",\"prompt\":\"p\xff\"}".to_vec().into(),
            "the body must be a JSON object, and is no JSON: invalid unicode code point at line 1 column 25",
        ),
        row(
            "byte-order-mark",
            "\u{feff}{}".into(),
            "the body must begin with the JSON object, and begins with a byte order mark",
        ),
        row("gzip", b"\x1f\x8b\x08\x00\x00".to_vec().into(), "the body must be plain JSON, and is compressed by gzip"),
        row(
            "utf16",
            "{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>().into(),
            "the body must be a JSON object, and is no JSON: key must be a string at line 1 column 2",
        ),
    ];
    assert_told(rows).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_queries_and_methods_that_name_nothing_are_told_so() {
    let refusing = Hostile::start([]).await;
    let harness = Harness::start(&refusing.base_url("test"), &[]).await;
    let id = harness.start_generation(json!({})).await;
    let named = |text: &str| text.replace("ABSENT", ABSENT).replace("ID", &id);
    let rows = PATHS.iter().map(|(method, path, told)| {
        let url = format!("{}{}", harness.stack.url(), named(path));
        let request = harness.http.request(method.parse().expect("a method"), url);
        (format!("{method} {path}"), request, named(told))
    });
    assert_told(rows).await;
    harness.ended(&id).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_readers_place_is_a_number_wherever_it_is_told() {
    let refusing = Hostile::start([]).await;
    let harness = Harness::start(&refusing.base_url("test"), &[]).await;
    let id = harness.start_generation(json!({})).await;
    harness.ended(&id).await;
    let get = |query: &str, last: &[u8]| {
        let request = harness.http.get(format!("{}{query}", harness.events_url(&id)));
        request.header("Last-Event-ID", HeaderValue::from_bytes(last).expect("a header"))
    };
    let rows = [
        ("", &b"x"[..], "Last-Event-ID must be the number of an event, 0 or more"),
        ("", "1é".as_bytes(), "Last-Event-ID must be printable ASCII"),
        ("?after=0", b"-1", "Last-Event-ID must be the number of an event, 0 or more"),
        ("?after=18446744073709551616", b"0", "after must be the number of an event, 0 or more"),
    ];
    assert_told(rows.map(|(query, last, told)| (format!("{query} {last:?}"), get(query, last), told.to_owned()))).await;
    let events: Value = get("?after=0", b"1").send().await.unwrap().json().await.unwrap();
    assert_eq!(events["data"][0]["seq"], 2, "the header wins");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_belongs_to_one_request() {
    let hostile = Hostile::start([("test", vec![Script::stream([wire::whole(&["Uno"])])])]).await;
    let harness = Harness::start(&hostile.base_url("test"), &[]).await;
    let keyed = |key: &[u8], body: Value| {
        post(&harness, body.to_string()).header("Idempotency-Key", HeaderValue::from_bytes(key).expect("a header"))
    };
    let body = json!({ "provider": "test", "model": "m", "prompt": "p", "metadata": { "a": 1, "b": 2 } });
    let first: Value = keyed(b"k-1", body.clone()).send().await.unwrap().json().await.unwrap();
    let id = first["id"].as_str().unwrap();
    // The same request, laid out otherwise.
    let again = json!({ "metadata": { "b": 2, "a": 1 }, "prompt": "p", "model": "m", "provider": "test" });
    let again = keyed(b"k-1", again).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(again.json::<Value>().await.unwrap()["id"], id);
    let used = format!(
        "409 idempotency_conflict: the Idempotency-Key was already used with another body, for {id}; use a new key for a new request"
    );
    let other = json!({ "provider": "test", "model": "m", "prompt": "q" });
    let row = |key: &[u8], body: &Value, told: &str| {
        (String::from_utf8_lossy(key).into_owned(), keyed(key, body.clone()), told.to_owned())
    };
    let rows = [
        row(b"k-1", &other, &used),
        row(b"", &body, "Idempotency-Key must have 1 to 255 characters"),
        row(&[b'k'; 256], &body, "Idempotency-Key must have 1 to 255 characters"),
        row("clé".as_bytes(), &body, "Idempotency-Key must be printable ASCII"),
        row(b"k-1", &json!({ "model": "m" }), "/prompt is required, unless `messages` is given"),
    ];
    assert_told(rows).await;
    harness.ended(id).await;
    assert_eq!(hostile.seen("test").bodies.len(), 1);
    assert_eq!(harness.get("generations").await.1["data"].as_array().map(Vec::len), Some(1));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_many_times_at_once_is_one_generation() {
    let hostile = Hostile::start([("test", vec![Script::stream([wire::whole(&["Uno"])])])]).await;
    let harness = Harness::start(&hostile.base_url("test"), &[]).await;
    let body = json!({ "provider": "test", "model": "m", "prompt": "p" }).to_string();
    let send = |_| post(&harness, body.clone()).header("Idempotency-Key", "k").send();
    let mut ids = BTreeSet::new();
    for answer in join_all((0..6).map(send)).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        ids.insert(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    harness.ended(ids.first().unwrap()).await;
    assert_eq!(harness.text(ids.first().unwrap()).await, "Uno");
    assert_eq!(hostile.seen("test").bodies.len(), 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organizations_generation_is_as_absent_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = Hostile::start([]).await;
    let options = |organization: &str| Options {
        data: Data::Folder(folder.path().to_owned()),
        organization: organization.to_owned(),
        env: environment(&refusing.base_url("test"), &[]),
        ..Options::default()
    };
    let theirs = Harness::with(options("theirs")).await;
    let id = theirs.start_generation(json!({})).await;
    theirs.ended(&id).await;
    theirs.finish().await;
    let ours = Harness::with(options("ours")).await;
    for path in ["", "/output", "/events", "/progress"] {
        let get = |id: &str| ours.http.get(format!("{}/v1/generations/{id}{path}", ours.stack.url()));
        let told = format!("404 not_found: there is no generation {id:?}");
        assert_told([(path.to_owned(), get(&id), told.clone()), (path.to_owned(), get(ABSENT), told.replace(&id, ABSENT))]).await;
    }
    assert_eq!(ours.get("generations").await.1["data"], json!([]));
    ours.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_but_right_is_taken() {
    let refusing = Hostile::start([]).await;
    let harness = Harness::start(&refusing.base_url("test"), &[]).await;
    let bodies = [
        r#"{"provider":"test","model":"m","prompt":"p","max_output_tokens":1e2,"seed":-1.0,"max_attempts":1.0,"max_output_bytes":4096.0}"#,
        r#" {"provider":"test","model":"m","prompt":"\u0000\ud83d\ude00","metadata":{"\u0000":null}} "#,
        r#"{"provider":"test","model":"m","messages":[{"role":"user"}],"stop":"x","temperature":0}"#,
    ];
    for body in bodies {
        let answer = post(&harness, body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{body}");
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let started: Value = answer.json().await.unwrap();
        assert_eq!(location, format!("generations/{}", started["id"].as_str().unwrap()));
        assert_eq!(harness.ended(started["id"].as_str().unwrap()).await["reason"], "provider_rejected");
    }
    harness.finish().await;
}
