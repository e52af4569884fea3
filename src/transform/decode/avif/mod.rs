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

#[cfg(test)]
mod tests {
    use avif_serialize::constants::MatrixCoefficients;
    use proptest::prelude::*;
    use rav1e::prelude::ChromaSampling;

    use super::*;
    use crate::transform::probe::probe;
    use crate::transform::samples::{self, Av1, HEIGHT, WIDTH};

    fn run(source: &[u8]) -> Result<Pixels, Error> {
        decode(source, &probe(source, true)?, &mut Scratch::default())
    }

    /// Luma from left to right, chroma of one hue.
    fn plane(number: usize, x: u8, _: u8) -> u8 {
        [x / 2 + 64, 100, 170][number]
    }

    /// What BT.601 makes of that.
    fn expected(is_full_range: bool, is_gray: bool) -> Vec<u8> {
        samples::picture(|x, _| {
            let (offset, luma, chroma) =
                if is_full_range { (0., 1., 1.) } else { (16., 255. / 219., 255. / 224.) };
            let y = (f64::from(plane(0, x, 0)) - offset) * luma;
            let [u, v] = [1, 2]
                .map(|number| if is_gray { 0. } else { (f64::from(plane(number, x, 0)) - 128.) * chroma });
            [y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u]
                .map(|value| value.round() as u8)
                .to_vec()
        })
    }

    #[test]
    fn every_sampling_depth_and_range() {
        use ChromaSampling::{Cs400, Cs420, Cs422, Cs444};
        for sampling in [Cs400, Cs420, Cs422, Cs444] {
            for bits in [8, 10, 12] {
                for is_full_range in [true, false] {
                    let form = Av1 { sampling, bits, is_full_range };
                    let source =
                        samples::avif(form, &samples::av1(form, plane), None, MatrixCoefficients::Bt601);
                    let probe = probe(&source, true).unwrap();
                    let components = if sampling == Cs400 { 1 } else { 3 };
                    assert_eq!((probe.bits, probe.components), (bits, components), "{form:?}");
                    let pixels = run(&source).unwrap();
                    let (most, mean) =
                        samples::difference(&pixels.data, &expected(is_full_range, sampling == Cs400));
                    assert!(most < 16 && mean < 3., "{form:?} is off by {most}, {mean}");
                }
            }
        }
    }

    #[test]
    fn the_identity_matrix_is_green_blue_red() {
        for bits in [8, 10] {
            let form = Av1 { sampling: ChromaSampling::Cs444, bits, is_full_range: true };
            let coded = samples::av1(form, |number, x, y| [x, y, 200][number]);
            let source = samples::avif(form, &coded, None, MatrixCoefficients::Rgb);
            let (_, mean) =
                samples::difference(&run(&source).unwrap().data, &samples::picture(|x, y| vec![200, x, y]));
            assert!(mean < 3., "{bits} bits are off by {mean}");
        }
        let form = Av1 { sampling: ChromaSampling::Cs420, bits: 8, is_full_range: true };
        let source = samples::avif(form, &samples::av1(form, plane), None, MatrixCoefficients::Rgb);
        assert!(matches!(run(&source), Err(Error::Corrupt { .. })), "it cannot be subsampled");
    }

    #[test]
    fn alpha_of_every_depth_is_applied_and_premultiplication_undone() {
        for bits in [8, 10, 12] {
            let form = Av1 { sampling: ChromaSampling::Cs444, bits, is_full_range: true };
            let gray = Av1 { sampling: ChromaSampling::Cs400, ..form };
            // Grey of 200 at half alpha, stored as 100.
            let color = samples::av1(form, |number, _, _| [100, 128, 128][number]);
            let alpha = samples::av1(gray, |_, _, y| y / 2 + 127);
            let source = samples::avif(form, &color, Some(&alpha), MatrixCoefficients::Bt601);
            let pixels = run(&source).unwrap();
            let (_, mean) =
                samples::difference(&pixels.data, &samples::picture(|_, y| vec![100, 100, 100, y / 2 + 127]));
            assert!(mean < 2., "{bits} bits are off by {mean}");

            let mut aviffy = avif_serialize::Aviffy::new();
            aviffy.set_premultiplied_alpha(true).set_seq_profile(if bits == 12 { 2 } else { 1 });
            let source = aviffy.to_vec(&color, Some(&alpha), WIDTH, HEIGHT, bits);
            let pixels = run(&source).unwrap();
            assert!(pixels.data[0].abs_diff(200) < 5, "{bits} bits premultiplied: {:?}", &pixels.data[..4]);
        }
    }

    #[test]
    fn a_bitstream_may_say_what_the_container_does_not() {
        let form = Av1 { sampling: ChromaSampling::Cs420, bits: 8, is_full_range: false };
        let mut source = samples::avif(form, &samples::av1(form, plane), None, MatrixCoefficients::Bt601);
        let at = source.windows(8).position(|window| window == b"colrnclx").unwrap();
        source[at..at + 4].copy_from_slice(b"free");
        let (_, mean) = samples::difference(&run(&source).unwrap().data, &expected(false, false));
        assert!(mean < 3., "the limited range is in the bitstream: {mean}");
    }

    #[test]
    fn forms_that_are_not_read_are_named() {
        let form = Av1 { sampling: ChromaSampling::Cs420, bits: 8, is_full_range: true };
        let coded = samples::av1(form, plane);
        let mut grid = samples::avif(form, &coded, None, MatrixCoefficients::Bt601);
        let at = grid.windows(4).position(|window| window == b"av01").unwrap();
        grid[at..at + 4].copy_from_slice(b"grid");
        assert_eq!(run(&grid), Err(FORMAT.unsupported("a picture made of tiles")));
        let odd = samples::avif(form, &coded, None, MatrixCoefficients::Ycgco);
        assert_eq!(run(&odd), Err(FORMAT.unsupported("these matrix coefficients")));
    }

    proptest! {
        #[test]
        fn damaged_pictures_never_panic(
            form in 0..12usize,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
        ) {
            let mut source = SAMPLES.with(|samples| samples[form].clone());
            let coded = source.windows(4).position(|window| window == b"mdat").unwrap();
            for (at, value) in flips {
                let at = coded + 4 + at.index(source.len() - coded - 4);
                source[at] = value;
            }
            let _ = run(&source);
        }
    }

    thread_local! {
        static SAMPLES: Vec<Vec<u8>> = {
            use ChromaSampling::{Cs400, Cs420, Cs422, Cs444};
            let forms = [Cs400, Cs420, Cs422, Cs444].into_iter().flat_map(|sampling| {
                [8, 10, 12].map(|bits| Av1 { sampling, bits, is_full_range: true })
            });
            forms.map(|form| {
                let noise = |number: usize, x: u8, y: u8| x.wrapping_mul(7) ^ y.wrapping_mul(13) ^ number as u8;
                samples::avif(form, &samples::av1(form, noise), None, MatrixCoefficients::Bt601)
            }).collect()
        };
    }
}
