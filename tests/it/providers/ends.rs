//! Ends that come too early, twice, or with something behind them.

use longhand_tests::hostile::{Ending, Script, wire};
use serde_json::{Value, json};

use super::{Case, case, completed, failed, play, usage, with};

const NO_FINISH: &str = "the provider's stream ended without a finish reason";

fn uncounted(outcome: Value) -> Value {
    with(outcome, json!({ "usage": null }))
}

fn incomplete(reason: &str) -> Value {
    with(completed("Uno dos", 2), json!({ "status": "incomplete", "reason": reason }))
}

/// Two deltas, and then these events.
fn said(then: &[&str]) -> Script {
    Script::stream([begun(), then.concat()])
}

fn begun() -> String {
    [wire::role(), wire::text("Uno "), wire::text("dos")].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_the_finish_reason_does_not_undo_it() {
    let (stop, length, counted) = (wire::finish("stop"), wire::finish("length"), wire::usage(json!([])));
    let told = || completed("Uno dos", 2);
    let boom = wire::event(&json!({ "error": { "message": "boom", "code": 500 } }));
    let garbage = "data: {no json}\n\n";
    let late_usage = counted.replace(":7", ":70").replace(":10", ":73");
    let with_text = wire::chunk(&json!([{ "index": 0, "delta": { "content": "dos" }, "finish_reason": "stop" }]));
    let first = [wire::role(), wire::text("Uno ")].concat();
    let cases = vec![
        case("garbage", said(&[&stop, &counted, garbage]), told()),
        case("garbage-in-a-read-of-its-own", Script::stream([wire::whole(&["Uno ", "dos"]), garbage.into()]), told()),
        case("binary-garbage", said(&[&stop, &counted, wire::DONE, "\0\0PK\u{3}"]).ending(Ending::Cut), told()),
        case("error", said(&[&stop, &counted, &boom]), told()),
        case("finish-twice", said(&[&stop, &stop, &counted, wire::DONE]), told()),
        case("done-twice", said(&[&stop, &counted, wire::DONE, wire::DONE]), told()),
        case("a-second-answer", said(&[&stop, &counted, wire::DONE, &wire::whole(&["NO"])]), told()),
        case("stop-then-length", said(&[&stop, &length, &counted, wire::DONE]), incomplete("max_output_tokens")),
        case("length-then-stop", said(&[&length, &stop, &counted, wire::DONE]), incomplete("max_output_tokens")),
        case("filter-then-stop", said(&[&wire::finish("content_filter"), &stop, &counted]), incomplete("content_filter")),
        case(
            "usage-twice",
            said(&[&stop, &counted, &late_usage, wire::DONE]),
            with(told(), json!({ "usage": { "input_tokens": 70, "output_tokens": 3, "total_tokens": 73 } })),
        ),
        case("usage-before-the-text", Script::stream([counted.clone(), begun(), stop.clone()]), told()),
        case("usage-empty", said(&[&stop, &wire::event(&json!({ "choices": [], "usage": {} }))]), uncounted(told())),
        case("finish-with-the-last-text", Script::stream([first, with_text]), uncounted(told())),
        case("finish-before-the-text", Script::stream([wire::role(), stop.clone(), begun(), counted, wire::DONE.into()]), told()),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_finish_reason_nothing_is_an_end() {
    let none = |requests| failed("interrupted", NO_FINISH, "", 0, requests);
    let some = with(failed("interrupted", NO_FINISH, "Uno dos", 2, 1), json!({ "usage": usage() }));
    let null_finish = wire::chunk(&json!([{ "index": 0, "delta": {}, "finish_reason": null }]));
    let other = wire::chunk(&json!([{ "index": 1, "delta": {}, "finish_reason": "stop" }]));
    let cases: Vec<Case> = vec![
        case("usage-alone", said(&[&wire::usage(json!([])), wire::DONE]), some),
        case("finish-null", said(&[&null_finish, wire::DONE]), failed("interrupted", NO_FINISH, "Uno dos", 2, 1)),
        case("finish-of-another-choice", said(&[&other, wire::DONE]), failed("interrupted", NO_FINISH, "Uno dos", 2, 1)),
        case("done-at-once", Script::stream([wire::DONE]), none(4)),
        case("role-alone", Script::stream([wire::role()]), none(4)),
        case("comments-alone", Script::stream([": a\n\n: b\n\n"]), none(4)),
        case("pings-alone", Script::stream(["event: ping\ndata: {}\n\n", "data:\n\n", "\n\n"]), none(4)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_any_size_and_number_are_read() {
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
