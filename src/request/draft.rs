//! A query as typed values, each option by itself; what they mean together is decided in `canonical`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::request::FormatOption;
use crate::request::Version;
use crate::request::error::Error;
use crate::request::error::printable;
use crate::request::options::Refusal;
use crate::request::options::TABLE;
use crate::request::options::is_announced;
use crate::transform::Box2;
use crate::transform::Color;
use crate::transform::Fit;
use crate::transform::Flip;
use crate::transform::Gravity;
use crate::transform::Quality;
use crate::transform::Region;
use crate::transform::Rotation;
use crate::transform::Size;
use crate::transform::Tolerance;

/// Longer queries are refused unread.
const MAX_QUERY_BYTES: usize = 8 * 1024;
/// Queries of more parameters are refused.
const MAX_PARAMETERS: usize = 64;

/// The options of one query as they were given, over those of a preset if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// A picture is asked for: by the route, or by some image option.
    pub(super) is_image: bool,
    /// The first image option that the query itself has named.
    pub(super) named: Option<&'static str>,
    pub(super) resize: Option<Box2>,
    pub(super) crop: Option<(Size, Gravity)>,
    pub(super) fit: Fit,
    pub(super) region: Option<Region>,
    pub(super) trim: Option<Tolerance>,
    pub(super) rotate: Rotation,
    pub(super) flip: Flip,
    pub(super) background: Option<Color>,
    pub(super) quality: Quality,
    pub(super) format: FormatOption,
    /// Device pixels per pixel asked for, in hundredths.
    pub(super) dpr: u32,
    pub(super) is_download: bool,
    pub(super) filename: Option<String>,
    pub(super) version: Option<Version>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            is_image: false,
            named: None,
            resize: None,
            crop: None,
            fit: Fit::default(),
            region: None,
            trim: None,
            rotate: Rotation::default(),
            flip: Flip::default(),
            background: None,
            quality: Quality::default(),
            format: FormatOption::Auto,
            dpr: 100,
            is_download: false,
            filename: None,
            version: None,
        }
    }
}

impl Draft {
    /// Reads a raw query. Unknown parameters, among them those of a signature, are skipped.
    pub(super) fn read(mut self, query: Option<&str>) -> Result<Self, Error> {
        let query = query.unwrap_or_default();
        if query.len() > MAX_QUERY_BYTES {
            return Err(Error::QueryTooLong { bytes: query.len(), limit: MAX_QUERY_BYTES });
        }
        let mut seen = [false; TABLE.len()];
        for (count, parameter) in query.split('&').filter(|text| !text.is_empty()).enumerate() {
            if count == MAX_PARAMETERS {
                return Err(Error::TooManyParameters { limit: MAX_PARAMETERS });
            }
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let Some(index) = TABLE.iter().position(|row| row.name == name) else {
                is_announced(name).map_or(Ok(()), |option| Err(Error::not_offered(option, value)))?;
                continue;
            };
            let option = TABLE[index].name;
            if std::mem::replace(&mut seen[index], true) {
                return Err(Error::RepeatedOption { option });
            }
            self.take(index, value)?;
        }
        Ok(self)
    }

    fn take(&mut self, index: usize, raw: &str) -> Result<(), Error> {
        let row = &TABLE[index];
        let value = decoded(raw);
        let outcome = value.as_deref().map_or(Err(Refusal::Invalid), |value| (row.read)(self, value));
        if row.is_image {
            self.is_image = true;
            self.named.get_or_insert(row.name);
        }
        outcome.map_err(|refusal| {
            let (option, allowed) = (row.name, row.allowed);
            let value = printable(value.as_deref().unwrap_or(raw));
            match refusal {
                Refusal::Invalid => Error::BadOption { option, value, allowed },
                Refusal::NotOffered => Error::UnsupportedOption { option, value, allowed },
            }
        })
    }
}

impl Error {
    fn not_offered(option: &'static str, raw: &str) -> Self {
        let value = printable(decoded(raw).as_deref().unwrap_or(raw));
        Self::UnsupportedOption { option, value, allowed: "not this option" }
    }
}

/// The text of a raw value; `None` if it is no UTF-8. In a query, as forms write it, `+` is a space.
fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('+') {
        return percent_decode_str(raw).decode_utf8().ok();
    }
    let spaced = raw.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}
