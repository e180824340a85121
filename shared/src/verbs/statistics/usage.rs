//! `usage`: what the generations of an organization came to.

use jiff::civil::Date;

use crate::app::App;
use crate::error::Error;
use crate::ids::Organization;
use crate::quota;
use crate::statistics::report::{UsageQuery, UsageReport};

impl App {
    /// The statistics of an organization's generations that ended from one day to another, UTC, divided by some of day, provider and model.
    /// What ended in the last minutes may not be among them yet.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], [`Error::Aws`].
    pub async fn usage(
        &self,
        organization: &Organization,
        from: Option<&str>,
        to: Option<&str>,
        by: Option<&str>,
    ) -> Result<UsageReport, Error> {
        let today: Date = quota::day(self.clock.now_ms()).0.parse().unwrap_or(Date::MAX);
        let query = UsageQuery::of(from, to, by, today)?;
        Ok(self.records.statistics(organization, query).await?.report())
    }
}
