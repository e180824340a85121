//! A server that a test runs beside itself.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use longhand_tests::{PATIENCE, logs};
use tempfile::TempDir;

/// The server, in a folder of its own. Dropping it kills it, and shows its log if the test has failed.
pub struct Background {
    process: Child,
    folder: TempDir,
}

impl Background {
    /// Starts `executable`, which finds `environment` and nothing of this process's own, and waits until it listens on `port` of loopback.
    pub fn start<Name: AsRef<OsStr>, Text: AsRef<OsStr>>(
        executable: &Path,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (Name, Text)>,
        port: u16,
    ) -> Self {
        Self::start_at(executable, arguments, environment, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    /// The same, at another address.
    pub fn start_at<Name: AsRef<OsStr>, Text: AsRef<OsStr>>(
        executable: &Path,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (Name, Text)>,
        address: SocketAddrV4,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let process = Command::new(executable)
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .envs(environment)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { process, folder };
        server.wait_for(address);
        server
    }

    fn wait_for(&mut self, address: SocketAddrV4) {
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(self.process.try_wait().unwrap().is_none(), "the server has stopped");
            assert!(began.elapsed() < PATIENCE, "the server does not listen at {address}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Background {
    #[expect(clippy::print_stderr, reason = "the log tells why the test has failed")]
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        logs::record_file(&self.folder.path().join("log"));
        if panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

/// Ports that were free a moment ago.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
