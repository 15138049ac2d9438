//! Where a graph saves to and restores from.
//!
//! An honest SavedModel takes the path from whoever loads it: through a placeholder, or as the first argument of a
//! function. A path that the model itself names would let a call of it write files of its author's choice. Paths are
//! followed backwards through the operators that TensorFlow's own savers are made of, and through calls.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use super::super::limits::{GRAPH_BOUND_MAX, GRAPH_KEPT_LEN_MAX, GRAPH_NAME_LEN_MAX};
use crate::report::{Finding, Rule, Severity};

/// Inputs of one node that are remembered: a shard each, in a checkpoint of many.
const INPUTS_MAX: usize = 64;

/// Operators between a path and its beginning; a saver has eight.
const STEPS_MAX: u32 = 32;

/// What TensorFlow 1 gives a path that nobody fed.
const DEFAULT_NAME: &[u8] = b"model";

/// A name as a keyed hash: a million long ones take no more room than short ones.
type Name = (u64, u64);

/// What is read of one node.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) at: u64,
    pub(super) name: Vec<u8>,
    pub(super) operator: Vec<u8>,
    pub(super) inputs: Vec<Vec<u8>>,
    /// The only text of a constant, or what a joining operator puts between its inputs.
    pub(super) text: Option<Vec<u8>>,
    /// Functions that it names.
    pub(super) functions: Vec<Vec<u8>>,
}

/// A node that can be part of a path.
#[derive(Debug)]
struct Part {
    operator: Operator,
    inputs: Vec<Name>,
    text: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Constant,
    Placeholder,
    PlaceholderWithDefault,
    Same,
    Join,
    Choice,
    List,
}

fn operator(name: &[u8]) -> Option<Operator> {
    Some(match name {
        b"Const" => Operator::Constant,
        b"Placeholder" => Operator::Placeholder,
        b"PlaceholderWithDefault" => Operator::PlaceholderWithDefault,
        b"Identity" | b"ShardedFilename" => Operator::Same,
        b"StringJoin" => Operator::Join,
        b"Select" | b"SelectV2" => Operator::Choice,
        b"Pack" => Operator::List,
        _ => return None,
    })
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// With whoever feeds the graph.
    Fed,
    /// With whoever calls the function.
    Argument,
    /// With the model, or nobody can tell.
    Model,
}

/// The nodes of the graph, or of one function.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// A function's name, and how many arguments it has.
    function: Option<(Name, u64)>,
    first_argument: Option<Name>,
    parts: BTreeMap<Name, Part>,
    /// Paths that a node saves to or restores from.
    goals: Vec<(u64, Name)>,
    /// Calls: the function, and the first argument where it is handed on.
    calls: Vec<(u64, Name, Option<Name>)>,
}

/// One call of a function.
#[derive(Debug)]
struct Call {
    at: u64,
    caller: Option<(Name, u64)>,
    callee: Name,
    path: Origin,
}

/// All of a file's paths.
#[derive(Debug, Default)]
pub(super) struct Paths {
    hashers: (RandomState, RandomState),
    kept_len: usize,
    too_many: bool,
    saves: bool,
    findings: Vec<u64>,
    /// Functions whose first argument is a path, with the number of their arguments.
    savers: BTreeMap<Name, u64>,
    calls: Vec<Call>,
    /// How many of a function's last arguments the model binds itself.
    bound: BTreeMap<Name, u64>,
}

impl Paths {
    /// The node that a name or an input means. Names that are too long to be told apart mean none.
    fn name(&self, name: &[u8]) -> Name {
        // `node:output:0` is an output of `node`, and so is `node:0`.
        let name = name.split(|byte| *byte == b':').next().unwrap_or_default();
        if name.len() >= GRAPH_NAME_LEN_MAX {
            return Name::default();
        }
        (self.hashers.0.hash_one(name), self.hashers.1.hash_one(name))
    }

    /// What a function is called, and its arguments: the first one's name, and how many.
    pub(super) fn signature(&self, scope: &mut Scope, name: &[u8], first: &[u8], count: u64) {
        scope.function = Some((self.name(name), count));
        scope.first_argument = Some(self.name(first)).filter(|_| count > 0);
    }

    /// A function binds that many of its arguments to values of the model.
    pub(super) fn binds(&mut self, function: &[u8], count: u64) {
        if self.bound.len() >= GRAPH_BOUND_MAX {
            self.too_many = true;
            return;
        }
        let name = self.name(function);
        self.bound.insert(name, count);
    }

    /// Keeps what matters of a node.
    pub(super) fn node(&mut self, scope: &mut Scope, node: &Node) {
        let inputs: Vec<Name> = node
            .inputs
            .iter()
            .filter(|input| !input.starts_with(b"^"))
            .take(INPUTS_MAX + 1)
            .map(|input| self.name(input))
            .collect();
        let goals: &[usize] = match &node.operator[..] {
            b"SaveV2" | b"RestoreV2" => &[0],
            b"MergeV2Checkpoints" => &[0, 1],
            _ => &[],
        };
        let first = inputs
            .first()
            .copied()
            .filter(|_| matches!(&node.operator[..], b"PartitionedCall" | b"StatefulPartitionedCall"));
        let calls: Vec<Name> = node.functions.iter().map(|function| self.name(function)).collect();
        let part = operator(&node.operator)
            // Tensors of numbers are no paths.
            .filter(|operator| *operator != Operator::Constant || node.text.is_some())
            .filter(|_| inputs.len() <= INPUTS_MAX && node.name.len() < GRAPH_NAME_LEN_MAX)
            .map(|operator| Part { operator, inputs: inputs.clone(), text: node.text.clone() });
        self.saves |= !goals.is_empty();
        self.kept_len += 128 * (usize::from(part.is_some()) + calls.len() + goals.len())
            + part.as_ref().map_or(0, |part| 16 * part.inputs.len() + part.text.as_ref().map_or(0, Vec::len));
        if self.kept_len > GRAPH_KEPT_LEN_MAX {
            self.too_many = true;
            return;
        }
        let path = |index: &usize| inputs.get(*index).copied().unwrap_or_default();
        scope.goals.extend(goals.iter().map(|index| (node.at, path(index))));
        scope.calls.extend(calls.into_iter().map(|function| (node.at, function, first)));
        if let Some(part) = part {
            scope.parts.insert(self.name(&node.name), part);
        }
    }

