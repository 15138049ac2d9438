//! Seeded simulation of the fleet's protocols over the rules of the domain: many nodes, messages that are lost, repeated
//! and reordered, clocks that jump, waivers, revocations, restarts and crashes between any two steps, rotations of lease keys,
//! authorities and roots, and nodes that are away through several of them.
//!
//! Each seed is one world; the same seed is the same world. A failing seed is printed and replays alone:
//! `CROFT_SIMULATION_SEED=N cargo test -p croft-domain --test it -- simulation`.

mod controller;
mod hash;
mod invariants;
mod network;
mod node;
mod random;
mod rotation;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use world::{Fault, Seen, World};

/// Worlds in the normal run.
const SEEDS: u64 = 2_400;

/// Every so many worlds, one of hundreds of nodes.
const LARGE_EVERY: u64 = 400;

fn run(seed: u64, fault: Fault) -> Result<Seen, String> {
    let nodes = if seed % LARGE_EVERY == LARGE_EVERY - 1 { 300 } else { 2 + seed % 5 };
    let steps = if nodes > 100 { 3_000 } else { 160 };
    let mut world = World::new(seed, usize::try_from(nodes).expect("small"), fault);
    for step in 0..steps {
        world.step();
        if let Some(broken) = world.broken.take() {
            return Err(format!("seed {seed}, step {step}: {broken}"));
        }
    }
    world.check_all();
    world.check_nobody_is_stranded();
    match world.broken.take() {
        Some(broken) => Err(format!("seed {seed}, at the end: {broken}")),
        None => Ok(world.seen),
    }
}

#[test]
fn p4_p7_no_world_breaks_an_invariant() {
    if let Ok(seed) = std::env::var("CROFT_SIMULATION_SEED") {
        let seed = seed.parse().expect("CROFT_SIMULATION_SEED is a number");
        run(seed, Fault::None).map(drop).expect("this seed holds");
        return;
    }
    let (next, total) = (AtomicU64::new(0), Mutex::new(Seen::default()));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    match run(seed, Fault::None) {
                        Ok(seen) => total.lock().unwrap_or_else(PoisonError::into_inner).add(&seen),
                        Err(e) => failures.lock().unwrap_or_else(PoisonError::into_inner).push(e),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread died");
    assert!(failures.is_empty(), "replay with CROFT_SIMULATION_SEED=N:\n{}", failures.join("\n"));
    // A world in which nothing happens breaks nothing either.
    let seen = total.into_inner().expect("no thread died");
    seen.assert_all_happened();
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in [1, 77, 1234] {
        assert_eq!(run(seed, Fault::None), run(seed, Fault::None));
    }
}

/// The simulation must be able to fail: each of these defects is found within a few hundred worlds.
#[test]
fn planted_defects_are_found() {
    for fault in [
        Fault::LeaseDespiteBlock,
        Fault::LeaseBeyondWaiver,
        Fault::AnswerBeforeAppend,
        Fault::NodeTrustsItsClock,
        Fault::NodeFollowsAnything,
        Fault::BannedMayAttest,
        Fault::NodeKeepsRotatedLease,
        Fault::NodeTakesOldRoot,
        Fault::NodeTrustsAnyAuthority,
        Fault::ControllerStrandsOldCertificates,
    ] {
        let found = (0..600).find_map(|seed| run(seed, fault).err());
        assert!(found.is_some(), "{fault:?} was not found");
    }
}
