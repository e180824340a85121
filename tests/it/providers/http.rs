//! Responses that are not a stream, and providers that cannot be reached.

use std::time::Duration;

use longhand_tests::Harness;
use longhand_tests::hostile::{Hostile, Script, wire};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{case, completed, failed, outcome, play, uno_dos, with};

const BOOM: &str = r#"{"error":{"message":"boom","type":"t","code":null}}"#;
const KEY: &str = "sk-0123456789abcdef";

fn json_answer(status: &str) -> Script {
    Script::plain(status, "application/json", BOOM)
}

fn whole() -> Script {
    Script::stream([wire::whole(&["Uno ", "dos"])])
}

/// The outcome after so many requests.
fn after_requests(requests: usize) -> Value {
    with(uno_dos(), json!({ "requests": requests }))
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_errors_are_retried_within_bounds() {
    let limited = || json_answer("429 Too Many Requests");
    let soon = || limited().header("Retry-After-Ms", "1");
    let html = || Script::plain("503 Service Unavailable", "text/html", "<html>upstream down</html>");
    let rate = "the provider answered 429 Too Many Requests: boom";
    let down = "the provider answered 503 Service Unavailable";
    let cases = vec![
        case("limited-once", soon(), after_requests(2)).then(whole()),
        case("limited-thrice", soon(), after_requests(4)).then(soon()).then(soon()).then(whole()),
        case("limited-seconds", limited().header("Retry-After", "1"), after_requests(2)).then(whole()),
        case("limited-upstream", limited().header("llm_provider-retry-after", "0"), after_requests(2)).then(whole()),
        case("limited-for-ever", soon(), failed("rate_limited", rate, "", 0, 4)),
        // Longer than the generation may take: nothing is gained by waiting.
        case("limited-for-hours", limited().header("Retry-After", "7200"), failed("rate_limited", rate, "", 0, 1)),
        case("down-once", html(), after_requests(2)).then(whole()),
        case("down", html(), failed("provider_unavailable", down, "", 0, 4)),
        case("timeout", json_answer("408 Request Timeout"), after_requests(2)).then(whole()),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_errors_are_not_retried() {
    let rejected = |status: &str| failed("provider_rejected", &format!("the provider answered {status}: boom"), "", 0, 1);
    let no_stream = |kind: &str, detail: &str| {
        let message = format!("the provider answered 200 OK with {kind} instead of text/event-stream: {detail}");
        failed("provider_not_a_stream", &message, "", 0, 1)
    };
    let large = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(2_000));
    let long_message = format!("the provider answered 400 Bad Request: {}…", "é".repeat(461));
    let endless = "a".repeat(1024 * 1024);
    let silent = "the provider answered 400 Bad Request";
    let hint = "the provider answered 401 Unauthorized: boom; no key was sent, because HOSTILE_API_KEY is not set";
    let no_key = failed("provider_rejected", hint, "", 0, 1);
    let cases = vec![
        case("bad-request", json_answer("400 Bad Request"), rejected("400 Bad Request")).then(whole()),
        case("bad-key", json_answer("401 Unauthorized"), no_key).then(whole()),
        case("no-model", json_answer("404 Not Found"), rejected("404 Not Found")).then(whole()),
        case("ok-json", json_answer("200 OK"), no_stream("application/json", "boom")).then(whole()),
        case("ok-html", Script::plain("200 OK", "text/html", "<html>login</html>"), no_stream("text/html", "no event stream"))
            .then(whole()),
        case(
            "long-message",
            Script::plain("400 Bad Request", "application/json", large),
            failed("provider_rejected", &long_message, "", 0, 1),
        ),
        case(
            "endless-body",
            Script::plain("400 Bad Request", "text/plain", endless),
            failed("provider_rejected", silent, "", 0, 1),
        ),
        case("detail", Script::plain("400 Bad Request", "application/json", r#"{"detail":"boom"}"#), rejected("400 Bad Request")),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_provider_is_unreachable() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = closed.local_addr().unwrap();
    let nowhere = format!("http://{address}/v1");
    drop(closed);
    let harness = Harness::start(&nowhere, &[]).await;
    let hostile = Hostile::start([]).await;
    let message = format!("the provider at {address} could not be reached: Connection refused");
    assert_eq!(outcome(&harness, &hostile, "test", &json!({})).await, failed("provider_unreachable", &message, "", 0, 0));
    harness.finish().await;
}

/// The provider's own sentence comes first, and then the setting that it cannot know.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_names_the_missing_key() {
    let refused = || Script::plain("401 Unauthorized", "application/json", r#"{"error":{"message":"no key"}}"#);
    let hostile = Hostile::start(["unset", "unnamed", "keyed"].map(|name| (name, vec![refused()]))).await;
    let providers = json!({
        "unset": { "base_url": hostile.base_url("unset"), "key_env": "UNSET_API_KEY" },
        "unnamed": { "base_url": hostile.base_url("unnamed") },
        "keyed": { "base_url": hostile.base_url("keyed"), "key_env": "HOSTILE_API_KEY" },
    });
    let env = [("LONGHAND_PROVIDERS", providers.to_string()), ("HOSTILE_API_KEY", KEY.to_owned())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let harness = Harness::start("http://127.0.0.1:9", &env).await;
    for (provider, hint) in [
        ("unset", "; no key was sent, because UNSET_API_KEY is not set"),
        ("unnamed", "; no key was sent, because the provider's settings name none"),
        ("keyed", ""),
    ] {
        let message = format!("the provider answered 401 Unauthorized: no key{hint}");
        let expected = failed("provider_rejected", &message, "", 0, 1);
        assert_eq!(outcome(&harness, &hostile, provider, &json!({})).await, expected, "{provider}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_is_not_followed() {
    let hostile = Hostile::start([("elsewhere", vec![whole()])]).await;
    let away = Script::plain("307 Temporary Redirect", "text/plain", "").header("Location", &hostile.base_url("elsewhere"));
    let redirecting = Hostile::start([("away", vec![away]), ("straight", vec![whole()])]).await;
    let env = [("LONGHAND_PROVIDERS", redirecting.providers(["away", "straight"])), ("HOSTILE_API_KEY", KEY.to_owned())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let harness = Harness::start("http://127.0.0.1:9", &env).await;
    let refused = failed("provider_rejected", "the provider answered 307 Temporary Redirect", "", 0, 1);
    assert_eq!(outcome(&harness, &redirecting, "away", &json!({})).await, refused);
    assert_eq!(hostile.seen("elsewhere").bodies.len(), 0);
    assert_eq!(outcome(&harness, &redirecting, "straight", &json!({})).await, completed("Uno dos", 2));
    assert_eq!(redirecting.seen("straight").keys, [Some(format!("Bearer {KEY}"))]);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_key_is_redacted() {
    let body = json!({ "error": { "message": format!("no such key: {KEY}!") } }).to_string();
    let in_stream = [wire::text("Uno"), wire::event(&json!({ "error": { "message": format!("bad key {KEY}"), "code": 400 } }))];
    let scripts = [
        ("answer", vec![Script::plain("401 Unauthorized", "application/json", body)]),
        ("stream", vec![Script::stream(in_stream)]),
    ];
    let hostile = Hostile::start(scripts).await;
    let providers = hostile.providers(["answer", "stream"]);
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers), ("HOSTILE_API_KEY", KEY)]).await;
    let answer = failed("provider_rejected", "the provider answered 401 Unauthorized: no such key: [key]!", "", 0, 1);
    assert_eq!(outcome(&harness, &hostile, "answer", &json!({})).await, answer);
    let stream = failed("provider_rejected", "the provider reported an error in its stream: bad key [key]", "Uno", 1, 1);
    assert_eq!(outcome(&harness, &hostile, "stream", &json!({})).await, stream);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_reaches_the_provider() {
    let hostile = Hostile::start([("ok", vec![whole().first_byte_after(Duration::from_millis(1))])]).await;
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &hostile.providers(["ok"]))]).await;
    let request = json!({
        "instructions": "Breve.", "temperature": 0, "max_output_tokens": 9, "stop": ["FIN"], "seed": 7,
        "provider_options": { "stream": false, "stream_options": {}, "logit_bias": { "1": -1.5 } },
    });
    assert_eq!(outcome(&harness, &hostile, "ok", &request).await, completed("Uno dos", 2));
    let seen = hostile.seen("ok");
    let messages = json!([{ "role": "system", "content": "Breve." }, { "role": "user", "content": "Hola" }]);
    let expected = json!({
        "model": "m", "messages": messages, "temperature": 0.0, "max_tokens": 9, "stop": ["FIN"], "seed": 7,
        "logit_bias": { "1": -1.5 }, "stream": true, "stream_options": { "include_usage": true },
    });
    assert_eq!(seen.bodies, [expected]);
    assert_eq!(seen.keys, [None], "no key is configured");
    harness.finish().await;
}
