//! As much of ClickHouse's grammar as a proxy needs: where an insert's rows begin, which format an
//! answer has, how a value is quoted. Everything else is the engine's own parser's.
#![forbid(unsafe_code)]

/// Where the rows of an `INSERT` are.
#[derive(Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// Not an insert with rows: the engine runs the text as it is.
    Plain,
    /// An insert: the statement up to its format, the format, and where the rows begin.
    Rows {
        /// `INSERT INTO t (columns) SETTINGS …`, without `FORMAT`.
        head: &'a [u8],
        /// The format's name; `Values` where the statement names none.
        format: &'a str,
        /// Offset of the first byte of the rows.
        data: usize,
    },
    /// The text ends before that can be said.
    NeedsMore,
}

/// Looks for an insert's rows. `complete` says that no more text follows.
pub fn shape(text: &[u8], complete: bool) -> Shape<'_> {
    let undecided = if complete { Shape::Plain } else { Shape::NeedsMore };
    let mut lexer = Lexer::new(text);
    let Some(first) = lexer.next() else { return undecided };
    if first.end == text.len() && !complete {
        return Shape::NeedsMore;
    }
    if !first.is(text, "INSERT") {
        return Shape::Plain;
    }
    while let Some(token) = lexer.next() {
        if token.end == text.len() && !complete {
            return Shape::NeedsMore;
        }
        if token.is(text, "SELECT") || (token.depth == 0 && token.is(text, "WITH")) {
            return Shape::Plain;
        }
        if token.depth == 0 && token.is(text, "VALUES") {
            return Shape::Rows { head: &text[..token.start], format: "Values", data: token.end };
        }
        if token.depth == 0 && token.is(text, "FORMAT") {
            let Some(name) = lexer.next() else { return undecided };
            let data = rows_start(text, name.end);
            let Ok(format) = std::str::from_utf8(&text[name.start..name.end]) else {
                return Shape::Plain;
            };
            if data == text.len() && !complete {
                return Shape::NeedsMore;
            }
            return Shape::Rows { head: &text[..token.start], format, data };
        }
    }
    if complete {
        let head = text.trim_ascii_end();
        let head = head.strip_suffix(b";").unwrap_or(head);
        return Shape::Rows { head, format: "Values", data: text.len() };
    }
    Shape::NeedsMore
}

/// Rows begin after the blanks that follow the format's name and at most one line end, as in
/// ClickHouse's ParserInsertQuery.
fn rows_start(text: &[u8], after_name: usize) -> usize {
    let mut at = after_name;
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\x0c')) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// The format that a statement's own `FORMAT` clause names for its answer.
pub fn output_format(text: &[u8]) -> Option<&str> {
    let mut lexer = Lexer::new(text);
    let mut format = None;
    while let Some(token) = lexer.next() {
        if token.depth == 0 && token.is(text, "FORMAT") {
            format = lexer.next().filter(|name| name.word).map(|name| &text[name.start..name.end]);
        }
    }
    format.and_then(|name| std::str::from_utf8(name).ok())
}

/// `SET a = '…', b = '…'`. The names are checked, the values quoted.
pub fn set_statement(settings: &[(String, String)]) -> Result<Option<String>, String> {
    if settings.is_empty() {
        return Ok(None);
    }
    let mut statement = String::from("SET ");
    for (index, (name, value)) in settings.iter().enumerate() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(name.clone());
        }
        statement.push_str(if index == 0 { "" } else { ", " });
        statement.push_str(name);
        statement.push_str(" = ");
        quote_into(&mut statement, value);
    }
    Ok(Some(statement))
}

