//! What the commands over the API share: answers, and what is printed of them.

use longhand_client::{RequestBuilder, Response, Url, send};
use serde::de::DeserializeOwned;

use crate::options::Format;
use crate::terminal::output::{json_line, text};

/// Prints the JSON, or else the words.
pub fn said(format: Format, json: &str, words: &str) -> anyhow::Result<()> {
    Ok(if format.json { json_line(json) } else { text(words) }?)
}

/// A path with a query.
pub fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> anyhow::Result<String> {
    let mut url = Url::parse("http://localhost")?.join(path)?;
    for (name, value) in pairs {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

/// Options as they are written on a command line: of the next page, with the filters of this one.
pub fn flags<const N: usize>(pairs: [(&str, Option<String>); N]) -> String {
    let is_plain =
        |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:/@".contains(letter));
    let quoted = |text: String| if is_plain(&text) { text } else { format!("'{}'", text.replace('\'', r"'\''")) };
    let given = pairs.into_iter().filter_map(|(name, value)| Some(format!(" --{name} {}", quoted(value?))));
    given.collect()
}

/// The text of an answer.
pub async fn body(response: Response) -> anyhow::Result<String> {
    Ok(response.text().await?)
}

/// What the API answers, and its text.
pub async fn read<T: DeserializeOwned>(call: RequestBuilder) -> anyhow::Result<(T, String)> {
    let text = body(send(call).await?).await?;
    Ok((serde_json::from_str(&text)?, text))
}
