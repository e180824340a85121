//! Signatures of deliveries, by Standard Webhooks 1.0.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), and the secrets that sign.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::ids::{EndpointId, Organization};

const PREFIX: &str = "whsec_";

/// The secret that an endpoint's owner verifies by: 256 bits, shown as `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// The key of a deployment, from which the secrets of its endpoints are derived. It must never change: every secret would.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(String);

impl MasterKey {
    /// The key of a secret's text, which needs at least 256 random bits in any encoding.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret of an endpoint with this salt: HMAC-SHA256 of what it is for. No table holds it; whoever has only the tables cannot
    /// sign. `None` cannot happen: HMAC takes keys of any length.
    #[must_use]
    pub fn secret(&self, organization: &Organization, endpoint: &EndpointId, salt: &str) -> Option<Secret> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).ok()?;
        mac.update(format!("longhand/webhook/1\n{organization}\n{endpoint}\n{salt}").as_bytes());
        Some(Secret(mac.finalize().into_bytes().into()))
    }
}

impl Secret {
    /// The secret itself, to be shown to its owner.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(self.0))
    }

    /// The value of `webhook-signature` for this secret. `at` is the attempt's time in seconds since the epoch, as in
    /// `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: &str, at: i64, body: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{at}.{body}").as_bytes());
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the libraries of Standard Webhooks.
        let bytes = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=").unwrap();
        let secret = Secret(bytes.try_into().unwrap());
        let body = r#"{"test": 2432232314}"#;
        let told = standardwebhooks::Webhook::new(&secret.reveal()).unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(signature, told.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body.as_bytes()).unwrap());
    }

    #[test]
    fn every_endpoint_and_salt_has_a_secret_of_its_own() {
        let key = MasterKey::new("k".repeat(64));
        let (one, other) = (EndpointId::new(1_000), EndpointId::new(1_000));
        let secret = |organization: &str, endpoint, salt| key.secret(&organization.parse().unwrap(), endpoint, salt).unwrap();
        let first = secret("acme", &one, "a");
        assert_eq!(first, secret("acme", &one, "a"));
        for different in [secret("globex", &one, "a"), secret("acme", &other, "a"), secret("acme", &one, "b")] {
            assert_ne!(first, different);
        }
        assert_ne!(Some(first.clone()), MasterKey::new("l".repeat(64)).secret(&"acme".parse().unwrap(), &one, "a"));
        assert_eq!(format!("{first:?} {key:?}"), "Secret(…) MasterKey(…)");
        assert_eq!(first.reveal().len(), PREFIX.len() + 44);
    }
}
