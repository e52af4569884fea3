//! The verdict on one request.

use std::fmt;
use std::sync::LazyLock;

use hmac::Mac;
use percent_encoding::percent_decode_str;

use crate::headers::FormatClass;
use crate::origin::ObjectKey;
use crate::request::MediaRequest;
use crate::request::SplitTarget;
use crate::request::Variant;
use crate::request::split_target;
use crate::setting::Secret;
use crate::signature::encoding::Alphabet;
use crate::signature::encoding::decode;
use crate::signature::encoding::hmac_sha1;
use crate::signature::encoding::hmac_sha256;
use crate::signature::error::Error;
use crate::signature::error::Flaw;
use crate::signature::key_ring::KeyRing;
use crate::signature::key_ring::Scope;
use crate::signature::key_ring::SigningKey;
use crate::signature::path_token;
use crate::signature::text::ACCESS_ID;
use crate::signature::text::EXPIRY;
use crate::signature::text::SignedQuery;
use crate::signature::text::SignedText;
use crate::signature::text::seconds;

/// Stands in for a key that does not exist; nothing that it would accept is let in.
static NOBODY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey { access_id: String::new(), secret: Secret::new(""), sha1: false });

/// What a client brings as proof.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The request target exactly as sent, path token and query included.
    pub target: &'a str,
    /// The API key of the header, if there is one.
    pub api_key: Option<&'a str>,
}

/// When proof is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `delivery.require_signature`: without proof, nothing is answered.
    pub required: bool,
}

/// What let a request in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// None was needed.
    Open,
    /// A signed URL.
    Signature {
        /// Whose key.
        access_id: String,
    },
    /// A path token.
    PathToken {
        /// Whose key.
        access_id: String,
    },
    /// An API key in the header.
    ApiKey,
}

/// A value that may be answered. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    expires: Option<u64>,
    proof: Proof,
}

/// Verifies a request as parsed against the target as sent; `now` is in Unix seconds.
///
/// Proof that is present has to hold, whether needed or not; an expiry holds up to and including its
/// own second. An API key that is not ours is ignored where none is needed.
///
/// # Errors
/// [`Error`].
pub fn verify(
    request: MediaRequest,
    claim: &Claim<'_>,
    ring: &KeyRing,
    policy: &Policy,
    now: u64,
) -> Result<Verified<MediaRequest>, Error> {
    let target = split_target(claim.target);
    let token =
        target.token.map(|token| path_token::verify(token, target.path, &request, ring, now)).transpose()?;
    let signature = signature(&target, ring, now)?;
    let (expires, proof) = match (signature, token) {
        (Some(signature), token) => {
            let expiry = token.map_or(signature.expiry, |token| token.expiry.min(signature.expiry));
            (Some(expiry), Proof::Signature { access_id: signature.access_id })
        }
        (None, Some(token)) => (Some(token.expiry), Proof::PathToken { access_id: token.access_id }),
        (None, None) => {
            let required = policy.required || request.needs_proof();
            (None, without_url_proof(claim, ring, required, now)?)
        }
    };
    Ok(Verified { value: request, expires, proof })
}

fn without_url_proof(claim: &Claim<'_>, ring: &KeyRing, required: bool, now: u64) -> Result<Proof, Error> {
    match claim.api_key {
        Some(key) if ring.allows(key, Scope::Read) => {
            ring.api_key(key).inspect(|key| ring.note_use(&key.id, now));
            Ok(Proof::ApiKey)
        }
        _ if !required => Ok(Proof::Open),
        Some(_) => Err(Error::UnknownKey),
        None => Err(Error::Missing),
    }
}

/// A proof that holds.
pub(super) struct Held {
    pub(super) access_id: String,
    pub(super) expiry: u64,
}

/// The signature in a query, if there is one.
fn signature(target: &SplitTarget<'_>, ring: &KeyRing, now: u64) -> Result<Option<Held>, Error> {
    let Some(query) = SignedQuery::read(target.query)? else { return Ok(None) };
    let text = SignedText::of(target.path, query.signed).ok_or(Flaw::Path)?;
    let access_id = query.access_id.ok_or(Flaw::Without(ACCESS_ID))?;
    let expiry = query.expiry.ok_or(Flaw::Without(EXPIRY))?;
    let expiry = seconds(expiry).ok_or(Flaw::Expiry)?;
    let access_id = percent_decode_str(access_id).decode_utf8().map_err(|_| Error::UnknownKey)?;
    let key = ring.signing_key(&access_id);
    // An unknown id costs the same work as a known one, so time does not tell which ids exist.
    let outcome = matches(query.signature, &text, key.unwrap_or(&NOBODY));
    let key = key.ok_or(Error::UnknownKey)?;
    outcome?;
    let expiry = unexpired(expiry, now)?;
    ring.note_use(&key.access_id, now);
    Ok(Some(Held { access_id: key.access_id.clone(), expiry }))
}

