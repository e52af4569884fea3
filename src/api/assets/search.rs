//! `/api/v1/search`: assets by words, names, types, times, sizes and values.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::public::{Public, now, only, uncached};
use crate::api::{body, moment};
use crate::failure::{Code, Failure};
use crate::metadata::{Criteria, Found, Pattern, Search, Sort, SortBy, Span};
use crate::signature::Scope;

const PER_PAGE: u32 = 50;
const MAX_PER_PAGE: u32 = 500;
const MAX_WORDS: usize = 40;
const MAX_TEXT_BYTES: usize = 1000;
const MAX_TYPES: usize = 20;
const MAX_VALUES: usize = 100;

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/api/v1/search", post(search).fallback(async || only("POST")))
        .route("/api/v1/search/{id}/{page}", get(page).fallback(async || only("GET, HEAD")))
}

/// The body. What is left out does not matter.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    keyword: Option<String>,
    file_name: Option<String>,
    content_type: Option<String>,
    creator_id: Option<String>,
    upload_time_range: Range<Moment>,
    file_size_range: Range<u64>,
    schema_criteria: Option<Values>,
    trashed: bool,
    sort_by: Option<String>,
    limit_per_page: Option<u32>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Range<T> {
    start: Option<T>,
    end: Option<T>,
}

/// ISO 8601 or Unix seconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    Seconds(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    data_schema_id: i64,
    fields: Map<String, Value>,
}

async fn search(State(public): State<Arc<Public>>, request: Request) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let wish: Wish = body::object(&body::whole(request).await?)?;
    Ok(answer(&public.catalog.search(&wish.read()?, now()).await?))
}

async fn page(
    State(public): State<Arc<Public>>,
    path: Result<Path<(String, u64)>, PathRejection>,
    request: Request,
) -> Result<Response, Failure> {
    public.authorize(request.headers(), Scope::Read)?;
    let page = path.ok().filter(|Path((_, page))| *page > 0);
    let Path((id, page)) = page.ok_or_else(|| Failure::new(Code::NotFound, "pages are counted from 1"))?;
    Ok(answer(&public.catalog.search_page(&id, page, now()).await?))
}

fn answer(found: &Found) -> Response {
    let ids: Vec<String> = found.ids.iter().map(ToString::to_string).collect();
    uncached(Json(json!({
        "result": ids,
        "search_result_id": found.result_id,
        "total_pages": found.total_pages,
    })))
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Self { start: None, end: None }
    }
}

impl Moment {
    fn seconds(self) -> Result<u64, Failure> {
        match self {
            Self::Seconds(seconds) => Ok(seconds),
            Self::Text(text) => moment::parse("upload_time_range", &text),
        }
    }
}

impl Wish {
    fn read(self) -> Result<Search, Failure> {
        let rule = |holds: bool, rule: String| if holds { Ok(()) } else { Err(refused(rule)) };
        for (name, text) in [
            ("keyword", &self.keyword),
            ("file_name", &self.file_name),
            ("content_type", &self.content_type),
            ("creator_id", &self.creator_id),
        ] {
            let is_short =
                text.as_ref().is_none_or(|text| text.len() <= MAX_TEXT_BYTES && !text.contains('\0'));
            rule(is_short, format!("`{name}` has at most {MAX_TEXT_BYTES} bytes, none of them 0"))?;
        }
        let words = self.keyword.as_deref().map_or(0, |text| text.split_whitespace().count());
        rule(words <= MAX_WORDS, format!("`keyword` has at most {MAX_WORDS} words"))?;
        let types: Vec<Pattern> =
            self.content_type.iter().flat_map(|text| text.split(" OR ")).map(pattern).collect();
        rule(types.len() <= MAX_TYPES, format!("`content_type` has at most {MAX_TYPES} types"))?;
        let per_page = self.limit_per_page.unwrap_or(PER_PAGE);
        let fits = (1..=MAX_PER_PAGE).contains(&per_page);
        rule(fits, format!("`limit_per_page` must lie between 1 and {MAX_PER_PAGE}"))?;
        Ok(Search {
            // Of words that are not there, all hold.
            keyword: self.keyword.filter(|text| !text.trim().is_empty()),
            file_name: self.file_name.as_deref().map(pattern),
            content_types: types,
            creator_id: self.creator_id,
            upload_time: Span {
                start: self.upload_time_range.start.map(Moment::seconds).transpose()?,
                end: self.upload_time_range.end.map(Moment::seconds).transpose()?,
            },
            file_size: Span { start: self.file_size_range.start, end: self.file_size_range.end },
            criteria: self.schema_criteria.map(criteria).transpose()?,
            trashed: self.trashed,
            sort: self.sort_by.as_deref().map(sort).transpose()?,
            per_page,
        })
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text.trim())
}

