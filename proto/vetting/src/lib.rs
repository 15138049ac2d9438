//! Pure parsers that judge bytes before anything else may touch them.
//!
//! A parser here reads from any [`std::io::Read`], bounds its work before it reads, allocates nothing by a size that
//! the file claims, and ends in a [`report::Report`]. There is deliberately no file, process, clock or network in this
//! crate: the caller opens the file, knows its length, and confines the process.
//!
//! Only GGUF is served, so [`format::vet`] refuses whatever else there is, with the reason. [`scan::scan`] judges what
//! people find beside it (pickle, PyTorch, numpy, Keras, TensorFlow, ONNX, safetensors, archives) by content.

pub mod format;
pub mod gguf;
pub mod limits;
pub mod policy;
pub mod report;
pub mod scan;
pub mod template;
