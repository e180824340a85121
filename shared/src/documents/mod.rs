//! Documents that organizations publish, pipelines and importers, in numbered versions that never change: their names. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::Organization;
use crate::limits::{DOCUMENT_NAME_CHARS_MAX, DOCUMENT_VERSION_MAX};

/// The error of a malformed name. The message states the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(String);

/// A document's name: a lower-case letter, then up to 63 lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentName(String);

impl DocumentName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DocumentName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=DOCUMENT_NAME_CHARS_MAX).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase();
        if fits && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Ok(Self(text.to_owned()));
        }
        let told = format!(
            "a name is a lower-case letter and up to {} lower-case letters, digits or `-`, not {text:?}",
            DOCUMENT_NAME_CHARS_MAX - 1
        );
        Err(InvalidName(told))
    }
}

impl TryFrom<String> for DocumentName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<DocumentName> for String {
    fn from(name: DocumentName) -> Self {
        name.0
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noun {
    /// From which generations, in which order, a result is made.
    Pipeline,
    /// What becomes of a result, entity by entity.
    Importer,
}

impl Noun {
    /// The noun, as keys and messages have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Importer => "importer",
        }
    }
}

/// A document of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DocumentKey {
    /// What it is.
    pub noun: Noun,
    /// The tenant.
    pub organization: Organization,
    /// Its name.
    pub name: DocumentName,
}

impl DocumentKey {
    /// A document of an organization.
    #[must_use]
    pub const fn new(noun: Noun, organization: Organization, name: DocumentName) -> Self {
        Self { noun, organization, name }
    }

    /// The partition of its rows.
    #[must_use]
    pub fn partition(&self) -> String {
        format!("{}#{}#{}", self.organization, self.noun.as_str(), self.name)
    }
}

/// A document and, if it is pinned, the number of its version: `name` or `name@3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentRef {
    /// Its name.
    pub name: DocumentName,
    /// The number of its version; `None`: the newest.
    pub version: Option<u64>,
}

impl FromStr for DocumentRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let Some((name, number)) = text.split_once('@') else { return Ok(Self { name: text.parse()?, version: None }) };
        let version =
            number.parse().ok().filter(|version| (1..=DOCUMENT_VERSION_MAX).contains(version) && !number.starts_with(['+', '0']));
        let told = || InvalidName(format!("a version is a number from 1 to {DOCUMENT_VERSION_MAX}, not {number:?}"));
        Ok(Self { name: name.parse()?, version: Some(version.ok_or_else(told)?) })
    }
}

impl TryFrom<String> for DocumentRef {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<DocumentRef> for String {
    fn from(reference: DocumentRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for DocumentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_references_are_read() {
        for name in ["a", "edn360-full", &"a".repeat(64)] {
            assert_eq!(name.parse::<DocumentName>().unwrap().as_str(), name);
        }
        for wrong in ["", "A", "1a", "-a", "a_b", "a/b", "a@1", "é", &"a".repeat(65)] {
            assert!(wrong.parse::<DocumentName>().is_err(), "{wrong}");
        }
        for (text, version) in [("p", None), ("p@1", Some(1)), ("p@999999", Some(999_999))] {
            let reference: DocumentRef = text.parse().unwrap();
            assert_eq!((reference.version, reference.to_string().as_str()), (version, text));
        }
        for wrong in ["p@", "p@0", "p@+1", "p@01", "p@1000000", "p@x", "@1", "p@1@2"] {
            assert!(wrong.parse::<DocumentRef>().is_err(), "{wrong}");
        }
    }
}
