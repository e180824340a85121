//! The names of pipelines and of their versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{PIPELINE_NAME_CHARS_MAX, VERSION_NUMBER_MAX};

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
            number.parse().ok().filter(|version| (1..=VERSION_NUMBER_MAX).contains(version) && !number.starts_with('+'));
        let told = || InvalidName(format!("a pipeline's version is a number from 1 to {VERSION_NUMBER_MAX}, not {number:?}"));
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
