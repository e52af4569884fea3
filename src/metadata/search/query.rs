//! The one statement of a search. Its text is all ours; what a client sent is bound.

use serde_json::Value;

use crate::metadata::db::{Db, Either};
use crate::metadata::search::index::comparable;
use crate::metadata::search::words::words;
use crate::metadata::search::{Pattern, Search, Sort, SortBy, Span};

/// Follows whatever begins with a text.
const AFTER_ALL: char = char::MAX;

/// Holds for no asset.
const NOTHING: &str = "1 = 0";

/// The statement, which gives `seq` of assets in order, as one text: as rows they would take longer than to find.
pub(super) struct Query {
    pub(super) text: String,
    pub(super) arguments: Vec<Argument>,
}

/// What stands in for `$1` and so on.
#[derive(Debug, PartialEq)]
pub(super) enum Argument {
    Text(String),
    Number(i64),
}

/// The conditions so far.
struct Conditions {
    all: Vec<String>,
    arguments: Vec<Argument>,
}

impl Query {
    pub(super) fn of(search: &Search, db: &Db, limit: usize) -> Self {
        let is_sqlite = matches!(db.reader(), Either::Sqlite(_));
        let trashed = if search.trashed { "a.deleted_at IS NOT NULL" } else { "a.deleted_at IS NULL" };
        let mut conditions = Conditions { all: vec![trashed.to_owned()], arguments: Vec::new() };
        let words = search.keyword.as_deref().map(Word::all);
        let mut from = "assets a";
        if words.as_ref().is_some_and(Vec::is_empty) {
            conditions.all.push(NOTHING.to_owned());
        } else if let Some(words) = &words {
            // The words first, whatever the planner thinks: SQLite keeps to the order of a cross join.
            from = "asset_words w CROSS JOIN assets a";
            conditions.all.push("a.seq = w.rowid".to_owned());
            match is_sqlite {
                true => conditions.add("w.words MATCH $", Argument::Text(fts5(words))),
                false => conditions.add("w.words @@ CAST($ AS tsquery)", Argument::Text(tsquery(words))),
            }
        }
        conditions.patterns("a.name_lower", search.file_name.as_slice());
        conditions.patterns("a.content_type", &search.content_types);
        if let Some(creator) = &search.creator_id {
            conditions.add("a.creator_id = $", Argument::Text(creator.clone()));
        }
        conditions.span("a.upload_time", search.upload_time);
        conditions.span("a.size", search.file_size);
        for (field, value) in search.criteria.iter().flat_map(|criteria| &criteria.fields) {
            let schema_id = search.criteria.as_ref().map_or(0, |criteria| criteria.schema_id);
            conditions.field(schema_id, field, value);
        }
        let order = order(search.sort, from != "assets a");
        let all = conditions.all.join(" AND ");
        let text = format!(
            "SELECT string_agg(CAST(seq AS TEXT), ',')
             FROM (SELECT a.seq FROM {from} WHERE {all} ORDER BY {order} LIMIT {limit}) AS found"
        );
        Self { text, arguments: conditions.arguments }
    }
}

fn order(sort: Option<Sort>, by_words: bool) -> String {
    let Some(Sort { by, is_descending }) = sort else {
        // Both are the same number; full text gives it in this order by itself.
        return if by_words { "w.rowid DESC" } else { "a.seq DESC" }.to_owned();
    };
    let column = match by {
        SortBy::UploadTime => "upload_time",
        SortBy::UpdateTime => "update_time",
        SortBy::FileName => "name_lower",
        SortBy::FileSize => "size",
    };
    let direction = if is_descending { "DESC" } else { "ASC" };
    format!("a.{column} {direction}, a.seq {direction}")
}

impl Conditions {
    /// `$` in the text becomes the place of the argument.
    fn add(&mut self, condition: &str, argument: Argument) {
        let place = self.place(argument);
        self.all.push(condition.replace('$', &place));
    }

    fn place(&mut self, argument: Argument) -> String {
        self.arguments.push(argument);
        format!("${}", self.arguments.len())
    }

    /// One of them fits.
    fn patterns(&mut self, column: &str, patterns: &[Pattern]) {
        let mut any = Vec::new();
        for Pattern { text, is_prefix } in patterns {
            // Such a text is in neither database, nor in a statement for PostgreSQL.
            let text = text.replace('\0', "\u{1}");
            let from = self.place(Argument::Text(text.clone()));
            any.push(match is_prefix {
                true => {
                    let to = self.place(Argument::Text(format!("{text}{AFTER_ALL}")));
                    format!("({column} >= {from} AND {column} < {to})")
                }
                false => format!("{column} = {from}"),
            });
        }
        if !any.is_empty() {
            self.all.push(format!("({})", any.join(" OR ")));
        }
    }

    fn span(&mut self, column: &str, span: Span) {
        // Beyond what a database counts, all or nothing lies there anyway.
        let number = |bound: u64| Argument::Number(i64::try_from(bound).unwrap_or(i64::MAX));
        if let Some(start) = span.start {
            self.add(&format!("{column} >= $"), number(start));
        }
        if let Some(end) = span.end {
            self.add(&format!("{column} <= $"), number(end));
        }
    }

    fn field(&mut self, schema_id: i64, field: &str, value: &Value) {
        let values = match value {
            Value::Array(items) => items.as_slice(),
            value => std::slice::from_ref(value),
        };
        let schema = self.place(Argument::Number(schema_id));
        let field = self.place(Argument::Text(field.replace('\0', "\u{1}")));
        let values: Vec<_> =
            values.iter().filter_map(comparable).map(|value| self.place(Argument::Text(value))).collect();
        self.all.push(match values.is_empty() {
            true => NOTHING.to_owned(),
            false => format!(
                "a.seq IN (SELECT asset_seq FROM asset_fields
                           WHERE schema_id = {schema} AND field = {field} AND value IN ({}))",
                values.join(", ")
            ),
        });
    }
}

/// A word of letters and digits, or the beginning of one.
struct Word {
    text: String,
    is_prefix: bool,
}

impl Word {
    fn all(keyword: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for piece in keyword.split_whitespace() {
            let mut of_piece =
                words(piece).into_iter().map(|text| Self { text, is_prefix: false }).collect::<Vec<_>>();
            if let (Some(last), true) = (of_piece.last_mut(), piece.ends_with('*')) {
                last.is_prefix = true;
            }
            all.append(&mut of_piece);
        }
        all
    }
}

/// Quotes are safe: a word has letters and digits alone.
fn fts5(words: &[Word]) -> String {
    let words = words
        .iter()
        .map(|Word { text, is_prefix }| format!("\"{text}\"{}", if *is_prefix { "*" } else { "" }));
    words.collect::<Vec<_>>().join(" ")
}

fn tsquery(words: &[Word]) -> String {
    let words = words
        .iter()
        .map(|Word { text, is_prefix }| format!("'{text}'{}", if *is_prefix { ":*" } else { "" }));
    words.collect::<Vec<_>>().join(" & ")
}
