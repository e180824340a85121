//! The queue of a fleet's jobs, as SQS has it: messages that are received are hidden for a while, and after too many receives they are moved to
//! the queue of failures. In memory: a job that ends with the stack is found by the sweep of the next.

use std::time::{Duration, Instant};

/// As in `infra/fleet/fargate.yaml`.
const RECEIVES_MAX: u32 = 5;

/// A queue and its queue of failures.
#[derive(Debug, Default)]
pub struct Jobs {
    waiting: Vec<Message>,
    failed: Vec<Message>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id, which is its receipt handle too: the newest receiver and the one before it may both delete it.
    pub id: String,
    /// Its body.
    pub body: String,
    /// How often it has been received.
    pub receives: u32,
    visible_at: Instant,
}

impl Jobs {
    /// Adds a message, and returns its id.
    pub fn send(&mut self, body: String, now: Instant) -> String {
        let id = ulid::Ulid::generate().to_string();
        self.waiting.push(Message { id: id.clone(), body, receives: 0, visible_at: now });
        id
    }

    /// Up to `count` messages, oldest first, which are hidden for `hidden` from then on.
    pub fn receive(&mut self, count: usize, hidden: Duration, now: Instant) -> Vec<Message> {
        let (over, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|one| one.visible_at <= now && one.receives >= RECEIVES_MAX);
        self.failed.extend(over);
        self.waiting = rest;
        let visible = self.waiting.iter_mut().filter(|message| message.visible_at <= now).take(count);
        let receive = |message: &mut Message| {
            (message.receives, message.visible_at) = (message.receives + 1, now + hidden);
            message.clone()
        };
        visible.map(receive).collect()
    }

    /// Hides a received message for `hidden`; whether there is one.
    pub fn hide(&mut self, id: &str, hidden: Duration, now: Instant) -> bool {
        let message = self.waiting.iter_mut().find(|message| message.id == id);
        message.map(|message| message.visible_at = now + hidden).is_some()
    }

    /// Deletes a message, if it is there.
    pub fn delete(&mut self, id: &str) {
        self.waiting.retain(|message| message.id != id);
    }

    /// The messages that wait or are hidden, and the bodies of those that were received too often.
    pub fn counts(&self) -> (usize, Vec<String>) {
        (self.waiting.len(), self.failed.iter().map(|message| message.body.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: Duration = Duration::from_secs(30);

    #[test]
    fn received_message_is_hidden_until_it_comes_back_or_is_deleted() {
        let (mut jobs, now) = (Jobs::default(), Instant::now());
        for body in ["a", "b", "c"] {
            jobs.send(body.to_owned(), now);
        }
        let bodies = |messages: &[Message]| messages.iter().map(|message| message.body.clone()).collect::<String>();
        let first = jobs.receive(2, HIDDEN, now);
        assert_eq!(bodies(&first), "ab");
        assert_eq!(bodies(&jobs.receive(10, HIDDEN, now)), "c");
        assert_eq!(bodies(&jobs.receive(10, HIDDEN, now + HIDDEN / 2)), "");
        jobs.delete(&first[0].id);
        assert!(jobs.hide(&first[1].id, HIDDEN, now + HIDDEN / 2) && !jobs.hide(&first[0].id, HIDDEN, now));
        assert_eq!(bodies(&jobs.receive(10, HIDDEN, now + HIDDEN)), "c");
        let again = jobs.receive(10, HIDDEN, now + HIDDEN * 3 / 2);
        assert_eq!((bodies(&again).as_str(), again[0].receives), ("b", 2));
    }

    #[test]
    fn message_that_comes_back_too_often_is_moved_to_the_failures() {
        let (mut jobs, now) = (Jobs::default(), Instant::now());
        jobs.send("poison".to_owned(), now);
        for receives in 1..=RECEIVES_MAX {
            assert_eq!(jobs.receive(1, Duration::ZERO, now)[0].receives, receives);
        }
        assert!(jobs.receive(1, Duration::ZERO, now).is_empty());
        assert_eq!(jobs.counts(), (0, vec!["poison".to_owned()]));
    }
}
