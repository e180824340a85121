//! Text in every valid form, and in some invalid ones: the result is byte-equal.

use longhand_tests::hostile::{Ending, Script, wire};
use serde_json::json;

use super::{Case, case, completed, play, with};

const ACCENTS: &str = "Uno €ñ😀中";

fn stream(body: String) -> Script {
    Script::stream([body])
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_byte_equal() {
    let around = |deltas: String| stream([wire::role(), deltas, wire::ending()].concat());
    let nothings = [wire::text("a"), wire::text(""), wire::delta(json!({ "content": null })), wire::text("b")];
    let halves = |first: &str, then: &str| around([wire::escaped(first), wire::escaped(then)].concat());
    let held_to_the_end = [wire::role(), wire::escaped("s\\ud83d"), wire::finish("stop")].concat();
    let cases = vec![
        case("ok", stream(wire::whole(&["Uno ", "dos ", "tres"])), completed("Uno dos tres", 3)),
        case("zero", stream(wire::whole(&["v: ", "0", ".", "78"])), completed("v: 0.78", 4)),
        case(
            "white-space",
            stream(wire::whole(&[" ", "\n", "\t\r\n", "\u{feff}", "\u{0}"])),
            completed(" \n\t\r\n\u{feff}\u{0}", 5),
        ),
        case("nothings", around(nothings.concat()), completed("ab", 2)),
        case("no-text", around(String::new()), completed("", 0)),
        case("surrogates-split", halves("s\\ud83d", "\\ude00 t"), completed("s😀 t", 2)),
        case("surrogate-alone", halves("s\\ud83d", "t"), completed("s\u{fffd}t", 2)),
        case("surrogate-low-alone", halves("s", "\\ude00t"), completed("s\u{fffd}t", 2)),
        case("surrogate-at-the-end", stream(held_to_the_end), with(completed("s\u{fffd}", 2), json!({ "usage": null }))),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_does_not_change_text() {
    let whole = wire::whole(&[ACCENTS, "dos"]);
    let commented = [
        ": OPENROUTER PROCESSING\n\n".to_owned(),
        wire::role(),
        wire::text("Uno "),
        ": keep-alive\n\nevent: ping\ndata: {}\n\nid: 7\nretry: 1\n\n\n\n".to_owned(),
        wire::text("dos"),
        wire::ending(),
    ];
    let multi_line = wire::text("Uno").replace("\"choices\"", "\ndata: \"choices\"");
    let expected = |name| (name, completed(&format!("{ACCENTS}dos"), 2));
    let same = |(name, expected), script| case(name, script, expected);
    let cases = vec![
        same(expected("split"), Script::byte_by_byte(&whole)),
        same(expected("crlf"), stream(whole.replace('\n', "\r\n"))),
        same(expected("crlf-split"), Script::byte_by_byte(whole.replace('\n', "\r\n"))),
        same(expected("cr"), stream(whole.replace('\n', "\r"))),
        same(expected("cr-split"), Script::byte_by_byte(whole.replace('\n', "\r"))),
        same(expected("no-space"), stream(whole.replace("data: ", "data:"))),
        same(expected("bom"), Script::stream(["\u{feff}", &whole])),
        same(expected("bom-split"), Script::byte_by_byte(format!("\u{feff}{whole}"))),
        case("comments", stream(commented.concat()), completed("Uno dos", 2)),
        case("multi-line", stream([multi_line, wire::ending()].concat()), completed("Uno", 1)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finish_reason_ends_the_stream() {
    let begun = [wire::role(), wire::text("Uno "), wire::text("dos")].concat();
    let uncounted = || with(completed("Uno dos", 2), json!({ "usage": null }));
    let finished = format!("{begun}{}", wire::finish("stop"));
    let counted = format!("{finished}{}", wire::usage(json!([])));
    let incomplete = |reason: &str| with(completed("Uno dos", 2), json!({ "status": "incomplete", "reason": reason }));
    let ended = |reason: &str| stream([&begun, &wire::finish(reason), &wire::usage(json!([])), wire::DONE].concat());
    let cases = vec![
        case("no-done", stream(counted.clone()), completed("Uno dos", 2)),
        case("no-blank-line", Script::stream([counted.as_str(), "data: [DONE]"]), completed("Uno dos", 2)),
        case("no-line-end-at-all", stream(finished.trim_end().to_owned()), uncounted()),
        case("left-open", stream(format!("{counted}{}", wire::DONE)).ending(Ending::Stall), completed("Uno dos", 2)),
        case("cut-after-finish", stream(finished.clone()).ending(Ending::Cut), uncounted()),
        case("length", ended("length"), incomplete("max_output_tokens")),
        case("content-filter", ended("content_filter"), incomplete("content_filter")),
        case("new-reason", ended("weird_new_reason"), incomplete("unknown_finish_reason")),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_read_leniently() {
    let bare = |choice: &str| format!("data: {{\"choices\":[{choice}]}}\n\n");
    let minimal = [bare(r#"{"delta":{"content":"Uno "}}"#), bare(r#"{"delta":{"content":"dos"}}"#)];
    let minimal_end = [bare(r#"{"delta":{},"finish_reason":"stop"}"#), wire::DONE.to_owned()];
    let nulls = r#"data: {"id":null,"object":null,"created":null,"model":null,"choices":[{"index":null,"delta":{"role":null,"content":"Uno","tool_calls":null,"refusal":null},"finish_reason":null,"logprobs":null}],"usage":null,"error":null}"#;
    let new_fields = wire::event(&json!({
        "service_tier": "galaxy", "obfuscation": "x9",
        "choices": [{ "index": 0, "delta": { "role": "narrator", "content": "Uno", "mood": { "a": [1] } }, "logprobs": { "content": [] } }],
    }));
    let second_choice =
        wire::chunk(&json!([{ "index": 1, "delta": { "content": "NO" } }, { "index": 0, "delta": { "content": "Uno" } }]));
    let around = |body: String| stream([wire::role(), body, wire::ending()].concat());
    let usage_in = |choices| stream([wire::text("Uno"), wire::finish("stop"), wire::usage(choices), wire::DONE.into()].concat());
    let every = wire::usage(json!([{ "index": 0, "delta": { "content": "Uno" } }])).replace(":7", ":1");
    let cases: Vec<Case> = vec![
        case(
            "minimal",
            stream([minimal.concat(), minimal_end.concat()].concat()),
            with(completed("Uno dos", 2), json!({ "usage": null })),
        ),
        case("nulls", around(format!("{nulls}\n\n")), completed("Uno", 1)),
        case("new-fields", around(new_fields), completed("Uno", 1)),
        case("second-choice", around(second_choice), completed("Uno", 1)),
        case("usage-choices-null", usage_in(json!(null)), completed("Uno", 1)),
        case("usage-choices-empty-delta", usage_in(json!([{ "index": 0, "delta": {} }])), completed("Uno", 1)),
        case("usage-on-every-chunk", around(every), completed("Uno", 1)),
    ];
    play(&[], cases).await;
}
