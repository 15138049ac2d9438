//! Arrays, safetensors and JSON that are not what they should be.

use super::torch::evil;
use super::write::{deflated, join, member, npy, safetensors, zip};
use super::{Sample, sample};

pub fn hostile() -> Vec<Sample> {
    let mut all = arrays();
    all.extend(tensors());
    all.extend(json());
    all
}

fn arrays() -> Vec<Sample> {
    let t = "numpy";
    let object = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", &evil());
    let plain = |header: &str, data: &[u8]| npy(header, data);
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    vec![
        sample(t, "array of objects", object.clone()),
        sample(t, "array of objects in npz", zip(&[member("a.npy", &object)])),
        sample(t, "array of objects in compressed npz", zip(&[deflated("a.npy", &object)])),
        sample(
            t,
            "fields with an object",
            npy("{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }", &evil()),
        ),
        sample(
            t,
            "code in the header",
            plain(
                "{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (2,), }",
                &[0; 8],
            ),
        ),
        sample(t, "pickle behind the array", join(&[&plain(good, &[0; 8]), &evil()])),
        sample(t, "array too short", plain(good, &[0; 4])),
        sample(
            t,
            "huge shape",
            plain(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }",
                &[],
            ),
        ),
        sample(
            t,
            "repeated key",
            plain("{'descr': '<f4', 'descr': '|O', 'fortran_order': False, 'shape': (2,), }", &[0; 8]),
        ),
        sample(t, "unknown version", b"\x93NUMPY\x09\0\x02\0{}".to_vec()),
        sample(t, "huge header", b"\x93NUMPY\x02\0\xff\xff\xff\x7f{}".to_vec()),
        sample(t, "pickle in npz", zip(&[member("a.npy", &npy(good, &[0; 8])), member("b.npy", &evil())])),
    ]
}

fn tensors() -> Vec<Sample> {
    let t = "safetensors";
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let two = |from: u32, to: u32| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"b":{{"dtype":"U8","shape":[{}],"data_offsets":[{from},{to}]}}}}"#,
            to.saturating_sub(from)
        )
    };
    vec![
        sample(t, "pickle behind", join(&[&safetensors(one, &[0; 8]), &evil()])),
        sample(t, "zip behind", join(&[&safetensors(one, &[0; 8]), &zip(&[member("a", b"{}")])])),
        sample(t, "overlap", safetensors(&two(4, 12), &[0; 12])),
        sample(t, "gap", safetensors(&two(16, 20), &[0; 20])),
        sample(t, "too short", safetensors(one, &[0; 4])),
        sample(
            t,
            "repeated name",
            safetensors(
                r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
                &[0; 2],
            ),
        ),
        sample(
            t,
            "length and shape differ",
            safetensors(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, &[0; 8]),
        ),
        sample(
            t,
            "overflowing shape",
            safetensors(
                r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#,
                &[0; 8],
            ),
        ),
        sample(
            t,
            "unknown type",
            safetensors(r#"{"a":{"dtype":"O","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8]),
        ),
        sample(
            t,
            "offsets in reverse",
            safetensors(r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[8,0]}}"#, &[0; 8]),
        ),
        sample(
            t,
            "unknown key",
            safetensors(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"code":"x"}}"#, &[0; 1]),
        ),
        sample(t, "metadata that is no text", safetensors(r#"{"__metadata__":{"a":[1]}}"#, &[])),
        sample(t, "bytes behind the JSON", safetensors(&format!("{one}pickle"), &[0; 8])),
        sample(t, "header longer than the file", join(&[&1_000_000_u64.to_le_bytes(), b"{}"])),
        sample(t, "comment in the JSON", safetensors(&one.replace("{\"a\"", "{/**/\"a\""), &[0; 8])),
        sample(
            t,
            "negative offset",
            safetensors(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}"#, &[]),
        ),
    ]
}

fn json() -> Vec<Sample> {
    let t = "JSON with code hooks";
    let mut all: Vec<Sample> = [
        ("auto_map", r#"{"auto_map":{"AutoModel":"modeling_x.Model"}}"#),
        ("auto_map elsewhere", r#"{"auto_map":{"AutoModel":"other/repo--modeling_x.Model"}}"#),
        ("nested auto_map", r#"{"text_config":{"auto_map":{"AutoConfig":"c.C"}}}"#),
        ("escaped auto_map", r#"{"\u0061uto_map":{"AutoModel":"m.M"}}"#),
        ("trust_remote_code", r#"{"trust_remote_code":true}"#),
        ("trust_remote_code as text", r#"{"trust_remote_code":"True"}"#),
        ("custom_pipelines", r#"{"custom_pipelines":{"x":{"impl":"pipe.P","pt":["AutoModel"]}}}"#),
        ("custom_pipeline", r#"{"custom_pipeline":"pipeline"}"#),
        (
            "module of an adapter",
            r#"{"auto_mapping":{"base_model_class":"M","parent_library":"evil.module"}}"#,
        ),
        ("kernel from elsewhere", r#"{"_attn_implementation":"other/kernel"}"#),
        ("file of code", r#"{"entry":"modeling.py"}"#),
        ("library", r#"{"ops":"custom/ops.so"}"#),
        ("class path", r#"[{"idx":0,"name":"0","path":"","type":"evil_module.Model"}]"#),
        ("hydra target", r#"{"_target_":"os.system","command":"id"}"#),
        (
            "template that reaches for Python",
            r#"{"chat_template":"{{ cycler.__init__.__globals__.os.popen('id').read() }}"}"#,
        ),
        (
            "template in another key",
            r#"{"x":"{% for c in [].__class__.__base__.__subclasses__() %}{% endfor %}"}"#,
        ),
        ("template with attr", r#"{"chat_template":"{{ ''|attr('__class__') }}"}"#),
        ("bytes behind", "{\"a\":1}{\"auto_map\":1}"),
        ("control character", "{\"a\":\"\u{1}\"}"),
        ("no JSON", "{'auto_map': 1}"),
    ]
    .into_iter()
    .map(|(name, text)| sample(t, name, text.as_bytes().to_vec()))
    .collect();
    all.push(sample(t, "deep", "[".repeat(100_000).into_bytes()));
    all
}
