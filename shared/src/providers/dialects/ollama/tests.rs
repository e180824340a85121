//! Requests as Ollama takes them, and streams as it sends them.

use proptest::prelude::*;

use super::*;
use crate::providers::decode::decoded;
use crate::providers::dialects::reading;
use crate::providers::ndjson::lines;
use crate::providers::{Fault, FinishMeaning};

#[test]
fn conversation_becomes_messages() {
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } });
    let request = json!({
        "model": "m", "provider": "ollama", "instructions": "Be brief.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": "Look" }, image] },
            { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c1", "content": "1" },
        ],
        "stop": "FIN", "temperature": 0.5, "seed": 7, "max_output_tokens": 9,
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } },
        "provider_options": { "think": true, "user": "u", "options": { "num_ctx": 8192 }, "stream": false },
    });
    let expected = json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Look", "images": ["AA=="] },
            { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "f", "arguments": { "a": 1 } } }] },
            { "role": "tool", "content": "1", "tool_name": "f" },
        ],
        "format": { "type": "object" }, "think": true,
        "options": { "temperature": 0.5, "num_predict": 9, "seed": 7, "stop": ["FIN"], "num_ctx": 8192 },
        "stream": true,
    });
    assert_eq!(body(&serde_json::from_value(request).unwrap()), expected);
}

fn line(line: &Value) -> String {
    format!("{line}\n")
}

fn text(text: &str) -> String {
    line(&json!({ "model": "m", "message": { "role": "assistant", "content": text }, "done": false }))
}

fn done(reason: &Value) -> String {
    let message = json!({ "role": "assistant", "content": "" });
    line(&json!({ "message": message, "done": true, "done_reason": reason, "prompt_eval_count": 7, "eval_count": 3 }))
}

/// Text, reasoning, calls, the usage, what the finish means, and the fault.
type Read = (String, String, Vec<(String, String)>, Option<(u64, u64)>, Option<Option<FinishMeaning>>, Option<Fault>);

fn read(body: &str, cuts: &[usize]) -> Read {
    let read = reading::read(body.as_bytes(), cuts, |body| decoded(lines(body), String::new(), Decoder::default()));
    let calls = read.calls.into_iter().map(|(_, name, arguments)| (name.unwrap_or_default(), arguments)).collect();
    let usage = read.usage.map(|(input, _, output)| (input, output));
    (read.text, read.reasoning, calls, usage, read.finish.map(|(_, meaning)| meaning), read.fault)
}

#[test]
fn whole_answer_is_read() {
    let call = json!({ "function": { "name": "f", "arguments": { "a": 0 } } });
    let body = [
        line(&json!({ "message": { "role": "assistant", "content": "", "thinking": "hm" }, "done": false })),
        text("Uno "),
        "\r\n".to_owned(),
        text("dos"),
        line(&json!({ "message": { "role": "assistant", "content": "", "tool_calls": [call] }, "done": false })),
        done(&json!("stop")),
        text("NO"),
    ];
    let calls = vec![("f".to_owned(), "{\"a\":0}".to_owned())];
    let expected = ("Uno dos".into(), "hm".into(), calls, Some((7, 3)), Some(Some(FinishMeaning::Completed)), None);
    assert_eq!(read(&body.concat(), &[]), expected);
}

#[test]
fn ends_are_told_apart() {
    let ended = |ending: &str| {
        let (text, .., finish, fault) = read(&[&text("Uno"), ending].concat(), &[]);
        assert_eq!(text, "Uno");
        (finish, fault)
    };
    assert_eq!(ended(&done(&Value::Null)), (Some(Some(FinishMeaning::Completed)), None), "an older server");
    assert_eq!(ended(done(&json!("stop")).trim_end()), (Some(Some(FinishMeaning::Completed)), None), "no line end");
    assert_eq!(ended(&done(&json!("length"))), (Some(Some(FinishMeaning::MaxOutputTokens)), None));
    assert_eq!(ended(&done(&json!("unload"))), (Some(Some(FinishMeaning::Failed)), Some(Fault::ReportedError)));
    assert_eq!(ended(&done(&json!("novel"))), (Some(None), None));
    assert_eq!(ended(""), (None, None));
    assert_eq!(ended("{\"message\":{\"cont"), (None, None), "cut off");
    assert_eq!(ended("{\"message\":{\"cont\n"), (None, Some(Fault::Unreadable)));
    assert_eq!(ended("{\"error\":\"model runner has stopped\"}\n"), (None, Some(Fault::ReportedError)));
    assert_eq!(ended("{\"choices\":[]}\n"), (None, Some(Fault::NotAStream)));
}

proptest! {
    #[test]
    fn reads_do_not_change_the_deltas(
        pieces in prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let texts: String = pieces.iter().map(|piece| text(piece)).collect();
        let read = read(&[texts, done(&json!("stop"))].concat(), &cuts);
        prop_assert_eq!((read.0, read.4, read.5), (pieces.concat(), Some(Some(FinishMeaning::Completed)), None));
    }
}
