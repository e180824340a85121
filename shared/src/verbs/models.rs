//! The models that callers can name, as `OpenAI`'s API lists them.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::app::App;
use crate::error::Error;

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// `provider/model`, as requests may name it.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// When it was created, epoch seconds: always 0, because no provider is asked.
    pub created: u64,
    /// The provider's name.
    pub owned_by: String,
}

impl App {
    /// The models of the configured providers that are known by name, in order of their ids: those that the providers' settings list,
    /// and those that have a price. Requests may name others too.
    #[must_use]
    pub fn models(&self) -> Vec<Model> {
        let providers = &self.config().providers;
        let listed = providers.iter().flat_map(|(name, settings)| settings.models.iter().map(move |model| (&**name, &**model)));
        let priced = self.config().prices.models().filter(|(provider, _)| providers.contains_key(*provider));
        let names: BTreeSet<(&str, &str)> = listed.chain(priced).collect();
        let model = |(provider, model): (&str, &str)| Model {
            id: format!("{provider}/{model}"),
            object: "model",
            created: 0,
            owned_by: provider.to_owned(),
        };
        names.into_iter().map(model).collect()
    }

    /// The listed model with this id.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`].
    pub fn model(&self, id: &str) -> Result<Model, Error> {
        self.models().into_iter().find(|model| model.id == id).ok_or_else(|| Error::ModelNotFound(id.to_owned()))
    }
}
