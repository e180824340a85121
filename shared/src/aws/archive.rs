//! Writes and reads the event log of the bucket (JSON lines, gzip): reads it while it arrives, a page of events at a time, in constant
//! memory.
//!
//! Its first line is an [`ArchiveHead`], except where the request is large or the event log an older one. Every other line
//! is an event. A long log is a gzip file of several members (RFC 1952 §2.2), which every tool reads as one; the record keeps where some
//! of them begin, so that a reader gets the object from the one that holds its event.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::aws::Body;
use crate::error::Error;
use crate::log::event::{Event, Numbered, NumberedEvent};

/// Compressed bytes that are unpacked at a time. Even at gzip's highest ratio, a thousand to one, they are a few megabytes.
const STEP_BYTES: usize = 4_096;

/// Plain bytes of a member, at least, before another one begins. A reader unpacks little more than this before its event, until a log has
/// more places than are kept.
const MEMBER_BYTES: usize = 256 * 1024;
/// Places of one log, at most: 31 pairs of numbers take half a kilobyte of the record. Where there would be more, every other one is
/// dropped, and members become twice as long.
const PLACES_MAX: usize = 31;

/// What the first line of an event log begins with, unlike an event's.
const HEAD: &[u8] = br#"{"request":"#;

/// The first line of an event log.
#[derive(Debug, Serialize, Deserialize)]
struct ArchiveHead<R> {
    /// The generation's request.
    request: R,
}

/// Where a member of an event log begins, other than the first: the number of its first event, and the bytes of the object before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivePlace(pub u64, pub u64);

/// Writes an event log: its request, if that stands at its head, and then its events. The same ones give the same bytes, because the
/// header of gzip holds no time.
#[derive(Debug)]
pub struct ArchiveWriter {
    /// Compressed, and not taken yet.
    packed: Vec<u8>,
    member: GzEncoder<Vec<u8>>,
    /// Plain bytes of the member.
    plain_bytes: usize,
    /// Plain bytes of a member, at least.
    member_bytes: usize,
    /// Bytes that were taken.
    taken: u64,
    places: Vec<ArchivePlace>,
}

impl Default for ArchiveWriter {
    fn default() -> Self {
        Self { packed: Vec::new(), member: member(), plain_bytes: 0, member_bytes: MEMBER_BYTES, taken: 0, places: Vec::new() }
    }
}

fn member() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::default())
}

impl ArchiveWriter {
    /// Puts the request at the head.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn request(&mut self, request: &impl Serialize) -> std::io::Result<()> {
        let head = serde_json::to_string(&ArchiveHead { request })?;
        writeln!(self.member, "{head}")
    }

    /// Adds an event.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn event(&mut self, seq: u64, event: &Event) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(&Numbered { seq, event })?;
        line.push(b'\n');
        if self.plain_bytes >= self.member_bytes {
            self.next_member(seq)?;
        }
        self.plain_bytes += line.len();
        self.member.write_all(&line)
    }

    fn next_member(&mut self, seq: u64) -> std::io::Result<()> {
        self.packed.extend(std::mem::replace(&mut self.member, member()).finish()?);
        self.plain_bytes = 0;
        if self.places.len() == PLACES_MAX {
            let mut is_dropped = false;
            self.places.retain(|_| {
                is_dropped = !is_dropped;
                !is_dropped
            });
            self.member_bytes *= 2;
        }
        self.places.push(ArchivePlace(seq, self.taken + self.packed.len() as u64));
        Ok(())
    }

    /// The bytes that are compressed so far, each once.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.packed);
        bytes.append(self.member.get_mut());
        self.taken += bytes.len() as u64;
        bytes
    }

    /// Where members begin, in order; empty where the log has one.
    #[must_use]
    pub fn places(&self) -> &[ArchivePlace] {
        &self.places
    }

    /// The last bytes.
    ///
    /// # Errors
    /// They cannot be compressed.
    pub fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        self.member.try_finish()?;
        Ok(self.take())
    }
}

/// A place in an event log.
pub struct Archive {
    generation: String,
    body: Body,
    packed: Bytes,
    unpacked: MultiGzDecoder<Vec<u8>>,
    /// The number of the next line, which is that of its event.
    next: u64,
    last_seq: u64,
}

impl Archive {
    /// At the beginning of `body`, whose first event is `first_seq` and whose last event is `last_seq`. `generation` is named in errors.
    #[must_use]
    pub fn new(generation: String, body: Body, first_seq: u64, last_seq: u64) -> Self {
        Self { generation, body, packed: Bytes::new(), unpacked: MultiGzDecoder::new(Vec::new()), next: first_seq, last_seq }
    }

