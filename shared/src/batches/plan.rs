//! The one step of a batch: counts what has ended, and says what is started in its place.
//!
//! The rules know neither a clock nor a store. A step is written as one transaction: each item on the condition that it is as it was read,
//! the header on the condition of its revision. So a step that is repeated, late, or beside another one changes nothing, or is planned
//! again from what is stored then.

use std::collections::BTreeSet;

use super::{BatchStatus, Item, ItemStatus, News, Progress};
use crate::generation::Status;
use crate::ids::GenerationId;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The items that change: as they were read, and what they become; each once.
    pub items: Vec<(Item, Item)>,
    /// Those of them that are started: the generations that they name are to be created.
    pub started: Vec<Item>,
    /// What is counted then.
    pub progress: Progress,
    /// Another step is to follow: more can be started, or is to be cancelled.
    pub has_more: bool,
}

/// Plans the next step of a batch; `None`: nothing changes.
///
/// `news` are of items as they are stored. `waiting` are items as they are stored: those of `progress.again`, and the next ones from
/// `progress.next` on, in their order and without gaps. At most `starts_max` of them are started, or cancelled where the batch is; those
/// whose index is in `gone` cannot be started, and fail.
pub fn step(
    progress: &Progress,
    news: &[(Item, GenerationId, News)],
    waiting: &[Item],
    (starts_max, gone): (usize, &[u32]),
    mut mint: impl FnMut() -> GenerationId,
) -> Option<Step> {
    let mut step = Step { items: Vec::new(), started: Vec::new(), progress: progress.clone(), has_more: false };
    let mut counted = BTreeSet::new();
    for (item, generation, news) in news {
        // What is told of an earlier try, or twice, was counted before.
        let is_of_this_try = item.status == ItemStatus::Running && item.generation.as_ref() == Some(generation);
        if is_of_this_try
            && !counted.contains(&item.index)
            && let Some(next) = count_news(item, *news, &mut step.progress)
        {
            counted.insert(item.index);
            step.items.push((item.clone(), next));
        }
    }
    if step.progress.status == BatchStatus::Running && has_too_many_failed(&step.progress) {
        step.progress.status = BatchStatus::Cancelling;
    }
    step.fill_places(waiting, (starts_max, gone), &mut mint);
    if step.progress.status == BatchStatus::Running && has_too_many_failed(&step.progress) {
        step.progress.status = BatchStatus::Cancelling;
        step.has_more = step.progress.counts.pending > 0;
    }
    step.finish();
    // An item that is tried again at once leaves the counts as they were.
    (!step.items.is_empty() || step.progress != *progress).then(|| {
        step.progress.revision += 1;
        step
    })
}

/// What an item becomes by the news of its generation, which is counted; `None`: it stays as it is.
fn count_news(item: &Item, news: News, progress: &mut Progress) -> Option<Item> {
    if news == News::LogEnded {
        if !progress.ending.contains(&item.index) {
            progress.ending.push(item.index);
        }
        return None;
    }
    progress.ending.retain(|index| *index != item.index);
    let (status, is_retryable) = match news {
        News::Ended { status, is_retryable } => (status, is_retryable),
        News::LogEnded | News::Deleted => (Status::Failed, false),
    };
    let to = match status {
        Status::Completed => ItemStatus::Completed,
        Status::Cancelled => ItemStatus::Cancelled,
        Status::Pending | Status::Running | Status::Incomplete | Status::Failed => {
            let goes_on = matches!(progress.status, BatchStatus::Pending | BatchStatus::Running);
            if is_retryable && goes_on && item.tries < progress.tries { ItemStatus::Pending } else { ItemStatus::Failed }
        }
    };
    progress.counts.move_item(ItemStatus::Running, to);
    if to == ItemStatus::Pending {
        progress.again.push(item.index);
    }
    Some(Item { status: to, ..item.clone() })
}

fn has_too_many_failed(progress: &Progress) -> bool {
    progress.max_failed.is_some_and(|most| progress.counts.failed > most)
}

