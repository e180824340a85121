//! Splits a file of JSON values into their texts, as its bytes come: lines, or the elements of one array. What a text holds is not checked.

/// How a UTF-8 file of some editors begins.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The line that it begins in, from 1 on.
    pub line: usize,
    /// Its text, without the white space around it. Of an array that ends with a comma, the last one is empty.
    pub text: Vec<u8>,
}

/// Why a file cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsplittable {
    /// A value is longer than allowed.
    #[error("must have at most {most} bytes; line {line} of the upload")]
    TooLong {
        /// The line that it begins in.
        line: usize,
        /// How long it may be.
        most: usize,
    },
    /// The file ends within the array.
    #[error("must be followed by the end of the array, which line {0} of the upload does not have")]
    Unended(usize),
    /// There is something behind the array.
    #[error("must not be given; line {0} of the upload is behind the end of the array")]
    Behind(usize),
}

/// The state behind the bytes that have come.
#[derive(Debug)]
pub struct Splitter {
    form: Form,
    text: Vec<u8>,
    /// The line of the next byte, and the one in which `text` begins.
    line: usize,
    begun: usize,
    most: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing but white space has come.
    Unknown,
    Lines,
    Array {
        depth: usize,
        string: InString,
        /// The array has begun, and nothing of an element has come.
        is_fresh: bool,
    },
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    /// Behind a backslash.
    Escaped,
}

impl Splitter {
    /// At the beginning of a file whose values have at most `most` bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { form: Form::Unknown, text: Vec::new(), line: 1, begun: 1, most }
    }

    /// Takes the next bytes; gives the values that end with them.
    ///
    /// # Errors
    /// [`Unsplittable`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Element>, Unsplittable> {
        let mut found = Vec::new();
        for byte in bytes {
            found.extend(self.take(*byte)?);
            self.line += usize::from(*byte == b'\n');
        }
        Ok(found)
    }

    /// At the end of the file; gives the last line, where no line feed ends it.
    ///
    /// # Errors
    /// [`Unsplittable`].
    pub fn finish(mut self) -> Result<Option<Element>, Unsplittable> {
        match self.form {
            Form::Array { .. } => Err(Unsplittable::Unended(self.line)),
            Form::Lines => Ok(Some(self.element()).filter(|line| !line.is_blank())),
            Form::Unknown | Form::Ended => Ok(None),
        }
    }

    fn take(&mut self, byte: u8) -> Result<Option<Element>, Unsplittable> {
        match self.form {
            Form::Unknown if byte.is_ascii_whitespace() || self.line == 1 && BYTE_ORDER_MARK.contains(&byte) => Ok(None),
            Form::Unknown if byte == b'[' => {
                self.form = Form::Array { depth: 0, string: InString::No, is_fresh: true };
                Ok(None)
            }
            Form::Unknown | Form::Lines => {
                self.form = Form::Lines;
                if byte == b'\n' {
                    return Ok(Some(self.element()).filter(|line| !line.is_blank()));
                }
                self.keep(byte).map(|()| None)
            }
            Form::Array { depth, string, is_fresh } => self.take_in_array(byte, depth, string, is_fresh),
            Form::Ended if byte.is_ascii_whitespace() => Ok(None),
            Form::Ended => Err(Unsplittable::Behind(self.line)),
        }
    }

    fn take_in_array(
        &mut self,
        byte: u8,
        depth: usize,
        string: InString,
        is_fresh: bool,
    ) -> Result<Option<Element>, Unsplittable> {
        let is_end = depth == 0 && string == InString::No;
        if is_end && byte == b']' {
            self.form = Form::Ended;
            return Ok(Some(self.element()).filter(|element| !(is_fresh && element.is_blank())));
        }
        if is_end && byte == b',' {
            self.form = Form::Array { depth, string, is_fresh: false };
            return Ok(Some(self.element()));
        }
        let (depth, string) = match (string, byte) {
            (InString::Escaped, _) | (InString::No, b'"') => (depth, InString::Yes),
            (InString::Yes, b'\\') => (depth, InString::Escaped),
            (InString::Yes, b'"') => (depth, InString::No),
            (InString::No, b'{' | b'[') => (depth + 1, string),
            // One too many is no element of this array any more, and no JSON.
            (InString::No, b'}' | b']') => (depth.saturating_sub(1), string),
            _ => (depth, string),
        };
        self.form = Form::Array { depth, string, is_fresh };
        self.keep(byte).map(|()| None)
    }

    fn keep(&mut self, byte: u8) -> Result<(), Unsplittable> {
        if self.text.is_empty() {
            if byte.is_ascii_whitespace() {
                return Ok(());
            }
            self.begun = self.line;
        }
        if self.text.len() >= self.most {
            return Err(Unsplittable::TooLong { line: self.begun, most: self.most });
        }
        self.text.push(byte);
        Ok(())
    }

    fn element(&mut self) -> Element {
        let mut text = std::mem::take(&mut self.text);
        text.truncate(text.trim_ascii_end().len());
        let line = if text.is_empty() { self.line } else { self.begun };
        Element { line, text }
    }
}

