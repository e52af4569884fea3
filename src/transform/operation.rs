//! What can be asked of a picture, as types. Text of URLs is read in `request/`.
//!
//! Every value is normalised and within its bounds, so that two equal [`Operations`] mean the same
//! picture and two different ones may differ: they are what a cache key is made of.

/// Everything that was asked of one picture. The order of work is fixed and does not depend on
/// the order in the URL: orient, `region`, `trim`, `rotate` and `flip`, `geometry`, `background`,
/// encode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Operations {
    /// The part of the oriented source to work on.
    pub region: Option<Region>,
    /// Borders of one colour (or of full transparency) to cut away.
    pub trim: Option<Tolerance>,
    /// Clockwise turn.
    pub rotate: Rotation,
    /// Mirroring, after the turn.
    pub flip: Flip,
    /// The size of the result. Device pixel ratio and size limits are already applied.
    pub geometry: Geometry,
    /// Fills transparency and padding.
    pub background: Option<Color>,
    /// On JPEG's scale, whatever the format.
    pub quality: Quality,
}

/// How the size of the result comes about. Nothing here ever enlarges a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Geometry {
    /// As large as the limits of the server allow.
    #[default]
    Limits,
    /// `resize`: by a bounding box.
    Resize {
        /// The box; at least one side is given.
        size: Box2,
        /// How the picture meets the box.
        fit: Fit,
    },
    /// `crop`: exactly this size, or the largest cut of its aspect that the source has.
    Crop {
        /// The exact size.
        size: Size,
        /// What to keep.
        gravity: Gravity,
    },
}

/// Width and height in pixels, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// A bounding box of which one side may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Box2 {
    /// `W,`
    Width(u32),
    /// `,H`
    Height(u32),
    /// `W,H`
    Both(Size),
}

/// How a picture meets its bounding box (CSS `object-fit`, sharp's `fit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fit {
    /// As large as fits.
    #[default]
    Inside,
    /// As small as covers.
    Outside,
    /// Covers, then cut to the box around the centre.
    Cover,
    /// Fits, then padded to the box.
    Contain,
    /// Stretched; the only one that changes the aspect.
    Fill,
}

/// Which part of a picture a cut keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gravity {
    /// The middle.
    #[default]
    Center,
    /// The upper edge.
    Top,
    /// The lower edge.
    Bottom,
    /// The left edge.
    Left,
    /// The right edge.
    Right,
    /// The upper left corner.
    TopLeft,
    /// The upper right corner.
    TopRight,
    /// The lower left corner.
    BottomLeft,
    /// The lower right corner.
    BottomRight,
    /// As near to the middle of the cut as the edges of the picture allow; shares of width and
    /// height from the upper left corner.
    Focal {
        /// Share of the width.
        x: PerMyriad,
        /// Share of the height.
        y: PerMyriad,
    },
}

/// A share in ten-thousandths, 0..=10_000: exact, so that `0.5` and `0.50` are one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PerMyriad(pub u16);

/// A part of the source, after orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// In source pixels.
    Pixels {
        /// From the left edge.
        x: u32,
        /// From the upper edge.
        y: u32,
        /// Width, at least 1.
        width: u32,
        /// Height, at least 1.
        height: u32,
    },
    /// In shares of the source.
    Shares {
        /// From the left edge.
        x: PerMyriad,
        /// From the upper edge.
        y: PerMyriad,
        /// Width, above 0.
        width: PerMyriad,
        /// Height, above 0.
        height: PerMyriad,
    },
}

/// How far a border's colour may be from that of the corner, 1..=255 in every channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tolerance(pub u8);

/// A clockwise turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rotation {
    /// Not turned.
    #[default]
    None,
    /// A quarter.
    Quarter,
    /// A half.
    Half,
    /// Three quarters.
    ThreeQuarters,
}

/// Mirroring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flip {
    /// Left and right change places.
    pub horizontal: bool,
    /// Top and bottom change places.
    pub vertical: bool,
}

/// A colour with alpha, not premultiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color {
    /// Red.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
    /// 255 is opaque.
    pub alpha: u8,
}

/// 1..=100 on JPEG's scale; other encoders are mapped to look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quality(pub u8);

impl Default for Quality {
    fn default() -> Self {
        Self(90)
    }
}

/// A picture format that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, baseline.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy.
    Webp,
    /// AVIF.
    Avif,
    /// GIF, one frame.
    Gif,
}

impl Format {
    /// The media type, as in `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
            Self::Gif => "image/gif",
        }
    }
}

/// The format to write, as far as it is known before the source has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Exactly this one.
    Format(Format),
    /// PNG where the source is a PNG or has transparency, else JPEG.
    JpegOrPng,
}
