//! One node of a graph, as much of it as paths are followed by.

use super::super::graph::{Message, Wire, pass, text};
use super::super::limits::GRAPH_INPUTS_MAX;
use super::super::source::{Source, Stop};
use super::paths::Node;
use crate::report::Rule;

/// Longest text of a constant that can be a part of a path, in bytes.
const TEXT_LEN_MAX: usize = 1024;

/// Most functions that one node names.
const FUNCTIONS_MAX: usize = 256;

/// Reads a node. `judge` is asked about every operator that it names, where it names it.
pub(super) fn read(
    source: &mut Source<'_>,
    message: Message,
    mut judge: impl FnMut(u64, &[u8]),
) -> Result<Node, Stop> {
    let mut node = Node { at: source.offset(), ..Node::default() };
    while let Some(field) = message.next(source)? {
        let at = source.offset();
        match (field.number, field.wire) {
            (1, _) => node.name = text(source, field)?,
            (2, _) => {
                node.operator = text(source, field)?;
                node.at = at;
                judge(at, &node.operator);
            }
            (3, _) => {
                let input = text(source, field)?;
                // What reaches this many inputs is no path.
                if node.inputs.len() < GRAPH_INPUTS_MAX {
                    node.inputs.push(input);
                }
            }
            (5, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                attribute(source, inner, &mut node)?;
            }
            (4..=7, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a node")));
            }
        }
    }
    Ok(node)
}

fn attribute(source: &mut Source<'_>, message: Message, node: &mut Node) -> Result<(), Stop> {
    let mut key = Vec::new();
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, _) => key = text(source, field)?,
            (2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                value(source, inner, &key, node)?;
            }
            _ => pass(source, field)?,
        }
    }
    Ok(())
}

fn value(source: &mut Source<'_>, message: Message, key: &[u8], node: &mut Node) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Bytes(len)) => {
                let list = message.inner(source, len)?;
                while let Some(field) = list.next(source)? {
                    match (field.number, field.wire) {
                        (9, Wire::Bytes(len)) => {
                            let inner = list.inner(source, len)?;
                            function(source, inner, node)?;
                        }
                        _ => pass(source, field)?,
                    }
                }
            }
            (2, Wire::Bytes(_)) if key == b"separator" => node.text = Some(text(source, field)?),
            (8, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                let text = only_text(source, inner)?;
                if node.text.is_none() {
                    node.text = text;
                }
            }
            (10, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                function(source, inner, node)?;
            }
            _ => pass(source, field)?,
        }
    }
    Ok(())
}

fn function(source: &mut Source<'_>, message: Message, node: &mut Node) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        if field.number != 1 {
            pass(source, field)?;
            continue;
        }
        let name = text(source, field)?;
        if node.functions.len() >= FUNCTIONS_MAX {
            return Err(source.refuse(Rule::F04, format!("a node of more than {FUNCTIONS_MAX} functions")));
        }
        node.functions.push(name);
    }
    Ok(())
}

/// The text of a tensor that holds exactly one.
fn only_text(source: &mut Source<'_>, message: Message) -> Result<Option<Vec<u8>>, Stop> {
    let (mut found, mut count) = (None, 0_u64);
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (8, Wire::Bytes(len)) => {
                count += 1;
                found = (len <= TEXT_LEN_MAX as u64).then_some(text(source, field)?);
            }
            _ => pass(source, field)?,
        }
    }
    Ok(found.filter(|_| count == 1))
}

/// How many numbers a field of a message holds, packed or not.
pub(super) fn numbers(source: &mut Source<'_>, message: Message, number: u64) -> Result<u64, Stop> {
    let mut count = 0;
    while let Some(field) = message.next(source)? {
        match (field.number == number, field.wire) {
            (true, Wire::Bytes(mut left)) => {
                while left > 0 {
                    let [byte] = source.array(Rule::O01, "a number")?;
                    count += u64::from(byte & 0x80 == 0);
                    left -= 1;
                }
            }
            (true, Wire::Number(_)) => count += 1,
            _ => pass(source, field)?,
        }
    }
    Ok(count)
}
