//! TensorFlow graphs that save and restore: where the path comes from is what matters.

use super::write::{field, join, number};
use super::{Sample, sample};

/// A node with its inputs, and one attribute.
pub fn node(name: &str, operator: &str, inputs: &[&str], attribute: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut bytes = join(&[&field(1, name.as_bytes()), &field(2, operator.as_bytes())]);
    inputs.iter().for_each(|input| bytes.extend(field(3, input.as_bytes())));
    if let Some((key, value)) = attribute {
        bytes.extend(field(5, &join(&[&field(1, key.as_bytes()), &field(2, value)])));
    }
    bytes
}

/// A constant that is one text.
pub fn text(name: &str, text: &str) -> Vec<u8> {
    node(name, "Const", &[], Some(("value", &field(8, &field(8, text.as_bytes())))))
}

/// A call of a function.
pub fn call(name: &str, function: &str, inputs: &[&str]) -> Vec<u8> {
    node(name, "StatefulPartitionedCall", inputs, Some(("f", &field(10, &field(1, function.as_bytes())))))
}

/// A function: its name, its arguments and its nodes.
type Function<'f> = (&'f str, &'f [&'f str], Vec<Vec<u8>>);

/// A SavedModel of these nodes and functions.
pub fn saved(nodes: &[Vec<u8>], functions: &[Function<'_>], objects: &[u8]) -> Vec<u8> {
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    for (name, arguments, nodes) in functions {
        let mut signature = field(1, name.as_bytes());
        arguments.iter().for_each(|argument| signature.extend(field(2, &field(1, argument.as_bytes()))));
        let mut function = field(1, &signature);
        nodes.iter().for_each(|node| function.extend(field(3, node)));
        graph.extend(field(2, &field(1, &function)));
    }
    join(&[&number(1, 1), &field(2, &join(&[&field(2, &graph), &field(7, objects)]))])
}

/// What saves to `path`, as TensorFlow writes it.
pub fn saver(path: &str, ending: &str) -> Vec<Vec<u8>> {
    vec![
        text("ending", ending),
        node("join", "StringJoin", &[path, "ending"], None),
        node("shard", "ShardedFilename", &["join:output:0", "n", "m"], None),
        node("save", "SaveV2", &["shard:filename:0", "names"], None),
        node("list", "Pack", &["shard:filename:0"], None),
        node("merge", "MergeV2Checkpoints", &["list:output:0", path, "^save"], None),
    ]
}

/// Savers that take their path from the model, and not from who loads it.
pub fn hostile() -> Vec<Sample> {
    let t = "TensorFlow";
    let fed = || node("fed", "Placeholder", &[], None);
    let fixed = || text("fixed", "/home/user/.bashrc");
    let graph = |nodes: &[Vec<Vec<u8>>]| saved(&nodes.concat(), &[], &[]);
    let default = |text_of: &str| {
        vec![text("default", text_of), node("path", "PlaceholderWithDefault", &["default"], None)]
    };
    let separator = node("join", "StringJoin", &["fed", "ending"], Some(("separator", &field(2, b"/../"))));
    let mut all = vec![
        sample(t, "save to a constant", graph(&[vec![fixed()], saver("fixed", ".part")])),
        sample(
            t,
            "save to a constant through another",
            graph(&[vec![fixed(), node("same", "Identity", &["fixed:0"], None)], saver("same", ".part")]),
        ),
        sample(t, "save beside the path", graph(&[vec![fed()], saver("fed", "/../../.ssh/keys")])),
        sample(
            t,
            "save beside the path by separator",
            graph(&[vec![fed(), text("ending", "x"), separator, node("save", "SaveV2", &["join"], None)]]),
        ),
        sample(t, "save to a default", graph(&[default("/etc/cron.d/x"), saver("path", ".part")])),
        sample(
            t,
            "merge into a constant",
            graph(&[vec![fed(), fixed(), node("merge", "MergeV2Checkpoints", &["fed", "fixed"], None)]]),
        ),
        sample(
            t,
            "merge a constant",
            graph(&[vec![
                fed(),
                fixed(),
                node("list", "Pack", &["fed", "fixed"], None),
                node("merge", "MergeV2Checkpoints", &["list", "fed"], None),
            ]]),
        ),
        sample(
            t,
            "restore from a constant",
            graph(&[vec![fixed(), node("restore", "RestoreV2", &["fixed"], None)]]),
        ),
    ];
    all.extend(in_functions());
    all
}

/// The same through functions.
fn in_functions() -> Vec<Sample> {
    let t = "TensorFlow";
    let fed = || node("fed", "Placeholder", &[], None);
    let fixed = || text("fixed", "/home/user/.bashrc");
    let in_function = |nodes: Vec<Vec<u8>>, objects: &[u8]| {
        saved(&nodes, &[("write", &["path", "value"], saver("path", "_temp/part"))], objects)
    };
    let bound = field(2, &join(&[&field(1, b"write"), &field(2, &field(2, &[1, 2]))]));
    let branch = node("if", "If", &["c", "fed"], Some(("then_branch", &field(10, &field(1, b"write")))));
    vec![
        sample(
            t,
            "call of a saver with a constant",
            in_function(vec![fixed(), call("c", "write", &["fixed"])], &[]),
        ),
        sample(t, "saver as a branch", in_function(vec![fed(), branch], &[])),
        sample(
            t,
            "saver with its path bound",
            in_function(vec![fed(), call("c", "write", &["fed"])], &bound),
        ),
        sample(
            t,
            "call of a saver through a function",
            saved(
                &[fixed(), call("c", "outer", &["fixed"])],
                &[
                    ("outer", &["a"], vec![call("d", "write", &["a"])]),
                    ("write", &["path"], saver("path", ".part")),
                ],
                &[],
            ),
        ),
        sample(
            t,
            "constant in a function",
            saved(&[], &[("f", &["x"], [vec![fixed()], saver("fixed", "")].concat())], &[]),
        ),
    ]
}
