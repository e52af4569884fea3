//! The one table of URL options: name, grammar, default, help, reader and canonical printer.
//!
//! A new operation is a row here; README's table, the error messages, parsing and cache keys follow
//! from it. The rows stand in the order in which a canonical path writes them.

mod print;
mod read;

use crate::request::Variant;
use crate::request::draft::Draft;

/// One option of a URL.
pub struct OptionRow {
    /// Its name, case-sensitive.
    pub name: &'static str,
    /// Its grammar and bounds in words, as error messages name them.
    pub allowed: &'static str,
    /// What holds without it, in words.
    pub default: &'static str,
    /// What it does, as one sentence.
    pub help: &'static str,
    /// Whose option it is.
    pub provenance: Provenance,
    /// Whether naming it asks for a picture.
    pub is_image: bool,
    /// Reads its decoded value.
    pub(super) read: fn(&mut Draft, &str) -> Result<(), Refusal>,
    /// Writes its value in a canonical path; nothing where the default holds.
    pub(super) print: fn(&Variant, &mut String),
}

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// As FileSpin documents it.
    FileSpin,
    /// Named by FileSpin, grammar ours.
    Named,
    /// Ours.
    Ours,
}

/// Why a reader takes a value not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is not in the grammar.
    Invalid,
    /// It is in the contract, but not offered by this version.
    NotOffered,
}

/// All options, in canonical order.
pub fn options() -> &'static [OptionRow] {
    &TABLE
}

