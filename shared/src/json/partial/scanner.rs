//! A JSON reader that takes its text in pieces of any size, tells a visitor what has become certain, and can close at any
//! moment what is open. It takes exactly what RFC 8259 has, once.

/// The kinds of a JSON value. A number's first byte does not tell whether it is an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// What is told of the text while it is read.
pub trait Visitor {
    /// A value has begun.
    fn begin(&mut self, _kind: Kind) {}
    /// The name of the next value in the innermost object, as it is written, with its quotes.
    fn name(&mut self, _raw: &[u8]) {}
    /// The string that has begun has at least so many characters by now.
    fn grew(&mut self, _chars: u64) {}
    /// The value that began last is complete; not for arrays and objects.
    fn scalar(&mut self, _raw: &[u8]) {}
    /// What was told so far was no JSON; it begins anew.
    fn restart(&mut self) {}
    /// The innermost array or object is complete.
    fn close(&mut self) {}
}

/// What may come next, between two tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// The token that is being read.
#[derive(Debug, Clone, Copy)]
enum Token {
    None,
    Word(&'static [u8]),
    Number(Digits),
    Text { is_name: bool, escape: Escape },
}

/// Where in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    Power,
}

/// Where in an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    Unicode {
        digits: u8,
        code: u16,
    },
    /// The first half of a pair was read; the second must follow.
    Pair,
    PairBackslash,
    PairUnicode {
        digits: u8,
        code: u16,
    },
}

/// The reader.
#[derive(Debug)]
pub struct Scanner {
    text: Vec<u8>,
    /// Open containers; `true`: an object.
    open: Vec<bool>,
    next: Next,
    token: Token,
    token_from: usize,
    chars: u64,
    /// Up to here the text is certain, and needs only its containers closed.
    certain: usize,
    /// The same within the string that is open.
    certain_text: usize,
    is_well_formed: bool,
    is_past_doubt: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            open: Vec::new(),
            next: Next::Value,
            token: Token::None,
            token_from: 0,
            chars: 0,
            certain: 0,
            certain_text: 0,
            is_well_formed: true,
            is_past_doubt: false,
        }
    }
}

impl Scanner {
    /// Whether what was read can be the beginning of JSON.
    pub const fn is_well_formed(&self) -> bool {
        self.is_well_formed
    }

    /// Whether it has gone so far that it is no prose that happens to begin like JSON, such as `[1] says that`: an object has
    /// its first name, or an array its first comma.
    pub const fn is_past_doubt(&self) -> bool {
        self.is_past_doubt
    }

    /// What is certain, with what is open in it closed. `None`: nothing is, or the text is no JSON.
    pub fn closed(&self) -> Option<String> {
        if !self.is_well_formed {
            return None;
        }
        let is_in_string = matches!(self.token, Token::Text { is_name: false, .. });
        let end = if is_in_string { self.certain_text } else { self.certain };
        let mut text = self.text.get(..end).filter(|text| !text.is_empty())?.to_vec();
        if is_in_string {
            text.push(b'"');
        }
        text.extend(self.open.iter().rev().map(|is_object| if *is_object { b'}' } else { b']' }));
        String::from_utf8(text).ok()
    }

    /// Reads one more byte.
    pub fn feed(&mut self, byte: u8, visitor: &mut impl Visitor) {
        if !self.is_well_formed {
            return;
        }
        self.text.push(byte);
        self.is_well_formed = match self.token {
            Token::None => self.between(byte, visitor),
            Token::Word(rest) => self.word(rest, byte, visitor),
            Token::Number(digits) => self.number(digits, byte, visitor),
            Token::Text { is_name, escape } => self.string(is_name, escape, byte, visitor),
        };
    }