/// Places that are free.
#[must_use]
pub fn free_places(progress: &Progress) -> u32 {
    let ending = u32::try_from(progress.ending.len()).unwrap_or(u32::MAX);
    progress.concurrency.saturating_sub(progress.counts.running.saturating_sub(ending))
}

impl Step {
    /// Starts what waits, or cancels it.
    fn fill_places(&mut self, waiting: &[Item], (most, gone): (usize, &[u32]), mint: &mut impl FnMut() -> GenerationId) {
        let is_cancelling = self.progress.status == BatchStatus::Cancelling;
        if self.progress.status.is_terminal() {
            return;
        }
        let (mut left, mut following) = (most, waiting.iter());
        let (mut again, mut kept) = (std::mem::take(&mut self.progress.again).into_iter(), Vec::new());
        while left > 0 && (is_cancelling || free_places(&self.progress) > 0) {
            let index = match again.next() {
                // Not among what was read: a later step has it.
                Some(index) if self.item(index, waiting).is_none() => {
                    kept.push(index);
                    continue;
                }
                Some(index) => index,
                None => match following.find(|item| item.index >= self.progress.next) {
                    Some(item) => {
                        self.progress.next = item.index + 1;
                        item.index
                    }
                    None => break,
                },
            };
            let item = self.item(index, waiting).filter(|item| item.status == ItemStatus::Pending).cloned();
            let Some(item) = item else { continue };
            let to = if is_cancelling {
                Item { status: ItemStatus::Cancelled, ..item }
            } else if gone.contains(&item.index) {
                Item { status: ItemStatus::Failed, ..item }
            } else {
                let started = Item { status: ItemStatus::Running, generation: Some(mint()), tries: item.tries + 1, ..item };
                self.started.push(started.clone());
                started
            };
            self.progress.counts.move_item(ItemStatus::Pending, to.status);
            self.change(to, waiting);
            left -= 1;
        }
        self.progress.again = kept.into_iter().chain(again).collect();
        if !self.started.is_empty() {
            self.progress.status = BatchStatus::Running;
        }
        self.has_more = self.progress.counts.pending > 0 && (is_cancelling || free_places(&self.progress) > 0);
    }

    /// An item as it is by now.
    fn item<'a>(&'a self, index: u32, waiting: &'a [Item]) -> Option<&'a Item> {
        self.items.iter().map(|(_, to)| to).chain(waiting).find(|item| item.index == index)
    }

    fn change(&mut self, to: Item, waiting: &[Item]) {
        if let Some((_, changed)) = self.items.iter_mut().find(|(_, changed)| changed.index == to.index) {
            *changed = to;
        } else if let Some(from) = waiting.iter().find(|item| item.index == to.index) {
            self.items.push((from.clone(), to));
        }
    }

    /// The end, once every item has ended.
    fn finish(&mut self) {
        let counts = &self.progress.counts;
        if self.progress.status.is_terminal() || counts.pending + counts.running > 0 {
            return;
        }
        self.progress.status = match self.progress.status {
            BatchStatus::Cancelling if has_too_many_failed(&self.progress) => BatchStatus::Failed,
            BatchStatus::Cancelling => BatchStatus::Cancelled,
            _ if has_too_many_failed(&self.progress) => BatchStatus::Failed,
            _ => BatchStatus::Completed,
        };
    }
}

/// A batch that the caller cancels; `None`: it has ended, or is being cancelled. A step follows.
#[must_use]
pub fn cancel(progress: &Progress) -> Option<Progress> {
    let goes_on = matches!(progress.status, BatchStatus::Pending | BatchStatus::Running);
    goes_on.then(|| Progress { status: BatchStatus::Cancelling, revision: progress.revision + 1, ..progress.clone() })
}

/// A batch with another number of places; `None`: it has ended, or has as many. A step follows.
#[must_use]
pub fn resize(progress: &Progress, concurrency: u32) -> Option<Progress> {
    let changes = !progress.status.is_terminal() && progress.concurrency != concurrency;
    changes.then(|| Progress { concurrency, revision: progress.revision + 1, ..progress.clone() })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
