//! Printing on stdout: plain text when piped, with dimmed labels on a terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _, stdout};

use crate::environment;

/// Prints one line.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(stdout(), "{}", shown(&stdout(), &text.to_string()))
}

/// Prints a JSON text on one line. A value that is kept as it came may have line breaks between its tokens; within a string JSON has
/// none.
pub fn json_line(text: &str) -> io::Result<()> {
    raw(&format!("{}\n", text.trim_end().replace(['\n', '\r'], " ")))
}

/// Prints text, and flushes it: as it is where stdout is piped, without control characters on a terminal.
pub fn raw(text: &str) -> io::Result<()> {
    write(&shown(&stdout(), text))
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Text of others, such as a model's output or a provider's error, as a stream may show it: on a terminal, control characters are
/// replaced, because escape sequences can write the clipboard, move the cursor and change what was shown.
pub fn shown<'a>(stream: &impl io::IsTerminal, text: &'a str) -> Cow<'a, str> {
    if stream.is_terminal() { without_controls(text) } else { text.into() }
}

fn without_controls(text: &str) -> Cow<'_, str> {
    let is_control = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if text.chars().any(is_control) {
        text.replace(is_control, &char::REPLACEMENT_CHARACTER.to_string()).into()
    } else {
        text.into()
    }
}

/// Prints text; on a terminal with a line break after it.
pub fn text(text: &str) -> io::Result<()> {
    raw(text)?;
    if stdout().is_terminal() && !text.ends_with('\n') { raw("\n") } else { Ok(()) }
}

/// Names and values, one pair a line. Absent values are left out.
#[derive(Debug, Default)]
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub fn add(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.0.push((name, value.to_string()));
        self
    }

    pub fn add_if(&mut self, name: &'static str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }

    /// The lines, with dimmed names if `dim_names`.
    fn render(&self, dim_names: bool, stream: &impl io::IsTerminal) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let (dim, plain) = if dim_names { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let lines = self.0.iter().map(|(name, value)| format!("{dim}{name:width$}{plain}  {}\n", shown(stream, value)));
        lines.collect::<Vec<_>>().concat()
    }

    pub fn print(&self) -> io::Result<()> {
        write(&self.render(has_colors(&stdout()), &stdout()))
    }

    /// Prints them on stderr.
    pub fn print_to_stderr(&self) {
        eprint!("{}", self.render(has_colors(&io::stderr()), &io::stderr()));
    }
}

/// Prints rows under a head, in columns; all but the last column are padded.
pub fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> io::Result<()> {
    let rows: Vec<&[String]> = rows.iter().map(<[String; COLUMNS]>::as_slice).collect();
    columns(&head.map(str::to_owned), &rows)
}

/// The same where the number of columns is not known.
pub fn columns(head: &[String], rows: &[&[String]]) -> io::Result<()> {
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let render = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let (dim, plain) = if has_colors(&stdout()) { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    write(&format!("{dim}{}{plain}\n", render(head)))?;
    rows.iter().try_for_each(|row| line(render(row)))
}

/// A number of bytes, such as `12.5 KB`.
pub fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let bytes_f64 = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes_f64 / 1e3),
        _ => format!("{:.1} MB", bytes_f64 / 1e6),
    }
}

/// `1 chunk`, `2 chunks`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn has_colors(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && !environment::no_color()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        let clipboard = "a\u{1b}]52;c;aGk=\u{7}b\r\n\tñ\u{9b}31m";
        assert_eq!(without_controls(clipboard), "a\u{fffd}]52;c;aGk=\u{fffd}b\u{fffd}\n\tñ\u{fffd}31m");
        assert!(matches!(without_controls("plain\n\ttext 😀"), Cow::Borrowed(_)));
    }
}
