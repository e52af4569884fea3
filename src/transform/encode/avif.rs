//! AVIF by rav1e through ravif: 8 bits, 4:4:4, its fastest speed, one thread.

use ravif::{BitDepth, EncodedImage, Encoder, Img, MatrixCoefficients, PixelRange, RGBA8};

use crate::transform::encode::failed;
use crate::transform::error::Error;
use crate::transform::operation::Format;
use crate::transform::pixels::{Layout, Pixels};

/// rav1e's fastest. Slower ones cost three times as much for 20 % fewer bytes.
const SPEED: u8 = 10;

/// `quality` is ravif's, 1..=100.
pub(super) fn encode(pixels: &Pixels, quality: f32) -> Result<Vec<u8>, Error> {
    let quality = quality.clamp(1.0, 100.0);
    let encoder = Encoder::new()
        .with_quality(quality)
        .with_alpha_quality((quality * 1.25 + 2.0).min((quality + 100.0) / 2.0))
        .with_speed(SPEED)
        .with_bit_depth(BitDepth::Eight)
        .with_num_threads(Some(1));
    let (width, height) = (pixels.width as usize, pixels.height as usize);
    let encoded: Result<EncodedImage, _> = match pixels.layout {
        Layout::Rgb => {
            let planes = pixels.data.as_chunks::<3>().0.iter().map(|&pixel| ycbcr(pixel));
            let no_alpha = None::<[u8; 0]>;
            encoder.encode_raw_planes_8_bit(
                width,
                height,
                planes,
                no_alpha,
                PixelRange::Full,
                MatrixCoefficients::BT601,
            )
        }
        Layout::Rgba => {
            let pixels: Vec<RGBA8> =
                pixels.data.as_chunks::<4>().0.iter().map(|&pixel| RGBA8::from(pixel)).collect();
            encoder.encode_rgba(Img::new(&pixels, width, height))
        }
    };
    encoded.map(|image| image.avif_file).map_err(|error| failed(Format::Avif)(&error))
}

/// BT.601, full range, in fixed point: ravif's own conversion calls a library function for every
/// fused multiply-add when the build does not target one CPU.
fn ycbcr([red, green, blue]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    const MIDDLE: i32 = 128 << 16;
    let (red, green, blue) = (i32::from(red), i32::from(green), i32::from(blue));
    let luma = 19_595 * red + 38_470 * green + 7_471 * blue + HALF;
    let blueness = -11_059 * red - 21_709 * green + 32_768 * blue + MIDDLE + HALF;
    let redness = 32_768 * red - 27_439 * green - 5_329 * blue + MIDDLE + HALF;
    [luma, blueness, redness].map(|sum| (sum >> 16).clamp(0, 255) as u8)
}
