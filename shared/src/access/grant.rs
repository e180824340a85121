//! The grant of a credential.

use super::read_token::Reads;
use super::scope::Scopes;
use crate::ids::{KeyId, Organization, UserId};

/// What a credential permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The organization it acts for.
    pub organization: Organization,
    /// The permitted actions.
    pub scopes: Scopes,
    /// The API key; `None`: a read token that was made without one.
    pub key: Option<KeyId>,
    /// Who acts: the API key's name if that is one of a user, or else the key's id; `None`: a read token.
    pub user: Option<UserId>,
    /// When it expires, in milliseconds since the epoch; `None`: it is valid until it is revoked.
    pub valid_until: Option<i64>,
    /// All that it reads; `None`: it is not bound so.
    pub reads: Option<Reads>,
}
