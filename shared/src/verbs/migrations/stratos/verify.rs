//! Whether each row of a database is here: with the same text, and accepted where it was accepted there.

use super::before::{Before, before, source_of};
use crate::app::App;
use crate::aws::{Blobs, RecordRow};
use crate::error::Error;
use crate::ids::SubjectKey;
use crate::migrations::stratos::convert::Imported;
use crate::migrations::stratos::source::SourceGeneration;
use crate::verbs::migrations::Verification;

/// What is said of a row that no id names.
pub(super) const NAMELESS: &str = "it has no whole number as its id, or another row has the same";

/// The counts of a verification.
#[derive(Default)]
pub(super) struct Counted {
    there: u64,
    here: u64,
    accepted: u64,
    with_prompt: u64,
    accepted_there: u64,
    taken: u64,
    wrong: Vec<String>,
}

impl Counted {
    pub(super) fn wrong(&mut self, unit: &str, why: impl std::fmt::Display) {
        self.there += 1;
        self.wrong.push(format!("generation {unit}: {why}"));
    }

    pub(super) async fn count(
        &mut self,
        app: &App,
        id: i64,
        source: &SourceGeneration,
        imported: &Imported,
    ) -> Result<(), Error> {
        let record = match before(app, imported).await? {
            Before::Here(record, _) => record,
            // It was deleted here, and is to stay so.
            Before::Purged(_) => return Ok(()),
            Before::New => {
                self.wrong(&id.to_string(), "it is not here");
                return Ok(());
            }
            Before::Elsewhere(key) => {
                self.wrong(&id.to_string(), format!("it is here as {key}"));
                return Ok(());
            }
        };
        match check(app, &record, source, imported).await? {
            Ok(()) => (self.there, self.here) = (self.there + 1, self.here + 1),
            Err(why) => self.wrong(&id.to_string(), why),
        }
        if let Some(of) = &record.accepted {
            self.accepted += 1;
            let subject = SubjectKey::new(imported.key.organization.clone(), of.accepted_subject.clone());
            let held = app.records.subject(&subject).await?.and_then(|subject| subject.accepted);
            self.with_prompt +=
                u64::from(held.is_some_and(|held| held.generation == imported.key.generation && !held.prompt_sha256.is_empty()));
        }
        let (Some(_), Some(subject)) = (&imported.accepted, &imported.subject) else { return Ok(()) };
        self.accepted_there += 1;
        // In its place another may stand, which was there before it or was accepted since; and the subject may have been deleted.
        let subject = app.records.subject(&SubjectKey::new(imported.key.organization.clone(), subject.clone())).await?;
        let stands = subject.is_none_or(|subject| subject.deleting || subject.accepted.is_some());
        if record.accepted.is_some() || stands {
            self.taken += 1;
        } else {
            self.wrong.push(format!("generation {id}: it was accepted there, and nothing is accepted here"));
        }
        Ok(())
    }

    pub(super) fn verification(self) -> Verification {
        let counts = [
            ("generations in the file", self.there, "generations here with the same text", self.here),
            ("accepted generations", self.accepted, "subjects with an accepted prompt", self.with_prompt),
            ("scenarios accepted in the file", self.accepted_there, "subjects that stand on a generation", self.taken),
        ];
        let counts = counts.map(|(one, of_one, other, of_other)| (one.to_owned(), of_one, other.to_owned(), of_other));
        Verification { counts: counts.into(), wrong: self.wrong }
    }
}

/// Whether the text here is the one there, byte for byte.
async fn check(
    app: &App,
    record: &RecordRow,
    source: &SourceGeneration,
    imported: &Imported,
) -> Result<Result<(), String>, Error> {
    if source_of(record).as_deref() != Some(&source.sha256()) {
        return Ok(Err("it was imported from another state of its row".into()));
    }
    Ok(match app.blobs.digest(&Blobs::output_key(&imported.key)).await? {
        Some((sha256, _)) if sha256 == imported.text_sha256 => Ok(()),
        Some(_) => Err("its text is another one".into()),
        None => Err("its text is not in the bucket".into()),
    })
}
