//! Finds the JSON in a text: the whole text, or the inside of its only Markdown fence. Never guesses.

use serde_json::value::RawValue;

/// White space to JSON, within fences and around them.
pub(crate) const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
/// An opening fence's info, in bytes. Longer ones are not `json`.
pub(crate) const INFO_BYTES_MAX: usize = 64;

/// The JSON in `text`, byte for byte. `None`: the text holds no JSON, or it is not certain which part.
#[must_use]
pub fn find(text: &str) -> Option<&RawValue> {
    parse(text).or_else(|| fenced(text).and_then(parse))
}

fn parse(text: &str) -> Option<&RawValue> {
    let json: &RawValue = serde_json::from_str(text).ok()?;
    (!has_half_pair(json.get())).then_some(json)
}

/// Whether it has an unpaired surrogate. The grammar of JSON allows one (RFC 8259, 8.2), but many parsers do not: they could not
/// read a record that held it.
fn has_half_pair(json: &str) -> bool {
    let mut rest = json;
    let mut first_half_ends_at = None;
    while let Some(at) = rest.find('\\') {
        let is_adjacent = first_half_ends_at.take().map(|end: usize| end == json.len() - rest.len() + at);
        let escape = &rest[at + 1..];
        let unit = escape.strip_prefix('u').and_then(|escape| u16::from_str_radix(escape.get(..4)?, 16).ok());
        let length = if unit.is_some() { 5 } else { 1 };
        rest = &escape[length..];
        match (is_adjacent, unit) {
            (Some(true), Some(0xDC00..=0xDFFF)) => {}
            (Some(_), _) | (None, Some(0xDC00..=0xDFFF)) => return true,
            (None, Some(0xD800..=0xDBFF)) => first_half_ends_at = Some(json.len() - rest.len()),
            (None, _) => {}
        }
    }
    first_half_ends_at.is_some()
}

/// How deeply arrays and objects are nested. Not recursive: the text may consist of brackets.
#[must_use]
pub fn depth(json: &RawValue) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.get().bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The inside of a fence, from a line that begins with three backticks to the next line of three backticks alone. There may be
/// prose around the fence, but no second fence.
fn fenced(text: &str) -> Option<&str> {
    let mut fences = lines_with_offsets(text).filter(|(_, line)| line.trim_start_matches(WHITE_SPACE).starts_with("```"));
    let (opening, info) = fences.next()?;
    let (closing, end) = fences.next()?;
    let info = info.trim_start_matches(WHITE_SPACE).strip_prefix("```")?.trim_end_matches('\n');
    if !is_json_info(info.as_bytes()) || end.trim_matches(WHITE_SPACE) != "```" || fences.next().is_some() {
        return None;
    }
    let inside = opening + text.get(opening..)?.find('\n')? + 1;
    text.get(inside..closing)
}

/// Whether a fence whose opening backticks are followed by `info`, to the end of the line, holds JSON.
pub(crate) fn is_json_info(info: &[u8]) -> bool {
    let backticks = info.iter().take_while(|byte| **byte == b'`').count();
    let Ok(word) = std::str::from_utf8(&info[backticks..]) else { return false };
    let word = word.trim_matches(WHITE_SPACE);
    info.len() <= INFO_BYTES_MAX && (word.is_empty() || word.eq_ignore_ascii_case("json"))
}

fn lines_with_offsets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |offset, line| {
        let start = *offset;
        *offset += line.len();
        Some((start, line))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Option<&str> {
        find(text).map(RawValue::get)
    }

    #[test]
    fn bare_and_fenced_json_is_found() {
        assert_eq!(found(" {\"a\": 0.78}\n"), Some("{\"a\": 0.78}"));
        assert_eq!(found("```json\n{\"a\": 1e400}\n```"), Some("{\"a\": 1e400}"), "numbers stay as they were written");
        assert_eq!(found("Here it is:\n\n```\n[1]\n```\nDone."), Some("[1]"));
        assert_eq!(found("```JSON\r\n[1]\r\n```\r\n"), Some("[1]"));
        assert_eq!(found(r#"["\ud83d\ude00\\ud83d"]"#), Some(r#"["\ud83d\ude00\\ud83d"]"#));
        assert_eq!(found("\"a text with ``` inside\""), Some("\"a text with ``` inside\""));
    }

    #[test]
    fn brackets_within_strings_do_not_count_as_depth() {
        for (text, deep) in [("0", 0), ("[]", 1), (r#"{"[": "\"[[", "b": [{}, []]}"#, 3), (r#"["\\", [0]]"#, 2)] {
            assert_eq!(find(text).map(depth), Some(deep), "{text}");
        }
    }

    #[test]
    fn uncertain_json_is_not_found() {
        for text in [
            "",
            "{",
            ".78",
            "[1] [2]",
            "```json\n[1]",
            "```\n[1]\n```\n```\n[2]\n```",
            "```rust\n[1]\n```",
            "so: [1]",
            r#"["\ud83d"]"#,
            r#"["\ude00", "\ud83d"]"#,
            r#"["\ud83d \ude00"]"#,
            r#"["\ud83d\n"]"#,
            "\u{a0}[1]",
            "\u{c}[1]",
            "```\n[1]\n```\u{a0}",
            "```\n[1]\n\u{c}```",
        ] {
            assert_eq!(found(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_json_is_found_within_a_fence_with_any_prose(value in "[a-z`\\\\\" \n]{0,20}", before in "[a-z \n]{0,10}") {
            let json = serde_json::to_string(&value).unwrap();
            let fence = format!("{before}\n```json\n{json}\n```\n");
            prop_assert_eq!(found(&fence), Some(json.as_str()));
        }

        #[test]
        fn found_json_is_part_of_the_text_and_parses_to_itself(text in "[`a{}\\[\\]\"\n\r é]{0,60}") {
            if let Some(json) = found(&text) {
                prop_assert!(text.contains(json));
                prop_assert_eq!(found(json), Some(json));
            }
        }
    }
}
