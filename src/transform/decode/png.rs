//! PNG by the crate `png`, which unpacks palettes, small and 16-bit samples and `tRNS`.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Info, Limits, Reader, Transformations};

use crate::transform::color::{Profile, Samples};
use crate::transform::decode::{fill, take, to_srgb};
use crate::transform::error::Error;
use crate::transform::pixels::{Layout, Pixels, Scratch};
use crate::transform::probe::{Probe, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Png;

/// For what stands beside the picture: an ICC profile is compressed, and may be a bomb.
const MAX_EXTRA_BYTES: usize = 8 << 20;

/// Decodes the picture; of an animation, the one for programs that know no animations.
pub(super) fn decode(source: &[u8], probe: &Probe, scratch: &mut Scratch) -> Result<Pixels, Error> {
    let row_bytes = probe.width as usize * 8;
    let limits = Limits { bytes: MAX_EXTRA_BYTES.saturating_add(row_bytes.saturating_mul(4)) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(source), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|error| corrupt(&error))?;
    let (width, height) = reader.info().size();
    if (width, height) != (probe.width, probe.height) {
        return Err(FORMAT.corrupt("not the picture that was probed"));
    }
    let (color, depth) = reader.output_color_type();
    if depth != BitDepth::Eight {
        return Err(FORMAT.corrupt("samples that did not become 8 bits"));
    }
    let samples = match color {
        ColorType::Grayscale => Samples::Gray,
        ColorType::GrayscaleAlpha => Samples::GrayAlpha,
        ColorType::Rgb => Samples::Rgb,
        ColorType::Rgba => Samples::Rgba,
        ColorType::Indexed => return Err(FORMAT.corrupt("a palette that was not unpacked")),
    };
    let layout = if samples.channels().1 == 4 { Layout::Rgba } else { Layout::Rgb };
    let buffer = take(scratch, width, height, layout.channels());
    let data = fill(buffer, scratch, |buffer, _| {
        let start = buffer.len() - buffer.len() / layout.channels() * samples.channels().0;
        read_frame(&mut reader, &mut buffer[start..])?;
        to_srgb(FORMAT, samples, profile_of(reader.info())?, buffer)
    })?;
    Ok(Pixels { width, height, layout, data })
}

fn read_frame(reader: &mut Reader<Cursor<&[u8]>>, pixels: &mut [u8]) -> Result<(), Error> {
    let frame = reader.next_frame(pixels).map_err(|error| corrupt(&error))?;
    if frame.buffer_size() != pixels.len() {
        return Err(FORMAT.corrupt("a first frame smaller than the picture"));
    }
    // What follows is not needed, but if it is missing, the source was cut off.
    reader.finish().map_err(|error| corrupt(&error))
}

/// What colour the picture is in: `cICP` leads, then `sRGB`, then `iCCP` (PNG 3, section 4.3).
fn profile_of<'a>(info: &'a Info) -> Result<Option<Profile<'a>>, Error> {
    if let Some(cicp) = info.coding_independent_code_points {
        return Profile::from_numbers(FORMAT, cicp.color_primaries, cicp.transfer_function);
    }
    if info.srgb.is_some() {
        return Ok(None);
    }
    Ok(info.icc_profile.as_deref().map(Profile::Icc))
}

