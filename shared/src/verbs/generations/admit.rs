//! Whether an organization may have one more generation.

use crate::app::App;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::quota::Allowance;

impl App {
    /// Refuses a new generation to an organization that has as many running as it may, or has used up its day. What runs is
    /// counted in the index of what is open, which lags by a moment: a burst may overshoot by what it has not seen yet.
    /// `repeated` is asked for only where something is used up: the generation that the request would repeat, which is no new
    /// one.
    ///
    /// # Errors
    /// [`Error::TooManyRunning`]; [`Error::QuotaUsedUp`]; [`Error::InvalidRequest`]; [`Error::Aws`].
    pub(in crate::verbs) async fn admit(
        &self,
        organization: &Organization,
        request: &Request,
        now_ms: i64,
        repeated: impl Future<Output = Result<Option<GenerationId>, Error>>,
    ) -> Result<Option<Allowance>, Error> {
        let refused = match self.look(organization, request, now_ms).await {
            Err(refused @ (Error::TooManyRunning(_) | Error::QuotaUsedUp(_))) => refused,
            looked => return looked,
        };
        if let Some(generation) = repeated.await?
            && self.records.find(&GenerationKey::new(organization.clone(), generation)).await?.is_some()
        {
            return Ok(None);
        }
        Err(refused)
    }

    async fn look(&self, organization: &Organization, request: &Request, now_ms: i64) -> Result<Option<Allowance>, Error> {
        let quota = self.quota(organization).await?;
        if let Some(most) = quota.running
            && self.records.running(organization, most).await? >= most
        {
            return Err(Error::TooManyRunning(most));
        }
        self.allowance(organization, &quota, request, now_ms).await
    }
}