    /// The next events whose number is at least `from`; empty at the end.
    ///
    /// # Errors
    /// [`Error::Aws`]: the object's stream broke off. [`Error::LogDamaged`]: it is no event log, or ends before `last_seq`.
    pub async fn page(&mut self, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        let mut events = Vec::new();
        loop {
            // What `is_placed` has unpacked comes first.
            self.take_lines(from, &mut events)?;
            if !events.is_empty() {
                return Ok(events);
            }
            if !self.unpack_step().await? {
                if self.next <= self.last_seq {
                    let damage = format!("its event log in the bucket ends before event {} of {}", self.next, self.last_seq);
                    return Err(Error::LogDamaged(self.generation.clone(), damage));
                }
                return Ok(events);
            }
        }
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

    /// Whether a member with the first event begins here. To be called first.
    ///
    /// # Errors
    /// [`Error::Aws`]: the object's stream broke off.
    pub async fn is_placed(&mut self) -> Result<bool, Error> {
        loop {
            let unpacked = self.unpacked.get_ref();
            if let Some(line) = memchr::memchr(b'\n', unpacked).and_then(|end| unpacked.get(..end)) {
                return Ok(NumberedEvent::from_json(line).is_ok_and(|event| event.seq == self.next));
            }
            match self.unpack_step().await {
                Ok(true) => {}
                Ok(false) | Err(Error::LogDamaged(..)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
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
                let event = NumberedEvent::from_json(line).map_err(|error| self.damaged(&error))?;
                if event.seq != self.next {
                    return Err(self.damaged(&format!("event {} stands where {} was expected", event.seq, self.next)));
                }
                events.push(event);
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
        runtime.block_on(Archive::new("gen".into(), Body::from(bytes), 0, 0).request())
    }

    fn read(bytes: &[u8], last_seq: u64, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        read_from(ArchivePlace(0, 0), bytes, last_seq, from)
    }

    fn read_from(place: ArchivePlace, bytes: &[u8], last_seq: u64, from: u64) -> Result<Vec<NumberedEvent>, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = Body::from(bytes[usize::try_from(place.1).unwrap()..].to_vec());
        runtime.block_on(async {
            let mut archive = Archive::new("gen".into(), body, place.0, last_seq);
            if place.1 > 0 {
                let _ = archive.is_placed().await?;
            }
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

    fn is_placed(place: ArchivePlace, bytes: &[u8]) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = Body::from(bytes[usize::try_from(place.1).unwrap()..].to_vec());
        runtime.block_on(Archive::new("gen".into(), body, place.0, 1_999).is_placed()).unwrap()
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
            prop_assert_eq!(read(&archive, events.len() as u64 - 1, from).unwrap(), rest);
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
            match read(&bytes, events.len() as u64 - 1, from) {
                Err(Error::LogDamaged(..)) => {}
                other => {
                    let rest: Vec<_> = events.into_iter().filter(|event| event.seq >= from).collect();
                    prop_assert_eq!(other.unwrap(), rest);
                }
            }
        }
    }

    /// A long log, as it is written in pieces, and its places.
    fn long(events: u64, seed: u64) -> (Vec<u8>, Vec<ArchivePlace>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut archive = ArchiveWriter::default();
        archive.request(&"hello").unwrap();
        let mut bytes = Vec::new();
        for seq in 0..events {
            let characters = random.usize(0..3_000);
            let delta: String = std::iter::repeat_with(|| random.alphanumeric()).take(characters).collect();
            archive.event(seq, &TextKind::OutputText.delta(Stretch { output_index: 0, content_index: 0, delta })).unwrap();
            if random.u8(0..4) == 0 {
                bytes.extend(archive.take());
            }
        }
        bytes.extend(archive.finish().unwrap());
        (bytes, archive.places().to_vec())
    }

    #[test]
    fn long_logs_are_read_from_each_of_their_places() {
        let (bytes, places) = long(2_000, 7);
        assert!((8..=PLACES_MAX).contains(&places.len()), "{places:?}");
        let whole = read(&bytes, 1_999, 0).unwrap();
        assert_eq!(whole.len(), 2_000);
        for place in places {
            assert_eq!(read_from(place, &bytes, 1_999, place.0 + 3).unwrap(), whole[usize::try_from(place.0).unwrap() + 3..]);
            let wrong = ArchivePlace(place.0 + 1, place.1);
            assert!(matches!(read_from(wrong, &bytes, 1_999, wrong.0), Err(Error::LogDamaged(..))), "{wrong:?}");
            let nearby =
                [ArchivePlace(place.0, place.1 + 1), ArchivePlace(place.0, place.1 - 1), ArchivePlace(0, bytes.len() as u64)];
            assert!(
                is_placed(place, &bytes) && ![wrong].iter().chain(&nearby).any(|&place| is_placed(place, &bytes)),
                "{place:?}"
            );
        }
    }

    #[test]
    fn last_member_of_one_event_is_read() {
        let events = long(2_000, 7).1.last().unwrap().0 + 1;
        let (bytes, places) = long(events, 7);
        let last = *places.last().unwrap();
        assert_eq!(last.0, events - 1);
        assert_eq!(read_from(last, &bytes, events - 1, events - 1).unwrap().len(), 1);
    }

    #[test]
    fn places_are_bounded() {
        let (bytes, places) = long(9_000, 8);
        assert!((PLACES_MAX / 2..=PLACES_MAX).contains(&places.len()) && places.is_sorted_by_key(|place| place.0), "{places:?}");
        let last = *places.last().unwrap();
        assert!(9_000 - last.0 < 9_000 / 4, "the places reach the end of the log");
        assert_eq!(read_from(last, &bytes, 8_999, 8_999).unwrap().len(), 1);
    }

    #[test]
    fn unreadable_archives_are_damage() {
        assert!(matches!(read(b"no gzip at all", 0, 0), Err(Error::LogDamaged(..))));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"{}\n").unwrap();
        assert!(matches!(read(&gzip.finish().unwrap(), 0, 0), Err(Error::LogDamaged(..))));
        let one = packed(None, &[NumberedEvent { seq: 0, event: Event::Created }]);
        assert_eq!(read(&one, 0, 0).unwrap().len(), 1);
    }
}
