//! Writes and reads the event log of the bucket (JSON lines, gzip): reads it while it arrives, a page of events at a time, in constant
//! memory.
//!
//! Its first line is an [`ArchiveHead`], except where the request is large or the event log an older one. Every other line
//! is an event.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::aws::Body;
use crate::error::Error;
use crate::log::event::{Event, Numbered, NumberedEvent};

/// Compressed bytes that are unpacked at a time. Even at gzip's highest ratio, a thousand to one, they are a few megabytes.
const STEP_BYTES: usize = 4_096;

/// What the first line of an event log begins with, unlike an event's.
const HEAD: &[u8] = br#"{"request":"#;

/// The first line of an event log.
#[derive(Debug, Serialize, Deserialize)]
struct ArchiveHead<R> {
    /// The generation's request.
    request: R,
}

/// Writes an event log: its request, if that stands at its head, and then its events. The same ones give the same bytes, because the
/// header of gzip holds no time.
#[derive(Debug)]
pub struct ArchiveWriter(GzEncoder<Vec<u8>>);

impl Default for ArchiveWriter {
    fn default() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::default()))
    }
}

impl ArchiveWriter {
    /// Puts the request at the head.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn request(&mut self, request: &impl Serialize) -> std::io::Result<()> {
        let head = serde_json::to_string(&ArchiveHead { request })?;
        writeln!(self.0, "{head}")
    }

    /// Adds an event.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn event(&mut self, seq: u64, event: &Event) -> std::io::Result<()> {
        let line = serde_json::to_vec(&Numbered { seq, event })?;
        self.0.write_all(&line)?;
        self.0.write_all(b"\n")
    }

    /// The bytes that are compressed so far, each once.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }

    /// The last bytes.
    ///
    /// # Errors
    /// They cannot be compressed.
    pub fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        self.0.try_finish()?;
        Ok(self.take())
    }
}

/// A place in an event log.
pub struct Archive {
    generation: String,
    body: Body,
    packed: Bytes,
    unpacked: GzDecoder<Vec<u8>>,
    /// The number of the next line, which is that of its event.
    next: u64,
    last_seq: u64,
}

impl Archive {
    /// At the beginning of `body`, whose last event is `last_seq`. `generation` is named in errors.
    #[must_use]
    pub fn new(generation: String, body: Body, last_seq: u64) -> Self {
        Self { generation, body, packed: Bytes::new(), unpacked: GzDecoder::new(Vec::new()), next: 0, last_seq }
    }

    /// The next events whose number is at least `from`; empty at the end.
    ///
    /// # Errors
    /// [`Error::Aws`]: the object's stream broke off. [`Error::LogDamaged`]: it is no event log, or ends before `last_seq`.
    pub async fn page(&mut self, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        let mut events = Vec::new();
        while events.is_empty() {
            if !self.unpack_step().await? {
                if self.next <= self.last_seq {
                    let damage = format!("its event log in the bucket ends before event {} of {}", self.next, self.last_seq);
                    return Err(Error::LogDamaged(self.generation.clone(), damage));
                }
                return Ok(events);
            }
            self.take_lines(from, &mut events)?;
        }
        Ok(events)
    }

    /// The request at the log's head, if there is one. To be called first.
    ///
    /// # Errors
    /// Those of [`Self::page`].
    pub async fn request(&mut self) -> Result<Option<Box<RawValue>>, Error> {
        while memchr::memchr(b'\n', self.unpacked.get_ref()).is_none() {
            if !self.unpack_step().await? {
                return Err(self.damaged(&"it has no line"));
            }
        }
        let unpacked = self.unpacked.get_ref();
        let line = memchr::memchr(b'\n', unpacked).and_then(|end| unpacked.get(..end)).filter(|line| line.starts_with(HEAD));
        let head = line.map(serde_json::from_slice::<ArchiveHead<Box<RawValue>>>).transpose();
        head.map(|head| head.map(|head| head.request)).map_err(|error| self.damaged(&error))
    }

    /// Unpacks the next bytes; `false`: there are none.
    async fn unpack_step(&mut self) -> Result<bool, Error> {
        while self.packed.is_empty() {
            match self.body.next().await? {
                Some(bytes) => self.packed = bytes,
                None => return Ok(false),
            }
        }
        let step = self.packed.split_to(self.packed.len().min(STEP_BYTES));
        self.unpacked.write_all(&step).and_then(|()| self.unpacked.flush()).map_err(|error| self.damaged(&error))?;
        Ok(true)
    }

