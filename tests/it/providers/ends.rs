//! Streams that end too early, twice, or before further events.

use longhand_tests::hostile::{Ending, Script, wire};
use serde_json::{Value, json};

use super::{Case, case, completed, failed, play, uno_dos, uno_dos_then, usage, with};

const NO_FINISH: &str = "the provider's stream ended without a finish reason";

fn uncounted(outcome: Value) -> Value {
    with(outcome, json!({ "usage": null }))
}

fn incomplete(reason: &str) -> Value {
    with(completed("Uno dos", 2), json!({ "status": "incomplete", "reason": reason }))
}

/// Two deltas, and then these events.
fn then_events(events: &[&str]) -> Script {
    uno_dos_then(events.concat())
}

fn begun() -> String {
    [wire::role(), wire::text("Uno "), wire::text("dos")].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn finish_reason_is_final() {
    let (stop, length, counted) = (wire::finish("stop"), wire::finish("length"), wire::usage(json!([])));
    let boom = wire::event(&json!({ "error": { "message": "boom", "code": 500 } }));
    let garbage = "data: {no json}\n\n";
    let late_usage = counted.replace(":7", ":70").replace(":10", ":73");
    let with_text = wire::chunk(&json!([{ "index": 0, "delta": { "content": "dos" }, "finish_reason": "stop" }]));
    let first = [wire::role(), wire::text("Uno ")].concat();
    let cases = vec![
        case("garbage", then_events(&[&stop, &counted, garbage]), uno_dos()),
        case("garbage-in-a-read-of-its-own", Script::stream([wire::whole(&["Uno ", "dos"]), garbage.into()]), uno_dos()),
        case("binary-garbage", then_events(&[&stop, &counted, wire::DONE, "\0\0PK\u{3}"]).ending(Ending::Cut), uno_dos()),
        case("error", then_events(&[&stop, &counted, &boom]), uno_dos()),
        case("finish-twice", then_events(&[&stop, &stop, &counted, wire::DONE]), uno_dos()),
        case("done-twice", then_events(&[&stop, &counted, wire::DONE, wire::DONE]), uno_dos()),
        case("a-second-answer", then_events(&[&stop, &counted, wire::DONE, &wire::whole(&["NO"])]), uno_dos()),
        case("stop-then-length", then_events(&[&stop, &length, &counted, wire::DONE]), incomplete("max_output_tokens")),
        case("length-then-stop", then_events(&[&length, &stop, &counted, wire::DONE]), incomplete("max_output_tokens")),
        case("filter-then-stop", then_events(&[&wire::finish("content_filter"), &stop, &counted]), incomplete("content_filter")),
        case(
            "usage-twice",
            then_events(&[&stop, &counted, &late_usage, wire::DONE]),
            with(uno_dos(), json!({ "usage": { "input_tokens": 70, "output_tokens": 3, "total_tokens": 73 } })),
        ),
        case("usage-before-the-text", Script::stream([counted.clone(), begun(), stop.clone()]), uno_dos()),
        case("usage-empty", then_events(&[&stop, &wire::event(&json!({ "choices": [], "usage": {} }))]), uncounted(uno_dos())),
        case("finish-with-the-last-text", Script::stream([first, with_text]), uncounted(uno_dos())),
        case(
            "finish-before-the-text",
            Script::stream([wire::role(), stop.clone(), begun(), counted, wire::DONE.into()]),
            uno_dos(),
        ),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finish_reason_is_required() {
    let none = |requests| failed("interrupted", NO_FINISH, "", 0, requests);
    let some = with(failed("interrupted", NO_FINISH, "Uno dos", 2, 1), json!({ "usage": usage() }));
    let null_finish = wire::chunk(&json!([{ "index": 0, "delta": {}, "finish_reason": null }]));
    let other = wire::chunk(&json!([{ "index": 1, "delta": {}, "finish_reason": "stop" }]));
    let cases: Vec<Case> = vec![
        case("usage-alone", then_events(&[&wire::usage(json!([])), wire::DONE]), some),
        case("finish-null", then_events(&[&null_finish, wire::DONE]), failed("interrupted", NO_FINISH, "Uno dos", 2, 1)),
        case("finish-of-another-choice", then_events(&[&other, wire::DONE]), failed("interrupted", NO_FINISH, "Uno dos", 2, 1)),
        case("done-at-once", Script::stream([wire::DONE]), none(4)),
        case("role-alone", Script::stream([wire::role()]), none(4)),
        case("comments-alone", Script::stream([": a\n\n: b\n\n"]), none(4)),
        case("pings-alone", Script::stream(["event: ping\ndata: {}\n\n", "data:\n\n", "\n\n"]), none(4)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_any_size_are_read() {
    let line = "línea ".repeat(100_000);
    let many: Vec<String> = (0..5_000).map(|number| format!("{number} ")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let padding = format!(": {}\n", "x".repeat(64 * 1024)).repeat(40);
    let blank = "\n".repeat(100_000);
    let padded = [wire::text("Uno "), padding, blank, wire::text("dos"), wire::ending()].concat();
    let fields = format!("nonsense\n:\ndata\nfoo: bar\n\n{}", wire::whole(&["Uno ", "dos"]));
    let cases = vec![
        case("most-of-a-megabyte-in-one", Script::stream([wire::whole(&[&line])]), completed(&line, 1)),
        case("five-thousand-in-one-write", Script::stream([wire::whole(&many)]), completed(&many.concat(), 5_000)),
        case("comments-and-blanks", Script::stream([padded]), completed("Uno dos", 2)),
        case("unknown-fields", Script::stream([fields]), completed("Uno dos", 2)),
    ];
    play(&[], cases).await;
}
