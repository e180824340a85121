//! An endpoint: where events are sent to, which ones, and how it fares.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::EventType;
use super::schedule::{Answer, FAILING_MAX, FAILURES_MIN};
use crate::clock::{millis, rfc3339};
use crate::ids::{EndpointId, UserId};
use crate::limits::WEBHOOK_SECRET_OVERLAP;

/// What the receiver is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A program that verifies signatures.
    #[default]
    Webhook,
    /// An incoming webhook of Slack: it gets one sentence, unsigned. Its address is its secret.
    Slack,
    /// A mailbox, whose address is `mailto:` and that of the mailbox: it gets a few lines of text, through Amazon SES.
    Email,
}

/// The form of what is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// That of Standard Webhooks, with counts.
    #[default]
    Longhand,
    /// That of OpenAI's webhooks: responses, and batches.
    Openai,
}

/// Why an endpoint is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disabled {
    /// By its owner.
    ByOwner,
    /// It answered 410.
    Gone,
    /// Nothing has reached it for days.
    Failing,
}

/// Which events an endpoint wants: a type, all types of a family (`batch.*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventFilter(String);

/// The names of all families and types that OpenAI's dialect has and Longhand's has not.
const OPENAI_ONLY: [&str; 5] =
    ["response.*", "response.completed", "response.incomplete", "response.failed", "response.cancelled"];

impl EventFilter {
    /// Every filter there is, for an API's document.
    pub fn all() -> impl Iterator<Item = &'static str> {
        let mut families: Vec<&str> = EventType::ALL.into_iter().filter_map(EventType::family).collect();
        families.dedup();
        let types = EventType::ALL.into_iter().filter(|event| event.family().is_some()).map(EventType::as_str);
        ["*"].into_iter().chain(families).chain(types).chain(OPENAI_ONLY)
    }

    /// Whether it has this type.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => self.0 == name,
        }
    }

    /// Whether endpoints of a dialect may have it.
    #[must_use]
    pub fn is_of(&self, dialect: Dialect) -> bool {
        let is_common = self.0 == "*" || self.0.starts_with("batch.");
        is_common || OPENAI_ONLY.contains(&self.0.as_str()) == (dialect == Dialect::Openai)
    }
}

impl FromStr for EventFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::all().any(|known| known == text);
        if known { Ok(Self(text.to_owned())) } else { Err(format!("there are no events {text:?}")) }
    }
}

