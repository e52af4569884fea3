//! Small sources of every form, made with encoders, for the tests of probing and decoding.

use avif_serialize::constants::MatrixCoefficients;
use moxcms::{
    ColorProfile, DataColorSpace, LutDataType, LutStore, LutType, LutWarehouse, Matrix3d, ProfileClass,
};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::transform::probe::tiff;

pub(in crate::transform) const WIDTH: u32 = 45;
pub(in crate::transform) const HEIGHT: u32 = 27;

/// A soft gradient, so that lossy formats stay near it.
pub(in crate::transform) fn rgb() -> Vec<u8> {
    picture(|x, y| vec![x, y, 255 - x / 2 - y / 2])
}

/// The same, ever more transparent to the right.
pub(in crate::transform) fn rgba() -> Vec<u8> {
    picture(|x, y| vec![x, y, 255 - x / 2 - y / 2, 255 - x])
}

/// A picture of any samples; both coordinates go from 0 to 255.
pub(in crate::transform) fn picture(pixel: impl Fn(u8, u8) -> Vec<u8>) -> Vec<u8> {
    let share = |at: u32, of: u32| (at * 255 / (of - 1)) as u8;
    (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).flat_map(|x| pixel(share(x, WIDTH), share(y, HEIGHT))).collect::<Vec<_>>())
        .collect()
}

/// The largest and the mean difference of two buffers.
pub(in crate::transform) fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len(), "the pictures have one size");
    let differences = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (differences().max().unwrap(), differences().map(f64::from).sum::<f64>() / a.len() as f64)
}

/// A JPEG of any samples.
pub(in crate::transform) fn jpeg(
    format: PixelFormat,
    pixels: &[u8],
    subsampling: Subsamp,
    is_progressive: bool,
) -> Vec<u8> {
    let (width, height) = (WIDTH as usize, HEIGHT as usize);
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(95).unwrap();
    compressor.set_subsamp(subsampling).unwrap();
    compressor.set_progressive(is_progressive).unwrap();
    compressor.compress_to_vec(Image { pixels, width, pitch: width * format.size(), height, format }).unwrap()
}

/// A plain JPEG.
pub(in crate::transform) fn plain_jpeg() -> Vec<u8> {
    jpeg(PixelFormat::RGB, &rgb(), Subsamp::None, false)
}

/// Puts a segment behind the first marker.
pub(in crate::transform) fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &len, content, &jpeg[2..]].concat()
}

/// Puts an ICC profile into a JPEG, in parts, the last first.
pub(in crate::transform) fn with_profile(jpeg: &[u8], profile: &[u8], part_len: usize) -> Vec<u8> {
    let parts: Vec<_> = profile.chunks(part_len).collect();
    let mut result = jpeg.to_vec();
    for (i, part) in parts.iter().enumerate() {
        let header = [b"ICC_PROFILE\0", &[i as u8 + 1, parts.len() as u8][..]].concat();
        result = with_segment(&result, 0xE2, &[&header, *part].concat());
    }
    result
}

/// A PNG of any samples; `prepare` may set a palette and the like.
pub(in crate::transform) fn png(
    color: png::ColorType,
    depth: png::BitDepth,
    samples: &[u8],
    prepare: impl FnOnce(&mut png::Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(color);
    encoder.set_depth(depth);
    prepare(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Puts a chunk behind a PNG's header.
pub(in crate::transform) fn with_chunk(png: &[u8], kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&png[..33], &chunk(kind, content), &png[33..]].concat()
}

/// A PNG chunk with its length and sum.
pub(in crate::transform) fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let covered = [&kind[..], content].concat();
    let len = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&len[..], &covered, &crc(&covered).to_be_bytes()].concat()
}

/// A zlib stream that stores its content as it is.
pub(in crate::transform) fn zlib(content: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = content.chunks(0xFFFF).peekable();
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
        stream.extend_from_slice(block);
    }
    let (a, b) = content.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

/// A GIF whose frames lie at their places on a screen of `WIDTH` x `HEIGHT`.
pub(in crate::transform) fn gif(frames: &[gif::Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let palette = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255];
    let mut encoder = gif::Encoder::new(&mut bytes, WIDTH as u16, HEIGHT as u16, &palette).unwrap();
    frames.iter().for_each(|frame| encoder.write_frame(frame).unwrap());
    drop(encoder);
    bytes
}

/// A GIF of one frame that fills the screen with stripes of its four colours.
pub(in crate::transform) fn plain_gif() -> Vec<u8> {
    gif(&[gif_frame(0, 0, WIDTH as u16, HEIGHT as u16)])
}

