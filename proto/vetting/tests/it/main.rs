//! Attacks on the parsers, one test each, named after promise P2: only approved bytes run.

mod builder;
mod container;
mod corpus;
mod families;
mod hostile;
mod memory;
mod mutation;
mod real_model;
mod semantics;
mod shards;
mod template;
