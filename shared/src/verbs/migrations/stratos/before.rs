//! What is known here of a row that may have been imported before.

use serde_json::Value;

use crate::app::App;
use crate::aws::{Blobs, ImportedRow, RecordRow, Records};
use crate::error::Error;
use crate::generation::Status;
use crate::hash::sha256_hex;
use crate::ids::{GenerationKey, SubjectKey};
use crate::migrations::Attributes;
use crate::migrations::stratos::convert::Imported;
use crate::subjects::version::Version;
use crate::verbs::migrations::{Content, View};

/// The attribute of an imported record that tells whether it is as it was imported.
const MARK: &str = "imported_sha256";

/// What was found of a row that was imported before.
pub(super) enum Before {
    /// It is not here, and was not.
    New,
    /// It is here: its record, and that as it is stored.
    Here(Box<RecordRow>, Attributes),
    /// It is here under another key: other settings were told, or the row says that it was created at another time.
    Elsewhere(GenerationKey),
    /// It was here, and was purged.
    Purged(GenerationKey),
}

/// What is known here of a row.
pub(super) async fn before(app: &App, imported: &Imported) -> Result<Before, Error> {
    // The record first: a purge deletes it and leaves the note.
    let row = app.records.stored_row(&Records::record_key(&imported.key)).await?;
    let note = app.records.stored_row(&Records::imported_key(&origin(imported))).await?;
    let note: Option<ImportedRow> = note.as_ref().map(Records::read_row).transpose()?;
    let key = note.map(|note| GenerationKey::new(note.imported_by, note.imported_as));
    Ok(match (row, key) {
        (Some(row), _) => Before::Here(Box::new(Records::read_row(&row)?), row),
        (None, None) => Before::New,
        (None, Some(key)) if key == imported.key || app.records.find(&key).await?.is_none() => Before::Purged(key),
        (None, Some(key)) => Before::Elsewhere(key),
    })
}

/// What names a row among those of all databases.
pub(super) fn origin(imported: &Imported) -> Vec<&str> {
    imported.origin.iter().map(String::as_str).collect()
}

/// The hash of the row that a record was imported from.
pub(super) fn source_of(record: &RecordRow) -> Option<String> {
    let metadata: Value = serde_json::from_str(&record.outcome.as_ref()?.metadata).ok()?;
    metadata["imported"]["sha256"].as_str().map(str::to_owned)
}

/// Marks a record as one that is as it was imported.
pub(super) fn mark(row: &mut Attributes) {
    let sha256 = sha256_of(row);
    row.insert(MARK.into(), serde_dynamo::AttributeValue::S(sha256));
}

/// Whether nobody has changed a record since it was imported.
fn is_untouched(row: &Attributes) -> bool {
    row.get(MARK) == Some(&serde_dynamo::AttributeValue::S(sha256_of(row)))
}

fn sha256_of(row: &Attributes) -> String {
    let own: Attributes =
        row.iter().filter(|(name, _)| name.as_str() != MARK).map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut json = serde_json::to_value(own).unwrap_or_default();
    // Maps of attribute values have no order of their own.
    json.sort_all_objects();
    sha256_hex(json.to_string())
}

/// Why a generation cannot become what its row is now; `None`: it can, because nobody has changed it here, and no version, acceptance or
/// subject would have to be taken back for it.
pub(super) async fn why_not(
    view: &View<'_>,
    imported: &Imported,
    (record, row): (&RecordRow, &Attributes),
    contents: &[Content],
) -> Result<Option<&'static str>, Error> {
    if !is_untouched(row) {
        return Ok(Some("it was changed here, too"));
    }
    if record.accepted.is_some() && imported.accepted.is_none() {
        return Ok(Some("it is accepted here, and there no more"));
    }
    let request = Blobs::request_key(&imported.key);
    if contents.iter().all(|content| content.object != request) && view.app().blobs.digest(&request).await?.is_some() {
        return Ok(Some("its prompt was a long one"));
    }
    let Some(subject) = &record.subject else { return Ok(None) };
    if imported.subject.as_ref() != Some(subject) {
        return Ok(Some("it is about another subject there"));
    }
    let key = SubjectKey::new(imported.key.organization.clone(), subject.clone());
    if view.row(&Records::subject_key(&key)).await?.is_none() {
        return Ok(Some("its subject was deleted here"));
    }
    let Some(number) = view.app().records.version_of(&key, &imported.key.generation).await? else { return Ok(None) };
    let version = view.row(&Records::version_key(&key, number)).await?;
    let version: Option<Version> = version.as_ref().map(Records::read_row).transpose()?;
    let is_same = version.is_some_and(|version| version.sha256 == imported.text_sha256) && imported.status == Status::Completed;
    Ok((!is_same).then_some("its text is another one, and a version never changes"))
}
