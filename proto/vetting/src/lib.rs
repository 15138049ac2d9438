//! Pure parsers that judge bytes before anything else may touch them.
//!
//! A parser here reads from any [`std::io::Read`], bounds its work before it reads, allocates nothing by a size that
//! the file claims, and ends in a [`report::Report`]. There is deliberately no file, process, clock or network in this
//! crate: the caller opens the file, knows its length, and confines the process.
//!
//! Only GGUF is judged so far. [`format::vet`] is the one entrance, and the place where scanners of other formats
//! (pickle, zip, safetensors) will stand beside it; until then whatever is not GGUF is refused with the reason.

pub mod format;
pub mod gguf;
pub mod limits;
pub mod report;
