//! Headers of our own: the public one, and those that only travel between the edge and the render
//! upstream and never reach a client.

/// Public: the stable code of a failure.
pub const ERROR: &str = "kinora-error";

/// Internal: proof that the edge has verified a request.
pub const SEAL: &str = "kinora-seal";

/// Internal: why a request failed, for the access log alone.
pub const CAUSE: &str = "kinora-cause";

/// All that must never reach a client.
pub const HIDDEN: [&str; 2] = [SEAL, CAUSE];

/// A text as it may stand in a header: printable ASCII, at most 300 characters.
pub fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(300).map(safe).collect()
}
