//! Errors of fields in sentences.

use super::{FieldError, Issue};

pub fn describe(errors: &[FieldError]) -> String {
    format!("the request is not valid: {}", describe_all(errors))
}

pub fn describe_issues(issues: &[Issue]) -> String {
    let told: Vec<String> = issues.iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect();
    told.join("; ")
}

pub fn describe_all(errors: &[FieldError]) -> String {
    let sentence = |error: &FieldError| match error.pointer.as_str() {
        "" => format!("the body {}", error.detail),
        pointer => format!("{pointer} {}", error.detail),
    };
    let sentences: Vec<String> = errors.iter().map(sentence).collect();
    sentences.join("; ")
}
