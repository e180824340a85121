//! `get`: one generation.

use crate::app::App;
use crate::error::Error;
use crate::generation::Generation;
use crate::ids::GenerationKey;

impl App {
    /// One generation.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Aws`].
    pub async fn get(&self, key: &GenerationKey) -> Result<Generation, Error> {
        let record = self.records.get(key).await?;
        self.view(record).await
    }
}
