//! `list`: an organization's generations, newest first or oldest first, all or those that a filter selects.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::aws::RecordRow;
use crate::error::Error;
use crate::generation::Generation;
use crate::generation::list_query::ListQuery;
use crate::ids::{GenerationId, Organization};
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_SCAN_MAX};

/// A page of generations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GenerationPage {
    /// Always `list`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The generations, without `llm_response`. With a filter, a page may have fewer than there are, and none.
    pub data: Vec<Generation>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the id of the last generation that was looked at.
    pub last_id: Option<GenerationId>,
    /// How many generations were looked at, [`LIST_SCAN_MAX`] at most.
    #[serde(default)]
    pub scanned: usize,
}

const fn object() -> &'static str {
    "list"
}

/// How many entries a page of a list has at most: `limit`, from 1 to `most`.
///
/// # Errors
/// [`Error::InvalidRequest`]: it is out of bounds.
pub(in crate::verbs) fn page_limit(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Error> {
    let limit = limit.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::invalid("limit", format!("must be a whole number from 1 to {most}")))
}

impl App {
    /// A page of generations. A filter looks at [`LIST_SCAN_MAX`] generations at most.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn list(&self, organization: &Organization, query: &ListQuery) -> Result<GenerationPage, Error> {
        let limit = page_limit(query.limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        let mut page =
            GenerationPage { object: "list", data: Vec::new(), has_more: true, last_id: query.after.clone(), scanned: 0 };
        while page.has_more && page.data.len() < limit && page.scanned < LIST_SCAN_MAX {
            let most = if query.has_filter() { LIST_LIMIT_MAX.min(LIST_SCAN_MAX - page.scanned) } else { limit };
            let found = self.records.list(organization, page.last_id.as_ref(), query, most).await?;
            page.has_more = found.has_more;
            let views = found.records.into_iter().map(async |record| {
                let id = record.generation.clone();
                let view = if is_selected(query, &record) { Some(self.view(record).await?) } else { None };
                Ok::<_, Error>((id, view))
            });
            for (id, view) in futures::future::try_join_all(views).await? {
                if page.data.len() == limit {
                    page.has_more = true;
                    break;
                }
                page.scanned += 1;
                page.last_id = Some(id);
                page.data.extend(view.filter(|view| query.status.is_none_or(|status| view.status == status)));
            }
        }
        // A hundred of them would exceed a Lambda function's response limit.
        for generation in &mut page.data {
            generation.llm_response = None;
        }
        page.last_id = page.last_id.filter(|_| page.scanned > 0);
        Ok(page)
    }
}

/// Whether a query selects a record by all but its status.
fn is_selected(query: &ListQuery, record: &RecordRow) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    is(&query.provider, &record.provider)
        && is(&query.model, &record.model)
        && query.subject.as_ref().is_none_or(|wanted| record.subject.as_ref() == Some(wanted))
        && query.batch.as_ref().is_none_or(|wanted| record.item().is_some_and(|(parent, _)| parent.batch == *wanted))
        && has_metadata(query, record)
}

fn has_metadata(query: &ListQuery, record: &RecordRow) -> bool {
    if query.metadata.is_empty() {
        return true;
    }
    let own: Value = record.request_metadata.as_deref().and_then(|own| serde_json::from_str(own).ok()).unwrap_or_default();
    query.metadata.iter().all(|(name, wanted)| match own.get(name) {
        Some(Value::String(found)) => found == wanted,
        Some(found) => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *found),
        None => false,
    })
}
