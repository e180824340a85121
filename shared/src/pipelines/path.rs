//! Paths: names and numbers with dots between them, such as `steps.E1.output.sessions.0`.

use serde_json::Value;

use super::context::Context;

/// The segments of a path, or `None` if it is none: letters, digits, `_` and `-`, at least one in each segment.
#[must_use]
pub fn segments(path: &str) -> Option<Vec<&str>> {
    let fits = |segment: &str| !segment.is_empty() && segment.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let segments: Vec<&str> = path.split('.').collect();
    segments.iter().all(|segment| fits(segment)).then_some(segments)
}

/// What is at these segments below a value.
#[must_use]
pub fn walk<'a>(value: &'a Value, segments: &[&str]) -> Option<&'a Value> {
    segments.iter().try_fold(value, |value, segment| match value {
        Value::Object(fields) => fields.get(*segment),
        Value::Array(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
        _ => None,
    })
}

/// What is at `path`, which begins with `input` or `steps`, where `input` is the input of the scope that the path belongs to. `None`: nothing
/// is there. A step that has not ended, was skipped or failed has the output null.
#[must_use]
pub fn resolve(path: &str, input: &Value, context: &Context) -> Option<Value> {
    let segments = segments(path)?;
    match segments.as_slice() {
        ["input", rest @ ..] => walk(input, rest).cloned(),
        ["steps", id, "output", rest @ ..] => context.steps.get(*id).and_then(|done| walk(&done.output, rest)).cloned(),
        ["steps", id, "status"] => context.steps.get(*id).map(|done| done.status.name().into()),
        _ => None,
    }
}

/// A JSON Pointer as a path that people read: `/items/0/name` is `items[0].name`.
#[must_use]
pub fn readable(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            path.extend(["[", &name, "]"]);
        } else {
            path.extend([if path.is_empty() { "" } else { "." }, &name]);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::context::{Done, DoneStatus};
    use super::*;

    #[test]
    fn paths_are_resolved() {
        let done = Done { status: DoneStatus::Completed, output: json!({ "sessions": [{ "día": 1 }] }) };
        let context = Context { input: json!({ "a-b": { "c": null } }), steps: BTreeMap::from([("E1".to_owned(), done)]) };
        for (path, expected) in [
            ("input.a-b.c", Some(json!(null))),
            ("input.a-b.d", None),
            ("input", Some(json!({ "a-b": { "c": null } }))),
            ("steps.E1.output.sessions.0.día", Some(json!(1))),
            ("steps.E1.output.sessions.1", None),
            ("steps.E1.status", Some(json!("completed"))),
            ("steps.E2.output", None),
            ("steps.E1", None),
            ("other", None),
            ("input..c", None),
            ("input.a b", None),
        ] {
            assert_eq!(resolve(path, &context.input, &context), expected, "{path}");
        }
    }

    #[test]
    fn pointers_are_readable() {
        let pairs = [("", ""), ("/a", "a"), ("/items/12/role", "items[12].role"), ("/a~1b/c~0d", "a/b.c~d"), ("/0", "[0]")];
        for (pointer, path) in pairs {
            assert_eq!(readable(pointer), path);
        }
    }
}
