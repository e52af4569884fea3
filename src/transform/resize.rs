//! Cuts and scales in stored orientation: Lanczos3 on 8 bits, alpha premultiplied.

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, MulDiv, PixelType, ResizeAlg, ResizeOptions};

use crate::transform::background::{drop_alpha, is_opaque};
use crate::transform::decode::Shrink;
use crate::transform::error::Error;
use crate::transform::geometry::Area;
use crate::transform::operation::Size;
use crate::transform::pixels::{Layout, Pixels, Scratch};

/// What to show, in pixels of the source before the decoder shrunk it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Nothing outside of it may show, not even through the filter; in whole pixels.
    pub(crate) area: Area,
    /// What becomes the result; around it the filter reads the rest of the area.
    pub(crate) cut: Area,
    /// The size of the result, never above that of the cut.
    pub(crate) size: Size,
}

/// Scales the cut to its size. The result has alpha only if some of it is transparent.
///
/// # Errors
/// Only if the work does not lie within the picture, which would be a mistake of the plan.
pub(crate) fn resize(
    mut pixels: Pixels,
    shrink: Shrink,
    work: &Work,
    scratch: &mut Scratch,
) -> Result<Pixels, Error> {
    let (view, cut) = project(&pixels, f64::from(factor(shrink)), work);
    let is_opaque_source = is_opaque(&pixels);
    let whole = Area::whole(Size { width: pixels.width, height: pixels.height });
    if cut == whole && work.size == whole.size() {
        return Ok(if is_opaque_source { drop_alpha(pixels) } else { pixels });
    }
    let is_scaled =
        cut != Area { width: f64::from(work.size.width), height: f64::from(work.size.height), ..cut };
    if is_scaled && !is_opaque_source {
        premultiply(&mut pixels, view)?;
    }
    let kind = pixel_type(pixels.layout);
    let mut data = scratch.take(bytes(work.size, pixels.layout));
    let source = ImageRef::new(pixels.width, pixels.height, &pixels.data, kind).map_err(mistake)?;
    let (left, top, size) = (view.x as u32, view.y as u32, view.size());
    let source = CroppedImage::new(&source, left, top, size.width, size.height).map_err(mistake)?;
    let mut target =
        Image::from_slice_u8(work.size.width, work.size.height, &mut data, kind).map_err(mistake)?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(cut.x - view.x, cut.y - view.y, cut.width, cut.height)
        .use_alpha(false);
    scratch.resizer.resize(&source, &mut target, &options).map_err(mistake)?;
    if is_scaled && !is_opaque_source {
        MulDiv::new().divide_alpha_inplace(&mut target).map_err(mistake)?;
    }
    scratch.rest();
    scratch.give(pixels.data);
    let result = Pixels { width: work.size.width, height: work.size.height, layout: pixels.layout, data };
    // Rounding in the filter may leave 254 where all was 255.
    Ok(if is_opaque_source || is_opaque(&result) { drop_alpha(result) } else { result })
}

/// Peak bytes of [`resize`] for at most this area and result, without the decoded picture.
pub(crate) fn resize_memory(area: Size, result: Size, channels: u64) -> u64 {
    // The vertical pass comes first, so what lies between is as wide as the area and as high as the
    // result; then, per source column and row, up to 6 weights of the filter as f64 and i16.
    let (area_width, area_height) = (u64::from(area.width), u64::from(area.height));
    let between = area_width * u64::from(result.height) * channels;
    let weights = (area_width + area_height + u64::from(result.width) + u64::from(result.height)) * 96;
    between + weights + u64::from(result.width) * u64::from(result.height) * channels
}

/// How many stored pixels become one while decoding, in each direction.
pub(crate) fn factor(shrink: Shrink) -> u32 {
    match shrink {
        Shrink::One => 1,
        Shrink::Half => 2,
        Shrink::Quarter => 4,
        Shrink::Eighth => 8,
    }
}

/// The area, widened to whole pixels, and the cut in pixels of the shrunk picture.
fn project(pixels: &Pixels, factor: f64, work: &Work) -> (Area, Area) {
    let across = |start: f64, length: f64| within(start / factor, length / factor, pixels.width);
    let down = |start: f64, length: f64| within(start / factor, length / factor, pixels.height);
    let cut = {
        let (x, width) = across(work.cut.x, work.cut.width);
        let (y, height) = down(work.cut.y, work.cut.height);
        Area { x, y, width, height }
    };
    let (x, width) = across(work.area.x, work.area.width);
    let (y, height) = down(work.area.y, work.area.height);
    // By what rounding could have pushed the cut over the edge of the area, the area gives way.
    let (left, top) = (x.min(cut.x).floor(), y.min(cut.y).floor());
    let right = (x + width).max(cut.x + cut.width).ceil().min(f64::from(pixels.width));
    let bottom = (y + height).max(cut.y + cut.height).ceil().min(f64::from(pixels.height));
    (Area { x: left, y: top, width: right - left, height: bottom - top }, cut)
}

/// Keeps a span of fractions inside of `0..side`: rounding must not push it over the edge.
fn within(start: f64, length: f64, side: u32) -> (f64, f64) {
    let side = f64::from(side);
    let length = length.clamp(f64::EPSILON, side);
    let start = start.clamp(0.0, side - length);
    // The sum is what the resizer checks, and it may round up where the difference rounded down.
    (start, if start + length > side { side - start } else { length })
}

fn premultiply(pixels: &mut Pixels, view: Area) -> Result<(), Error> {
    let stride = pixels.width as usize * 4;
    let (top, height) = (view.y as usize, view.size().height);
    let rows = &mut pixels.data[top * stride..(top + height as usize) * stride];
    let mut rows = Image::from_slice_u8(pixels.width, height, rows, PixelType::U8x4).map_err(mistake)?;
    MulDiv::new().multiply_alpha_inplace(&mut rows).map_err(mistake)
}

fn pixel_type(layout: Layout) -> PixelType {
    match layout {
        Layout::Rgb => PixelType::U8x3,
        Layout::Rgba => PixelType::U8x4,
    }
}

fn bytes(size: Size, layout: Layout) -> usize {
    size.width as usize * size.height as usize * layout.channels()
}

/// The source is not to blame for any of these.
fn mistake(error: impl std::fmt::Display) -> Error {
    Error::Encode { format: "resized pixels", reason: error.to_string() }
}
