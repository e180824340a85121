//! One attempt: the provider is read, and what it says is stored by the flush policy.

use tokio::time::{Instant, sleep_until};

use super::append::{Append, appended};
use super::{Stop, Writer};
use crate::error::Error;
use crate::limits;
use crate::log::chunk::Chunk;
use crate::providers::{Delta, Fault, ProviderError, Session};
use crate::verbs::stream::Limits;

impl Writer {
    /// Reads the provider and stores by the flush policy, until the attempt stops. Nothing is in flight when it returns.
    pub(super) async fn receive(&mut self, mut session: Session, limits: Limits) -> Result<Stop, Error> {
        let Limits { give_up_at, stop_at, .. } = limits;
        let mut in_flight: Option<(Append, Chunk)> = None;
        let mut stop = None;
        loop {
            if in_flight.is_none() {
                if let Some(stop) = stop {
                    return Ok(stop);
                }
                in_flight = self.flush_if_due();
            }
            let wake = self.wake_at(give_up_at, stop_at);
            let waiting = self.composer.pending_bytes() + self.composer.pending_events() * limits::EVENT_OVERHEAD_BYTES;
            let reads_on = stop.is_none() && waiting < limits::WAITING_BYTES_MAX;
            tokio::select! {
                appended = appended(&mut in_flight), if in_flight.is_some() => {
                    let chunk = in_flight.take().map(|(_, chunk)| chunk);
                    if !self.stored(appended?, chunk.as_ref())? {
                        return Ok(Stop::Fenced);
                    }
                }
                received = session.next(), if reads_on => stop = self.take_in(received),
                () = self.lease.changed() => stop = self.lease_stop().or(stop),
                () = sleep_until(wake), if stop.is_none() => stop = time_is_up(give_up_at, stop_at),
            }
        }
    }

    fn lease_stop(&self) -> Option<Stop> {
        let view = self.lease.view();
        if view.taken_over {
            return Some(Stop::Fenced);
        }
        view.cancel_requested.then_some(Stop::Cancelled)
    }

    fn take_in(&mut self, received: Option<Result<Vec<Delta>, ProviderError>>) -> Option<Stop> {
        let deltas = match received {
            None if self.finish.is_some() => return Some(Stop::Finished),
            None => {
                let message = "the reader of the provider's stream broke off";
                return Some(Stop::Fault(ProviderError::new(Fault::Interrupted, message)));
            }
            Some(Err(error)) => return Some(Stop::Fault(error)),
            Some(Ok(deltas)) => deltas,
        };
        let mut broken = None;
        for delta in deltas {
            match delta {
                Delta::Usage(usage) => self.end.usage = Some(usage),
                Delta::Model(model) => self.end.model = Some(model),
                Delta::Finish(reason) => self.finish = Some(reason),
                text => {
                    self.received_bytes += text.text_bytes() as u64;
                    let events = self.log.next_seq + self.composer.pending_events() as u64;
                    if self.received_bytes > self.output_bytes_max() || events > limits::EVENTS_MAX {
                        return Some(Stop::OutputLimit(self.output_bytes_max()));
                    }
                    let violation = self.schema.look(&text);
                    self.composer.delta(text);
                    if let Some(violation) = violation {
                        violation.event.into_iter().for_each(|event| self.composer.event(event));
                        broken = violation.stops_with.map(Stop::SchemaViolation);
                    }
                    // What passes the day's bounds is kept, and so it is counted: the day is used up then.
                    if let Some(stop) = self.day_is_used_up() {
                        return Some(stop);
                    }
                }
            }
        }
        if !self.measure.has_text() && self.received_in_this_attempt() {
            self.measure.text();
        }
        if self.composer.has_pending() && self.waiting_since_ms.is_none() {
            self.waiting_since_ms = Some(self.app.clock.now_ms());
        }
        broken
    }

    fn output_bytes_max(&self) -> u64 {
        self.request.max_output_bytes.unwrap_or(self.app.config.max_output_bytes)
    }

    fn day_is_used_up(&self) -> Option<Stop> {
        let bytes = self.bounds.output_bytes.filter(|left| self.received_bytes > *left).map(Stop::OutputLimit);
        let spend = self.bounds.spend.filter(|bound| bound.is_passed(self.end.usage.as_ref(), self.received_bytes));
        bytes.or_else(|| spend.map(|bound| Stop::SpendLimit(bound.left)))
    }
}

fn time_is_up(give_up_at: Instant, stop_at: Option<Instant>) -> Option<Stop> {
    let now = Instant::now();
    if now >= give_up_at {
        return Some(Stop::Timeout);
    }
    stop_at.filter(|stop_at| now >= *stop_at).map(|_| Stop::Deadline)
}
