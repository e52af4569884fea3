//! A checksum that a client sends along with bytes.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::upload::source::Source;

/// The ways that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What the bytes must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Which.
    pub algorithm: Algorithm,
    /// The value.
    pub value: Vec<u8>,
}

#[derive(Clone)]
enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
}

/// Watches bytes that pass.
pub(super) struct Checking(Arc<Mutex<State>>);

impl Checking {
    /// The same source, whose bytes are watched.
    pub(super) fn around(source: Source, checksum: &Checksum) -> (Source, Self) {
        let state = Arc::new(Mutex::new(match checksum.algorithm {
            Algorithm::Md5 => State::Md5(Md5::default()),
            Algorithm::Sha1 => State::Sha1(Sha1::default()),
            Algorithm::Sha256 => State::Sha256(Sha256::default()),
        }));
        let seen = Arc::clone(&state);
        let source = source.map_body(|body| {
            Box::pin(body.inspect(move |piece| {
                if let Ok(piece) = piece {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).update(piece);
                }
            }))
        });
        (source, Self(state))
    }

    /// Whether all bytes that have passed have this checksum.
    pub(super) fn is_right(&self, checksum: &Checksum) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        state.finish() == checksum.value
    }
}

impl State {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(state) => state.update(bytes),
            Self::Sha1(state) => state.update(bytes),
            Self::Sha256(state) => state.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Md5(state) => state.finalize().to_vec(),
            Self::Sha1(state) => state.finalize().to_vec(),
            Self::Sha256(state) => state.finalize().to_vec(),
        }
    }
}
