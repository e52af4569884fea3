//! Text of a URL becomes a typed value here, once; below this module no option is text.
//!
//! [`split_target`] takes a request target apart, [`MediaRequest::parse`] reads it, and
//! [`MediaRequest::negotiate`] ends in a [`Variant`]: the one canonical form, from which cache keys
//! and the internal upstream's paths are made. Two requests of equal meaning are equal values.
//!
//! ```
//! use kinora::headers::FormatClass;
//! use kinora::origin::ObjectKey;
//! use kinora::request::{MediaRequest, Rules, Source, split_target};
//!
//! let rules = Rules::within(2048, 1536);
//! let read = |target| MediaRequest::parse(&split_target(target), &rules);
//! let one = read("/media/a/cat.jpg?resize=400,300&dpr=2&quality=90")?;
//! let two = read("/media/a/c%61t.jpg?utm_source=x&resize=800,600")?;
//! assert_eq!(one, two);
//! let cat = ObjectKey::new("a/cat.jpg")?;
//! assert_eq!(one.source, Source::Object(cat.clone()));
//! let variant = one.negotiate(&cat, FormatClass::Webp);
//! assert_eq!(variant.to_path(), "/media/a/cat.jpg?resize=800,600&format=webp");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asset_id;
mod canonical;
mod draft;
mod error;
mod number;
mod options;
mod piece;
mod preset;
mod route;
mod rules;

use crate::headers::FormatClass;
use crate::origin::ObjectKey;
use crate::transform::Format;
use crate::transform::Operations;
use crate::transform::Target;

pub use asset_id::{AssetId, InvalidAssetId};
pub use error::Error;
pub use options::{OptionRow, Provenance, options, options_table};
pub use piece::{NoPiece, Piece, Track};
pub use preset::{InvalidPreset, Presets};
pub use route::{Route, SplitTarget, split_target};
pub use rules::Rules;

/// A request for an object, of the bucket or of an asset, or for a picture made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaRequest {
    /// What it is for.
    pub source: Source,
    /// `v`: part of the cache key, so that a new version never gets old bytes.
    pub version: Option<Version>,
    /// What to make of the object.
    pub work: Work,
    /// How to hand it over; only a header, never part of the cache key.
    pub delivery: Delivery,
}

/// What a request is for. Which object an asset's is, and whether it is there, the catalogue knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// An object of the bucket.
    Object(ObjectKey),
    /// The original of an asset.
    Asset(AssetId),
    /// The conversion of this name that an asset was given beside its original.
    Conversion(AssetId, String),
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
        let route = Route::of(target.path).ok_or(Error::NoRoute)?;
        let (source, draft) = rules.begin(&route)?;
        let draft = draft.read(target.query)?;
        if let Some((option, why)) = draft.named.zip(rules.forbids_options(&route)) {
            return Err(Error::OptionNotPermitted { option, why });
        }
        let (version, work, delivery) = draft.resolve(rules)?;
        Ok(Self { source, version, work, delivery })
    }

    /// The variant of an object, the one that this request comes down to, for a client of this class.
    pub fn negotiate(&self, object: &ObjectKey, class: FormatClass) -> Variant {
        let work = match &self.work {
            Work::Original => VariantWork::Original,
            Work::Image { operations, format } => {
                VariantWork::Image { operations: operations.clone(), target: format.negotiate(class) }
            }
        };
        Variant { key: object.clone(), version: self.version.clone(), work }
    }

    /// Whether it is never answered without proof: an asset's original is not for the public.
    pub fn needs_proof(&self) -> bool {
        matches!((&self.source, &self.work), (Source::Asset(_), Work::Original))
    }

    /// Whether the answer depends on `Accept`, and so must say `Vary: Accept`.
    pub fn is_negotiated(&self) -> bool {
        matches!(self.work, Work::Image { format: FormatOption::Auto, .. })
    }
}

impl Source {
    /// The object, if the request names one itself.
    pub fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object(key) => Some(key),
            Self::Asset(_) | Self::Conversion(..) => None,
        }
    }

    /// The asset, if it is one's.
    pub fn asset(&self) -> Option<AssetId> {
        match self {
            Self::Object(_) => None,
            Self::Asset(id) | Self::Conversion(id, _) => Some(*id),
        }
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
