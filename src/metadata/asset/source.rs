//! What the delivery of an asset asks for: where its bytes are, and who may have them.

use crate::metadata::db::on;
use crate::metadata::{AssetStatus, Catalog, Conversion, Error, PurgeScope};
use crate::origin::ObjectKey;
use crate::request::{AssetId, Source};

/// More assets that have changed are not named one by one.
const MAX_CHANGED: usize = 10_000;

/// An asset as far as its delivery goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetSource {
    /// Its id, in text.
    pub id: String,
    /// How far it is.
    pub status: AssetStatus,
    /// The name of the file as it came.
    pub name: String,
    /// Whether what there is of it needs no proof.
    pub is_public: bool,
    /// Rises with every change.
    pub version: u64,
    /// It is in the trash.
    pub is_deleted: bool,
    original: Option<AssetObject>,
    conversions: Vec<(String, AssetObject)>,
}

/// An object of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetObject {
    /// Where it is.
    pub key: ObjectKey,
    /// What it is.
    pub content_type: String,
    /// Whether it needs no proof, if the asset needs none.
    pub is_public: bool,
}

impl AssetSource {
    /// The object that a request for this asset comes down to; `None` if it is not there.
    pub fn object(&self, source: &Source) -> Option<&AssetObject> {
        match source {
            Source::Object(_) => None,
            Source::Asset(_) => self.original.as_ref(),
            Source::Conversion(_, wanted) => {
                self.conversions.iter().find(|(name, _)| name == wanted).map(|(_, object)| object)
            }
        }
    }

    /// Whether strangers may have what a request asks for.
    pub fn is_open(&self, source: &Source) -> bool {
        self.is_public && self.object(source).is_none_or(|object| object.is_public)
    }

    fn objects(&self) -> impl Iterator<Item = &AssetObject> {
        self.original.iter().chain(self.conversions.iter().map(|(_, object)| object))
    }
}

impl Catalog {
    /// The asset of this id as far as its delivery goes, also one in the trash.
    ///
    /// # Errors
    /// That of the database.
    pub async fn asset_source(&self, id: &AssetId) -> Result<Option<AssetSource>, Error> {
        let query =
            "SELECT id, status, name, content_type, object_key, public, conversions, version, deleted_at
                     FROM assets WHERE id = $1";
        let row: Option<Row> = on!(self.db.reader(), pool => sqlx::query_as(query)
            .bind(id.to_string())
            .fetch_optional(pool)
            .await)?;
        row.map(Row::source).transpose()
    }

    /// The assets that were changed at this second (Unix) or later; `None` if they are too many to name.
    ///
    /// # Errors
    /// That of the database.
    pub async fn assets_changed_since(&self, second: u64) -> Result<Option<Vec<AssetId>>, Error> {
        let query = "SELECT id FROM assets WHERE update_time >= $1 LIMIT $2";
        let ids: Vec<String> = on!(self.db.reader(), pool => sqlx::query_scalar(query)
            .bind(second.cast_signed())
            .bind(MAX_CHANGED.cast_signed() as i64 + 1)
            .fetch_all(pool)
            .await)?;
        let read = |id: &String| id.parse().map_err(|_| Error::Damaged(format!("the asset id {id:?}")));
        match ids.len() > MAX_CHANGED {
            true => Ok(None),
            false => ids.iter().map(read).collect::<Result<_, _>>().map(Some),
        }
    }

    /// The keys of an asset's objects, as what a purge of the asset covers besides: they may have been asked for
    /// by themselves.
    pub(crate) async fn objects_purged(&self, scopes: &[PurgeScope]) -> Result<Vec<PurgeScope>, Error> {
        let mut all = scopes.to_vec();
        for scope in scopes {
            let PurgeScope::Asset(id) = scope else { continue };
            let Ok(id) = id.parse() else { continue };
            let source = self.asset_source(&id).await?;
            let objects = source.iter().flat_map(AssetSource::objects);
            all.extend(objects.map(|object| PurgeScope::Key(object.key.as_str().to_owned())));
        }
        Ok(all)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    status: String,
    name: String,
    content_type: String,
    object_key: Option<String>,
    public: bool,
    conversions: String,
    version: i64,
    deleted_at: Option<i64>,
}

impl Row {
    fn source(self) -> Result<AssetSource, Error> {
        let damaged = |what: &str| Error::Damaged(format!("{what} of the asset {}", self.id));
        let object = |key: Option<&String>, content_type: &str, is_public: bool| {
            let Some(key) = key else { return Ok(None) };
            let key = ObjectKey::new(key).map_err(|_| damaged("an object key"))?;
            Ok::<_, Error>(Some(AssetObject { key, content_type: content_type.to_owned(), is_public }))
        };
        let made: Vec<Conversion> =
            serde_json::from_str(&self.conversions).map_err(|_| damaged("the conversions"))?;
        let mut conversions = Vec::new();
        for conversion in made {
            let found = object(conversion.key.as_ref(), &conversion.content_type, conversion.public)?;
            conversions.extend(found.map(|found| (conversion.name, found)));
        }
        Ok(AssetSource {
            original: object(self.object_key.as_ref(), &self.content_type, true)?,
            conversions,
            status: self.status.parse()?,
            is_public: self.public,
            version: self.version.cast_unsigned(),
            is_deleted: self.deleted_at.is_some(),
            name: self.name,
            id: self.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::on_both::{Place, on_both_databases};
    use crate::metadata::{Asset, EventKind};

    on_both_databases!(the_source_of_an_asset_is_what_its_row_says);

    async fn the_source_of_an_asset_is_what_its_row_says(place: Place) {
        let catalog = place.open().await;
        let id = AssetId::new([7; 16]);
        assert_eq!(catalog.asset_source(&id).await.expect("asked"), None);
        let key = ObjectKey::new("kinora/a/1/cat.jpg").expect("a key");
        let asset = Asset { key: Some(key.clone()), public: true, ..Asset::new(id, "cat.jpg", 1000) };
        catalog.insert_assets(&[asset], EventKind::FileSaved, 1000).await.expect("recorded");
        let source = catalog.asset_source(&id).await.expect("asked").expect("there");
        assert_eq!((source.id.as_str(), source.name.as_str()), (id.to_string().as_str(), "cat.jpg"));
        assert!(source.is_open(&Source::Asset(id)) && !source.is_deleted);
        assert_eq!(source.object(&Source::Asset(id)).map(|object| &object.key), Some(&key));
        assert_eq!(source.object(&Source::Conversion(id, "small".to_owned())), None);

        let purged = catalog.objects_purged(&[PurgeScope::Asset(id.to_string())]).await.expect("asked");
        assert_eq!(purged[1..], [PurgeScope::Key(key.as_str().to_owned())], "its object goes with it");
        let changed = async |second| catalog.assets_changed_since(second).await.expect("asked");
        assert_eq!((changed(1000).await, changed(1001).await), (Some(vec![id]), Some(Vec::new())));
        catalog.delete_asset(&id, None, 2000).await.expect("deleted");
        let source = catalog.asset_source(&id).await.expect("asked").expect("there");
        assert!(source.is_deleted && source.version == 2);
        assert_eq!(changed(2000).await, Some(vec![id]));
    }
}
