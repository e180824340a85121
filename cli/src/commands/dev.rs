//! `longhand dev`: every function over an embedded DynamoDB and S3, until Ctrl-C.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use longhand_client::Url;
use longhand_local::{Data, Durability, Options, Stack};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::console;
use crate::environment;
use crate::options::{Folder, Tenant};
use crate::provider::ProviderArgs;
use crate::running_stack;
use crate::terminal::output::{Fields, line};

/// The API's port, unless another is asked for.
const PORT: u16 = 4000;
/// How many ports from there are tried.
const PORTS_TRIED: u16 = 100;

/// Run the whole product on this machine
#[derive(Args, Clone, Debug)]
pub struct DevArgs {
    #[command(flatten)]
    folder: Folder,
    /// The API's port; 0 takes a free one [default: 4000, or the next free one]
    #[arg(long, env = environment::PORT, hide_env_values = true)]
    port: Option<u16>,
    #[command(flatten)]
    provider: ProviderArgs,
    /// The model of the printed example
    #[arg(long, default_value = "MODEL")]
    model: String,
    #[command(flatten)]
    tenant: Tenant,
    /// Export traces to the OpenTelemetry collector at this address, such as `http://127.0.0.1:4318`
    #[arg(long, value_name = "URL")]
    pub otlp: Option<Url>,
    /// Require no API key: every program that reaches the port on this machine has full access
    #[arg(long)]
    no_auth: bool,
    /// Give DynamoDB, Lambda and SQS ports for other tools of this machine, which sign with the access key in the data folder
    #[arg(long)]
    expose: bool,
    /// Answer a write before the disk has it: faster, and a power cut loses the last seconds, though never the tables
    #[arg(long)]
    relaxed_sync: bool,
}

pub async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let data = &args.folder.data;
    let options = Options {
        data: Data::Folder(data.clone()),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port.unwrap_or(PORT))),
        // The next free port where the usual one is taken, so that clients mostly survive a restart.
        ports_tried: if args.port.is_none() { PORTS_TRIED } else { 1 },
        authorize: !args.no_auth,
        expose: args.expose,
        durability: if args.relaxed_sync { Durability::Normal } else { Durability::Full },
        organization: args.tenant.name(),
        env: args.provider.environment()?,
        ..Options::default()
    };
    let stack = Stack::start(options).await?;
    let served = serve(&stack, &args, &mut terminate).await;
    eprintln!("stopping; running generations are handed over to the next start (5 s at most; Ctrl-C again stops at once)");
    tokio::select! {
        () = stack.shutdown() => {}
        _ = tokio::signal::ctrl_c() => eprintln!("stopped at once; running generations continue at the next start"),
    }
    served.map(|()| ExitCode::SUCCESS)
}

/// Announces the stack, and returns at Ctrl-C or SIGTERM.
async fn serve(stack: &Stack, args: &DevArgs, terminate: &mut tokio::signal::unix::Signal) -> anyhow::Result<()> {
    announce(stack, args).await?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn announce(stack: &Stack, args: &DevArgs) -> anyhow::Result<()> {
    let (url, endpoints) = (stack.url().trim_end_matches('/'), stack.endpoints());
    if args.port.is_none() && !url.ends_with(&format!(":{PORT}")) {
        eprintln!("port {PORT} is taken; the API has another one");
    }
    let mut fields = Fields::default();
    fields.add("api", url);
    if args.expose {
        fields.add("dynamodb", &endpoints.dynamodb).add("s3", &endpoints.s3).add("lambda", &endpoints.lambda);
        fields.add("sqs", &endpoints.sqs).add("access key", args.folder.data.join("aws-key.json").display());
    }
    fields.add("data", args.folder.data.display()).add("mail", args.folder.data.join("mail").display());
    fields.add_if("key", stack.key().filter(|key| key.is_new).map(|key| &key.text)).print()?;
    let provider = args.provider.provider.as_deref().unwrap_or("openai");
    let body = serde_json::json!({"provider": provider, "model": args.model, "prompt": "Hola"});
    let key_file = args.folder.data.join("key");
    let header = stack.key().map(|_| format!(" -H \"authorization: Bearer $(cat '{}')\"", key_file.display()));
    let header = header.unwrap_or_default();
    // Without keys, the console needs none.
    let client = running_stack::connect_to_stack(stack)?;
    let console = match stack.key() {
        None => console::page(&client)?,
        Some(_) => match console::address(&client).await {
            Ok(address) => address,
            Err(error) => {
                eprintln!("the console asks for a key, because there is no token for it: {error:#}");
                console::page(&client)?
            }
        },
    };
    line(format!("\nconsole: {console}"))?;
    line(format!("\ncurl -s {url}/v1/generations{header} -H 'content-type: application/json' -d '{body}'"))?;
    if stack.key().is_none() {
        eprintln!(
            "\nwarning: --no-auth: every program and every person on this machine can use this API, and the provider keys behind it."
        );
    }
    args.provider.warn_without_key()?;
    eprintln!("\nCtrl-C stops it.");
    Ok(())
}
