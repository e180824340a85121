//! Whether an organization may have one more generation running.

use crate::app::App;
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey, Organization};

impl App {
    /// Refuses a new generation to an organization that has `most` running. Nothing is counted but the index of what is open,
    /// which lags by a moment: a burst may overshoot by what it has not seen yet. `repeated` is asked for only then: the
    /// generation that the request would repeat, which is no new one.
    ///
    /// # Errors
    /// [`Error::TooManyRunning`]; [`Error::Aws`].
    pub(super) async fn admit(
        &self,
        organization: &Organization,
        most: u64,
        repeated: impl Future<Output = Result<Option<GenerationId>, Error>>,
    ) -> Result<(), Error> {
        if self.records.running(organization, most).await? < most {
            return Ok(());
        }
        if let Some(generation) = repeated.await?
            && self.records.find(&GenerationKey::new(organization.clone(), generation)).await?.is_some()
        {
            return Ok(());
        }
        Err(Error::TooManyRunning(most))
    }
}
