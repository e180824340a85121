//! Reads a stream for the tests of the dialects.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::Iter;

use crate::providers::{Delta, DeltaStream, Fault, FinishMeaning, ToolCallDelta};

type Reads = Iter<std::vec::IntoIter<Result<Bytes, std::io::Error>>>;

/// What the deltas of a stream come to.
#[derive(Debug, Default, PartialEq)]
pub struct Read {
    pub text: String,
    pub reasoning: String,
    /// Id, name and arguments of each call.
    pub calls: Vec<(Option<String>, Option<String>, String)>,
    /// The newest count of input, cached and output tokens.
    pub usage: Option<(u64, u64, u64)>,
    /// The newest finish reason.
    pub finish: Option<(String, Option<FinishMeaning>)>,
    pub fault: Option<Fault>,
}

/// Reads a body that arrives cut at these places, as `decode` decodes it.
pub fn read(body: &[u8], cuts: &[usize], decode: impl FnOnce(Reads) -> DeltaStream) -> Read {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([0, body.len()]).collect();
    cuts.sort_unstable();
    let reads: Vec<_> = cuts.windows(2).map(|cut| Ok(Bytes::copy_from_slice(&body[cut[0]..cut[1]]))).collect();
    let mut stream = decode(futures::stream::iter(reads));
    let mut read = Read::default();
    futures::executor::block_on(async {
        while let Some(deltas) = stream.next().await {
            match deltas {
                Ok(deltas) => deltas.into_iter().for_each(|delta| read.add(delta)),
                Err(error) => read.fault = Some(error.fault),
            }
        }
    });
    read
}

impl Read {
    fn add(&mut self, delta: Delta) {
        match delta {
            Delta::Text(text) => self.text.push_str(&text),
            Delta::Reasoning(text) => self.reasoning.push_str(&text),
            Delta::ToolCall(ToolCallDelta { index, id, name, arguments }) => match self.calls.get_mut(index as usize) {
                Some((_, _, begun)) => begun.push_str(&arguments),
                None => self.calls.push((id, name, arguments)),
            },
            Delta::Usage(usage) => self.usage = Some((usage.input_tokens, usage.cached_tokens, usage.output_tokens)),
            Delta::Finish(finish) => self.finish = Some((finish.word, finish.meaning)),
            Delta::Refusal(_) | Delta::Model(_) | Delta::Alive | Delta::Upstream(_) => {}
        }
    }
}
