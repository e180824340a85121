//! Payloads of asynchronous invocations of `stream`.

use serde::{Deserialize, Serialize};

use crate::ids::{GenerationId, GenerationKey, Organization};
use crate::limits::RIDERS_MAX;

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamJob {
    /// The organization.
    pub organization: Organization,
    /// The generation.
    pub generation: GenerationId,
    /// The response at the provider that is to be cancelled, if the generation has ended without its writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Whether the generation was just created: unless the job comes twice, nobody has begun it, and there is no log to read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// Generations of one organization that are written side by side in one invocation: 1 to [`RIDERS_MAX`], each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRide")]
pub struct RideJob {
    organization: Organization,
    generations: Vec<GenerationId>,
    /// As in [`StreamJob`], of all of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fresh: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedRide {
    organization: Organization,
    generations: Vec<GenerationId>,
    #[serde(default)]
    fresh: bool,
}

/// A payload of `stream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// `{"organization":…,"generation":…}`.
    One(StreamJob),
    /// `{"organization":…,"generations":[…]}`.
    Ride(RideJob),
}

impl StreamJob {
    /// The job for a generation.
    #[must_use]
    pub fn new(key: &GenerationKey) -> Self {
        Self { organization: key.organization.clone(), generation: key.generation.clone(), upstream: None, fresh: false }
    }

    /// The job for a generation that was just created.
    #[must_use]
    pub fn fresh(key: &GenerationKey) -> Self {
        Self { fresh: true, ..Self::new(key) }
    }

    /// The generation's key.
    #[must_use]
    pub fn key(&self) -> GenerationKey {
        GenerationKey::new(self.organization.clone(), self.generation.clone())
    }
}

impl RideJob {
    /// The job for these generations.
    ///
    /// # Errors
    /// One sentence: there are none, or more than [`RIDERS_MAX`], or one of them twice.
    pub fn new(organization: Organization, generations: Vec<GenerationId>) -> Result<Self, String> {
        if generations.is_empty() || generations.len() > RIDERS_MAX {
            return Err(format!("`generations` must have 1 to {RIDERS_MAX} ids, not {}", generations.len()));
        }
        let twice =
            generations.iter().enumerate().find(|(place, id)| generations.iter().take(*place).any(|before| before == *id));
        match twice {
            Some((_, id)) => Err(format!("`generations` must have each id once, and has {id} twice")),
            None => Ok(Self { organization, generations, fresh: false }),
        }
    }

    /// The same of generations that were just created.
    #[must_use]
    pub fn of_fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// The organization.
    #[must_use]
    pub const fn organization(&self) -> &Organization {
        &self.organization
    }

    /// The generations' keys.
    pub fn keys(&self) -> impl Iterator<Item = GenerationKey> {
        self.generations.iter().map(|id| GenerationKey::new(self.organization.clone(), id.clone()))
    }

    /// A job for each generation.
    pub fn jobs(&self) -> impl Iterator<Item = StreamJob> {
        self.keys().map(|key| StreamJob { fresh: self.fresh, ..StreamJob::new(&key) })
    }
}

impl TryFrom<UncheckedRide> for RideJob {
    type Error = String;

    fn try_from(ride: UncheckedRide) -> Result<Self, String> {
        Self::new(ride.organization, ride.generations).map(|checked| Self { fresh: ride.fresh, ..checked })
    }
}

impl Job {
    /// Parses a payload.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_json(payload: serde_json::Value) -> Result<Self, serde_json::Error> {
        if payload.get("generations").is_some() {
            serde_json::from_value(payload).map(Self::Ride)
        } else {
            serde_json::from_value(payload).map(Self::One)
        }
    }

    /// The keys of its generations.
    #[must_use]
    pub fn keys(&self) -> Vec<GenerationKey> {
        match self {
            Self::One(job) => vec![job.key()],
            Self::Ride(job) => job.keys().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(count: u32) -> Vec<String> {
        (0..count).map(|number| GenerationId::new(1_700_000_000_000 + i64::from(number)).to_string()).collect()
    }

    #[test]
    fn payloads_read_back_as_written() {
        for payload in [
            json!({ "organization": "acme", "generation": ids(1)[0] }),
            json!({ "organization": "acme", "generation": ids(1)[0], "upstream": "resp_1" }),
            json!({ "organization": "acme", "generation": ids(1)[0], "fresh": true }),
            json!({ "organization": "acme", "generations": ids(1) }),
            json!({ "organization": "acme", "generations": ids(2), "fresh": true }),
            json!({ "organization": "acme", "generations": ids(8) }),
        ] {
            let written = match Job::from_json(payload.clone()).unwrap() {
                Job::One(job) => serde_json::to_value(job),
                Job::Ride(job) => serde_json::to_value(job),
            };
            assert_eq!(written.unwrap(), payload);
        }
    }

    #[test]
    fn wrong_payloads_are_refused_with_a_reason() {
        let one = ids(1);
        for (payload, why) in [
            (json!({ "organization": "acme", "generations": [] }), "must have 1 to 8 ids, not 0"),
            (json!({ "organization": "acme", "generations": ids(9) }), "must have 1 to 8 ids, not 9"),
            (json!({ "organization": "acme", "generations": [one[0], one[0]] }), "twice"),
            (json!({ "organization": "acme", "generations": one, "upstream": "r" }), "unknown field `upstream`"),
            (json!({ "organization": "a#b", "generations": one }), "organization"),
            (json!({ "organization": "acme" }), "missing field `generation`"),
            (json!(7), "expected"),
        ] {
            let refused = Job::from_json(payload.clone()).unwrap_err().to_string();
            assert!(refused.contains(why), "{payload}: {refused}");
        }
    }
}
