//! Output besides text: reasoning, refusals, tool calls.

use longhand_tests::hostile::{Script, wire};
use serde_json::{Value, json};

use super::{case, completed, play, with};

/// A piece of a tool call; with `name`, the first one.
fn call(index: u32, name: Option<&str>, arguments: &str) -> Value {
    let id = name.map(|name| format!("call_{name}"));
    let mut piece = json!({ "index": index, "function": { "arguments": arguments } });
    if let (Some(name), Some(id)) = (name, id) {
        piece["id"] = id.into();
        piece["type"] = "function".into();
        piece["function"]["name"] = name.into();
    }
    piece
}

fn calls(pieces: &[Value]) -> String {
    wire::delta(json!({ "tool_calls": pieces }))
}

fn tool_call(name: &str, arguments: &str) -> Value {
    json!({ "call_id": format!("call_{name}"), "name": name, "arguments": arguments })
}

fn stream(deltas: &[String], finish: &str) -> Script {
    let ending = [wire::finish(finish), wire::usage(json!([])), wire::DONE.to_owned()];
    Script::stream([wire::role(), deltas.concat(), ending.concat()])
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_and_refusals_are_separate() {
    let reasoning = [
        wire::delta(json!({ "reasoning_content": "pienso " })),
        wire::delta(json!({ "reasoning": "luego", "content": "" })),
        wire::text("existo"),
    ];
    let late = [wire::text("a"), wire::delta(json!({ "reasoning": "hm" })), wire::text("b")];
    let refusal = [wire::delta(json!({ "refusal": "No " })), wire::delta(json!({ "refusal": "puedo.", "content": null }))];
    let halves = [
        wire::delta(json!({ "refusal": "@" })).replace('@', "\\ud83d"),
        wire::delta(json!({ "refusal": "@" })).replace('@', "\\ude00"),
    ];
    let cases = vec![
        case("reasoning", stream(&reasoning, "stop"), with(completed("existo", 3), json!({ "reasoning": "pienso luego" }))),
        case("reasoning-late", stream(&late, "stop"), with(completed("ab", 3), json!({ "reasoning": "hm" }))),
        case("refusal", stream(&refusal, "stop"), with(completed("", 2), json!({ "refusal": "No puedo." }))),
        case("refusal-halves", stream(&halves, "stop"), with(completed("", 1), json!({ "refusal": "😀" }))),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_call_pieces_are_joined() {
    let split = [
        calls(&[call(0, Some("f"), "")]),
        calls(&[call(0, None, "{\"ci")]),
        calls(&[call(0, None, "udad\": \"0")]),
        calls(&[call(0, None, "")]),
        calls(&[call(0, None, "\"}")]),
    ];
    let parallel = [calls(&[call(0, Some("f"), "{}"), call(1, Some("g"), "[")]), calls(&[call(1, None, "]")])];
    let alternating = [
        calls(&[call(0, Some("f"), "{")]),
        calls(&[call(1, Some("g"), "[")]),
        calls(&[call(0, None, "}")]),
        calls(&[call(1, None, "]")]),
    ];
    let after_text = [wire::text("Miro. "), calls(&[call(0, Some("f"), "{}")])];
    let halves =
        [calls(&[call(0, Some("f"), "@")]).replace('@', "\\ud83d"), calls(&[call(0, None, "@")]).replace('@', "\\ude00")];
    let unnumbered = wire::delta(json!({ "tool_calls": [{ "id": "call_f", "function": { "name": "f", "arguments": "{}" } }] }));
    let without_arguments = wire::delta(json!({ "tool_calls": [{ "index": 0, "id": "call_f", "function": { "name": "f" } }] }));
    let both = json!([tool_call("f", "{}"), tool_call("g", "[]")]);
    let expected = |deltas, tool_calls: Value| with(completed("", deltas), json!({ "tool_calls": tool_calls }));
    let cases = vec![
        case("split", stream(&split, "tool_calls"), expected(3, json!([tool_call("f", "{\"ciudad\": \"0\"}")]))),
        case("parallel", stream(&parallel, "tool_calls"), expected(3, both.clone())),
        case("alternating", stream(&alternating, "tool_calls"), expected(4, both)),
        case(
            "after-text",
            stream(&after_text, "tool_calls"),
            with(expected(2, json!([tool_call("f", "{}")])), json!({ "text": "Miro. " })),
        ),
        case("halves", stream(&halves, "tool_calls"), expected(1, json!([tool_call("f", "😀")]))),
        case("unnumbered", stream(&[unnumbered], "tool_calls"), expected(1, json!([tool_call("f", "{}")]))),
        case("without-arguments", stream(&[without_arguments], "tool_calls"), expected(0, json!([tool_call("f", "")]))),
    ];
    play(&[], cases).await;
}
