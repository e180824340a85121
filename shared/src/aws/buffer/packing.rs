//! The events of a chunk, compressed where that saves write units: as JSON text, in the format of RFC 1951 with a preset dictionary, in
//! the attribute `packed` in place of `events`.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde_dynamo::{AttributeValue, Item};

use crate::aws::buffer::size::{item_bytes, value_bytes, write_units};
use crate::aws::clients::unexpected;
use crate::error::Error;
use crate::log::event::Event;

/// What most chunks have in common: ordinary words of English and Spanish, and the frames of events; the most common last, where they
/// cost least. Part of the format: a stored chunk can be read with the very same dictionary alone, so this one never changes. The
/// frames save a twentieth of ordinary prose, and the words another.
const DICTIONARY: &[u8] = include_bytes!("dictionary.txt");

/// The operation in errors about items that cannot be converted.
pub(super) const ITEM: &str = "dynamodb item";
/// A chunk's events as a list.
pub(super) const EVENTS: &str = "events";
/// The same, compressed.
const PACKED: &str = "packed";

/// Unpacked events of a chunk have a few megabytes at most: its text, each character of which JSON may write as six.
const UNPACKED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Room for the end of a compressed text, and that for an unpacked one at first.
const ROOM_BYTES: usize = 4 * 1024;

/// How large a chunk's events are in its item, and how large compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// As a list.
    pub plain_bytes: usize,
    /// Compressed.
    pub packed_bytes: usize,
}

/// Compresses the events of a chunk's item, where it then costs fewer write units. `None`: it costs one as it is.
pub(super) fn pack(item: &mut Item, events: &[Event]) -> Result<Option<Packing>, Error> {
    let whole = item_bytes(item);
    if write_units(whole as u64) == 1 {
        return Ok(None);
    }
    let text = serde_json::to_vec(events).map_err(|error| unexpected(ITEM, error))?;
    let packed = deflate(&text)?;
    let plain_bytes = EVENTS.len() + item.get(EVENTS).map_or(0, value_bytes);
    let packed_bytes = PACKED.len() + packed.len();
    if write_units((whole - plain_bytes + packed_bytes) as u64) < write_units(whole as u64) {
        item.remove(EVENTS);
        item.insert(PACKED.to_owned(), AttributeValue::B(packed));
    }
    Ok(Some(Packing { plain_bytes, packed_bytes }))
}

/// The events of a packed chunk.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<Event>, Error> {
    let text = inflate(packed)?;
    serde_json::from_slice(&text).map_err(|error| unexpected(ITEM, error))
}

/// A text, compressed with the dictionary.
pub(in crate::aws) fn deflate(text: &[u8]) -> Result<Vec<u8>, Error> {
    deflated(text).map_err(|error| unexpected(ITEM, error))
}

/// The text that was compressed so.
pub(in crate::aws) fn inflate(packed: &[u8]) -> Result<Vec<u8>, Error> {
    inflated(packed).map_err(|error| unexpected(ITEM, error))
}

fn deflated(text: &[u8]) -> Result<Vec<u8>, flate2::CompressError> {
    let mut compress = Compress::new(Compression::default(), false);
    compress.set_dictionary(DICTIONARY)?;
    let mut packed = Vec::with_capacity(text.len() / 2 + ROOM_BYTES);
    while compress.compress_vec(rest(text, compress.total_in()), &mut packed, FlushCompress::Finish)? != Status::StreamEnd {
        packed.reserve(text.len() / 2 + ROOM_BYTES);
    }
    Ok(packed)
}

fn inflated(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut decompress = Decompress::new(false);
    decompress.set_dictionary(DICTIONARY).map_err(|error| error.to_string())?;
    let mut text = Vec::with_capacity(packed.len() * 3 + ROOM_BYTES);
    loop {
        let input = rest(packed, decompress.total_in());
        match decompress.decompress_vec(input, &mut text, FlushDecompress::Finish).map_err(|error| error.to_string())? {
            Status::StreamEnd => return Ok(text),
            _ if text.len() >= UNPACKED_BYTES_MAX => return Err(format!("its events have more than {UNPACKED_BYTES_MAX} bytes")),
            _ if text.len() < text.capacity() => return Err("its packed events are cut off".to_owned()),
            _ => text.reserve(text.len()),
        }
    }
}

/// What follows the first `used` bytes.
fn rest(bytes: &[u8], used: u64) -> &[u8] {
    usize::try_from(used).ok().and_then(|used| bytes.get(used..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::event::{Stretch, TextKind};

    proptest! {
        #[test]
        fn texts_unpack_as_they_were(text in prop::collection::vec(any::<u8>(), 0..9_000), times in 1_usize..40) {
            let text = text.repeat(times);
            prop_assert_eq!(inflate(&deflate(&text).unwrap()).unwrap(), text);
        }

        #[test]
        fn damaged_packed_events_are_errors(
            text in prop::collection::vec(any::<u8>(), 1..3_000),
            cut in any::<prop::sample::Index>(),
            flip in any::<prop::sample::Index>(),
        ) {
            let mut packed = deflate(&text).unwrap();
            prop_assert!(inflate(&packed[..cut.index(packed.len())]).is_err());
            let at = flip.index(packed.len());
            packed[at] ^= 0x10;
            let _ = inflate(&packed);
            let _ = unpack(&packed);
        }
    }

    #[test]
    fn bombs_are_bounded() {
        let bomb = deflate(&vec![b' '; UNPACKED_BYTES_MAX * 4]).unwrap();
        assert!(bomb.len() < 400_000);
        assert_eq!(inflated(&bomb).unwrap_err(), "its events have more than 33554432 bytes");
    }

    /// What the estimate of costs reckons with.
    #[test]
    fn prose_takes_half_its_bytes() {
        let prose: Vec<char> = include_str!("../../../../LICENSE-APACHE").chars().collect();
        let (mut plain, mut packed) = (0, 0);
        for piece in prose.chunks_exact(1_600) {
            let event = TextKind::OutputText.delta(Stretch { output_index: 0, content_index: 0, delta: piece.iter().collect() });
            plain += 1_600;
            packed += deflate(&serde_json::to_vec(&[event]).unwrap()).unwrap().len();
        }
        let percent = plain * 100 / packed;
        assert!((195..=235).contains(&percent), "{percent}: {plain} bytes to {packed}");
    }
}
