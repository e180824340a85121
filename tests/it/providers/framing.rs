//! HTTP framing in every valid form, and in many broken ones.

use std::time::Duration;

use longhand_tests::hostile::{Ending, Script, wire};
use serde_json::{Value, json};

use super::{case, failed, play, uno_dos, with};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const NO_FINISH: &str = "the provider's stream ended without a finish reason";

fn whole() -> String {
    wire::whole(&["Uno ", "dos"])
}

/// A stream of two deltas without an end.
fn begun() -> String {
    [wire::role(), wire::text("Uno "), wire::text("dos")].concat()
}

/// A response whose headers end with `headers`.
fn answer(headers: &str, body: &str) -> Script {
    Script::verbatim([format!("{HEAD}{headers}\r\n\r\n{body}")])
}

fn chunked(chunks: &[(&str, &str)]) -> Script {
    let chunks: Vec<String> = chunks.iter().map(|(size, body)| format!("{size}\r\n{body}\r\n")).collect();
    answer("Transfer-Encoding: chunked", &chunks.concat())
}

fn broken(message: &str) -> Value {
    failed("interrupted", message, "Uno dos", 2, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_http_framing_is_read() {
    let size = |body: &str| format!("{:x}", body.len());
    let (whole, padded) = (whole(), format!("{:0>12x};name=\"va;lue\"", whole().len()));
    let trailers = format!("{}\r\n{whole}\r\n0\r\nX-Trailer: a\r\n\r\n", size(&whole));
    let crlf = format!("HTTP/1.1 200\r\ncontent-type:TEXT/Event-Stream;charset=UTF-8\r\nX-A: \tb \r\n\r\n{whole}");
    let early = format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{HEAD}\r\n{whole}");
    let head: Vec<Vec<u8>> = format!("{HEAD}\r\n").bytes().map(|byte| vec![byte]).chain([whole.clone().into_bytes()]).collect();
    let many: Vec<String> = (0..60).map(|number| format!("X-Header-{number}: {}\r\n", "v".repeat(100))).collect();
    let cases = vec![
        case(
            "http-1.0",
            Script::verbatim([format!("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{whole}")]),
            uno_dos(),
        ),
        case("no-length", answer("Connection: close", &whole), uno_dos()),
        case("length", answer(&format!("Content-Length: {}", whole.len()), &whole), uno_dos()),
        case("length-then-garbage", answer(&format!("Content-Length: {}", whole.len()), &format!("{whole}GARBAGE")), uno_dos()),
        case("chunk-extension", chunked(&[(&padded, &whole), ("0", "")]), uno_dos()),
        case("trailers", answer("Transfer-Encoding: chunked", &trailers), uno_dos()),
        case("loose-head", Script::verbatim([crlf]), uno_dos()),
        case("informational", Script::verbatim([early]), uno_dos()),
        case("head-byte-by-byte", Script::verbatim(head), uno_dos()),
        case("head-slow", Script::verbatim([HEAD, "X-A: b\r\n", "\r\n", &whole]).paced(Duration::from_millis(200)), uno_dos()),
        case("many-headers", answer(many.concat().trim_end(), &whole), uno_dos()),
        case("identity", answer("Content-Encoding: identity", &whole), uno_dos()),
        case("cut-behind-done", answer("Transfer-Encoding: chunked", &format!("{}\r\n{whole}\r\n", size(&whole))), uno_dos()),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_framing_is_an_interruption() {
    let begun = begun();
    let size = format!("{:x}", begun.len());
    let cut = |message: &str| broken(&format!("the provider's stream broke off: {message}"));
    let short = answer(&format!("Content-Length: {}", begun.len() + 100), &begun);
    let cases = vec![
        case("length-too-long", short, cut("end of file before message length reached")),
        case(
            "length-too-short",
            answer(&format!("Content-Length: {}", begun.len()), &format!("{begun}{}", wire::ending())),
            broken(NO_FINISH),
        ),
        case("http-1.0-clean-cut", answer("Connection: close", &begun), broken(NO_FINISH)),
        case(
            "http-1.0-reset",
            answer("Connection: close", &format!("{begun}: \n")).ending(Ending::Reset),
            cut("Connection reset by peer"),
        ),
        case(
            "chunk-size-no-number",
            chunked(&[(&size, &begun), ("zz", "x")]),
            cut("Invalid chunk size line: missing size digit"),
        ),
        case("chunk-size-huge", chunked(&[(&size, &begun), ("fffffffffffffffff", "x")]), cut("invalid chunk size: overflow")),
        case(
            "chunk-size-too-long",
            chunked(&[(&size, &begun), ("ffff", ": bye")]),
            cut("end of file before message length reached"),
        ),
        case("chunk-size-too-short", chunked(&[(&size, &begun), ("2", ": bye")]), cut("Invalid chunk body CR")),
        case(
            "chunk-without-end",
            answer("Transfer-Encoding: chunked", &format!("{size}\r\n{begun}")),
            cut("unexpected EOF during chunk size line"),
        ),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_response_is_retried() {
    let unreachable =
        |message: &str| failed("provider_unreachable", &format!("the provider could not be reached: {message}"), "", 0, 4);
    let raw = |bytes: &str| Script::verbatim([bytes.to_owned()]);
    let once = |script| case("mended", script, with(uno_dos(), json!({ "requests": 2 }))).then(Script::stream([whole()]));
    let cases = vec![
        case("nothing", raw(""), unreachable("connection closed before message completed")),
        case("nothing-reset", raw("").ending(Ending::Reset), unreachable("Connection reset by peer")),
        case("no-http", raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), unreachable("invalid HTTP version parsed")),
        case("half-a-head", raw(HEAD), unreachable("connection closed before message completed")),
        case("bad-header", raw(&format!("{HEAD}no colon\r\n\r\n")), unreachable("invalid HTTP header parsed")),
        case(
            "endless-head",
            raw(&format!("{HEAD}X: {}\r\n\r\n", "x".repeat(1024 * 1024))),
            unreachable("message head is too large"),
        ),
        case("two-lengths", answer("Content-Length: 1\r\nContent-Length: 2", "ab"), unreachable("invalid content-length parsed")),
        case("empty", answer("Content-Length: 0", ""), failed("interrupted", NO_FINISH, "", 0, 4)),
        case(
            "head-alone",
            answer("Transfer-Encoding: chunked", ""),
            failed("interrupted", "the provider's stream broke off: unexpected EOF during chunk size line", "", 0, 4),
        ),
        once(raw("").ending(Ending::Reset)),
    ];
    play(&[], cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_encoding_is_refused() {
    // `printf 'data: [DONE]\n\n' | gzip -n`
    let gzip =
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x49\x2c\x49\xb4\x52\x88\x76\xf1\xf7\x73\x8d\xe5\xe2\x02\0\x3a\x47\x94\x4c\x0e\0\0\0";
    let encoded = |name: &str| Script::stream([gzip.to_vec()]).header("Content-Encoding", name);
    let refused = |name: &str| {
        let message = format!("the provider answered 200 OK with the content encoding {name}, which was not requested");
        failed("provider_not_a_stream", &message, "", 0, 1)
    };
    let cases = vec![
        case("gzip", encoded("gzip"), refused("gzip")).then(Script::stream([whole()])),
        case("brotli", encoded("br"), refused("br")),
        case("gzip-unsaid", Script::stream([gzip.to_vec()]), failed("interrupted", NO_FINISH, "", 0, 4)),
    ];
    play(&[], cases).await;
}
