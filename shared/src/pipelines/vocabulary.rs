//! The words that a template may have. `minijinja` compiles filters, tests and functions that it does not know, and fails only once the
//! branch that has them is rendered; so they are looked for in the text, when a document is published.

/// A text with blocks, or one expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Template,
    Expression,
}

/// What may begin a block.
const STATEMENTS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "set"];
/// Words before which a parenthesis is one of grouping.
const OPERATORS: [&str; 12] = ["in", "and", "or", "not", "if", "elif", "else", "is", "set", "for", "defined", "recursive"];
/// Names that a template may not give to anything else.
const RESERVED: [&str; 6] = ["input", "steps", "step", "before", "result", "loop"];

/// What is not in the language, each as a sentence. The text compiles.
pub(super) fn strangers(source: &str, kind: Kind) -> Vec<String> {
    let mut scanner = Scanner { rest: source, line: 1, found: Vec::new() };
    match kind {
        Kind::Expression => scanner.code(None),
        Kind::Template => scanner.text(),
    }
    scanner.found
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// A text or a number.
    Value,
    Sign(char),
}

impl Token<'_> {
    /// Whether a bracket behind it belongs to it.
    fn ends_a_value(self, before: Option<Self>) -> bool {
        match self {
            Self::Word(word) => before == Some(Token::Sign('.')) || !OPERATORS.contains(&word),
            Self::Value => true,
            Self::Sign(sign) => matches!(sign, ')' | ']' | '}'),
        }
    }
}

impl<'a> Scanner<'a> {
    fn tell(&mut self, what: &str) {
        let line = self.line;
        self.found.push(format!("{what}, in line {line}"));
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }

    fn text(&mut self) {
        while let Some(start) = self.rest.find('{') {
            self.skip(start);
            if self.rest.starts_with("{#") {
                let end = self.rest.find("#}").map_or(self.rest.len(), |end| end + 2);
                self.skip(end);
            } else if self.rest.starts_with("{{") {
                self.skip(2);
                self.code(Some("}}"));
            } else if self.rest.starts_with("{%") {
                self.skip(2);
                self.block();
            } else {
                self.skip(1);
            }
        }
    }

    fn block(&mut self) {
        let inner = self.rest.trim_start_matches(['-', '+']).trim_start();
        let word = &inner[..inner.find(|c: char| !is_of_word(c)).unwrap_or(inner.len())];
        if word == "raw" {
            // Up to its end, text is text.
            let end = self.rest.find("endraw").map_or(self.rest.len(), |end| end + "endraw".len());
            self.skip(end);
            let close = self.rest.find("%}").map_or(self.rest.len(), |close| close + 2);
            self.skip(close);
            return;
        }
        if !STATEMENTS.contains(&word) && word != "endset" {
            self.tell(&format!("there is no `{word}`; there are `if`, `for`, `set` and `raw`"));
        }
        let start = self.rest.len() - inner.len();
        self.skip(start);
        if ["set", "for"].contains(&word) {
            let targets = inner[word.len()..].split(['=', '%']).next().unwrap_or_default();
            let targets = targets.split(" in ").next().unwrap_or_default();
            for name in targets.split(|c: char| !is_of_word(c)).filter(|name| RESERVED.contains(name)) {
                self.tell(&format!("`{name}` cannot be given another value"));
            }
        }
        self.code(Some("%}"));
    }

    /// Reads code up to `end`.
    fn code(&mut self, end: Option<&str>) {
        let mut brackets: Vec<(char, bool)> = Vec::new();
        let (mut last, mut before_last) = (None::<Token<'a>>, None::<Token<'a>>);
        loop {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.skip(space);
            let Some(first) = self.rest.chars().next() else { return };
            if let Some(end) = end
                && brackets.is_empty()
                && (self.rest.starts_with(end) || self.rest[first.len_utf8()..].starts_with(end) && ['-', '+'].contains(&first))
            {
                let length = self.rest.find(end).unwrap_or_default() + end.len();
                return self.skip(length);
            }
            let token = if first == '"' || first == '\'' {
                let length = string_length(self.rest);
                self.skip(length);
                Token::Value
            } else if first.is_ascii_digit() {
                let length = self.rest.find(|c: char| !is_of_word(c)).unwrap_or(self.rest.len());
                self.skip(length);
                Token::Value
            } else if is_of_word(first) {
                let word = &self.rest[..self.rest.find(|c: char| !is_of_word(c)).unwrap_or(self.rest.len())];
                self.skip(word.len());
                self.word(word, last, before_last);
                Token::Word(word)
            } else {
                self.skip(first.len_utf8());
                self.sign(first, last, before_last, &mut brackets);
                Token::Sign(first)
            };
            before_last = last.replace(token);
        }
    }

