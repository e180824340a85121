//! The maintenance switch of a run: set before it, renewed while it writes, and taken away after it. A process that is killed leaves it,
//! and it ends by itself.

use std::time::Duration;

use longhand::limits::QUOTA_KEPT;
use longhand::{App, Organization};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long the switch lasts without being renewed.
const LASTS: Duration = Duration::from_mins(5);
const RENEWED: Duration = Duration::from_mins(1);

/// The switch, while it is set; or none.
pub struct Maintenance(Option<(App, Vec<Organization>, JoinHandle<()>)>);

impl Maintenance {
    /// Sets it for all organizations, and waits until every function knows it.
    pub async fn begin(app: &App, is_wanted: bool, known: Vec<Organization>) -> anyhow::Result<Self> {
        if !is_wanted {
            return Ok(Self(None));
        }
        let mut organizations = app.organizations().await?;
        organizations.extend(known);
        organizations.sort_unstable();
        organizations.dedup();
        set(app, &organizations, true).await?;
        eprintln!("new starts are refused; waiting {} s until every function knows it", QUOTA_KEPT.as_secs());
        sleep(QUOTA_KEPT).await;
        let renewing = tokio::spawn(renew(app.clone(), organizations.clone()));
        Ok(Self(Some((app.clone(), organizations, renewing))))
    }

    /// Takes it away.
    pub async fn end(self) {
        let Some((app, organizations, renewing)) = self.0 else { return };
        renewing.abort();
        if let Err(error) = set(&app, &organizations, false).await {
            eprintln!("error: new starts are refused for {} s more: {error}", LASTS.as_secs());
        }
    }
}

async fn set(app: &App, organizations: &[Organization], is_on: bool) -> Result<(), longhand::Error> {
    for organization in organizations {
        app.set_maintenance(organization, is_on.then(|| app.maintenance_end(LASTS))).await?;
    }
    Ok(())
}

async fn renew(app: App, organizations: Vec<Organization>) {
    loop {
        sleep(RENEWED).await;
        if let Err(error) = set(&app, &organizations, true).await {
            eprintln!("error: the maintenance switch could not be renewed: {error}");
        }
    }
}
