//! `authorize`: what a credential allows.

use crate::access::api_key::ApiKey;
use crate::access::grant::Grant;
use crate::access::read_token::{Claims, Reads, SigningKey};
use crate::access::scope::{Scope, Scopes};
use crate::app::App;
use crate::error::Error;
use crate::ids::{BatchId, GenerationKey, KeyId, RunId, RunKey, UserId};

impl App {
    /// What an API key or a read token allows. `None`: nothing. Unknown, expired and revoked credentials are not distinguished,
    /// and for a key each of them costs the same one read.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn authorize(&self, credential: &str) -> Result<Option<Grant>, Error> {
        if Claims::may_be(credential) {
            return self.authorize_token(credential).await;
        }
        let Ok(key) = credential.parse::<ApiKey>() else { return Ok(None) };
        let found = self.records.key_by_hash(&key.sha256()).await?;
        let valid = found.filter(|row| row.revoked_at.is_none() && self.is_in_future(row.valid_until));
        Ok(valid.map(|row| Grant {
            user: user_of(&row.name, &row.id),
            organization: row.organization,
            scopes: row.scopes,
            key: Some(row.id),
            valid_until: row.valid_until,
            reads: None,
        }))
    }

    /// A token is valid for as long as the key that it was created with.
    async fn authorize_token(&self, token: &str) -> Result<Option<Grant>, Error> {
        let verify = |keys: Vec<SigningKey>| keys.iter().find_map(|key| Claims::verify(token, key));
        let mut claims = verify(self.signing_keys(false).await?);
        if claims.is_none() {
            claims = verify(self.signing_keys(true).await?);
        }
        let Some(claims) = claims else { return Ok(None) };
        let mut valid_until = claims.expires_at.saturating_mul(1_000);
        let mut holder = None;
        if let Some(id) = &claims.key {
            let key = self.records.key(&claims.organization, id).await?;
            let Some(key) = key.filter(|key| key.revoked_at.is_none()) else { return Ok(None) };
            valid_until = key.valid_until.map_or(valid_until, |key_until| key_until.min(valid_until));
            holder = user_of(&key.name, &key.id);
        }
        Ok(self.is_in_future(Some(valid_until)).then(|| Grant {
            organization: claims.organization,
            scopes: Scopes::from_iter([Scope::Read]),
            key: claims.key,
            user: match &claims.reads {
                Reads::Inbox(user) => Some(user.clone()),
                // It reads what its maker reads, the maker's notifications too.
                Reads::Organization(_) => holder,
                Reads::Generation(_) | Reads::Batch(_) | Reads::Run(_) => None,
            },
            valid_until: Some(valid_until),
            reads: Some(claims.reads),
        }))
    }

    /// Whether a generation is a try of one of a batch's items.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn is_of_batch(&self, key: &GenerationKey, batch: &BatchId) -> Result<bool, Error> {
        let record = self.records.find(key).await?;
        Ok(record.and_then(|record| record.item()).is_some_and(|(parent, _)| parent.batch == *batch))
    }

    /// Whether a generation is a try of one of a run's steps, or was one of an earlier run, whose result this run has kept.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn is_of_run(&self, key: &GenerationKey, run: &RunId) -> Result<bool, Error> {
        let record = self.records.find(key).await?;
        let Some((parent, step)) = record.as_ref().and_then(|record| record.step()) else { return Ok(false) };
        if parent.run == *run {
            return Ok(true);
        }
        // A redriven run has the earlier run's generation in the step of the same name.
        let kept = self.records.run_step(&RunKey::new(key.organization.clone(), run.clone()), step).await?;
        Ok(kept.is_some_and(|kept| kept.generation.as_ref() == Some(&key.generation)))
    }

    fn is_in_future(&self, at_ms: Option<i64>) -> bool {
        at_ms.is_none_or(|at_ms| self.clock.now_ms() < at_ms)
    }
}

/// Who acts by a key: its name, if that is one of a user, or else its id.
fn user_of(name: &str, id: &KeyId) -> Option<UserId> {
    name.parse().or_else(|_| id.as_str().parse()).ok()
}
