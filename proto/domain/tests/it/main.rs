//! Rules of the domain under attack, as values: no clock, no file, no network.

mod airgap;
mod appraisal;
mod appraisal_properties;
mod collection;
mod documents;
mod leases;
mod manifest_properties;
mod sample;
mod simulation;
mod tally;
mod tree;
mod variants;
mod waivers;
