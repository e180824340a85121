//! What a person is told whose arguments, files or answers are wrong: exit code and message of the real command.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

/// Exit code, stdout and stderr of `longhand`, run in an empty folder and with an empty environment.
pub fn longhand(arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.jsonl"), "\"Hola\"\nmundo\n").unwrap();
    fs::write(folder.path().join("list.json"), "[1]").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(arguments).env_clear().current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments may be gone before it has read anything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const ID: &str = "gen_01arz3ndektsv4rrffq69g5fav";

/// Arguments, and what is expected in their place.
const WRONG_ARGUMENTS: &[(&[&str], &str)] = &[
    (&["start", "--model", "m"], "<--prompt <TEXT>|--file <PATH>>"),
    (&["start", "--prompt", "a", "--file", "b"], "'--prompt <TEXT>' cannot be used with '--file <PATH>'"),
    (&["start", "--prompt", "a", "--base-url", "https://a.example/v1"], "--provider <NAME>"),
    (&["start", "--prompt", "a", "--provider", "p", "--base-url", "http://a.example/v1"], "expected https://"),
    (&["start", "--prompt", "a", "--provider", "p", "--base-url", "ftp://a.example"], "begins with https://"),
    (&["start", "--prompt", "a", "--provider", "a/b"], "expected lower-case letters"),
    (
        &["start", "--prompt", "a", "--provider", "p", "--base-url", "http://[::1]:9/v1", "--continuation", "echo"],
        "[possible values: trailing_assistant, continue_final_message, prefix_flag, retrieve]",
    ),
    (&["start", "--prompt", "a", "--provider", "my-llm", "--base-url", "https://a.example/v1"], "MY_LLM_API_KEY to hold the key"),
    (
        &["start", "--prompt", "a", "--provider", "p", "--base-url", "http://[::1]:9/v1", "--url", "http://127.0.0.1:9"],
        "error: the API at http://127.0.0.1:9/ takes no base URL from a request, because P_API_KEY would be sent there",
    ),
    (&["start", "--prompt", "a", "--url", "http://127.0.0.1:9", "--organization", "o"], "from the caller's credential alone"),
    (&["start", "--file", "list.json"], "error: list.json: expected a JSON object (invalid type: sequence"),
    (&["start", "--prompt", "a", "--validation", "lax"], "[possible values: soft, strict]"),
    (&["demo", "--tempo", "-1"], "expected deltas per second"),
    (&["demo", "--tempo", "inf"], "expected deltas per second"),
    (&["demo", "--provider", "openai"], "error: --provider needs a --model to ask for"),
    (&["demo", "--provider", "openai", "--model", "m", "--deltas", "f"], "cannot be used with '--deltas <FILE>'"),
    (&["demo", "--model", "m"], "--provider <NAME>"),
    (&["get", ID, "--url", "localhost:4000"], "expected an address such as http://127.0.0.1:4000, not \"localhost:4000\""),
    (&["tail", ID, "--poll=often"], "expected a number of seconds, such as 0.5"),
    (&["inspect", "gen_1"], "a generation's id is `gen_` and 26 characters"),
    (&["compact", ID, "--aws"], "--organization <NAME>"),
    (&["keys", "create", "--scope", "root"], "a scope is start, read, review or admin, not \"root\""),
    (&["keys", "create", "--expires-in", "0d"], "expected a time from 1s to 36500d"),
    (&["keys", "create", "--expires-in", "soon"], "expected a time from 1s to 36500d"),
    (&["keys", "create", "--expires-in", "30"], "expected a time from 1s to 36500d"),
    (&["keys", "create", "--expires-in", "1h ago"], "expected a time from 1s to 36500d"),
    (&["keys", "create", "--expires-in", "1mo"], "expected a time from 1s to 36500d"),
    (&["keys", "create", "--expires-in", "36501d"], "expected a time from 1s to 36500d"),
    (&["keys", "revoke", "lh_1"], "a key's id is `key_` and 26 characters"),
    (&["keys", "list", "--aws"], "--organization <NAME>"),
    (&["cost"], "--tokens <NUMBER>"),
    (&["cost", "--tokens", "0", "--seconds", "1"], "0 is not in 1..=10000000"),
    (&["cost", "--tokens", "1", "--seconds", "0"], "expected seconds above 0 and up to 10800"),
    (&["cost", "--tokens", "1", "--seconds", "1", "--watched", "2"], "expected a share from 0 to 1, such as 0.5 or 50%"),
    (&["cost", "--tokens", "1", "--seconds", "1", "--memory", "64"], "64 is not in 128..=10240"),
    (&["cost", "--tokens", "1", "--seconds", "1", "--price", "logs"], "expected NAME=DOLLARS, such as dynamodb-write=0.705"),
    (&["cost", "--tokens", "1", "--seconds", "1", "--price", "gold=1"], "\"gold\" is none of the prices: dynamodb-write, "),
    (&["cost", "--tokens", "1", "--seconds", "1", "--region", "mars"], "no price list of \"mars\", only of us-east-1"),
    (&["purge"], "<ID|--all>"),
    (&["purge", "--all"], "--yes"),
    (&["list", "--url", "http://127.0.0.1:1/v1"], "without `/v1`"),
    (&["list", "--metadata", "k"], "expected KEY=VALUE"),
    (&["list", "--status", "done"], "pending"),
    (
        &["dev", "--provider", "p", "--base-url", "http://[::1]:9/v1", "--dialect", "soap"],
        "chat_completions, responses, anthropic",
    ),
    (
        &["dev", "--provider", "p", "--base-url", "http://[::1]:9/v1", "--continuation", "retrieve"],
        "\"retrieve\" is for the dialect \"responses\"",
    ),
    (&["dev", "--provider", "foo"], "--provider foo: expected one of abacus, anthropic"),
    (&["purge", "--all", "--yes", "--aws"], "'--all' cannot be used with '--aws'"),
];

