//! `issues`: what did not pass validation.

use serde::Serialize;

use crate::app::App;
use crate::aws::ValidationIssue;
use crate::error::Error;
use crate::ids::GenerationKey;

/// The validation issues of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValidationIssues {
    /// Always `list`.
    pub object: &'static str,
    /// The issues, oldest first. A generation has one at most, unless it was compacted again under other rules.
    pub data: Vec<ValidationIssue>,
}

impl App {
    /// The validation issues of a generation.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Aws`].
    pub async fn validation_issues(&self, key: &GenerationKey) -> Result<ValidationIssues, Error> {
        self.records.get(key).await?;
        let mut data = self.records.issues(key).await?;
        data.sort_by(|left, right| left.created_at.cmp(&right.created_at));
        Ok(ValidationIssues { object: "list", data })
    }
}
