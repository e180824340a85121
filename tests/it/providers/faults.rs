//! Streams that break: before the first delta the request is retried; after it the attempt ends and its text is kept.

use std::time::Duration;

use longhand_tests::hostile::{Ending, Script, wire};
use serde_json::{Value, json};

use super::{Case, case, completed, failed, play, uno_dos_then};

const NO_FINISH: &str = "the provider's stream ended without a finish reason";
const BROKE_OFF: &str = "the provider's stream broke off: unexpected EOF during chunk size line";
const TOLD: &str = "the provider reported an error in its stream: boom";

/// One attempt that received two deltas.
fn broken(code: &str, message: &str) -> Value {
    failed(code, message, "Uno dos", 2, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_finish_reason_is_an_interruption() {
    let reset = "the provider's stream broke off: Connection reset by peer";
    let mid_event = wire::text("tres");
    let character = wire::text("€");
    let mid_character = &character.as_bytes()[..=character.find('€').unwrap_or_default()];
    let cases = vec![
        case("clean-cut", uno_dos_then(b""), broken("interrupted", NO_FINISH)),
        case("cut", uno_dos_then(b": bye\n\n").ending(Ending::Cut), broken("interrupted", BROKE_OFF)),
        case("reset", uno_dos_then(b": bye\n\n").ending(Ending::Reset), broken("interrupted", reset)),
        case("done-alone", uno_dos_then(wire::DONE.as_bytes()), broken("interrupted", NO_FINISH)),
        case(
            "clean-cut-in-an-event",
            uno_dos_then(&mid_event.as_bytes()[..mid_event.len() - 30]),
            broken("interrupted", NO_FINISH),
        ),
        case("clean-cut-in-a-character", uno_dos_then(mid_character), broken("interrupted", NO_FINISH)),
        case("finish-empty", uno_dos_then(wire::finish("").as_bytes()), broken("interrupted", NO_FINISH)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_error_quotes_the_provider() {
    let error = |error: Value| wire::event(&json!({ "error": error }));
    let boom = error(json!({ "message": "boom", "type": "server_error", "code": 502 }));
    let beside = wire::event(&json!({
        "error": { "message": "boom", "code": 502 }, "choices": [{ "index": 0, "delta": { "content": "" }, "finish_reason": "error" }],
    }));
    let rejected = |code: Value| error(json!({ "message": "boom", "code": code }));
    let finished = format!("{}{}", wire::finish("error"), wire::DONE);
    let wordless = "the provider ended the stream with the finish reason `error`";
    let nameless = "the provider reported an error without a message";
    let cases = vec![
        case("error", uno_dos_then(boom.as_bytes()), broken("provider_error", TOLD)),
        case("error-done", uno_dos_then(format!("{boom}{}", wire::DONE).as_bytes()), broken("provider_error", TOLD)),
        case("error-finish", uno_dos_then(format!("{boom}{}", wire::ending()).as_bytes()), broken("provider_error", TOLD)),
        case("error-event", uno_dos_then(format!("event: error\n{boom}").as_bytes()), broken("provider_error", TOLD)),
        case("error-event-bare", uno_dos_then(b"event: error\ndata: {}\n\n"), broken("provider_error", nameless)),
        case("error-event-text", uno_dos_then(b"event: error\ndata: boom\n\n"), broken("provider_error", TOLD)),
        case("error-text", uno_dos_then(error(json!("boom")).as_bytes()), broken("provider_error", TOLD)),
        case("error-beside-choices", uno_dos_then(beside.as_bytes()), broken("provider_error", TOLD)),
        case("error-400", uno_dos_then(rejected(json!(400)).as_bytes()), broken("provider_rejected", TOLD)),
        case("error-400-text", uno_dos_then(rejected(json!("400")).as_bytes()), broken("provider_rejected", TOLD)),
        case("finish-error", uno_dos_then(finished.as_bytes()), broken("provider_error", wordless)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_event_is_an_error() {
    let bad_utf8 = wire::text("x@y").into_bytes().into_iter().map(|byte| if byte == b'@' { 0xFF } else { byte });
    let bad_utf8: Vec<u8> = bad_utf8.chain(wire::ending().into_bytes()).collect();
    let after = |event: &str| uno_dos_then(format!("{event}{}{}", wire::text("tres"), wire::ending()).as_bytes());
    let not_a_chunk = |why: &str| {
        broken("provider_unreadable", &format!("the provider sent an event that is not a chat completion chunk (at {why})"))
    };
    let no_utf8 =
        "the provider sent an event that cannot be read: utf8 parse error: invalid utf-8 sequence of 1 bytes from index 113";
    let large = wire::text(&"a".repeat(5 * 1024 * 1024));
    let large_ending = wire::ending();
    let large: Vec<&[u8]> = large.as_bytes().chunks(64 * 1024).chain([large_ending.as_bytes()]).collect();
    let silence = vec![b'a'; 64 * 1024];
    let endless: Vec<&[u8]> = std::iter::repeat_n(&silence[..], 80).collect();
    let too_large = failed("provider_unreadable", "an event is larger than 4194304 bytes", "", 0, 4);
    let cases = vec![
        case("bad-utf8", uno_dos_then(&bad_utf8), broken("provider_unreadable", no_utf8)),
        case("bad-json", after("data: {this is not json}\n\n"), not_a_chunk("line 1 column 2")),
        case("array", after("data: [1]\n\n"), not_a_chunk("line 1 column 0")),
        case("too-large", Script::stream(large), too_large.clone()),
        case("no-line-end", Script::stream(endless), too_large),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_bounded_despite_comments() {
    let env = [("LONGHAND_FIRST_BYTE_TIMEOUT_MS", "3000"), ("LONGHAND_IDLE_TIMEOUT_MS", "1000")];
    let silent = "the provider sent nothing for 1000 ms before a finish reason";
    let nothing = "the provider sent nothing within 3000 ms";
    let whole = || Script::stream([wire::whole(&["Uno ", "dos"])]);
    let comments = || Script::stream([": hello\n\n"]).ending(Ending::StallWithComments);
    let cases = vec![
        case("stall", uno_dos_then(b"").ending(Ending::Stall), broken("idle_timeout", silent)),
        case("stall-with-comments", uno_dos_then(b"").ending(Ending::StallWithComments), broken("idle_timeout", silent)),
        case("slow-headers", whole().after(Duration::from_secs(20)), failed("first_byte_timeout", nothing, "", 0, 4)),
        case(
            "slow-first-byte",
            whole().first_byte_after(Duration::from_secs(20)),
            failed("first_byte_timeout", nothing, "", 0, 4),
        ),
        case("comments-alone", comments(), failed("first_byte_timeout", nothing, "", 0, 4)),
        // Later than the idle limit, and in time.
        case("late-headers", whole().after(Duration::from_millis(1_200)), completed("Uno dos", 2)),
        case("late-first-byte", whole().first_byte_after(Duration::from_millis(1_200)), completed("Uno dos", 2)),
    ];
    play(&env, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interruption_costs_one_attempt() {
    let cut = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|piece| wire::text(piece)).collect();
        Script::stream([wire::role()].into_iter().chain(texts))
    };
    let whole = || Script::stream([wire::whole(&["tres ", "cuatro"])]);
    let (two, three) = (json!({ "max_attempts": 2 }), json!({ "max_attempts": 3 }));
    let exhausted = |attempts: u32, text: &str, deltas: u64| {
        let message = format!("{attempts} attempts were interrupted; the last: {NO_FINISH}");
        failed("attempts_exhausted", &message, text, deltas, attempts as usize)
    };
    let mended = |text: &str, deltas: u64, requests: usize| super::with(completed(text, deltas), json!({ "requests": requests }));
    let rejection = Script::plain("400 Bad Request", "application/json", r#"{"error":{"message":"boom"}}"#);
    let cases: Vec<Case> = vec![
        case("mended", cut(&["Uno ", "dos"]), mended("tres cuatro", 4, 2)).then(whole()).with_request(two.clone()),
        case("exhausted", cut(&["Uno "]), exhausted(2, "Dos", 2)).then(cut(&["Dos"])).then(whole()).with_request(two.clone()),
        case("exhausted-3", cut(&["a"]), exhausted(3, "c", 3)).then(cut(&["b"])).then(cut(&["c"])).with_request(three.clone()),
        case("mended-late", cut(&["a"]), mended("tres cuatro", 4, 3)).then(cut(&["b"])).then(whole()).with_request(three),
        case("unasked-first", cut(&[]), mended("tres cuatro", 2, 2)).then(whole()),
        case("unasked-again", cut(&["a"]), mended("tres cuatro", 3, 3)).then(cut(&[])).then(whole()).with_request(two.clone()),
        case("never-retried", cut(&["a"]), failed("interrupted", NO_FINISH, "a", 1, 1)).then(whole()),
        case("rejected-then", cut(&["a"]), failed("provider_rejected", "the provider answered 400 Bad Request: boom", "", 1, 2))
            .then(rejection)
            .with_request(two),
        case("nothing-ever", cut(&[]), failed("interrupted", NO_FINISH, "", 0, 4)),
    ];
    play(&[], cases).await;
}
