//! Why a request is not let in, and why a URL cannot be signed.

/// Why proof is not accepted. A stranger is told no more than missing, bad or expired; the rest is
/// for the log and for `kinora explain`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Proof is needed and there is none.
    #[error("a signature, a path token or an API key is needed")]
    Missing,
    /// There is proof, but it does not hold.
    #[error("the proof does not hold: {0}")]
    Bad(#[from] Flaw),
    /// No active key has this id. To the outside this is [`Error::Bad`].
    #[error("no active key has the id that is named")]
    UnknownKey,
    /// The proof was good until then.
    #[error("the proof expired at {expiry}")]
    Expired {
        /// Unix seconds; still good in that second.
        expiry: u64,
    },
}

/// What exactly is wrong with a proof. Never holds a secret or a right signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Something follows the signature.
    #[error("`signature` is not the last parameter")]
    NotLast,
    /// A signing parameter is given twice.
    #[error("`{0}` is given more than once")]
    Repeated(&'static str),
    /// A signing parameter is missing beside the signature.
    #[error("`{0}` is missing")]
    Without(&'static str),
    /// The expiry is no number of seconds.
    #[error("the expiry is not a whole number of Unix seconds")]
    Expiry,
    /// The signature is no base64 of the right alphabet.
    #[error("the signature is not base64url")]
    Encoding,
    /// The signature has the length of neither SHA-256 nor SHA-1.
    #[error("the signature has {0} bytes, 32 are needed")]
    Length(usize),
    /// It may be a SHA-1 signature, but the key does not allow them.
    #[error("the signature is HMAC-SHA1, which this key does not allow")]
    Sha1NotAllowed,
    /// The path is none that can be signed.
    #[error("the path has no signed text")]
    Path,
    /// The signature is of another text or by another secret.
    #[error("the signature is of another text or made with another secret")]
    Mismatch,
    /// The path token has not its five parts.
    #[error("the path token is not ACCESS_ID.EXPIRY.KINDS.N.SIGNATURE")]
    TokenForm,
    /// The path is not below the prefix of the path token.
    #[error("the path is not below the path token's prefix")]
    TokenPrefix,
    /// The path token does not open this kind of content.
    #[error("the path token does not name the kind `{0}`")]
    TokenKind(char),
}

/// Why something cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not a path that signatures exist for.
    #[error("only paths of /media/ and /api/v1/ assets can be signed; begin with the slash")]
    Path,
    /// The query has a signing parameter already.
    #[error("`{0}` is in the query already; leave it out")]
    Already(&'static str),
    /// The key's access id could not stand in a URL.
    #[error("an access id has only letters, digits, `-`, `_` and `.`")]
    AccessId,
    /// A path token needs kinds of content.
    #[error("kinds are one or more of the letters i p s v t o d, each once")]
    Kinds,
    /// A path token needs a prefix of at least one segment.
    #[error("a prefix has one or more segments, none empty, and no query")]
    Prefix,
}