/// Whether a signature is of this text by this key. The comparison takes constant time.
pub(super) fn matches(signature: &str, text: &SignedText<'_>, key: &SigningKey) -> Result<(), Flaw> {
    const SHA256_BYTES: usize = 32;
    const SHA1_BYTES: usize = 20;
    let given = decode(signature, Alphabet::Either).ok_or(Flaw::Encoding)?;
    let outcome = match given.len() {
        SHA256_BYTES => {
            let given = decode(signature, Alphabet::UrlSafe).ok_or(Flaw::Encoding)?;
            hmac_sha256(key.secret.expose().as_bytes(), text.pieces()).verify_slice(&given)
        }
        SHA1_BYTES if key.sha1 => {
            hmac_sha1(key.secret.expose().as_bytes(), text.pieces()).verify_slice(&given)
        }
        SHA1_BYTES => return Err(Flaw::Sha1NotAllowed),
        length => return Err(Flaw::Length(length)),
    };
    outcome.map_err(|_| Flaw::Mismatch)
}

/// The expiry, if it is not over: it holds up to and including its own second.
pub(super) fn unexpired(expiry: u64, now: u64) -> Result<u64, Error> {
    if now <= expiry { Ok(expiry) } else { Err(Error::Expired { expiry }) }
}

impl<T> Verified<T> {
    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// When the proof ends, in Unix seconds: no answer may stay fresh for longer.
    pub fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// What let it in.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

impl Verified<MediaRequest> {
    /// Whether the proof is enough for what is, or is not, for the public.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn opens(&self, is_public: bool) -> Result<(), Error> {
        if is_public || self.proof != Proof::Open { Ok(()) } else { Err(Error::Missing) }
    }

