//! Honest files, as the public tools write them.

use super::graphs::{external, function, keras_h5, keras_zip, onnx, saved_model};
use super::savers::{call, node, saved, saver};
use super::torch::{data_pkl, legacy_torch, members};
use super::write::{
    Member, deflated, field, framed, global, gzip, hdf5, join, member, npy, number, safetensors, short, tar,
    unicode, zip, zlib,
};
use super::{Sample, sample};

pub fn all() -> Vec<Sample> {
    let mut all = pickles();
    all.extend(archives());
    all.extend(arrays());
    all.extend(json());
    all.extend(graphs());
    all
}

#[expect(clippy::too_many_lines, reason = "it is one table")]
fn pickles() -> Vec<Sample> {
    let t = "pickle";
    let numpy = |protocol: u8| {
        join(&[
            &[0x80, protocol],
            &global("numpy.core.multiarray", "_reconstruct"),
            b"q\0",
            &global("numpy", "ndarray"),
            b"q\x01K\0\x85q\x02C\x01bq\x03\x87q\x04Rq\x05(K\x01K\x02\x85q\x06",
            &global("numpy", "dtype"),
            b"q\x07",
            &unicode("f8"),
            b"q\x08\x89\x88\x87q\x09Rq\x0a(K\x03",
            &unicode("<"),
            b"q\x0bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tq\x0cb\x89C\x10",
            &[0; 16],
            b"q\x0dtq\x0eb.",
        ])
    };
    vec![
        sample(t, "none", b"\x80\x04N.".to_vec()),
        sample(t, "number in text", b"I42\n.".to_vec()),
        sample(t, "list in text", b"(lp0\nI1\naI2\na.".to_vec()),
        sample(t, "dictionary in text", b"(dp0\nS'a'\np1\nI1\ns.".to_vec()),
        sample(t, "protocol 1", b"]q\0(K\x01K\x02K\x03e.".to_vec()),
        sample(t, "protocol 2", join(&[b"\x80\x02}q\0", &unicode("a"), b"q\x01G\x3f\xf0\0\0\0\0\0\0s."])),
        sample(
            t,
            "framed",
            framed(&join(&[b"}\x94(", &short("a"), b"\x94K\x01", &short("b"), b"\x94]\x94(K\x01K\x02eu."])),
        ),
        sample(t, "frozen set", framed(b"(K\x01K\x02\x91\x94.")),
        sample(t, "set", framed(b"\x8f\x94(K\x01K\x02\x90.")),
        sample(t, "bytes", b"\x80\x05\x96\x04\0\0\0\0\0\0\0abcd\x94.".to_vec()),
        sample(
            t,
            "ordered dictionary",
            framed(&join(&[
                &short("collections"),
                b"\x94",
                &short("OrderedDict"),
                b"\x94\x93\x94)R\x94",
                &short("a"),
                b"\x94K\x01s.",
            ])),
        ),
        sample(
            t,
            "default dictionary",
            join(&[
                b"\x80\x02",
                &global("collections", "defaultdict"),
                &global("__builtin__", "list"),
                b"\x85R.",
            ]),
        ),
        sample(
            t,
            "date",
            join(&[
                b"\x80\x04",
                &short("datetime"),
                &short("datetime"),
                b"\x93C\x0a\x07\xea\x0b\x14\0\0\0\0\0\0\x85R.",
            ]),
        ),
        sample(
            t,
            "decimal",
            join(&[b"\x80\x04", &short("decimal"), &short("Decimal"), b"\x93", &short("1.5"), b"\x85R."]),
        ),
        sample(t, "numpy array", numpy(3)),
        sample(t, "numpy array of protocol 4", numpy(4)),
        sample(t, "two pickles", b"\x80\x04K\x01.\x80\x04K\x02.".to_vec()),
        sample(
            t,
            "long number",
            b"\x80\x02\x8a\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c.".to_vec(),
        ),
        sample(t, "compressed by joblib", zlib(b"\x80\x04}.")),
        sample(t, "compressed by gzip", gzip(b"\x80\x04]K\x01a.")),
        sample(t, "joblib array", joblib()),
        sample(t, "joblib array, compressed", zlib(&joblib())),
    ]
}

