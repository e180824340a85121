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
    /// They, newest first.
    pub data: Vec<Generation>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// To be passed as `after` for the next page.
    pub last_id: Option<GenerationId>,
}

const fn object() -> &'static str {
    "list"
}

impl App {
    /// Without `llm_response`. A page of at most `limit` generations (1 to 100, default 20) from behind `after` on.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for a limit out of bounds; [`Error::Aws`].
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
        let mut data = futures::future::try_join_all(page.records.into_iter().map(|record| self.with_log(record))).await?;
        // A hundred of them would not fit into one answer of a Lambda function.
        for generation in &mut data {
            generation.llm_response = None;
        }
        let last_id = data.last().map(|generation| generation.id.clone());
        Ok(GenerationPage { object: "list", data, has_more: page.has_more, last_id })
    }
}
