//! A batch over a store that may lose, repeat, delay and interrupt everything.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::batches::Counts;

/// What the world does next. Numbers are dice: each is taken modulo what there is.
#[derive(Debug, Clone)]
enum Act {
    /// The log of a running generation ends; then it gets its outcome.
    End {
        which: usize,
        status: u8,
        is_retryable: bool,
    },
    /// News of some generations are delivered, old ones too, to one that may have read the store a while ago.
    Deliver {
        which: Vec<usize>,
        is_log_end: bool,
        has_old_view: bool,
        crash: Crash,
    },
    /// The sweep: feeds what has ended and was never told, and starts what has a place.
    Sweep {
        crash: Crash,
    },
    Resize(u32),
    Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Crash {
    No,
    /// Nothing of the step is stored.
    Before,
    /// The step is stored, and whoever took it does not learn of it.
    After,
}

#[derive(Debug, Clone)]
struct World {
    progress: Progress,
    items: Vec<Item>,
    /// Of each generation: its item; and once it has an outcome, that.
    generations: BTreeMap<GenerationId, (u32, Option<(Status, bool)>)>,
    old: Option<(Progress, Vec<Item>)>,
    ends: u32,
    minted: i64,
}

impl World {
    fn new(items: u32, skipped: &[bool], concurrency: u32, tries: u32, max_failed: Option<u32>) -> Self {
        let status = |index: u32| if skipped[index as usize] { ItemStatus::Skipped } else { ItemStatus::Pending };
        let items: Vec<Item> =
            (0..items).map(|index| Item { index, status: status(index), generation: None, tries: 0 }).collect();
        let mut counts = Counts::default();
        for item in &items {
            *counts.of(item.status) += 1;
        }
        let progress = Progress {
            status: BatchStatus::Pending,
            counts,
            ending: Vec::new(),
            next: 0,
            again: Vec::new(),
            concurrency,
            tries,
            max_failed,
            revision: 0,
        };
        Self { progress, items, generations: BTreeMap::new(), old: None, ends: 0, minted: 1_700_000_000_000 }
    }

    /// One who reads, plans and writes.
    fn settle(&mut self, told: &[(GenerationId, News)], has_old_view: bool, crash: Crash) -> bool {
        let (progress, items) = match self.old.take().filter(|_| has_old_view) {
            Some(old) => old,
            None => (self.progress.clone(), self.items.clone()),
        };
        let news: Vec<(Item, GenerationId, News)> = told
            .iter()
            .map(|(generation, news)| (items[self.generations[generation].0 as usize].clone(), generation.clone(), *news))
            .collect();
        let waiting: Vec<Item> = progress
            .again
            .iter()
            .copied()
            .chain(progress.next..(progress.next + 5).min(u32::try_from(items.len()).unwrap()))
            .map(|index| items[index as usize].clone())
            .collect();
        let mut minted = self.minted;
        let mint = || {
            minted += 1;
            GenerationId::first_at(minted)
        };
        let Some(step) = step(&progress, &news, &waiting, (3, &[]), mint) else { return false };
        if crash == Crash::Before {
            return false;
        }
        // The conditions of the transaction.
        let is_stored = self.progress.revision == progress.revision
            && step.items.iter().all(|(from, _)| self.items[from.index as usize] == *from);
        self.minted = minted;
        if is_stored {
            self.apply(step.clone());
        }
        is_stored && step.has_more && crash == Crash::No
    }

    fn apply(&mut self, step: Step) {
        self.old = Some((self.progress.clone(), self.items.clone()));
        assert!(!self.progress.status.is_terminal(), "a terminal status never flips");
        assert_eq!(step.progress.revision, self.progress.revision + 1);
        for item in &step.started {
            let generation = item.generation.clone().unwrap();
            assert!(self.generations.insert(generation, (item.index, None)).is_none());
        }
        for (from, to) in step.items {
            assert!(!from.status.is_terminal(), "a terminal status never flips");
            assert!(to.tries <= self.progress.tries);
            let place = to.index as usize;
            self.items[place] = to;
        }
        if !step.started.is_empty() {
            let is_ending = |item: &&Item| step.progress.ending.contains(&item.index);
            let writing = self.items.iter().filter(|item| item.status == ItemStatus::Running && !is_ending(item)).count();
            assert!(writing <= step.progress.concurrency as usize, "{writing} of {}", step.progress.concurrency);
        }
        self.ends += u32::from(step.progress.status.is_terminal());
        self.progress = step.progress;
        self.check();
    }

