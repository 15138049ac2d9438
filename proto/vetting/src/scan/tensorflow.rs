//! TensorFlow: SavedModels and graphs. Operators are data flow except for those that read, write or call Python, so
//! only listed ones pass, and those that save go only where their caller says.

mod node;
mod operators;
mod paths;

use super::Scan;
use super::graph::{Message, Wire, pass, text};
use super::source::{Source, Stop};
use crate::report::{Rule, Severity, excerpt};
use paths::{Paths, Scope};

/// What is learned on the way through a file.
#[derive(Default)]
struct Walk {
    nodes: u64,
    paths: Paths,
}

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    let whole = Message::whole(source);
    let saved_model = source.peek(1)? == [0x08];
    let mut walk = Walk::default();
    if saved_model {
        saved(scan, source, whole, &mut walk)?;
    } else {
        graph(scan, source, whole, &mut walk)?;
    }
    for finding in walk.paths.judge() {
        scan.unknown |= finding.severity == Severity::Warning;
        scan.add(finding);
    }
    if walk.nodes == 0 {
        return Err(source.unknown(Rule::O01, "a graph should have nodes"));
    }
    Ok(())
}

fn saved(scan: &mut Scan, source: &mut Source<'_>, message: Message, walk: &mut Walk) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Number(1)) => {}
            (2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                meta_graph(scan, source, inner, walk)?;
            }
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a SavedModel")));
            }
        }
    }
    Ok(())
}

fn meta_graph(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    walk: &mut Walk,
) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                graph(scan, source, inner, walk)?;
            }
            (7, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                objects(source, inner, walk)?;
            }
            (1..=8, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a meta graph")));
            }
        }
    }
    Ok(())
}

fn graph(scan: &mut Scan, source: &mut Source<'_>, message: Message, walk: &mut Walk) -> Result<(), Stop> {
    let mut scope = Scope::default();
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                node(scan, source, inner, &mut scope, walk)?;
            }
            (2, Wire::Bytes(len)) => {
                let inner = message.inner(source, len)?;
                library(scan, source, inner, walk)?;
            }
            (3..=5, _) => pass(source, field)?,
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a graph")));
            }
        }
    }
    walk.paths.close(&scope);
    Ok(())
}

/// Functions are graphs too; operators hide in them.
fn library(scan: &mut Scan, source: &mut Source<'_>, message: Message, walk: &mut Walk) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        let (1, Wire::Bytes(len)) = (field.number, field.wire) else {
            pass(source, field)?;
            continue;
        };
        let function = message.inner(source, len)?;
        let mut scope = Scope::default();
        while let Some(field) = function.next(source)? {
            match (field.number, field.wire) {
                (1, Wire::Bytes(len)) => {
                    let inner = function.inner(source, len)?;
                    signature(source, inner, &mut scope, walk)?;
                }
                (3, Wire::Bytes(len)) => {
                    let inner = function.inner(source, len)?;
                    node(scan, source, inner, &mut scope, walk)?;
                }
                _ => pass(source, field)?,
            }
        }
        walk.paths.close(&scope);
    }
    Ok(())
}

/// A function's name and what its arguments are called.
fn signature(source: &mut Source<'_>, message: Message, scope: &mut Scope, walk: &Walk) -> Result<(), Stop> {
    let (mut name, mut first, mut count) = (Vec::new(), Vec::new(), 0);
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, _) => name = text(source, field)?,
            (2, Wire::Bytes(len)) => {
                let argument = message.inner(source, len)?;
                count += 1;
                while let Some(field) = argument.next(source)? {
                    match field.number {
                        1 if count == 1 => first = text(source, field)?,
                        _ => pass(source, field)?,
                    }
                }
            }
            _ => pass(source, field)?,
        }
    }
    walk.paths.signature(scope, &name, &first, count);
    Ok(())
}

/// The objects of a SavedModel: which functions have arguments bound to values of the model.
fn objects(source: &mut Source<'_>, message: Message, walk: &mut Walk) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        let (2, Wire::Bytes(len)) = (field.number, field.wire) else {
            pass(source, field)?;
            continue;
        };
        let entry = message.inner(source, len)?;
        let (mut name, mut count) = (Vec::new(), 0);
        while let Some(field) = entry.next(source)? {
            match (field.number, field.wire) {
                (1, _) => name = text(source, field)?,
                (2, Wire::Bytes(len)) => {
                    let function = entry.inner(source, len)?;
                    count += node::numbers(source, function, 2)?;
                }
                _ => pass(source, field)?,
            }
        }
        walk.paths.binds(&name, count);
    }
    Ok(())
}

fn node(
    scan: &mut Scan,
    source: &mut Source<'_>,
    message: Message,
    scope: &mut Scope,
    walk: &mut Walk,
) -> Result<(), Stop> {
    walk.nodes += 1;
    let node = node::read(source, message, |at, name| {
        if operators::DANGEROUS.contains(&name) {
            let message = format!("the operator {} reads, writes or runs", excerpt(name));
            scan.refuse(Rule::O02, at, message);
        } else if !operators::is_plain(name) && !scan.policy.allows_operator(b"", name) {
            let shown = excerpt(name);
            let message = format!(
                "the operator {shown} is not on the list; if a loader of yours knows it, the fleet's publishers allow \
                 it: croftctl intake allow --operator {shown} --reason WHY"
            );
            scan.refuse(Rule::O02, at, message);
        }
    })?;
    walk.paths.node(scope, &node);
    Ok(())
}
