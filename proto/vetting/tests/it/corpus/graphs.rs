//! Keras, TensorFlow and ONNX models that carry or reach for code and files.

use super::torch::evil;
use super::write::{field, gzip, hdf5, join, member, number, zip};
use super::{Sample, sample};

pub fn hostile() -> Vec<Sample> {
    let mut all = keras();
    all.extend(tensorflow());
    all.extend(onnx_models());
    all
}

/// A Keras model with that layer, as the archive of version 3.
pub fn keras_zip(layer: &str) -> Vec<u8> {
    let config = format!(
        r#"{{"module":"keras","class_name":"Sequential","config":{{"name":"s","layers":[{layer}]}},"registered_name":null}}"#
    );
    zip(&[
        member("metadata.json", br#"{"keras_version":"3.5.0","date_saved":"2026-01-01"}"#),
        member("config.json", config.as_bytes()),
        member("model.weights.h5", &hdf5(&[0; 512])),
    ])
}

/// The same as HDF5.
pub fn keras_h5(layer: &str) -> Vec<u8> {
    let config = format!(r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [{layer}]}}}}"#);
    hdf5(&join(&[&[0; 200], b"model_config\0\0\0\0", config.as_bytes(), &[0; 64]]))
}

fn keras() -> Vec<Sample> {
    let t = "Keras";
    let lambda = r#"{"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAA=", null, null]}}"#;
    let nested = format!(r#"{{"class_name": "TimeDistributed", "config": {{"layer": {lambda}}}}}"#);
    let deep = format!(
        r#"{{"class_name": "Functional", "config": {{"layers": [{{"class_name": "Model", "config": {{"layers": [{nested}]}}}}]}}}}"#
    );
    let get_file = r#"{"module":"keras.utils","class_name":"function","config":"get_file","registered_name":"get_file"}"#;
    let mut all = Vec::new();
    for (name, layer) in [
        ("Lambda", lambda),
        ("nested Lambda", &nested),
        ("deep Lambda", &deep),
        ("escaped Lambda", r#"{"class_name": "\u004cambda", "config": {}}"#),
        ("TFSMLayer", r#"{"class_name": "TFSMLayer", "config": {"filepath": "/tmp/x"}}"#),
        ("registered elsewhere", r#"{"class_name": "Custom>Evil", "config": {}}"#),
    ] {
        all.push(sample(t, format!("{name} in version 3"), keras_zip(layer)));
        all.push(sample(t, format!("{name} in HDF5"), keras_h5(layer)));
    }
    for (name, layer) in [
        ("class of another module", r#"{"module":"os","class_name":"Popen","config":{}}"#),
        (
            "function of another module",
            r#"{"module":"os","class_name":"function","config":"system","registered_name":"system"}"#,
        ),
        ("function of Keras that fetches", get_file),
        (
            "builtin function",
            r#"{"module":"builtins","class_name":"function","config":"eval","registered_name":"eval"}"#,
        ),
        ("__lambda__", r#"{"class_name":"__lambda__","config":{"value":"4wEAAAA="}}"#),
        ("submodule", r#"{"module":"keras.src.utils.python_utils","class_name":"func_load","config":{}}"#),
        (
            "vocabulary from a file",
            r#"{"module":"keras.layers","class_name":"StringLookup","config":{"vocabulary":"/etc/passwd"}}"#,
        ),
        (
            "registered name",
            r#"{"module":"keras.layers","class_name":"Dense","config":{},"registered_name":"evil>Dense"}"#,
        ),
        (
            "TorchModuleWrapper",
            r#"{"module":"keras.layers","class_name":"TorchModuleWrapper","config":{"module":"x"}}"#,
        ),
        (
            "repeated class name",
            r#"{"module":"keras.layers","class_name":"Dense","class_name":"Dropout","config":{}}"#,
        ),
    ] {
        all.push(sample(t, name, keras_zip(layer)));
    }
    all.push(sample(t, "pickle beside", zip(&[member("config.json", b"{}"), member("x.pkl", &evil())])));
    all.push(sample(
        t,
        "configuration out of reach",
        hdf5(b"model_config\0{broken \"class_name\": \"Lambda\"}"),
    ));
    all.push(sample(t, "configuration of no text", hdf5(&join(&[b"model_config\0", &gzip(b"x")]))));
    all.push(sample(t, "bytes behind HDF5", join(&[&hdf5(&[0; 64]), &evil()])));
    let link = b"\x01\x08\x40\x04evil\x0f\x00\x00/etc/passwd\x00/\x00\x00\x00";
    all.push(sample(t, "external link", hdf5(&join(&[&[0; 40], &link[..link.len() - 2]]))));
    let storage = join(&[b"\x01\0\0\0\x01\0\x01\0", &112_u64.to_le_bytes(), b"HEAP\0\0\0\0/etc/passwd\0"]);
    all.push(sample(t, "external storage", hdf5(&storage)));
    let layout = join(&[b"\x04\x03", &112_u64.to_le_bytes(), &[0; 6], b"GCOL\x01\0\0\0other.h5\0"]);
    all.push(sample(t, "virtual data set", hdf5(&layout)));
    all
}

/// A SavedModel with these operators.
pub fn saved_model(operators: &[&str], in_function: bool) -> Vec<u8> {
    let nodes: Vec<u8> = operators
        .iter()
        .flat_map(|name| {
            let node = join(&[&field(1, b"node"), &field(2, name.as_bytes())]);
            field(if in_function { 3 } else { 1 }, &node)
        })
        .collect();
    let graph = if in_function {
        join(&[&field(1, &join(&[&field(1, b"c"), &field(2, b"Const")])), &field(2, &field(1, &nodes))])
    } else {
        nodes
    };
    join(&[&number(1, 1), &field(2, &field(2, &graph))])
}

fn tensorflow() -> Vec<Sample> {
    let t = "TensorFlow";
    let mut all: Vec<Sample> = [
        "ReadFile",
        "WriteFile",
        "PyFunc",
        "EagerPyFunc",
        "MatchingFiles",
        "TextLineDataset",
        "Rpc",
        "DeleteFile",
        "MadeUpOp",
    ]
    .iter()
    .map(|name| sample(t, *name, saved_model(&["Const", name, "Identity"], false)))
    .collect();
    all.push(sample(t, "ReadFile in a function", saved_model(&["ReadFile"], true)));
    all.push(sample(t, "PyFunc in a function", saved_model(&["PyFunc"], true)));
    all.push(sample(t, "graph alone", field(1, &join(&[&field(1, b"n"), &field(2, b"WriteFile")]))));
    all.push(sample(t, "unknown field", join(&[&saved_model(&["Const"], false), &field(9, &evil())])));
    all.push(sample(t, "pickle behind", join(&[&saved_model(&["Const"], false), &evil()])));
    all
}

/// An ONNX model of one node, with these fields beside its graph.
pub fn onnx(node: &[u8], tensor: &[u8], more: &[u8]) -> Vec<u8> {
    let graph = join(&[&field(1, node), &field(2, b"g"), &field(5, tensor)]);
    join(&[&number(1, 8), &field(2, b"made"), &field(7, &graph), &field(8, &number(2, 17)), more])
}

/// An ONNX model of one node of that domain.
pub fn onnx_node(domain: &str, name: &str) -> Vec<u8> {
    let weights = join(&[&number(1, 1), &field(9, &[0; 4])]);
    let node = join(&[&field(4, name.as_bytes()), &field(7, domain.as_bytes())]);
    onnx(&node, &weights, &field(8, &field(1, domain.as_bytes())))
}

pub fn external(location: &str) -> Vec<u8> {
    let entry = join(&[&field(1, b"location"), &field(2, location.as_bytes())]);
    join(&[&number(1, 2), &field(8, b"w"), &field(13, &entry), &number(14, 1)])
}

/// A function of the domain `local` that holds these operators.
pub fn function(name: &str, operators: &[(&str, &str)]) -> Vec<u8> {
    let nodes: Vec<u8> = operators
        .iter()
        .flat_map(|(domain, name)| {
            field(7, &join(&[&field(4, name.as_bytes()), &field(7, domain.as_bytes())]))
        })
        .collect();
    field(25, &join(&[&field(1, name.as_bytes()), &nodes, &field(10, b"local")]))
}

fn onnx_models() -> Vec<Sample> {
    let t = "ONNX";
    let relu = field(4, b"Relu");
    let weights = join(&[&number(1, 1), &field(9, &[0; 4])]);
    let inner = field(6, &field(1, &join(&[&field(4, b"Evil"), &field(7, b"evil.ops")])));
    vec![
        sample(t, "data above", onnx(&relu, &external("../../etc/passwd"), &[])),
        sample(t, "absolute data", onnx(&relu, &external("/etc/passwd"), &[])),
        sample(t, "data by address", onnx(&relu, &external("file://x"), &[])),
        sample(t, "data by backslash", onnx(&relu, &external("..\\x"), &[])),
        sample(
            t,
            "data in an attribute",
            onnx(&join(&[&relu, &field(5, &field(5, &external("../x")))]), &weights, &[]),
        ),
        sample(t, "custom domain", onnx(&join(&[&relu, &field(7, b"evil.ops")]), &weights, &[])),
        sample(t, "custom domain of the set", onnx(&relu, &weights, &field(8, &field(1, b"evil.ops")))),
        sample(t, "custom operator in a branch", onnx(&join(&[&relu, &field(5, &inner)]), &weights, &[])),
        sample(t, "PyOp", onnx(&field(4, b"PyOp"), &weights, &[])),
        sample(t, "PyOp in a function", onnx(&relu, &weights, &function("f", &[("", "PyOp")]))),
        sample(
            t,
            "other domain in a function",
            onnx(&relu, &weights, &function("f", &[("evil.ops", "Run")])),
        ),
        sample(t, "function that calls itself", onnx(&relu, &weights, &function("f", &[("local", "f")]))),
        sample(
            t,
            "functions that call each other",
            onnx(
                &relu,
                &weights,
                &join(&[&function("f", &[("local", "g")]), &function("g", &[("local", "f")])]),
            ),
        ),
        sample(
            t,
            "operator beside a function",
            onnx(&join(&[&field(4, b"g"), &field(7, b"local")]), &weights, &function("f", &[("", "Relu")])),
        ),
        sample(
            t,
            "data above, in a function",
            onnx(
                &relu,
                &weights,
                &field(
                    25,
                    &join(&[
                        &field(1, b"f"),
                        &field(10, b"local"),
                        &field(7, &join(&[&field(4, b"Constant"), &field(5, &field(5, &external("../x")))])),
                    ]),
                ),
            ),
        ),
        sample(t, "training", onnx(&relu, &weights, &field(20, b""))),
        sample(t, "unknown field", onnx(&relu, &weights, &field(99, &evil()))),
        sample(t, "pickle behind", join(&[&onnx(&relu, &weights, &[]), &evil()])),
        sample(t, "zip behind", join(&[&onnx(&relu, &weights, &[]), &zip(&[member("a", b"{}")])])),
    ]
}
