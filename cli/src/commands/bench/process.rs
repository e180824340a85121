//! What the kernel tells of a process: Linux's `/proc`. On other systems every figure is 0.

use std::fs;

/// A process of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Process(u32);

impl Process {
    pub fn own() -> Self {
        Self(std::process::id())
    }

    pub const fn of(id: u32) -> Self {
        Self(id)
    }

    /// CPU seconds that it has used (fields 14 and 15 of `stat`, in ticks of 10 ms).
    pub fn cpu_seconds(self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u32 = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
        f64::from(ticks) / 100.0
    }

    /// Its resident memory.
    pub fn resident_mb(self) -> u64 {
        self.memory_mb("VmRSS:")
    }

    /// The most resident memory that it has had.
    pub fn peak_mb(self) -> u64 {
        self.memory_mb("VmHWM:")
    }

    fn memory_mb(self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or_default() / 1_000
    }
}
