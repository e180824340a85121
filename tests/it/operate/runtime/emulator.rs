//! The release binary, as one function, under Lambda's runtime interface emulator.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use longhand_tests::logs;
use serde_json::Value;

use super::background::{Background, free_ports};

/// The emulator, and under it the function from its first invocation on. Dropping it ends both: a function whose emulator
/// is gone ends by itself.
pub struct Emulator {
    server: Background,
    port: u16,
}

impl Emulator {
    /// Starts the emulator `rie` for the binary `bootstrap` as a function, which will find `environment` and what Lambda
    /// tells it. Lambda's time limit is `timeout_seconds`.
    pub fn start(
        rie: &Path,
        (function, bootstrap): (&str, &Path),
        mut environment: BTreeMap<String, String>,
        timeout_seconds: u32,
    ) -> Self {
        let [port, runtime_port] = free_ports();
        if logs::recordings().is_some() {
            environment.insert("LONGHAND_LOG".to_owned(), "debug".to_owned());
        }
        environment.insert("_HANDLER".to_owned(), function.to_owned());
        environment.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), function.to_owned());
        environment.insert("AWS_LAMBDA_FUNCTION_TIMEOUT".to_owned(), timeout_seconds.to_string());
        let (address, runtime_address) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{runtime_port}"));
        let arguments = [
            "--log-level",
            "error",
            "--runtime-interface-emulator-address",
            &address,
            "--runtime-api-address",
            &runtime_address,
            bootstrap.to_str().unwrap(),
        ];
        Self { server: Background::start(rie, &arguments, environment, port), port }
    }

    /// Invokes the function and waits for its answer. It takes `&mut` because two requests at once crash the emulator.
    pub async fn invoke(&mut self, event: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}/2015-03-31/functions/function/invocations", self.port);
        let answer = reqwest::Client::new().post(url).body(event.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        // The emulator leaves the framing of a streamed answer on: its head, eight NUL bytes, its body.
        if let Some((head, body)) = text.split_once("\0\0\0\0\0\0\0\0") {
            let mut answer: Value = serde_json::from_str(head).unwrap();
            answer["body"] = body.into();
            return answer;
        }
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("a JSON answer: {text}"))
    }

    /// The process id of the function, once it has been invoked.
    pub fn function_id(&self) -> u32 {
        functions(self.server.id()).trim().parse().unwrap()
    }

    /// See [`cpu`].
    pub fn cpu(&self) -> f64 {
        cpu(self.function_id())
    }

    /// See [`peak_bytes`].
    pub fn peak_bytes(&self) -> u64 {
        peak_bytes(self.function_id())
    }

    /// What kills (-9) the function while it works.
    pub fn killer(&self) -> Killer {
        Killer(self.server.id())
    }
}

/// The seconds of CPU time that a process has taken, to a hundredth (`proc_pid_stat(5)`: `utime` and `stime`).
pub fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program, in parentheses, is the second field and may hold spaces.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u32 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    f64::from(ticks) / 100.0
}

/// The most memory that a process has had at once, in bytes.
pub fn peak_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The process ids of the functions under the emulator: one, once it has been invoked.
fn functions(emulator: u32) -> String {
    let threads = fs::read_dir(format!("/proc/{emulator}/task")).unwrap();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let functions: String = children.collect();
    assert!(!functions.trim().is_empty(), "no function runs under the emulator");
    functions
}

/// Knows the emulator's process, whose child the function is.
pub struct Killer(u32);

impl Killer {
    /// Kills the function.
    pub fn kill(self) {
        let functions = functions(self.0);
        let killed = Command::new("sh").args(["-c", &format!("kill -9 {functions}")]).status().unwrap();
        assert!(killed.success());
    }
}