/// The table of options as Markdown, for README.
pub fn options_table() -> String {
    let mut table =
        String::from("| option | value | default | meaning | from |\n| --- | --- | --- | --- | --- |\n");
    for row in options() {
        let from = match row.provenance {
            Provenance::FileSpin => "FileSpin",
            Provenance::Named => "FileSpin's name",
            Provenance::Ours => "Kinora",
        };
        let cells = [&format!("`{}`", row.name), row.allowed, row.default, row.help, from];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

/// Options of the contract that this version does not offer yet: they are refused, because ignoring
/// them would give another picture than asked.
pub(super) fn is_announced(name: &str) -> Option<&'static str> {
    const ANNOUNCED: [&str; 11] = [
        "anim",
        "blur",
        "brightness",
        "contrast",
        "frame",
        "grayscale",
        "placeholder",
        "saturation",
        "sharpen",
        "t",
        "watermark",
    ];
    ANNOUNCED.into_iter().find(|announced| *announced == name)
}

pub(super) static TABLE: [OptionRow; 14] = [
    OptionRow {
        name: "region",
        allowed: "x,y,w,h in whole pixels, or in percent as 10p,10p,50p,50p or 10,10,50,50p; w and h above 0",
        default: "the whole picture",
        help: "Works on this part of the source, after orientation.",
        provenance: Provenance::Ours,
        is_image: true,
        read: read::region,
        print: print::region,
    },
    OptionRow {
        name: "trim",
        allowed: "1 (on, tolerance 10) or a tolerance from 2 to 255",
        default: "off",
        help: "Cuts away borders of the corner's colour, or of full transparency.",
        provenance: Provenance::Named,
        is_image: true,
        read: read::trim,
        print: print::trim,
    },
    OptionRow {
        name: "rotate",
        allowed: "0, 90, 180 or 270",
        default: "0",
        help: "Turns clockwise.",
        provenance: Provenance::Named,
        is_image: true,
        read: read::rotate,
        print: print::rotate,
    },
    OptionRow {
        name: "flip",
        allowed: "h, v or hv",
        default: "off",
        help: "Mirrors left to right (`h`), top to bottom (`v`) or both, after the turn.",
        provenance: Provenance::Ours,
        is_image: true,
        read: read::flip,
        print: print::flip,
    },
    OptionRow {
        name: "crop",
        allowed: "W,H or W,H,MODE or W,H,X,Y; W and H at least 1; MODE center, top, bottom, left, right, top-left, \
                  top-right, bottom-left or bottom-right; X and Y from 0 to 1",
        default: "off; `center`",
        help: "Covers W x H and cuts the rest off around MODE or the focal point X,Y; a source too small gives the \
               largest cut of that aspect. Not together with `resize`.",
        provenance: Provenance::FileSpin,
        is_image: true,
        read: read::crop,
        print: print::crop,
    },
    OptionRow {
        name: "resize",
        allowed: "W,H or W, or ,H; W and H at least 1",
        default: "as large as the limits allow",
        help: "Fits the picture into a box, aspect kept, never enlarged; each side is clamped to the limits.",
        provenance: Provenance::FileSpin,
        is_image: true,
        read: read::resize,
        print: print::resize,
    },
    OptionRow {
        name: "fit",
        allowed: "inside, outside, cover, contain or fill",
        default: "`inside`",
        help: "How `resize` meets its box: as large as fits, as small as covers, covers and is cut, fits and is \
               padded, stretched. A box with one side is always `inside`.",
        provenance: Provenance::Ours,
        is_image: true,
        read: read::fit,
        print: print::fit,
    },
    OptionRow {
        name: "dpr",
        allowed: "a number from 1 to 4 with at most two decimals",
        default: "1",
        help: "Multiplies the sizes of `resize` and `crop`.",
        provenance: Provenance::Ours,
        is_image: true,
        read: read::dpr,
        print: print::nothing,
    },
    OptionRow {
        name: "bgcolor",
        allowed: "3, 6 or 8 (with alpha) hex digits without #",
        default: "none; white where the format has no transparency",
        help: "Fills transparency and padding.",
        provenance: Provenance::FileSpin,
        is_image: true,
        read: read::background,
        print: print::background,
    },
    OptionRow {
        name: "quality",
        allowed: "a whole number from 1 to 100",
        default: "90",
        help: "On JPEG's scale; other formats are mapped to look alike.",
        provenance: Provenance::FileSpin,
        is_image: true,
        read: read::quality,
        print: print::quality,
    },
    OptionRow {
        name: "format",
        allowed: "auto, jpg (or jpeg), png, webp, avif or gif",
        default: "`auto`",
        help: "`auto` is AVIF or WebP as the client accepts, else PNG for PNG sources and transparency, else JPEG.",
        provenance: Provenance::FileSpin,
        is_image: true,
        read: read::format,
        print: print::format,
    },
    OptionRow {
        name: "v",
        allowed: "1 to 64 letters, digits, dots, underscores and hyphens",
        default: "none",
        help: "Names a version of the object: such an answer is `immutable`, a new version is never an old picture.",
        provenance: Provenance::Ours,
        is_image: false,
        read: read::version,
        print: print::version,
    },
    OptionRow {
        name: "delivery",
        allowed: "display or download",
        default: "`display`",
        help: "`download` lets the browser save it.",
        provenance: Provenance::FileSpin,
        is_image: false,
        read: read::delivery,
        print: print::nothing,
    },
    OptionRow {
        name: "filename",
        allowed: "1 to 255 bytes of text",
        default: "the last part of the key",
        help: "The name to save a download under.",
        provenance: Provenance::FileSpin,
        is_image: false,
        read: read::filename,
        print: print::nothing,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_option() {
        let table = options_table();
        assert_eq!(table.lines().count(), TABLE.len() + 2);
        for (row, line) in TABLE.iter().zip(table.lines().skip(2)) {
            assert!(line.starts_with(&format!("| `{}` | {} |", row.name, row.allowed)), "{line}");
            assert_eq!(line.matches('|').count(), 6, "no cell may hold a bar: {line}");
        }
    }

    #[test]
    fn an_option_has_one_row_and_is_not_also_announced() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|other| other.name != row.name), "{} is there twice", row.name);
            assert_eq!(is_announced(row.name), None, "{} is offered", row.name);
        }
    }
}
