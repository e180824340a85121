//! The commands and variables that the documents show are the command's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use longhand_tests::documents::{quoted, rows};

/// In the place of what stands for an id, and of what is left out.
const ID: &str = "gen_01arz3ndektsv4rrffq69g5fav";

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let in_docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let named = ["README.md", "ARCHITECTURE.md", "infra/README.md", "infra/sam-local/README.md"].map(|name| root.join(name));
    named.into_iter().chain(in_docs.filter(|path| path.extension().is_some_and(|kind| kind == "md"))).collect()
}

/// The lines of a document's `sh` blocks, continued ones joined.
fn shell_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut is_shell, mut goes_on) = (false, false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_shell = line.trim() == "```sh";
            continue;
        }
        if !is_shell {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => last.push_str(part),
            None => lines.push(part.to_owned()),
        }
        goes_on = more;
    }
    lines
}

/// The words of a line up to its comment, as a shell would split them, and each of the commands in it for itself.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None);
    for letter in line.chars().chain([' ']) {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            (' ', None) => match word.take() {
                Some(end) if ["|", "&&", ";", "&"].contains(&end.as_str()) => commands.push(Vec::new()),
                Some(end) => commands.last_mut().unwrap().push(end),
                None => {}
            },
            _ => word.get_or_insert_default().push(letter),
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands
}

/// The arguments of `longhand`, if it is the command.
fn arguments(words: &[String]) -> Option<Vec<String>> {
    let is_setting = |word: &&String| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.starts_with('-'));
    let words: Vec<&String> = words.iter().skip_while(is_setting).collect();
    let texts: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    let rest = match texts.as_slice() {
        ["longhand", rest @ ..] => rest,
        ["cargo", "run", options @ ..] if options.contains(&"longhand") => {
            let at = options.iter().position(|word| *word == "--")?;
            &options[at + 1..]
        }
        _ => return None,
    };
    Some(rest.iter().map(|word| if ["ID", "$ID", "…"].contains(word) { ID.to_owned() } else { (*word).to_owned() }).collect())
}

#[test]
fn every_command_line_in_the_documents_is_one_that_the_command_takes() {
    let mut checked = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for line in shell_lines(&text) {
            for arguments in commands(&line).iter().filter_map(|words| arguments(words)) {
                let wrong = longhand_cli::check(&arguments).err();
                let wrong = wrong.filter(|error| !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion));
                assert!(wrong.is_none(), "{}: {line}\n{}", path.display(), wrong.unwrap());
                checked += 1;
            }
        }
    }
    assert!(checked >= 10, "{checked} command lines");
}

#[test]
fn every_command_that_the_documents_speak_of_is_one() {
    let mut checked = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        // Between backticks, and not in a block: `longhand keys create | list`.
        for span in text.split('`').skip(1).step_by(2).filter(|span| !span.contains('\n')) {
            let Some(arguments) = commands(span).first().and_then(|words| arguments(words)) else { continue };
            let Err(error) = longhand_cli::check(&arguments) else { continue };
            // A command that is spoken of may leave out what a command line must have.
            let is_known = !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
            assert!(is_known, "{}: {span}\n{error}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked} commands");
}

#[test]
fn lines_are_split_as_a_shell_splits_them() {
    let line = "A=b longhand start --prompt \"two words\" | longhand tail ID  # and so on";
    let told: Vec<_> = commands(line).iter().filter_map(|words| arguments(words)).collect();
    assert_eq!(told, [vec!["start", "--prompt", "two words"], vec!["tail", ID]]);
    assert_eq!(shell_lines("```sh\na \\\n b\n```\n```json\nc\n```"), ["a  b"]);
}

#[test]
fn documented_variables_are_those_that_it_reads() {
    const IN_PROSE: [&str; 6] =
        ["LONGHAND_API_KEY", "LONGHAND_DATA", "LONGHAND_URL", "LONGHAND_PORT", "LONGHAND_STREAM_QUEUE", "NO_COLOR"];
    let document = include_str!("../../../docs/configuration.md");
    let (_, chapter) = document.split_once("## Variables of the command").unwrap();
    for name in IN_PROSE {
        assert!(chapter.contains(&format!("`{name}`")), "{name}");
    }
    let table = rows(document, "Variables of the command");
    let documented: BTreeSet<String> = table.iter().flat_map(|row| quoted(row[0])).chain(IN_PROSE).map(str::to_owned).collect();
    assert_eq!(documented, longhand_cli::variables());
}
