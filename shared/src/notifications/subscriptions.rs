//! Which generations, versions, entities, imports and subjects an organization's endpoints want to be told of, as `start` learns it with the quota:
//! where nobody wants anything, an end costs nothing more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::EventType;
use super::endpoint::Endpoint;
use super::notify::Notify;
use crate::ids::UserId;

/// What endpoints want of ends that nobody's transaction tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Ends of generations.
    Generations,
    /// Ends of generations that the Responses API has made.
    Responses,
    /// Versions of subjects.
    Versions,
    /// Decisions on entities.
    Entities,
    /// Imports.
    Imports,
    /// Deletions of subjects.
    Subjects,
}

impl Topic {
    /// Every topic, in the order in which they came to be: new ones are added at the end.
    pub const ALL: [Self; 6] =
        [Self::Generations, Self::Responses, Self::Versions, Self::Entities, Self::Imports, Self::Subjects];
    /// How many of them a row knows that does not tell.
    pub const KNOWN_AT_FIRST: usize = 3;

    /// The name in the row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generations => "generations",
            Self::Responses => "responses",
            Self::Versions => "versions",
            Self::Entities => "entities",
            Self::Imports => "imports",
            Self::Subjects => "subjects",
        }
    }
}

/// The topics that at least one endpoint wants. One too many costs a little; one too few would lose events.
pub type Topics = BTreeSet<Topic>;

/// The topics that a row tells, which knew the first `known`. Its endpoints may want those that came to be since: `*` is a filter.
#[must_use]
pub fn with_newer(mut topics: Topics, known: usize) -> Topics {
    if !topics.is_empty() {
        topics.extend(Topic::ALL.into_iter().skip(known));
    }
    topics
}

const ENDS: [EventType; 4] = [
    EventType::GenerationCompleted,
    EventType::GenerationIncomplete,
    EventType::GenerationFailed,
    EventType::GenerationCancelled,
];

const ENTITIES: [EventType; 4] =
    [EventType::EntityApproved, EventType::EntityRejected, EventType::EntityArchived, EventType::EntityEdited];
const IMPORTS: [EventType; 2] = [EventType::ImportCompleted, EventType::ImportReverted];

/// The topics of these endpoints.
#[must_use]
pub fn topics<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Topics {
    let mut topics = Topics::new();
    for endpoint in endpoints {
        let wants = |event, is_response| endpoint.wants(event, is_response).is_some();
        let of_plain = ENDS.into_iter().any(|end| wants(end, false));
        let of_responses = ENDS.into_iter().any(|end| wants(end, true));
        topics.extend(of_plain.then_some(Topic::Generations));
        topics.extend((of_responses && !of_plain).then_some(Topic::Responses));
        topics.extend(wants(EventType::VersionCreated, false).then_some(Topic::Versions));
        topics.extend(ENTITIES.into_iter().any(|event| wants(event, false)).then_some(Topic::Entities));
        topics.extend(wants(EventType::SubjectDeleted, false).then_some(Topic::Subjects));
        topics.extend(IMPORTS.into_iter().any(|event| wants(event, false)).then_some(Topic::Imports));
    }
    topics
}

/// Who is told of the end of a generation, as its record has it: decided when it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnEnd {
    /// Whether endpoints are told of the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub webhook: bool,
    /// The users that are told of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserId>,
    /// Whether the Responses API has made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub response: bool,
    /// Whether endpoints are told of the version that it becomes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub version: bool,
}

impl OnEnd {
    /// Who is told of a new generation's end. `asked` is the request's own `notify`. `None`: nobody, and nothing is stored.
    #[must_use]
    pub fn of(topics: &Topics, asked: Option<Notify>, response: bool, has_subject: bool) -> Option<Self> {
        let is_wanted = topics.contains(&Topic::Generations) || response && topics.contains(&Topic::Responses);
        let may = asked.as_ref().is_none_or(|asked| asked.webhook);
        let users = asked.map(|asked| asked.users).unwrap_or_default();
        let version = has_subject && may && topics.contains(&Topic::Versions);
        let on_end = Self { webhook: may && is_wanted, users, response, version };
        (on_end.webhook || on_end.version || !on_end.users.is_empty()).then_some(on_end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::tests::endpoint;
    use super::super::endpoint::{Dialect, Disabled};
    use super::*;

    #[test]
    fn topics_are_what_enabled_endpoints_want() {
        let of = |dialect, events: &[&str]| topics([&endpoint(dialect, events)]).into_iter().collect::<Vec<_>>();
        assert_eq!(of(Dialect::Longhand, &["batch.*"]), []);
        assert_eq!(of(Dialect::Longhand, &["generation.failed"]), [Topic::Generations]);
        assert_eq!(
            of(Dialect::Longhand, &["*"]),
            [Topic::Generations, Topic::Versions, Topic::Entities, Topic::Imports, Topic::Subjects]
        );
        assert_eq!(of(Dialect::Longhand, &["entity.edited"]), [Topic::Entities]);
        assert_eq!(of(Dialect::Openai, &["*"]), [Topic::Responses]);
        assert_eq!(of(Dialect::Openai, &["batch.*"]), []);
        let disabled = Endpoint { disabled: Some(Disabled::Gone), ..endpoint(Dialect::Longhand, &["*"]) };
        assert!(topics([&disabled]).is_empty());
    }

    #[test]
    fn a_row_that_knows_fewer_topics_wants_the_newer_ones_unless_it_wants_none() {
        let all = Topics::from(Topic::ALL);
        assert_eq!(with_newer(Topics::from([Topic::Generations]), Topic::ALL.len()), Topics::from([Topic::Generations]));
        let newer = with_newer(Topics::from([Topic::Generations, Topic::Versions]), Topic::KNOWN_AT_FIRST);
        assert_eq!(all.difference(&newer).collect::<Vec<_>>(), [&Topic::Responses]);
        assert!(with_newer(Topics::new(), 0).is_empty());
        for topic in Topic::ALL {
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.as_str());
        }
    }

    #[test]
    fn nobody_is_told_where_nobody_asks() {
        let none = Topics::new();
        assert_eq!(OnEnd::of(&none, None, true, true), None);
        let ada = || Notify { webhook: true, users: vec!["ada".parse().unwrap()] };
        let asked = OnEnd::of(&none, Some(ada()), false, true).unwrap();
        assert_eq!((asked.webhook, asked.users.len(), asked.version), (false, 1, false));
        let all = Topics::from([Topic::Generations, Topic::Versions]);
        let told = OnEnd::of(&all, None, false, true).unwrap();
        assert_eq!((told.webhook, told.version, told.response), (true, true, false));
        assert_eq!(OnEnd::of(&all, Some(Notify { webhook: false, users: Vec::new() }), false, true), None, "muted");
        let responses = Topics::from([Topic::Responses]);
        assert_eq!(OnEnd::of(&responses, None, false, false), None);
        assert!(OnEnd::of(&responses, None, true, false).unwrap().response);
    }
}
