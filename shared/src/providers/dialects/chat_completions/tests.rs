//! Properties of both directions. Reading: however a body is laid out, cut into reads or cut off, the text is a prefix of what was
//! sent, and only a whole body has a finish reason. Sending: messages go upstream byte for byte.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::generation::conversation::{Content, Entry, Part, ToolCall};
use crate::generation::request::RequestRules;
use crate::providers::Fault;
use crate::providers::decode::deltas;
use crate::providers::dialects::reading;

/// Text, and whether a finish reason came and an error did.
type Read = (String, bool, Option<Fault>);

fn read(body: &[u8], cuts: &[usize]) -> Read {
    let read = reading::read(body, cuts, |body| deltas(body, String::new(), Decoder::default()));
    (read.text, read.finish.is_some(), read.fault)
}

/// A body of `pieces`, with these line ends; `is_bare`: without the space behind `data:`, and with comments.
fn sse_body(pieces: &[String], line_end: &str, is_bare: bool) -> Vec<u8> {
    let chunk = |delta: Value, finish: Value| json!({ "choices": [{ "delta": delta, "finish_reason": finish }] }).to_string();
    let texts = pieces.iter().map(|piece| chunk(json!({ "content": piece }), Value::Null));
    let all = texts.chain([chunk(json!({}), "stop".into()), "[DONE]".to_owned()]);
    let (prefix, comment) = if is_bare { ("data:", ": ñ\n\n") } else { ("data: ", "") };
    all.map(|data| format!("{comment}{prefix}{data}\n\n")).collect::<Vec<_>>().concat().replace('\n', line_end).into_bytes()
}

fn bodies() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let pieces = prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8);
    (pieces, prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], any::<bool>()).prop_map(|(pieces, line_end, is_bare)| {
        let body = sse_body(&pieces, line_end, is_bare);
        (pieces, body)
    })
}

#[test]
fn indexes_may_be_as_large_as_they_like() {
    let choice = |index: &str| format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"a\"}}}}]}}\n\n");
    let body = ["18446744073709551615", "18446744073709551615", "1e30", "0"].map(choice).concat();
    assert_eq!(read(body.as_bytes(), &[]), ("aaa".to_owned(), false, None));
}

/// Any JSON. Its objects have the field names of messages, parts and calls, so that typed fields meet values of every type.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9_f64..1e9).prop_map(Value::from),
        "[a-zñ\"\\\\]{0,4}".prop_map(Value::from),
        prop_oneof![Just("text"), Just("image_url"), Just("file"), Just("function"), Just("user")].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object(inner).prop_map(Value::from)]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = serde_json::Map<String, Value>> {
    let names = prop::sample::select(vec![
        "role",
        "content",
        "reasoning_content",
        "tool_calls",
        "tool_call_id",
        "type",
        "text",
        "image_url",
        "url",
        "detail",
        "file",
        "file_id",
        "file_url",
        "file_data",
        "filename",
        "id",
        "function",
        "name",
        "arguments",
        "cache_control",
        "x",
    ]);
    prop::collection::vec((names, value), 0..6)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Well-formed parts and tool calls, and beside them JSON of every kind.
fn part() -> impl Strategy<Value = Value> {
    let text = "[a-zñ]{0,3}";
    prop_oneof![
        text.prop_map(|text| json!({ "type": "text", "text": text })),
        text.prop_map(|url| json!({ "image_url": { "detail": "low", "url": url }, "type": "image_url" })),
        text.prop_map(|id| json!({ "type": "file", "file": { "filename": null, "file_id": id } })),
        any_json(),
    ]
}

fn call() -> impl Strategy<Value = Value> {
    let call = |(id, name)| json!({ "function": { "arguments": "{}", "name": name }, "id": id });
    prop_oneof![("[a-z]{0,3}", "[a-z]{0,3}").prop_map(call), any_json()]
}

/// A message that is accepted: the role and the type of the content are right, and other fields are of any kind, in any order.
fn message() -> impl Strategy<Value = Value> {
    let role = prop_oneof![Just("system"), Just("developer"), Just("user"), Just("assistant"), Just("tool")];
    let content = prop_oneof![
        Just(Value::Null),
        "[a-zñ]{0,3}".prop_map(Value::from),
        prop::collection::vec(part(), 0..4).prop_map(Value::from),
    ];
    let calls = prop::collection::vec(call(), 0..3).prop_map(Value::from);
    let others = (object(any_json()), prop::option::of(calls));
    (role, prop::option::of(content), others, any::<prop::sample::Index>()).prop_map(
        |(role, content, (mut fields, calls), place)| {
            let given = [("content", content), ("tool_calls", calls)];
            // `content` of another type is not accepted.
            fields.shift_remove("content");
            fields.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            fields.shift_remove("role");
            fields.shift_insert(place.index(fields.len() + 1), "role".to_owned(), role.into());
            fields.into()
        },
    )
}

proptest! {
    #[test]
    fn reads_do_not_change_the_deltas((pieces, body) in bodies(), cuts in prop::collection::vec(any::<usize>(), 0..40)) {
        prop_assert_eq!(read(&body, &cuts), (pieces.concat(), true, None));
    }

    #[test]
    fn cut_off_body_yields_a_prefix_without_finish(
        (pieces, body) in bodies(), end: usize, cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let (text, finished, fault) = read(&body[..end % (body.len() + 1)], &cuts);
        let whole = pieces.concat();
        prop_assert!(whole.starts_with(&text), "{text:?} of {whole:?}");
        prop_assert!(!finished || text == whole);
        prop_assert_eq!(fault, None, "a clean cut is no error here");
    }

    #[test]
    fn reads_do_not_change_the_outcome_of_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
        for body in [body.clone(), [b"data: ", body.as_slice(), b"\n\n"].concat()] {
            prop_assert_eq!(read(&body, &cuts), read(&body, &[]));
        }
    }

    #[test]
    fn accepted_messages_go_upstream_byte_for_byte(messages in prop::collection::vec(message(), 1..5)) {
        let raw = Value::from(messages);
        let body = json!({ "model": "m", "provider": "test", "messages": raw }).to_string();
        let rules = RequestRules { providers: vec!["test"], responses_providers: vec![], max_output_bytes: 1, timeout_seconds: 60 };
        let request = Request::parse(body.as_bytes(), &rules).unwrap();
        let stored = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(upstream_body(&stored, ""), json!({ "model": "m", "messages": raw, "stream": true, "stream_options": { "include_usage": true } }).to_string());
    }
}

