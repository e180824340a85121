//! What differs between two texts, line by line. `imara-diff` compares.

use imara_diff::{Algorithm, Diff, InternedInput};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{DIFF_BYTES_MAX, DIFF_LINES_MAX};

/// Unchanged lines around a change.
const CONTEXT: u32 = 3;

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Whether both are JSON, and were compared in one canonical form: two spaces, keys as they are stored.
    pub is_json: bool,
    /// Lines that were added.
    pub added: u32,
    /// Lines that were removed.
    pub removed: u32,
    /// The changes, with up to three unchanged lines around each. Empty: nothing differs.
    pub hunks: Vec<Hunk>,
}

/// Changes that lie close together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// The number of its first line in the first text, from 1 on.
    pub old_start: u32,
    /// Its lines in the first text.
    pub old_lines: u32,
    /// The number of its first line in the second text, from 1 on.
    pub new_start: u32,
    /// Its lines in the second text.
    pub new_lines: u32,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// ` `: both texts have it; `-`: the first one; `+`: the second one.
    pub op: char,
    /// The line, with its end if it has one.
    pub text: String,
}

/// A text is too large to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Compares two texts.
///
/// # Errors
/// [`TooLarge`]: one of them has more than [`DIFF_BYTES_MAX`] bytes or [`DIFF_LINES_MAX`] lines, as JSON also in the canonical form.
pub fn changes(old: &str, new: &str) -> Result<Changes, TooLarge> {
    check(old)?;
    check(new)?;
    let (old_json, new_json) = (canonical(old), canonical(new));
    let is_json = old_json.is_some() && new_json.is_some();
    let (old, new) = match (&old_json, &new_json) {
        (Some(old), Some(new)) => (old.as_str(), new.as_str()),
        _ => (old, new),
    };
    check(old)?;
    check(new)?;
    let input = InternedInput::new(old, new);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let line = |op, token: Option<&imara_diff::Token>| token.map(|token| Line { op, text: input.interner[*token].to_owned() });
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut at_old = 0;
    let total = u32::try_from(input.before.len()).unwrap_or(u32::MAX);
    for change in diff.hunks() {
        let gap = change.before.start - at_old;
        let joins = !hunks.is_empty() && gap <= 2 * CONTEXT;
        if !joins {
            if let Some(last) = hunks.last_mut() {
                last.keep(at_old..at_old + CONTEXT, |at| line(' ', input.before.get(at)));
            }
            let lead = gap.min(CONTEXT);
            at_old = change.before.start - lead;
            let new_start = change.after.start - lead + 1;
            hunks.push(Hunk { old_start: at_old + 1, old_lines: 0, new_start, new_lines: 0, lines: Vec::new() });
        }
        if let Some(hunk) = hunks.last_mut() {
            hunk.keep(at_old..change.before.start, |at| line(' ', input.before.get(at)));
            hunk.keep(change.before.clone(), |at| line('-', input.before.get(at)));
            hunk.keep(change.after.clone(), |at| line('+', input.after.get(at)));
        }
        at_old = change.before.end;
    }
    if let Some(last) = hunks.last_mut() {
        last.keep(at_old..total.min(at_old + CONTEXT), |at| line(' ', input.before.get(at)));
    }
    Ok(Changes { is_json, added: diff.count_additions(), removed: diff.count_removals(), hunks })
}

impl Hunk {
    /// Adds the lines of a range, and counts them.
    fn keep(&mut self, range: std::ops::Range<u32>, line: impl Fn(usize) -> Option<Line>) {
        for line in range.filter_map(|at| line(at as usize)) {
            self.old_lines += u32::from(line.op != '+');
            self.new_lines += u32::from(line.op != '-');
            self.lines.push(line);
        }
    }
}

fn check(text: &str) -> Result<(), TooLarge> {
    let fits = text.len() <= DIFF_BYTES_MAX && text.bytes().filter(|byte| *byte == b'\n').count() < DIFF_LINES_MAX;
    if fits { Ok(()) } else { Err(TooLarge) }
}

/// JSON in one form; `None`: it is none, or a scalar, which is text.
fn canonical(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    (value.is_object() || value.is_array()).then(|| serde_json::to_string_pretty(&value).ok()).flatten().map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The second text, made from the first and the changes.
    fn applied(old: &str, changes: &Changes) -> String {
        let lines: Vec<&str> = old.split_inclusive('\n').collect();
        let (mut text, mut at) = (String::new(), 0);
        for hunk in &changes.hunks {
            let start = (hunk.old_start - 1) as usize;
            text.extend(lines[at..start].iter().copied());
            text.extend(hunk.lines.iter().filter(|line| line.op != '-').map(|line| line.text.as_str()));
            at = start + hunk.old_lines as usize;
        }
        text.extend(lines[at..].iter().copied());
        text
    }

    proptest! {
        #[test]
        fn the_changes_lead_from_one_text_to_the_other(
            old in prop::collection::vec("[a-cñ]{0,2}", 0..40),
            new in prop::collection::vec("[a-cñ]{0,2}", 0..40),
        ) {
            let (old, new) = (old.join("\n"), new.join("\n"));
            let changes = changes(&old, &new).unwrap();
            prop_assert_eq!(applied(&old, &changes), new.clone());
            let count = |op| changes.hunks.iter().flat_map(|hunk| &hunk.lines).filter(|line| line.op == op).count();
            prop_assert_eq!((count('+'), count('-')), (changes.added as usize, changes.removed as usize));
            prop_assert_eq!(changes.hunks.is_empty(), old == new);
            for hunk in &changes.hunks {
                let lines = |not| hunk.lines.iter().filter(|line| line.op != not).count();
                prop_assert_eq!((lines('+'), lines('-')), (hunk.old_lines as usize, hunk.new_lines as usize));
            }
        }
    }

    #[test]
    fn white_space_of_json_is_no_change_and_accents_are_kept() {
        let same = changes(r#"{"año":1,"b":[1,2]}"#, "{ \"año\": 1,\n \"b\": [1, 2] }").unwrap();
        assert_eq!((same.is_json, same.hunks.len()), (true, 0));
        let told = changes(r#"{"a":"mañana"}"#, r#"{"a":"señal"}"#).unwrap();
        let changed: Vec<(char, &str)> = told.hunks[0].lines.iter().map(|line| (line.op, line.text.trim())).collect();
        assert_eq!(changed, [(' ', "{"), ('-', "\"a\": \"mañana\""), ('+', "\"a\": \"señal\""), (' ', "}")]);
        assert!(!changes("12", "13").unwrap().is_json);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert_eq!(changes(&"x".repeat(DIFF_BYTES_MAX + 1), ""), Err(TooLarge));
        assert_eq!(changes("", &"\n".repeat(DIFF_LINES_MAX)), Err(TooLarge));
        let flat = format!("[{}1]", "1,".repeat(DIFF_LINES_MAX));
        assert_eq!(changes(&flat, "[]"), Err(TooLarge), "in one line, but not in the canonical form");
    }
}
