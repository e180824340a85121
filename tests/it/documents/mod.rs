//! Checks the documents against the code.

pub mod architecture;
pub mod configuration;
mod limits;
mod runbook;

use std::fs;
use std::path::{Path, PathBuf};

use longhand_tests::documents::quoted;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of a kind in a folder and below it.
fn files(folder: &Path, kind: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, kind, found);
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
}

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].iter().map(|name| root().join(name)).collect();
    files(&root().join("docs"), "md", &mut found);
    files(&root().join("infra"), "md", &mut found);
    assert!(found.len() > 40, "{found:?}");
    found
}

/// A heading as the fragment of a link to it.
fn fragment(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn headings(document: &str) -> impl Iterator<Item = &str> {
    document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

#[test]
fn links_between_documents_resolve() {
    let mut followed = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://")) {
            let (file, part) = link.split_once('#').map_or((link, None), |(file, part)| (file, Some(part)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if let Some(part) = part {
                let there = fs::read_to_string(&target).unwrap();
                assert!(headings(&there).any(|heading| fragment(heading) == part), "{}: {link}", path.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed} links");
}

#[test]
fn tests_named_in_documents_exist() {
    let mut sources = Vec::new();
    for folder in ["shared", "functions", "infra", "cli", "tests", "fuzz"] {
        files(&root().join(folder), "rs", &mut sources);
    }
    let code: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut found = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        // A path, or a name of five words: shorter ones may be fields.
        let is_name = |word: &&str| {
            let (path, name) = word.rsplit_once("::").unwrap_or(("", word));
            let is_word =
                |word: &str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
            let words_min = if path.is_empty() { 5 } else { 3 };
            path.split("::").all(is_word) && is_word(name) && name.split('_').count() >= words_min
        };
        for name in quoted(&text).filter(is_name).map(|path| path.rsplit("::").next().unwrap_or(path)) {
            assert!(code.contains(&format!("fn {name}(")), "{}: there is no test {name}", path.display());
            found += 1;
        }
    }
    assert!(found > 30, "{found} tests are named");
}
