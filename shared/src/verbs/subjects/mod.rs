//! The verbs of subjects and their versions.

pub(in crate::verbs) mod compare;
pub(in crate::verbs) mod head;
mod regenerate;
pub(in crate::verbs) mod retention;
pub(in crate::verbs) mod settle;
pub(in crate::verbs) mod versions;

use tokio::time::sleep;

use crate::error::Error;
use crate::ids::SubjectKey;
use crate::retry::{self, BackoffBuilder, ExponentialBackoff};

/// The tries to change a subject.
pub(in crate::verbs) struct Tries<'a> {
    key: &'a SubjectKey,
    waits: ExponentialBackoff,
}

impl<'a> Tries<'a> {
    pub(in crate::verbs) fn new(key: &'a SubjectKey) -> Self {
        Self { key, waits: retry::overtaken().build() }
    }

    /// Waits until the next try, because others have changed the subject.
    ///
    /// # Errors
    /// [`Error::SubjectContended`]: there are no more.
    pub(in crate::verbs) async fn again(&mut self) -> Result<(), Error> {
        sleep(self.waits.next().ok_or_else(|| Error::SubjectContended(self.key.subject.to_string()))?).await;
        Ok(())
    }
}
