//! What pipelines and importers have in common: a document becomes the next version of its name, unless it is the newest one already.

use tokio::time::sleep;

use crate::app::App;
use crate::aws::{DocumentHead, DocumentVersionRow};
use crate::clock::rfc3339;
use crate::documents::DocumentKey;
use crate::error::Error;
use crate::limits::DOCUMENT_VERSION_MAX;
use crate::retry::{self, BackoffBuilder};

/// A version that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verbs) struct NewVersion {
    /// The document in its canonical form: JSON text.
    pub document: String,
    /// SHA-256 in hex of that.
    pub sha256: String,
    /// What people call it.
    pub title: Option<String>,
    /// The number of a pipeline's steps.
    pub steps: Option<u32>,
}

impl App {
    /// Publishes a document as the next version of its name. Versions never change, and their numbers have no gaps. Returns the newest
    /// version, and whether it is new.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: there are too many. [`Error::DocumentContended`], [`Error::Aws`].
    pub(in crate::verbs) async fn publish_document(
        &self,
        key: &DocumentKey,
        new: NewVersion,
    ) -> Result<(DocumentHead, bool), Error> {
        let mut waits = retry::overtaken().build();
        loop {
            let held = self.records.document(key).await?;
            if let Some(held) = held.as_ref().filter(|held| held.sha256 == new.sha256) {
                return Ok((held.clone(), false));
            }
            let now = rfc3339(self.clock.now_ms());
            let version = DocumentVersionRow {
                number: held.as_ref().map_or(0, |held| held.current) + 1,
                sha256: new.sha256.clone(),
                document: new.document.clone(),
                created_at: now.clone(),
                created_by: self.caller_name(),
            };
            if version.number > DOCUMENT_VERSION_MAX {
                let told = format!("would be version {}; there are {DOCUMENT_VERSION_MAX} at most", version.number);
                return Err(Error::invalid("", told));
            }
            let created_at = held.map_or(now, |held| held.created_at);
            let head = DocumentHead::new(key, &version, new.title.clone(), new.steps, created_at);
            let (noun, name, organization) = (key.noun.as_str(), &key.name, &key.organization);
            if self.records.add_document_version(key, &head, &version).await? {
                tracing::info!(noun, %name, version = version.number, %organization, "A document was published.");
                return Ok((head, true));
            }
            sleep(waits.next().ok_or_else(|| Error::DocumentContended(noun, name.to_string()))?).await;
        }
    }
}
