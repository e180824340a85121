//! Places: how many runs of an organization are at work at once, and which ones wait, in the order in which they came.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// The places of an organization's runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The runs that have one.
    #[serde(default)]
    pub running: Vec<RunId>,
    /// The runs that wait for one, the first first.
    #[serde(default)]
    pub waiting: Vec<RunId>,
    /// Counts the changes: each is written where the one before it is stored.
    #[serde(default)]
    pub revision: u64,
}

impl Places {
    /// A new run takes a free place, of `most`, or waits behind those that wait. One that is known already stays where it is.
    pub fn enter(&mut self, run: &RunId, most: u32) {
        if !self.running.contains(run) && !self.waiting.contains(run) {
            self.waiting.push(run.clone());
        }
        self.fill(most);
    }

    /// A run that has ended leaves its place, or those that wait.
    pub fn leave(&mut self, run: &RunId, most: u32) {
        self.running.retain(|other| other != run);
        self.waiting.retain(|other| other != run);
        self.fill(most);
    }

    /// Gives free places to those that wait.
    pub fn fill(&mut self, most: u32) {
        let free = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(self.running.len()).min(self.waiting.len());
        self.running.extend(self.waiting.drain(..free));
    }

    /// Whether a run has a place.
    #[must_use]
    pub fn has(&self, run: &RunId) -> bool {
        self.running.contains(run)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Runs that enter and leave, some twice, while the number of places changes.
        #[test]
        fn places_are_given_in_order(acts in prop::collection::vec((0_usize..12, any::<bool>(), 1_u32..5), 1..80)) {
            let runs: Vec<RunId> = (0..12).map(RunId::new).collect();
            let (mut places, mut came, mut gone) = (Places::default(), Vec::new(), Vec::new());
            for (index, enters, most) in acts {
                let run = &runs[index];
                if enters && !gone.contains(run) {
                    places.enter(run, most);
                    if !came.contains(run) {
                        came.push(run.clone());
                    }
                } else {
                    places.leave(run, most);
                    came.retain(|other| other != run);
                    gone.push(run.clone());
                }
                // Nobody is lost, nobody is there twice, and nobody overtakes.
                let all: Vec<RunId> = places.running.iter().chain(&places.waiting).cloned().collect();
                prop_assert_eq!(&all, &came);
                prop_assert!(places.waiting.is_empty() || places.running.len() >= most as usize);
            }
        }
    }
}
