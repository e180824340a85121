//! Ids of the Responses API, which are derived from the generation's id.

use std::fmt;
use std::str::FromStr;

use crate::ids::{GenerationId, InvalidId};

const GENERATION: &str = "gen_";
const RESPONSE: &str = "resp_";

/// The Responses API's id of a generation: `resp_` and the same ULID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseId(GenerationId);

/// The kinds of items with derived ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// `msg_`.
    Message,
    /// `rs_`.
    Reasoning,
    /// `fc_`.
    FunctionCall,
    /// `ctc_`.
    CustomToolCall,
    /// `in_`: an input item that was sent without an id.
    Input,
}

impl ResponseId {
    /// The response id of `generation`.
    #[must_use]
    pub const fn of(generation: GenerationId) -> Self {
        Self(generation)
    }

    /// The generation.
    #[must_use]
    pub const fn generation(&self) -> &GenerationId {
        &self.0
    }

    /// The id of the item at `index`: never empty, and unique within its response.
    #[must_use]
    pub fn item(&self, kind: ItemKind, index: usize) -> String {
        let prefix = match kind {
            ItemKind::Message => "msg",
            ItemKind::Reasoning => "rs",
            ItemKind::FunctionCall => "fc",
            ItemKind::CustomToolCall => "ctc",
            ItemKind::Input => "in",
        };
        format!("{prefix}_{}_{index}", self.ulid())
    }

    /// The response that has an output item with this id.
    #[must_use]
    pub fn of_item(item: &str) -> Option<Self> {
        let (kind, rest) = item.split_once('_')?;
        let (ulid, _) = rest.rsplit_once('_')?;
        ["msg", "rs", "fc", "ctc"].contains(&kind).then(|| format!("{RESPONSE}{ulid}").parse().ok())?
    }

    fn ulid(&self) -> &str {
        self.0.as_str().trim_start_matches(GENERATION)
    }
}

impl fmt::Display for ResponseId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{RESPONSE}{}", self.ulid())
    }
}

impl FromStr for ResponseId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // Without the prefix the rest cannot be an id, so parsing fails with the error that describes one.
        let ulid = text.strip_prefix(RESPONSE).unwrap_or_default();
        format!("{GENERATION}{ulid}").parse().map(Self)
    }
}
