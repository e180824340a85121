//! Whether an organization may have one more generation.

use crate::app::App;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{GenerationKey, Organization};
use crate::quota::Allowance;
use crate::verbs::generations::claim::Claim;

impl App {
    /// Refuses a new generation to an organization that has as many running as it may, or has used up its day. Running
    /// generations are counted in the index of open ones, which lags by a moment: a burst may exceed the bound by as many. A
    /// request whose `claim` repeats an earlier one is no new generation, and is admitted.
    ///
    /// # Errors
    /// [`Error::Maintenance`]; [`Error::TooManyRunning`]; [`Error::QuotaUsedUp`]; [`Error::InvalidRequest`]; [`Error::Aws`].
    pub(super) async fn admit(
        &self,
        organization: &Organization,
        request: &Request,
        claim: &Claim,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Option<Allowance>, Error> {
        let refused = match self.check_quota(organization, request, now_ms).await {
            Err(refused @ (Error::TooManyRunning(_) | Error::QuotaUsedUp(_) | Error::Maintenance(_))) => refused,
            admitted => return admitted,
        };
        if let Some(generation) = self.repeated(claim, organization, fingerprint, now_ms).await?
            && self.records.find(&GenerationKey::new(organization.clone(), generation)).await?.is_some()
        {
            return Ok(None);
        }
        Err(refused)
    }

    async fn check_quota(&self, organization: &Organization, request: &Request, now_ms: i64) -> Result<Option<Allowance>, Error> {
        self.check_maintenance(organization).await?;
        let quota = self.quota(organization).await?;
        if let Some(most) = quota.running
            && self.records.running(organization, most).await? >= most
        {
            return Err(Error::TooManyRunning(most));
        }
        self.allowance(organization, &quota, request, now_ms).await
    }
}
