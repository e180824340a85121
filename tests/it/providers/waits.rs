//! The wait before a retry: never shorter than the provider requests.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use longhand_tests::Harness;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use serde_json::json;

use super::{case, completed, failed, outcome, play, with};

const BOOM: &str = r#"{"error":{"message":"boom"}}"#;
/// A date has whole seconds.
const DATE_IN: Duration = Duration::from_secs(3);

fn whole() -> Script {
    Script::stream([wire::whole(&["Uno ", "dos"])])
}

fn answer(status: &str) -> Script {
    Script::plain(status, "application/json", BOOM)
}

/// As HTTP writes dates (RFC 9110, section 5.6.7).
fn http_date(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).expect("a moment");
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).expect("a year of four digits")
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_in_every_form() {
    let limited = || answer("429 Too Many Requests");
    let until = SystemTime::now() + DATE_IN;
    let scripts = [
        ("seconds", limited().header("Retry-After", "1"), 1_000),
        ("seconds-and-a-half", limited().header("retry-after", "1.5"), 1_500),
        ("milliseconds", limited().header("retry-after-ms", "900"), 900),
        ("milliseconds-first", limited().header("Retry-After", "0").header("Retry-After-Ms", "900"), 900),
        ("upstream", limited().header("llm_provider-retry-after", "1"), 1_000),
        ("unavailable", answer("503 Service Unavailable").header("Retry-After", "1"), 1_000),
        ("overloaded", answer("529 Site is overloaded").header("Retry-After", "1"), 1_000),
        ("conflict", answer("409 Conflict").header("Retry-After", "1"), 1_000),
        ("timed-out", answer("408 Request Timeout").header("Retry-After", "1"), 1_000),
        ("date", limited().header("Retry-After", &http_date(until)), 0),
    ];
    let hostile = Hostile::start(scripts.iter().map(|(name, script, _)| (*name, vec![script.clone(), whole()]))).await;
    let providers = hostile.providers(scripts.iter().map(|(name, ..)| *name));
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers)]).await;
    let expected = with(completed("Uno dos", 2), json!({ "requests": 2 }));
    let ended = scripts.iter().map(|(name, ..)| outcome_of(&harness, &hostile, name));
    for ((name, _, wait_ms), ended) in scripts.iter().zip(futures::future::join_all(ended).await) {
        assert_eq!(ended, expected, "{name}");
        let seen = hostile.seen(name);
        let waited = seen.came_at[1].duration_since(seen.answered_at[0]).unwrap();
        println!("{name:<20} requested {wait_ms} ms, waited {} ms", waited.as_millis());
        assert!(waited >= Duration::from_millis(*wait_ms), "{name}: {waited:?}");
    }
    let second: Duration = hostile.seen("date").came_at[1].duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(second.as_secs() >= until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), "not before the date");
    harness.finish().await;
}

async fn outcome_of(harness: &Harness, hostile: &Hostile, name: &str) -> serde_json::Value {
    outcome(harness, hostile, name, &json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn overlong_wait_is_not_begun() {
    let env = [("LONGHAND_GENERATION_TIMEOUT_MS", "60000")];
    let past = http_date(SystemTime::now() + Duration::from_hours(1));
    let expected = |status: &str, code: &str| failed(code, &format!("the provider answered {status}: boom"), "", 0, 1);
    let limited = |name: &str, value: &str| answer("429 Too Many Requests").header(name, value);
    let rate = || expected("429 Too Many Requests", "rate_limited");
    let cases = vec![
        case("seconds", limited("Retry-After", "120"), rate()).then(whole()),
        case("date", limited("Retry-After", &past), rate()).then(whole()),
        case("milliseconds", limited("retry-after-ms", "120000"), rate()).then(whole()),
        case("ages", limited("Retry-After", "99999999999999999999"), with(completed("Uno dos", 2), json!({ "requests": 2 })))
            .then(whole()),
        case(
            "unavailable",
            answer("503 Service Unavailable").header("Retry-After", "120"),
            expected("503 Service Unavailable", "provider_unavailable"),
        )
        .then(whole()),
    ];
    play(&env, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_retried_by_kind() {
    let expected = |requests: u64| with(completed("Uno dos", 2), json!({ "requests": requests }));
    let soon = |status: &str| answer(status).header("Retry-After-Ms", "1");
    let rejected = |status: &str| failed("provider_rejected", &format!("the provider answered {status}: boom"), "", 0, 1);
    let again = ["408 Request Timeout", "409 Conflict", "425 Too Early", "429 Too Many Requests", "500 Internal Server Error"];
    let again_too = [
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "520 <unknown status code>",
        "529 <unknown status code>",
    ];
    let never = ["301 Moved Permanently", "302 Found", "303 See Other", "308 Permanent Redirect", "400 Bad Request"];
    let never_either = [
        "402 Payment Required",
        "403 Forbidden",
        "405 Method Not Allowed",
        "410 Gone",
        "413 Payload Too Large",
        "422 Unprocessable Entity",
        "451 Unavailable For Legal Reasons",
    ];
    let cases = again.into_iter().chain(again_too).map(|status| case(&status[..3], soon(status), expected(2)).then(whole()));
    let refused =
        never.into_iter().chain(never_either).map(|status| case(&status[..3], soon(status), rejected(status)).then(whole()));
    let none = failed(
        "provider_not_a_stream",
        "the provider answered 204 No Content with no content type instead of text/event-stream: no event stream",
        "",
        0,
        1,
    );
    let no_content = case("204", Script::verbatim(["HTTP/1.1 204 No Content\r\n\r\n"]), none).then(whole());
    let untyped = failed(
        "provider_not_a_stream",
        "the provider answered 200 OK with no content type instead of text/event-stream: no event stream",
        "",
        0,
        1,
    );
    let no_type = case("untyped", Script::verbatim([format!("HTTP/1.1 200 OK\r\n\r\n{}", wire::whole(&["NO"]))]), untyped);
    play(&[], cases.chain(refused).chain([no_content, no_type.then(whole())]).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_error_body_is_bounded() {
    let stalled = |status: &str, headers: &str| {
        Script::verbatim([format!("HTTP/1.1 {status}\r\nContent-Length: 100\r\n{headers}\r\n{{\"err")]).ending(Ending::Stall)
    };
    let env = [("LONGHAND_FIRST_BYTE_TIMEOUT_MS", "60000")];
    let message = "the provider answered 401 Unauthorized; no key was sent, because HOSTILE_API_KEY is not set";
    let refused = failed("provider_rejected", message, "", 0, 1);
    let cases = vec![
        case("refused", stalled("401 Unauthorized", ""), refused).then(whole()),
        case(
            "limited",
            stalled("429 Too Many Requests", "Retry-After: 0\r\n"),
            with(completed("Uno dos", 2), json!({ "requests": 2 })),
        )
        .then(whole()),
    ];
    play(&env, cases).await;
}