#[test]
fn wrong_arguments_are_refused_with_what_was_expected() {
    for (arguments, expected) in WRONG_ARGUMENTS {
        let (code, stdout, stderr) = longhand(arguments, "");
        assert!(stderr.starts_with("error: ") && stderr.contains(expected), "{arguments:?}: {stderr}");
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_request_on_stdin_that_is_not_json_is_refused() {
    let (code, _, stderr) = longhand(&["start", "--file", "-"], "{\"model\":");
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: stdin: expected a JSON object (EOF"), "{stderr}");
}

#[test]
fn failures_are_one_line_with_what_to_do() {
    let cases: &[(&[&str], &str)] = &[
        (&["list"], "error: no stack runs on ./.longhand: start one with `longhand dev`, or give --url\n"),
        (
            &["demo", "--deltas", "no.jsonl"],
            "error: cannot read the deltas of no.jsonl: No such file or directory (os error 2)\n",
        ),
        (
            &["start", "--prompt", "a", "--response-format", "no.json"],
            "error: cannot read no.json: No such file or directory (os error 2)\n",
        ),
        (
            &["demo", "--deltas", "bad.jsonl"],
            "error: bad.jsonl, line 2: expected one JSON string, such as \"Hola\" (expected value at line 1 column 1)\n",
        ),
        (&["get", "gen_1", "--url", "http://127.0.0.1:1"], "error: http://127.0.0.1:1 does not answer: Connection refused"),
    ];
    for (arguments, expected) in cases {
        let (code, stdout, stderr) = longhand(arguments, "");
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}");
        assert!(stderr.starts_with(expected) && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
}

/// An API that gives one answer.
fn api(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kind = "content-type: application/problem+json\r\nconnection: close";
    let answer = format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]).unwrap();
        connection.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn every_error_of_a_problem_is_told_once() {
    let body = r#"{"title":"Bad Request","status":400,"detail":"the request is not valid: /model must be given; /seed must be a number",
        "errors":[{"pointer":"/model","detail":"must be given"},{"pointer":"/seed","detail":"must be a number"}]}"#;
    let url = api("400 Bad Request", body);
    let (code, stdout, stderr) = longhand(&["get", "gen_1", "--url", &url], "");
    let expected = "error: the request is not valid (400 Bad Request)\n  /model must be given\n  /seed must be a number\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (1, "", expected));
}

#[test]
fn a_gateways_own_answer_is_told_too() {
    let url = api("403 Forbidden", r#"{"message":"Missing Authentication Token"}"#);
    let (code, _, stderr) = longhand(&["get", "gen_1", "--url", &url], "");
    assert_eq!((code, stderr.as_str()), (1, "error: Missing Authentication Token (403 Forbidden)\n"));
}

#[test]
fn the_api_is_told_in_one_piece() {
    let (code, stdout, stderr) = longhand(&["openapi"], "");
    assert_eq!((code, stderr.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["schemas"]["GenerationRequest"]["required"][0], "model");
}

#[test]
fn copied_stack_file_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("stack.json"), format!(r#"{{"url":"{url}","key":"k"}}"#)).unwrap();
    fs::write(data.join("stack.lock"), "").unwrap();
    let list = || longhand(&["list", "--data", data.to_str().unwrap()], "");
    let (code, _, message) = list();
    assert_eq!(code, 1);
    assert!(message.contains("no stack runs on"), "{message}");
    assert!(listener.accept().is_err(), "nothing was sent to its address");
    // A stack of this user holds the lock, and the address is elsewhere.
    let lock = fs::File::open(data.join("stack.lock")).unwrap();
    lock.lock().unwrap();
    fs::write(data.join("stack.json"), r#"{"url":"https://longhand.example","key":"k"}"#).unwrap();
    let (code, _, message) = list();
    assert_eq!(code, 1);
    assert!(message.contains("is not this machine: it is not trusted"), "{message}");
}
