//! AVIF: AV1 by rav1d, planes to RGB by the crate `yuv`.

mod av1;
mod planes;

use yuv::YuvRange;

use crate::transform::color::{Profile, Samples};
use crate::transform::decode::avif::planes::Matrix;
use crate::transform::decode::{fill, take, to_srgb};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{AvifFile, AvifItem, Nclx, Probe, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Avif;

/// Decodes the primary item and its alpha channel.
pub(super) fn decode(source: &[u8], probe: &Probe, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let file = AvifFile::read(source)?;
    if file.color.size() != (probe.width, probe.height) || file.alpha.is_some() != probe.has_alpha {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let (layout, samples) =
        if file.alpha.is_some() { (Layout::Rgba, Samples::Rgba) } else { (Layout::Rgb, Samples::Rgb) };
    let buffer = take(scratch, probe.width, probe.height, layout.channels());
    let data = fill(buffer, scratch, |buffer, scratch| {
        let profile = decode_color(source, &file.color, layout, buffer, scratch)?;
        if let Some(alpha) = &file.alpha {
            decode_alpha(source, &file, alpha, buffer, scratch)?;
        }
        to_srgb(FORMAT, samples, profile, buffer)
    })?;
    Ok(Pixels { width: probe.width, height: probe.height, layout, data })
}

fn decode_color<'a>(
    source: &'a [u8],
    item: &AvifItem<'a>,
    layout: Layout,
    pixels: &mut [u8],
    scratch: &mut Scratch,
) -> Result<Option<Profile<'a>>, Error> {
    let coded = item.coded(source)?;
    // What the container says leads, then what the bitstream says.
    let nclx = match item.nclx() {
        Some(nclx) => nclx,
        None => av1::read_nclx(&coded)?,
    };
    let picture = av1::decode(&coded, item.size())?;
    let matrix = Matrix::from_number(nclx.matrix)?;
    planes::to_rgb(&picture, range(nclx), matrix, layout, pixels, scratch)?;
    match item.profile() {
        Some(profile) => Ok(Some(Profile::Icc(profile))),
        None => Profile::from_numbers(FORMAT, nclx.primaries, nclx.transfer),
    }
}

fn decode_alpha(
    source: &[u8],
    file: &AvifFile,
    item: &AvifItem,
    rgba: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), Error> {
    if item.size() != file.color.size() {
        return Err(FORMAT.unsupported("an alpha channel of another size than the picture"));
    }
    let coded = item.coded(source)?;
    let range = range(av1::read_nclx(&coded)?);
    let picture = av1::decode(&coded, item.size())?;
    planes::set_alpha(&picture, range, rgba, scratch)?;
    if file.is_premultiplied {
        rgba.chunks_exact_mut(4).for_each(undo_premultiplication);
    }
    Ok(())
}

fn range(nclx: Nclx) -> YuvRange {
    if nclx.is_full_range { YuvRange::Full } else { YuvRange::Limited }
}

fn undo_premultiplication(pixel: &mut [u8]) {
    let alpha = u32::from(pixel[3]);
    if alpha == 0 {
        return;
    }
    for value in &mut pixel[..3] {
        *value = ((u32::from(*value) * 255 + alpha / 2) / alpha).min(255) as u8;
    }
}
