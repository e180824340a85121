//! Texts of versions side by side: what differs between two, and all of them in one file.

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::versions::view;
use crate::app::App;
use crate::error::Error;
use crate::ids::{SubjectId, SubjectKey};
use crate::limits::{DIFF_BYTES_MAX, DIFF_LINES_MAX, EXPORT_BYTES_MAX, EXPORT_VERSIONS_MAX, OUTPUT_INLINE_BYTES_MAX};
use crate::subjects::diff::{self, Changes};
use crate::subjects::export::{Format, WithText};
use crate::subjects::version::Version;

/// Texts that are read side by side.
const CONCURRENCY: usize = 8;

/// What differs between two versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diff {
    /// Always `diff`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// The subject.
    pub subject: SubjectId,
    /// The number of the first one.
    pub from: u64,
    /// The number of the second one.
    pub to: u64,
    /// What differs.
    #[serde(flatten)]
    pub changes: Changes,
}

const fn object() -> &'static str {
    "diff"
}

/// All versions of a subject in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name: the subject, and the ending of its format.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl App {
    /// What differs between two versions: without `to`, the current one; without `from`, the one before that.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::VersionNotFound`], [`Error::TextTooLarge`], [`Error::Aws`].
    pub async fn diff(&self, key: &SubjectKey, from: Option<u64>, to: Option<u64>) -> Result<Diff, Error> {
        let subject = self.known_subject(key).await?;
        let to = to.unwrap_or(subject.current);
        let from = from.unwrap_or_else(|| to.saturating_sub(1));
        let [old, new] = [self.stored_version(key, from).await?, self.stored_version(key, to).await?];
        let too_large = || {
            let bounds = format!("{DIFF_BYTES_MAX} bytes and {DIFF_LINES_MAX} lines");
            Error::TextTooLarge(format!(
                "versions {from} and {to} are too large to be compared: texts of at most {bounds} are; fetch their outputs instead"
            ))
        };
        // Known from the rows, before anything is fetched.
        if old.bytes.max(new.bytes) > DIFF_BYTES_MAX as u64 {
            return Err(too_large());
        }
        let (old, new) = (self.text(key, &old).await?, self.text(key, &new).await?);
        let compared = tokio::task::spawn_blocking(move || diff::changes(&old, &new)).await;
        let compared = compared.map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Diff { object: "diff", subject: key.subject.clone(), from, to, changes: compared.map_err(|_| too_large())? })
    }

    /// The versions with numbers from `from` to `to` in one file, oldest first.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`], [`Error::TextTooLarge`], [`Error::Aws`].
    pub async fn export(&self, key: &SubjectKey, format: Format, from: Option<u64>, to: Option<u64>) -> Result<Export, Error> {
        let subject = self.known_subject(key).await?;
        let numbers = (from.unwrap_or(1), to.unwrap_or(subject.current).min(subject.current));
        let versions = self.records.versions(key, numbers, true, EXPORT_VERSIONS_MAX + 1).await?;
        let bytes: u64 = versions.iter().map(|version| version.bytes).sum();
        if versions.len() > EXPORT_VERSIONS_MAX || bytes > EXPORT_BYTES_MAX {
            return Err(Error::TextTooLarge(format!(
                "an export has at most {EXPORT_VERSIONS_MAX} versions and {EXPORT_BYTES_MAX} bytes of text; select some by `from` and `to`"
            )));
        }
        let with_text = versions.into_iter().map(|version| {
            let view = view(key, &subject, version);
            async move { Ok::<_, Error>(WithText { text: self.text(key, &view.version).await?, view }) }
        });
        let with_text: Vec<WithText> = stream::iter(with_text).buffered(CONCURRENCY).try_collect().await?;
        let bytes = format.render(&key.subject, &with_text)?;
        Ok(Export { name: format!("{}.{}", key.subject, format.ending()), media_type: format.media_type(), bytes })
    }

    /// The text of a version. One that is too large for an answer is refused.
    async fn text(&self, key: &SubjectKey, version: &Version) -> Result<String, Error> {
        if version.bytes > OUTPUT_INLINE_BYTES_MAX {
            let told = format!("version {} has {} bytes; fetch its output instead", version.number, version.bytes);
            return Err(Error::TextTooLarge(told));
        }
        let text = self.blobs.text(key, &version.sha256, version.bytes).await?;
        text.ok_or_else(|| Error::VersionNotFound(key.subject.to_string(), version.number.to_string()))
    }
}
