//! Rules of the domain under attack, as values: no clock, no file, no network.

mod appraisal;
mod documents;
mod leases;
mod sample;
mod simulation;
mod waivers;
