//! How a writer ends the log.

use super::{Stop, Writer};
use crate::error::Error;
use crate::generation::Status;
use crate::log::event::{End, Event};
use crate::log::reason;
use crate::providers::FinishMeaning;
use crate::quota::dollars;
use crate::verbs::stream::Streamed;

impl Writer {
    /// Stores the terminal event of an attempt that stopped so. A fenced writer stores nothing.
    pub(super) async fn end(&mut self, stop: Stop) -> Result<Streamed, Error> {
        let usage = self.usage(self.appender.totals().bytes);
        self.attempt.usage = usage.map(|usage| usage.last_attempt.unwrap_or(usage.total));
        self.attempt.end.usage = usage;
        let Some(end) = self.terminal(stop) else { return Ok(Streamed::Fenced) };
        let status = end.end().map_or(Status::Failed, |(status, _)| status);
        self.attempt.end = end.end().map(|(_, end)| end.clone()).unwrap_or_default();
        self.appender.composer.event(end);
        if self.flush_all().await? { Ok(Streamed::Ended(status)) } else { Ok(Streamed::Fenced) }
    }

    fn terminal(&mut self, stop: Stop) -> Option<Event> {
        let provider_status = if let Stop::Fault(error) = &stop { error.status } else { None };
        let (reason, message) = match stop {
            // Neither ends the log.
            Stop::Fenced | Stop::Stopping => return None,
            Stop::Finished => return Some(self.finished()),
            Stop::Cancelled => return Some(Event::Cancelled(std::mem::take(&mut self.attempt.end))),
            Stop::Fault(error)
                if self.meta.attempts_counted() >= self.attempts_max
                    && self.attempts_max > 1
                    && error.is_retryable()
                    && self.received_in_this_attempt() =>
            {
                let message = format!("{} attempts were interrupted; the last: {error}", self.attempts_max);
                (reason::ATTEMPTS_EXHAUSTED, message)
            }
            Stop::Fault(error) => (error.fault.code(), error.message),
            Stop::NotConfigured(message) => (reason::PROVIDER_NOT_CONFIGURED, message),
            Stop::OutputLimit(most) => (reason::OUTPUT_LIMIT, format!("the output is larger than {most} bytes")),
            Stop::SpendLimit(left) => {
                let left = dollars(left);
                (reason::SPEND_LIMIT, format!("it has cost the {left} that were left of its organization's day when it began"))
            }
            Stop::SchemaViolation(message) => (reason::SCHEMA_VIOLATION, message),
            Stop::Timeout => {
                let seconds = self.app.time_limit(self.request.timeout).as_secs();
                (reason::TIMEOUT, format!("it took longer than {seconds} s"))
            }
            Stop::Deadline => (reason::DEADLINE, "the function's time ran out before the provider had finished".into()),
        };
        self.appender.composer.close(false);
        let (reason, message) = (Some(reason.to_owned()), Some(message));
        let (usage, model) = (self.attempt.end.usage, self.attempt.end.model.take());
        let failed = self.attempt.finish.take().filter(|finish| finish.meaning == Some(FinishMeaning::Failed));
        let finish_reason = failed.map(|finish| finish.word);
        Some(Event::Failed(End { reason, message, finish_reason, provider_status, usage, model }))
    }

    fn finished(&mut self) -> Event {
        let finish = self.attempt.finish.take();
        let meaning = finish.as_ref().and_then(|finish| finish.meaning);
        let word = finish.map(|finish| finish.word);
        let (reason, message) = match meaning {
            Some(FinishMeaning::Completed) => (None, None),
            Some(FinishMeaning::MaxOutputTokens) => (Some(reason::MAX_OUTPUT_TOKENS), None),
            Some(FinishMeaning::ContentFilter) => (Some(reason::CONTENT_FILTER), None),
            // The decoder reports a failure as an error.
            Some(FinishMeaning::Failed) | None => {
                let word = word.as_deref().unwrap_or_default();
                let message = format!("the provider finished for a reason that is not known here: {word:?}");
                (Some(reason::UNKNOWN_FINISH_REASON), Some(message))
            }
        };
        let end = std::mem::take(&mut self.attempt.end);
        let end = End { reason: reason.map(str::to_owned), message, finish_reason: word, ..end };
        self.appender.composer.close(end.reason.is_none());
        if end.reason.is_none() { Event::Completed(end) } else { Event::Incomplete(end) }
    }
}
