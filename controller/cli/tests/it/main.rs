//! The real binary, without a controller: what it prints, what it refuses, what it leaves on disk.
//! Everything that needs a controller is in croft-e2e.

mod arguments;
mod bom;
mod import;
mod init;
mod keys;
mod run;
mod source;
mod vet;
