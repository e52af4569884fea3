//! What of the server's settings decides the meaning of a request.

use crate::request::Error;
use crate::request::Presets;
use crate::request::Route;
use crate::request::Source;
use crate::request::draft::Draft;
use crate::request::preset::Preset;
use crate::request::route::object_key;

/// What of the server's settings decides the meaning of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `image.max_width`: no result is wider.
    pub max_width: u32,
    /// `image.max_height`: no result is higher.
    pub max_height: u32,
    /// `image.presets`.
    pub presets: Presets,
    /// `delivery.presets_only`: a URL names a preset, and no image option of its own.
    pub presets_only: bool,
    /// `upload.prefix`: objects below it belong to assets, and have no URL of their own.
    pub asset_prefix: Option<String>,
}

impl Rules {
    /// Nothing but these limits.
    pub const fn within(max_width: u32, max_height: u32) -> Self {
        Self { max_width, max_height, presets: Presets::none(), presets_only: false, asset_prefix: None }
    }

    /// What a route is for, and the options that it brings along.
    pub(super) fn begin(&self, route: &Route<'_>) -> Result<(Source, Draft), Error> {
        match *route {
            Route::Media { key } => {
                let key = object_key(key).filter(|key| !self.belongs_to_an_asset(key.as_str()));
                Ok((Source::Object(key.ok_or(Error::NoSuchKey)?), Draft::default()))
            }
            Route::Original { asset } => Ok((Source::Asset(asset), Draft::default())),
            Route::Conversion { asset, name: None } => {
                Ok((Source::Asset(asset), Draft { is_image: true, ..Draft::default() }))
            }
            Route::Conversion { asset, name: Some(name) } => Ok(match self.presets.get(name) {
                Some(preset) => (Source::Asset(asset), preset.draft.clone()),
                None => (Source::Conversion(asset, name.to_owned()), Draft::default()),
            }),
        }
    }

    /// Why a URL of this route may have no image options of its own.
    pub(super) fn forbids_options(&self, route: &Route<'_>) -> Option<&'static str> {
        let is_locked = |name| self.presets.get(name).is_some_and(|preset: &Preset| preset.is_locked);
        match route {
            Route::Original { .. } => Some("the original is given as it is"),
            Route::Conversion { name: Some(name), .. } if is_locked(name) => Some("the preset is locked"),
            Route::Conversion { .. } | Route::Media { .. } => {
                self.presets_only.then_some("only named presets are offered")
            }
        }
    }

    fn belongs_to_an_asset(&self, key: &str) -> bool {
        let inside =
            |prefix: &String| key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.asset_prefix.as_ref().is_some_and(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::FormatClass;
    use crate::origin::ObjectKey;
    use crate::request::MediaRequest;
    use crate::request::Work;
    use crate::request::split_target;

    const ID: &str = "00112233445566778899aabbccddeeff";

    fn rules() -> Rules {
        let mut rules = Rules::within(2048, 1536);
        rules.presets.add("small", "resize=300,300&quality=80").expect("a preset");
        rules.presets.add("fixed", "resize=100,100&locked=1").expect("a preset");
        rules
    }

    /// The source, and the canonical query.
    fn read(rules: &Rules, path: &str) -> Result<(Source, String), Error> {
        let request = MediaRequest::parse(&split_target(path), rules)?;
        let key = ObjectKey::new("k").expect("a key");
        let path = request.negotiate(&key, FormatClass::Webp).to_path();
        Ok((request.source, path.trim_start_matches("/media/k").to_owned()))
    }

    fn of_asset(path: &str) -> Result<(Source, String), Error> {
        read(&rules(), &format!("/api/v1/assets/{ID}/{path}"))
    }

    #[test]
    fn pictures_of_assets_read_as_those_of_objects() {
        let asset = Source::Asset(ID.parse().expect("an id"));
        for (path, query) in [
            ("conversions", "?format=webp"),
            ("conversions?utm_source=x&expiry=1", "?format=webp"),
            ("conversions?resize=300,300", "?resize=300,300&format=webp"),
            ("conversions/small", "?resize=300,300&quality=80&format=webp"),
            ("conversions/small?format=png", "?resize=300,300&quality=80&format=png"),
            ("conversions/small?quality=90&resize=200,", "?resize=200,&format=webp"),
            ("conversions/small?v=2", "?resize=300,300&quality=80&format=webp&v=2"),
            ("conversions/fixed?v=2&delivery=download", "?resize=100,100&format=webp&v=2"),
            ("original", ""),
            ("original?delivery=download", ""),
        ] {
            assert_eq!(of_asset(path), Ok((asset.clone(), query.to_owned())), "{path}");
        }
        let older = read(&rules(), &format!("/api/v1/conversion/{ID}?resize=300,300"));
        assert_eq!(older, of_asset("conversions?resize=300,300"));
        let named = Source::Conversion(ID.parse().expect("an id"), "mine".to_owned());
        assert_eq!(of_asset("conversions/mine"), Ok((named.clone(), String::new())), "as it was given");
        assert_eq!(of_asset("conversions/mine?quality=80").map(|(source, _)| source), Ok(named));
    }

    #[test]
    fn options_are_refused_where_none_are_taken() {
        let refused = |outcome: Result<(Source, String), Error>| match outcome {
            Err(Error::OptionNotPermitted { option, .. }) => Some(option),
            _ => None,
        };
        assert_eq!(refused(of_asset("original?v=1&format=auto")), Some("format"));
        assert_eq!(refused(of_asset("conversions/fixed?quality=80")), Some("quality"));
        let only = Rules { presets_only: true, ..rules() };
        let media = |query: &str| read(&only, &format!("/media/a{query}"));
        assert_eq!(refused(media("?resize=1,1&quality=1")), Some("resize"));
        assert_eq!(media("?v=1&delivery=download").map(|(_, query)| query), Ok("?v=1".to_owned()));
        let asset = |path: &str| read(&only, &format!("/api/v1/assets/{ID}/{path}"));
        assert_eq!(refused(asset("conversions?dpr=2")), Some("dpr"));
        assert_eq!(refused(asset("conversions/small?dpr=2")), Some("dpr"));
        assert!(asset("conversions/small").is_ok() && asset("conversions").is_ok());
    }

    #[test]
    fn objects_of_assets_have_no_url_of_their_own() {
        let rules = Rules { asset_prefix: Some("kinora".to_owned()), ..rules() };
        for hidden in ["kinora/a", "kinor%61/a/1/b.jpg?resize=1,1", "kinora%2Fa"] {
            assert_eq!(read(&rules, &format!("/media/{hidden}")), Err(Error::NoSuchKey), "{hidden}");
        }
        for other in ["kinora", "kinora.jpg", "kinora2/a", "a/kinora/b", "Kinora/a"] {
            assert!(read(&rules, &format!("/media/{other}")).is_ok(), "{other}");
        }
    }

    #[test]
    fn an_asset_s_original_is_never_open() {
        let needs = |path: &str| {
            let target = format!("/api/v1/assets/{ID}/{path}");
            MediaRequest::parse(&split_target(&target), &rules()).map(|request| request.needs_proof())
        };
        assert_eq!(needs("original"), Ok(true));
        for path in ["conversions", "conversions/small", "conversions/mine"] {
            assert_eq!(needs(path), Ok(false), "{path}");
        }
        let object = MediaRequest::parse(&split_target("/media/a"), &rules()).expect("a request");
        assert!(object.work == Work::Original && !object.needs_proof());
    }
}
