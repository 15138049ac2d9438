//! TensorFlow: SavedModels and graphs. Operators are data flow except for those that read, write or call Python, so
//! only listed ones pass.

mod operators;

use super::Scan;
use super::graph::{Message, Wire, pass, text};
use super::source::{Source, Stop};
use crate::report::{Rule, excerpt};

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    let whole = Message::whole(source);
    let saved_model = source.peek(1)? == [0x08];
    let mut nodes = 0;
    if !saved_model {
        graph(scan, source, whole, &mut nodes)?;
        return enough(source, nodes);
    }
    while let Some(field) = whole.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Number(1)) => {}
            (2, Wire::Bytes(len)) => {
                let inner = whole.inner(source, len)?;
                meta_graph(scan, source, inner, &mut nodes)?;
            }
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a SavedModel")));
            }
        }
    }
    enough(source, nodes)
}

fn enough(source: &Source<'_>, nodes: u64) -> Result<(), Stop> {
    if nodes == 0 {
        return Err(source.unknown(Rule::O01, "a graph should have nodes"));
    }
    Ok(())
}

fn meta_graph(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    nodes: &mut u64,
) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                graph(scan, source, inner, nodes)?;
            }
            (1..=8, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a meta graph")));
            }
        }
    }
    Ok(())
}

fn graph(scan: &mut Scan, source: &mut Source<'_>, message: Message, nodes: &mut u64) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                node(scan, source, inner, nodes)?;
            }
            (2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                library(scan, source, inner, nodes)?;
            }
            (3..=5, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a graph")));
            }
        }
    }
    Ok(())
}

/// Functions are graphs too; operators hide in them.
fn library(scan: &mut Scan, source: &mut Source<'_>, message: Message, nodes: &mut u64) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        let Wire::Bytes(len) = field.wire else {
            pass(source, field)?;
            continue;
        };
        if field.number != 1 {
            pass(source, field)?;
            continue;
        }
        let function = message.inner(source, len)?;
        while let Some(field) = function.next(source)? {
            match (field.number, field.wire) {
                (3, Wire::Bytes(len)) => {
                    let inner = function.inner(source, len)?;
                    node(scan, source, inner, nodes)?;
                }
                _ => pass(source, field)?,
            }
        }
    }
    Ok(())
}

fn node(scan: &mut Scan, source: &mut Source<'_>, message: Message, nodes: &mut u64) -> Result<(), Stop> {
    *nodes += 1;
    while let Some(field) = message.next(source)? {
        let at = source.offset();
        match (field.number, field.wire) {
            (2, _) => {
                let name = text(source, field)?;
                if operators::DANGEROUS.contains(&&name[..]) {
                    let message = format!("the operator {} reads, writes or runs", excerpt(&name));
                    scan.refuse(Rule::O02, at, message);
                } else if operators::PLAIN.binary_search(&&name[..]).is_err() {
                    scan.refuse(Rule::O02, at, format!("the operator {} is not on the list", excerpt(&name)));
                }
            }
            (1 | 3..=7, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a node")));
            }
        }
    }
    Ok(())
}