fn joblib() -> Vec<u8> {
    join(&[
        b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\nq\0)\x81q\x01}q\x02(",
        &unicode("subclass"),
        &global("numpy", "ndarray"),
        &unicode("shape"),
        b"K\x04\x85q\x03",
        &unicode("order"),
        &unicode("C"),
        &unicode("dtype"),
        b"cnumpy\ndtype\n",
        &unicode("f8"),
        b"\x89\x88\x87R(K\x03",
        &unicode("<"),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb",
        &unicode("allow_mmap"),
        b"\x88",
        &unicode("numpy_array_alignment_bytes"),
        b"K\x10ub\x03\xff\xff\xff",
        &[0; 32],
        b".",
    ])
}

fn archives() -> Vec<Sample> {
    let t = "archive";
    let aligned = |pickle: &[u8]| -> Vec<Member> {
        members(pickle).into_iter().map(|m| Member { extra: b"FB\x04\0ZZZZ".to_vec(), ..m }).collect()
    };
    vec![
        sample(t, "torch", zip(&members(&data_pkl(4)))),
        sample(t, "torch, aligned", zip(&aligned(&data_pkl(4)))),
        sample(t, "torch before 1.6", legacy_torch()),
        sample(t, "torch in tar", tar(&[("model.pt", &zip(&members(&data_pkl(4))))])),
        sample(t, "torch in tar.gz", gzip(&tar(&[("model.pt", &zip(&members(&data_pkl(4))))]))),
        sample(t, "torch in zip", zip(&[deflated("model.pt", &zip(&members(&data_pkl(4))))])),
        sample(
            t,
            "tar with a folder",
            join(&[&super::write::tar_member("d/", b'5', b""), &tar(&[("d/a.json", b"{}")])]),
        ),
        sample(t, "zip with a folder", zip(&[member("d/", b""), member("d/a.json", b"{\"a\": 1}")])),
        sample(
            t,
            "tar with times",
            join(&[
                &super::write::tar_member("a", b'x', b"20 mtime=1700000.25\n"),
                &tar(&[("a.json", b"{}")]),
            ]),
        ),
        sample(t, "npz", zip(&[member("a.npy", &npy(F4, &[0; 8])), member("b.npy", &npy(F4, &[1; 8]))])),
        sample(
            t,
            "compressed npz",
            zip(&[deflated(
                "a.npy",
                &npy("{'descr': '<f4', 'fortran_order': False, 'shape': (100, 100), }", &[0; 40_000]),
            )]),
        ),
    ]
}

const F4: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";

fn arrays() -> Vec<Sample> {
    let t = "array";
    let empty = r#"{"__metadata__":{"format":"pt"}}"#;
    let two = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]}}     "#;
    let order = r#"{"b":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
    vec![
        sample(t, "numpy", npy(F4, &[0; 8])),
        sample(t, "numpy, scalar", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (), }", &[0; 8])),
        sample(
            t,
            "numpy, Fortran",
            npy("{'descr': '>c16', 'fortran_order': True, 'shape': (1, 2), }", &[0; 32]),
        ),
        sample(t, "numpy, texts", npy("{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }", &[0; 24])),
        sample(
            t,
            "numpy, times",
            npy("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }", &[0; 8]),
        ),
        sample(
            t,
            "numpy, fields",
            npy(
                "{'descr': [('a', '<f4'), ('b', '<i2', (3,))], 'fortran_order': False, 'shape': (2,), }",
                &[0; 20],
            ),
        ),
        sample(
            t,
            "numpy, plain objects",
            npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04]K\x01a."),
        ),
        sample(t, "safetensors", safetensors(two, &[0; 16])),
        sample(t, "safetensors, empty", safetensors(empty, &[])),
        sample(t, "safetensors, any order", safetensors(order, &[0; 12])),
        sample(
            t,
            "safetensors, scalar",
            safetensors(r#"{"a":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}"#, &[0; 2]),
        ),
    ]
}

