//! Decoded pictures and the buffers that they live in.

/// How the samples of one pixel lie in memory: always 8 bits each, sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, alpha; colour is not premultiplied.
    Rgba,
}

impl Layout {
    /// Bytes of one pixel.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

/// A decoded picture: rows from top to bottom, without padding between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Meaning of the bytes.
    pub layout: Layout,
    /// Exactly `width * height * layout.channels()` bytes.
    pub data: Vec<u8>,
}

/// How stored rows and columns relate to the picture as it should be seen: EXIF's eight forms.
///
/// To show a stored picture: mirror it left to right if `mirrored`, then turn it clockwise by
/// `quarter_turns` x 90 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// Mirror first.
    pub mirrored: bool,
    /// Then turn clockwise, 0..=3.
    pub quarter_turns: u8,
}

/// Buffers that a worker keeps between pictures, so that no request faults in fresh pages.
///
/// [`Scratch::take`] hands out a buffer, [`Scratch::give`] takes it back. At most a few buffers and
/// [`Scratch::KEEP_BYTES`] in all are kept; the rest is freed at once.
#[derive(Debug, Default)]
pub struct Scratch {
    spare: Vec<Vec<u8>>,
    /// Keeps the buffer between its two passes.
    pub(crate) resizer: fast_image_resize::Resizer,
}

impl Scratch {
    /// What one worker keeps at most between two pictures.
    pub const KEEP_BYTES: usize = 16 << 20;

    /// A buffer of `len` bytes whose content is unspecified but initialised.
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let fitting = (0..self.spare.len())
            .filter(|&i| self.spare[i].capacity() >= len)
            .min_by_key(|&i| self.spare[i].capacity());
        let mut buffer = match fitting.or_else(|| self.spare.len().checked_sub(1)) {
            Some(i) => self.spare.swap_remove(i),
            None => Vec::new(),
        };
        if buffer.capacity() < len {
            // Growing would copy the old content, which nobody wants.
            buffer = Vec::new();
            buffer.reserve_exact(len);
        }
        buffer.resize(len, 0);
        buffer
    }

    /// Takes a buffer back for the next picture.
    pub fn give(&mut self, buffer: Vec<u8>) {
        let kept: usize = self.spare.iter().map(Vec::capacity).sum();
        if buffer.capacity() > 0 && self.spare.len() < 6 && kept + buffer.capacity() <= Self::KEEP_BYTES {
            self.spare.push(buffer);
        }
    }

    /// Frees what the resizer holds if that is much.
    pub(crate) fn rest(&mut self) {
        if self.resizer.size_of_internal_buffers() > Self::KEEP_BYTES / 2 {
            self.resizer.reset_internal_buffers();
        }
    }
}
