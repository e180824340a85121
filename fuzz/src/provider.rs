//! The readers of the dialects: from bytes to deltas.

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream::{self, StreamExt};
use longhand::providers::{Delta, Fault, ProviderSettings, body_deltas, parse_providers};

use crate::split;
use crate::sse::reads;

const READ_BYTES_MAX: usize = 61;

/// The dialect of chat completions.
pub fn chat_completions(data: &[u8]) {
    reads_alike(data, r#"{"base_url":"https://x"}"#);
}

/// The dialect of the Responses API, with responses that the provider keeps.
pub fn responses(data: &[u8]) {
    reads_alike(data, r#"{"base_url":"https://x","dialect":"responses","continuation":"retrieve"}"#);
}

/// Anthropic's dialect.
pub fn anthropic(data: &[u8]) {
    reads_alike(data, r#"{"base_url":"https://x","dialect":"anthropic"}"#);
}

/// Amazon Bedrock's dialect.
pub fn bedrock(data: &[u8]) {
    reads_alike(data, r#"{"base_url":"https://x","dialect":"bedrock"}"#);
}

/// Gemini's dialect.
pub fn gemini(data: &[u8]) {
    reads_alike(data, r#"{"base_url":"https://x","dialect":"gemini"}"#);
}

/// Ollama's dialect.
pub fn ollama(data: &[u8]) {
    reads_alike(data, r#"{"base_url":"https://x","dialect":"ollama"}"#);
}

/// The result does not depend on how the body is cut into reads, and nothing follows an error.
fn reads_alike(data: &[u8], settings: &str) {
    let mut providers = parse_providers(Some(&format!(r#"{{"x":{settings}}}"#))).expect("settings");
    let settings = providers.remove("x").expect("a provider");
    let (how, body) = split(data);
    let whole = read(&settings, reads(body, body.len()));
    assert_eq!(read(&settings, reads(body, usize::from(how) % READ_BYTES_MAX)), whole);
}

/// All deltas but positions, which stand at the end of each read.
fn read(settings: &ProviderSettings, reads: Vec<Result<Bytes, std::io::Error>>) -> (Vec<Delta>, Option<Fault>) {
    let (mut deltas, mut fault) = (Vec::new(), None);
    block_on(async {
        let mut stream = body_deltas(settings, stream::iter(reads), String::new(), None);
        while let Some(next) = stream.next().await {
            assert_eq!(fault, None, "nothing comes after an error");
            match next {
                Ok(next) => deltas.extend(next.into_iter().filter(|delta| !matches!(delta, Delta::Upstream(_)))),
                Err(error) => fault = Some(error.fault),
            }
        }
    });
    (deltas, fault)
}
