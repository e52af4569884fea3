//! What a video has below its own name: `film.mp4/playlist.m3u8` and the like.

use std::fmt;
use std::str::FromStr;

/// Something that is made of a video, by the name that it has below the video's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Piece {
    /// `playlist.m3u8`: the multivariant playlist.
    Playlist,
    /// `video.m3u8`, `audio-1.m3u8`: the media playlist of a track.
    Media(Track),
    /// `iframes.m3u8`: the playlist of the key frames.
    IFrames,
    /// `video-init.mp4`, `audio-1-init.mp4`: what a player reads before the segments of a track.
    Init(Track),
    /// `video-7.m4s`, `audio-1-7.m4s`: a segment of a track; the first one has number 1.
    Segment(Track, u32),
    /// `poster`: a picture of it.
    Poster,
    /// `storyboard.vtt`: which part of which sheet shows which time.
    Storyboard,
    /// `storyboard-1.jpg`: pictures of many times on one sheet; the first one has number 1.
    Sheet(u32),
}

/// A track of a video, as playlists name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// The pictures.
    Video,
    /// The sound of this number, the first one 1.
    Audio(u8),
}

/// The name is none that a piece of a video has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no piece of a video has this name")]
pub struct NoPiece;

impl FromStr for Piece {
    type Err = NoPiece;

    /// Reads a name; each piece has one spelling.
    fn from_str(name: &str) -> Result<Self, NoPiece> {
        let piece = match name {
            "playlist.m3u8" => Some(Self::Playlist),
            "iframes.m3u8" => Some(Self::IFrames),
            "poster" => Some(Self::Poster),
            "storyboard.vtt" => Some(Self::Storyboard),
            _ => numbered(name),
        };
        piece.filter(|piece| piece.to_string() == name).ok_or(NoPiece)
    }
}

fn numbered(name: &str) -> Option<Piece> {
    if let Some(track) = name.strip_suffix(".m3u8") {
        return Track::of(track).map(Piece::Media);
    }
    if let Some(track) = name.strip_suffix("-init.mp4") {
        return Track::of(track).map(Piece::Init);
    }
    if let Some(number) = name.strip_prefix("storyboard-").and_then(|rest| rest.strip_suffix(".jpg")) {
        return positive(number).map(Piece::Sheet);
    }
    let (track, number) = name.strip_suffix(".m4s")?.rsplit_once('-')?;
    Some(Piece::Segment(Track::of(track)?, positive(number)?))
}

fn positive<N: FromStr + PartialOrd + From<u8>>(text: &str) -> Option<N> {
    text.parse().ok().filter(|number: &N| *number >= N::from(1))
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist => f.write_str("playlist.m3u8"),
            Self::Media(track) => write!(f, "{track}.m3u8"),
            Self::IFrames => f.write_str("iframes.m3u8"),
            Self::Init(track) => write!(f, "{track}-init.mp4"),
            Self::Segment(track, number) => write!(f, "{track}-{number}.m4s"),
            Self::Poster => f.write_str("poster"),
            Self::Storyboard => f.write_str("storyboard.vtt"),
            Self::Sheet(number) => write!(f, "storyboard-{number}.jpg"),
        }
    }
}

impl Track {
    fn of(text: &str) -> Option<Self> {
        match text.strip_prefix("audio-") {
            Some(number) => positive(number).map(Self::Audio),
            None => (text == "video").then_some(Self::Video),
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video => f.write_str("video"),
            Self::Audio(number) => write!(f, "audio-{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_and_its_name_are_the_same() {
        for (name, piece) in [
            ("playlist.m3u8", Piece::Playlist),
            ("video.m3u8", Piece::Media(Track::Video)),
            ("audio-2.m3u8", Piece::Media(Track::Audio(2))),
            ("iframes.m3u8", Piece::IFrames),
            ("video-init.mp4", Piece::Init(Track::Video)),
            ("audio-1-init.mp4", Piece::Init(Track::Audio(1))),
            ("video-1.m4s", Piece::Segment(Track::Video, 1)),
            ("audio-1-4294967295.m4s", Piece::Segment(Track::Audio(1), u32::MAX)),
            ("poster", Piece::Poster),
            ("storyboard.vtt", Piece::Storyboard),
            ("storyboard-12.jpg", Piece::Sheet(12)),
        ] {
            assert_eq!(name.parse(), Ok(piece), "{name}");
            assert_eq!(piece.to_string(), name);
        }
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            "",
            "a",
            "Playlist.m3u8",
            "playlist.m3u8/",
            "audio.m3u8",
            "audio-0.m3u8",
            "audio-256.m3u8",
            "audio-01.m3u8",
            "video-0.m4s",
            "video-01.m4s",
            "video-+1.m4s",
            "video-.m4s",
            "-1.m4s",
            "video-4294967296.m4s",
            "video-1.mp4",
            "video--init.mp4",
            "init.mp4",
            "storyboard-0.jpg",
            "storyboard-1.vtt",
            "storyboard.jpg",
            "poster.jpg",
        ] {
            assert_eq!(name.parse::<Piece>(), Err(NoPiece), "{name}");
        }
    }
}
