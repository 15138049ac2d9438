//! Numpy arrays: a header that is a plain description, and data of exactly its length. Arrays of objects are pickles.

use super::Scan;
use super::limits::{NUMPY_DEPTH_MAX, NUMPY_HEADER_LEN_MAX};
use super::pickle::{self, Persistent, Storages};
use super::source::{Source, Stop};
use crate::report::{Rule, excerpt};

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    let [.., major, minor]: [u8; 8] = source.array(Rule::N01, "the magic")?;
    let len = match (major, minor) {
        (1, 0) => u64::from(u16::from_le_bytes(source.array(Rule::N01, "the header's length")?)),
        (2 | 3, 0) => u64::from(u32::from_le_bytes(source.array(Rule::N01, "the header's length")?)),
        _ => return Err(source.refuse(Rule::N01, format!("version {major}.{minor} is not known"))),
    };
    if len > NUMPY_HEADER_LEN_MAX {
        return Err(source.refuse(Rule::N01, format!("a header of {len} bytes")));
    }
    let at = source.offset();
    let header = source.take(len, usize::try_from(len).unwrap_or(0), Rule::N01, "the header")?;
    let Some((element, object, count)) = describe(&header) else {
        let message = format!("the header is no plain description: {}", excerpt(&header));
        return Err(Stop::refused(Rule::N01, at, message));
    };
    if object {
        let at = source.offset();
        scan.note(Rule::N01, at, "an array of Python objects is a pickle");
        pickle::judge(scan, source, Persistent::Refused, &mut Storages::new())?;
        return Ok(());
    }
    let Some(len) = count.checked_mul(element) else {
        return Err(Stop::refused(Rule::N02, at, "the array is longer than any file"));
    };
    source.skip(len, Rule::N02, "the array")?;
    if !source.at_end()? {
        return Err(source.refuse(Rule::N02, "bytes follow the array"));
    }
    Ok(())
}

/// Length of an element in bytes, whether it is an object, and the number of elements.
fn describe(header: &[u8]) -> Option<(u64, bool, u64)> {
    let text = std::str::from_utf8(header).ok()?;
    let inner = text.trim_end().strip_prefix('{')?.strip_suffix('}')?;
    let (mut element, mut order, mut count) = (None, None, None);
    let mut rest = inner.trim_start();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        rest = after.trim_start().strip_prefix(':')?.trim_start();
        match key {
            "descr" if element.is_none() => {
                let (found, after) = description(rest, NUMPY_DEPTH_MAX)?;
                element = Some(found);
                rest = after;
            }
            "fortran_order" if order.is_none() => {
                rest = rest.strip_prefix("True").or_else(|| rest.strip_prefix("False"))?;
                order = Some(());
            }
            "shape" if count.is_none() => {
                let (product, after) = shape(rest)?;
                count = Some(product);
                rest = after;
            }
            _ => return None,
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    order?;
    let (len, object) = element?;
    Some((len, object, count?))
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text.strip_prefix('\'')?.split_once('\'')?;
    (!inner.contains('\\')).then_some((inner, rest))
}

/// `(3, 4)`, and its product.
fn shape(text: &str) -> Option<(u64, &str)> {
    let (inner, rest) = text.strip_prefix('(')?.split_once(')')?;
    let mut product = 1_u64;
    for item in inner.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        product = product.checked_mul(item.parse().ok()?)?;
    }
    Some((product, rest))
}

/// `'<f4'`, or `[('name', '<f4'), ('other', '<i2', (3,))]`.
fn description(text: &str, depth: u32) -> Option<((u64, bool), &str)> {
    if let Some((name, rest)) = quoted(text) {
        let (len, object) = pickle::element(name.as_bytes())?;
        return Some(((len.into(), object), rest));
    }
    let depth = depth.checked_sub(1)?;
    let mut rest = text.strip_prefix('[')?.trim_start();
    let (mut total, mut objects) = (0_u64, false);
    while let Some(inside) = rest.strip_prefix('(') {
        let (_, after) = quoted(inside.trim_start())?;
        let after = after.trim_start().strip_prefix(',')?.trim_start();
        let ((len, object), after) = description(after, depth)?;
        let mut after = after.trim_start();
        let mut times = 1;
        if let Some(more) = after.strip_prefix(',').map(str::trim_start)
            && more.starts_with('(')
        {
            (times, after) = shape(more)?;
            after = after.trim_start();
        }
        rest = after.strip_prefix(')')?.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        total = total.checked_add(len.checked_mul(times)?)?;
        objects |= object;
    }
    Some(((total, objects), rest.strip_prefix(']')?))
}
