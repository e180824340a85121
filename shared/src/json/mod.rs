//! JSON in a model's output: found in text, read while it is incomplete, and validated against schemas.

pub(crate) mod body;
pub mod partial;
pub mod schema;
mod schema_cost;
pub mod text;

use std::io;

use serde::Serialize;

/// The length of a value as JSON text, in bytes, without building the text. 0 for a value that JSON cannot express.
pub(crate) fn json_bytes(value: &impl Serialize) -> u64 {
    struct Counter(u64);

    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).map_or(0, |()| counter.0)
}
