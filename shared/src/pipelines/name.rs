//! The names of pipelines and of their versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::Organization;
use crate::limits::{PIPELINE_NAME_CHARS_MAX, PIPELINE_VERSION_MAX};

/// The error of a malformed name. The message states the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(String);

/// A pipeline's name: a lower-case letter, then up to 63 lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PipelineName(String);

impl PipelineName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PipelineName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=PIPELINE_NAME_CHARS_MAX).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase();
        if fits && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Ok(Self(text.to_owned()));
        }
        let told = format!(
            "a pipeline's name is a lower-case letter and up to {} lower-case letters, digits or `-`, not {text:?}",
            PIPELINE_NAME_CHARS_MAX - 1
        );
        Err(InvalidName(told))
    }
}

impl TryFrom<String> for PipelineName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<PipelineName> for String {
    fn from(name: PipelineName) -> Self {
        name.0
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pipeline of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PipelineKey {
    /// The tenant.
    pub organization: Organization,
    /// The pipeline.
    pub name: PipelineName,
}

impl PipelineKey {
    /// A pipeline of an organization.
    #[must_use]
    pub const fn new(organization: Organization, name: PipelineName) -> Self {
        Self { organization, name }
    }

    /// The partition of its rows.
    #[must_use]
    pub fn partition(&self) -> String {
        format!("{}#pipeline#{}", self.organization, self.name)
    }
}

/// A pipeline and, if it is pinned, the number of its version: `name` or `name@3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PipelineRef {
    /// The pipeline.
    pub name: PipelineName,
    /// The number of its version; `None`: the newest.
    pub version: Option<u64>,
}

impl FromStr for PipelineRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let Some((name, number)) = text.split_once('@') else { return Ok(Self { name: text.parse()?, version: None }) };
        let version =
            number.parse().ok().filter(|version| (1..=PIPELINE_VERSION_MAX).contains(version) && !number.starts_with(['+', '0']));
        let told = || InvalidName(format!("a pipeline's version is a number from 1 to {PIPELINE_VERSION_MAX}, not {number:?}"));
        Ok(Self { name: name.parse()?, version: Some(version.ok_or_else(told)?) })
    }
}

impl TryFrom<String> for PipelineRef {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<PipelineRef> for String {
    fn from(reference: PipelineRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for PipelineRef {
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
            assert_eq!(name.parse::<PipelineName>().unwrap().as_str(), name);
        }
        for wrong in ["", "A", "1a", "-a", "a_b", "a/b", "a@1", "é", &"a".repeat(65)] {
            assert!(wrong.parse::<PipelineName>().is_err(), "{wrong}");
        }
        for (text, version) in [("p", None), ("p@1", Some(1)), ("p@999999", Some(999_999))] {
            let reference: PipelineRef = text.parse().unwrap();
            assert_eq!((reference.version, reference.to_string().as_str()), (version, text));
        }
        for wrong in ["p@", "p@0", "p@+1", "p@01", "p@1000000", "p@x", "@1", "p@1@2"] {
            assert!(wrong.parse::<PipelineRef>().is_err(), "{wrong}");
        }
    }
}
