//! A delivery: one event on its way to one endpoint. Its state changes by pure functions; who stores it does so only from the state that
//! it has read.

use serde::{Deserialize, Serialize};

use super::Notification;
use super::schedule::{self, Answer, LEASE, Next, Reason};
use crate::clock::{millis, millis_of, rfc3339};
use crate::ids::{DeliveryId, EndpointId, EventId, Organization};
use crate::limits::DELIVERY_ATTEMPTS_KEPT;

/// The status of a delivery. The last two are terminal and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// It is on its way.
    Pending,
    /// The receiver has taken it.
    Succeeded,
    /// It has failed for good.
    Failed,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Succeeded, Self::Failed];

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began, RFC 3339.
    pub at: String,
    /// The receiver's status.
    #[serde(default)]
    pub status_code: Option<u16>,
    /// Why there was none.
    #[serde(default)]
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The beginning of the answer, at most [`limits::WEBHOOK_ANSWER_KEPT_MAX`](crate::limits::WEBHOOK_ANSWER_KEPT_MAX) bytes.
    #[serde(default)]
    pub response: Option<String>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// What it tells: the id that the receiver gets in `webhook-id`, whatever number of tries and deliveries there are.
    pub event: EventId,
    /// The event's type, as the endpoint is told it.
    #[serde(rename = "type")]
    pub name: String,
    /// What is sent.
    pub body: String,
    /// The status.
    pub status: DeliveryStatus,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Tries that have ended.
    pub tries: u32,
    /// The newest of them, oldest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// When it is to be tried, in milliseconds since the epoch. Present while it is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<i64>,
    /// Until when it is being tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<i64>,
    /// The delivery that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_of: Option<DeliveryId>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

impl Delivery {
    /// The delivery of an event, due at once. It has one id however often it is made.
    #[must_use]
    pub fn new(notification: &Notification, endpoint: &EndpointId, name: String, body: String, now_ms: i64) -> Self {
        let id = DeliveryId::of(millis_of(&notification.at).unwrap_or(now_ms), &[notification.id.as_str(), endpoint.as_str()]);
        Self {
            id,
            endpoint: endpoint.clone(),
            event: notification.id.clone(),
            name,
            body,
            status: DeliveryStatus::Pending,
            reason: None,
            tries: 0,
            attempts: Vec::new(),
            due_ms: Some(now_ms),
            leased_until: None,
            resend_of: None,
            created_at: rfc3339(now_ms),
            ended_at: None,
        }
    }

    /// The same event to the same endpoint again. `id_ms` and `distinct` tell one repetition from another: the same ones have one id.
    #[must_use]
    pub fn again(&self, id_ms: i64, now_ms: i64, distinct: &str) -> Self {
        Self {
            id: DeliveryId::of(id_ms, &[self.id.as_str(), distinct]),
            status: DeliveryStatus::Pending,
            reason: None,
            tries: 0,
            attempts: Vec::new(),
            due_ms: Some(now_ms),
            leased_until: None,
            resend_of: Some(self.id.clone()),
            created_at: rfc3339(now_ms),
            ended_at: None,
            ..self.clone()
        }
    }

    /// The delivery while it is being tried; `None`: it has ended, is not due yet, or somebody else is trying it.
    #[must_use]
    pub fn taken(&self, now_ms: i64) -> Option<Self> {
        let is_due = self.due_ms.is_some_and(|due| due <= now_ms);
        let is_free = self.leased_until.is_none_or(|until| until <= now_ms);
        let leased_until = Some(now_ms.saturating_add(millis(LEASE)));
        (self.status == DeliveryStatus::Pending && is_due && is_free).then(|| Self { leased_until, ..self.clone() })
    }

    /// The delivery after a try that ended at `now_ms`.
    #[must_use]
    pub fn tried(&self, attempt: Attempt, answer: &Answer, now_ms: i64, jitter: f64) -> Self {
        let mut next = Self { tries: self.tries + 1, leased_until: None, ..self.clone() };
        next.attempts.push(attempt);
        let surplus = next.attempts.len().saturating_sub(DELIVERY_ATTEMPTS_KEPT);
        next.attempts.drain(..surplus);
        match schedule::next(next.tries, answer, now_ms, jitter) {
            Next::Again(at) => next.due_ms = Some(at),
            Next::Succeeded => next.end(DeliveryStatus::Succeeded, None, now_ms),
            Next::Failed(reason) => next.end(DeliveryStatus::Failed, Some(reason), now_ms),
        }
        next
    }

    /// The delivery, given up without a try.
    #[must_use]
    pub fn given_up(&self, reason: Reason, now_ms: i64) -> Self {
        let mut next = Self { leased_until: None, ..self.clone() };
        next.end(DeliveryStatus::Failed, Some(reason), now_ms);
        next
    }

