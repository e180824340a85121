//! The provider of a demo: a recording on loopback, or a real one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use longhand_local::playback::{Playback, Script, Stats};
use serde_json::{Value, json};

use crate::environment::{self, PROVIDERS};
use crate::failure;
use crate::provider::{ProviderArgs, key_name};
use crate::terminal::output::count;

const PLAYBACK: &str = "playback";
pub const LIFELIKE_TEMPO: f64 = 75.0;
const PROMPT: &str = "Genera un escenario estratégico para una empresa pública de agua ante la sequía, como un documento JSON con \
    scenario_metadata, capabilities (con competencies y skills), suggested_roles, impact_analysis, assumptions y confidence_score.";

#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// Play this file instead: JSON lines, each one a string, the text of a delta
    #[arg(long, value_name = "FILE", conflicts_with = "provider")]
    deltas: Option<PathBuf>,
    /// Deltas per second; 0 plays as fast as possible [default: 75]
    #[arg(long, value_name = "N", value_parser = tempo, allow_negative_numbers = true, conflicts_with = "provider")]
    pub tempo: Option<f64>,
    #[command(flatten)]
    provider: ProviderArgs,
    /// The model to ask a real provider for
    #[arg(long, requires = "provider")]
    model: Option<String>,
}

/// The provider. Dropping a recording stops it.
#[derive(Debug)]
pub enum Source {
    Recording { playback: Playback, text: String, deltas: usize, tempo: f64, model: String },
    Provider { args: ProviderArgs, name: String, model: String },
}

impl Source {
    /// Opens it; a recording plays so many deltas a second, unless the arguments say otherwise.
    pub fn open(args: &SourceArgs, usual_tempo: f64) -> anyhow::Result<Self> {
        if let Some(name) = args.provider.provider.clone() {
            let model = args.model.clone().ok_or_else(|| failure::usage("--provider needs a --model to ask for"))?;
            return Ok(Self::Provider { args: args.provider.clone(), name, model });
        }
        let script = match &args.deltas {
            Some(path) => Script::from_jsonl(path)?,
            None => Script::recorded()?,
        };
        let script = Script { tempo: args.tempo.unwrap_or(usual_tempo), ..script };
        let (deltas, tempo, model, text) = (script.deltas.len(), script.tempo, script.model.clone(), script.text());
        Ok(Self::Recording { playback: Playback::start(script)?, text, deltas, tempo, model })
    }

    /// The environment for the stack's functions.
    pub fn environment(&self) -> anyhow::Result<BTreeMap<String, String>> {
        match self {
            Self::Provider { args, .. } => args.environment(),
            Self::Recording { playback, .. } => {
                let mut environment = environment::settings();
                let providers = json!({PLAYBACK: {"base_url": playback.base_url(), "key_env": key_name(PLAYBACK)}});
                environment.insert(PROVIDERS.to_owned(), providers.to_string());
                Ok(environment)
            }
        }
    }

    pub fn request(&self) -> Value {
        let (provider, model) = match self {
            Self::Recording { model, .. } => (PLAYBACK, model),
            Self::Provider { name, model, .. } => (name.as_str(), model),
        };
        json!({"provider": provider, "model": model, "prompt": PROMPT})
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Provider { name, model, .. } => format!("{model} of {name}"),
            Self::Recording { deltas, tempo, .. } if *tempo > 0.0 => {
                format!("{} at {tempo} a second", count(*deltas as u64, "recorded delta"))
            }
            Self::Recording { deltas, .. } => format!("{} as fast as possible", count(*deltas as u64, "recorded delta")),
        }
    }

    pub fn is_recorded(&self) -> bool {
        matches!(self, Self::Recording { .. })
    }

    /// The text of a recording; `None` for a real provider.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Recording { text, .. } => Some(text),
            Self::Provider { .. } => None,
        }
    }

    /// What was sent; `None` for a real provider.
    pub fn sent(&self) -> Option<Stats> {
        match self {
            Self::Recording { playback, .. } => Some(playback.stats()),
            Self::Provider { .. } => None,
        }
    }
}

fn tempo(text: &str) -> Result<f64, String> {
    let fits = |tempo: &f64| tempo.is_finite() && *tempo >= 0.0;
    text.parse()
        .ok()
        .filter(fits)
        .ok_or_else(|| "expected deltas per second, such as 75, or 0 for as fast as possible".to_owned())
}
