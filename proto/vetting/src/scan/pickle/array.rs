//! Arrays in the midst of a joblib pickle: their bytes follow the BUILD that describes them.

use super::super::source::{Source, Stop};
use super::machine::{self, Machine};
use super::value::Value;
use super::{Persistent, Storages};
use crate::report::Rule;

/// How deep arrays of objects may hold pickles of their own.
const NESTING_MAX: u32 = 4;

/// Length in bytes of a simple element type such as `f8`, `<i4`, `U12` or `O`, and whether it holds Python objects.
pub(in super::super) fn element(text: &[u8]) -> Option<(u32, bool)> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix(['<', '>', '|', '=']).unwrap_or(text);
    let kind = *text.as_bytes().first()?;
    let digits = text.get(1..)?;
    if digits.len() > 7 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // `M8[ns]`: a unit follows the length.
        let time = matches!(kind, b'M' | b'm') && digits.starts_with("8[") && digits.ends_with(']');
        return (time && digits.len() < 12).then_some((8, false));
    }
    let len: u32 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    match kind {
        b'O' => Some((8, true)),
        b'?' => Some((1, false)),
        b'b' if digits.is_empty() => Some((1, false)),
        b'b' | b'i' | b'u' | b'f' | b'c' | b'M' | b'm' if matches!(len, 1 | 2 | 4 | 8 | 16 | 32) => {
            Some((len, false))
        }
        b'S' | b'a' | b'V' => Some((len, false)),
        b'U' => Some((len.checked_mul(4)?, false)),
        _ => None,
    }
}

/// Reads over the array that the wrapper on the stack describes.
pub(super) fn read(machine: &mut Machine<'_>, source: &mut Source<'_>) -> Result<(), Stop> {
    let field = |name: &[u8]| {
        machine.state.iter().find(|(key, _)| machine.arena.text_of(*key) == Some(name)).map(|pair| pair.1)
    };
    let (dtype, shape, alignment) = (field(b"dtype"), field(b"shape"), field(b"numpy_array_alignment_bytes"));
    let Some(Value::Dtype { len_bytes, object }) = dtype else {
        return Err(machine.stop(Rule::K11, "an array of a type that is not a simple one"));
    };
    let count = shape.and_then(|shape| machine.arena.items_of(shape)).and_then(|items| {
        items.iter().try_fold(1_u64, |product, item| match item {
            Value::Int(size) => product.checked_mul(u64::try_from(*size).ok()?),
            _ => None,
        })
    });
    let Some(len) = count.and_then(|count| count.checked_mul(len_bytes.into())) else {
        return Err(machine.stop(Rule::K11, "an array without a shape of up to eight numbers"));
    };
    machine.outside_of_frames(source)?;
    machine.arrays = true;
    if object {
        if machine.nesting >= NESTING_MAX {
            return Err(machine.stop(Rule::F04, "arrays of objects lie too deep in each other"));
        }
        let nesting = machine.nesting + 1;
        let mut storages = Storages::new();
        machine::run(machine.scan, source, Persistent::Refused, &mut storages, nesting)?;
        return Ok(());
    }
    if matches!(alignment, Some(Value::Int(_))) {
        let [padding] = source.array(Rule::K11, "an array's padding")?;
        source.skip(padding.into(), Rule::K11, "an array's padding")?;
    }
    source.skip(len, Rule::K11, "an array")
}