    fn check(&self) {
        let mut counts = Counts::default();
        for item in &self.items {
            *counts.of(item.status) += 1;
        }
        assert_eq!(counts, self.progress.counts);
        assert_eq!(counts.total() as usize, self.items.len());
        let ending = &self.progress.ending;
        assert!(ending.iter().all(|index| self.items[*index as usize].status == ItemStatus::Running), "{ending:?}");
        assert_eq!(ending.iter().collect::<BTreeSet<_>>().len(), ending.len());
        for item in &self.items {
            let outcome = item.generation.as_ref().and_then(|generation| self.generations[generation].1);
            match item.status {
                ItemStatus::Completed => assert_eq!(outcome.unwrap().0, Status::Completed),
                ItemStatus::Failed => assert!(!matches!(outcome.unwrap().0, Status::Completed | Status::Cancelled)),
                _ => {}
            }
        }
    }

    fn live(&self) -> Vec<GenerationId> {
        self.generations.iter().filter(|(_, (_, outcome))| outcome.is_none()).map(|(id, _)| id.clone()).collect()
    }

    fn news(&self, generation: &GenerationId, is_log_end: bool) -> Option<(GenerationId, News)> {
        let (status, is_retryable) = self.generations[generation].1?;
        let news = if is_log_end { News::LogEnded } else { News::Ended { status, is_retryable } };
        Some((generation.clone(), news))
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::End { which, status, is_retryable } => {
                let live = self.live();
                let Some(generation) = live.get(which % live.len().max(1)).cloned() else { return };
                let status = [Status::Completed, Status::Completed, Status::Failed, Status::Incomplete, Status::Cancelled]
                    [usize::from(*status) % 5];
                self.generations.get_mut(&generation).unwrap().1 = Some((status, *is_retryable && status == Status::Failed));
            }
            Act::Deliver { which, is_log_end, has_old_view, crash } => {
                let all: Vec<GenerationId> = self.generations.keys().cloned().collect();
                let chosen = which.iter().filter_map(|which| all.get(which % all.len().max(1)));
                let told: Vec<_> = chosen.filter_map(|generation| self.news(generation, *is_log_end)).collect();
                let has_more = self.settle(&told, *has_old_view, *crash);
                if has_more {
                    self.settle(&[], false, Crash::No);
                }
            }
            Act::Sweep { crash } => {
                let running = self.items.iter().filter(|item| item.status == ItemStatus::Running);
                let told: Vec<_> = running.filter_map(|item| self.news(item.generation.as_ref().unwrap(), false)).collect();
                while self.settle(&told, false, *crash) {}
            }
            Act::Resize(concurrency) => {
                if let Some(progress) = resize(&self.progress, *concurrency) {
                    self.progress = progress;
                }
            }
            Act::Cancel => {
                if let Some(progress) = cancel(&self.progress) {
                    self.progress = progress;
                }
            }
        }
    }

    /// What always comes in the end: every generation ends, and sweeps come.
    fn settle_down(&mut self) {
        for _ in 0..10 * self.items.len() + 10 {
            for generation in self.live() {
                self.generations.get_mut(&generation).unwrap().1 = Some((Status::Completed, false));
            }
            self.act(&Act::Sweep { crash: Crash::No });
        }
    }
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![3 => Just(Crash::No), 1 => Just(Crash::Before), 1 => Just(Crash::After)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (any::<usize>(), any::<u8>(), any::<bool>())
            .prop_map(|(which, status, is_retryable)| Act::End { which, status, is_retryable }),
        6 => (proptest::collection::vec(any::<usize>(), 0..6), any::<bool>(), any::<bool>(), crash())
            .prop_map(|(which, is_log_end, has_old_view, crash)| Act::Deliver { which, is_log_end, has_old_view, crash }),
        2 => crash().prop_map(|crash| Act::Sweep { crash }),
        1 => (1_u32..8).prop_map(Act::Resize),
        1 => Just(Act::Cancel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn counts_sum_up_and_every_batch_ends_once(
        skipped in proptest::collection::vec(proptest::bool::weighted(0.2), 1..12),
        concurrency in 1_u32..6,
        tries in 1_u32..4,
        max_failed in proptest::option::of(0_u32..4),
        acts in proptest::collection::vec(act(), 0..40),
    ) {
        let mut world = World::new(u32::try_from(skipped.len()).unwrap(), &skipped, concurrency, tries, max_failed);
        world.settle(&[], false, Crash::No);
        for act in &acts {
            world.act(act);
        }
        let was_cancelled = world.progress.status == BatchStatus::Cancelling;
        world.settle_down();
        prop_assert!(world.progress.status.is_terminal(), "{world:?}");
        prop_assert_eq!(world.ends, 1);
        prop_assert!(!was_cancelled || world.progress.status != BatchStatus::Completed);
        prop_assert_eq!(&world.progress.again, &Vec::<u32>::new());
        // Whatever is told afterwards changes nothing.
        let before = world.progress.clone();
        let all: Vec<_> = world.generations.keys().cloned().filter_map(|id| world.news(&id, false)).collect();
        world.settle(&all, false, Crash::No);
        prop_assert_eq!(world.progress, before);
    }
}
