//! `accepted_prompt`: the prompt of a subject's accepted generation, without what must not be shown.

use serde::{Deserialize, Serialize};

use super::accept::AcceptanceView;
use crate::app::App;
use crate::error::Error;
use crate::ids::SubjectKey;
use crate::limits::OUTPUT_INLINE_BYTES_MAX;

/// The prompt of a subject's accepted generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptedPrompt {
    /// The acceptance.
    #[serde(flatten)]
    pub acceptance: AcceptanceView,
    /// The prompt; `None`: it is not known any more.
    pub prompt: Option<String>,
    /// Whether something has been removed from it, before it was stored here or now.
    pub redacted: bool,
}

impl App {
    /// The prompt of a subject's accepted generation. What the deployment's patterns match is removed.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`]; [`Error::NothingAccepted`]; [`Error::TextTooLarge`]; [`Error::Aws`].
    pub async fn accepted_prompt(&self, key: &SubjectKey) -> Result<AcceptedPrompt, Error> {
        let subject = self.known_subject(key).await?;
        let accepted = subject.accepted.ok_or_else(|| Error::NothingAccepted(key.subject.to_string()))?;
        if accepted.prompt_bytes > OUTPUT_INLINE_BYTES_MAX {
            let told = format!("the prompt has {} bytes; at most {OUTPUT_INLINE_BYTES_MAX} are shown", accepted.prompt_bytes);
            return Err(Error::TextTooLarge(told));
        }
        let text = match &accepted.prompt {
            Some(prompt) => Some(prompt.clone()),
            None if accepted.prompt_bytes > 0 => self.blobs.text(key, &accepted.prompt_sha256, accepted.prompt_bytes).await?,
            None => None,
        };
        let (prompt, removed) = match text {
            Some(text) => {
                let (text, removed) = self.config.redaction.apply(&text);
                (Some(text), removed)
            }
            None => (None, false),
        };
        let redacted = removed || accepted.redacted;
        Ok(AcceptedPrompt { acceptance: AcceptanceView::new(&key.subject, accepted), prompt, redacted })
    }
}
