//! The verdict on a URL in words, for `kinora explain`. It shows no secret and no right signature.

use percent_encoding::percent_decode_str;

use crate::request::MediaRequest;
use crate::request::split_target;
use crate::signature::error::Error;
use crate::signature::error::Flaw;
use crate::signature::key_ring::KeyRing;
use crate::signature::key_ring::SigningKey;
use crate::signature::path_token::PathToken;
use crate::signature::text::ACCESS_ID;
use crate::signature::text::EXPIRY;
use crate::signature::text::SignedQuery;
use crate::signature::text::SignedText;
use crate::signature::text::named;
use crate::signature::text::seconds;
use crate::signature::verify::Claim;
use crate::signature::verify::Policy;
use crate::signature::verify::Proof;
use crate::signature::verify::matches;
use crate::signature::verify::verify;

/// How the proof of a request is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The text that a signature in the query has to be of, if there is one.
    pub signed_text: Option<String>,
    /// The access id that the query or the path token names.
    pub access_id: Option<String>,
    /// The expiry that the query or the path token names, in Unix seconds.
    pub expiry: Option<u64>,
    /// Whether the request is let in.
    pub is_let_in: bool,
    /// Why, and if not, which part fails.
    pub verdict: String,
    /// What the signer most likely did, where that can be told.
    pub hint: Option<&'static str>,
}

/// Explains what [`verify`] says of the same arguments.
pub fn explain(
    request: MediaRequest,
    claim: &Claim<'_>,
    ring: &KeyRing,
    policy: &Policy,
    now: u64,
) -> Explanation {
    let target = split_target(claim.target);
    let query = SignedQuery::read(target.query).ok().flatten();
    let token = target.token.and_then(PathToken::parse);
    let text = query.and_then(|query| SignedText::of(target.path, query.signed));
    let access_id = query.and_then(|query| query.access_id).or(token.map(|token| token.access_id));
    let expiry = query.and_then(|query| query.expiry).or(token.map(|token| token.expiry));
    let outcome = verify(request, claim, ring, policy, now);
    let hint = match (&outcome, query, text) {
        (Err(Error::Bad(flaw)), Some(query), Some(text)) => {
            let key = query.access_id.and_then(|access_id| ring.signing_key(access_id));
            hint(*flaw, &query, &text, key)
        }
        _ => None,
    };
    Explanation {
        signed_text: text.map(|text| text.to_string()),
        access_id: access_id.map(str::to_owned),
        expiry: expiry.and_then(seconds),
        is_let_in: outcome.is_ok(),
        verdict: outcome.map_or_else(
            |error| error.to_string(),
            |verified| describe(verified.proof(), verified.expires()),
        ),
        hint,
    }
}

fn describe(proof: &Proof, expires: Option<u64>) -> String {
    let what = match proof {
        Proof::Open => "no proof is needed".to_owned(),
        Proof::Signature { access_id } => format!("the signature by the key {access_id} holds"),
        Proof::PathToken { access_id } => format!("the path token by the key {access_id} holds"),
        Proof::ApiKey => "the API key holds".to_owned(),
    };
    expires.map_or(what.clone(), |expiry| format!("{what} until {expiry}"))
}

fn hint(
    flaw: Flaw,
    query: &SignedQuery<'_>,
    text: &SignedText<'_>,
    key: Option<&SigningKey>,
) -> Option<&'static str> {
    let is_hex = query.signature.len() >= 40 && query.signature.bytes().all(|b| b.is_ascii_hexdigit());
    match flaw {
        Flaw::Encoding | Flaw::Length(_) if is_hex => Some("the signature is in hex; write it in base64url"),
        Flaw::Encoding => Some("write the signature in base64url: `-` for `+` and `_` for `/`"),
        Flaw::Sha1NotAllowed => Some("sign with HMAC-SHA256, or allow SHA-1 for this key"),
        Flaw::Mismatch => key.and_then(|key| misread(query, text, key)),
        _ => None,
    }
}

