//! The seal with which the edge tells its internal upstream that a variant was verified.

use hmac::Mac;

use crate::request::Variant;
use crate::signature::encoding::Alphabet;
use crate::signature::encoding::decode;
use crate::signature::encoding::hmac_sha256;
use crate::signature::encoding::unpadded;
use crate::signature::error::Error;
use crate::signature::error::Flaw;
use crate::signature::verify::Proof;
use crate::signature::verify::Verified;

/// Keeps seals apart from everything else that is ever signed.
const DOMAIN: &str = "kinora-seal\n1\n";

/// The secret that an edge and its renders share.
#[derive(Clone)]
pub struct Seal([u8; 32]);

/// A variant's path and the proof that the edge verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// [`Variant::to_path`].
    pub path: String,
    /// Unpadded base64url; goes into a header of the internal request.
    pub seal: String,
}

impl Seal {
    /// A seal of these random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Seals a verified variant for the way to the internal upstream.
    pub fn seal(&self, variant: &Verified<Variant>) -> Sealed {
        let path = variant.value().to_path();
        let seal = unpadded(hmac_sha256(&self.0, &[DOMAIN, &path]));
        Sealed { path, seal }
    }

    /// Opens what [`Seal::seal`] made. The expiry stays behind: it is the edge that watches it.
    ///
    /// # Errors
    /// [`Error::Bad`] if the seal is not ours or of another path.
    pub fn open(&self, path: &str, seal: &str) -> Result<Verified<Variant>, Error> {
        let given = decode(seal, Alphabet::UrlSafe).ok_or(Flaw::Seal)?;
        hmac_sha256(&self.0, &[DOMAIN, path]).verify_slice(&given).map_err(|_| Flaw::Seal)?;
        let variant = Variant::parse(path).map_err(|_| Flaw::Seal)?;
        Ok(Verified::new(variant, None, Proof::Seal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_carries_proof_of_one_path() {
        let variant = Variant::parse("/media/a%20b.jpg?resize=300,&format=webp").expect("a variant");
        let verified = Verified::new(variant, Some(1), Proof::ApiKey);
        let seal = Seal::new([7; 32]);
        let Sealed { path, seal: proof } = seal.seal(&verified);
        let opened = seal.open(&path, &proof).expect("it is ours");
        assert_eq!((opened.value(), opened.proof()), (verified.value(), &Proof::Seal));
        for (path, proof) in [("/media/a.jpg", &*proof), (&path, ""), (&path, "AAAA"), (&path, &proof[1..])] {
            assert_eq!(seal.open(path, proof), Err(Error::Bad(Flaw::Seal)), "{path} {proof}");
        }
        assert_eq!(Seal::new([8; 32]).open(&path, &proof), Err(Error::Bad(Flaw::Seal)), "another edge's");
    }
}
