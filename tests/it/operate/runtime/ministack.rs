//! The product as it is deployed: `template.yaml` and the release binary in ministack, an emulator of AWS that is not ours.
//!
//! It has limits: its DynamoDB triggers know no partial failure and no bisecting, and permissions are not enforced. Those
//! are tested on the embedded stack, and not at all.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longhand::{App, Clock, Config, NewKey, Scopes};
use longhand_local::{Script, TEMPLATE};
use longhand_tests::sensitive::play;
use longhand_tests::serial::turn;
use longhand_tests::{Api, Deployment};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::background::{Background, free_ports};
use super::tools::{self, workspace};
use crate::durability::main_job::assert_does_the_main_job;

const ORGANIZATION: &str = "acme";

/// A running ministack. Dropping it ends it, and every function in it.
pub struct Ministack {
    _server: Background,
    executable: PathBuf,
    pub url: String,
}

impl Ministack {
    pub fn start(executable: PathBuf) -> Self {
        Self::start_at(executable, Ipv4Addr::LOCALHOST)
    }

    /// One that listens at an address of this machine. It executes what it is sent.
    pub fn start_at(executable: PathBuf, host: Ipv4Addr) -> Self {
        let [port] = free_ports();
        let url = format!("http://{host}:{port}");
        // A function inherits ministack's environment, and learns from it where the services are.
        let services = ["DYNAMODB", "S3", "LAMBDA", "SECRETS_MANAGER"];
        let mut environment = services.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), url.clone())).to_vec();
        environment.push(("BIND_HOST".to_owned(), host.to_string()));
        environment.push(("GATEWAY_PORT".to_owned(), port.to_string()));
        let server = Background::start_at(&executable, &[], environment, SocketAddrV4::new(host, port));
        Self { _server: server, executable, url }
    }

    /// The Python of its virtual environment, which has boto3 and aws-sam-translator.
    pub fn python(&self) -> Command {
        let mut python = Command::new(self.executable.with_file_name("python"));
        // Neither a person's AWS profile nor a proxy has a say in this.
        python.env_clear();
        python
    }

    /// Deploys the product with the provider `test` at `base_url`, and answers with the stack's outputs.
    pub fn deploy(&self, bootstrap: &Path, base_url: &str) -> BTreeMap<String, String> {
        let providers = json!({ "test": { "base_url": base_url } }).to_string();
        let order = json!({
            "endpoint": self.url,
            "template": TEMPLATE,
            "bootstrap": bootstrap,
            // It does not know response streaming.
            "parameters": { "Arch": "x86_64", "Providers": providers, "ResponseStreaming": "false" },
        });
        let mut python = self
            .python()
            .arg(workspace().join("tests/it/operate/runtime/deploy.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(order.to_string().as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "the deployment failed");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The address of the deployed API.
    pub fn api_url(&self, outputs: &BTreeMap<String, String>) -> String {
        let host = outputs["ApiUrl"].strip_prefix("https://").unwrap();
        let (id, _) = host.split_once('.').unwrap();
        format!("{}/_aws/execute-api/{id}/live", self.url)
    }

    /// What tells this process where the deployed stores are.
    pub fn environment(&self, outputs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let stores =
            [("LONGHAND_BUFFER_TABLE", "BufferTable"), ("LONGHAND_RECORDS_TABLE", "RecordsTable"), ("LONGHAND_BUCKET", "Bucket")];
        self.services().into_iter().chain(stores.map(|(name, output)| (name.to_owned(), outputs[output].clone()))).collect()
    }

    /// What tells a process where the services are.
    pub fn services(&self) -> BTreeMap<String, String> {
        let entries = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.url),
            ("AWS_ENDPOINT_URL_S3", &self.url),
            ("AWS_ENDPOINT_URL_LAMBDA", &self.url),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &self.url),
        ];
        entries.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

/// A new key, as `longhand keys create --aws` makes one.
pub async fn key(environment: &BTreeMap<String, String>) -> String {
    let app = App::new(Config::from_vars(&|name| environment.get(name).cloned()).unwrap(), Clock::system()).await;
    let new = NewKey { name: String::new(), scopes: Scopes::all(), expires_in: None };
    app.create_key(&ORGANIZATION.parse().unwrap(), new).await.unwrap().1.reveal().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn deployed_template_does_the_main_job() {
    let _turn = turn().await;
    let Some((bootstrap, executable)) = tools::ministack() else { return };
    let script = Script::recorded().unwrap();
    let text = script.text();
    let playback = play(script).unwrap();
    let ministack = Ministack::start(executable);
    let outputs = ministack.deploy(&bootstrap, playback.base_url());
    let url = ministack.api_url(&outputs);

    let (status, refused): (StatusCode, Value) = Api::open(&url).get("generations").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "without a key: {refused}");
    assert_console_is_served(&url).await;
    let environment = ministack.environment(&outputs);
    let api = Api::open(&url).with_key(&key(&environment).await);
    let deployment = Deployment::new(&api, ORGANIZATION, &environment, None).await;
    assert_does_the_main_job(&deployment, &playback, &text).await;
}

/// The console's page and its program, without a key.
async fn assert_console_is_served(url: &str) {
    let base = url.trim_end_matches('/');
    let page = reqwest::get(format!("{base}/console/index.html")).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("require-trusted-types-for 'script'"));
    let text = page.text().await.unwrap();
    let program = text.split('"').find(|address| address.ends_with("/app.js")).unwrap();
    let program = reqwest::get(format!("{base}/console/{program}")).await.unwrap();
    assert_eq!(program.status(), StatusCode::OK);
    assert!(program.text().await.unwrap().contains("addEventListener"));
}
