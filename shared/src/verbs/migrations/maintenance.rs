//! The maintenance switch: while a migration runs, an organization starts nothing new, if an operator wants that.

use std::time::Duration;

use crate::app::App;
use crate::clock::millis;
use crate::error::Error;
use crate::ids::Organization;
use crate::limits::MAINTENANCE_RETRY_AFTER_MAX;

impl App {
    /// Refuses new starts of an organization until `ends_ms`, in milliseconds since the epoch; `None`: takes them again. Functions know it
    /// within [`QUOTA_KEPT`](crate::limits::QUOTA_KEPT).
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn set_maintenance(&self, organization: &Organization, ends_ms: Option<i64>) -> Result<(), Error> {
        self.records.put_maintenance(organization, ends_ms).await?;
        self.settings.lock().await.remove(organization);
        Ok(())
    }

    /// Whether an organization may start something new.
    ///
    /// # Errors
    /// [`Error::Maintenance`]; [`Error::Aws`].
    pub(in crate::verbs) async fn check_maintenance(&self, organization: &Organization) -> Result<(), Error> {
        let Some(ends_ms) = self.settings(organization).await?.maintenance_until_ms else { return Ok(()) };
        let left = Duration::from_millis(u64::try_from(ends_ms - self.clock.now_ms()).unwrap_or(0));
        if left.is_zero() {
            return Ok(());
        }
        Err(Error::Maintenance(left.clamp(Duration::from_secs(1), MAINTENANCE_RETRY_AFTER_MAX)))
    }

    /// When a switch that is set now for this long ends.
    #[must_use]
    pub fn maintenance_end(&self, lasts: Duration) -> i64 {
        self.clock.now_ms().saturating_add(millis(lasts))
    }
}
