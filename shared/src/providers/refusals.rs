//! Models that refuse to continue a text, as this process has found.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Fault, ProviderError};
use crate::generation::request::Request;

/// The most models that are remembered. Which ones there are is up to the callers.
const MODELS_MAX: usize = 1_000;
/// What providers say when a model takes no text of its own to continue, in lower case. From Anthropic, Gemini, llama.cpp and vLLM.
const PHRASES: [&str; 5] =
    ["prefill", "ending with a model turn", "must end with a user", "at the end of the list", "continue_final_message"];

/// Providers and models. Clones share the memory.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Refusals {
    /// Remembers the model of a request with a text to continue, if `error` says that the model takes none.
    pub fn note(&self, request: &Request, error: &ProviderError) {
        let message = error.message.to_lowercase();
        // llama.cpp refuses a prefix for requests with reasoning only.
        if error.fault != Fault::Rejected
            || message.contains("enable_thinking")
            || !PHRASES.iter().any(|phrase| message.contains(phrase))
        {
            return;
        }
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if models.len() < MODELS_MAX {
            models.insert((request.provider.clone(), request.model.clone()));
        }
    }

    /// Whether the model of a request is among them.
    #[must_use]
    pub fn has(&self, request: &Request) -> bool {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.iter().any(|(provider, model)| *provider == request.provider && *model == request.model)
    }
}
