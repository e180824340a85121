//! The parser of chat completions: from bytes to deltas.

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use longhand::providers::{Delta, Fault, OwnFinishWords, chat_completion_deltas};

use crate::split;
use crate::sse::reads;

const READ_BYTES_MAX: usize = 61;

/// The result does not depend on how the body is cut into reads, and nothing follows an error.
pub fn chat_completions(data: &[u8]) {
    let (how, body) = split(data);
    let whole = read(reads(body, body.len()));
    assert_eq!(read(reads(body, usize::from(how) % READ_BYTES_MAX)), whole);
}

fn read(reads: Vec<Result<Bytes, std::io::Error>>) -> (Vec<Delta>, Option<Fault>) {
    let (mut deltas, mut fault) = (Vec::new(), None);
    block_on(async {
        let mut stream = chat_completion_deltas(stream::iter(reads), String::new(), OwnFinishWords::default());
        while let Some(next) = stream.next().await {
            assert_eq!(fault, None, "nothing comes after an error");
            match next {
                Ok(next) => deltas.extend(next),
                Err(error) => fault = Some(error.fault),
            }
        }
    });
    (deltas, fault)
}