fn json() -> Vec<Sample> {
    let t = "JSON";
    [
        ("configuration", r#"{"architectures":["LlamaForCausalLM"],"hidden_size":64,"rope_scaling":null,"torch_dtype":"bfloat16"}"#),
        ("trust not asked for", r#"{"trust_remote_code":false}"#),
        ("tokenizer", r#"{"version":"1.0","model":{"type":"BPE","vocab":{"a":0,"class":1,".py":2,"lambda":3},"merges":["a b"]}}"#),
        ("tokenizer configuration", r#"{"chat_template":"{% for m in messages %}{{ m.content }}{% endfor %}","eos_token":"</s>"}"#),
        ("index", r#"{"metadata":{"total_size":16},"weight_map":{"a":"model-00001-of-00002.safetensors"}}"#),
        ("list", "[1, 2.5e-3, -4, true, null, \"\\u00e9\\ud83d\\ude00\"]\n"),
        ("sentence transformers", r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"}]"#),
        ("diffusers", r#"{"_class_name":"StableDiffusionPipeline","unet":["diffusers","UNet2DConditionModel"]}"#),
        ("unigram vocabulary", r#"{"model":{"type":"Unigram","vocab":[["main.py",-9.5],["a",0.0]]},"added_tokens":[{"content":"setup.py"}]}"#),
        ("lines", "{\"a\": 1}\n{\"a\": 2}\n"),
        ("adapter", r#"{"auto_mapping":{"base_model_class":"B","parent_library":"transformers.models.bert.modeling_bert"}}"#),
        ("attention", r#"{"_attn_implementation":"flash_attention_2"}"#),
        ("generation", r#"{"bos_token_id":1,"temperature":0.6}"#),
    ]
    .into_iter()
    .map(|(name, text)| sample(t, name, text.as_bytes().to_vec()))
    .collect()
}

fn graphs() -> Vec<Sample> {
    let t = "graph";
    let dense = r#"{"module":"keras.layers","class_name":"Dense","config":{"units":2,"activation":"relu","kernel_initializer":{"module":"keras.initializers","class_name":"GlorotUniform","config":{"seed":null},"registered_name":null}},"registered_name":null}"#;
    let old = r#"{"class_name": "Dense", "config": {"units": 2, "activation": "relu"}}"#;
    let relu = join(&[&field(1, b"x"), &field(2, b"y"), &field(4, b"Relu")]);
    let weights = join(&[&number(1, 1), &number(2, 1), &field(8, b"w"), &field(9, &[0; 4])]);
    vec![
        sample(t, "Keras 3", keras_zip(dense)),
        sample(t, "Keras HDF5", keras_h5(old)),
        sample(t, "weights in HDF5", hdf5(&[0x3f; 4096])),
        sample(t, "SavedModel", saved_model(&["Const", "MatMul", "StatefulPartitionedCall"], false)),
        sample(
            t,
            "SavedModel that is fed its path",
            saved(
                &[node("fed", "Placeholder", &[], None), call("c", "traced_save", &["fed", "v"])],
                &[("traced_save", &["file_prefix", "v"], saver("file_prefix", "_temp/part"))],
                &[],
            ),
        ),
        sample(
            t,
            "ONNX with functions",
            onnx(
                &join(&[&field(4, b"outer"), &field(7, b"local")]),
                &weights,
                &join(&[
                    &field(8, &field(1, b"local")),
                    &function("outer", &[("local", "inner")]),
                    &function("inner", &[("", "Relu")]),
                ]),
            ),
        ),
        sample(t, "SavedModel with functions", saved_model(&["MatMul", "Relu"], true)),
        sample(t, "ONNX", onnx(&relu, &weights, &[])),
        sample(t, "ONNX with data beside it", onnx(&relu, &external("model.onnx_data"), &[])),
    ]
}
