//! One AV1 picture by rav1d, a port of dav1d to Rust.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use re_rav1d::dav1d::{Decoder, Error as Av1Error, Picture, Settings};
use re_rav1d::include::dav1d::headers::Dav1dSequenceHeader;
use re_rav1d::src::lib::dav1d_parse_sequence_header;

use crate::transform::error::Error;
use crate::transform::probe::{Nclx, SourceFormat};

const FORMAT: SourceFormat = SourceFormat::Avif;

/// A still picture is one temporal unit; more rounds than this are a stream that leads nowhere.
const MAX_ROUNDS: usize = 32;

/// Decodes the first picture, on this thread alone.
pub(super) fn decode(coded: &[u8], size: (u32, u32)) -> Result<Picture, Error> {
    if coded.is_empty() {
        return Err(FORMAT.corrupt("an item without coded bytes"));
    }
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    // Before anything is allocated: what the container says is what was planned for.
    settings.set_frame_size_limit(size.0.saturating_mul(size.1));
    let mut decoder = Decoder::with_settings(&settings).map_err(corrupt)?;
    // rav1d keeps the coded bytes for as long as it likes.
    let mut sent = decoder.send_data(coded.to_vec(), None, None, None);
    for _ in 0..MAX_ROUNDS {
        if let Err(error) = sent
            && !error.is_again()
        {
            return Err(corrupt(error));
        }
        match decoder.get_picture() {
            Ok(picture) if (picture.width(), picture.height()) == size => return Ok(picture),
            Ok(_) => return Err(FORMAT.corrupt("a picture of another size than its header says")),
            Err(error) if error.is_again() && sent.is_err() => sent = decoder.send_pending_data(),
            Err(error) if error.is_again() => break,
            Err(error) => return Err(corrupt(error)),
        }
    }
    Err(FORMAT.corrupt("no picture in the coded bytes"))
}

/// What the bitstream says of its colour.
pub(super) fn read_nclx(coded: &[u8]) -> Result<Nclx, Error> {
    let mut header = MaybeUninit::<Dav1dSequenceHeader>::uninit();
    let data = NonNull::from(coded).cast();
    // SAFETY: `header` is valid for a write, and `data` for reads of `coded.len()` bytes.
    let result =
        unsafe { dav1d_parse_sequence_header(NonNull::new(header.as_mut_ptr()), Some(data), coded.len()) };
    if result.0 != 0 {
        return Err(FORMAT.corrupt("no sequence header"));
    }
    // SAFETY: the call succeeded, so it has written the header.
    let header = unsafe { header.assume_init() };
    let number = |number: u32| u8::try_from(number).unwrap_or(2);
    Ok(Nclx {
        primaries: number(header.pri),
        transfer: number(header.trc),
        matrix: number(header.mtrx),
        is_full_range: header.color_range != 0,
    })
}

fn corrupt(error: Av1Error) -> Error {
    FORMAT.corrupt(format!("AV1: {error}"))
}
