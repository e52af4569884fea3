//! WebP by libwebp, more than twice as fast as what there is in Rust.

mod libwebp;

use crate::transform::color::{Profile, Samples};
use crate::transform::decode::{fill, take, to_srgb};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat, WebpFile};

const FORMAT: SourceFormat = SourceFormat::Webp;

/// Decodes a still picture, or the first frame of an animation on a transparent canvas.
pub(super) fn decode(source: &[u8], probe: &Probe, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let file = WebpFile::read(source)?;
    if file.size != (probe.width, probe.height) || file.has_alpha != probe.has_alpha {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let (layout, samples) =
        if file.has_alpha { (Layout::Rgba, Samples::Rgba) } else { (Layout::Rgb, Samples::Rgb) };
    let channels = layout.channels();
    let stride = file.size.0 as usize * channels;
    let buffer = take(scratch, probe.width, probe.height, channels);
    let data = fill(buffer, scratch, |buffer, _| {
        let Some(frame) = file.frame else {
            libwebp::decode(source, file.size, layout, buffer, stride)?;
            return to_srgb(FORMAT, samples, file.profile.map(Profile::Icc), buffer);
        };
        let coded = source.get(frame.offset..).and_then(|rest| rest.get(..frame.len));
        let coded = coded.ok_or_else(|| FORMAT.corrupt("ends within its first frame"))?;
        if frame.size != file.size {
            buffer.fill(0);
        }
        let start = frame.origin.1 as usize * stride + frame.origin.0 as usize * channels;
        libwebp::decode(coded, frame.size, layout, &mut buffer[start..], stride)?;
        to_srgb(FORMAT, samples, file.profile.map(Profile::Icc), buffer)
    })?;
    Ok(Pixels { width: probe.width, height: probe.height, layout, data })
}

#[cfg(test)]
mod tests {
    use moxcms::ColorProfile;

    use super::*;
    use crate::transform::probe::probe;
    use crate::transform::samples::{self, HEIGHT, WIDTH, riff, webp_chunks, webp_frame, webp_header};

    fn run(source: &[u8]) -> Result<Pixels, Error> {
        decode(source, &probe(source, true)?, &mut Scratch::default())
    }

    #[test]
    fn a_profile_is_applied() {
        let red = samples::picture(|_, _| vec![200, 60, 60]);
        let plain = webp::Encoder::from_rgb(&red, WIDTH, HEIGHT).encode_lossless();
        assert_eq!(run(&plain).unwrap().data, red, "lossless is exact");
        let profile = ColorProfile::new_display_p3().encode().unwrap();
        let source = riff(&[
            (b"VP8X", &webp_header(0x20, WIDTH, HEIGHT)),
            (b"ICCP", &profile),
            (b"VP8L", &plain[20..]),
        ]);
        let pixels = run(&source).unwrap();
        assert!(pixels.data[0] > 210 && pixels.data[1] < 50, "P3's red is redder: {:?}", &pixels.data[..3]);
    }

    #[test]
    fn the_first_frame_lies_on_its_canvas() {
        let encoded = webp::Encoder::from_rgb(&samples::rgb(), WIDTH, HEIGHT).encode_lossless();
        let frame = webp_frame(6, 4, WIDTH, HEIGHT, webp_chunks(&encoded));
        let other = webp_frame(0, 0, WIDTH, HEIGHT, webp_chunks(&samples::plain_webp()));
        let (width, height) = (WIDTH + 8, HEIGHT + 5);
        let source = riff(&[
            (b"VP8X", &webp_header(0x02, width, height)),
            (b"ANIM", &[0; 6]),
            (b"ANMF", &frame),
            (b"ANMF", &other),
        ]);
        let pixels = run(&source).unwrap();
        assert_eq!((pixels.width, pixels.height, pixels.layout), (width, height, Layout::Rgba));
        let expected = samples::rgb();
        for (at, pixel) in pixels.data.chunks(4).enumerate() {
            let (x, y) = (at as u32 % width, at as u32 / width);
            let inside = (6..6 + WIDTH).contains(&x) && (4..4 + HEIGHT).contains(&y);
            let source = inside.then(|| ((y - 4) * WIDTH + x - 6) as usize * 3);
            let expected =
                source.map_or([0; 4], |at| [expected[at], expected[at + 1], expected[at + 2], 255]);
            assert_eq!(pixel, expected, "at {x}, {y}");
        }
        let beyond = webp_frame(10, 0, WIDTH, HEIGHT, webp_chunks(&encoded));
        let source = riff(&[(b"VP8X", &webp_header(0x02, width, height)), (b"ANMF", &beyond)]);
        assert!(matches!(run(&source), Err(Error::Corrupt { .. })), "a frame beyond its canvas");
        let full = webp_frame(0, 0, WIDTH, HEIGHT, webp_chunks(&encoded));
        let source = riff(&[(b"VP8X", &webp_header(0x02, WIDTH, HEIGHT)), (b"ANMF", &full)]);
        assert_eq!(run(&source).unwrap().data, samples::rgb(), "a frame that fills its canvas is opaque");
    }

    #[test]
    fn a_header_that_lies_about_the_size_is_corrupt() {
        let encoded = samples::plain_webp();
        let source = riff(&[(b"VP8X", &webp_header(0, WIDTH - 1, HEIGHT)), (b"VP8 ", &encoded[20..])]);
        assert!(matches!(run(&source), Err(Error::Corrupt { .. })), "the canvas is smaller");
        let frame = webp_frame(0, 0, WIDTH - 5, HEIGHT, webp_chunks(&encoded));
        let source = riff(&[(b"VP8X", &webp_header(0x02, WIDTH, HEIGHT)), (b"ANMF", &frame)]);
        assert!(matches!(run(&source), Err(Error::Corrupt { .. })), "the frame is smaller");
    }
}
