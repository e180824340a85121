//! The rules of the architecture that a compiler does not check.

mod modules;

use std::fs;
use std::path::{Path, PathBuf};

use modules::{Crate, circles};

const FILE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of the workspace, by its path from the root, with its text.
pub fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["shared", "functions", "infra/local", "cli", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 80, "{} files", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn aws_sdk_is_in_one_module() {
    for (name, text) in sources() {
        let product = name.starts_with("shared/") || name.starts_with("functions/");
        assert!(!product || name.starts_with("shared/src/aws/") || !text.contains("aws_sdk_"), "{name} uses the AWS SDK");
    }
}

#[test]
fn environment_is_read_in_one_file() {
    for (name, text) in sources() {
        let allowed = ["shared/src/config.rs", "cli/src/environment.rs"].contains(&name.as_str()) || name.contains("tests/");
        assert!(allowed || !text.contains("std::env") && !text.contains("env::var"), "{name} reads the environment");
    }
}

#[test]
fn files_are_short_and_documented() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{name} has {lines} lines");
        assert!(text.starts_with("//! "), "{name} does not say what it is");
    }
}

/// No module imports itself through others, within each package; a parent module and the modules below it count as one.
#[test]
fn imports_have_no_circles() {
    let mut found = Vec::new();
    for package in ["shared", "functions", "infra/local", "cli/client", "cli"] {
        let package = Crate::read(&root().join(package).join("src/lib.rs"));
        assert!(!package.imports().is_empty() || package.module_count() == 1, "{} has no imports", package.name());
        found.extend(circles(&package));
    }
    assert!(found.is_empty(), "{} circles of imports:\n\n{}", found.len(), found.join("\n\n"));
}