/// The body that is sent upstream for a stored request.
fn upstream_body(stored: &str, prefix: &str) -> String {
    let settings = json!({ "base_url": "https://test/v1", "continuation": "trailing_assistant" });
    body(&serde_json::from_value(settings).unwrap(), &serde_json::from_str(stored).unwrap(), prefix).to_string()
}

#[test]
fn stored_responses_request_yields_its_upstream_body() {
    let stored = r#"{"provider":"openai","model":"m","instructions":"Be brief.","temperature":0.5,"tools":[{"type":"function","function":{"name":"f"}}],"validation":"soft","provider_options":{"user":"u"},"responses":{"model":"openai/m","background":true,"store":false,"input":[{"role":"developer","content":[{"type":"input_text","text":"a"}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_image","image_url":"https://i/1","detail":"low","x":1},{"type":"input_image","image_url":"https://i/2"},{"type":"input_file","file_id":"f1","x":[2]},{"type":"later","y":{}}]},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"reasoning","id":"rs_1","summary":[]},{"type":"function_call","id":"fc_2","call_id":"c2","name":"g","arguments":"[]","status":"completed"},{"type":"function_call_output","call_id":"c1","output":"1"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"},{"type":"input_text","text":3}]},{"type":"function_call","call_id":"c3","name":"f","arguments":""},{"role":"assistant","content":""}],"echo":{"user":"u"}}}"#;
    let messages = concat!(
        r#"{"role":"system","content":"Be brief."},"#,
        r#"{"role":"system","content":"a"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"https://i/1","detail":"low"}},"#,
        r#"{"type":"image_url","image_url":{"url":"https://i/2"}},{"type":"file","file":{"file_id":"f1","x":[2]}},{"type":"later","y":{}}]},"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},"#,
        r#"{"id":"c2","type":"function","function":{"name":"g","arguments":"[]"}}]},"#,
        r#"{"role":"tool","tool_call_id":"c1","content":"1"},"#,
        r#"{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"2"},{"type":"text","text":3}]},"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c3","type":"function","function":{"name":"f","arguments":""}}]},"#,
        r#"{"role":"assistant","content":""}"#,
    );
    let rest = r#""temperature":0.5,"tools":[{"type":"function","function":{"name":"f"}}],"user":"u","stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(upstream_body(stored, ""), format!(r#"{{"model":"m","messages":[{messages}],{rest}"#));
    let prefix = r#"{"role":"assistant","content":"So f"}"#;
    assert_eq!(upstream_body(stored, "So f"), format!(r#"{{"model":"m","messages":[{messages},{prefix}],{rest}"#));
}

#[test]
fn stored_prompt_yields_its_upstream_body() {
    let stored = r#"{"provider":"openai","model":"m","prompt":"Hola","max_output_tokens":7,"seed":-1,"stop":["a"]}"#;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hola"}],"max_tokens":7,"stop":["a"],"seed":-1,"stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(upstream_body(stored, ""), body);
}

#[test]
fn messages_are_typed() {
    let request: Request = serde_json::from_value(json!({ "model": "m", "messages": [
        { "role": "user", "content": [
            { "type": "text", "text": "a", "cache_control": {} },
            { "type": "image_url", "image_url": { "url": "https://i/1", "detail": "low" } },
            { "type": "file", "file": { "file_id": "f1", "filename": "n" } },
            { "type": "input_audio", "input_audio": {} },
        ] },
        { "role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } },
            { "id": "c2", "type": "custom", "custom": {} },
        ] },
        { "role": "tool", "tool_call_id": "c1", "content": "1" },
    ] }))
    .unwrap();
    let messages: Vec<_> = request
        .conversation()
        .entries
        .into_iter()
        .map(|entry| if let Entry::Message(message) = entry { message } else { panic!("{entry:?}") })
        .collect();
    let Some(Content::Parts(parts)) = &messages[0].content else { panic!("{:?}", messages[0]) };
    assert!(matches!(&parts[0], Part::Text { text, extra } if text == "a" && extra["cache_control"] == json!({})));
    assert!(matches!(&parts[1], Part::Image { url, extra } if url == "https://i/1" && extra["image_url"]["detail"] == "low"));
    assert!(
        matches!(&parts[2], Part::File { file, .. } if file.id.as_deref() == Some("f1") && file.name.as_deref() == Some("n"))
    );
    assert!(matches!(&parts[3], Part::Other(part) if part["type"] == "input_audio"));
    assert_eq!((&messages[1].content, messages[1].reasoning.as_deref()), (&None, Some("r")));
    assert!(matches!(&messages[1].tool_calls[0], ToolCall::Function { id, name, .. } if id == "c1" && name == "f"));
    assert!(matches!(&messages[1].tool_calls[1], ToolCall::Other(call) if call["type"] == "custom"));
    assert_eq!(messages[2].tool_call_id.as_deref(), Some("c1"));
}
