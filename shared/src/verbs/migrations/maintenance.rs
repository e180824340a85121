//! The maintenance switch: while a migration runs, an organization starts nothing new, if an operator wants that.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;
use crate::clock::millis;
use crate::error::Error;
use crate::ids::Organization;
use crate::limits::MAINTENANCE_RETRY_AFTER_MAX;

/// How long the switch lasts without being renewed: that of a process that was killed ends by itself.
const LASTS: Duration = Duration::from_mins(5);
const RENEWED: Duration = Duration::from_mins(1);

/// That nothing new is started while a run writes or is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Organizations besides those that have objects.
    pub organizations: Vec<Organization>,
    /// How long to wait until every function knows it: [`QUOTA_KEPT`](crate::limits::QUOTA_KEPT).
    pub wait: Duration,
}

/// The switch, while it is set.
struct Switch {
    app: App,
    organizations: Vec<Organization>,
    renewing: AbortOnDropHandle<()>,
}

impl App {
    /// Does some work of whoever holds the lock of migrations, under maintenance where that is wanted. The switch goes with the work, however
    /// that ends.
    pub(super) async fn in_maintenance<T>(
        &self,
        wanted: Option<&Maintenance>,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let Some(wanted) = wanted else { return work.await };
        let mut organizations = self.organizations().await?;
        organizations.extend(wanted.organizations.iter().cloned());
        organizations.sort_unstable();
        organizations.dedup();
        let renewing = AbortOnDropHandle::new(tokio::spawn(renew(self.clone(), organizations.clone())));
        let switch = Switch { app: self.clone(), organizations, renewing };
        let result = match set(self, &switch.organizations, true).await {
            Ok(()) => {
                sleep(wanted.wait).await;
                work.await
            }
            Err(error) => Err(error),
        };
        let ended = switch.end().await;
        let value = result?;
        ended.map(|()| value)
    }
}

impl Switch {
    async fn end(self) -> Result<(), Error> {
        self.renewing.abort();
        set(&self.app, &self.organizations, false).await
    }
}

async fn set(app: &App, organizations: &[Organization], is_on: bool) -> Result<(), Error> {
    for organization in organizations {
        app.set_maintenance(organization, is_on.then(|| app.maintenance_end(LASTS))).await?;
    }
    Ok(())
}

async fn renew(app: App, organizations: Vec<Organization>) {
    loop {
        sleep(RENEWED).await;
        if let Err(error) = set(&app, &organizations, true).await {
            tracing::warn!(%error, "The maintenance switch could not be renewed.");
        }
    }
}

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
