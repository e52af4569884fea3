//! What can be wrong with the text of a request.

/// Why a request could not be read. All of them are the client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path belongs to no route.
    #[error("no such route")]
    NoRoute,
    /// The path can name no object: it decodes to no UTF-8, or to no object key.
    #[error("the path names no object")]
    NoSuchKey,
    /// The query is longer than is read.
    #[error("the query has {bytes} bytes, at most {limit} are allowed")]
    QueryTooLong {
        /// Its length.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// The query has more parameters than are read.
    #[error("the query has more than {limit} parameters")]
    TooManyParameters {
        /// The most that is read.
        limit: usize,
    },
    /// The value of an option is not what it takes.
    #[error("`{option}` does not take `{value}`; allowed: {allowed}")]
    BadOption {
        /// Name of the option.
        option: &'static str,
        /// The value, shortened and safe to print.
        value: String,
        /// What is allowed, in words.
        allowed: &'static str,
    },
    /// An option is given more than once.
    #[error("`{option}` is given more than once; allowed: once")]
    RepeatedOption {
        /// Name of the option.
        option: &'static str,
    },
    /// Two options exclude each other.
    #[error("`{first}` and `{second}` exclude each other; allowed: one of them")]
    ConflictingOptions {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// An image option stands where none is taken.
    #[error("`{option}` is not permitted here: {why}")]
    OptionNotPermitted {
        /// Name of the option.
        option: &'static str,
        /// What permits none, in words.
        why: &'static str,
    },
    /// An option, or this value of it, is in the contract but not offered by this version. It is
    /// refused rather than ignored, so that no picture is silently other than asked.
    #[error("`{option}={value}` is not supported; allowed: {allowed}")]
    UnsupportedOption {
        /// Name of the option.
        option: &'static str,
        /// The value, shortened and safe to print.
        value: String,
        /// What is allowed instead, in words.
        allowed: &'static str,
    },
}

/// A value as it may be shown to anybody: short, and printable ASCII only.
pub(super) fn printable(value: &str) -> String {
    const LONGEST: usize = 40;
    let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let mut text: String = value.chars().take(LONGEST).map(safe).collect();
    if value.chars().nth(LONGEST).is_some() {
        text.push_str("...");
    }
    text
}
