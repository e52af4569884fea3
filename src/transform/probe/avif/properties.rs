//! What an AVIF says of one item: size, depth, colour, how it should be seen.

use crate::transform::error::Error;
use crate::transform::pixels::Orientation;
use crate::transform::probe::avif::FORMAT;
use crate::transform::probe::bytes::Bytes;

/// How the numbers of a picture are to be read as colour (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transform) struct Nclx {
    /// `ColourPrimaries`.
    pub(in crate::transform) primaries: u8,
    /// `TransferCharacteristics`.
    pub(in crate::transform) transfer: u8,
    /// `MatrixCoefficients`.
    pub(in crate::transform) matrix: u8,
    /// `VideoFullRangeFlag`.
    pub(in crate::transform) is_full_range: bool,
}

/// The properties of an item that matter.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    width: u32,
    height: u32,
    /// Bits of one sample.
    pub(super) bits: u8,
    /// Whether there is only luma.
    pub(super) is_monochrome: bool,
    /// How it should be seen.
    pub(super) orientation: Orientation,
    /// The ICC profile.
    pub(super) profile: Option<&'a [u8]>,
    /// Colour by number.
    pub(super) nclx: Option<Nclx>,
}

impl<'a> Properties<'a> {
    /// Takes up one property; turns and mirrors add up in the order of the file.
    pub(super) fn add(&mut self, kind: [u8; 4], content: &'a [u8], is_essential: bool) -> Result<(), Error> {
        let mut bytes = Bytes::new(content);
        match &kind {
            b"ispe" => {
                bytes.skip(4)?;
                (self.width, self.height) = (bytes.u32()?, bytes.u32()?);
            }
            b"av1C" => {
                let [_, _, flags] = bytes.array()?;
                self.bits = match (flags & 0x40 != 0, flags & 0x20 != 0) {
                    (false, _) => 8,
                    (true, false) => 10,
                    (true, true) => 12,
                };
                self.is_monochrome = flags & 0x10 != 0;
            }
            b"colr" => self.add_color(&mut bytes)?,
            b"irot" => {
                let counterclockwise = bytes.u8()? & 3;
                self.orientation.quarter_turns = (self.orientation.quarter_turns + 4 - counterclockwise) % 4;
            }
            b"imir" => {
                // A mirror after a turn is the mirror before the opposite turn; one that swaps top
                // and bottom is one that swaps the sides and then half a turn.
                let half = if bytes.u8()? & 1 == 0 { 2 } else { 0 };
                self.orientation.mirrored = !self.orientation.mirrored;
                self.orientation.quarter_turns = (4 - self.orientation.quarter_turns + half) % 4;
            }
            b"clap" => return Err(FORMAT.unsupported("a clean aperture")),
            b"auxC" | b"pixi" | b"pasp" => {}
            _ if is_essential => {
                return Err(FORMAT.unsupported("an essential property that is not known here"));
            }
            _ => {}
        }
        Ok(())
    }

    fn add_color(&mut self, bytes: &mut Bytes<'a>) -> Result<(), Error> {
        match &bytes.array()? {
            b"nclx" => {
                // Values that are reserved read as "unspecified".
                let mut number = || bytes.u16().map(|number| u8::try_from(number).unwrap_or(2));
                let (primaries, transfer, matrix) = (number()?, number()?, number()?);
                let is_full_range = bytes.u8()? & 0x80 != 0;
                self.nclx = Some(Nclx { primaries, transfer, matrix, is_full_range });
            }
            b"prof" | b"rICC" => self.profile = Some(bytes.take(bytes.len())?),
            _ => {}
        }
        Ok(())
    }

    /// Pixels across and down.
    pub(super) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Whether all is there that must be.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.width == 0 || self.height == 0 {
            return Err(FORMAT.corrupt("no width or no height"));
        }
        if self.bits == 0 {
            return Err(FORMAT.corrupt("an item without a codec configuration"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oriented(properties: &[(&[u8; 4], u8)]) -> (bool, u8) {
        let mut all = Properties::default();
        properties
            .iter()
            .for_each(|(kind, value)| all.add(**kind, std::slice::from_ref(value), true).unwrap());
        (all.orientation.mirrored, all.orientation.quarter_turns)
    }

    /// Turns counterclockwise in the file, and EXIF's number for the same.
    #[test]
    fn turns_and_mirrors_are_those_of_exif() {
        let (turn, mirror) = (b"irot", b"imir");
        assert_eq!(oriented(&[(turn, 3)]), (false, 1), "6: a quarter clockwise");
        assert_eq!(oriented(&[(turn, 2)]), (false, 2), "3: a half");
        assert_eq!(oriented(&[(turn, 1)]), (false, 3), "8: three quarters clockwise");
        assert_eq!(oriented(&[(mirror, 1)]), (true, 0), "2: the sides change places");
        assert_eq!(oriented(&[(mirror, 0)]), (true, 2), "4: top and bottom change places");
        assert_eq!(oriented(&[(turn, 1), (mirror, 0)]), (true, 3), "5: libavif writes 1 and 0");
        assert_eq!(oriented(&[(turn, 3), (mirror, 0)]), (true, 1), "7: libavif writes 3 and 0");
        assert_eq!(oriented(&[(mirror, 1), (turn, 3)]), (true, 1), "7: mirrored first, then a quarter");
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_refused() {
        let mut properties = Properties::default();
        assert_eq!(properties.add(*b"lsel", &[0, 0], false), Ok(()), "may be ignored");
        assert!(matches!(properties.add(*b"lsel", &[0, 0], true), Err(Error::UnsupportedFeature { .. })));
        assert!(matches!(properties.add(*b"clap", &[], false), Err(Error::UnsupportedFeature { .. })));
    }
}