/// A frame striped from left to right.
pub(in crate::transform) fn gif_frame(left: u16, top: u16, width: u16, height: u16) -> gif::Frame<'static> {
    let buffer: Vec<u8> = (0..height).flat_map(|_| (0..width).map(|x| (x % 4) as u8)).collect();
    gif::Frame { left, top, width, height, buffer: buffer.into(), ..gif::Frame::default() }
}

/// A WebP file of the given chunks.
pub(in crate::transform) fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut content = b"WEBP".to_vec();
    for (kind, bytes) in chunks {
        content.extend_from_slice(*kind);
        content.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        content.extend_from_slice(bytes);
        content.extend(std::iter::repeat_n(0, bytes.len() % 2));
    }
    [b"RIFF", &u32::try_from(content.len()).unwrap().to_le_bytes()[..], &content].concat()
}

/// The content of an extended WebP header.
pub(in crate::transform) fn webp_header(flags: u8, width: u32, height: u32) -> Vec<u8> {
    [&[flags, 0, 0, 0], &(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]].concat()
}

/// The chunks of a WebP behind its file header, or behind its extended header too.
pub(in crate::transform) fn webp_chunks(webp: &[u8]) -> &[u8] {
    if &webp[12..16] == b"VP8X" { &webp[30..] } else { &webp[12..] }
}

/// A lossy WebP without alpha.
pub(in crate::transform) fn plain_webp() -> Vec<u8> {
    webp::Encoder::from_rgb(&rgb(), WIDTH, HEIGHT).encode(95.).to_vec()
}

/// The content of a frame chunk.
pub(in crate::transform) fn webp_frame(
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    chunks: &[u8],
) -> Vec<u8> {
    let numbers = [left / 2, top / 2, width - 1, height - 1, 100];
    let mut content: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()[..3].to_vec()).collect();
    content.push(0);
    content.extend_from_slice(chunks);
    content
}

/// How planes of an AV1 picture are stored.
#[derive(Debug, Clone, Copy)]
pub(in crate::transform) struct Av1 {
    pub(in crate::transform) sampling: rav1e::prelude::ChromaSampling,
    pub(in crate::transform) bits: u8,
    pub(in crate::transform) is_full_range: bool,
}

/// One AV1 picture of planes that a function gives at full size, from 0 to 255.
pub(in crate::transform) fn av1(form: Av1, plane: impl Fn(usize, u8, u8) -> u8) -> Vec<u8> {
    if form.bits == 8 { av1_of::<u8>(form, plane) } else { av1_of::<u16>(form, plane) }
}

fn av1_of<T: rav1e::prelude::Pixel>(form: Av1, plane: impl Fn(usize, u8, u8) -> u8) -> Vec<u8> {
    use rav1e::prelude::*;
    let mut settings = EncoderConfig::with_speed_preset(10);
    settings.width = WIDTH as usize;
    settings.height = HEIGHT as usize;
    settings.bit_depth = form.bits.into();
    settings.chroma_sampling = form.sampling;
    settings.still_picture = true;
    settings.quantizer = 20;
    settings.pixel_range = if form.is_full_range { PixelRange::Full } else { PixelRange::Limited };
    let mut context: Context<T> =
        Config::new().with_encoder_config(settings).with_threads(1).new_context().unwrap();
    let mut frame = context.new_frame();
    for (number, target) in frame.planes.iter_mut().enumerate() {
        let (xdec, ydec) = (target.cfg.xdec, target.cfg.ydec);
        for (y, row) in target
            .mut_slice(Default::default())
            .rows_iter_mut()
            .enumerate()
            .take(HEIGHT.div_ceil(1 << ydec) as usize)
        {
            for (x, sample) in row.iter_mut().enumerate().take(WIDTH.div_ceil(1 << xdec) as usize) {
                let share = |at: usize, of: u32| (at * 255 / (of as usize - 1)).min(255) as u8;
                let value = plane(number, share(x << xdec, WIDTH), share(y << ydec, HEIGHT));
                *sample = T::cast_from(u16::from(value) << (form.bits - 8));
            }
        }
    }
    context.send_frame(frame).unwrap();
    context.flush();
    loop {
        match context.receive_packet() {
            Ok(packet) => return packet.data,
            Err(status) => assert_eq!(status, EncoderStatus::Encoded, "the only step before the end"),
        }
    }
}

