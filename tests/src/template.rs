//! The product's template, edited for a test.

use longhand_local::TEMPLATE;
use serde_norway::{Mapping, Value};

/// `Timeout` of the functions that write, in seconds: Lambda's maximum.
const WRITER_SECONDS: u64 = 900;

/// The product's template without the events of these names, for a test that invokes a function itself.
#[must_use]
pub fn template_without(events: &[&str]) -> String {
    let mut removed = 0;
    let template = edit(TEMPLATE, |properties| {
        if let Some(kept) = properties.get_mut("Events").and_then(Value::as_mapping_mut) {
            removed += events.iter().filter(|name| kept.remove(**name).is_some()).count();
        }
    });
    assert_eq!(removed, events.len(), "events of template.yaml: {events:?}");
    template
}

/// `template` with this `Timeout` for the functions that write.
#[must_use]
pub fn with_writer_timeout(template: &str, seconds: u64) -> String {
    let mut changed = 0;
    let template = edit(template, |properties| {
        if let Some(timeout) = properties.get_mut("Timeout").filter(|timeout| timeout.as_u64() == Some(WRITER_SECONDS)) {
            *timeout = seconds.into();
            changed += 1;
        }
    });
    assert!(changed > 0, "no function has {WRITER_SECONDS} s");
    template
}

/// Applies `change` to the properties of each function.
fn edit(template: &str, mut change: impl FnMut(&mut Mapping)) -> String {
    let mut tree: Value = serde_norway::from_str(template).expect("template.yaml is YAML");
    let resources = tree["Resources"].as_mapping_mut().expect("resources");
    for (_, resource) in resources.iter_mut().filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function") {
        change(resource["Properties"].as_mapping_mut().expect("properties"));
    }
    serde_norway::to_string(&tree).expect("YAML")
}
