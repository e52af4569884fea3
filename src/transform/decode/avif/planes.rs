//! From decoded planes to RGB.
//!
//! Deeper planes are narrowed to 8 bits first: the result has no more, and one way through the
//! matrix serves all depths.

use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent as Component, Plane};
use yuv::{YuvError, YuvGrayImage, YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Scratch};
use crate::transform::probe::SourceFormat;

const FORMAT: SourceFormat = SourceFormat::Avif;

/// How planes become colours.
#[derive(Debug, Clone, Copy)]
pub(super) enum Matrix {
    /// The planes are green, blue, red.
    Identity,
    /// Luma and chroma.
    Luma(YuvStandardMatrix),
}

impl Matrix {
    /// H.273's `MatrixCoefficients`.
    pub(super) fn from_number(number: u8) -> Result<Self, Error> {
        Ok(Self::Luma(match number {
            0 => return Ok(Self::Identity),
            1 => YuvStandardMatrix::Bt709,
            2 | 5 | 6 => YuvStandardMatrix::Bt601,
            4 => YuvStandardMatrix::Fcc,
            7 => YuvStandardMatrix::Smpte240,
            9 => YuvStandardMatrix::Bt2020,
            _ => return Err(FORMAT.unsupported("these matrix coefficients")),
        }))
    }
}

type FromPlanar =
    fn(&YuvPlanarImage<u8>, &mut [u8], u32, YuvRange, YuvStandardMatrix) -> Result<(), YuvError>;
type FromGray = fn(&YuvGrayImage<u8>, &mut [u8], u32, YuvRange, YuvStandardMatrix) -> Result<(), YuvError>;

/// Converts a picture to RGB, or to RGBA with any alpha.
pub(super) fn to_rgb(
    picture: &Picture,
    range: YuvRange,
    matrix: Matrix,
    layout: Layout,
    pixels: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let (width, height) = (picture.width(), picture.height());
    let stride = width * layout.channels() as u32;
    let luma = EightBits::of(picture, Component::Y, scratch);
    let converted = if picture.pixel_layout() == PixelLayout::I400 {
        let convert: FromGray = if layout == Layout::Rgb { yuv::yuv400_to_rgb } else { yuv::yuv400_to_rgba };
        let image = YuvGrayImage { y_plane: luma.bytes(), y_stride: luma.stride, width, height };
        convert(&image, pixels, stride, range, YuvStandardMatrix::Bt601)
    } else {
        let u = EightBits::of(picture, Component::U, scratch);
        let v = EightBits::of(picture, Component::V, scratch);
        let image = YuvPlanarImage {
            y_plane: luma.bytes(),
            y_stride: luma.stride,
            u_plane: u.bytes(),
            u_stride: u.stride,
            v_plane: v.bytes(),
            v_stride: v.stride,
            width,
            height,
        };
        let converted = match (matrix, picture.pixel_layout(), layout) {
            (Matrix::Identity, PixelLayout::I444, Layout::Rgb) => {
                yuv::gbr_to_rgb(&image, pixels, stride, range)
            }
            (Matrix::Identity, PixelLayout::I444, Layout::Rgba) => {
                yuv::gbr_to_rgba(&image, pixels, stride, range)
            }
            (Matrix::Identity, ..) => return Err(FORMAT.corrupt("subsampled green, blue and red")),
            (Matrix::Luma(matrix), subsampling, layout) => {
                converter(subsampling, layout)(&image, pixels, stride, range, matrix)
            }
        };
        u.give(scratch);
        v.give(scratch);
        converted
    };
    luma.give(scratch);
    converted.map_err(|error| FORMAT.corrupt(error.to_string()))
}

fn converter(subsampling: PixelLayout, layout: Layout) -> FromPlanar {
    match (subsampling, layout) {
        (PixelLayout::I420, Layout::Rgb) => yuv::yuv420_to_rgb_bilinear,
        (PixelLayout::I420, Layout::Rgba) => yuv::yuv420_to_rgba_bilinear,
        (PixelLayout::I422, Layout::Rgb) => yuv::yuv422_to_rgb_bilinear,
        (PixelLayout::I422, Layout::Rgba) => yuv::yuv422_to_rgba_bilinear,
        (PixelLayout::I444 | PixelLayout::I400, Layout::Rgb) => yuv::yuv444_to_rgb,
        (PixelLayout::I444 | PixelLayout::I400, Layout::Rgba) => yuv::yuv444_to_rgba,
    }
}

/// Writes the luma of a picture into the alpha of RGBA.
pub(super) fn set_alpha(
    picture: &Picture,
    range: YuvRange,
    rgba: &mut [u8],
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let width = picture.width() as usize;
    let luma = EightBits::of(picture, Component::Y, scratch);
    let rows = luma.bytes().chunks(luma.stride as usize);
    for (row, alphas) in rgba.chunks_exact_mut(width * 4).zip(rows) {
        for (pixel, alpha) in row.chunks_exact_mut(4).zip(alphas) {
            pixel[3] = match range {
                YuvRange::Full => *alpha,
                YuvRange::Limited => ((u16::from(alpha.saturating_sub(16)) * 255 + 109) / 219).min(255) as u8,
            };
        }
    }
    luma.give(scratch);
    Ok(())
}

/// A plane of bytes.
struct EightBits {
    store: Store,
    /// From row to row.
    stride: u32,
}

enum Store {
    /// The decoder's.
    Decoded(Plane),
    /// A narrow copy.
    Narrowed(Vec<u8>),
}

impl EightBits {
    fn of(picture: &Picture, component: Component, scratch: &mut Scratch) -> Self {
        let plane = picture.plane(component);
        let (stride, height) = picture.plane_data_geometry(component);
        if picture.bit_depth() <= 8 {
            return Self { store: Store::Decoded(plane), stride };
        }
        let width = match (component, picture.pixel_layout()) {
            (Component::Y, _) | (_, PixelLayout::I444 | PixelLayout::I400) => picture.width(),
            (_, PixelLayout::I420 | PixelLayout::I422) => picture.width().div_ceil(2),
        };
        let shift = picture.bit_depth() as u32 - 8;
        let mut narrow = scratch.take(width as usize * height as usize);
        for (to, from) in narrow.chunks_exact_mut(width as usize).zip(plane.chunks(stride as usize)) {
            for (to, from) in to.iter_mut().zip(from.chunks_exact(2)) {
                let rounded =
                    (u32::from(u16::from_ne_bytes([from[0], from[1]])) + (1 << (shift - 1))) >> shift;
                *to = rounded.min(255) as u8;
            }
        }
        Self { store: Store::Narrowed(narrow), stride: width }
    }

    fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Decoded(plane) => plane,
            Store::Narrowed(bytes) => bytes,
        }
    }

    fn give(self, scratch: &mut Scratch) {
        if let Store::Narrowed(bytes) = self.store {
            scratch.give(bytes);
        }
    }
}
