//! Cancels responses that a provider keeps and works on without a reader.

use std::time::Duration;

use crate::app::App;
use crate::aws::{Meta, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::generation::job::StreamJob;
use crate::ids::GenerationKey;
use crate::providers::ProviderError;
use crate::retry::{Retryable, exponential};

/// Tries after the first.
const RETRIES: usize = 3;
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

impl App {
    /// Cancels a response at its provider. Where that fails, the response ends by itself, and is paid for: a warning says so.
    pub(in crate::verbs) async fn cancel_upstream(&self, provider: &str, response_id: &str) {
        let cancel = async {
            let provider = self.provider(provider).await?;
            let cancel = || provider.cancel(response_id);
            let cancelled = cancel.retry(exponential(BACKOFF, BACKOFF_MAX, RETRIES)).when(ProviderError::is_retryable).await;
            cancelled.map_err(|error| Error::Internal(error.message))
        };
        match cancel.await {
            Ok(()) => tracing::info!(response_id, "The response at the provider was cancelled."),
            Err(error) => tracing::warn!(response_id, %error, "The response at the provider was not cancelled."),
        }
    }

    /// Cancels the response that meta names, where the generation ended without it.
    pub(super) async fn cancel_left_upstream(&self, record: &RecordRow, meta: Option<&Meta>, status: Status) {
        let is_left = matches!(status, Status::Cancelled | Status::Failed);
        if let Some(id) = meta.and_then(|meta| meta.upstream.as_deref()).filter(|_| is_left) {
            self.cancel_upstream(&record.provider, id).await;
        }
    }

    /// Invokes `stream` for a generation that was ended without its writer, if the provider may still work on its response: only
    /// `stream` may read the provider's key.
    pub(in crate::verbs) async fn release_upstream(&self, key: &GenerationKey, meta: Option<&Meta>) {
        if meta.is_none_or(|meta| meta.upstream.is_none()) {
            return;
        }
        if let Err(error) = self.invoker.stream(&StreamJob::new(key)).await {
            tracing::warn!(%error, "The response at the provider is not cancelled: stream was not invoked.");
        }
    }
}
