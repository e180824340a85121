//! What real providers send beyond the specification of chat completions: one table per kind.

use longhand_tests::Harness;
use longhand_tests::hostile::{Ending, Hostile, Script, wire};
use serde_json::{Value, json};

use super::{Case, case, completed, failed, play, uno_dos, usage, with};

const IN_STREAM: &str = "the provider reported an error in its stream";

/// `data` lines, each an event.
fn events(data: &[&str]) -> String {
    let events: Vec<String> = data.iter().map(|data| format!("data: {data}\n\n")).collect();
    events.concat()
}

fn stream(events: impl AsRef<str>) -> Script {
    Script::stream([events.as_ref()])
}

/// These deltas, a finish reason, usage and `[DONE]`.
fn deltas(deltas: &[Value], finish: &str) -> Script {
    let deltas: String = deltas.iter().map(|delta| wire::delta(delta.clone())).collect();
    stream([deltas, wire::finish(finish), wire::usage(json!([])), wire::DONE.to_owned()].concat())
}

fn calls(deltas: u64, calls: &[(&str, &str, &str)]) -> Value {
    let calls: Vec<Value> =
        calls.iter().map(|(id, name, arguments)| json!({ "call_id": id, "name": name, "arguments": arguments })).collect();
    with(completed("", deltas), json!({ "tool_calls": calls }))
}

fn uncounted(outcome: Value) -> Value {
    with(outcome, json!({ "usage": null }))
}