/// Tries the ways in which signers go wrong most often.
fn misread(query: &SignedQuery<'_>, text: &SignedText<'_>, key: &SigningKey) -> Option<&'static str> {
    let text = text.to_string();
    let bare: Vec<&str> = query.signed.unwrap_or_default().split('&').collect();
    let unsigned = |parameter: &&&str| ![EXPIRY, ACCESS_ID].contains(&named(parameter).0);
    let kept: Vec<&str> = bare.iter().filter(unsigned).copied().collect();
    let path = text.split('?').next().unwrap_or_default();
    let question = if kept.is_empty() { "" } else { "?" };
    let candidates = [
        (format!("/{text}"), "the text was signed with a slash in front; it begins without"),
        (
            percent_decode_str(&text).decode_utf8_lossy().into_owned(),
            "the text was signed decoded; sign it percent-encoded, as it is sent",
        ),
        (
            format!("{path}{question}{}", kept.join("&")),
            "the text was signed without `expiry` and `accessId`; they belong to it",
        ),
        (path.to_owned(), "the path was signed without its query; the query belongs to the text"),
    ];
    let is_of =
        |text: &str, key: &SigningKey| matches(query.signature, &SignedText::verbatim(text), key).is_ok();
    candidates.iter().find(|(candidate, _)| is_of(candidate, key)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Rules;
    use crate::setting::Secret;
    use crate::signature::encoding::hmac_sha256;
    use crate::signature::encoding::padded;
    use crate::signature::sign;

    fn key() -> SigningKey {
        SigningKey { access_id: "ID".into(), secret: Secret::new("0badc0de"), sha1: false }
    }

    fn explained(target: &str) -> Explanation {
        let rules = Rules::within(2048, 1536);
        let request = MediaRequest::parse(&split_target(target), &rules).expect("a request");
        let ring = KeyRing::new([key()], [], []);
        explain(request, &Claim { target, api_key: None }, &ring, &Policy { required: true }, 100)
    }

    #[test]
    fn the_failing_part_is_named() {
        let signed = sign("/media/a.jpg?resize=1,1", 200, &key()).expect("signed");
        let good = explained(&signed);
        assert_eq!(good.verdict, "the signature by the key ID holds until 200");
        assert_eq!(good.signed_text.as_deref(), Some("media/a.jpg?resize=1,1&expiry=200&accessId=ID"));
        assert_eq!((good.access_id.as_deref(), good.expiry, good.is_let_in), (Some("ID"), Some(200), true));
        let late = explained(&sign("/media/a.jpg", 99, &key()).expect("signed"));
        assert_eq!((late.verdict.as_str(), late.is_let_in), ("the proof expired at 99", false));
        let behind = explained(&format!("{signed}&utm_source=x"));
        assert!(behind.verdict.contains("not the last parameter"), "{}", behind.verdict);
        assert!(explained("/media/a").verdict.contains("is needed"));
    }

    #[test]
    fn common_mistakes_of_signers_are_told() {
        let query = "resize=1,1&expiry=200&accessId=ID";
        let by = |text: &str| {
            let signature = padded(hmac_sha256(key().secret.expose().as_bytes(), &[text]));
            explained(&format!("/media/a%20b.jpg?{query}&signature={signature}")).hint.unwrap_or_default()
        };
        assert!(by(&format!("/media/a%20b.jpg?{query}")).contains("slash"));
        assert!(by(&format!("media/a b.jpg?{query}")).contains("percent-encoded"));
        assert!(by("media/a%20b.jpg?resize=1,1").contains("without `expiry`"));
        assert!(by("media/a%20b.jpg").contains("without its query"));
        assert_eq!(by("something else"), "");
        let hex = explained(&format!("/media/a?{query}&signature={}", "0a".repeat(32)));
        assert!(hex.hint.unwrap_or_default().contains("hex"));
        let hex = explained(&format!("/media/a?{query}&signature={}", "0a".repeat(20)));
        assert!(hex.hint.unwrap_or_default().contains("hex"));
    }
}
