//! What is removed from a prompt before it is shown.

use regex_lite::Regex;

/// What stands in the place of what was removed.
pub const REDACTED: &str = "[redacted]";

/// What is removed where a deployment sets nothing: keys of providers, of AWS and of this product, and bearer tokens.
pub const DEFAULT_PATTERNS: &str =
    r#"["sk-[A-Za-z0-9_-]{16,}", "(AKIA|ASIA)[0-9A-Z]{16}", "lh_[A-Za-z0-9_]{16,}", "(?i)bearer\\s+[A-Za-z0-9._~+/=-]{16,}"]"#;

/// Patterns of what is not shown.
#[derive(Debug, Clone, Default)]
pub struct Redaction(Vec<Regex>);

impl Redaction {
    /// Parses a JSON list of regular expressions, in the syntax of the crate `regex-lite`, whose time is linear in the text.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let patterns: Vec<String> = serde_json::from_str(text).map_err(|_| "must be a JSON list of texts".to_owned())?;
        let compile = |pattern: &String| Regex::new(pattern).map_err(|error| format!("has the pattern {pattern:?}: {error}"));
        patterns.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// The text without what the patterns match, and whether there was any.
    #[must_use]
    pub fn apply(&self, text: &str) -> (String, bool) {
        let redacted = self.0.iter().fold(text.to_owned(), |text, pattern| pattern.replace_all(&text, REDACTED).into_owned());
        let changed = redacted != text;
        (redacted, changed)
    }
}

impl PartialEq for Redaction {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(Regex::as_str).eq(other.0.iter().map(Regex::as_str))
    }
}

impl Eq for Redaction {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_removed_and_nothing_else() {
        let redaction = Redaction::parse(DEFAULT_PATTERNS).unwrap();
        for (text, expected) in [
            ("Plan for 2026, task-based.", "Plan for 2026, task-based."),
            ("use sk-proj-0123456789abcdef now", "use [redacted] now"),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
            ("Authorization: Bearer abcdefgh.ijklmnop", "Authorization: [redacted]"),
            ("lh_local_0123456789abcdef, and twice sk-0123456789abcdefg", "[redacted], and twice [redacted]"),
        ] {
            assert_eq!(redaction.apply(text), (expected.to_owned(), expected != text));
        }
        assert_eq!(Redaction::default().apply("sk-0123456789abcdefg"), ("sk-0123456789abcdefg".to_owned(), false));
    }

    #[test]
    fn wrong_patterns_are_told() {
        assert!(Redaction::parse("sk-").unwrap_err().contains("JSON list"));
        assert!(Redaction::parse(r#"["a("]"#).unwrap_err().contains("\"a(\""));
        assert_ne!(Redaction::parse(r#"["a"]"#).unwrap(), Redaction::parse(r#"["b"]"#).unwrap());
    }
}