impl TryFrom<String> for EventFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<EventFilter> for String {
    fn from(filter: EventFilter) -> Self {
        filter.0
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a secret of an endpoint is derived with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salt {
    /// 128 random bits in hex.
    pub salt: String,
    /// Until when it signs beside a newer one, in milliseconds since the epoch; `None`: it is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Where it is.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// The form of what it gets.
    pub dialect: Dialect,
    /// What it wants: at least one.
    pub events: Vec<EventFilter>,
    /// What its owner says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Why it is disabled; `None`: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// The newest first; none where nothing is signed.
    pub salts: Vec<Salt>,
    /// When the first try failed since the last one that did not, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<i64>,
    /// Tries that failed since then.
    #[serde(default)]
    pub failures: u64,
    /// Counts its changes. A change applies to the revision that it was made from, or not at all.
    pub revision: u64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// The id of the key that created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who is told when it is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

impl Endpoint {
    /// Its address, as it may be shown: of Slack's, which is its secret, the host alone.
    #[must_use]
    pub fn shown_url(&self) -> String {
        match self.kind {
            Kind::Webhook | Kind::Email => self.url.clone(),
            Kind::Slack => {
                let host = self.url.split('/').nth(2).unwrap_or_default();
                format!("https://{host}/…")
            }
        }
    }

    /// By which name it is told of an event; `None`: it does not want it. `is_response`: the generation was made by the Responses API.
    #[must_use]
    pub fn wants(&self, event: EventType, is_response: bool) -> Option<String> {
        let name = match self.dialect {
            Dialect::Longhand => event.as_str().to_owned(),
            Dialect::Openai => openai_name(event, is_response)?,
        };
        (self.disabled.is_none() && self.events.iter().any(|filter| filter.has(&name))).then_some(name)
    }

    /// The endpoint after a try that ended with `answer` at `now_ms`; `None`: nothing about it changes, as where all is well.
    #[must_use]
    pub fn after(&self, answer: &Answer, now_ms: i64) -> Option<Self> {
        let changed = |failing_since, failures, disabled| Self {
            failing_since,
            failures,
            disabled,
            revision: self.revision + 1,
            updated_at: if disabled == self.disabled { self.updated_at.clone() } else { rfc3339(now_ms) },
            ..self.clone()
        };
        if self.disabled.is_some() {
            return None;
        }
        if answer.is_success() {
            return self.failing_since.map(|_| changed(None, 0, None));
        }
        let (since, failures) = (self.failing_since.unwrap_or(now_ms), self.failures + 1);
        let is_hopeless = now_ms.saturating_sub(since) >= millis(FAILING_MAX) && failures >= FAILURES_MIN;
        let disabled = match answer {
            _ if answer.is_gone() => Some(Disabled::Gone),
            _ if is_hopeless => Some(Disabled::Failing),
            _ => None,
        };
        Some(changed(Some(since), failures, disabled))
    }

    /// The endpoint with a new secret. The one before signs for another day, and older ones no more.
    #[must_use]
    pub fn rotated(&self, salt: String, now_ms: i64) -> Self {
        let until_ms = now_ms.saturating_add(millis(WEBHOOK_SECRET_OVERLAP));
        let last = self.salts.first().map(|last| Salt { until_ms: Some(until_ms), ..last.clone() });
        let salts = [Salt { salt, until_ms: None }].into_iter().chain(last).collect();
        Self { salts, revision: self.revision + 1, updated_at: rfc3339(now_ms), ..self.clone() }
    }

    /// The salts of the secrets that sign at `now_ms`, the newest first.
    pub fn signing(&self, now_ms: i64) -> impl Iterator<Item = &str> {
        let signs = move |salt: &&Salt| salt.until_ms.is_none_or(|until| now_ms < until);
        self.salts.iter().filter(signs).map(|salt| salt.salt.as_str())
    }
}

/// The type of an event in OpenAI's webhooks. They have no others of ours.
fn openai_name(event: EventType, is_response: bool) -> Option<String> {
    match event.as_str().split_once('.')? {
        ("generation", rest) if is_response => Some(format!("response.{rest}")),
        ("batch" | "test", _) => Some(event.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_253_400_000;

    pub fn endpoint(dialect: Dialect, events: &[&str]) -> Endpoint {
        Endpoint {
            id: EndpointId::new(NOW),
            url: "https://example.com/hook".into(),
            kind: Kind::Webhook,
            dialect,
            events: events.iter().map(|filter| filter.parse().unwrap()).collect(),
            description: None,
            disabled: None,
            salts: vec![Salt { salt: "a".into(), until_ms: None }],
            failing_since: None,
            failures: 0,
            revision: 1,
            created_at: rfc3339(NOW),
            updated_at: rfc3339(NOW),
            created_by: None,
            user: None,
        }
    }

    #[test]
    fn filters_choose_types_in_each_dialect() {
        let own = endpoint(Dialect::Longhand, &["batch.*", "generation.failed"]);
        assert_eq!(own.wants(EventType::BatchFailed, false).as_deref(), Some("batch.failed"));
        assert_eq!(own.wants(EventType::GenerationFailed, true).as_deref(), Some("generation.failed"));
        assert_eq!(own.wants(EventType::GenerationCompleted, false), None);
        let openai = endpoint(Dialect::Openai, &["*"]);
        assert_eq!(openai.wants(EventType::GenerationCompleted, true).as_deref(), Some("response.completed"));
        assert_eq!(openai.wants(EventType::BatchCancelled, false).as_deref(), Some("batch.cancelled"));
        for absent in
            [(EventType::GenerationCompleted, false), (EventType::VersionCreated, false), (EventType::EndpointDisabled, true)]
        {
            assert_eq!(openai.wants(absent.0, absent.1), None, "{absent:?}");
        }
        let disabled = Endpoint { disabled: Some(Disabled::ByOwner), ..own };
        assert_eq!(disabled.wants(EventType::BatchFailed, false), None);
        for filter in EventFilter::all() {
            assert_eq!(filter.parse::<EventFilter>().unwrap().to_string(), filter);
        }
        for wrong in ["", "batch", "batch.", "test.ping", "generation.completed.*", "**"] {
            assert!(wrong.parse::<EventFilter>().is_err(), "{wrong}");
        }
        let is_of = |filter: &str, dialect| filter.parse::<EventFilter>().unwrap().is_of(dialect);
        assert!(is_of("response.*", Dialect::Openai) && !is_of("response.*", Dialect::Longhand));
        assert!(is_of("version.created", Dialect::Longhand) && !is_of("generation.*", Dialect::Openai));
        assert!(is_of("batch.failed", Dialect::Longhand) && is_of("batch.failed", Dialect::Openai));
    }

    #[test]
    fn a_rotation_leaves_the_last_secret_for_a_day() {
        let first = endpoint(Dialect::Longhand, &["*"]);
        let second = first.rotated("b".into(), NOW);
        let third = second.rotated("c".into(), NOW + 1_000);
        let signing = |endpoint: &Endpoint, at| endpoint.signing(at).map(str::to_owned).collect::<Vec<_>>();
        let day = 86_400_000;
        assert_eq!(signing(&second, NOW + day - 1), ["b", "a"]);
        assert_eq!(signing(&second, NOW + day), ["b"]);
        assert_eq!(signing(&third, NOW + 2_000), ["c", "b"]);
    }

    proptest! {
        #[test]
        fn an_endpoint_is_disabled_by_410_or_by_days_without_success_alone(
            tries in proptest::collection::vec((0_u8..10, 1_u64..40), 1..60),
        ) {
            let (mut now, mut held) = (NOW, endpoint(Dialect::Longhand, &["*"]));
            let (mut since, mut failures) = (None, 0);
            for (kind, hours) in tries {
                now += millis(Duration::from_hours(hours));
                let answer = match kind {
                    0 => Answer::of(200),
                    1 => Answer::of(410),
                    2 => Answer::Error("timeout"),
                    _ => Answer::of(500),
                };
                let next = held.after(&answer, now);
                if held.disabled.is_some() {
                    prop_assert_eq!(next, None, "what is disabled stays so");
                    continue;
                }
                if kind == 0 {
                    (since, failures) = (None, 0);
                } else {
                    since = since.or(Some(now));
                    failures += 1;
                }
                let expected = match (kind, since) {
                    (1, _) => Some(Disabled::Gone),
                    (0, _) | (_, None) => None,
                    (_, Some(since)) => (now - since >= millis(FAILING_MAX) && failures >= FAILURES_MIN).then_some(Disabled::Failing),
                };
                if let Some(next) = next {
                    prop_assert_eq!(next.revision, held.revision + 1);
                    held = next;
                }
                prop_assert_eq!((held.failing_since, held.failures, held.disabled), (since, failures, expected));
            }
        }
    }
}