fn criteria(Values { data_schema_id, fields }: Values) -> Result<Criteria, Failure> {
    let values = fields.values().map(|value| value.as_array().map_or(1, Vec::len)).sum::<usize>();
    if values > MAX_VALUES {
        return Err(refused(format!("`schema_criteria` has at most {MAX_VALUES} values")));
    }
    Ok(Criteria { schema_id: data_schema_id, fields: fields.into_iter().collect() })
}

/// A name, with `-` in front from the largest on.
fn sort(text: &str) -> Result<Sort, Failure> {
    let (name, is_descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let by = match name {
        "upload_time" => SortBy::UploadTime,
        "update_time" => SortBy::UpdateTime,
        "file_name" => SortBy::FileName,
        "file_size" => SortBy::FileSize,
        _ => {
            let names =
                "upload_time, update_time, file_name or file_size, with `-` in front from the largest on";
            return Err(refused(format!("`sort_by` must be {names}")));
        }
    };
    Ok(Sort { by, is_descending })
}

fn refused(detail: String) -> Failure {
    Failure::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Result<Search, Failure> {
        body::object::<Wish>(body.to_string().as_bytes())?.read()
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let search = read(&json!({
            "keyword": "sun*", "content_type": "image* OR video/mp4", "sort_by": "-file_size", "limit_per_page": 7,
            "upload_time_range": { "start": "2026-01-31T12:00:00Z", "end": 1_800_000_000 },
            "file_size_range": { "end": 9 },
        }))
        .expect("fine");
        assert_eq!(search.content_types, [Pattern::new("image*"), Pattern::new("video/mp4")]);
        assert_eq!(search.sort, Some(Sort { by: SortBy::FileSize, is_descending: true }));
        assert_eq!(search.upload_time, Span { start: Some(1_769_860_800), end: Some(1_800_000_000) });
        assert_eq!((search.file_size, search.per_page), (Span { start: None, end: Some(9) }, 7));
        assert_eq!(read(&json!({ "keyword": "  " })).expect("fine").keyword, None, "nothing is asked for");
        assert_eq!(read(&json!({})).expect("fine").per_page, 50);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for body in [
            json!([]),
            json!({ "keywords": "a" }),
            json!({ "keyword": 1 }),
            json!({ "keyword": "a ".repeat(41) }),
            json!({ "keyword": "a".repeat(1001) }),
            json!({ "file_name": "a\0" }),
            json!({ "content_type": "a OR ".repeat(21) }),
            json!({ "limit_per_page": 0 }),
            json!({ "limit_per_page": 501 }),
            json!({ "sort_by": "size; DROP TABLE assets" }),
            json!({ "upload_time_range": { "start": "yesterday" } }),
            json!({ "upload_time_range": { "from": 1 } }),
            json!({ "file_size_range": { "start": -1 } }),
            json!({ "schema_criteria": { "fields": {} } }),
            json!({ "schema_criteria": { "data_schema_id": 1, "fields": { "a": vec![1; 101] } } }),
        ] {
            assert_eq!(read(&body).map_err(|failure| failure.code).err(), Some(Code::BadRequest), "{body}");
        }
    }
}
