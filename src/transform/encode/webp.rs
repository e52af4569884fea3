//! WebP, lossy, by libwebp.
//!
//! The only unsafe code of the encoders. The safe binding always imports pixels as ARGB and
//! converts later; importing straight to YUV saves a copy of the picture and 2 to 10 % of the time.

use libwebp_sys::{
    WebPConfig, WebPEncode, WebPMemoryWrite, WebPMemoryWriter, WebPMemoryWriterClear, WebPMemoryWriterInit,
    WebPPicture, WebPPictureFree, WebPPictureImportRGB, WebPPictureImportRGBA, WebPValidateConfig,
};

use crate::transform::encode::failed;
use crate::transform::error::Error;
use crate::transform::operation::Format;
use crate::transform::pixels::{Layout, Pixels};

/// libwebp's effort, 0..=6. At the SSIMULACRA2 of JPEG 80, method 4 costs 2.3 times the time of
/// method 2 for 4 % fewer bytes (at 90: twice, 7 %); method 3 takes the time of 4 and saves less.
const METHOD: i32 = 2;

/// `quality` is libwebp's, 0..=100.
pub(super) fn encode(pixels: &Pixels, quality: f32) -> Result<Vec<u8>, Error> {
    let config = config(quality).ok_or_else(|| failed(Format::Webp)(&"bad configuration"))?;
    let mut picture = Picture::import(pixels)?;
    let mut writer = Writer::new();
    picture.0.writer = Some(WebPMemoryWrite);
    picture.0.custom_ptr = (&raw mut writer.0).cast();
    // SAFETY: config and picture were initialised by libwebp; the writer behind `custom_ptr` is what
    // `WebPMemoryWrite` expects and outlives the call.
    let is_done = unsafe { WebPEncode(&raw const config, &raw mut picture.0) } != 0;
    if is_done {
        Ok(writer.bytes().to_vec())
    } else {
        Err(failed(Format::Webp)(&format_args!("{:?}", picture.0.error_code)))
    }
}

fn config(quality: f32) -> Option<WebPConfig> {
    let mut config = WebPConfig::new().ok()?;
    config.quality = quality;
    config.method = METHOD;
    // Alpha stays lossless: its edges are the sharpest there are, and masks compress well.
    config.alpha_quality = 100;
    // SAFETY: the configuration is initialised and only read.
    let is_valid = unsafe { WebPValidateConfig(&raw const config) } != 0;
    is_valid.then_some(config)
}

/// Frees libwebp's planes.
struct Picture(WebPPicture);

impl Picture {
    fn import(pixels: &Pixels) -> Result<Self, Error> {
        let picture = WebPPicture::new().map_err(|()| failed(Format::Webp)(&"wrong version of libwebp"))?;
        let mut picture = Self(picture);
        // `encode::check` has seen to it that the sides fit and the buffer is as long as they say.
        (picture.0.width, picture.0.height) = (pixels.width as i32, pixels.height as i32);
        picture.0.use_argb = 0;
        let stride = picture.0.width * pixels.layout.channels() as i32;
        let data = pixels.data.as_ptr();
        // SAFETY: the buffer holds `height` rows of `stride` bytes (see above), and libwebp copies
        // from it before it returns.
        let is_done = unsafe {
            match pixels.layout {
                Layout::Rgb => WebPPictureImportRGB(&raw mut picture.0, data, stride),
                Layout::Rgba => WebPPictureImportRGBA(&raw mut picture.0, data, stride),
            }
        };
        if is_done == 0 { Err(failed(Format::Webp)(&"out of memory")) } else { Ok(picture) }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: the picture was initialised by libwebp and is freed once.
        unsafe { WebPPictureFree(&raw mut self.0) }
    }
}

/// Collects the output; frees it.
struct Writer(WebPMemoryWriter);

impl Writer {
    fn new() -> Self {
        let mut writer = std::mem::MaybeUninit::uninit();
        // SAFETY: this writes every field.
        unsafe {
            WebPMemoryWriterInit(writer.as_mut_ptr());
            Self(writer.assume_init())
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.0.mem.is_null() {
            return &[];
        }
        // SAFETY: libwebp has written `size` bytes at `mem`, which lives as long as this writer.
        unsafe { std::slice::from_raw_parts(self.0.mem, self.0.size) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the writer was initialised and is cleared once.
        unsafe { WebPMemoryWriterClear(&raw mut self.0) }
    }
}