    /// The variant, of the object that the request comes down to, that a client of this class gets; the
    /// proof holds for it.
    ///
    /// # Errors
    /// [`Error::Missing`] if the object is not for the public and there was no proof.
    pub fn negotiate(
        &self,
        object: &ObjectKey,
        is_public: bool,
        class: FormatClass,
    ) -> Result<Verified<Variant>, Error> {
        self.opens(is_public)?;
        let value = self.value.negotiate(object, class);
        Ok(Verified { value, expires: self.expires, proof: self.proof.clone() })
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The target may carry a good signature, the header a good key.
        f.write_str("Claim(***)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::request::Rules;
    use crate::signature::ApiKey;
    use crate::signature::sign;
    use crate::signature::sign_token;

    const RULES: Rules = Rules::within(2048, 1536);
    const EXPIRY: u64 = 2_000_000_000;
    const NOW: u64 = EXPIRY - 1000;
    const OPTIONAL: Policy = Policy { required: false };
    const REQUIRED: Policy = Policy { required: true };

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../fixtures/contract-vectors.json")).expect("JSON")
    }

    fn text(value: &Value) -> &str {
        value.as_str().expect("text")
    }

    fn key(sha1: bool) -> SigningKey {
        let vectors = vectors();
        SigningKey {
            access_id: text(&vectors["access_id"]).to_owned(),
            secret: Secret::new(text(&vectors["secret"])),
            sha1,
        }
    }

    fn ring(sha1: bool) -> KeyRing {
        let other =
            SigningKey { access_id: "OTHER".into(), secret: Secret::new("another secret"), sha1: false };
        let api = ApiKey { id: "API".to_owned(), scopes: vec![Scope::Read] };
        KeyRing::new([key(sha1), other], [(KeyRing::hash("api-key"), api)], [])
    }

    fn verdict(
        target: &str,
        ring: &KeyRing,
        policy: Policy,
        now: u64,
    ) -> Result<Verified<MediaRequest>, Error> {
        // Signatures do not look at the request, so that routes of videos can be tried with any.
        let split = split_target(target);
        let request = MediaRequest::parse(&split, &RULES)
            .or_else(|_| MediaRequest::parse(&split_target("/media/a"), &RULES))
            .expect("a request");
        verify(request, &Claim { target, api_key: None }, ring, &policy, now)
    }

    fn let_in(target: &str) -> Result<Verified<MediaRequest>, Error> {
        verdict(target, &ring(false), REQUIRED, NOW)
    }

    fn target_of(signed_text: &str) -> String {
        let front = if signed_text.starts_with("media/") { "/" } else { "/api/v1/assets/" };
        format!("{front}{signed_text}")
    }

    #[test]
    fn the_vectors_of_the_contract_hold() {
        let vectors = vectors();
        let cases = vectors["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let target = target_of(text(&case["text"]));
            let with = |form: &str| format!("{target}&signature={}", text(&case[form]));
            let verified = let_in(&with("sha256_urlsafe")).expect("SHA-256 holds");
            assert_eq!(verified.expires(), Some(EXPIRY));
            assert_eq!(verified.proof(), &Proof::Signature { access_id: key(false).access_id });
            let plain = with("sha256_urlsafe").replace("%3D", "=");
            assert!(let_in(&plain).is_ok(), "padding as it is");
            assert!(let_in(plain.trim_end_matches('=')).is_ok(), "no padding");
            for form in ["sha1_standard", "sha1_urlsafe"] {
                assert_eq!(
                    let_in(&with(form)),
                    Err(Error::Bad(Flaw::Sha1NotAllowed)),
                    "{form} is off by default"
                );
                for target in [with(form), with(form).replace("%2B", "+").replace("%3D", "")] {
                    assert!(
                        verdict(&target, &ring(true), REQUIRED, NOW).is_ok(),
                        "{form} where the key allows it"
                    );
                }
            }
            let unsigned = target
                .split(['?', '&'])
                .filter(|part| !part.starts_with("expiry") && !part.starts_with("accessId"));
            let unsigned: Vec<&str> = unsigned.collect();
            let joined = format!(
                "{}{}{}",
                unsigned[0],
                if unsigned.len() > 1 { "?" } else { "" },
                unsigned[1..].join("&")
            );
            assert_eq!(
                sign(&joined, EXPIRY, &key(false)),
                Ok(with("sha256_urlsafe")),
                "signing gives the vector"
            );
        }
    }

    #[test]
    fn the_path_tokens_of_the_contract_hold() {
        let vectors = vectors();
        for case in vectors["path_tokens"].as_array().expect("tokens") {
            let kinds = text(&case["kinds"]).parse().expect("kinds");
            let token = sign_token(text(&case["prefix"]), kinds, EXPIRY, &key(false));
            assert_eq!(token.as_deref(), Ok(text(&case["token"])));
            if text(&case["prefix"]).starts_with("/media/") {
                let verified = let_in(text(&case["example"])).expect("the example holds");
                assert_eq!(verified.proof(), &Proof::PathToken { access_id: key(false).access_id });
                assert_eq!(verified.expires(), Some(EXPIRY));
            }
        }
    }

    #[test]
    fn an_expiry_holds_up_to_its_own_second() {
        let signed = sign("/media/a.jpg?resize=1,1", EXPIRY, &key(false)).expect("signed");
        let token = sign_token("/media/a", "i".parse().expect("kinds"), EXPIRY, &key(false)).expect("signed");
        for target in [signed, format!("/~{token}/media/a/b.jpg?format=auto")] {
            assert!(verdict(&target, &ring(false), OPTIONAL, EXPIRY).is_ok(), "{target}");
            let late = verdict(&target, &ring(false), OPTIONAL, EXPIRY + 1);
            assert_eq!(late, Err(Error::Expired { expiry: EXPIRY }), "{target}");
        }
    }

    #[test]
    fn proof_is_needed_only_by_policy_but_always_has_to_hold() {
        let target = "/media/a.jpg?resize=1,1";
        let claim = |api_key| Claim { target, api_key };
        let verify = |api_key, policy: &Policy| {
            let request = MediaRequest::parse(&split_target(target), &RULES).expect("a request");
            verify(request, &claim(api_key), &ring(false), policy, NOW)
                .map(|verified| verified.proof().clone())
        };
        assert_eq!(verify(None, &OPTIONAL), Ok(Proof::Open));
        assert_eq!(verify(None, &REQUIRED), Err(Error::Missing));
        assert_eq!(verify(Some("api-key"), &REQUIRED), Ok(Proof::ApiKey));
        assert_eq!(verify(Some("api-keys"), &REQUIRED), Err(Error::UnknownKey));
        assert_eq!(verify(Some("somebody else's"), &OPTIONAL), Ok(Proof::Open));
        let bad = verdict("/media/a?expiry=1&accessId=OTHER&signature=AAAA", &ring(false), OPTIONAL, NOW);
        assert_eq!(bad, Err(Error::Bad(Flaw::Length(3))));
        let bare = verdict("/media/a?expiry=1&accessId=OTHER", &ring(false), REQUIRED, NOW);
        assert_eq!(bare, Err(Error::Missing), "an expiry alone is no proof");
    }

    #[test]
    fn each_flaw_is_told_apart() {
        let signed = sign("/media/a.jpg?resize=10,20&format=webp", EXPIRY, &key(false)).expect("signed");
        assert!(let_in(&signed).is_ok());
        let swap = |from: &str, to: &str| let_in(&signed.replacen(from, to, 1)).map(|_| ());
        let mismatch = Err(Error::Bad(Flaw::Mismatch));
        assert_eq!(swap("resize=10,20", "resize=11,20"), mismatch, "another size");
        assert_eq!(swap("a.jpg", "b.jpg"), mismatch, "another object");
        assert_eq!(swap("a.jpg", "%61.jpg"), mismatch, "the same object spelled otherwise is another text");
        assert_eq!(swap("expiry=2", "expiry=3"), mismatch, "a later expiry");
        assert_eq!(swap("TESTACCESSID0001", "OTHER"), mismatch, "another key");
        assert_eq!(swap("TESTACCESSID0001", "NOBODY"), Err(Error::UnknownKey));
        assert_eq!(swap("resize=10,20&format=webp", "format=webp&resize=10,20"), mismatch, "another order");
        assert_eq!(swap("&expiry", "&dpr=2&expiry"), mismatch, "one more option");
        assert_eq!(
            swap("&signature", "&signature=x&signature"),
            Err(Error::Bad(Flaw::Repeated("signature")))
        );
        assert_eq!(let_in(&format!("{signed}&x")).map(|_| ()), Err(Error::Bad(Flaw::NotLast)));
        assert_eq!(swap("expiry=2000000000&", ""), Err(Error::Bad(Flaw::Without("expiry"))));
        assert_eq!(swap("accessId=TESTACCESSID0001&", ""), Err(Error::Bad(Flaw::Without("accessId"))));
        assert_eq!(swap("expiry=2000000000", "expiry=soon"), Err(Error::Bad(Flaw::Expiry)));
        assert_eq!(let_in(&format!("{signed}!")).map(|_| ()), Err(Error::Bad(Flaw::Encoding)));
        let own = sign("/media/a.jpg?x=+/&y", EXPIRY, &key(false)).expect("signed");
        assert!(let_in(&own).is_ok(), "unknown parameters are part of the text");
        let only_expiry = sign("/media/a.jpg", EXPIRY, &key(false)).expect("signed");
        assert!(only_expiry.starts_with("/media/a.jpg?expiry="), "{only_expiry}");
        assert!(let_in(&only_expiry).is_ok(), "a query of signing parameters only");
    }

    #[test]
    fn a_path_token_opens_whole_segments_and_its_kinds_only() {
        let token = |prefix: &str, kinds: &str| {
            sign_token(prefix, kinds.parse().expect("kinds"), EXPIRY, &key(false)).expect("signed")
        };
        let open = |token: &str, path: &str| let_in(&format!("/~{token}{path}")).map(|_| ());
        let all = token("/media/a/1", "ipsvtod");
        assert_eq!(open(&all, "/media/a/1/x.jpg"), Ok(()));
        assert_eq!(open(&all, "/media/a/1/deep/er/x.jpg"), Ok(()));
        assert_eq!(open(&all, "/media/a/12/x.jpg"), Err(Error::Bad(Flaw::Mismatch)), "whole segments only");
        assert_eq!(open(&all, "/media/a/2/x.jpg"), Err(Error::Bad(Flaw::Mismatch)));
        assert_eq!(open(&all, "/media/a/1"), Err(Error::Bad(Flaw::TokenPrefix)), "below, not itself");
        assert_eq!(open(&all, "/media/a%2F1/x.jpg"), Err(Error::Bad(Flaw::TokenPrefix)));
        assert_eq!(open(&all.replacen(".3.", ".2.", 1), "/media/a/1/x.jpg"), Err(Error::Bad(Flaw::Mismatch)));
        assert_eq!(
            open(&all.replacen(".3.", ".03.", 1), "/media/a/1/x.jpg"),
            Err(Error::Bad(Flaw::TokenForm))
        );
        assert_eq!(open(&all.replacen("TEST", "BEST", 1), "/media/a/1/x.jpg"), Err(Error::UnknownKey));
        assert_eq!(open("", "/media/a/1/x.jpg"), Err(Error::Bad(Flaw::TokenForm)));
        let kinds = [
            ("i", "x.jpg?format=auto", None),
            ("i", "x.jpg", Some('o')),
            ("o", "x.jpg?format=auto", Some('i')),
            ("o", "x.jpg", None),
            ("o", "x.mp4", None),
            ("v", "x.MP4", None),
            ("ps", "x.mp4", Some('v')),
            ("s", "x.m4s", None),
            ("p", "x.m3u8", None),
            ("t", "x.vtt", None),
            ("p", "x.ts", Some('s')),
            ("i", "x.jpg?format=png&delivery=download", Some('d')),
            ("id", "x.jpg?format=png&delivery=download", None),
        ];
        for (letters, path, missing) in kinds {
            let outcome = open(&token("media/a/1/", letters), &format!("/media/a/1/{path}"));
            let expected = missing.map_or(Ok(()), |kind| Err(Error::Bad(Flaw::TokenKind(kind))));
            assert_eq!(outcome, expected, "{letters} for {path}");
        }
    }

    #[test]
    fn a_path_token_opens_what_is_below_an_asset() {
        let id = "00112233445566778899aabbccddeeff";
        let open = |kinds: &str, path: &str| {
            let prefix = format!("api/v1/assets/{id}");
            let token =
                sign_token(&prefix, kinds.parse().expect("kinds"), EXPIRY, &key(false)).expect("signed");
            let_in(&format!("/~{token}/{prefix}/{path}")).map(|_| ())
        };
        for (kinds, path, missing) in [
            ("i", "conversions?resize=1,1", None),
            ("i", "conversions/mine", None),
            ("o", "conversions", Some('i')),
            ("o", "original", None),
            ("ipsvt", "original", Some('o')),
            ("o", "original?delivery=download", Some('d')),
            ("od", "original?delivery=download", None),
        ] {
            let expected = missing.map_or(Ok(()), |kind| Err(Error::Bad(Flaw::TokenKind(kind))));
            assert_eq!(open(kinds, path), expected, "{kinds} for {path}");
        }
        let bare = format!("/api/v1/assets/{id}/original");
        assert_eq!(verdict(&bare, &ring(false), OPTIONAL, NOW), Err(Error::Missing), "whatever the policy");
        let picture =
            verdict(&format!("/api/v1/conversion/{id}"), &ring(false), OPTIONAL, NOW).expect("open");
        assert_eq!((picture.opens(true), picture.opens(false)), (Ok(()), Err(Error::Missing)));
        let object = ObjectKey::new("a").expect("a key");
        assert_eq!(picture.negotiate(&object, false, FormatClass::Webp), Err(Error::Missing));
    }

    #[test]
    fn a_signature_behind_a_path_token_has_to_hold_as_well() {
        let token =
            sign_token("/media/a", "i".parse().expect("kinds"), EXPIRY - 5, &key(false)).expect("signed");
        let signed = sign("/media/a/b.jpg?format=auto", EXPIRY, &key(false)).expect("signed");
        let verified = let_in(&format!("/~{token}{signed}")).expect("both hold");
        assert_eq!(verified.expires(), Some(EXPIRY - 5), "the earlier end counts");
        let altered = format!("/~{token}{}", signed.replace("auto", "webp"));
        assert_eq!(let_in(&altered), Err(Error::Bad(Flaw::Mismatch)));
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_any_altered_byte_does_not(
            path in "/media/[a-z0-9 %'~./+ü]{1,12}",
            query in "[a-z=,&+ ']{0,20}",
            position: prop::sample::Index,
            replacement in 0x21_u8..0x7f,
        ) {
            let signed = sign(&format!("{path}?{query}"), EXPIRY, &key(false)).expect("signed");
            prop_assert!(let_in(&signed).is_ok(), "{}", signed);
            let mut bytes = signed.clone().into_bytes();
            let at = position.index(bytes.len());
            prop_assume!(bytes[at] != replacement);
            bytes[at] = replacement;
            let altered = String::from_utf8(bytes).expect("ASCII");
            // Only the padding, which says nothing, may be spelled otherwise.
            prop_assume!(at < signed.rfind("%3D").expect("padding"));
            prop_assert!(let_in(&altered).is_err(), "{} -> {}", signed, altered);
        }

        #[test]
        fn random_targets_do_no_harm(target in "(/~[ -~]{0,40})?/media/[ -~]{0,80}") {
            let _ = let_in(&target);
        }
    }
}
