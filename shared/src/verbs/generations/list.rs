//! `list`: an organization's generations, newest first.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::Error;
use crate::generation::Generation;
use crate::ids::{GenerationId, Organization};
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};

/// A page of generations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GenerationPage {
    /// Always `list`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The generations, newest first, without `llm_response`.
    pub data: Vec<Generation>,
    /// Whether there are older generations.
    pub has_more: bool,
    /// The `after` of the next page: the id of this page's last generation.
    pub last_id: Option<GenerationId>,
}

const fn object() -> &'static str {
    "list"
}

impl App {
    /// The generations older than `after`, at most `limit` (1 to 100, default 20).
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn list(
        &self,
        organization: &Organization,
        after: Option<&GenerationId>,
        limit: Option<usize>,
    ) -> Result<GenerationPage, Error> {
        let limit = limit.unwrap_or(LIST_LIMIT_DEFAULT);
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be a whole number from 1 to {LIST_LIMIT_MAX}")));
        }
        let page = self.records.list(organization, after, limit).await?;
        let mut data = futures::future::try_join_all(page.records.into_iter().map(|record| self.view(record))).await?;
        // A hundred of them would exceed a Lambda function's response limit.
        for generation in &mut data {
            generation.llm_response = None;
        }
        let last_id = data.last().map(|generation| generation.id.clone());
        Ok(GenerationPage { object: "list", data, has_more: page.has_more, last_id })
    }
}
