//! The real binary, without a controller: what it prints, what it refuses, what it leaves on disk.
//! Everything that needs a controller is in croft-e2e.

mod arguments;
mod bom;
mod disk_full;
mod import;
mod init;
mod keys;
mod oms;
mod run;
mod source;
mod variants;
mod vet;
