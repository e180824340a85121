//! Properties of the reader: however a body is laid out, cut into reads and cut off, what it says is a prefix of what was
//! sent, and only the whole of it comes with a finish reason.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Text, and whether a finish reason came and an error did.
type Read = (String, bool, Option<Fault>);

fn read(body: &[u8], cuts: &[usize]) -> Read {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([0, body.len()]).collect();
    cuts.sort_unstable();
    let reads: Vec<Result<Bytes, std::io::Error>> =
        cuts.windows(2).map(|cut| Ok(Bytes::copy_from_slice(&body[cut[0]..cut[1]]))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut stream = chat_completion_deltas(futures::stream::iter(reads), String::new());
        let (mut text, mut finished, mut fault) = (String::new(), false, None);
        while let Some(deltas) = stream.next().await {
            match deltas {
                Ok(deltas) => {
                    for delta in deltas {
                        match delta {
                            Delta::Text(piece) => text.push_str(&piece),
                            Delta::Finish(_) => finished = true,
                            _ => {}
                        }
                    }
                }
                Err(error) => fault = Some(error.fault),
            }
        }
        (text, finished, fault)
    })
}

/// A body that says `pieces`, with these line ends; `is_bare`: without the space behind `data:`, and with comments.
fn body(pieces: &[String], line_end: &str, is_bare: bool) -> Vec<u8> {
    let chunk = |delta: Value, finish: Value| json!({ "choices": [{ "delta": delta, "finish_reason": finish }] }).to_string();
    let said = pieces.iter().map(|piece| chunk(json!({ "content": piece }), Value::Null));
    let all = said.chain([chunk(json!({}), "stop".into()), "[DONE]".to_owned()]);
    let (prefix, comment) = if is_bare { ("data:", ": ñ\n\n") } else { ("data: ", "") };
    all.map(|data| format!("{comment}{prefix}{data}\n\n")).collect::<Vec<_>>().concat().replace('\n', line_end).into_bytes()
}

fn bodies() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let pieces = prop::collection::vec("[a-z0ñ€😀\"\\\\]{0,6}", 0..8);
    (pieces, prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], any::<bool>()).prop_map(|(pieces, line_end, is_bare)| {
        let body = body(&pieces, line_end, is_bare);
        (pieces, body)
    })
}

proptest! {
    #[test]
    fn a_body_says_the_same_however_it_is_cut_into_reads((pieces, body) in bodies(), cuts in prop::collection::vec(any::<usize>(), 0..40)) {
        prop_assert_eq!(read(&body, &cuts), (pieces.concat(), true, None));
    }

    #[test]
    fn a_body_cut_off_anywhere_says_a_prefix_and_finishes_only_when_it_is_whole(
        (pieces, body) in bodies(), end: usize, cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        let (text, finished, fault) = read(&body[..end % (body.len() + 1)], &cuts);
        let whole = pieces.concat();
        prop_assert!(whole.starts_with(&text), "{text:?} of {whole:?}");
        prop_assert!(!finished || text == whole);
        prop_assert_eq!(fault, None, "a clean cut is told by the missing finish reason alone");
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
        let _ = read(&body, &cuts);
        let _ = read(&[b"data: ", body.as_slice(), b"\n\n"].concat(), &cuts);
    }
}
