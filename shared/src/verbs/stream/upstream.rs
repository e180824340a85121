//! Cancels responses that a provider keeps and works on without a reader.

use std::time::Duration;

use tokio::time::timeout;

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
/// How long a cancel takes, retries included.
const PATIENCE: Duration = Duration::from_secs(15);

impl App {
    /// Cancels a response at its provider. Where that fails, the response ends by itself, and is paid for: a warning says so.
    pub(in crate::verbs) async fn cancel_upstream(&self, provider: &str, response_id: &str) {
        let cancel = async {
            let provider = self.provider(provider).await?;
            let cancel = || provider.cancel(response_id);
            let cancelled = cancel.retry(exponential(BACKOFF, BACKOFF_MAX, RETRIES)).when(ProviderError::is_retryable).await;
            cancelled.map_err(|error| Error::Internal(error.message))
        };
        // Within the time that a function has left behind its own deadline.
        match timeout(PATIENCE, cancel).await {
            Ok(Ok(())) => tracing::info!(response_id, "The response at the provider is cancelled, or had ended."),
            Ok(Err(error)) => tracing::warn!(response_id, %error, "The response at the provider was not cancelled."),
            Err(_) => tracing::warn!(response_id, "The response at the provider was not cancelled in time."),
        }
    }

    /// Cancels the response that a generation has left at its provider, if it ended without it.
    pub(super) async fn cancel_left_upstream(&self, record: &RecordRow, response_id: Option<&str>, status: Status) {
        let is_left = matches!(status, Status::Cancelled | Status::Failed);
        if let Some(id) = response_id.filter(|_| is_left) {
            self.cancel_upstream(&record.provider, id).await;
        }
    }

    /// Invokes `stream` for a generation that was ended without its writer, if the provider may still work on its response: only
    /// `stream` may read the provider's key.
    pub(in crate::verbs) async fn release_upstream(&self, key: &GenerationKey, meta: Option<&Meta>) {
        let Some(id) = meta.and_then(|meta| meta.upstream.clone()) else { return };
        // Meta may be deleted before the function begins.
        let job = StreamJob { upstream: Some(id), ..StreamJob::new(key) };
        if let Err(error) = self.invoker.stream(&job).await {
            tracing::warn!(%error, "The response at the provider is not cancelled: stream was not invoked.");
        }
    }
}
