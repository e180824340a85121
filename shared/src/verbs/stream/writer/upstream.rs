//! Responses that the provider keeps and works on without a reader: what the writer resumes, records and cancels.

use super::{Stop, Writer};
use crate::error::Error;
use crate::providers::{Fault, ProviderError, Upstream};

impl Writer {
    /// The response to read on in. The newest chunk says how far it was read; before there is one, meta has its id.
    pub(super) fn upstream_to_resume(&self) -> Option<Upstream> {
        if !self.app.retrieves(&self.request.provider) {
            return None;
        }
        let named = || self.meta.upstream.clone().map(|id| Upstream { id, cursor: None });
        self.appender.upstream().cloned().or_else(named)
    }

    /// Records on meta which response is read, as soon as its id is known: a writer that takes over then reads on in it, and a cancel
    /// knows what to cancel. `false`: another writer has the generation.
    pub(super) async fn record_upstream(&mut self) -> Result<bool, Error> {
        match self.appender.upstream().map(|upstream| upstream.id.clone()) {
            Some(id) if self.meta.upstream.as_ref() != Some(&id) => {
                let is_recorded = self.app.buffer.record_upstream(&self.key, &self.meta, &id).await?;
                self.meta.upstream = Some(id);
                Ok(is_recorded)
            }
            _ => Ok(true),
        }
    }

    /// The next attempt begins again. A response that may not be read any more may still run, so it is cancelled.
    pub(super) async fn forget_upstream(&mut self, error: &ProviderError) {
        if error.fault != Fault::ReportedError {
            self.cancel_upstream().await;
        }
        self.appender.set_upstream(None);
    }

    /// Cancels the response: nobody reads it any more.
    pub(super) async fn cancel_upstream(&self) {
        if let Some(upstream) = self.appender.upstream() {
            self.app.cancel_upstream(&self.request.provider, &upstream.id).await;
        }
    }

    /// Cancels the response of a writer that was fenced off, unless its successor reads on in it.
    pub(super) async fn leave_upstream(&self) {
        let Some(upstream) = self.appender.upstream() else { return };
        let seen = futures::try_join!(self.app.buffer.newest(&self.key), self.app.buffer.meta_now(&self.key));
        // What cannot be read now is read by the successor, which cancels the response when it ends.
        let Ok((newest, meta)) = seen else { return };
        let has_ended = newest.is_none_or(|chunk| chunk.end().is_some());
        let is_read_on = meta.is_some_and(|meta| meta.upstream.as_ref() == Some(&upstream.id));
        if has_ended || !is_read_on {
            self.cancel_upstream().await;
        }
    }
}

/// Whether the response at the provider has ended by itself.
pub(super) fn is_upstream_over(stop: &Stop) -> bool {
    match stop {
        Stop::Finished => true,
        Stop::Fault(error) => error.fault == Fault::ReportedError,
        _ => false,
    }
}
