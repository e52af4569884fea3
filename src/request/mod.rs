//! Text of a URL becomes a typed value here, once; below this module no option is text.
//!
//! [`split_target`] takes a request target apart, [`MediaRequest::parse`] reads it, and
//! [`MediaRequest::negotiate`] ends in a [`Variant`]: the one canonical form, from which cache keys
//! and the internal upstream's paths are made. Two requests of equal meaning are equal values.
//!
//! ```
//! use kinora::headers::FormatClass;
//! use kinora::request::{MediaRequest, Rules, split_target};
//!
//! let rules = Rules { max_width: 2048, max_height: 1536 };
//! let read = |target| MediaRequest::parse(&split_target(target), &rules);
//! let one = read("/media/a/cat.jpg?resize=400,300&dpr=2&quality=90")?;
//! let two = read("/media/a/c%61t.jpg?utm_source=x&resize=800,600")?;
//! assert_eq!(one, two);
//! assert_eq!(one.negotiate(FormatClass::Webp).to_path(), "/media/a/cat.jpg?resize=800,600&format=webp");
//! # Ok::<(), kinora::request::Error>(())
//! ```

mod asset_id;
mod canonical;
mod draft;
mod error;
mod number;
mod options;
mod route;

use crate::headers::FormatClass;
use crate::origin::ObjectKey;
use crate::transform::Format;
use crate::transform::Operations;
use crate::transform::Target;

pub use asset_id::{AssetId, InvalidAssetId};
pub use error::Error;
pub use options::{OptionRow, Provenance, options, options_table};
pub use route::{Route, SplitTarget, split_target};

/// What of the server's settings decides the meaning of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// `image.max_width`: no result is wider.
    pub max_width: u32,
    /// `image.max_height`: no result is higher.
    pub max_height: u32,
}

/// A request for an object of the bucket or for a picture made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaRequest {
    /// The object.
    pub key: ObjectKey,
    /// `v`: part of the cache key, so that a new version never gets old bytes.
    pub version: Option<Version>,
    /// What to make of the object.
    pub work: Work,
    /// How to hand it over; only a header, never part of the cache key.
    pub delivery: Delivery,
}

/// What to make of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Work {
    /// Nothing: the object, byte for byte.
    Original,
    /// A picture. Any image option asks for it, even one that says only the default.
    Image {
        /// What was asked, normalised and within the limits.
        operations: Operations,
        /// In which format.
        format: FormatOption,
    },
}

/// The option `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatOption {
    /// The best that the client accepts.
    Auto,
    /// This one, whatever `Accept` says.
    Format(Format),
}

/// The options `delivery` and `filename`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Shown in place.
    Display,
    /// Saved by the browser.
    Download {
        /// The name to save it under, as it came: any Unicode text of 1 to 255 bytes.
        filename: Option<String>,
    },
}

/// The option `v`, a version of the object that the URL names: 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(String);

/// One rendering of one object, in the only form that a cache key or a render is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The object.
    pub key: ObjectKey,
    /// The version that the URL named.
    pub version: Option<Version>,
    /// What to make of it.
    pub work: VariantWork,
}

/// What to make of an object, with the format negotiated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VariantWork {
    /// The object, byte for byte.
    Original,
    /// A picture.
    Image {
        /// Normalised and within the limits.
        operations: Operations,
        /// The format as far as it is known without the source.
        target: Target,
    },
}

impl MediaRequest {
    /// Reads a request from its target as sent. A path token in front is not looked at.
    ///
    /// # Errors
    /// [`Error`]; nothing of the query is read when the path is no media path.
    pub fn parse(target: &SplitTarget<'_>, rules: &Rules) -> Result<Self, Error> {
        let Some(Route::Media { key }) = Route::of(target.path) else {
            return Err(Error::NoRoute);
        };
        let key = route::object_key(key).ok_or(Error::NoSuchKey)?;
        let draft = draft::Draft::read(target.query)?;
        let (version, work, delivery) = draft.resolve(rules)?;
        Ok(Self { key, version, work, delivery })
    }

    /// The variant that a client of this class gets.
    pub fn negotiate(&self, class: FormatClass) -> Variant {
        let work = match &self.work {
            Work::Original => VariantWork::Original,
            Work::Image { operations, format } => {
                VariantWork::Image { operations: operations.clone(), target: format.negotiate(class) }
            }
        };
        Variant { key: self.key.clone(), version: self.version.clone(), work }
    }

    /// Whether the answer depends on `Accept`, and so must say `Vary: Accept`.
    pub fn is_negotiated(&self) -> bool {
        matches!(self.work, Work::Image { format: FormatOption::Auto, .. })
    }
}

impl FormatOption {
    fn negotiate(self, class: FormatClass) -> Target {
        match (self, class) {
            (Self::Format(format), _) => Target::Format(format),
            (Self::Auto, FormatClass::Avif) => Target::Format(Format::Avif),
            (Self::Auto, FormatClass::Webp) => Target::Format(Format::Webp),
            (Self::Auto, FormatClass::JpegOrPng) => Target::JpegOrPng,
        }
    }
}

impl Version {
    /// Checks a version.
    pub fn new(text: &str) -> Option<Self> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        ((1..=64).contains(&text.len()) && text.bytes().all(fine)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
