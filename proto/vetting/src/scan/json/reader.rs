//! A strict reader of JSON (RFC 8259) that gives events and keeps one text at a time.

use super::super::limits::{JSON_DEPTH_MAX, JSON_TEXT_LEN_MAX};
use super::super::source::{Source, Stop};
use crate::report::Rule;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Event {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// The name of what follows.
    Key(Vec<u8>),
    Text(Vec<u8>),
    True,
    /// A number, false or null.
    Scalar,
    /// The value is whole.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    FirstKey,
    Key,
    FirstItem,
    After,
}

/// The place within one value.
pub(in super::super) struct Reader {
    /// Whether each open value is an object.
    open: Vec<bool>,
    state: State,
    /// The text of the last number.
    pub(in super::super) number: Vec<u8>,
}

/// Passes over white space.
pub(super) fn space(source: &mut Source<'_>) -> Result<Option<u8>, Stop> {
    loop {
        let byte = source.peek(1)?.first().copied();
        match byte {
            Some(b' ' | b'\t' | b'\r' | b'\n') => source.advance(1),
            _ => return Ok(byte),
        }
    }
}

impl Reader {
    pub(in super::super) const fn new() -> Self {
        Self { open: Vec::new(), state: State::Value, number: Vec::new() }
    }

    pub(in super::super) fn next(&mut self, source: &mut Source<'_>) -> Result<Event, Stop> {
        if self.state == State::After && self.open.is_empty() {
            return Ok(Event::End);
        }
        let Some(byte) = space(source)? else {
            return Err(source.refuse(Rule::J01, "the JSON value is cut off"));
        };
        match (self.state, byte) {
            (State::After, b',') => {
                source.advance(1);
                let object = self.open.last() == Some(&true);
                self.state = if object { State::Key } else { State::Value };
                self.next(source)
            }
            (State::After | State::FirstKey, b'}') if self.open.last() == Some(&true) => self.close(source),
            (State::After | State::FirstItem, b']') if self.open.last() == Some(&false) => self.close(source),
            (State::FirstKey | State::Key, b'"') => {
                let text = text(source)?;
                if space(source)? != Some(b':') {
                    return Err(source.refuse(Rule::J01, "a colon should follow a name"));
                }
                source.advance(1);
                self.state = State::Value;
                Ok(Event::Key(text))
            }
            (State::Value | State::FirstItem, _) => self.value(source, byte),
            _ => Err(source.refuse(Rule::J01, "this is no strict JSON")),
        }
    }

    fn close(&mut self, source: &mut Source<'_>) -> Result<Event, Stop> {
        source.advance(1);
        self.state = State::After;
        Ok(if self.open.pop() == Some(true) { Event::ObjectEnd } else { Event::ArrayEnd })
    }

    fn value(&mut self, source: &mut Source<'_>, byte: u8) -> Result<Event, Stop> {
        let object = byte == b'{';
        if object || byte == b'[' {
            if self.open.len() >= JSON_DEPTH_MAX {
                return Err(source.refuse(Rule::J01, format!("JSON deeper than {JSON_DEPTH_MAX}")));
            }
            source.advance(1);
            self.open.push(object);
            self.state = if object { State::FirstKey } else { State::FirstItem };
            return Ok(if object { Event::ObjectStart } else { Event::ArrayStart });
        }
        self.state = State::After;
        if byte == b'"' {
            return text(source).map(Event::Text);
        }
        self.number.clear();
        let word = source.peek(64)?;
        let len = word.iter().position(|b| !(b.is_ascii_alphanumeric() || b"+-.".contains(b)));
        let word = word.get(..len.unwrap_or(word.len())).unwrap_or_default();
        let event = match word {
            b"true" => Event::True,
            b"false" | b"null" => Event::Scalar,
            _ if is_number(word) => {
                self.number.extend_from_slice(word);
                Event::Scalar
            }
            _ => return Err(source.refuse(Rule::J01, "neither a value nor a number")),
        };
        let len = word.len();
        source.advance(len);
        Ok(event)
    }
}

fn is_number(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let leading_zero = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
    digits.first().is_some_and(u8::is_ascii_digit)
        && !leading_zero
        && digits.iter().all(|b| b.is_ascii_digit() || b"+-.eE".contains(b))
        && std::str::from_utf8(word).is_ok_and(|text| text.parse::<f64>().is_ok())
}

/// A text with its escapes resolved. What is longer than the bound is cut: it is no name and no path.
fn text(source: &mut Source<'_>) -> Result<Vec<u8>, Stop> {
    source.advance(1);
    let mut out = Vec::new();
    loop {
        let bytes = source.peek(4096)?;
        let plain = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).unwrap_or(bytes.len());
        let room = JSON_TEXT_LEN_MAX.saturating_sub(out.len());
        out.extend_from_slice(&bytes[..plain.min(room)]);
        let stopper = bytes.get(plain).copied();
        let empty = bytes.is_empty();
        source.advance(plain);
        match stopper {
            Some(b'"') => {
                source.advance(1);
                return Ok(out);
            }
            Some(b'\\') => {
                let escaped = escape(source)?;
                if out.len() < JSON_TEXT_LEN_MAX {
                    out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            Some(_) => return Err(source.refuse(Rule::J01, "a control character in a text")),
            None if empty => return Err(source.refuse(Rule::J01, "a text is cut off")),
            None => {}
        }
    }
}

fn escape(source: &mut Source<'_>) -> Result<char, Stop> {
    let [_, kind] = source.array(Rule::J01, "an escape")?;
    Ok(match kind {
        b'"' | b'\\' | b'/' => char::from(kind),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex(source)?;
            if (0xd800..0xdc00).contains(&high) && source.peek(2)? == b"\\u" {
                source.advance(2);
                let low = hex(source)?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(source.refuse(Rule::J01, "half of a character in an escape"));
                }
                let wide = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(wide).unwrap_or('\u{fffd}'));
            }
            char::from_u32(high).unwrap_or('\u{fffd}')
        }
        _ => return Err(source.refuse(Rule::J01, "an unknown escape")),
    })
}

fn hex(source: &mut Source<'_>) -> Result<u32, Stop> {
    let digits: [u8; 4] = source.array(Rule::J01, "an escape")?;
    let number = std::str::from_utf8(&digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|text| u32::from_str_radix(text, 16).ok());
    number.ok_or_else(|| source.refuse(Rule::J01, "four hexadecimal digits should follow"))
}