/// A string literal.
fn quote_into(out: &mut String, value: &str) {
    out.push('\'');
    for character in value.chars() {
        if matches!(character, '\'' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('\'');
}

/// `USE` with a quoted name.
pub fn use_statement(database: &str) -> String {
    format!("USE `{}`", database.replace('\\', "\\\\").replace('`', "\\`"))
}

struct Token {
    start: usize,
    end: usize,
    depth: usize,
    word: bool,
}

impl Token {
    fn is(&self, text: &[u8], keyword: &str) -> bool {
        self.word && text[self.start..self.end].eq_ignore_ascii_case(keyword.as_bytes())
    }
}

/// Words, literals and signs with how many brackets are open; blanks and comments are passed over.
struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.at;
        let first = *self.text.get(start)?;
        let word = first.is_ascii_alphanumeric() || first == b'_';
        let depth = self.depth;
        match first {
            b'\'' | b'"' | b'`' => self.skip_quoted(first),
            _ if word => {
                self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            }
            b'(' | b'[' | b'{' => {
                self.depth += 1;
                self.at += 1;
            }
            b')' | b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                self.at += 1;
            }
            _ => self.at += 1,
        }
        Some(Token { start, end: self.at, depth, word })
    }

    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        while self.text.get(self.at).copied().is_some_and(&keep) {
            self.at += 1;
        }
    }

    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at = (self.at + 1).min(self.text.len()),
                // A doubled quote is one inside; it also reads as an end and a new beginning.
                _ if byte == quote => return,
                _ => {}
            }
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(|byte| byte.is_ascii_whitespace());
            let rest = &self.text[self.at..];
            if rest.starts_with(b"--") {
                self.skip_while(|byte| byte != b'\n');
            } else if rest.starts_with(b"/*") {
                let end = rest.windows(2).skip(2).position(|pair| pair == b"*/");
                self.at = end.map_or(self.text.len(), |position| self.at + position + 4);
            } else {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str) -> (&str, &str, &str) {
        match shape(text.as_bytes(), true) {
            Shape::Rows { head, format, data } => {
                (std::str::from_utf8(head).unwrap().trim(), format, &text[data..])
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn rows_begin_after_the_format() {
        assert_eq!(
            rows("INSERT INTO t(`a`) FORMAT RowBinary"),
            ("INSERT INTO t(`a`)", "RowBinary", "")
        );
        assert_eq!(rows("insert into t format CSV\n1,2\n"), ("insert into t", "CSV", "1,2\n"));
        assert_eq!(
            rows("INSERT INTO t SETTINGS a = 'FORMAT x' /* FORMAT y */ FORMAT TSV 1\n"),
            ("INSERT INTO t SETTINGS a = 'FORMAT x' /* FORMAT y */", "TSV", "1\n")
        );
        assert_eq!(rows("INSERT INTO t VALUES (1);"), ("INSERT INTO t", "Values", " (1);"));
        assert_eq!(rows("-- first\nINSERT INTO t"), ("-- first\nINSERT INTO t", "Values", ""));
    }

    #[test]
    fn what_has_no_rows_is_left_to_the_engine() {
        for text in [
            "SELECT 1",
            "INSERT INTO t SELECT 1 FORMAT Null",
            "INSERT INTO t (a) WITH 1 AS x SELECT x",
            "INSERT INTO t (SELECT 1)",
            "EXPLAIN INSERT INTO t VALUES (1)",
            "",
        ] {
            assert_eq!(shape(text.as_bytes(), true), Shape::Plain, "{text}");
        }
    }

    #[test]
    fn a_comment_that_never_ends_ends_with_the_text() {
        assert_eq!(shape(b"/* INSERT", true), Shape::Plain);
        assert_eq!(shape(b"/*/ INSERT INTO t FORMAT CSV", true), Shape::Plain);
    }

    #[test]
    fn the_answers_format_is_the_last_clause() {
        assert_eq!(output_format(b"SELECT 'FORMAT x' FORMAT JSON SETTINGS a = 1"), Some("JSON"));
        assert_eq!(output_format(b"SELECT 1"), None);
        assert_eq!(output_format(b"SELECT (SELECT 1 FORMAT CSV)"), None);
    }

    #[test]
    fn values_are_quoted_and_names_are_checked() {
        let set = |name: &str, value: &str| set_statement(&[(name.into(), value.into())]);
        assert_eq!(set("a", r"it's \").unwrap().unwrap(), r"SET a = 'it\'s \\'");
        assert_eq!(set("a = 1, b", "2").unwrap_err(), "a = 1, b");
        assert_eq!(use_statement("a`b"), r"USE `a\`b`");
    }

    proptest! {
        /// However a body arrives, its rows begin at the same place.
        #[test]
        fn a_decision_on_a_part_is_the_decision_on_the_whole(
            rows in proptest::collection::vec(any::<u8>(), 0..40),
            cut in 0usize..100,
            blank in prop_oneof![Just(" "), Just("\n"), Just(" /* x */ ")],
        ) {
            let mut text = format!("INSERT{blank}INTO t (a) FORMAT RowBinary\n").into_bytes();
            let head = text.len();
            text.extend_from_slice(&rows);
            let part = &text[..cut.min(text.len())];
            match shape(part, false) {
                Shape::NeedsMore => prop_assert!(part.len() <= head),
                Shape::Rows { data, .. } => prop_assert_eq!(data, head),
                Shape::Plain => prop_assert!(false, "taken for another statement"),
            }
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..80), complete: bool) {
            shape(&text, complete);
            output_format(&text);
        }
    }
}
