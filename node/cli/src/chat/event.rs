//! Lines of a streamed answer (server-sent events), read with bounds.

use std::io::{BufRead, Read};

use serde::Deserialize;

use crate::limits::{ANSWER_LEN_MAX, EVENT_LEN_MAX};

/// What one line of the stream says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// More text.
    Text(String),
    /// The answer is complete.
    Done,
    /// Nothing for us: a comment, an empty line, a role.
    Nothing,
    /// The gateway gave up.
    Failed { code: String, message: String },
}

/// The stream is not one.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Reading failed.
    #[error("cannot read the answer")]
    Read(#[source] std::io::Error),
    /// It is longer than any answer.
    #[error("the answer is longer than {ANSWER_LEN_MAX} bytes, or a line of it than {EVENT_LEN_MAX}")]
    TooLong,
    /// A line is not what it must be.
    #[error("the answer is not an event stream")]
    Malformed(#[source] serde_json::Error),
    /// It ended before it was complete.
    #[error("the answer ended early")]
    Cut,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

/// An error as the gateway writes it.
#[derive(Debug, Default, Deserialize)]
pub struct ErrorBody {
    /// Stable code.
    #[serde(default)]
    pub code: Option<String>,
    /// For a person.
    #[serde(default)]
    pub message: String,
}

/// Reads one line.
///
/// # Errors
/// [`EventError::Malformed`].
pub fn parse(line: &str) -> Result<Event, EventError> {
    let Some(data) = line.strip_prefix("data:").map(str::trim) else { return Ok(Event::Nothing) };
    if data == "[DONE]" {
        return Ok(Event::Done);
    }
    let chunk: Chunk = serde_json::from_str(data).map_err(EventError::Malformed)?;
    if let Some(ErrorBody { code, message }) = chunk.error {
        return Ok(Event::Failed { code: code.unwrap_or_default(), message });
    }
    let text: String =
        chunk.choices.into_iter().filter_map(|choice| choice.delta?.content).collect::<Vec<_>>().concat();
    Ok(if text.is_empty() { Event::Nothing } else { Event::Text(text) })
}

/// Reads a whole stream, handing each event to `on_event`, to its end.
///
/// # Errors
/// [`EventError`] if it is cut, too long or malformed.
pub fn read_all(mut stream: impl BufRead, mut on_event: impl FnMut(Event)) -> Result<(), EventError> {
    let mut total = 0_usize;
    let mut line = Vec::new();
    loop {
        line.clear();
        let room = EVENT_LEN_MAX as u64 + 1;
        let read = stream.by_ref().take(room).read_until(b'\n', &mut line).map_err(EventError::Read)?;
        total = total.saturating_add(read);
        if line.len() > EVENT_LEN_MAX || total > ANSWER_LEN_MAX {
            return Err(EventError::TooLong);
        }
        if read == 0 {
            return Err(EventError::Cut);
        }
        match parse(String::from_utf8_lossy(&line).trim_end())? {
            Event::Nothing => {}
            Event::Done => {
                on_event(Event::Done);
                return Ok(());
            }
            failed @ Event::Failed { .. } => {
                on_event(failed);
                return Ok(());
            }
            text @ Event::Text(_) => on_event(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &str) -> (Vec<Event>, Result<(), EventError>) {
        let mut events = Vec::new();
        let outcome = read_all(stream.as_bytes(), |event| events.push(event));
        (events, outcome)
    }

    #[test]
    fn an_answer_is_put_together() {
        let stream = concat!(
            ": keep-alive\n\n",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"SELECT \"}}]}\r\n\r\n",
            "data:{\"choices\":[{\"delta\":{\"content\":\"1;\"},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
        );
        let (events, outcome) = read(stream);
        assert_eq!(events, [Event::Text("SELECT ".into()), Event::Text("1;".into()), Event::Done]);
        assert!(outcome.is_ok());
    }

    #[test]
    fn a_cut_answer_is_not_a_whole_one() {
        let (_, outcome) = read("data: {\"choices\":[{\"delta\":{\"content\":\"SEL\"}}]}\n\n");
        assert!(matches!(outcome, Err(EventError::Cut)));
        assert!(matches!(read("data: {oops\n").1, Err(EventError::Malformed(_))));
        assert!(matches!(read(&"x".repeat(EVENT_LEN_MAX + 2)).1, Err(EventError::TooLong)));
    }

    #[test]
    fn an_error_in_the_stream_keeps_its_code() {
        let (events, _) = read("data: {\"error\":{\"code\":\"E-WORKER-CRASHED\",\"message\":\"gone\"}}\n");
        let failed = Event::Failed { code: "E-WORKER-CRASHED".into(), message: "gone".into() };
        assert_eq!(events, [failed]);
    }
}
