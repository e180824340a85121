//! What an imported generation becomes of its subject.

use crate::acceptance::{Acceptance, AcceptedFor, Prompt};
use crate::aws::{RecordRow, Records};
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::SubjectKey;
use crate::migrations::stratos::convert::Imported;
use crate::migrations::{Attributes, Finding};
use crate::subjects::Subject;
use crate::subjects::version::{self, Version};
use crate::verbs::migrations::View;

/// What a generation becomes of its subject.
pub(super) struct Placed {
    pub(super) key: SubjectKey,
    /// The row as it is; `None`: there is none.
    pub(super) row: Option<Attributes>,
    /// The subject as it will be.
    pub(super) next: Subject,
    /// The version that appears with it.
    pub(super) version: Option<Version>,
    /// The number of the version that it is.
    number: Option<u64>,
    /// What its record says of its acceptance.
    pub(super) of: Option<AcceptedFor>,
    pub(super) acceptance: Option<Acceptance>,
    pub(super) before: Option<Acceptance>,
}

/// Finds the generation's place in its subject: which version it is, and whether the subject stands on it.
///
/// `held` is its record, where it was imported before.
pub(super) async fn place(
    view: &View<'_>,
    imported: &Imported,
    held: Option<&RecordRow>,
    findings: &mut Vec<Finding>,
) -> Result<Option<Placed>, Error> {
    let Some(subject) = imported.subject.clone() else {
        if imported.accepted.is_some() {
            findings
                .push(Finding::new("accepted_without_subject", "it was accepted, and names no scenario: nothing stands on it"));
        }
        return Ok(None);
    };
    let key = SubjectKey::new(imported.key.organization.clone(), subject);
    let row = view.row(&Records::subject_key(&key)).await?;
    let stored: Subject = row.as_ref().map(Records::read_row).transpose()?.unwrap_or_default();
    if stored.deleting {
        findings.push(Finding::new("subject_deleted", format!("the subject {:?} is being deleted", key.subject.as_str())));
        return Ok(None);
    }
    let at = rfc3339(imported.completed_ms);
    let last_generation = stored.last_generation.clone().max(Some(imported.key.generation.clone()));
    let mut next = Subject { last_generation, ..stored.clone() };
    if next.created_at.is_empty() {
        next.created_at = rfc3339(imported.created_ms);
        next.updated_at.clone_from(&at);
    }
    let own = if held.is_some() { view.app().records.version_of(&key, &imported.key.generation).await? } else { None };
    let of = held.and_then(|held| held.accepted.clone());
    let before = stored.accepted.clone();
    let mut placed = Placed { key, row, next, version: None, number: own, of, acceptance: None, before };
    if imported.status == Status::Completed && own.is_none() {
        become_version(view, imported, &stored, &mut placed, findings).await?;
    }
    if placed.of.is_none() {
        accept(imported, &mut placed, findings);
    }
    // A completed one that is neither a version nor accepted is nothing of the subject.
    let is_placed = imported.status != Status::Completed || placed.number.is_some() || placed.of.is_some();
    Ok(Some(placed).filter(|_| is_placed))
}

/// Adds a version to the subject, unless it has a newer one.
async fn become_version(
    view: &View<'_>,
    imported: &Imported,
    stored: &Subject,
    placed: &mut Placed,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let newest = if stored.current == 0 { None } else { view.row(&Records::version_key(&placed.key, stored.current)).await? };
    let newest: Option<Version> = newest.as_ref().map(Records::read_row).transpose()?;
    if newest.as_ref().and_then(|newest| millis_of(&newest.created_at)).is_some_and(|newest| newest > imported.completed_ms) {
        let detail = format!("the subject {:?} has a newer version: it becomes none of it", placed.key.subject.as_str());
        findings.push(Finding::new("older_than_current", detail));
        return Ok(());
    }
    let at = rfc3339(imported.completed_ms);
    let change = version::Change::Generation(imported.key.generation.clone());
    let changed_at = if placed.next.updated_at > at { placed.next.updated_at.clone() } else { at.clone() };
    // A generation is never stale.
    if let Ok((with, change_type)) = placed.next.with_version(&change, imported.text.len() as u64, &changed_at) {
        placed.number = Some(with.current);
        placed.version = Some(made(imported, with.current, change_type, at));
        placed.next = with;
    }
    Ok(())
}

fn made(imported: &Imported, number: u64, change_type: version::ChangeType, created_at: String) -> Version {
    let by_hand =
        Version::by_hand(imported.text_sha256.clone(), imported.text.len() as u64, None, imported.created_by.clone(), created_at);
    Version {
        number,
        change_type,
        generation: Some(imported.key.generation.clone()),
        provider: Some(imported.request.provider.clone()),
        model: Some(imported.request.model.clone()),
        duration_ms: u64::try_from(imported.completed_ms - imported.created_ms).ok(),
        prompt_sha256: Some(imported.request.prompt_sha256()),
        ..by_hand
    }
}

fn accept(imported: &Imported, placed: &mut Placed, findings: &mut Vec<Finding>) {
    let Some(there) = &imported.accepted else { return };
    if let Some(other) = &placed.before {
        let detail = format!("the subject {:?} stands on {} already", placed.key.subject.as_str(), other.generation);
        findings.push(Finding::new("accepted_other", detail));
        return;
    }
    let prompt = Prompt::of(&imported.request);
    placed.of =
        Some(AcceptedFor { accepted_subject: placed.key.subject.clone(), accepted_at: there.at.clone(), accepted_by: None });
    placed.acceptance = Some(Acceptance {
        generation: imported.key.generation.clone(),
        version: placed.number,
        prompt: prompt.is_inline().then(|| prompt.text.clone()),
        prompt_bytes: prompt.text.len() as u64,
        prompt_sha256: prompt.sha256,
        redacted: imported.is_redacted,
        provider: imported.request.provider.clone(),
        model: imported.request.model.clone(),
        accepted_by: None,
        accepted_at: there.at.clone(),
        instruction_source: prompt.instruction_source,
        note: there.by.as_ref().map(|by| format!("accepted in Stratos by user {by}")),
        revision: 1,
    });
}