/// An AVIF with the matrix of BT.601.
pub(in crate::transform) fn avif(
    form: Av1,
    color: &[u8],
    alpha: Option<&[u8]>,
    matrix: MatrixCoefficients,
) -> Vec<u8> {
    use rav1e::prelude::ChromaSampling;
    let profile = match (form.sampling, form.bits) {
        (_, 12) | (ChromaSampling::Cs422, _) => 2,
        (ChromaSampling::Cs444, _) => 1,
        _ => 0,
    };
    avif_serialize::Aviffy::new()
        .set_matrix_coefficients(matrix)
        .set_full_color_range(form.is_full_range)
        .set_monochrome(form.sampling == ChromaSampling::Cs400)
        .set_chroma_subsampling((
            form.sampling != ChromaSampling::Cs444,
            matches!(form.sampling, ChromaSampling::Cs420 | ChromaSampling::Cs400),
        ))
        .set_seq_profile(profile)
        .to_vec(color, alpha, WIDTH, HEIGHT, form.bits)
}

/// An AVIF, 4:4:4, with alpha.
pub(in crate::transform) fn plain_avif() -> Vec<u8> {
    let pixels: Vec<_> = rgba().chunks_exact(4).map(|p| ravif::RGBA8::new(p[0], p[1], p[2], p[3])).collect();
    let encoder = ravif::Encoder::new().with_speed(10).with_quality(90.).with_num_threads(Some(1));
    let encoder = encoder
        .with_bit_depth(ravif::BitDepth::Eight)
        .with_alpha_color_mode(ravif::AlphaColorMode::UnassociatedDirty);
    encoder.encode_rgba(ravif::Img::new(&pixels[..], WIDTH as usize, HEIGHT as usize)).unwrap().avif_file
}

/// A profile of ink: each of the 16 corners is red ink's luminance only.
pub(in crate::transform) fn cmyk_profile() -> Vec<u8> {
    // Lab of the corners, from cyan as the slowest to black as the fastest: white paper is light,
    // every ink takes some of it, black all.
    let mut corners = Vec::new();
    for corner in 0..16u32 {
        let inks = (corner >> 1).count_ones();
        let light = if corner & 1 == 1 { 0 } else { 255 - inks * 60 };
        corners.extend([light as u16 * 257, 0x8080, 0x8080]);
    }
    let line = |channels: u16| (0..channels).flat_map(|_| [0, 65535]).collect::<Vec<u16>>();
    let table = LutDataType {
        num_input_channels: 4,
        num_output_channels: 3,
        num_clut_grid_points: 2,
        matrix: Matrix3d::IDENTITY,
        num_input_table_entries: 2,
        num_output_table_entries: 2,
        input_table: LutStore::Store16(line(4)),
        clut_table: LutStore::Store16(corners),
        output_table: LutStore::Store16(line(3)),
        lut_type: LutType::Lut16,
    };
    let mut profile = ColorProfile::new_lab();
    profile.color_space = DataColorSpace::Cmyk;
    profile.pcs = DataColorSpace::Lab;
    profile.profile_class = ProfileClass::OutputDevice;
    profile.lut_a_to_b_perceptual = Some(LutWarehouse::Lut(table));
    profile.encode().unwrap()
}

/// One plain source of each form, named.
pub(in crate::transform) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let picture = webp::Encoder::from_rgba(&rgba(), WIDTH, HEIGHT).encode(90.).to_vec();
    let frame = webp_frame(2, 4, WIDTH, HEIGHT, webp_chunks(&picture));
    let exif = tiff(6, true);
    vec![
        ("jpeg", plain_jpeg()),
        ("progressive jpeg", jpeg(PixelFormat::RGB, &rgb(), Subsamp::Sub2x2, true)),
        ("jpeg with exif", with_segment(&plain_jpeg(), 0xE1, &[b"Exif\0\0", &exif[..]].concat())),
        ("png", png(png::ColorType::Rgba, png::BitDepth::Eight, &rgba(), |_| {})),
        (
            "png with exif",
            with_chunk(&png(png::ColorType::Rgb, png::BitDepth::Eight, &rgb(), |_| {}), b"eXIf", &exif),
        ),
        ("gif", plain_gif()),
        ("webp", plain_webp()),
        ("lossless webp", webp::Encoder::from_rgba(&rgba(), WIDTH, HEIGHT).encode_lossless().to_vec()),
        ("webp with alpha", picture.clone()),
        (
            "webp with exif",
            riff(&[
                (b"VP8X", &webp_header(0x08, WIDTH, HEIGHT)),
                (b"VP8 ", &plain_webp()[20..]),
                (b"EXIF", &exif),
            ]),
        ),
        (
            "animated webp",
            riff(&[
                (b"VP8X", &webp_header(0x12, WIDTH + 4, HEIGHT + 8)),
                (b"ANIM", &[0; 6]),
                (b"ANMF", &frame),
                (b"ANMF", &frame),
            ]),
        ),
        ("avif", plain_avif()),
    ]
}
