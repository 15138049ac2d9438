//! Files that the formats' own tools made, kept as they came out of them in two archives beside this file.
//!
//! `hostile.tar.gz`: Python 3.11 with numpy 2.4, joblib 1.6, h5py 3.16, onnx 1.23, 7-Zip, py7zr 1.1, lz4, zstandard and
//! brotli wrote them, given an object whose `__reduce__` names `os.system`; what no tool writes (names that differ, lengths
//! that lie) was changed in their bytes afterwards. `honest.tar.gz`: the same tools, safetensors 0.8, Keras 3, TensorFlow 2 (and
//! its interface of version 1), PyTorch 1.13, sentencepiece, tokenizers, LightGBM, GNU tar and gzip, given arrays,
//! dictionaries and small networks. The beginning of a file's name says what it tries.
//!
//! `hostile-second.tar.gz` and `honest-second.tar.gz` are from an attack on the scanner when it was thought finished, made by
//! the same tools and by hand. What got through then: tuples that fold into themselves, pickles in attributes of HDF5,
//! notebooks, pipelines as lists, templates that include files, names of Python put together from pieces, and metadata
//! of safetensors that names a thing twice.

use std::io::Read as _;

use super::{Sample, sample};

/// Techniques by how the names of their files begin.
const TECHNIQUES: &[(&str, &str)] = &[
    ("p_", "pickle, by hand"),
    ("np_", "numpy state in a pickle"),
    ("j_", "joblib, compressed"),
    ("n_", "numpy file"),
    ("t_", "zip of PyTorch"),
    ("a_", "archive"),
    ("k_", "Keras"),
    ("h_", "HDF5"),
    ("tf_", "TensorFlow graph"),
    ("o_", "ONNX"),
    ("s_", "safetensors"),
    ("c_", "JSON with hooks"),
    ("x_", "something else altogether"),
    ("npy_", "numpy file"),
    ("npz_", "numpy file"),
    ("jl_", "joblib, compressed"),
    ("tz_", "zip of PyTorch"),
    ("z64_", "zip of PyTorch"),
    ("zip_", "archive"),
    ("tar_", "archive"),
    ("st_", "safetensors"),
    ("json_", "JSON with hooks"),
    ("jj_", "JSON with hooks"),
    ("onnx_", "ONNX"),
    ("h5_", "HDF5"),
    ("poly_", "polyglot"),
];

pub fn hostile() -> Vec<Sample> {
    let archives = [&include_bytes!("hostile.tar.gz")[..], include_bytes!("hostile-second.tar.gz")];
    let technique = |name: &str| {
        let found = TECHNIQUES.iter().find(|(begin, _)| name.starts_with(begin));
        found.unwrap_or_else(|| panic!("{name} is of no technique")).1
    };
    archives.into_iter().flat_map(|archive| members(archive, technique)).collect()
}

pub fn honest() -> Vec<Sample> {
    let archives = [&include_bytes!("honest.tar.gz")[..], include_bytes!("honest-second.tar.gz")];
    archives.into_iter().flat_map(|archive| members(archive, |_| "made by its tool")).collect()
}

/// The regular files of a plain tar, which this repository wrote itself.
fn members(archive: &[u8], technique: impl Fn(&str) -> &'static str) -> Vec<Sample> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(archive).read_to_end(&mut bytes).expect("a gzip file");
    let mut all = Vec::new();
    let mut rest = &bytes[..];
    while let Some((header, after)) = rest.split_first_chunk::<512>() {
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).expect("ASCII").trim().to_owned()
        };
        let name = text(0..100);
        if name.is_empty() {
            break;
        }
        let len = usize::from_str_radix(&text(124..136), 8).expect("a length");
        all.push(sample(technique(&name), name, after[..len].to_vec()));
        rest = &after[len.next_multiple_of(512)..];
    }
    all
}