    fn end(&mut self, status: DeliveryStatus, reason: Option<Reason>, now_ms: i64) {
        (self.status, self.reason, self.due_ms, self.ended_at) = (status, reason, None, Some(rfc3339(now_ms)));
    }
}

/// The deliveries of an invocation of `deliver`, all of one organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverJob {
    /// The organization.
    pub organization: Organization,
    /// Them.
    pub deliveries: Vec<DeliveryId>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::notifications::EventType;
    use crate::notifications::notify::Notify;

    const NOW: i64 = 1_795_253_400_000;

    fn delivery() -> Delivery {
        let organization = "acme".parse().unwrap();
        let happened = Notification::new(&organization, EventType::BatchCompleted, "bat_1", NOW, Map::new(), &Notify::default());
        Delivery::new(&happened, &EndpointId::new(NOW), "batch.completed".into(), "{}".into(), NOW)
    }

    fn attempt(at: i64) -> Attempt {
        Attempt { at: rfc3339(at), status_code: None, error: None, ms: 1, response: None }
    }

    #[test]
    fn a_delivery_again_is_another_one_of_the_same_event() {
        let first = delivery();
        let failed = first.given_up(Reason::EndpointDisabled, NOW + 1);
        let again = failed.again(NOW + 1, NOW + 2, "recover");
        assert_eq!(
            (again.event.clone(), again.body.as_str(), again.status),
            (first.event.clone(), "{}", DeliveryStatus::Pending)
        );
        assert_eq!((again.resend_of.clone(), again.reason, again.tries), (Some(first.id.clone()), None, 0));
        assert_eq!(again.id, failed.again(NOW + 1, NOW + 9, "recover").id);
        assert_ne!(again.id, failed.again(NOW + 1, NOW + 2, "other").id);
        assert!(first.id < again.id);
    }

    /// What happens next to a stored delivery.
    #[derive(Clone, Debug)]
    enum Step {
        /// Somebody reads it.
        Read,
        /// Who has read it at this place tries to take it.
        Take(usize),
        /// Who has taken it at this place gets this answer, and stores it.
        Answer(usize, u16),
        /// Time passes, in seconds.
        Wait(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Read),
            (0_usize..6).prop_map(Step::Take),
            (0_usize..6, prop_oneof![Just(200_u16), Just(500), Just(429), Just(410), Just(302)])
                .prop_map(|(who, code)| Step::Answer(who, code)),
            prop_oneof![0_u32..30, 0_u32..100_000].prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 1..120)
    }

    proptest! {
        /// Any number of invocations, late, twice, side by side or killed: a write applies only to the state that it was made from.
        #[test]
        fn no_delivery_is_tried_by_two_at_once_or_after_its_end(steps in steps()) {
            let (mut now, mut stored) = (NOW, delivery());
            let (mut read, mut taken): (Vec<Delivery>, Vec<(Delivery, i64)>) = (Vec::new(), Vec::new());
            for step in steps {
                let before = stored.clone();
                match step {
                    Step::Read => read.push(stored.clone()),
                    Step::Wait(seconds) => now += i64::from(seconds) * 1_000,
                    Step::Take(who) => {
                        let Some(seen) = read.get(who).cloned() else { continue };
                        if let Some(next) = seen.taken(now).filter(|_| seen == stored) {
                            // Whoever took it before has had its time.
                            prop_assert!(taken.iter().all(|(earlier, until)| earlier.tries < next.tries || *until <= now));
                            taken.push((next.clone(), next.leased_until.unwrap()));
                            stored = next;
                        }
                    }
                    Step::Answer(who, code) => {
                        let Some((held, _)) = taken.get(who).cloned() else { continue };
                        let next = held.tried(attempt(now), &Answer::of(code), now, 0.0);
                        if held == stored {
                            stored = next;
                        }
                    }
                }
                prop_assert!(before.status == DeliveryStatus::Pending || stored == before, "a terminal status never flips");
                prop_assert_eq!(stored.due_ms.is_some(), stored.status == DeliveryStatus::Pending);
                prop_assert_eq!(stored.ended_at.is_some(), stored.status != DeliveryStatus::Pending);
                prop_assert!(stored.tries <= schedule::TRIES_MAX && stored.tries >= before.tries);
                prop_assert_eq!(stored.attempts.len(), (stored.tries as usize).min(DELIVERY_ATTEMPTS_KEPT));
                prop_assert_eq!(stored.status == DeliveryStatus::Failed, stored.reason.is_some());
            }
        }
    }
}
