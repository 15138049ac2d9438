//! Opcodes that make plain data: numbers, texts and collections. None of them can name anything.

use super::super::source::{Source, Stop};
use super::machine::Machine;
use super::opcode;
use super::value::Value;
use crate::report::Rule;

/// `0x1950a86a20f9469cfc6c`, little-endian.
const TORCH_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

impl Machine<'_> {
    pub(super) fn number(&mut self, code: u8, source: &mut Source<'_>) -> Result<(), Stop> {
        let what = "a number";
        let value = match code {
            b'I' | b'L' | b'F' => {
                let line = opcode::line(source)?;
                if !can_be_number(code, &line) {
                    return Err(self.fatal(Rule::K01, "a number should be written with digits"));
                }
                if !line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
                    return Err(self.stop(Rule::K01, "a number should be written plainly"));
                }
                let number = std::str::from_utf8(&line).ok().and_then(|text| text.parse().ok());
                number.map_or(Value::Number, Value::Int)
            }
            b'J' => Value::Int(i32::from_le_bytes(source.array(Rule::K01, what)?).into()),
            b'K' => Value::Int(source.array::<1>(Rule::K01, what)?[0].into()),
            b'M' => Value::Int(u16::from_le_bytes(source.array(Rule::K01, what)?).into()),
            0x8a | 0x8b => {
                let (bytes, len) =
                    if code == 0x8a { opcode::counted::<1>(source)? } else { opcode::counted::<4>(source)? };
                if bytes == TORCH_MAGIC {
                    Value::TorchMagic
                } else if len > 8 {
                    Value::Number
                } else {
                    opcode::long(&bytes).map_or(Value::Number, Value::Int)
                }
            }
            b'G' => {
                source.array::<8>(Rule::K01, what)?;
                Value::Number
            }
            0x88 => Value::True,
            b'N' => Value::None,
            _ => Value::Plain,
        };
        self.push(value);
        Ok(())
    }

    pub(super) fn text(&mut self, code: u8, source: &mut Source<'_>) -> Result<(), Stop> {
        let (bytes, len) = match code {
            b'S' | b'V' => {
                let line = opcode::line(source)?;
                if code == b'S' && !matches!(line.first(), Some(b'\'' | b'"')) {
                    return Err(self.fatal(Rule::K01, "a text should stand in quotes"));
                }
                let text = if code == b'S' {
                    opcode::unquoted(&line)
                } else {
                    (!line.contains(&b'\\')).then_some(&line[..])
                };
                let value = text.map_or(Value::Plain, |text| self.arena.text(text));
                self.push(value);
                return Ok(());
            }
            b'U' | 0x8c | b'C' => opcode::counted::<1>(source)?,
            b'T' | b'X' | b'B' => opcode::counted::<4>(source)?,
            _ => opcode::counted::<8>(source)?,
        };
        // Bytes cannot name anything for STACK_GLOBAL. Old strings are texts or bytes as the reader likes.
        let is_text = !matches!(code, b'B' | b'C' | 0x8e | 0x96);
        let value = if is_text && bytes.len() as u64 == len { self.arena.text(&bytes) } else { Value::Plain };
        self.push(value);
        Ok(())
    }

    /// Opcodes that make collections of what is on the stack, or move it.
    pub(super) fn collection(&mut self, code: u8) -> Result<(), Stop> {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.pop_mark()?),
            b'2' => self.push(self.top()?),
            b')' => {
                self.tuple(&[])?;
            }
            b']' => self.push(Value::List),
            b'}' => self.push(Value::Dict),
            0x8f => self.push(Value::Set),
            b'l' | b'd' | 0x91 => {
                self.pop_mark()?;
                self.push(match code {
                    b'l' => Value::List,
                    b'd' => Value::Dict,
                    _ => Value::Object,
                });
            }
            b't' => {
                let items = self.pop_mark()?;
                self.tuple(&items)?;
            }
            0x85..=0x87 => {
                let mut items = [Value::Plain; 3];
                let count = usize::from(code - 0x84);
                for place in items[..count].iter_mut().rev() {
                    *place = self.pop()?;
                }
                self.tuple(&items[..count])?;
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.insert(code)?,
            _ => return Err(self.fatal(Rule::K01, format!("0x{code:02x} is no opcode"))),
        }
        Ok(())
    }

    fn tuple(&mut self, items: &[Value]) -> Result<(), Stop> {
        let Some(tuple) = self.arena.tuple(items) else {
            return Err(self.stop(Rule::K07, "a tuple holds itself so often that Python would not come back"));
        };
        self.push(tuple);
        Ok(())
    }

    fn insert(&mut self, code: u8) -> Result<(), Stop> {
        let items = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let fits = match self.top()? {
            Value::Foreign | Value::Trusted => true,
            Value::List | Value::Sequence => matches!(code, b'a' | b'e'),
            Value::Dict | Value::Mapping => matches!(code, b's' | b'u'),
            Value::Set => code == 0x90,
            _ => false,
        };
        if !fits {
            return Err(self.stop(Rule::K05, "puts items into something that is no collection"));
        }
        if matches!(code, b's' | b'u') {
            if items.len() % 2 != 0 {
                return Err(self.stop(Rule::K01, "an odd number of items for a dictionary"));
            }
            self.state.clear();
            if items.len() <= 32 {
                self.state.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                self.state_is_fresh = true;
            }
        }
        Ok(())
    }
}

/// Whether any reader could take the line for a number: digits of any base, `inf` and `nan`, `L`, and separators.
fn can_be_number(code: u8, line: &[u8]) -> bool {
    let letters: &[u8] = if code == b'F' { b"aefinty" } else { b"abcdefxolinty" };
    line.iter().all(|byte| !byte.is_ascii_alphabetic() || letters.contains(&byte.to_ascii_lowercase()))
}
