//! `longhand dev` as a process of its own, which can be killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhand_client::Client;
use longhand_tests::{PATIENCE, logs};
use serde_json::Value;
use tokio::time::sleep;

/// The address of a stack, and the key of its data folder.
#[derive(Clone)]
pub struct Place {
    /// The API's address.
    pub url: String,
    /// An API key.
    pub key: String,
}

impl Place {
    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::new(&self.url).unwrap().with_key(Some(self.key.clone()))
    }
}

/// A running `longhand dev`. Dropping it is `kill -9`.
pub struct Dev(Child);

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Dev {
    /// Sends SIGTERM, and waits until the process has ended; whether it ended well.
    pub fn terminate(mut self) -> bool {
        assert!(Command::new("kill").arg(self.id().to_string()).status().unwrap().success());
        self.0.wait().unwrap().success()
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Starts it on this data folder, and answers with its place too once it has one.
    pub async fn start(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Self, Place) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command
            .arg("dev")
            .arg("--data")
            .arg(data)
            .args(arguments)
            .args(logs::recordings().map(|_| "-v"))
            .envs(environment.iter().copied());
        let mut dev = Self(command.stdout(Stdio::null()).stderr(logs::of_child()).spawn().unwrap());
        let began = Instant::now();
        loop {
            let place = std::fs::read(data.join("stack.json")).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(place) = place.filter(|place| place["pid"] == dev.0.id()) {
                let word = |name: &str| place[name].as_str().unwrap().to_owned();
                return (dev, Place { url: word("url"), key: word("key") });
            }
            assert_eq!(dev.0.try_wait().unwrap(), None, "longhand dev did not start");
            assert!(began.elapsed() < PATIENCE, "longhand dev is not ready");
            sleep(Duration::from_millis(10)).await;
        }
    }
}
