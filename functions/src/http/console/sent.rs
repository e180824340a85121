//! The console's files as they are sent: without what a browser does not need.

/// A space beside any of these separates nothing. Those of which two make another sign, such as `+`, are not among them.
const SIGNS: &[char] = &['{', '}', '(', ')', '[', ']', ',', ';', ':', '?', '=', '<', '>', '&', '|', '!', '*'];
/// Behind any of these a slash begins a pattern; behind anything else it divides.
const BEFORE_PATTERN: &[char] = &['(', ',', '=', ':', '[', '!', '&', '|', '?', '{', '}', ';', '>'];

/// A program without its comments, types among them, and without spaces and lines that separate nothing. Comments that span lines begin with
/// `/**`, and no text does, as a test holds.
pub fn program(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once("/**") {
        code.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let mut sent = String::with_capacity(code.len());
    for line in code.lines().map(str::trim) {
        let line = squeezed(line);
        if line.is_empty() {
            continue;
        }
        if line.starts_with(['}', ')', ']']) {
            let ends = if line.starts_with('}') { &[',', ';', '\n'][..] } else { &[',', '\n'] };
            sent.truncate(sent.trim_end_matches(ends).len());
        }
        sent.push_str(&line);
        if !line.ends_with([',', ';', '(', '[', '{']) {
            sent.push('\n');
        }
    }
    sent
}

/// A line of a program without spaces beside signs, and without a comment at its end.
fn squeezed(line: &str) -> String {
    let mut sent = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let (taken, after) = match first {
            '/' if rest.starts_with("//") => break,
            '"' | '\'' | '`' => rest.split_at(text_length(rest)),
            '/' if sent.is_empty() || sent.trim_end().ends_with(BEFORE_PATTERN) => rest.split_at(pattern_length(rest)),
            _ => rest.split_at(first.len_utf8()),
        };
        if taken != " " || !(sent.ends_with(SIGNS) || after.starts_with(SIGNS)) {
            sent.push_str(taken);
        }
        rest = after;
    }
    sent.truncate(sent.trim_end().len());
    sent
}

/// The length of the text at the beginning, with its quotes and with the code within a template.
fn text_length(code: &str) -> usize {
    let Some(quote) = code.chars().next() else { return 0 };
    let mut at = quote.len_utf8();
    while let Some(next) = code[at..].chars().next() {
        if next == quote {
            return at + 1;
        }
        at += match next {
            '\\' => 1 + code[at + 1..].chars().next().map_or(0, char::len_utf8),
            '$' if quote == '`' && code[at + 1..].starts_with('{') => 2 + block_length(&code[at + 2..]),
            _ => next.len_utf8(),
        };
    }
    code.len()
}

/// The length of the code up to the brace that closes it, which is part of it.
fn block_length(code: &str) -> usize {
    let (mut at, mut depth) = (0, 1);
    while let Some(next) = code[at..].chars().next() {
        at += if matches!(next, '"' | '\'' | '`') { text_length(&code[at..]) } else { next.len_utf8() };
        match next {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// The length of the pattern at the beginning, without its flags.
fn pattern_length(code: &str) -> usize {
    let (mut at, mut is_class) = (1, false);
    while let Some(next) = code[at..].chars().next() {
        match next {
            '/' if !is_class => return at + 1,
            '\\' => at += code[at + 1..].chars().next().map_or(0, char::len_utf8),
            '[' => is_class = true,
            ']' => is_class = false,
            _ => {}
        }
        at += next.len_utf8();
    }
    code.len()
}

/// A style sheet, whose texts have none of these signs, without spaces and lines that separate nothing.
pub fn style(text: &str) -> String {
    let lines = text.lines().map(str::trim).collect::<String>();
    let pairs = [(" {", "{"), ("{ ", "{"), (" }", "}"), ("} ", "}"), ("; ", ";"), (": ", ":"), (", ", ","), (";}", "}")];
    pairs.into_iter().fold(lines, |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_spaces_are_not_sent() {
        let text = "// one\nlet a = /** @type {any} */ (b); // two\n\n  /**\n   * three\n   */\n  f(\"/* four */\");\n";
        assert_eq!(program(text), "let a=(b);f(\"/* four */\");");
        for (given, expected) in [
            ("if (a && !b) {\n  return { x: 1 };\n}\n", "if(a&&!b){return{x:1}}\n"),
            ("f(\n  a,\n  [b, c],\n);\n", "f(a,[b,c]);"),
            ("a = b / c / d; // e\n", "a=b / c / d;"),
            ("a = x - -y + +z;\n", "a=x - -y + +z;"),
            (
                "f(\"a , b\", 'c : d', `e = ${g ? \"}\" : `{ ${h} `} ( )`);\n",
                "f(\"a , b\",'c : d',`e = ${g ? \"}\" : `{ ${h} `} ( )`);",
            ),
            ("t.replace(/[/ ,] \" = \\/ /g, \"\\\" ( \");\n", "t.replace(/[/ ,] \" = \\/ /g,\"\\\" ( \");"),
            ("const first = 1\nconst second = 2\n", "const first=1\nconst second=2\n"),
            ("#a = new Map();\n", "#a=new Map();"),
        ] {
            assert_eq!(program(given), expected);
        }
    }

    #[test]
    fn style_means_the_same() {
        let text = "a, b { color: red; margin: 0 auto; }\n@media (max-width: 2rem) {\n  c > d { width: calc(1px + 2rem); }\n}\n";
        assert_eq!(style(text), "a,b{color:red;margin:0 auto}@media (max-width:2rem){c > d{width:calc(1px + 2rem)}}");
    }
}