#[tokio::test(flavor = "multi_thread")]
async fn output_behind_a_finish_reason_is_kept() {
    let with_finish = |text: &str| wire::chunk(&json!([{ "index": 0, "delta": { "content": text }, "finish_reason": "stop" }]));
    let both = [with_finish("Uno "), with_finish("dos")].concat();
    let alone = [wire::text("Uno "), wire::finish("stop"), wire::text("dos")].concat();
    let boom = wire::event(&json!({ "error": { "message": "boom" } }));
    let broken = |code: &str, message: &str| uncounted(failed(code, message, "Uno dos", 2, 1));
    let halves = |text: &str| with_finish("@").replace('@', text);
    let cases = vec![
        case("finish-with-each", stream(&both), uncounted(uno_dos())),
        case("finish-with-each-done", stream([&both, wire::DONE].concat()), uncounted(uno_dos())),
        case("text-after-a-finish", stream(&alone), uncounted(uno_dos())),
        case("then-error", stream([&both, &*boom].concat()), broken("provider_error", &format!("{IN_STREAM}: boom"))),
        case("alone-then-error", stream([&alone, &*boom].concat()), broken("provider_error", &format!("{IN_STREAM}: boom"))),
        case(
            "then-reset",
            stream(&both).ending(Ending::Reset),
            broken("interrupted", "the provider's stream broke off: Connection reset by peer"),
        ),
        case("surrogate-halves", stream([halves("\\ud83d"), halves("\\ude00")].concat()), uncounted(completed("😀", 1))),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finish_reasons_are_known_in_any_spelling() {
    let text = json!({ "content": "Uno" });
    let ended = |word: &str, status: &str, reason: Option<&str>| {
        let expected = with(completed("Uno", 1), json!({ "status": status, "reason": reason }));
        (word.to_owned(), expected)
    };
    let filtered = |word: &str| ended(word, "incomplete", Some("content_filter"));
    let cut = |word: &str| ended(word, "incomplete", Some("max_output_tokens"));
    let failing = |word: &str| {
        let message = format!("the provider ended the stream with the finish reason `{word}`");
        (word.to_owned(), uncounted(failed("provider_error", &message, "Uno", 1, 1)))
    };
    let words = [
        ended("STOP", "completed", None),
        ended("eos_token", "completed", None),
        cut("LENGTH"),
        cut("max_output_tokens"),
        cut("model_context_window_exceeded"),
        cut("Budget"),
        filtered("SAFETY"),
        filtered("sensitive"),
        filtered("Content_Filter"),
        failing("abort"),
        failing("insufficient_system_resource"),
        failing("network_error"),
        ended("mystery", "incomplete", Some("unknown_finish_reason")),
    ];
    let names: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
    let scripts = names.iter().map(|word| (*word, vec![deltas(std::slice::from_ref(&text), word)]));
    let hostile = Hostile::start(scripts).await;
    let mut providers: Value = serde_json::from_str(&hostile.providers(names.iter().copied())).unwrap();
    for settings in providers.as_object_mut().unwrap().values_mut() {
        settings["finish_reasons"] = json!({ "budget": "max_output_tokens" });
        settings["stream_options"] = json!(false);
    }
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers.to_string())]).await;
    for (word, expected) in &words {
        assert_eq!(super::outcome(&harness, &hostile, word, &json!({})).await, *expected, "{word}");
        assert_eq!(hostile.seen(word).bodies[0].get("stream_options"), None);
    }
    for word in ["mystery", "abort", "LENGTH"] {
        let id = harness.start_generation(json!({ "provider": word, "max_attempts": 1 })).await;
        assert_eq!(harness.ended(&id).await["finish_reason"], word);
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_words_are_no_finish_reason() {
    let with_null = |text: &str| wire::chunk(&json!([{ "index": 0, "delta": { "content": text }, "finish_reason": "null" }]));
    let both = [with_null("Uno "), with_null("dos")].concat();
    let no_finish = failed("interrupted", "the provider's stream ended without a finish reason", "Uno dos", 2, 1);
    let camel = both.replace("\"finish_reason\":\"null\"", "\"finish_reason\":null");
    let camel_stop = wire::finish("stop").replace("finish_reason", "finishReason");
    let cases = vec![
        case("null-with-each", stream([&both, &*wire::ending()].concat()), uno_dos()),
        case("null-alone", stream([&both, wire::DONE].concat()), no_finish),
        case("camel-case", stream([camel, camel_stop].concat()), uncounted(uno_dos())),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_is_known_by_its_id() {
    let piece = |piece: Value| json!({ "tool_calls": [piece] });
    let named =
        |id: Value, name: &str, arguments: &str| json!({ "id": id, "function": { "name": name, "arguments": arguments } });
    let at = |index: Value, mut piece: Value| {
        piece["index"] = index;
        piece
    };
    let both = [("a", "f", "{\"x\":1}"), ("b", "g", "{}")];
    let no_index = [piece(named(json!("a"), "f", "{\"x\":1}")), piece(named(json!("b"), "g", "{}"))];
    let same_index = no_index.clone().map(|delta| piece(at(json!(0), delta["tool_calls"][0].clone())));
    let text_index = [("0", "a", "f", "{\"x\":1}"), ("1", "b", "g", "{}")]
        .map(|(index, id, name, arguments)| piece(at(json!(index), named(json!(id), name, arguments))));
    let continued = [
        piece(named(json!("a"), "f", "{\"x\"")),
        piece(json!({ "function": { "arguments": ":1}" } })),
        piece(named(json!("b"), "g", "{")),
        piece(json!({ "function": { "arguments": "}" } })),
    ];
    let without_ids = [piece(at(json!(0), named(json!(""), "f", "{}"))), piece(at(json!(0), named(json!(null), "g", "[]")))];
    let number = [piece(at(json!(0), named(json!(12345), "f", "{}")))];
    let cases = vec![
        case("no-index", deltas(&no_index, "tool_calls"), calls(2, &both)),
        case("same-index", deltas(&same_index, "tool_calls"), calls(2, &both)),
        case("index-as-text", deltas(&text_index, "tool_calls"), calls(2, &both)),
        case("continued-without-index", deltas(&continued, "tool_calls"), calls(4, &both)),
        case("without-ids", deltas(&without_ids, "tool_calls"), calls(2, &[("call_0", "f", "{}"), ("call_1", "g", "[]")])),
        case("id-as-number", deltas(&number, "tool_calls"), calls(1, &[("12345", "f", "{}")])),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_ids_of_calls_come_late_and_in_pieces() {
    let piece = |id: Value, name: Value, arguments: &str| json!({ "tool_calls": [{ "index": 0, "id": id, "function": { "name": name, "arguments": arguments } }] });
    let (null, id) = (Value::Null, json!("c1"));
    let expected = |deltas| calls(deltas, &[("c1", "get_weather", "{}")]);
    let table = [
        ("late-name", vec![piece(id.clone(), null.clone(), ""), piece(id.clone(), json!("get_weather"), "{}")]),
        ("empty-name-first", vec![piece(id.clone(), json!(""), ""), piece(id.clone(), json!("get_weather"), "{}")]),
        ("late-id", vec![piece(null.clone(), json!("get_weather"), ""), piece(id.clone(), null.clone(), "{}")]),
        ("id-behind-the-arguments", vec![piece(null.clone(), json!("get_weather"), "{}"), piece(id.clone(), null.clone(), "")]),
        ("name-in-pieces", vec![piece(id.clone(), json!("get_"), ""), piece(null.clone(), json!("weather"), "{}")]),
        ("null-word-later", vec![piece(id.clone(), json!("get_weather"), ""), piece(json!("null"), json!("null"), "{}")]),
        ("name-repeated", vec![piece(id.clone(), json!("get_weather"), ""), piece(id.clone(), json!("get_weather"), "{}")]),
        ("finish-at-once", vec![piece(id, json!("get_weather"), "{}")]),
    ];
    let cases = table.iter().map(|(name, pieces)| case(name, deltas(pieces, "tool_calls"), expected(1))).collect();
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_and_older_calls_are_calls() {
    let custom = |custom: Value| json!({ "tool_calls": [{ "index": 0, "id": "c1", "type": "custom", "custom": custom }] });
    let custom =
        [custom(json!({ "name": "code", "input": "" })), custom(json!({ "input": "print(" })), custom(json!({ "input": "1)" }))];
    let older = [
        json!({ "content": null, "function_call": { "name": "f", "arguments": "" } }),
        json!({ "function_call": { "arguments": "{\"a\":1}" } }),
    ];
    let object =
        [json!({ "tool_calls": [{ "id": "c1", "function": { "name": "f", "arguments": { "city": "Oslo", "n": 1.50 } } }] })];
    let cases = vec![
        case("custom", deltas(&custom, "tool_calls"), calls(2, &[("c1", "code", "print(1)")])),
        case("function-call", deltas(&older, "function_call"), calls(1, &[("call_0", "f", "{\"a\":1}")])),
        case("object", deltas(&object, "tool_calls"), calls(1, &[("c1", "f", "{\"city\":\"Oslo\",\"n\":1.5}")])),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasoning_counts_once_under_two_names() {
    let mirrored = ["The ", "user"].map(|text| json!({ "reasoning": text, "reasoning_content": text, "content": "" }));
    let details = json!({ "reasoning_details": [{ "type": "reasoning.text", "text": "pienso" }], "reasoning": "pienso" });
    let object = json!({ "reasoning": { "text": "pienso" } });
    let parts = [
        json!({ "content": "" }),
        json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "pienso" }] }] }),
        json!({ "content": [{ "type": "text", "text": "Ho" }, { "type": "reference", "reference_ids": [1] }] }),
        json!({ "content": "la" }),
    ];
    let hola = json!({ "content": "Hola" });
    let thought = |deltas: u64, reasoning: &str| with(completed("Hola", deltas), json!({ "reasoning": reasoning }));
    let then_hola = |deltas: &[Value]| self::deltas(&[deltas, std::slice::from_ref(&hola)].concat(), "stop");
    let cases = vec![
        case("mirrored", then_hola(&mirrored), thought(3, "The user")),
        case("details", then_hola(&[details]), thought(2, "pienso")),
        case("object", then_hola(&[object]), thought(2, "pienso")),
        case("parts", deltas(&parts, "stop"), thought(3, "pienso")),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_found_beside_deltas() {
    let older = [
        r#"{"choices":[{"index":0,"text":"Uno ","finish_reason":null}]}"#,
        r#"{"choices":[{"text":"dos","finish_reason":"stop"}]}"#,
    ];
    let message = [r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Uno dos"},"finish_reason":"stop"}]}"#];
    let repeated = [
        r#"{"choices":[{"index":0,"delta":{"content":"Uno "}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"dos"},"message":{"content":"Uno dos"},"finish_reason":"stop"}]}"#,
    ];
    let counting: Vec<String> = (1..=3)
        .zip(["Uno", " ", "dos"])
        .map(|(index, text)| wire::chunk(&json!([{ "index": index, "delta": { "content": text } }])))
        .chain([wire::chunk(&json!([{ "index": 4, "delta": {}, "finish_reason": "stop" }]))])
        .collect();
    let cases = vec![
        case("older-text", stream(events(&older)), uncounted(uno_dos())),
        case("message", stream(events(&message)), uncounted(completed("Uno dos", 1))),
        case("message-repeats-deltas", stream(events(&repeated)), uncounted(uno_dos())),
        case("index-counts-up", stream(counting.concat()), uncounted(completed("Uno dos", 3))),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_not_read_may_be_broken() {
    let ending = wire::ending();
    let around = |data: &str| stream([wire::text("Uno "), events(&[data]), wire::text("dos"), ending.clone()].concat());
    let instead = |data: &str| stream([wire::text("Uno "), events(&[data]), ending.clone()].concat());
    let twice = r#"{"choices":[{"index":0,"delta":{"content":"dos","content":"dos"},"finish_reason":null}],"choices":null}"#;
    let finish_twice = r#"{"choices":[{"index":0,"delta":{"content":"dos"},"finish_reason":null,"finish_reason":"stop"}],"usage":null,"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let infinite = r#"{"choices":[{"index":0,"delta":{"content":"dos"},"logprobs":{"content":[{"token":"NaN","logprob":-Infinity,"x":NaN}]}}]}"#;
    let ping = |data: &str| {
        stream([wire::text("Uno "), format!("event: ping\ndata: {data}\n\n"), wire::text("dos"), ending.clone()].concat())
    };
    let mut cases: Vec<Case> = vec![
        case("field-twice", instead(twice), uno_dos()),
        case("finish-twice", stream([wire::text("Uno "), events(&[finish_twice, "[DONE]"])].concat()), uno_dos()),
        case("no-numbers", instead(infinite), uno_dos()),
        case("number-for-text", instead(r#"{"choices":[{"delta":{"content":5.10}}]}"#), completed("Uno 5.10", 2)),
        case("error-empty", instead(r#"{"choices":[{"delta":{"content":"dos"}}],"error":""}"#), uno_dos()),
        case("error-false", instead(r#"{"choices":[{"delta":{"content":"dos"}}],"error":false}"#), uno_dos()),
        case(
            "odd-fields",
            instead(r#"{"model":7,"id":[],"choices":[{"index":"0","delta":{"content":"dos","role":7}}]}"#),
            uno_dos(),
        ),
        case("ping-text", ping("ping"), uno_dos()),
        case("ping-time", ping("2026-01-01 00:00:00"), uno_dos()),
    ];
    for (name, data) in [("null", "null"), ("heartbeat", "\"heartbeat\""), ("ping", "ping"), ("true", "true")] {
        cases.push(case(name, around(data), uno_dos()));
    }
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_need_no_blank_line() {
    let lines = |end: &str| stream(wire::whole(&["Uno ", "dos"]).replace("\n\n", end));
    let nulls = [wire::text("Uno "), "data: null\n\n".to_owned(), wire::text("dos"), wire::ending()].concat();
    let cases = vec![
        case("line-feed", lines("\n"), uno_dos()),
        case("both", lines("\r\n"), uno_dos()),
        case("carriage-return", lines("\r"), uno_dos()),
        case("with-null", stream(nulls.replace("\n\n", "\n")), uno_dos()),
        case("cut-in-the-last", stream("data: {\"choices\":[{\"delta\":{\"content\":\"Uno \"}}]}\ndata: {\"cho"), {
            failed("interrupted", "the provider's stream ended without a finish reason", "Uno ", 1, 1)
        }),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_own_sentence_is_quoted() {
    let text_then = |data: &str| stream([wire::text("Uno dos"), events(&[data, "[DONE]"])].concat());
    let quoted = |code: &str, sentence: &str| failed(code, &format!("{IN_STREAM}: {sentence}"), "Uno dos", 1, 1);
    let rejected = |status: &str, sentence: &str| {
        failed("provider_rejected", &format!("the provider answered {status}: {sentence}"), "", 0, 1)
    };
    let body = |status: &str, body: &str| Script::plain(status, "application/json", body);
    let vllm = r#"{"object":"error","message":"CUDA out of memory","type":"InternalServerError","param":null,"code":500}"#;
    let vllm_400 = r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#;
    let dashscope = r#"{"code":"DataInspectionFailed","message":"inappropriate","request_id":"r1"}"#;
    let fastapi =
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#;
    let gemini = r#"[{"error":{"code":400,"message":"Unknown name","status":"INVALID_ARGUMENT"}}]"#;
    let first_of_all = |data: &str| stream(events(&[data, "[DONE]"]));
    let typed = r#"{"id":"","choices":null,"error_type":"BadRequestError","error_message":"too long"}"#;
    let cases = vec![
        case("bare", text_then(vllm), quoted("provider_error", "CUDA out of memory")),
        case("bare-400", text_then(vllm_400), quoted("provider_rejected", "too long")),
        case("detail", text_then(r#"{"detail":"too long"}"#), quoted("provider_error", "too long")),
        case("dashscope", text_then(dashscope), quoted("provider_rejected", "inappropriate (DataInspectionFailed)")),
        case("array-in-stream", text_then(gemini), quoted("provider_rejected", "Unknown name")),
        case("fields", first_of_all(typed), failed("provider_rejected", &format!("{IN_STREAM}: too long"), "", 0, 1)),
        case("fastapi", body("422 Unprocessable Entity", fastapi), {
            rejected("422 Unprocessable Entity", "body.stream_options: Extra inputs are not permitted")
        }),
        case("array", body("400 Bad Request", gemini), rejected("400 Bad Request", "Unknown name")),
        case("aws", body("403 Forbidden", r#"{"Message":"not authorized"}"#), rejected("403 Forbidden", "not authorized")),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_read_wherever_it_stands() {
    let counted = |usage: Value| with(completed("Hola", 1), json!({ "usage": usage }));
    let around =
        |last: Value| stream([wire::text("Hola"), wire::finish("stop"), wire::event(&last), wire::DONE.to_owned()].concat());
    let tokens = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
    let plain = || counted(usage());
    let cached = json!({ "input_tokens": 7, "cached_tokens": 4, "output_tokens": 3, "total_tokens": 10 });
    let with_cache = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_cache_hit_tokens": 4 });
    let cases = vec![
        case("groq", around(json!({ "choices": [], "x_groq": { "usage": tokens } })), plain()),
        case("in-the-choice", around(json!({ "choices": [{ "index": 0, "delta": {}, "usage": tokens }] })), plain()),
        case(
            "floats",
            around(json!({ "usage": { "prompt_tokens": 7.0, "completion_tokens": "3", "total_tokens": 10.0 } })),
            plain(),
        ),
        case("newer-names", around(json!({ "usage": { "input_tokens": 7, "output_tokens": 3 } })), plain()),
        case("cache-hits", around(json!({ "usage": with_cache })), counted(cached)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_estimated_where_none_is_reported() {
    let text = [wire::text("Uno dos"), wire::finish("stop")].concat();
    let cut = wire::text("Uno dos");
    let hostile = Hostile::start([("whole", vec![stream(text)]), ("cut", vec![stream(cut)]), ("none", vec![stream("")])]).await;
    let providers = hostile.providers(["whole", "cut", "none"]);
    let harness = Harness::start("http://127.0.0.1:9", &[("LONGHAND_PROVIDERS", &providers)]).await;
    for name in ["whole", "cut"] {
        let id = harness.start_generation(json!({ "provider": name, "max_attempts": 1 })).await;
        let usage = harness.ended(&id).await["usage"].clone();
        assert_eq!((&usage["estimated"], &usage["output_tokens"]), (&json!(true), &json!(2)), "{name}: {usage}");
        assert!(usage["input_tokens"].as_u64() > Some(0));
    }
    let id = harness.start_generation(json!({ "provider": "none", "max_attempts": 1 })).await;
    assert_eq!(harness.ended(&id).await["usage"], json!(null), "nothing was received");
    harness.finish().await;
}
