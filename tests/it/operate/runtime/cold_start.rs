//! What a new execution environment costs: time and memory of each function, and the size of what Lambda has to fetch. It prints
//! the README's table.
//!
//! Time is from the start of the process to its first request for work, which is what Lambda calls the init duration; there is no
//! assertion on it. Memory is the process's peak once it has done its sample event. In both the SDK's client is the one for TLS,
//! as on AWS, though nothing here speaks it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::{Compression, write::DeflateEncoder};
use longhand_local::Script;
use longhand_tests::serial::turn;

use super::rie::{Bench, sample_for};
use super::tools::sample;

pub const ARCHIVE_BYTES_MAX: usize = 10_000_000;
const PEAK_BYTES_MAX: u64 = 40_000_000;
const RUNS: usize = 9;

/// An endpoint that is not plain HTTP, and that no sample needs: it makes the SDK ready for TLS.
const TLS: (&str, &str) = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://127.0.0.1:9");

/// From the start of the process to its first request for work.
fn init(bootstrap: &Path, function: &str, environment: &BTreeMap<String, String>) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lambda = [
        ("_HANDLER", function),
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_RUNTIME_API", &listener.local_addr().unwrap().to_string()),
    ];
    let mut command = Command::new(bootstrap);
    command.env_clear().envs(environment).envs(lambda).stdout(Stdio::null());
    let began = Instant::now();
    let mut process = command.spawn().unwrap();
    let (connection, _) = listener.accept().unwrap();
    let mut first = String::new();
    BufReader::new(connection).read_line(&mut first).unwrap();
    let taken = began.elapsed();
    assert!(first.starts_with("GET /2018-06-01/runtime/invocation/next"), "{first}");
    process.kill().unwrap();
    process.wait().unwrap();
    taken
}

/// The size of the archive that is deployed: the binary, deflated.
pub fn archive_bytes(bootstrap: &Path) -> usize {
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
    deflated.write_all(&fs::read(bootstrap).unwrap()).unwrap();
    deflated.finish().unwrap().len()
}

#[expect(clippy::print_stdout, reason = "the README's table")]
#[tokio::test(flavor = "multi_thread")]
async fn cold_start_size_and_memory() {
    let _turn = turn().await;
    let Some(bench) = Bench::start(Script::recorded().unwrap(), &[TLS]).await else { return };
    let archive = archive_bytes(&bench.bootstrap);
    let id = bench.start_sample().await;
    // What the later ones look at, the earlier ones have made.
    let mut functions: Vec<&str> = longhand_functions::handlers().collect();
    functions.sort_by_key(|function| ["start", "stream", "compact"].iter().position(|first| first == function).unwrap_or(3));
    println!("\n| function | init, ms | peak memory, MB |\n|---|---|---|");
    let mut peaks = Vec::new();
    for function in functions {
        let environment = bench.harness.stack.environment(function);
        let mut inits: Vec<Duration> = (0..RUNS).map(|_| init(&bench.bootstrap, function, &environment)).collect();
        inits.sort_unstable();
        let mut emulator = bench.host(function, 60);
        let event = if function == "start" { sample(function) } else { sample_for(function, &id) };
        let answer = emulator.invoke(&event).await;
        // The sample's key is nobody's, and this is how an authorizer says so.
        let refused = function == "authorize" && answer["errorMessage"] == "Unauthorized";
        assert!(refused || answer["errorType"].is_null(), "{function}: {answer}");
        let peak = emulator.peak_bytes();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let megabytes = peak as f64 / 1e6;
        println!("| `{function}` | {:.0} | {megabytes:.0} |", inits[RUNS / 2].as_secs_f64() * 1e3);
        peaks.push((function, peak));
    }
    let size = fs::metadata(&bench.bootstrap).unwrap().len();
    println!("\nbinary {size} bytes, archive {archive} bytes\n");
    bench.harness.finish().await;
    assert!(peaks.iter().all(|(_, peak)| *peak <= PEAK_BYTES_MAX), "above {PEAK_BYTES_MAX}: {peaks:?}");
    assert!(archive <= ARCHIVE_BYTES_MAX, "the archive has {archive} bytes, more than {ARCHIVE_BYTES_MAX}");
}
