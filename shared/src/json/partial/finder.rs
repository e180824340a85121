//! Where the JSON is in a text that goes on: the whole of it, or the inside of its first Markdown fence. The rules are those of
//! [`crate::json::text`], told byte by byte.

use super::scanner::{Scanner, Visitor};
use crate::json::text::{INFO_BYTES_MAX, WHITE_SPACE, is_json_info};

fn is_white_space(byte: u8) -> bool {
    WHITE_SPACE.contains(&char::from(byte))
}

/// What the text has turned out to be.
#[derive(Debug, Default)]
enum Place {
    /// JSON from its first byte on.
    #[default]
    Bare,
    /// Something else, in which a fence may open.
    Prose,
    /// The line that opens a fence, behind its backticks.
    Opening(Vec<u8>),
    /// JSON, to the fence's closing line.
    Fence,
    /// The line that closes it.
    Closing,
    /// Behind it.
    Behind,
    /// No JSON, whatever comes.
    Nowhere,
}

/// How far into its line the text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Indent,
    Backticks(u8),
    Rest,
}

/// Finds the JSON, and reads it.
#[derive(Debug, Default)]
pub struct Finder {
    place: Place,
    line: Line,
    scanner: Scanner,
}

impl Finder {
    /// The JSON, if there is any.
    pub const fn scanner(&self) -> Option<&Scanner> {
        match self.place {
            Place::Bare | Place::Fence | Place::Closing | Place::Behind => Some(&self.scanner),
            Place::Prose | Place::Opening(_) | Place::Nowhere => None,
        }
    }

    /// Whether what is found will be the result's JSON, or there will be none.
    pub const fn is_settled(&self) -> bool {
        match self.place {
            Place::Bare => self.scanner.is_past_doubt(),
            Place::Fence | Place::Closing | Place::Behind => true,
            Place::Prose | Place::Opening(_) | Place::Nowhere => false,
        }
    }

    /// Whether nothing more can be found.
    pub const fn is_over(&self) -> bool {
        matches!(self.place, Place::Behind | Place::Nowhere)
    }

    /// Reads on.
    pub fn feed(&mut self, text: &[u8], visitor: &mut impl Visitor) {
        for byte in text {
            self.byte(*byte, visitor);
        }
    }

    fn byte(&mut self, byte: u8, visitor: &mut impl Visitor) {
        match &mut self.place {
            Place::Bare => self.read(byte, Place::Prose, visitor),
            Place::Opening(info) if byte != b'\n' => {
                info.push(byte);
                if info.len() > INFO_BYTES_MAX {
                    self.place = Place::Nowhere;
                }
                return;
            }
            Place::Fence => return self.byte_in_fence(byte, visitor),
            Place::Closing if !is_white_space(byte) => self.place = Place::Nowhere,
            _ => {}
        }
        if byte == b'\n' {
            self.end_of_line(visitor);
        }
        if self.is_third_backtick(byte) {
            self.place = match self.place {
                Place::Prose => Place::Opening(Vec::new()),
                _ => Place::Nowhere,
            };
        }
    }

    fn byte_in_fence(&mut self, byte: u8, visitor: &mut impl Visitor) {
        let was_in_backticks = matches!(self.line, Line::Backticks(_));
        if self.is_third_backtick(byte) {
            self.place = Place::Closing;
        } else if matches!(self.line, Line::Backticks(_)) {
            // Two at most: whether they close the fence is not known yet.
        } else if was_in_backticks {
            self.place = Place::Nowhere;
        } else {
            self.read(byte, Place::Nowhere, visitor);
        }
    }

    fn read(&mut self, byte: u8, otherwise: Place, visitor: &mut impl Visitor) {
        self.scanner.feed(byte, visitor);
        if !self.scanner.is_well_formed() {
            self.place = otherwise;
        }
    }

    fn end_of_line(&mut self, visitor: &mut impl Visitor) {
        match &self.place {
            Place::Opening(info) => {
                self.place = if is_json_info(info) { Place::Fence } else { Place::Nowhere };
                self.scanner = Scanner::default();
                visitor.restart();
            }
            Place::Closing => self.place = Place::Behind,
            _ => {}
        }
    }

    /// Follows the line; whether this byte is the third backtick that it begins with.
    fn is_third_backtick(&mut self, byte: u8) -> bool {
        let (line, opens) = match (self.line, byte) {
            (_, b'\n') => (Line::Indent, false),
            (Line::Indent, b'`') => (Line::Backticks(1), false),
            (Line::Backticks(count), b'`') => (Line::Backticks(count + 1), count == 2),
            (Line::Indent, byte) if is_white_space(byte) => (Line::Indent, false),
            _ => (Line::Rest, false),
        };
        self.line = if opens { Line::Rest } else { line };
        opens
    }
}