    /// All nodes of a scope have been seen.
    pub(super) fn close(&mut self, scope: &Scope) {
        for (at, path) in &scope.goals {
            match (scope.origin(*path, STEPS_MAX), scope.function) {
                (Origin::Fed, None) => {}
                (Origin::Argument, Some((name, arguments))) => drop(self.savers.insert(name, arguments)),
                _ => self.findings.push(*at),
            }
        }
        for (at, callee, path) in &scope.calls {
            let path = path.map_or(Origin::Model, |path| scope.origin(path, STEPS_MAX));
            self.calls.push(Call { at: *at, caller: scope.function, callee: *callee, path });
        }
    }

    /// Judges every path, now that all functions are known.
    pub(super) fn judge(mut self) -> Vec<Finding> {
        if self.saves && self.too_many {
            return vec![finding(Severity::Warning, None, "a graph too large for its paths to be followed")];
        }
        self.hand_on();
        for call in &self.calls {
            let given = match call.path {
                Origin::Fed => call.caller.is_none(),
                Origin::Argument => true,
                Origin::Model => false,
            };
            if self.savers.contains_key(&call.callee) && !given {
                self.findings.push(call.at);
            }
        }
        let bound =
            |(name, arguments): (&Name, &u64)| self.bound.get(name).is_some_and(|count| count >= arguments);
        let mut findings = Vec::new();
        if self.savers.iter().any(bound) {
            findings.push(finding(
                Severity::Refuse,
                None,
                "a function that saves has its path bound to a value",
            ));
        }
        let message = "saves to or restores from a path that the model names";
        findings.extend(self.findings.iter().map(|at| finding(Severity::Refuse, Some(*at), message)));
        findings
    }

    /// A function that hands its first argument to a saver is a saver itself.
    fn hand_on(&mut self) {
        let mut callers: BTreeMap<Name, BTreeSet<(Name, u64)>> = BTreeMap::new();
        for call in &self.calls {
            if let (Origin::Argument, Some(caller)) = (call.path, call.caller) {
                callers.entry(call.callee).or_default().insert(caller);
            }
        }
        let mut new: Vec<Name> = self.savers.keys().copied().collect();
        while let Some(callee) = new.pop() {
            for (name, arguments) in callers.remove(&callee).unwrap_or_default() {
                if self.savers.insert(name, arguments).is_none() {
                    new.push(name);
                }
            }
        }
    }
}

impl Scope {
    /// Where a path comes from.
    fn origin(&self, name: Name, steps: u32) -> Origin {
        if self.first_argument == Some(name) {
            return Origin::Argument;
        }
        let Some(part) = self.parts.get(&name).filter(|_| steps > 0) else { return Origin::Model };
        let of = |input: &Name| self.origin(*input, steps - 1);
        let first = part.inputs.first().map_or(Origin::Model, of);
        match part.operator {
            Operator::Constant | Operator::Choice => Origin::Model,
            Operator::Placeholder => Origin::Fed,
            Operator::PlaceholderWithDefault => {
                let default = part.inputs.first().and_then(|input| self.parts.get(input));
                match default.and_then(|default| default.text.as_deref()) {
                    Some(DEFAULT_NAME) => Origin::Fed,
                    // One of these behind the other, as TensorFlow 1 writes them.
                    None if first == Origin::Fed => Origin::Fed,
                    _ => Origin::Model,
                }
            }
            Operator::Same => first,
            // A list of lists is no list of paths.
            Operator::List if steps < STEPS_MAX => Origin::Model,
            Operator::List if part.inputs.iter().all(|input| of(input) == first) => first,
            Operator::List => Origin::Model,
            Operator::Join => {
                let plain = part.text.as_deref().is_none_or(<[u8]>::is_empty)
                    && part.inputs.iter().skip(1).all(|input| self.is_ending(*input));
                if plain { first } else { Origin::Model }
            }
        }
    }

    /// Whether it can stand behind a path without leading elsewhere.
    fn is_ending(&self, name: Name) -> bool {
        let text = |name: &Name| {
            let part = self.parts.get(name).filter(|part| part.operator == Operator::Constant);
            part.and_then(|part| part.text.as_deref())
                .is_some_and(|text| !text.windows(2).any(|two| two == b".."))
        };
        match self.parts.get(&name) {
            Some(Part { operator: Operator::Choice, inputs, .. }) => {
                inputs.len() == 3 && inputs.iter().skip(1).all(text)
            }
            _ => text(&name),
        }
    }
}

fn finding(severity: Severity, offset: Option<u64>, message: &str) -> Finding {
    Finding { rule: Rule::O05, severity, offset, message: message.to_owned() }
}
