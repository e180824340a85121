//! The parser of server-sent events, compared with a direct implementation of the standard, and with itself.

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use longhand::providers::{Fault, SseEvent, sse_events};

use crate::split;

/// Reads longer than this make no difference.
const READ_BYTES_MAX: usize = 19;

/// The events do not depend on how the body is cut into reads, and equal those of the standard.
pub fn sse(data: &[u8]) {
    let (how, body) = split(data);
    let whole = read(reads(body, body.len()));
    assert_eq!(read(reads(body, usize::from(how) % READ_BYTES_MAX)), whole);
    if let Ok(text) = std::str::from_utf8(body) {
        let events: Vec<(Option<String>, String)> =
            whole.into_iter().map(|event| event.expect("text can be read")).map(|event| (event.event, event.data)).collect();
        assert_eq!(events, standard(text));
    }
}

/// `body` as reads of at most this many bytes, and at least one.
pub(crate) fn reads(body: &[u8], bytes: usize) -> Vec<Result<Bytes, std::io::Error>> {
    body.chunks(bytes.max(1)).map(|read| Ok(Bytes::copy_from_slice(read))).collect()
}

fn read(reads: Vec<Result<Bytes, std::io::Error>>) -> Vec<Result<SseEvent, Fault>> {
    let events = sse_events(stream::iter(reads)).map(|event| event.map_err(|error| error.fault));
    let mut events: Vec<_> = block_on(events.collect());
    // Whether the end counts as missing depends on the reads; the events do not.
    for event in events.iter_mut().flatten() {
        event.is_unterminated = false;
    }
    events
}

/// "Interpreting an event stream" of the HTML standard, except its last step: an event without a final blank line is not dropped.
fn standard(text: &str) -> Vec<(Option<String>, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut name, mut data) = (Vec::new(), None, None::<String>);
    for line in text.split('\n').chain([""]) {
        if line.is_empty() {
            let name = name.take();
            events.extend(data.take().map(|data| (name, data)));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = Some(value.to_owned()),
            "data" => data = Some(data.map_or_else(|| value.to_owned(), |data| format!("{data}\n{value}"))),
            _ => {}
        }
    }
    events
}