impl Element {
    fn is_blank(&self) -> bool {
        self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn split(parts: &[&[u8]]) -> Result<Vec<(usize, String)>, Unsplittable> {
        let mut splitter = Splitter::new(50);
        let mut found = Vec::new();
        for part in parts {
            found.extend(splitter.push(part)?);
        }
        found.extend(splitter.finish()?);
        Ok(found.into_iter().map(|element| (element.line, String::from_utf8_lossy(&element.text).into_owned())).collect())
    }

    fn of(text: &str) -> Vec<(usize, String)> {
        split(&[text.as_bytes()]).unwrap()
    }

    fn told(expected: &[(usize, &str)]) -> Vec<(usize, String)> {
        expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn lines_and_arrays_are_split() {
        assert_eq!(of("{\"a\":1}\r\n\n  {\"b\":2} \n"), told(&[(1, "{\"a\":1}"), (3, "{\"b\":2}")]));
        assert_eq!(of("\u{feff}\n{}\n7"), told(&[(2, "{}"), (3, "7")]));
        assert_eq!(of("[\n{\"a\":\"],}\\\"\"},\n [1,{}] ]\n"), told(&[(2, "{\"a\":\"],}\\\"\"}"), (3, "[1,{}]")]));
        assert_eq!(of("[{},]"), told(&[(1, "{}"), (1, "")]));
        for nothing in ["", " \n", "[]", "[ \n ]"] {
            assert_eq!(of(nothing), []);
        }
    }

    #[test]
    fn what_cannot_be_split_is_told_with_its_line() {
        let wrong = |text: &str| split(&[text.as_bytes()]).unwrap_err();
        assert_eq!(
            wrong("{}\n\"123456789-123456789-123456789-123456789-123456789\""),
            Unsplittable::TooLong { line: 2, most: 50 }
        );
        assert_eq!(wrong("[\n{}"), Unsplittable::Unended(2));
        assert_eq!(wrong("[{}]\n\n{}"), Unsplittable::Behind(3));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Value::from), "[ \\\\\"\\[\\]{},a\u{e9}\n]{0,6}".prop_map(Value::from)];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                inner.prop_map(|value| json!({ "k\"": value })),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_come_out_as_they_went_in_however_they_are_cut(
            values in prop::collection::vec(value(), 1..6), cut in 1_usize..9, is_array in any::<bool>(),
        ) {
            let lines: Vec<String> = values.iter().map(ToString::to_string).collect();
            let text = if is_array { serde_json::to_string_pretty(&values).unwrap() } else { lines.join("\n") };
            // A line that begins with a bracket begins an array.
            prop_assume!(is_array || !text.starts_with('['));
            let mut splitter = Splitter::new(10_000);
            let mut found = Vec::new();
            for part in text.as_bytes().chunks(cut) {
                found.extend(splitter.push(part).unwrap());
            }
            found.extend(splitter.finish().unwrap());
            let found: Vec<Value> = found.iter().map(|element| serde_json::from_slice(&element.text).unwrap()).collect();
            prop_assert_eq!(found, values);
        }
    }
}
