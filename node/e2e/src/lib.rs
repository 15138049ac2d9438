//! A whole fleet on one machine, out of the built binaries: what the end-to-end tests and `make demo` share.
//!
//! Nothing of Croft is linked here but its executables are run as their users run them. What is started is ended by its
//! pid, also when a test panics.

pub mod api;
pub mod binaries;
pub mod controller;
pub mod error;
pub mod process;
pub mod wait;
pub mod workstation;

pub use controller::Fleet;
pub use error::E2eError;
pub use workstation::Workstation;