fn corrupt(error: &DecodingError) -> Error {
    FORMAT.corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use moxcms::ColorProfile;
    use png::Encoder;

    use super::*;
    use crate::transform::probe::probe;
    use crate::transform::samples::{self, HEIGHT, WIDTH, picture, png, with_chunk};

    fn run(source: &[u8]) -> Result<Pixels, Error> {
        decode(source, &probe(source, true)?, &mut Scratch::default())
    }

    /// What an eighth of a byte, or two bytes, say of a value from 0 to 255.
    fn at_depth(value: u8, depth: BitDepth) -> u8 {
        let levels = 1_u32 << (depth as u32).min(8);
        let level = u32::from(value) * levels / 256;
        (level * 255 / (levels - 1)) as u8
    }

    /// Rows of one channel at any depth.
    fn packed(depth: BitDepth) -> Vec<u8> {
        let bits = depth as usize;
        let values = picture(|x, _| vec![x]);
        let rows = values.chunks(WIDTH as usize);
        rows.flat_map(|row| match bits {
            16 => row.iter().flat_map(|value| [*value, 77]).collect::<Vec<_>>(),
            8 => row.to_vec(),
            _ => row
                .chunks(8 / bits)
                .map(|values| {
                    let levels = values.iter().enumerate();
                    levels.fold(0, |byte, (i, value)| byte | ((value >> (8 - bits)) << (8 - bits * (i + 1))))
                })
                .collect(),
        })
        .collect()
    }

    #[test]
    fn grey_of_every_depth() {
        use BitDepth::{Eight, Four, One, Sixteen, Two};
        for depth in [One, Two, Four, Eight, Sixteen] {
            let source = png(ColorType::Grayscale, depth, &packed(depth), |_| {});
            let expected = picture(|x, _| vec![at_depth(x, depth); 3]);
            let pixels = run(&source).unwrap();
            assert_eq!((pixels.layout, pixels.data), (Layout::Rgb, expected), "{depth:?}");
        }
    }

    #[test]
    fn sixteen_bits_of_every_kind_lose_their_lower_half() {
        let wide = |samples: Vec<u8>| samples.iter().flat_map(|value| [*value, 200]).collect::<Vec<_>>();
        let cases = [
            (ColorType::Rgb, samples::rgb(), samples::rgb()),
            (ColorType::Rgba, samples::rgba(), samples::rgba()),
            (ColorType::GrayscaleAlpha, picture(|x, y| vec![x, y]), picture(|x, y| vec![x, x, x, y])),
        ];
        for (color, stored, expected) in cases {
            let source = png(color, BitDepth::Sixteen, &wide(stored.clone()), |_| {});
            assert_eq!(run(&source).unwrap().data, expected, "{color:?} of 16 bits");
            let source = png(color, BitDepth::Eight, &stored, |_| {});
            assert_eq!(run(&source).unwrap().data, expected, "{color:?} of 8 bits");
        }
    }

    #[test]
    fn palettes_and_single_colours_can_be_transparent() {
        const PALETTE: [u8; 9] = [10, 20, 30, 40, 50, 60, 70, 80, 90];
        let palette = &PALETTE;
        let indexes = picture(|x, _| vec![x / 100]);
        let opaque = png(ColorType::Indexed, BitDepth::Eight, &indexes, |e| e.set_palette(&palette[..]));
        assert_eq!(
            run(&opaque).unwrap().data,
            picture(|x, _| palette[usize::from(x / 100) * 3..][..3].to_vec())
        );
        let source = png(ColorType::Indexed, BitDepth::Eight, &indexes, |encoder| {
            encoder.set_palette(&palette[..]);
            encoder.set_trns(&[0, 128][..]);
        });
        let expected = picture(|x, _| {
            let index = usize::from(x / 100);
            [&palette[index * 3..][..3], &[[0, 128, 255][index]]].concat()
        });
        let pixels = run(&source).unwrap();
        assert_eq!((pixels.layout, pixels.data), (Layout::Rgba, expected), "alpha of a palette");

        let source = png(ColorType::Grayscale, BitDepth::Eight, &picture(|x, _| vec![x]), |e| {
            e.set_trns(&[0, 255][..])
        });
        let expected = picture(|x, _| vec![x, x, x, if x == 255 { 0 } else { 255 }]);
        assert_eq!(run(&source).unwrap().data, expected, "one transparent grey");
        assert!(probe(&source, true).unwrap().has_alpha, "is planned for");
    }

    #[test]
    fn interlaced_rows_find_their_places() {
        // Adam7: first column and row, steps.
        const PASSES: [(u32, u32, u32, u32); 7] = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ];
        let pixels = samples::rgb();
        let mut rows = Vec::new();
        for (x0, y0, dx, dy) in PASSES {
            for y in (y0..HEIGHT).step_by(dy as usize) {
                rows.push(0);
                for x in (x0..WIDTH).step_by(dx as usize) {
                    rows.extend_from_slice(&pixels[((y * WIDTH + x) * 3) as usize..][..3]);
                }
            }
        }
        let header = [&WIDTH.to_be_bytes()[..], &HEIGHT.to_be_bytes(), &[8, 2, 0, 0, 1]].concat();
        let plain = png(ColorType::Rgb, BitDepth::Eight, &pixels, |_| {});
        let end = &plain[plain.len() - 12..];
        let data = samples::zlib(&rows);
        let mut source = plain[..8].to_vec();
        source.extend(samples::chunk(b"IHDR", &header));
        source.extend(samples::chunk(b"IDAT", &data));
        source.extend_from_slice(end);
        assert_eq!(run(&source).unwrap().data, pixels);
        for len in (0..source.len()).step_by(7) {
            assert!(run(&source[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn of_an_animation_the_first_picture_is_taken() {
        let mut source = Vec::new();
        let mut encoder = Encoder::new(&mut source, WIDTH, HEIGHT);
        encoder.set_color(ColorType::Rgb);
        encoder.set_animated(2, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&samples::rgb()).unwrap();
        writer.write_image_data(&vec![0; samples::rgb().len()]).unwrap();
        writer.finish().unwrap();
        assert_eq!(run(&source).unwrap().data, samples::rgb());
    }

    #[test]
    fn profiles_are_applied_in_their_order() {
        let red = picture(|_, _| vec![200, 60, 60]);
        let plain = png(ColorType::Rgb, BitDepth::Eight, &red, |_| {});
        let profile = ColorProfile::new_display_p3().encode().unwrap();
        let profile = with_chunk(&plain, b"iCCP", &[b"P3\0\0", &samples::zlib(&profile)[..]].concat());
        let redder = run(&profile).unwrap().data;
        assert!(redder[0] > 210 && redder[1] < 50, "P3's red is redder: {:?}", &redder[..3]);
        assert_eq!(run(&with_chunk(&profile, b"sRGB", &[0])).unwrap().data, red, "sRGB leads");
        let numbered = run(&with_chunk(&plain, b"cICP", &[12, 13, 0, 1])).unwrap().data;
        assert!(samples::difference(&numbered, &redder).0 <= 1, "P3 by number: {:?}", &numbered[..3]);
        let hdr = run(&with_chunk(&plain, b"cICP", &[9, 16, 0, 1]));
        assert_eq!(hdr, Err(FORMAT.unsupported("the HDR curve PQ")));
        let gray = png(ColorType::GrayscaleAlpha, BitDepth::Eight, &picture(|_, y| vec![128, y]), |_| {});
        let linear = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let gray = with_chunk(&gray, b"iCCP", &[b"linear\0\0", &samples::zlib(&linear)[..]].concat());
        let pixels = run(&gray).unwrap();
        assert!(pixels.data[0].abs_diff(188) < 3, "half of linear light: {:?}", &pixels.data[..4]);
        assert!(pixels.data.iter().skip(3).step_by(4).copied().eq(picture(|_, y| vec![y])), "alpha stays");
    }

    #[test]
    fn a_profile_that_unpacks_without_end_does_no_harm() {
        let plain = png(ColorType::Rgb, BitDepth::Eight, &samples::rgb(), |_| {});
        let bomb = samples::zlib(&vec![0; 20 << 20]);
        let source = with_chunk(&plain, b"iCCP", &[b"bomb\0\0", &bomb[..]].concat());
        if let Ok(pixels) = run(&source) {
            assert_eq!(pixels.data, samples::rgb(), "ignored");
        }
    }
}
