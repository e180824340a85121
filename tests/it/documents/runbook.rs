//! `docs/runbook.md` has a chapter for each alarm, and each alarm leads to it.

use std::collections::BTreeSet;

use longhand_local::TEMPLATE;
use serde_norway::Value;

use super::{fragment, headings};

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

fn alarms(tree: &Value) -> Vec<(&str, &Value)> {
    let resources = tree["Resources"].as_mapping().unwrap();
    let alarms = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    alarms.map(|(id, alarm)| (id.as_str().unwrap(), &alarm["Properties"])).collect()
}

#[test]
fn alarms_match_headings() {
    let tree: Value = serde_norway::from_str(TEMPLATE).unwrap();
    let there: BTreeSet<&str> = alarms(&tree).into_iter().map(|(id, _)| id).collect();
    let told: BTreeSet<&str> = headings(RUNBOOK).filter(|heading| heading.ends_with("Alarm")).collect();
    assert!(there.len() >= 10);
    assert_eq!(told, there);
}

#[test]
fn alarms_link_to_the_runbook() {
    let tree: Value = serde_norway::from_str(TEMPLATE).unwrap();
    for (id, properties) in alarms(&tree) {
        let description = properties["AlarmDescription"].as_str().unwrap();
        assert!(description.ends_with(&format!("See docs/runbook.md#{}", fragment(id))), "{id}: {description}");
    }
}
