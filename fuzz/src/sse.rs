//! The reader of server-sent events, against one that is written after the standard's own words, and against itself.

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use longhand::providers::{Fault, SseEvent, sse_events};

use crate::split;

/// Longer reads than this are the same to a reader.
const READ_BYTES_MAX: usize = 19;

/// However a body is cut into reads its events are the same, and they are those of the standard.
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

/// `body` as reads of at most so many bytes, of at least one.
pub(crate) fn reads(body: &[u8], bytes: usize) -> Vec<Result<Bytes, std::io::Error>> {
    body.chunks(bytes.max(1)).map(|read| Ok(Bytes::copy_from_slice(read))).collect()
}

fn read(reads: Vec<Result<Bytes, std::io::Error>>) -> Vec<Result<SseEvent, Fault>> {
    let events = sse_events(stream::iter(reads)).map(|event| event.map_err(|error| error.fault));
    let mut events: Vec<_> = block_on(events.collect());
    // Whether the end was missing depends on the read in which it came; what was read does not.
    for event in events.iter_mut().flatten() {
        event.is_unterminated = false;
    }
    events
}

/// "Interpreting an event stream" of the HTML standard, but for its last step: an event that no blank line ends is not dropped.
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
