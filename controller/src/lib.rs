//! The controller: takes in what admins signed, appraises what nodes claim, grants leases, writes reports.
//!
//! Rooms, outermost first: [`command`] reads arguments; [`api`] speaks the wire and names its types; [`app`] holds the
//! use cases; [`store`], [`blobs`], [`report`], [`ca`], [`tls`] and [`metrics`] are what they work with. The controller
//! holds no key for bundles, baselines, waivers or recalls: a stolen one cannot approve anything (P3).

pub mod api;
pub mod app;
pub mod blobs;
pub mod ca;
pub mod clock;
pub mod command;
pub mod config;
pub mod limits;
pub mod metrics;
pub mod report;
pub mod service;
pub mod store;
pub mod tls;
