//! Presets: image options under a name.

use std::collections::BTreeMap;

use crate::request::Error;
use crate::request::Rules;
use crate::request::draft::Draft;
use crate::request::route::is_name;

/// What stands among the options of a preset that takes no further ones.
const LOCKED: &str = "locked=1";

/// Named image options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presets(BTreeMap<String, Preset>);

/// Image options under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preset {
    pub(super) draft: Draft,
    /// A URL that names it has no image options of its own.
    pub(super) is_locked: bool,
}

/// Why a text is no preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPreset {
    /// It cannot stand in a path.
    #[error("a name is 1 to 64 letters, digits, underscores and hyphens")]
    Name,
    /// It says nothing about pictures.
    #[error("must be image options as they stand in a URL, such as resize=300,300&format=webp")]
    Empty,
    /// What is wrong with an option.
    #[error("{0}")]
    Option(#[from] Error),
    /// This parameter is no image option.
    #[error("`{0}` is no image option")]
    NoOption(String),
}

impl Presets {
    /// None at all.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a preset: image options as they stand in a URL. With `locked=1` among them, a URL may add none.
    ///
    /// # Errors
    /// [`InvalidPreset`].
    pub fn add(&mut self, name: &str, options: &str) -> Result<(), InvalidPreset> {
        if !is_name(name) {
            return Err(InvalidPreset::Name);
        }
        let parameters = || options.split('&').filter(|parameter| !parameter.is_empty());
        let is_locked = parameters().any(|parameter| parameter == LOCKED);
        let mut draft = Draft::default();
        for parameter in parameters().filter(|parameter| *parameter != LOCKED) {
            // By itself, so that one which is skipped in a URL is told of here.
            let alone = Draft::default().read(Some(parameter))?;
            if !alone.is_image {
                return Err(InvalidPreset::NoOption(parameter.to_owned()));
            }
        }
        draft = draft.read(Some(options))?;
        if !draft.is_image {
            return Err(InvalidPreset::Empty);
        }
        draft.clone().resolve(&Rules::within(u32::MAX, u32::MAX))?;
        draft.named = None;
        self.0.insert(name.to_owned(), Preset { draft, is_locked });
        Ok(())
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_image_options_under_a_name() {
        let add = |name: &str, options: &str| Presets::none().add(name, options);
        for options in ["resize=300,300", "crop=100,100&format=webp", "dpr=2&locked=1", "&quality=80&"] {
            assert_eq!(add("small_1-x", options), Ok(()), "{options}");
        }
        for name in ["", "a/b", "a b", "\u{e4}", &"a".repeat(65)] {
            assert_eq!(add(name, "quality=80"), Err(InvalidPreset::Name), "{name:?}");
        }
        for options in ["", "&", "locked=1"] {
            assert_eq!(add("a", options), Err(InvalidPreset::Empty), "{options:?}");
        }
        for parameter in ["locked=2", "utm_source=x", "delivery=download", "v=1", "expiry=1"] {
            let refused = add("a", &format!("quality=80&{parameter}"));
            assert_eq!(refused, Err(InvalidPreset::NoOption(parameter.to_owned())));
        }
        for options in ["quality=0", "blur=1", "quality=80&quality=90", "resize=1,1&crop=1,1"] {
            assert!(matches!(add("a", options), Err(InvalidPreset::Option(_))), "{options}");
        }
    }
}
