//! The text that waits in all writers of a process, which share one bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits;

/// The bytes that wait in all writers. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<AtomicUsize>);

/// What waits in one writer; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct OwnWaiting {
    all: Waiting,
    bytes: usize,
}

/// Whether a writer in which `own` bytes wait, of `all` that wait in its process, may read more from its provider.
#[must_use]
pub(crate) const fn has_room(own: usize, all: usize) -> bool {
    own < limits::WAITING_BYTES_OF_EACH || (own < limits::WAITING_BYTES_MAX && all < limits::WAITING_BYTES_OF_ALL_MAX)
}

impl Waiting {
    /// Of a writer in which nothing waits.
    pub(crate) fn own(&self) -> OwnWaiting {
        OwnWaiting { all: self.clone(), bytes: 0 }
    }
}

impl OwnWaiting {
    /// Counts that `bytes` wait now, and returns whether more may be read.
    pub fn has_room(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let all = if bytes >= before {
            self.all.0.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before)
        } else {
            self.all.0.fetch_sub(before - bytes, Ordering::Relaxed) - (before - bytes)
        };
        has_room(bytes, all)
    }
}

impl Drop for OwnWaiting {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The largest piece that a provider's stream gives at once.
    const PIECE: usize = 100_000;

    proptest! {
        /// Writers read pieces while they may, and store what waits, in any order.
        #[test]
        fn bound_holds_and_nobody_is_held_up(steps in prop::collection::vec((0_usize..8, 0_usize..PIECE, any::<bool>()), 1..2_000)) {
            let waiting = Waiting::default();
            let mut writers: Vec<_> = (0..8).map(|_| (waiting.own(), 0)).collect();
            for (number, bytes, stores) in steps {
                let (own, held) = &mut writers[number];
                if stores {
                    *held = 0;
                }
                let may_read = own.has_room(*held);
                prop_assert!(may_read || *held >= limits::WAITING_BYTES_OF_EACH);
                if may_read {
                    *held += bytes;
                }
                own.has_room(*held);
                let all: usize = writers.iter().map(|(_, held)| held).sum();
                prop_assert_eq!(all, waiting.0.load(Ordering::Relaxed));
                prop_assert!(all <= limits::WAITING_BYTES_OF_ALL_MAX + 8 * (limits::WAITING_BYTES_OF_EACH + PIECE));
            }
            drop(writers);
            prop_assert_eq!(waiting.0.load(Ordering::Relaxed), 0);
        }
    }
}
