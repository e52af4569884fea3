//! Rust source as the rules see it: files, their module paths, and tokens without comments and texts.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) modules: BTreeSet<Vec<String>>,
}

pub(crate) struct File {
    /// Path below the repository, with forward slashes.
    pub(crate) path: String,
    /// Module path, for example `["transform", "decode"]`; empty for `lib.rs`.
    pub(crate) module: Vec<String>,
    /// Whether the module is `NAME.rs` or `NAME/mod.rs` right below the crate.
    pub(crate) is_face: bool,
    pub(crate) starts_with_head: bool,
    pub(crate) lines: usize,
    pub(crate) tokens: Vec<Token>,
    /// Parts of `tokens` that are compiled for tests only.
    pub(crate) tests: Vec<Range<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Tree {
    pub(crate) fn read() -> Self {
        let mut sources = Vec::new();
        collect(&root().join("src"), &mut sources);
        Self::of(sources)
    }

    pub(crate) fn of(sources: Vec<(String, String)>) -> Self {
        let mut files: Vec<File> = sources.iter().map(|(path, text)| File::new(path, text)).collect();
        let tests: BTreeSet<Vec<String>> = files.iter().flat_map(File::test_modules).collect();
        files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
        let modules = files.iter().map(|file| file.module.clone()).collect();
        Self { files, modules }
    }

    pub(crate) fn each(&self, rule: impl Fn(&Self, &File) -> Vec<String>) -> Vec<String> {
        self.files.iter().flat_map(|file| rule(self, file)).collect()
    }
}

fn collect(folder: &Path, sources: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let place = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let module: Vec<String> = place.split('/').filter(|name| *name != "lib").map(str::to_owned).collect();
        let tokens = lex(text);
        Self {
            path: path.to_owned(),
            is_face: module.len() == 1,
            module,
            starts_with_head: text.starts_with("//!"),
            lines: text.lines().count(),
            tests: test_items(&tokens),
            tokens,
        }
    }

    /// The module right below the crate that the file belongs to; `""` for `lib.rs`.
    pub(crate) fn top(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    pub(crate) fn is_in(&self, modules: &[&str]) -> bool {
        modules.contains(&self.top())
    }

    pub(crate) fn at(&self, line: usize, rule: &str) -> String {
        format!("{}:{line}: {rule}", self.path)
    }

    /// Tokens outside of test items.
    pub(crate) fn production(&self) -> Vec<Token> {
        let is_test = |index: usize| self.tests.iter().any(|range| range.contains(&index));
        let kept = self.tokens.iter().enumerate().filter(|(index, _)| !is_test(*index));
        kept.map(|(_, token)| token.clone()).collect()
    }

    /// Files that this one declares as `#[cfg(test)] mod NAME;`.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let declared = self.tests.iter().filter_map(|range| match &self.tokens[range.clone()] {
            [.., keyword, name, end] if keyword.text == "mod" && end.text == ";" => Some(name.text.clone()),
            _ => None,
        });
        declared.map(|name| self.module.iter().cloned().chain([name]).collect()).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Words, numbers, `::` and single signs; a text or character is one `"` for each line it spans.
fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn advance(&mut self, count: usize) {
        for _ in 0..count.min(self.chars.len() - self.at) {
            self.line += usize::from(self.chars[self.at] == '\n');
            self.at += 1;
        }
    }

    fn push(&mut self, text: &str) {
        self.tokens.push(Token { text: text.to_owned(), line: self.line });
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                while !['\n', '\0'].contains(&self.peek(0)) {
                    self.advance(1)
                }
            }
            ('/', '*') => self.block_comment(),
            ('"', _) => self.literal(0, true),
            ('\'', '\\') => {
                self.advance(1);
                self.character()
            }
            ('\'', _) if self.peek(2) == '\'' => {
                self.push("\"");
                self.advance(3)
            }
            ('\'', _) => self.advance(1), // a lifetime: its name is a word as any other
            (':', ':') => {
                self.push("::");
                self.advance(2)
            }
            (first, _) if is_word_char(first) => self.word(),
            (first, _) => {
                if !first.is_whitespace() {
                    self.push(&first.to_string())
                }
                self.advance(1);
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.advance(2)
                }
                ('*', '/') => {
                    depth -= 1;
                    self.advance(2)
                }
                _ => self.advance(1),
            }
            if depth == 0 || self.at == self.chars.len() {
                return;
            }
        }
    }

    /// A character that begins with a backslash, which `at` points to.
    fn character(&mut self) {
        self.push("\"");
        self.advance(2);
        while !['\'', '\0'].contains(&self.peek(0)) {
            self.advance(1)
        }
        self.advance(1);
    }

    /// A text that ends with a quote and `hashes` times `#`.
    fn literal(&mut self, hashes: usize, escapes: bool) {
        self.push("\"");
        self.advance(1);
        while self.at < self.chars.len() {
            let closes = self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#');
            if closes {
                return self.advance(1 + hashes);
            }
            let line = self.line;
            self.advance(if escapes && self.peek(0) == '\\' { 2 } else { 1 });
            if self.line > line {
                self.push("\"")
            }
        }
    }

    fn word(&mut self) {
        let start = self.at;
        let is_number = self.peek(0).is_ascii_digit();
        while is_word_char(self.peek(0))
            || (is_number && self.peek(0) == '.' && self.peek(1).is_ascii_digit())
        {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == '#').count();
        match text.as_str() {
            "r" | "br" | "cr" if self.peek(hashes) == '"' => {
                self.advance(hashes);
                self.literal(hashes, false)
            }
            "b" | "c" if self.peek(0) == '"' => self.literal(0, true),
            "r" if hashes == 1 => self.advance(1), // a raw name: the word itself follows
            _ => self.push(&text),
        }
    }
}

fn is_word_char(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

pub(crate) fn is_word(text: &str) -> bool {
    text.chars().all(is_word_char)
}

/// Items below `#[cfg(test)]`, attribute included.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for start in 0..tokens.len() {
        let head = tokens[start..].iter().take(7).map(|token| token.text.as_str());
        let is_inside = items.last().is_some_and(|item| item.contains(&start));
        if !is_inside && head.eq(["#", "[", "cfg", "(", "test", ")", "]"]) {
            items.push(start..item_end(tokens, start + 7));
        }
    }
    items
}

/// Where the item that begins at `start` ends: past its `;` or its last `}`.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    let is_import = tokens[start..].first().is_some_and(|token| token.text == "use");
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token.text == ";" || (token.text == "}" && !is_import)) {
            return index + 1;
        }
    }
    tokens.len()
}

pub(crate) struct Reference {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// Every path that starts with `root::`, groups expanded, without the root.
pub(crate) fn references(tokens: &[Token], root: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    for start in 0..tokens.len().saturating_sub(2) {
        if tokens[start].text == root && tokens[start + 1].text == "::" {
            expand(tokens, &mut (start + 2), &mut Vec::new(), &mut found);
        }
    }
    found
}

fn expand(tokens: &[Token], at: &mut usize, prefix: &mut Vec<String>, found: &mut Vec<Reference>) {
    let depth = prefix.len();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        if token.text == "{" {
            while tokens.get(*at).is_some_and(|token| token.text != "}") {
                expand(tokens, at, prefix, found);
                *at += usize::from(tokens.get(*at).is_some_and(|token| token.text == ","));
            }
            *at += 1;
            break;
        }
        prefix.push(token.text.clone());
        if tokens.get(*at).is_none_or(|next| next.text != "::") {
            found.push(Reference { line: token.line, path: prefix.clone() });
            *at += if tokens.get(*at).is_some_and(|next| next.text == "as") { 2 } else { 0 };
            break;
        }
        *at += 1;
    }
    prefix.truncate(depth);
}

pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Lines of the body that hold code, as clippy's `too_many_lines` counts them.
    pub(crate) lines: usize,
}

pub(crate) fn functions(tokens: &[Token]) -> Vec<Function> {
    let starts =
        (1..tokens.len()).filter(|index| tokens[index - 1].text == "fn" && is_word(&tokens[*index].text));
    let bodies = starts.map(|start| {
        let end = item_end(tokens, start);
        let body = tokens[start..end].iter().skip_while(|token| token.text != "{").skip(1);
        let lines: BTreeSet<usize> = body.map(|token| token.line).collect();
        let lines = lines.len().saturating_sub(1);
        Function { name: tokens[start].text.clone(), line: tokens[start].line, lines }
    });
    bodies.collect()
}
