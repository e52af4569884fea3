//! The form with which a browser stores an object in a bucket: a POST policy, signed by SigV4.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rusty_s3::{Bucket, Credentials};
use serde_json::json;
use sha2::Sha256;

use crate::origin::{PostPolicy, PostWish};

/// The form for one object, whose key and size the bucket will check.
pub(super) fn form(bucket: &Bucket, credentials: &Credentials, wish: &PostWish<'_>) -> PostPolicy {
    let (now, until) = (stamp(wish.now), wish.now + wish.expires_in);
    let day = &now[..8];
    let scope = format!("{}/{day}/{}/s3/aws4_request", credentials.key(), bucket.region());
    let mut fields = BTreeMap::from([
        ("key", wish.key.as_str().to_owned()),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("x-amz-credential", scope),
        ("x-amz-date", now.clone()),
    ]);
    if let Some(token) = credentials.token().filter(|token| !token.is_empty()) {
        fields.insert("x-amz-security-token", token.to_owned());
    }
    let mut conditions: Vec<_> = fields.iter().map(|(name, value)| json!({ *name: value })).collect();
    conditions.push(json!({ "bucket": bucket.name() }));
    conditions.push(json!(["content-length-range", 1, wish.max_bytes]));
    let expiration = humantime::format_rfc3339_seconds(until).to_string();
    let policy = json!({ "expiration": expiration, "conditions": conditions }).to_string();
    let policy = BASE64_STANDARD.encode(policy);
    fields.insert("x-amz-signature", signature(credentials.secret(), day, bucket.region(), &policy));
    fields.insert("policy", policy);
    PostPolicy { url: bucket.base_url().to_string(), fields }
}

/// `20130524T000000Z`.
fn stamp(time: SystemTime) -> String {
    // Later than that it could not be written, and nobody waits so long.
    let time = time.min(SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "")
}

fn signature(secret: &str, day: &str, region: &str, policy: &str) -> String {
    let begin = format!("AWS4{secret}").into_bytes();
    let key = [day, region, "s3", "aws4_request"].into_iter().fold(begin, |key, part| hmac(&key, part));
    hmac(&key, policy).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's own documentation of browser-based uploads.
    #[test]
    fn aws_s_example_has_aws_s_signature() {
        let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
        let found = signature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20151229", "us-east-1", policy);
        assert_eq!(found, "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e");
    }

    #[test]
    fn a_time_is_written_without_separators() {
        assert_eq!(stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600)), "20130524T000000Z");
    }
}
