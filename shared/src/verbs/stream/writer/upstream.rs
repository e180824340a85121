//! Responses that the provider keeps and works on without a reader: what the writer resumes, records and cancels.

use std::time::Duration;

use tokio::time::timeout;

use super::{Stop, Writer};
use crate::providers::{Delta, Fault, ProviderError, Session, Upstream};

/// How long the id of a response is waited for.
const ID_PATIENCE: Duration = Duration::from_secs(5);

impl Writer {
    /// The response to read on in. The newest chunk says how far it was read; before there is one, meta has its id.
    pub(super) fn upstream_to_resume(&self) -> Option<Upstream> {
        if !self.app.retrieves(&self.request.provider) {
            return None;
        }
        let named = || self.meta.upstream.clone().map(|id| Upstream { id, cursor: None });
        self.appender.upstream().cloned().or_else(named)
    }

    /// Reads on until the id of the response is known, for some seconds, where an attempt was stopped before: closing the connection does
    /// not stop the response, and without its id it is neither cancelled nor read on.
    pub(super) async fn await_upstream(&mut self, session: &mut Session, stop: &Stop) {
        let is_unknown = self.appender.upstream().is_none() && self.app.retrieves(&self.request.provider);
        if !is_unknown || matches!(stop, Stop::Finished | Stop::Fault(_) | Stop::NotConfigured(_)) {
            return;
        }
        let id = async {
            while let Some(Ok(deltas)) = session.next().await {
                if let Some(Delta::Upstream(Upstream { id, .. })) = deltas.last() {
                    return Some(id.clone());
                }
            }
            None
        };
        if let Ok(Some(id)) = timeout(ID_PATIENCE, id).await {
            self.appender.set_upstream(Some(Upstream { id, cursor: None }));
            // A function that takes over finds it there.
            let _ = self.record_upstream().await;
        }
    }

    /// Records on meta which response is read, as soon as its id is known: a writer that takes over then reads on in it, and a cancel
    /// knows what to cancel. `false`: another writer has the generation.
    pub(super) async fn record_upstream(&mut self) -> bool {
        match self.appender.upstream().map(|upstream| upstream.id.clone()) {
            Some(id) if self.meta.upstream.as_ref() != Some(&id) => {
                let recorded = self.app.buffer.record_upstream(&self.key, &self.meta, &id).await;
                self.meta.upstream = Some(id);
                recorded.unwrap_or_else(|error| {
                    // The chunks have it too, from the first on.
                    tracing::warn!(%error, "The provider's response was not recorded on meta.");
                    true
                })
            }
            _ => true,
        }
    }

    /// The next attempt begins again. A response that is no longer streamed behind an event is read from its beginning, or whole at its
    /// end; one that may not be read at all may still run, so it is cancelled.
    pub(super) async fn forget_upstream(&mut self, error: &ProviderError) {
        if let Some(Upstream { id, cursor: Some(_) }) = self.appender.upstream().filter(|_| error.status == Some(400)) {
            let upstream = Upstream { id: id.clone(), cursor: None };
            self.appender.set_upstream(Some(upstream));
            return;
        }
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
        let seen = self.app.buffer.newest_and_meta(&self.key).await;
        // Where the store does not answer, a successor that reads the response cancels it, and otherwise it runs to its own end.
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
