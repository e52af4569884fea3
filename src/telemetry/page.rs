//! The page of metrics as its reader sees it: Prometheus' text format, as far as we write it.

/// What was on the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page(Vec<Sample>);

/// One line of it.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Page {
    /// Reads a page. `None` if a line is none of such a page.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(sample).collect::<Option<_>>().map(Self)
    }

    /// Whether it has a metric.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.name == name)
    }

    /// The sum of a metric over all lines that have these labels, as a whole number.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |sample: &Sample, (label, value): &(&str, &str)| {
            sample.labels.iter().any(|(of, is)| of == label && is == value)
        };
        let fits = |sample: &&Sample| sample.name == name && labels.iter().all(|label| has(sample, label));
        // What is negative, too large or no number at all becomes the nearest number that is one.
        self.0.iter().filter(fits).map(|sample| sample.value).sum::<f64>() as u64
    }
}

/// `name{label="value",...} number`, with a time behind it that is not looked at.
fn sample(line: &str) -> Option<Sample> {
    let (name, rest) = name(line)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    let is_over = words.next().is_none_or(|time| time.parse::<i64>().is_ok()) && words.next().is_none();
    is_over.then(|| Sample { name: name.to_owned(), labels, value })
}

/// A name, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Labels up to the closing brace, and what follows that.
fn labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (label, rest) = name(text)?;
        let (value, rest) = quoted(rest.strip_prefix("=\"")?)?;
        labels.push((label.to_owned(), value));
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// A value up to the closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            plain => value.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::metrics::{Levels, Metrics, Outcome};

    #[test]
    fn our_own_page_is_read() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.answered(Outcome::Hit, 200, Duration::from_millis(2), 70);
        metrics.answered(Outcome::Hit, 304, Duration::from_millis(2), 0);
        metrics.failed("a \"quoted\"\\code\n", "client");
        let page = Page::parse(&metrics.page(&Levels::default()).expect("text")).expect("a page");
        assert_eq!(page.sum("kinora_requests_total", &[("cache", "hit")]), 2);
        assert_eq!(page.sum("kinora_requests_total", &[("cache", "hit"), ("status", "3xx")]), 1);
        assert_eq!(page.sum("kinora_failures_total", &[("code", "a \"quoted\"\\code\n")]), 1);
        assert_eq!(page.sum("kinora_cache_disk_state", &[("tier", "disk")]), 3);
        assert!(page.has("kinora_request_seconds_bucket") && !page.has("kinora_request_seconds"));
    }

    #[test]
    fn odd_lines_are_read_or_refused() {
        for (line, sum) in [
            ("a 1", Some(1)),
            ("a{} 1", Some(1)),
            ("a{b=\"}\",} 2 1700000000", Some(2)),
            ("a 1e3", Some(1000)),
            ("a NaN", Some(0)),
            ("a -5", Some(0)),
            ("a +Inf", Some(u64::MAX)),
            ("# a 1\n\n", Some(0)),
            ("a", None),
            ("a x", None),
            ("a 1 2 3", None),
            ("a{b=\"c\" 1", None),
            ("a{b=\"c\"d=\"e\"} 1", None),
            ("a{b=\"\\x\"} 1", None),
            ("a{b=c} 1", None),
            ("{b=\"c\"} 1", None),
            ("<html>", None),
        ] {
            assert_eq!(Page::parse(line).map(|page| page.sum("a", &[])), sum, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "[a-z{}=\",\\\\ 0-9.#\n]{0,60}|.{0,60}") {
            let _ = Page::parse(&text);
        }
    }
}