    fn word(&mut self, word: &str, last: Option<Token<'a>>, before_last: Option<Token<'a>>) {
        let is_test =
            last == Some(Token::Word("is")) || last == Some(Token::Word("not")) && before_last == Some(Token::Word("is"));
        match last {
            Some(Token::Sign('|')) if word != "json" => self.tell(&format!("there is no filter `{word}`; there is `json`")),
            Some(Token::Sign('.' | '|')) => {}
            _ if is_test && word != "defined" && word != "not" => {
                self.tell(&format!("there is no test `{word}`; there is `defined`"));
            }
            _ if word == "before" && !self.rest.trim_start().starts_with('(') => self.tell("`before` must be called: `before()`"),
            _ => {}
        }
    }

    fn sign(&mut self, sign: char, last: Option<Token<'a>>, before_last: Option<Token<'a>>, brackets: &mut Vec<(char, bool)>) {
        let belongs = last.is_some_and(|last| last.ends_a_value(before_last));
        match sign {
            '(' => {
                let is_before = last == Some(Token::Word("before")) && before_last != Some(Token::Sign('.'));
                if is_before && !self.rest.trim_start().starts_with(')') {
                    self.tell("`before()` takes nothing");
                } else if belongs && !is_before {
                    let what = match last {
                        Some(Token::Word(word)) => format!("`{word}`"),
                        _ => "this".to_owned(),
                    };
                    self.tell(&format!("{what} cannot be called; only `before()` can"));
                }
                brackets.push((sign, belongs));
            }
            '[' | '{' => brackets.push((sign, belongs)),
            ')' | ']' | '}' => {
                brackets.pop();
            }
            ':' if brackets.last() == Some(&('[', true)) => {
                self.tell("a part of a list or of a text cannot be cut out by `[a:b]`");
            }
            _ => {}
        }
    }
}

fn is_of_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The length of the quoted text at the beginning.
fn string_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return 0 };
    let mut is_escaped = false;
    for (at, c) in chars {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_is_known() {
        for known in [
            "{{ input.a | json }}",
            "{{ before() | json }} {{ before( ) }}",
            "{% if input.a is defined and (input.b or not input.c) %}a{% elif steps.E1.output['x:y'] %}b{% else %}c{% endif %}",
            "{%- for x in [1, 2] -%}{{ loop.index }}{{ x }}{{ {'a': 1}['a'] }}{%- endfor -%}",
            "{% set x = input.a %}{{ x }}{% set y %}z{% endset %}",
            "{{ input.before }} {{ input.is.not }} {{ input.filter[0] }} {{ input['a | upper'] }} {{ \"a(b)\" }} {{ 1 if input.a else 2 }}",
            "{# {{ x | upper }} #} { not code } {% raw %}{{ x | upper }}{% endraw %} {{ 'it\\'s | upper' }}",
            "{{ input.a if input.a is not defined else (1 + 2) * 3 }} {{ {'a': {'b': 1}} | json }}",
        ] {
            assert_eq!(strangers(known, Kind::Template), Vec::<String>::new(), "{known}");
        }
    }

    #[test]
    fn strangers_are_found() {
        for (source, what) in [
            ("{{ input.a | upper }}", "no filter `upper`"),
            ("{{ input.a | json | tojson }}", "no filter `tojson`"),
            ("{% if input.a is string %}{% endif %}", "no test `string`"),
            ("{% if input.a is not mapping %}{% endif %}", "no test `mapping`"),
            ("{{ range(3) }}", "`range` cannot be called"),
            ("{{ input.a.keys() }}", "`keys` cannot be called"),
            ("{{ input['a']() }}", "this cannot be called"),
            ("{{ loop.cycle(1) }}", "`cycle` cannot be called"),
            ("{{ input.a.before() }}", "`before` cannot be called"),
            ("{{ before(1) }}", "takes nothing"),
            ("{{ before | json }}", "must be called"),
            ("{{ input.a[1:2] }}", "cut out"),
            ("{{ input.a[:2] }}", "cut out"),
            ("{% include 'x' %}", "no `include`"),
            ("{% macro x() %}{% endmacro %}", "no `macro`"),
            ("{% with a = 1 %}{% endwith %}", "no `with`"),
            ("{% set input = 1 %}", "`input` cannot be given"),
            ("{% for steps in input.a %}{% endfor %}", "`steps` cannot be given"),
            ("{% for a, step in input.a %}{% endfor %}", "`step` cannot be given"),
            ("a\n\n{{ x | upper }}", "in line 3"),
        ] {
            let found = strangers(source, Kind::Template);
            assert!(found.iter().any(|found| found.contains(what)), "{source}: {found:?}");
        }
        assert_eq!(strangers("input.a | upper", Kind::Expression), ["there is no filter `upper`; there is `json`, in line 1"]);
        assert!(strangers("result.a and not steps.E1.output.b", Kind::Expression).is_empty());
    }
}
