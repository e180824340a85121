//! One attempt: reads the provider, and stores its deltas by the flush policy.

use tokio::time::sleep_until;

use super::{Stop, Writer};
use crate::error::Error;
use crate::generation::usage::TotalUsage;
use crate::providers::{Delta, Fault, ProviderError, Session};

impl Writer {
    /// Reads and stores until the attempt stops. Nothing is in flight when it returns.
    pub(super) async fn receive(&mut self, mut session: Session) -> Result<Stop, Error> {
        let mut stop = None;
        loop {
            if !self.record_upstream().await {
                return Ok(Stop::Fenced);
            }
            let sleep = match stop {
                None => self.appender.flush_if_due(self.monitor.lease.view().watched_until)?,
                Some(_) if self.appender.is_storing() => None,
                Some(stop) => {
                    self.await_upstream(&mut session, &stop).await;
                    return Ok(stop);
                }
            };
            let wake_at = self.monitor.wake_at(sleep);
            let reads_on = stop.is_none() && self.appender.has_room();
            tokio::select! {
                stored = self.appender.stored() => match stored? {
                    Some(at_ms) => self.monitor.lease.stored(at_ms),
                    None => return Ok(Stop::Fenced),
                },
                received = session.next(), if reads_on => stop = self.take_in(received),
                () = self.monitor.lease.changed() => stop = self.monitor.check_lease().or(stop),
                () = self.monitor.stopping.cancelled(), if stop.is_none() => stop = Some(Stop::Stopping),
                () = sleep_until(wake_at), if stop.is_none() => stop = self.monitor.check_time(),
            }
        }
    }

    fn take_in(&mut self, received: Option<Result<Vec<Delta>, ProviderError>>) -> Option<Stop> {
        let deltas = match received {
            None if self.attempt.finish.is_some() => return Some(Stop::Finished),
            None => {
                let message = "the reader of the provider's stream stopped early";
                return Some(Stop::Fault(ProviderError::new(Fault::Interrupted, message)));
            }
            Some(Err(error)) => return Some(Stop::Fault(error)),
            Some(Ok(deltas)) => deltas,
        };
        // First: whatever stops the attempt within this read, the response is known.
        if let Some(Delta::Upstream(upstream)) = deltas.last() {
            self.appender.set_upstream(Some(upstream.clone()));
        }
        let mut broken = None;
        for delta in deltas {
            match delta {
                Delta::Usage(usage) => self.attempt.usage = Some(usage),
                Delta::Model(model) => self.attempt.end.model = Some(model),
                Delta::Finish(reason) => self.attempt.finish = Some(reason),
                Delta::Upstream(_) => {}
                text => {
                    self.appender.count_received(text.text_bytes());
                    let bytes = self.appender.totals().bytes;
                    if let Some(stop) = self.monitor.check_size(bytes, self.appender.events()) {
                        return Some(stop);
                    }
                    let violation = self.monitor.schema.check(&text);
                    self.appender.composer.delta(text);
                    if let Some(violation) = violation {
                        broken = self.add_violation(violation);
                    }
                    let counted = self.attempt.usage.and_then(|usage| TotalUsage::of(self.appender.log.used, Some(usage)));
                    if let Some(stop) = self.monitor.check_day(bytes, counted.map(|counted| counted.total).as_ref()) {
                        return Some(stop);
                    }
                }
            }
        }
        if !self.attempt.measure.has_text() && self.received_in_this_attempt() {
            self.attempt.measure.text();
        }
        self.appender.received();
        broken
    }
}
