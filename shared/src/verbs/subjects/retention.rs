//! Versions past their time: reported, and removed with the texts that no other version has.

use std::collections::BTreeSet;

use crate::app::App;
use crate::aws::{Blobs, VERSIONS_DELETED_AT_ONCE};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::{Organization, SubjectId, SubjectKey};
use crate::limits::{LIST_LIMIT_MAX, ORPHAN_AGE_MIN};
use crate::subjects::Subject;
use crate::subjects::retention::VersionRules;
use crate::subjects::version::Version;

/// What a subject has longer than it is kept.
#[derive(Debug, Default)]
pub struct VersionRetention {
    /// Versions past their time.
    pub versions: Vec<(SubjectId, u64)>,
    /// Objects that no version names, and none can any more.
    pub objects: Vec<String>,
    /// Subjects of which something could not be removed, and why.
    pub failed: Vec<(SubjectId, Error)>,
}

impl App {
    /// Finds, and with `apply` removes, the versions of an organization that are past their time. Interrupted, it can be called again.
    ///
    /// # Errors
    /// [`Error::Aws`]: the subjects cannot be listed. What could not be removed is reported.
    pub async fn retain_versions(
        &self,
        organization: &Organization,
        rules: VersionRules,
        apply: bool,
    ) -> Result<VersionRetention, Error> {
        let (mut found, mut after) = (VersionRetention::default(), None);
        loop {
            let page = self.records.subjects(organization, "", after.as_ref(), LIST_LIMIT_MAX).await?;
            for (name, subject) in page.subjects {
                let key = SubjectKey::new(organization.clone(), name);
                if let Err(error) = self.retain_versions_of(&key, subject, rules, apply, &mut found).await {
                    found.failed.push((key.subject, error));
                }
            }
            after = page.last;
            if !page.has_more || after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn retain_versions_of(
        &self,
        key: &SubjectKey,
        subject: Subject,
        rules: VersionRules,
        apply: bool,
        found: &mut VersionRetention,
    ) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let versions = self.records.versions(key, (1, subject.current), true, usize::MAX).await?;
        let (dropped, kept): (Vec<Version>, Vec<Version>) =
            versions.into_iter().partition(|version| rules.drop(&subject, version, now_ms));
        let numbers: Vec<u64> = dropped.iter().map(|version| version.number).collect();
        let mut held = subject;
        for numbers in numbers.chunks(if apply { VERSIONS_DELETED_AT_ONCE } else { usize::MAX }) {
            let next = held.changed(&rfc3339(now_ms));
            // Under the revision that the choice was made from: a label that came since keeps its version.
            if apply && !self.records.delete_versions(key, held.revision, &next, numbers).await? {
                return Err(Error::SubjectContended(key.subject.to_string()));
            }
            found.versions.extend(numbers.iter().map(|number| (key.subject.clone(), *number)));
            held = next;
        }
        // Read again: a version may have been made since.
        let left = if apply { self.records.versions(key, (1, u64::MAX), true, usize::MAX).await? } else { kept };
        let mut named: BTreeSet<String> = left.iter().map(|left| Blobs::text_key(key, &left.sha256, left.bytes)).collect();
        // Read again, too: another prompt may have been accepted.
        let accepted = self.records.subject(key).await?.and_then(|subject| subject.accepted);
        named.extend(accepted.map(|accepted| Blobs::text_key(key, &accepted.prompt_sha256, accepted.prompt_bytes)));
        let mut objects = self.blobs.of_subject(key, ORPHAN_AGE_MIN, now_ms).await?;
        objects.retain(|object| !named.contains(object));
        if apply {
            self.blobs.delete_objects(&objects).await?;
        }
        found.objects.extend(objects);
        Ok(())
    }
}
