//! Assembles tool calls from their pieces. A call is known by its id; its index is a hint, because several servers send none, or
//! the same for every call.

use std::collections::HashMap;

use super::wire::{self, FunctionWire, ToolCallWire};
use crate::providers::decode::{Unreadable, check_calls, check_name};
use crate::providers::lenient::{count, word};
use crate::providers::{Delta, HalfPairs, ToolCallDelta, WireText};

/// The calls of one stream.
#[derive(Default)]
pub(super) struct ToolCalls {
    /// In the order in which they began. Their places are the indexes of their deltas.
    calls: Vec<Call>,
    /// The newest call under each of the provider's indexes.
    by_index: HashMap<u64, usize>,
}

/// One call. It is held back until its id and its name are known and its arguments begin, because both may come in pieces, or late;
/// at the latest until the provider finishes.
#[derive(Default)]
struct Call {
    id: String,
    name: String,
    /// All arguments so far.
    arguments: String,
    /// Bytes of the arguments that were passed on; `None`: the call is held back.
    sent: Option<usize>,
    pairs: HalfPairs,
}

/// What an event says of one call.
struct Piece {
    id: Option<String>,
    name: Option<String>,
    arguments: WireText,
}

impl ToolCalls {
    /// Adds one piece, which stands at `position` in its event.
    pub fn add(&mut self, position: u64, call: &ToolCallWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let function = call.function.as_ref().or(call.custom.as_ref());
        let piece = Piece::read(call.id.and_then(word), function)?;
        let newest = self.calls.len().checked_sub(1).filter(|_| piece.id.is_none() && piece.name.is_none());
        match (call.index.and_then(count), newest) {
            (Some(index), _) => self.add_piece(index, piece, deltas),
            (None, Some(newest)) => self.add_to(newest, piece, deltas),
            (None, None) => self.add_piece(position, piece, deltas),
        }
    }

    /// Adds a piece of the one call that the older `function_call` holds.
    pub fn add_legacy(&mut self, function: &FunctionWire<'_>, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        self.add_piece(0, Piece::read(None, Some(function))?, deltas)
    }

    fn add_piece(&mut self, index: u64, piece: Piece, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        let place = self.find(index, &piece).unwrap_or_else(|| {
            self.calls.push(Call::default());
            self.calls.len() - 1
        });
        check_calls(self.calls.len())?;
        self.by_index.insert(index, place);
        self.add_to(place, piece, deltas)
    }

    fn add_to(&mut self, place: usize, piece: Piece, deltas: &mut Vec<Delta>) -> Result<(), Unreadable> {
        self.calls[place].add(piece)?;
        if self.calls[place].is_ready() {
            self.send(place, deltas);
        }
        Ok(())
    }

    /// The call that a piece belongs to; `None`: a new one.
    fn find(&self, index: u64, piece: &Piece) -> Option<usize> {
        let by_id = piece.id.as_ref().and_then(|id| self.calls.iter().position(|call| call.id == *id));
        by_id.or_else(|| {
            let place = self.by_index.get(&index).copied()?;
            let call = &self.calls[place];
            let may_get_this_id = piece.id.is_none() || (call.id.is_empty() && !call.is_sent());
            // A name behind whole arguments begins the next call.
            (may_get_this_id && (piece.name.is_none() || !call.is_whole())).then_some(place)
        })
    }

    fn send(&mut self, place: usize, deltas: &mut Vec<Delta>) {
        let Ok(index) = u32::try_from(place) else { return };
        let call = &mut self.calls[place];
        let names = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let (id, name) = if call.is_sent() { (None, None) } else { (names(&call.id), names(&call.name)) };
        let arguments = call.arguments[call.sent.unwrap_or(0)..].to_owned();
        call.sent = Some(call.arguments.len());
        deltas.push(Delta::ToolCall(ToolCallDelta { index, id, name, arguments }));
    }

    /// Passes on what is held back: the provider has finished.
    pub fn finish(&mut self, deltas: &mut Vec<Delta>) {
        for place in 0..self.calls.len() {
            let rest = self.calls[place].pairs.finish();
            self.calls[place].arguments.push_str(&rest);
            if !self.calls[place].is_sent() || !rest.is_empty() {
                self.send(place, deltas);
            }
        }
    }

    /// Whether any call has begun.
    pub const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

impl Piece {
    fn read(id: Option<String>, function: Option<&FunctionWire<'_>>) -> Result<Self, Unreadable> {
        let name = function.and_then(|function| function.name).and_then(word);
        let arguments = function.and_then(|function| function.arguments).map(wire::arguments).transpose()?;
        Ok(Self { id, name, arguments: arguments.unwrap_or_default() })
    }
}

impl Call {
    fn add(&mut self, piece: Piece) -> Result<(), Unreadable> {
        if let Some(name) = piece.name.filter(|_| !self.is_sent()) {
            // Some servers repeat the whole call in each piece; then the id comes again as well.
            let is_repeated = name == self.name && piece.id.as_ref() == Some(&self.id);
            if !is_repeated {
                self.name.push_str(&name);
            }
        }
        if let Some(id) = piece.id.filter(|_| self.id.is_empty()) {
            self.id = id;
        }
        self.arguments.push_str(&self.pairs.push(piece.arguments));
        check_name("tool call's id", &self.id)?;
        check_name("tool call's name", &self.name)?;
        Ok(())
    }

    const fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether there is something to pass on.
    fn is_ready(&self) -> bool {
        let is_known = !self.id.is_empty() && !self.name.is_empty();
        self.arguments.len() > self.sent.unwrap_or(0) && (self.is_sent() || is_known)
    }

    fn is_whole(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}
