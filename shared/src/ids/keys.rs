//! An id with its organization: the partition of what it names.

use crate::hash::sha256_hex;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BatchId, FOLDER_DIGITS, GenerationId, InvalidId, Organization, RunId, SubjectId};

/// Names one batch of one organization: the partition of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchKey {
    /// The organization.
    pub organization: Organization,
    /// The batch.
    pub batch: BatchId,
}

impl BatchKey {
    /// The key of an organization's batch.
    #[must_use]
    pub const fn new(organization: Organization, batch: BatchId) -> Self {
        Self { organization, batch }
    }

    /// The partition key: `{organization}#{batch}`.
    #[must_use]
    pub fn partition(&self) -> String {
        format!("{}#{}", self.organization, self.batch)
    }

    /// Parses [`Self::partition`].
    ///
    /// # Errors
    /// The text has another form.
    pub fn from_partition(text: &str) -> Result<Self, InvalidId> {
        let (organization, batch) =
            text.split_once('#').ok_or_else(|| InvalidId(format!("a partition is `organization#batch`, not {text:?}")))?;
        Ok(Self::new(organization.parse()?, batch.parse()?))
    }
}

impl fmt::Display for BatchKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.batch)
    }
}

/// Names one run of one organization: the partition of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// The organization.
    pub organization: Organization,
    /// The run.
    pub run: RunId,
}

impl RunKey {
    /// The key of an organization's run.
    #[must_use]
    pub const fn new(organization: Organization, run: RunId) -> Self {
        Self { organization, run }
    }

    /// The partition key: `{organization}#{run}`.
    #[must_use]
    pub fn partition(&self) -> String {
        format!("{}#{}", self.organization, self.run)
    }

    /// Parses [`Self::partition`].
    ///
    /// # Errors
    /// The text has another form.
    pub fn from_partition(text: &str) -> Result<Self, InvalidId> {
        let (organization, run) =
            text.split_once('#').ok_or_else(|| InvalidId(format!("a partition is `organization#run`, not {text:?}")))?;
        Ok(Self::new(organization.parse()?, run.parse()?))
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.run)
    }
}

/// Names one generation of one organization: the partition of its log and of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GenerationKey {
    /// The organization.
    pub organization: Organization,
    /// The generation.
    pub generation: GenerationId,
}

impl GenerationKey {
    /// The key of an organization's generation.
    #[must_use]
    pub const fn new(organization: Organization, generation: GenerationId) -> Self {
        Self { organization, generation }
    }

    /// The partition key in both tables: `{organization}#{generation}`.
    #[must_use]
    pub fn partition(&self) -> String {
        format!("{}#{}", self.organization, self.generation)
    }

    /// Parses [`Self::partition`].
    ///
    /// # Errors
    /// The text has another form.
    pub fn from_partition(text: &str) -> Result<Self, InvalidId> {
        let (organization, generation) =
            text.split_once('#').ok_or_else(|| InvalidId(format!("a partition is `organization#generation`, not {text:?}")))?;
        Ok(Self::new(organization.parse()?, generation.parse()?))
    }
}

impl fmt::Display for GenerationKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.generation)
    }
}

/// Names one subject of one organization: the partition of its rows, and the folder of its texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubjectKey {
    /// The organization.
    pub organization: Organization,
    /// The subject.
    pub subject: SubjectId,
}

impl SubjectKey {
    /// The key of an organization's subject.
    #[must_use]
    pub const fn new(organization: Organization, subject: SubjectId) -> Self {
        Self { organization, subject }
    }

    /// The partition key in the records table: `{organization}#subject:{subject}`. The colon keeps a subject `keys` apart from the
    /// partition of API keys, by whose ending roles deny it.
    #[must_use]
    pub fn partition(&self) -> String {
        format!("{}#subject:{}", self.organization, self.subject)
    }

    /// Parses [`Self::partition`].
    ///
    /// # Errors
    /// The text has another form.
    pub fn from_partition(text: &str) -> Result<Self, InvalidId> {
        let parts = text.split_once('#').and_then(|(organization, rest)| Some((organization, rest.strip_prefix("subject:")?)));
        let (organization, subject) =
            parts.ok_or_else(|| InvalidId(format!("a partition is `organization#subject:name`, not {text:?}")))?;
        Ok(Self::new(organization.parse()?, subject.parse()?))
    }

    /// What the keys of its objects begin with: `{organization}/subjects/` and 20 digits of the subject's SHA-256. A subject may be `..`,
    /// which is no name of a folder; and the embedded S3 takes keys of 120 bytes.
    #[must_use]
    pub fn folder(&self) -> String {
        let sha256 = sha256_hex(self.subject.as_str());
        format!("{}/subjects/{}/", self.organization, &sha256[..FOLDER_DIGITS])
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.subject)
    }
}
