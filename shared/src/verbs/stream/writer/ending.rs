//! How a writer ends the log.

use super::{Stop, Writer};
use crate::error::Error;
use crate::generation::Status;
use crate::log::event::{End, Event};
use crate::providers::Fault;
use crate::quota::dollars;
use crate::verbs::stream::Streamed;

impl Writer {
    pub(super) fn terminal(&mut self, stop: Stop, attempts_max: u32) -> Event {
        let (reason, message) = match stop {
            Stop::Finished => return self.finished(),
            Stop::Cancelled => return Event::Cancelled(std::mem::take(&mut self.end)),
            Stop::Fault(error)
                if self.meta.attempts_counted() >= attempts_max
                    && attempts_max > 1
                    && error.is_retryable()
                    && self.received_in_this_attempt() =>
            {
                ("attempts_exhausted", format!("{attempts_max} attempts were interrupted; the last: {error}"))
            }
            Stop::Fault(error) => (error.fault.code(), error.message),
            Stop::NotConfigured(message) => ("provider_not_configured", message),
            Stop::OutputLimit(most) => ("output_limit", format!("the output is larger than {most} bytes")),
            Stop::SpendLimit(left) => (
                "spend_limit",
                format!("it has cost the {} that were left of its organization's day when it began", dollars(left)),
            ),
            Stop::SchemaViolation(message) => ("schema_violation", message),
            Stop::Timeout => ("timeout", format!("it took longer than {} s", self.app.config.timeouts.generation.as_secs())),
            Stop::Deadline => ("deadline", "the function's time ran out before the provider had finished".into()),
            Stop::Fenced => ("interrupted", Fault::Interrupted.code().into()),
        };
        self.composer.close(false);
        let (reason, message) = (Some(reason.to_owned()), Some(message));
        Event::Failed(End { reason, message, usage: self.end.usage, model: self.end.model.take(), ..End::default() })
    }

    fn finished(&mut self) -> Event {
        let end = End { finish_reason: self.finish.take(), ..std::mem::take(&mut self.end) };
        let reason = match end.finish_reason.as_deref() {
            Some("length" | "max_tokens") => "max_output_tokens",
            Some("content_filter") => "content_filter",
            _ => {
                self.composer.close(true);
                return Event::Completed(end);
            }
        };
        self.composer.close(false);
        Event::Incomplete(End { reason: Some(reason.to_owned()), ..end })
    }

    pub(super) async fn finish(&mut self, end: Event) -> Result<Streamed, Error> {
        let status = end.end().map_or(Status::Failed, |(status, _)| status);
        self.end = end.end().map(|(_, end)| end.clone()).unwrap_or_default();
        self.composer.event(end);
        if self.flush_all().await? { Ok(Streamed::Ended(status)) } else { Ok(Streamed::Fenced) }
    }
}
