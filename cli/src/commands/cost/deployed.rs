//! The parts of a template that a bill depends on.

use std::collections::BTreeMap;

use anyhow::Context as _;
use longhand::telemetry::{MEASURED, SWEEP};
use longhand_local::Template;

/// Resources that cost something each month, and the memory of the functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// KMS keys.
    pub kms_keys: usize,
    /// Secrets.
    pub secrets: usize,
    /// CloudWatch dashboards.
    pub dashboards: usize,
    /// Metrics of a stack without generations: those of the sweep's log line.
    pub idle_metrics: usize,
    /// Metrics that alarms evaluate. An alarm is charged for each of its metrics.
    pub alarm_metrics: usize,
    /// By handler: the memory in megabytes, if the template sets one.
    memory_mb: BTreeMap<String, Option<u32>>,
}

impl Deployed {
    /// Reads a SAM template.
    ///
    /// # Errors
    /// Those of [`Template::read`].
    pub fn read(yaml: &str) -> anyhow::Result<Self> {
        let template = Template::read(yaml)?;
        let of_type = |kind: &'static str| template.resources.values().filter(move |resource| resource["Type"] == kind);
        let metrics = of_type("AWS::CloudWatch::Alarm").map(|alarm| {
            let alarm = &alarm["Properties"];
            let of_expressions = alarm["Metrics"].as_array().into_iter().flatten();
            of_expressions.filter(|metric| metric.get("MetricStat").is_some()).count()
                + usize::from(alarm.get("MetricName").is_some())
        });
        let of_sweep = MEASURED.iter().filter(|measured| measured.line == SWEEP);
        Ok(Self {
            kms_keys: of_type("AWS::KMS::Key").count(),
            secrets: of_type("AWS::SecretsManager::Secret").count(),
            dashboards: of_type("AWS::CloudWatch::Dashboard").count(),
            idle_metrics: of_sweep.map(|measured| measured.metrics.len()).sum(),
            alarm_metrics: metrics.sum(),
            memory_mb: template.functions.into_iter().map(|function| (function.handler, function.memory_mb)).collect(),
        })
    }

    /// The memory of a function, in megabytes.
    ///
    /// # Errors
    /// The template has no such function, or sets no memory for it.
    pub fn memory_mb(&self, handler: &str) -> anyhow::Result<u32> {
        let memory = self.memory_mb.get(handler).with_context(|| format!("the template has no function {handler}"))?;
        memory.with_context(|| format!("the template sets no MemorySize for the function {handler}"))
    }
}
