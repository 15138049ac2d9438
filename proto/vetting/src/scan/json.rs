//! JSON as a stream of events, and the hooks to code that configuration files may carry. Nothing is kept as a tree.

mod hooks;
mod reader;

use super::Scan;
use super::keras::Keras;
use super::source::{Source, Stop};
use crate::report::Rule;
pub(super) use reader::{Event, Reader};

/// Judges a whole file of JSON.
pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    loop {
        value(scan, source, &mut Keras::default())?;
        // One value a line is JSON too, as logs and data sets are kept.
        let next_line = matches!(source.peek(2)?, [b'\n', ..] | b"\r\n");
        reader::space(source)?;
        if source.at_end()? {
            return Ok(());
        }
        if !next_line {
            return Err(source.refuse(Rule::J01, "bytes follow the JSON value"));
        }
    }
}

/// Judges one JSON value that begins here. `keras` learns of its layers.
pub(super) fn value(scan: &mut Scan, source: &mut Source<'_>, keras: &mut Keras) -> Result<(), Stop> {
    let mut reader = Reader::new();
    let mut key: Vec<Vec<u8>> = Vec::new();
    let mut key_at = 0;
    loop {
        let at = source.offset();
        let event = reader.next(source)?;
        keras.see(scan, at, &event);
        if matches!(event, Event::ObjectStart | Event::ArrayStart | Event::Text(_) | Event::True) {
            hooks::key(scan, key_at, key.last().map_or(&[][..], |key| key));
        }
        if event == Event::ArrayStart {
            hooks::list(scan, key_at, key.last().map_or(&[][..], |key| key));
        }
        match &event {
            Event::ObjectStart | Event::ArrayStart => key.push(Vec::new()),
            Event::ObjectEnd | Event::ArrayEnd => drop(key.pop()),
            Event::Key(text) => {
                key_at = at;
                if let Some(last) = key.last_mut() {
                    last.clone_from(text);
                }
            }
            Event::Text(text) => {
                // A list in an object is named by its key; a list of lists is a table, as vocabularies are.
                let named = key.iter().rev().take(2).find(|key| !key.is_empty());
                hooks::text(scan, at, named.map_or(&[][..], |key| key), text);
            }
            Event::True => hooks::truth(scan, at, key.last().map_or(&[][..], |key| key)),
            Event::Scalar if !reader.number.is_empty() => {
                if let [outermost] = &key[..] {
                    hooks::outermost(at, outermost, &reader.number)?;
                }
                hooks::number(scan, at, key.last().map_or(&[][..], |key| key), &reader.number);
            }
            Event::Scalar => {}
            Event::End => return Ok(()),
        }
    }
}
