//! Quotas: what an organization may use, and whether there is enough left for one more generation.

use std::time::Duration;

use serde::Serialize;

use crate::app::App;
use crate::aws::Settings;
use crate::clock::millis;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::Organization;
use crate::limits::{QUOTA_KEPT, QUOTAS_KEPT_MAX};
use crate::quota::{self, Allowance, DayUsage, Quota, UsedUp};

/// An organization's quotas, and its usage of today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuotaView {
    /// The organization.
    pub organization: Organization,
    /// Its own quota; the deployment's defaults apply to what it leaves out.
    pub own: Quota,
    /// The quota that applies.
    pub quota: Quota,
    /// The day, UTC.
    pub day: String,
    /// Its usage of the day, counted only where days are bounded.
    pub used: DayUsage,
}

impl App {
    /// The quota that applies to an organization: its own, completed by the deployment's. Cached for a minute.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn quota(&self, organization: &Organization) -> Result<Quota, Error> {
        Ok(self.settings(organization).await?.quota.or(self.config.quota))
    }

    /// What an organization has set. Cached for a minute.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn settings(&self, organization: &Organization) -> Result<Settings, Error> {
        let now = self.clock.now_ms();
        let cached = self.settings.lock().await.get(organization).filter(|(until, _)| now < *until).cloned();
        if let Some((_, settings)) = cached {
            return Ok(settings);
        }
        let own = self.records.settings(organization).await?;
        let mut settings = self.settings.lock().await;
        if settings.len() >= QUOTAS_KEPT_MAX {
            settings.clear();
        }
        settings.insert(organization.clone(), (now.saturating_add(millis(QUOTA_KEPT)), own.clone()));
        Ok(own)
    }

    /// Sets an organization's own quota, which every function applies within a minute.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn set_quota(&self, organization: &Organization, quota: Quota) -> Result<(), Error> {
        self.records.put_quota(organization, quota).await?;
        self.settings.lock().await.remove(organization);
        tracing::info!(%organization, ?quota, "A quota was set.");
        Ok(())
    }

    /// An organization's quota, and its usage of today.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn quota_view(&self, organization: &Organization) -> Result<QuotaView, Error> {
        let own = self.records.settings(organization).await?.quota;
        let (day, _) = quota::day(self.clock.now_ms());
        let used = self.records.day_usage(organization, &day).await?;
        Ok(QuotaView { organization: organization.clone(), own, quota: own.or(self.config.quota), day, used })
    }

    /// What is left of today for one more generation; `None`: there is no bound, and it is not counted.
    ///
    /// # Errors
    /// [`Error::QuotaUsedUp`]; [`Error::InvalidRequest`] for a model without a known price, where spend is bounded;
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn allowance(
        &self,
        organization: &Organization,
        quota: &Quota,
        request: &Request,
        now_ms: i64,
    ) -> Result<Option<Allowance>, Error> {
        // A used-up day is told first: another model does not help.
        let allowance = self.day_allowance(organization, quota, now_ms).await?;
        if quota.spend_per_day.is_some() && self.config.prices.find(&request.provider, &request.model).is_none() {
            let expected = "must be one whose price is known (LONGHAND_PRICES), because this organization has a spend limit";
            return Err(Error::invalid("/model", expected));
        }
        Ok(allowance)
    }

    /// What is left of today for more generations of whatever request; `None` as for [`Self::allowance`].
    ///
    /// # Errors
    /// [`Error::QuotaUsedUp`]; [`Error::Aws`].
    pub(in crate::verbs) async fn day_allowance(
        &self,
        organization: &Organization,
        quota: &Quota,
        now_ms: i64,
    ) -> Result<Option<Allowance>, Error> {
        if !quota.counts_days() {
            return Ok(None);
        }
        let (day, seconds_left) = quota::day(now_ms);
        let used = self.records.day_usage(organization, &day).await?;
        if let Some((what, most)) = used.used_up(quota) {
            return Err(Error::QuotaUsedUp(UsedUp { what, most, retry_after: Duration::from_secs(seconds_left) }));
        }
        Ok(Some(Allowance {
            day,
            output_bytes_left: quota.output_bytes_per_day.map(|most| most - used.output_bytes),
            spend_left: quota.spend_per_day.map(|most| most - used.spend),
            generations_per_day: quota.generations_per_day,
            generations_left: quota.generations_per_day.map(|most| most - used.generations),
        }))
    }
}
