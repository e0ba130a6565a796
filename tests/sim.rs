//! The machine in a hostile world, from one seed.
//!
//! `cargo test --test sim` runs a thousand worlds; `SEEDS=n` runs more, `SEED=n` runs one and
//! prints what happened. `STEPS=n` runs worlds until as many inputs were handled while everything
//! went wrong, from seed `FIRST` on, past those that fail. A world first goes wrong in every way it
//! can (safety), then behaves (liveness).

// What is missing here fails the test, and says where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[path = "sim/chance.rs"]
mod chance;
#[path = "sim/children.rs"]
mod children;
#[path = "sim/disk.rs"]
mod disk;
#[path = "sim/family.rs"]
mod family;
#[path = "sim/flight.rs"]
mod flight;
#[path = "sim/policy.rs"]
mod policy;
#[path = "sim/promises.rs"]
mod promises;
#[path = "sim/provider.rs"]
mod provider;
#[path = "sim/settings.rs"]
mod settings;
#[path = "sim/telling.rs"]
mod telling;
#[path = "sim/told.rs"]
mod told;
#[path = "sim/user.rs"]
mod user;
#[path = "sim/user_commands.rs"]
mod user_commands;
#[path = "sim/watch.rs"]
mod watch;
#[path = "sim/world.rs"]
mod world;

use crate::world::{Ran, Steps, World};

/// How many worlds a plain run looks at.
const SEEDS: u64 = 1000;

/// Each of these worlds is run twice.
const TWICE_EVERY: u64 = 8;

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs one world; says how to see it again if it fails.
fn run(seed: u64, traced: bool) -> Ran {
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(seed, traced).run()));
    match ran {
        Ok(ran) => ran,
        Err(panic) => {
            println!("seed {seed} fails; repeat it with: SEED={seed} cargo test --test sim");
            resume_unwind(panic)
        }
    }
}

/// Runs a part of all worlds, so that parts can run side by side.
fn run_part(part: u64, parts_count: u64) {
    if let Some(seed) = number_from("SEED") {
        if part == 0 {
            run(seed, true);
        }
        return;
    }
    if let Some(steps_count) = number_from("STEPS") {
        if part == 0 {
            run_steps(number_from("FIRST").unwrap_or(0), steps_count);
        }
        return;
    }
    for seed in (0..number_from("SEEDS").unwrap_or(SEEDS)).filter(|n| n % parts_count == part) {
        let digest = run(seed, false).digest;
        if seed % TWICE_EVERY == part {
            assert_eq!(
                digest,
                run(seed, false).digest,
                "seed {seed}: the same seed, other effects"
            );
        }
    }
}

/// Runs worlds until so many steps were made; says what it saw.
fn run_steps(first: u64, steps_count: u64) {
    let mut total = Steps::default();
    let mut failing = Vec::new();
    let mut seed = first;
    while total.faulty < steps_count {
        let ran = catch_unwind(|| run(seed, false));
        match ran {
            Ok(ran) => {
                total.faulty += ran.steps.faulty;
                total.quiet += ran.steps.quiet;
            }
            Err(_) => failing.push(seed),
        }
        seed += 1;
    }
    println!("seeds {first}..{seed}: {total:?}, failing: {failing:?}");
    assert!(failing.is_empty(), "these seeds fail: {failing:?}");
}

#[test]
fn no_world_breaks_a_promise() {
    run_part(0, 2);
}

#[test]
fn no_other_world_breaks_a_promise() {
    run_part(1, 2);
}
