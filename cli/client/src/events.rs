//! Events: pages of them, and a log that is followed live.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use longhand::EventPage;
use longhand::generation::Status;
use longhand::log::assembly::Assembly;
use longhand::log::event::{Event, NumberedEvent};
use reqwest::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use sse_stream::{Sse, SseByteStream};
use tokio::time::sleep;

use crate::{Client, Error};

/// Before the next request, where the last response had no event.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// A page of events, whose types are yet to be looked at.
#[derive(Deserialize)]
pub struct RawPage {
    data: Vec<Box<RawValue>>,
    status: Status,
    has_more: bool,
    last_seq: Option<u64>,
}

impl RawPage {
    pub fn parse(self) -> Result<EventPage, Error> {
        let data = self.data.iter().filter_map(|event| parse(event.get()).transpose()).collect::<Result<_, _>>()?;
        Ok(EventPage { object: "list", data, status: self.status, has_more: self.has_more, last_seq: self.last_seq })
    }
}

/// One event; `None` for a type that this build does not have.
fn parse(json: &str) -> Result<Option<NumberedEvent>, Error> {
    match serde_json::from_str(json) {
        Ok(event) => Ok(Some(event)),
        Err(error) if error.to_string().starts_with("unknown variant") => Ok(None),
        Err(error) => Err(Error::Unexpected { what: "an event".to_owned(), cause: error.to_string() }),
    }
}

/// The server-sent events of a response, as they come. A comment without a field is none.
pub fn frames(response: Response) -> impl Stream<Item = Result<Sse, Error>> + Send + Unpin + 'static {
    let url = response.url().origin().ascii_serialization();
    SseByteStream::new(response.bytes_stream())
        .map(move |frame| frame.map_err(|error| Error::Unreachable { url: url.clone(), cause: error.to_string() }))
        .boxed()
}

/// A log that is followed to its end. It resumes after the newest event that it returned, whatever ends a response.
pub struct Follow {
    client: Client,
    id: String,
    after: Option<u64>,
    response: Option<OpenResponse>,
    has_ended: bool,
}

struct OpenResponse {
    frames: BoxStream<'static, Result<Sse, Error>>,
    has_event: bool,
}

impl Follow {
    pub(crate) fn new(client: Client, id: String, after: Option<u64>) -> Self {
        Self { client, id, after, response: None, has_ended: false }
    }

    /// The next event; `None` after the terminal one.
    ///
    /// # Errors
    /// Those of [`Client::open_events`], and of a response that breaks off. The next call sends a new request.
    pub async fn next(&mut self) -> Result<Option<NumberedEvent>, Error> {
        while !self.has_ended {
            let Some(response) = &mut self.response else {
                self.connect().await?;
                continue;
            };
            match response.frames.next().await {
                Some(Ok(frame)) => {
                    response.has_event |= frame.data.is_some();
                    if let Some(event) = self.receive(&frame)? {
                        return Ok(Some(event));
                    }
                }
                Some(Err(error)) => {
                    self.response = None;
                    return Err(error);
                }
                None => {
                    let has_event = response.has_event;
                    self.response = None;
                    if !has_event {
                        sleep(RECONNECT_PAUSE).await;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Ends the response that is being read. The next one begins after the newest event.
    pub fn disconnect(&mut self) {
        self.response = None;
    }

    /// Sends the next request with this client.
    pub fn use_client(&mut self, client: Client) {
        self.client = client;
    }

    /// The number of the newest event, or the number that this began after.
    #[must_use]
    pub const fn after(&self) -> Option<u64> {
        self.after
    }

    async fn connect(&mut self) -> Result<(), Error> {
        match self.client.open_events(&self.id, self.after).await? {
            Some(response) => self.response = Some(OpenResponse { frames: frames(response).boxed(), has_event: false }),
            None => self.has_ended = true,
        }
        Ok(())
    }

    fn receive(&mut self, frame: &Sse) -> Result<Option<NumberedEvent>, Error> {
        let Some(data) = &frame.data else { return Ok(None) };
        let event = parse(data)?;
        let seq = event.as_ref().map(|event| event.seq);
        self.after = seq.or_else(|| frame.id.as_ref()?.parse().ok()).or(self.after);
        self.has_ended = event.as_ref().is_some_and(|event| event.event.end().is_some());
        Ok(event)
    }
}

/// The text of a generation's result, from its events in order.
#[derive(Debug, Default)]
pub struct ResultText {
    text: String,
    assembly: Assembly,
    next_index: u32,
    open_items: usize,
}

impl ResultText {
    /// Adds an event. An attempt that continues the text follows on an open item. Any other attempt discards the text before it.
    pub fn push(&mut self, event: &Event) {
        match event {
            Event::OutputItemAdded { output_index, .. } => {
                self.next_index = output_index + 1;
                self.open_items += 1;
            }
            Event::OutputItemDone { .. } => self.open_items = self.open_items.saturating_sub(1),
            Event::InProgress { .. } if self.open_items == 0 => {
                self.assembly = Assembly::new(self.next_index);
                self.text.clear();
            }
            _ => {}
        }
        if let Some(text) = self.assembly.event(event) {
            self.text.push_str(text);
        }
    }

    /// The text so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<ResultText> for String {
    fn from(result: ResultText) -> Self {
        result.text
    }
}
