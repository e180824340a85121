//! The answer to one request, byte by byte.

use std::time::Duration;

/// A comment that keeps a connection busy.
pub(super) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
pub(super) const KEEP_ALIVE_EVERY: Duration = Duration::from_millis(50);

/// How a script ends after its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The body ends as HTTP requires.
    End,
    /// The connection ends, and the body's final chunk is missing.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing more, on an open connection.
    Stall,
    /// Nothing more but comments.
    StallWithComments,
}

/// One answer: its head, the writes of its body, its end.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) silence: Duration,
    /// `None`: the head is among the steps.
    pub(super) head: Option<String>,
    pub(super) is_chunked: bool,
    pub(super) steps: Vec<Step>,
    pub(super) ending: Ending,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<u8>),
    Pause(Duration),
}

impl Script {
    /// An event stream of these writes.
    pub fn stream<W: Into<Vec<u8>>>(writes: impl IntoIterator<Item = W>) -> Self {
        Self {
            silence: Duration::ZERO,
            head: Some(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close".into(),
            ),
            is_chunked: true,
            steps: writes.into_iter().map(|bytes| Step::Write(bytes.into())).collect(),
            ending: Ending::End,
        }
    }

    /// An event stream whose every byte is a write, and an HTTP chunk, of its own.
    pub fn byte_by_byte(body: impl AsRef<[u8]>) -> Self {
        Self::stream(body.as_ref().iter().map(|byte| vec![*byte]))
    }

    /// An answer that is no stream.
    pub fn plain(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close", body.len());
        Self { head: Some(head), ..Self::verbatim([body]) }
    }

    /// An answer byte for byte, its head included.
    pub fn verbatim<W: Into<Vec<u8>>>(writes: impl IntoIterator<Item = W>) -> Self {
        Self { head: None, is_chunked: false, ..Self::stream(writes) }
    }

    /// Every byte that it writes.
    pub(super) fn body(&self) -> Vec<u8> {
        let writes = self.steps.iter().filter_map(|step| if let Step::Write(bytes) = step { Some(&bytes[..]) } else { None });
        writes.collect::<Vec<_>>().concat()
    }

    /// Whether it contains a piece of an answer.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body()).replace(' ', "");
        ["content", "text", "reasoning", "reasoning_content", "refusal", "arguments", "input"].iter().any(|name| {
            body.split(&format!("\"{name}\":")).skip(1).any(|value| !value.starts_with("\"\"") && value.starts_with(['"', '{']))
        })
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head = self.head.map(|head| format!("{head}\r\n{name}: {value}"));
        self
    }

    /// Silent for a while before its head.
    #[must_use]
    pub fn after(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Silent for a while behind its head, before its first byte.
    #[must_use]
    pub fn first_byte_after(mut self, silence: Duration) -> Self {
        self.steps.insert(0, Step::Pause(silence));
        self
    }

    /// With a pause before each write but the first.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        let steps = std::mem::take(&mut self.steps).into_iter();
        self.steps = steps.flat_map(|step| [Step::Pause(pause), step]).skip(1).collect();
        self
    }

    /// With this ending.
    #[must_use]
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}