    fn between(&mut self, byte: u8, visitor: &mut impl Visitor) -> bool {
        match (self.next, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => true,
            (Next::ValueOrEnd, b']') | (Next::NameOrEnd, b'}') => self.close(visitor),
            (Next::CommaOrEnd, b']' | b'}') => self.open.last() == Some(&(byte == b'}')) && self.close(visitor),
            (Next::Value | Next::ValueOrEnd, _) => self.value(byte, visitor),
            (Next::Name | Next::NameOrEnd, b'"') => {
                self.begin(Token::Text { is_name: true, escape: Escape::None });
                true
            }
            (Next::Colon, b':') => {
                self.next = Next::Value;
                true
            }
            (Next::CommaOrEnd, b',') => {
                self.next = if self.open.last() == Some(&true) { Next::Name } else { Next::Value };
                self.is_past_doubt = true;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self, byte: u8, visitor: &mut impl Visitor) -> bool {
        let (kind, token) = match byte {
            b'{' => (Kind::Object, Token::None),
            b'[' => (Kind::Array, Token::None),
            b'"' => (Kind::String, Token::Text { is_name: false, escape: Escape::None }),
            b't' => (Kind::Boolean, Token::Word(b"rue")),
            b'f' => (Kind::Boolean, Token::Word(b"alse")),
            b'n' => (Kind::Null, Token::Word(b"ull")),
            b'-' => (Kind::Number, Token::Number(Digits::Minus)),
            b'0' => (Kind::Number, Token::Number(Digits::Zero)),
            b'1'..=b'9' => (Kind::Number, Token::Number(Digits::Integer)),
            _ => return false,
        };
        visitor.begin(kind);
        self.begin(token);
        if matches!(kind, Kind::Array | Kind::Object) {
            self.open.push(kind == Kind::Object);
            self.next = if kind == Kind::Object { Next::NameOrEnd } else { Next::ValueOrEnd };
            self.certain = self.text.len();
        }
        true
    }

    fn begin(&mut self, token: Token) {
        self.token = token;
        self.token_from = self.text.len() - 1;
        self.certain_text = self.text.len();
        self.chars = 0;
    }

    fn close(&mut self, visitor: &mut impl Visitor) -> bool {
        self.open.pop();
        visitor.close();
        self.complete(self.text.len())
    }

    /// A value is complete, up to `end`.
    fn complete(&mut self, end: usize) -> bool {
        self.token = Token::None;
        self.certain = end;
        self.next = if self.open.is_empty() { Next::Nothing } else { Next::CommaOrEnd };
        true
    }

    fn word(&mut self, rest: &'static [u8], byte: u8, visitor: &mut impl Visitor) -> bool {
        let Some((_, rest)) = rest.split_first().filter(|(first, _)| **first == byte) else { return false };
        self.token = Token::Word(rest);
        if rest.is_empty() {
            visitor.scalar(&self.text[self.token_from..]);
            return self.complete(self.text.len());
        }
        true
    }

    fn number(&mut self, digits: Digits, byte: u8, visitor: &mut impl Visitor) -> bool {
        let next = match (digits, byte) {
            (Digits::Minus, b'0') => Digits::Zero,
            (Digits::Minus | Digits::Integer, b'0'..=b'9') => Digits::Integer,
            (Digits::Zero | Digits::Integer, b'.') => Digits::Point,
            (Digits::Point | Digits::Fraction, b'0'..=b'9') => Digits::Fraction,
            (Digits::Zero | Digits::Integer | Digits::Fraction, b'e' | b'E') => Digits::Exponent,
            (Digits::Exponent, b'+' | b'-') => Digits::ExponentSign,
            (Digits::Exponent | Digits::ExponentSign | Digits::Power, b'0'..=b'9') => Digits::Power,
            (Digits::Zero | Digits::Integer | Digits::Fraction | Digits::Power, _) => {
                let end = self.text.len() - 1;
                visitor.scalar(&self.text[self.token_from..end]);
                return self.complete(end) && self.between(byte, visitor);
            }
            _ => return false,
        };
        self.token = Token::Number(next);
        true
    }

    fn string(&mut self, is_name: bool, escape: Escape, byte: u8, visitor: &mut impl Visitor) -> bool {
        let next = match (escape, byte) {
            (Escape::None, b'"') => return self.end_of_string(is_name, visitor),
            (Escape::None, b'\\') => Escape::Backslash,
            (Escape::None, 0..0x20) => return false,
            (Escape::None, _) => return self.plain(is_name, byte, visitor),
            (Escape::Backslash, b'u') => Escape::Unicode { digits: 0, code: 0 },
            (Escape::Backslash, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Escape::None,
            (Escape::Pair, b'\\') => Escape::PairBackslash,
            (Escape::PairBackslash, b'u') => Escape::PairUnicode { digits: 0, code: 0 },
            (Escape::Unicode { digits, code }, _) => match unicode(digits, code, byte) {
                Some((4, 0xD800..0xDC00)) => Escape::Pair,
                Some((4, 0xDC00..0xE000)) | None => return false,
                Some((4, _)) => Escape::None,
                Some((digits, code)) => Escape::Unicode { digits, code },
            },
            (Escape::PairUnicode { digits, code }, _) => match unicode(digits, code, byte) {
                Some((4, 0xDC00..0xE000)) => Escape::None,
                Some((4, _)) | None => return false,
                Some((digits, code)) => Escape::PairUnicode { digits, code },
            },
            _ => return false,
        };
        self.token = Token::Text { is_name, escape: next };
        if next == Escape::None {
            self.character(is_name, visitor);
        }
        true
    }

    /// A byte of a character that is written as itself. The text is UTF-8: whatever is no continuation begins a character.
    fn plain(&mut self, is_name: bool, byte: u8, visitor: &mut impl Visitor) -> bool {
        if byte & 0xC0 == 0x80 {
            self.certain_text = self.text.len();
        } else {
            self.character(is_name, visitor);
        }
        true
    }

    fn character(&mut self, is_name: bool, visitor: &mut impl Visitor) {
        self.certain_text = self.text.len();
        self.chars += 1;
        if !is_name {
            visitor.grew(self.chars);
        }
    }

    fn end_of_string(&mut self, is_name: bool, visitor: &mut impl Visitor) -> bool {
        if !is_name {
            visitor.scalar(&self.text[self.token_from..]);
            return self.complete(self.text.len());
        }
        self.is_past_doubt = true;
        visitor.name(&self.text[self.token_from..]);
        self.token = Token::None;
        self.next = Next::Colon;
        true
    }
}

/// One more hexadecimal digit of four.
fn unicode(digits: u8, code: u16, byte: u8) -> Option<(u8, u16)> {
    let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
    Some((digits + 1, (code << 4) | digit))
}
