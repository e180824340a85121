//! What the template deploys, as far as it is paid for.

use longhand::telemetry::{MEASURED, SWEEP};
use longhand_local::TEMPLATE;

/// Counts of resources that cost something each month, by the lines of the template, whose form is our own.
pub struct Deployed {
    pub keys: usize,
    pub secrets: usize,
    pub dashboards: usize,
    /// Metrics that are there without use: those of the sweep's line.
    pub metrics: usize,
    /// Metrics that alarms look at: each costs as much as an alarm.
    pub alarm_metrics: usize,
}

impl Deployed {
    pub fn read() -> Self {
        let resources = |kind: &str| TEMPLATE.lines().filter(|line| line.trim() == format!("Type: {kind}")).count();
        Self {
            keys: resources("AWS::KMS::Key"),
            secrets: resources("AWS::SecretsManager::Secret"),
            dashboards: resources("AWS::CloudWatch::Dashboard"),
            metrics: MEASURED.iter().filter(|measured| measured.line == SWEEP).map(|measured| measured.metrics.len()).sum(),
            alarm_metrics: TEMPLATE.matches("MetricStat:").count() + TEMPLATE.matches("\n      MetricName:").count(),
        }
    }
}

/// The memory of a function, in megabytes: its own, or that of all.
pub fn memory_mb(handler: &str) -> Option<u32> {
    let memory = |text: &str| text.split_once("MemorySize: ")?.1.lines().next()?.trim().parse().ok();
    let (globals, resources) = TEMPLATE.split_once("\nResources:")?;
    let is_it = |section: &&str| section.lines().any(|line| line.trim() == format!("Handler: {handler}"));
    memory(resources.split("\n\n").find(is_it)?).or_else(|| memory(globals))
}
