//! Migrations: changes of stored data by an operator's command, planned before they are written, resumed where they were interrupted, and
//! undone.
//!
//! What is changed is told by a [`DataChange`]; everything else is the same for all of them.

pub(in crate::verbs) mod accepted_prompt;
mod lock;
pub(in crate::verbs) mod maintenance;
pub(in crate::verbs) mod run;
pub(in crate::verbs) mod stratos;
pub(in crate::verbs) mod undo;
mod view;

use async_trait::async_trait;

pub use self::view::View;
use crate::app::App;
use crate::aws::{Blobs, TableBackup, TableFacts};
use crate::error::Error;
use crate::ids::SubjectKey;
use crate::migrations::plan::Plan;
use crate::migrations::{Planned, Verdict};

/// A change of stored data, unit by unit.
#[async_trait]
pub trait DataChange: Send + Sync {
    /// Its name, such as `backfill-accepted-prompt`.
    fn name(&self) -> &'static str;

    /// Its source and settings. A run is resumed with the same.
    fn about(&self) -> String;

    /// The next units behind a cursor, in their order.
    ///
    /// # Errors
    /// [`Error::Aws`]; [`Error::Configuration`] where the source cannot be read.
    async fn units(&self, app: &App, after: Option<&str>) -> Result<Units, Error>;

    /// What is to become of a unit, from the rows as they are now.
    ///
    /// # Errors
    /// As [`Self::units`].
    async fn plan(&self, view: &View<'_>, unit: &str) -> Result<Planned, Error>;

    /// The objects of a unit, those that exist already among them. The same each time.
    ///
    /// # Errors
    /// As [`Self::units`].
    async fn contents(&self, app: &App, unit: &str) -> Result<Vec<Content>, Error>;

    /// Whether everything is as it should be: two counts that must agree.
    ///
    /// # Errors
    /// As [`Self::units`].
    async fn verify(&self, app: &App) -> Result<Verification, Error>;

    /// Whether the plan of a unit reads rows and objects of this key that other units change. A plan keeps those in memory.
    fn is_shared(&self, _key: &str) -> bool {
        true
    }
}

/// Some units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units {
    /// Them.
    pub units: Vec<String>,
    /// The cursor behind them; `None`: there are no more.
    pub next: Option<String>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its key.
    pub object: String,
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Content {
    /// A text of a subject, as the product puts it.
    ///
    /// # Errors
    /// [`Error::Aws`]: it cannot be compressed.
    pub(in crate::verbs) fn of_text(subject: &SubjectKey, sha256: &str, text: &str) -> Result<Self, Error> {
        let (object, content_type, bytes) = Blobs::text_object(subject, sha256, text.as_bytes())?;
        Ok(Self { object, content_type, bytes })
    }
}

/// Two counts that must agree, and what does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// What is counted, and how many there are: those that there should be, and those that are right.
    pub counts: Vec<(String, u64, String, u64)>,
    /// What is not right, in one sentence each.
    pub wrong: Vec<String>,
}

impl Verification {
    /// Whether all counts agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.wrong.is_empty() && self.counts.iter().all(|(_, one, _, other)| one == other)
    }
}

/// Units that cannot be planned in a row, from which on it is not they: a store does not answer.
const FAILURES_MAX: u32 = 4;

/// Plans units one after the other.
struct Planner<'a> {
    change: &'a dyn DataChange,
    view: View<'a>,
    failures: u32,
}

impl Planner<'_> {
    /// Plans the next unit. One that cannot be read, or written, is one that cannot be changed.
    async fn plan(&mut self, unit: &str) -> Result<Planned, Error> {
        let cannot = |why| Planned { unit: unit.to_owned(), verdict: Verdict::Cannot(why), findings: Vec::new() };
        let mut planned = match self.change.plan(&self.view, unit).await {
            Ok(planned) => planned,
            Err(error) if self.failures + 1 == FAILURES_MAX => return Err(error),
            Err(error) => {
                self.failures += 1;
                return Ok(cannot(format!("it cannot be read: {error}")));
            }
        };
        self.failures = 0;
        if let Verdict::Change(change) = &planned.verdict
            && let Err(why) = change.fits()
        {
            planned = Planned { findings: planned.findings, ..cannot(why) };
        }
        self.view.note(&planned).await?;
        Ok(planned)
    }
}

impl App {
    /// What a migration would do now. Writes nothing.
    ///
    /// # Errors
    /// As [`DataChange::units`].
    pub async fn plan_migration(&self, change: &dyn DataChange) -> Result<Plan, Error> {
        self.plan_migration_and_tell(change, &mut |_| Ok(())).await
    }

    /// The same; `tell` is given each unit as it is planned.
    ///
    /// # Errors
    /// As [`DataChange::units`]; those of `tell`.
    pub async fn plan_migration_and_tell(
        &self,
        change: &dyn DataChange,
        tell: &mut (dyn FnMut(&Planned) -> Result<(), Error> + Send),
    ) -> Result<Plan, Error> {
        let (mut plan, mut after) = (Plan::default(), None::<String>);
        let mut planner = Planner { change, view: View::new(self, change), failures: 0 };
        loop {
            let page = change.units(self, after.as_deref()).await?;
            for unit in &page.units {
                let planned = planner.plan(unit).await?;
                tell(&planned)?;
                plan.add(&planned);
            }
            after = page.next;
            if after.is_none() {
                return Ok(plan);
            }
        }
    }

    /// The records table, for a person who is asked whether it is the right one.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn table_facts(&self) -> Result<TableFacts, Error> {
        self.records.table_facts().await
    }

    /// Whether the records table can be restored to any second of the last days.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn has_point_in_time_recovery(&self) -> Result<bool, Error> {
        self.records.has_point_in_time_recovery().await
    }

    /// Asks for a backup of the records table, and returns its ARN.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create_backup(&self, name: &str) -> Result<String, Error> {
        self.records.create_backup(name).await
    }

    /// A backup of the records table.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn backup(&self, arn: &str) -> Result<TableBackup, Error> {
        self.records.backup(arn).await
    }
}
