//! The one call into libwebp that decodes into memory of ours.

use libwebp_sys::{
    VP8StatusCode, WEBP_CSP_MODE, WebPDecBuffer__bindgen_ty_1, WebPDecode, WebPDecoderConfig,
    WebPGetFeatures, WebPRGBABuffer,
};

use crate::transform::error::Error;
use crate::transform::pixels::Layout;
use crate::transform::probe::SourceFormat;

const FORMAT: SourceFormat = SourceFormat::Webp;

/// Decodes a file, or the chunks of one frame, into rows that begin `stride` bytes apart.
pub(super) fn decode(
    coded: &[u8],
    size: (u32, u32),
    layout: Layout,
    pixels: &mut [u8],
    stride: usize,
) -> Result<(), Error> {
    let refused = || FORMAT.corrupt("libwebp refuses its parameters");
    let mut config = WebPDecoderConfig::new().map_err(|()| refused())?;
    // SAFETY: `coded` is valid for reads of its length, and `config.input` is a plain struct that
    // the call only writes to.
    let status = unsafe { WebPGetFeatures(coded.as_ptr(), coded.len(), &mut config.input) };
    check(status)?;
    if (i64::from(config.input.width), i64::from(config.input.height)) != (size.0.into(), size.1.into()) {
        return Err(FORMAT.corrupt("a picture of another size than its header says"));
    }
    let needed = (size.1 as usize - 1) * stride + size.0 as usize * layout.channels();
    if pixels.len() < needed {
        return Err(refused());
    }
    config.output.colorspace = match layout {
        Layout::Rgb => WEBP_CSP_MODE::MODE_RGB,
        Layout::Rgba => WEBP_CSP_MODE::MODE_RGBA,
    };
    config.output.is_external_memory = 1;
    let stride = stride.try_into().map_err(|_| refused())?;
    let buffer = WebPRGBABuffer { rgba: pixels.as_mut_ptr(), stride, size: pixels.len() };
    config.output.u = WebPDecBuffer__bindgen_ty_1 { RGBA: buffer };
    // SAFETY: `coded` is valid for reads of its length. The output is marked as external, so libwebp
    // neither frees nor replaces it, and checks `size` against `stride` and the height itself;
    // `pixels` is valid for writes of that size, and borrowed mutably for the whole call. Nothing
    // keeps the pointers afterwards: with external memory there is nothing to free.
    check(unsafe { WebPDecode(coded.as_ptr(), coded.len(), &mut config) })
}

fn check(status: VP8StatusCode) -> Result<(), Error> {
    match status {
        VP8StatusCode::VP8_STATUS_OK => Ok(()),
        VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => Err(FORMAT.corrupt("libwebp found no memory")),
        VP8StatusCode::VP8_STATUS_INVALID_PARAM => Err(FORMAT.corrupt("libwebp: invalid parameter")),
        VP8StatusCode::VP8_STATUS_BITSTREAM_ERROR => Err(FORMAT.corrupt("libwebp: bitstream error")),
        VP8StatusCode::VP8_STATUS_UNSUPPORTED_FEATURE => {
            Err(FORMAT.unsupported("a feature unknown to libwebp"))
        }
        VP8StatusCode::VP8_STATUS_SUSPENDED | VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA => {
            Err(FORMAT.corrupt("ends within the picture"))
        }
        VP8StatusCode::VP8_STATUS_USER_ABORT => Err(FORMAT.corrupt("libwebp: aborted")),
    }
}