    fn take_lines(&mut self, from: u64, events: &mut Vec<NumberedEvent>) -> Result<(), Error> {
        let Some(end) = memchr::memrchr(b'\n', self.unpacked.get_ref()) else { return Ok(()) };
        let rest = self.unpacked.get_mut().split_off(end + 1);
        let lines = std::mem::replace(self.unpacked.get_mut(), rest);
        let ends = memchr::memchr_iter(b'\n', &lines[..=end]);
        let mut begin = 0;
        for end in ends {
            let line = &lines[begin..end];
            begin = end + 1;
            if self.next == 0 && line.starts_with(HEAD) {
                continue;
            }
            if self.next >= from {
                events.push(NumberedEvent::from_json(line).map_err(|error| self.damaged(&error))?);
            }
            self.next += 1;
        }
        Ok(())
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> Error {
        Error::LogDamaged(self.generation.clone(), format!("its event log cannot be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::event::{Stretch, TextKind};

    fn packed(request: Option<&str>, events: &[NumberedEvent]) -> Vec<u8> {
        let mut archive = ArchiveWriter::default();
        if let Some(request) = request {
            archive.request(&request).unwrap();
        }
        for NumberedEvent { seq, event } in events {
            archive.event(*seq, event).unwrap();
        }
        archive.finish().unwrap()
    }

    fn numbered(texts: Vec<String>) -> Vec<NumberedEvent> {
        let event = |delta| TextKind::OutputText.delta(Stretch { output_index: 0, content_index: 0, delta });
        (0..).zip(texts).map(|(seq, text)| NumberedEvent { seq, event: event(text) }).collect()
    }

    fn head(bytes: Vec<u8>) -> Result<Option<Box<RawValue>>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Archive::new("gen".into(), Body::from(bytes), 0).request())
    }

    fn read(bytes: Vec<u8>, last_seq: u64, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut archive = Archive::new("gen".into(), Body::from(bytes), last_seq);
            let mut all = Vec::new();
            loop {
                let page = archive.page(from).await?;
                if page.is_empty() {
                    return Ok(all);
                }
                all.extend(page);
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn events_are_read_from_any_number_on(
            request in prop::option::of("[a-zñ😀\n\"]{0,9000}"),
            texts in prop::collection::vec("[a-zñ😀\n\"]{0,300}", 1..120),
            from in 0_u64..130,
        ) {
            let events = numbered(texts);
            let rest: Vec<_> = events.iter().filter(|event| event.seq >= from).cloned().collect();
            let archive = packed(request.as_deref(), &events);
            prop_assert_eq!(read(archive.clone(), events.len() as u64 - 1, from).unwrap(), rest);
            let head = head(archive).unwrap().map(|text| serde_json::from_str::<String>(text.get()).unwrap());
            prop_assert_eq!(head, request);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shortened_archives_are_damage(texts in prop::collection::vec("[a-z]{0,300}", 1..40), cut in any::<usize>(), from in 0_u64..40) {
            let events = numbered(texts);
            let mut bytes = packed(Some("hello"), &events);
            bytes.truncate(cut % bytes.len());
            // The trailer alone, gzip's check of what was read, may be missing without loss.
            match read(bytes, events.len() as u64 - 1, from) {
                Err(Error::LogDamaged(..)) => {}
                other => {
                    let rest: Vec<_> = events.into_iter().filter(|event| event.seq >= from).collect();
                    prop_assert_eq!(other.unwrap(), rest);
                }
            }
        }
    }

    #[test]
    fn unreadable_archives_are_damage() {
        assert!(matches!(read(b"no gzip at all".to_vec(), 0, 0), Err(Error::LogDamaged(..))));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"{}\n").unwrap();
        assert!(matches!(read(gzip.finish().unwrap(), 0, 0), Err(Error::LogDamaged(..))));
        let one = packed(None, &[NumberedEvent { seq: 0, event: Event::Created }]);
        assert_eq!(read(one, 0, 0).unwrap().len(), 1);
    }
}
