//! ONNX: the graph's operators, their domains, and where tensors say that their data lies. Functions of the model's own
//! are graphs by another name: what they hold is judged like the graph, and calls of them must end.

mod functions;

use super::Scan;
use super::graph::{Field, Message, Wire, pass, text};
use super::source::{Source, Stop};
use crate::report::{Rule, excerpt};
use functions::Functions;

/// Domains whose operators are defined by ONNX and its best-known runtime.
const DOMAINS: &[&[u8]] =
    &[b"", b"ai.onnx", b"ai.onnx.ml", b"ai.onnx.training", b"ai.onnx.preview.training", b"com.microsoft"];

/// Operators that run code of the model's own, whatever their domain.
const CODE: &[&[u8]] =
    &[b"PyOp", b"PythonOp", b"ATen", b"EPContext", b"TritonOp", b"ExternalOp", b"PyCustomOp"];

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    let whole = Message::whole(source);
    let mut functions = Functions::default();
    let mut has_graph = false;
    while let Some(field) = whole.next(source)? {
        let at = source.offset();
        match (field.number, field.wire) {
            (7, Wire::Bytes(len)) => {
                has_graph = true;
                let inner = whole.inner(source, len)?;
                graph(scan, source, inner, &mut functions)?;
            }
            (8, Wire::Bytes(len)) => {
                let inner = whole.inner(source, len)?;
                operator_set(source, inner, &mut functions)?;
            }
            (20, _) => {
                scan.refuse(Rule::O04, at, "training steps come with the model");
                pass(source, field)?;
            }
            (25, Wire::Bytes(len)) => {
                let inner = whole.inner(source, len)?;
                function(scan, source, inner, &mut functions)?;
            }
            (1..=6 | 14 | 26, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of an ONNX model")));
            }
        }
    }
    functions.judge(scan);
    if !has_graph {
        return Err(source.unknown(Rule::O01, "an ONNX model should have a graph"));
    }
    Ok(())
}

/// A function of the model's own: a name, operator sets, and nodes.
fn function(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    functions: &mut Functions,
) -> Result<(), Stop> {
    let (at, mut name, mut domain) = (source.offset(), Vec::new(), Vec::new());
    functions.enter();
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, _) => name = text(source, field)?,
            (10, _) => domain = text(source, field)?,
            (7, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                node(scan, source, inner, functions)?;
            }
            (9, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                operator_set(source, inner, functions)?;
            }
            (11, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                attribute(scan, source, inner, functions)?;
            }
            (2..=6 | 8 | 12..=14, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a function")));
            }
        }
    }
    functions.leave(at, &domain, &name);
    Ok(())
}

fn operator_set(source: &mut Source<'_>, message: Message, functions: &mut Functions) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        let at = source.offset();
        if field.number == 1 {
            let name = text(source, field)?;
            functions.uses_domain(at, &name);
        } else {
            pass(source, field)?;
        }
    }
    Ok(())
}

fn graph(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    functions: &mut Functions,
) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                node(scan, source, inner, functions)?;
            }
            (5, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                tensor(scan, source, inner)?;
            }
            (15, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                sparse(scan, source, inner)?;
            }
            (2 | 10..=14 | 16, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of an ONNX graph")));
            }
        }
    }
    Ok(())
}

fn node(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    functions: &mut Functions,
) -> Result<(), Stop> {
    let (at, mut name, mut domain) = (source.offset(), Vec::new(), Vec::new());
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (4, _) => {
                name = text(source, field)?;
                if CODE.contains(&&name[..]) {
                    scan.refuse(Rule::O02, at, format!("the operator {} runs code", excerpt(&name)));
                }
            }
            (7, _) => domain = text(source, field)?,
            (5, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                attribute(scan, source, inner, functions)?;
            }
            _ => pass(source, field)?,
        }
    }
    functions.calls(at, &domain, &name);
    Ok(())
}

fn attribute(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    functions: &mut Functions,
) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (5 | 10, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                tensor(scan, source, inner)?;
            }
            (6 | 11, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                graph(scan, source, inner, functions)?;
            }
            (22 | 23, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                sparse(scan, source, inner)?;
            }
            _ => pass(source, field)?,
        }
    }
    Ok(())
}

fn sparse(scan: &mut Scan, source: &mut Source<'_>, message: Message) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1 | 2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                tensor(scan, source, inner)?;
            }
            _ => pass(source, field)?,
        }
    }
    Ok(())
}

fn tensor(scan: &mut Scan, source: &mut Source<'_>, message: Message) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (13, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                external(scan, source, inner)?;
            }
            (1..=12 | 14 | 16, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of an ONNX tensor")));
            }
        }
    }
    Ok(())
}

/// One property of data that lies in another file.
fn external(scan: &mut Scan, source: &mut Source<'_>, message: Message) -> Result<(), Stop> {
    let (mut key, mut value, at) = (Vec::new(), Vec::new(), source.offset());
    while let Some(field @ Field { number, .. }) = message.next(source)? {
        match number {
            1 => key = text(source, field)?,
            2 => value = text(source, field)?,
            _ => pass(source, field)?,
        }
    }
    if key == b"location" {
        let outside = value.is_empty()
            || value.starts_with(b".")
            || value.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':' | b'%' | b'~' | 0..=0x1f));
        if outside {
            scan.refuse(Rule::O03, at, format!("data outside of the model's folder: {}", excerpt(&value)));
        } else {
            scan.note(Rule::O03, at, format!("data in the file {} beside it", excerpt(&value)));
        }
    }
    Ok(())
}
