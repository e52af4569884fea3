//! Signatures of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::setting::Secret;

const PREFIX: &str = "whsec_";

/// So many bytes a secret has, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How many bytes are drawn for a new one.
const DRAWN_BYTES: usize = 32;

/// The secret that a hook and its receiver share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecret(Secret);

/// The text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and then base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

impl SigningSecret {
    /// Reads the text that both sides know, `whsec_` and base64.
    ///
    /// # Errors
    /// [`InvalidSecret`].
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        key(text).map(|_| Self(Secret::new(text))).ok_or(InvalidSecret)
    }

    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut random = [0; DRAWN_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Self::of(random))
    }

    fn of(random: [u8; DRAWN_BYTES]) -> Self {
        Self(Secret::new(format!("{PREFIX}{}", BASE64_STANDARD.encode(random))))
    }

    /// The text that both sides know.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

/// The header `webhook-signature`: a signature by each of the secrets, with spaces between them, so that
/// a receiver that still has the secret from before a rotation can verify it too.
pub fn signatures<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> String {
    let head = format!("{id}.{timestamp}.");
    let keys = secrets.into_iter().filter_map(|secret| key(secret.expose()));
    let signatures = keys.map(|key| format!("v1,{}", BASE64_STANDARD.encode(hmac(&key, &head, body))));
    signatures.collect::<Vec<_>>().join(" ")
}

fn key(text: &str) -> Option<Vec<u8>> {
    let key = BASE64_STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    SECRET_BYTES.contains(&key.len()).then_some(key)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], head: &str, body: &[u8]) -> impl AsRef<[u8]> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(head.as_bytes());
    mac.update(body);
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use standardwebhooks::Webhook;

    use super::*;

    fn headers(id: &str, timestamp: u64, signature: &str) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", &timestamp.to_string()),
            ("webhook-signature", signature),
        ] {
            headers
                .insert(http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn the_vector_of_the_specification_s_libraries() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = br#"{"test": 2432232314}"#;
        let signature = signatures([secret.secret()], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_library_of_standard_webhooks_verifies_each_secret_of_a_rotation() {
        let now = UNIX_EPOCH.elapsed().expect("a clock").as_secs();
        let [new, old, foreign] = [1, 2, 3].map(|byte| SigningSecret::of([byte; 32]));
        let body = r#"{"event":"file-saved","name":"Zürich"}"#.as_bytes();
        let signature = signatures([new.secret(), old.secret()], "evt_1", now, body);
        assert_eq!(signature.split(' ').count(), 2);
        let verify = |secret: &SigningSecret, id: &str, body: &[u8]| {
            let hook = Webhook::new(secret.secret().expose()).expect("a secret");
            hook.verify(body, &headers(id, now, &signature)).is_ok()
        };
        assert!(verify(&new, "evt_1", body) && verify(&old, "evt_1", body));
        assert!(!verify(&foreign, "evt_1", body), "another secret");
        assert!(!verify(&new, "evt_2", body), "another id");
        assert!(!verify(&new, "evt_1", b"{}"), "another body");
    }

    #[test]
    fn a_secret_has_the_promised_form_and_is_not_shown() {
        let text = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        for (secret, is_good) in [
            (text(24), true),
            (text(64), true),
            (text(23), false),
            (text(65), false),
            (text(32).replace("whsec_", ""), false),
            (text(32).replace("whsec_", "whpk_"), false),
            (text(32).replace('=', ""), false),
            (format!("{} ", text(32)), false),
            ("whsec_".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(SigningSecret::parse(&secret).is_ok(), is_good, "{secret}");
        }
        let drawn = SigningSecret::draw().expect("drawn");
        assert_eq!(SigningSecret::parse(drawn.secret().expose()), Ok(drawn.clone()));
        assert_ne!(SigningSecret::draw().expect("drawn"), drawn);
        assert!(!format!("{drawn:?}").contains("whsec"), "{drawn:?}");
    }
}
