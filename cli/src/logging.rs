//! Log lines on stderr, since stdout has the command's result; and the export of traces.

use std::io::{IsTerminal as _, stderr};

use longhand::config;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::arguments::{Arguments, Command};
use crate::environment;
use crate::otlp::Export;

/// Starts logging: from `info` for `longhand dev`, errors alone for other commands; for those of a fleet as the functions do, on stdout. With `--otlp` it starts the export of traces
/// too, which the caller has to finish.
pub fn start(arguments: &Arguments) -> anyhow::Result<Option<Export>> {
    if matches!(arguments.command, Command::Serve(_) | Command::Work(_)) {
        let filter = if arguments.verbose > 0 { "debug".to_owned() } else { config::log_filter() };
        longhand_functions::logs::start(&filter, config::metrics_namespace());
        return Ok(None);
    }
    let serves = matches!(arguments.command, Command::Dev(_));
    let filter = match arguments.verbose + u8::from(serves) {
        0 => "error",
        1 => "warn,longhand=info,longhand_functions=info,longhand_local=info",
        2 => "info,longhand=debug,longhand_functions=debug,longhand_local=debug",
        _ => "debug",
    };
    let colors = stderr().is_terminal() && !environment::no_color();
    // The fields for machines would take most of a line.
    let fields = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if name.starts_with("otel.") || name.starts_with("faas.") => Ok(()),
        name => write!(writer, "{name}={value:?}"),
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(colors).with_target(false).compact();
    let lines = lines.fmt_fields(fields.delimited(" "));
    let export = match &arguments.command {
        Command::Dev(dev) => dev.otlp.as_ref().map(Export::to).transpose()?,
        _ => None,
    };
    let spans = export.as_ref().map(|export| {
        let ours = filter_fn(|metadata| metadata.target().starts_with("longhand"));
        tracing_opentelemetry::layer().with_tracer(export.tracer()).with_filter(ours)
    });
    Registry::default().with(lines.with_filter(EnvFilter::new(filter))).with(spans).init();
    Ok(export)
}
