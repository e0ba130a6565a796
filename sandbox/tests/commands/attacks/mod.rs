//! An attacker's commands, as mean as we can make them.
//!
//! Each attack is only an attempt. Whether it had an effect is seen from outside, by looking at all
//! there is to protect before and after: files with their metadata, names in the workspace that are
//! not for commands, other processes, listeners, a terminal, a secret. Each is run bare first; one
//! that does nothing even then is unfit for this machine and is named as such.

mod calls;
mod files;
mod processes;
mod scene;
mod secrets;
mod sockets;

use windlass_sandbox::{Access, Apart};

use crate::Case;
use crate::stage::{Run, apart, part, shell};
pub(crate) use scene::play_bare;
use scene::{Aim, Scene};

pub(crate) const CASES: &[Case] = &[("attacks_have_no_effect", attacks_have_no_effect)];

/// What is known to have an effect where every namespace is shared.
const OPEN: &[&str] = &[];

/// What is known to have an effect in namespaces of the command's own.
const OPEN_APART: &[&str] = &[];

/// What the command has of its own in its namespaces, and may have.
const OWN_APART: &[&str] = &["shared memory of old", "queues", "internet"];

/// One attempt.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) attempt: Attempt,
    pub(crate) holds: Holds,
}

/// How it is made.
#[derive(Clone, Copy)]
pub(crate) enum Attempt {
    /// A line for `/bin/sh`.
    Line(&'static str),
    /// A part that this executable plays.
    Part(fn()),
}

/// Where it must fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// In both modes; its aim may be anything that the mode closes.
    Always,
    /// What a writable workspace allows everywhere.
    ReadOnly,
    /// It is aimed at the workspace's protected names.
    Names,
}

pub(crate) const fn line(name: &'static str, line: &'static str) -> Attack {
    Attack { name, attempt: Attempt::Line(line), holds: Holds::Always }
}

pub(crate) const fn part_of(name: &'static str, attempt: fn()) -> Attack {
    Attack { name, attempt: Attempt::Part(attempt), holds: Holds::Always }
}

fn all() -> impl Iterator<Item = &'static Attack> {
    let files = files::ATTACKS.iter().chain(calls::ATTACKS);
    files.chain(processes::ATTACKS).chain(sockets::ATTACKS).chain(secrets::ATTACKS)
}

/// Plays one attempt, in a process of its own.
pub(crate) fn play(name: &str) {
    let attack = all().find(|attack| attack.name == name).unwrap();
    let Attempt::Part(attempt) = attack.attempt else { panic!("{name} is a line") };
    attempt();
}

fn attacks_have_no_effect() {
    let (mut unfit, mut effective) = (Vec::new(), Vec::new());
    let (mut tried, mut open) = (0, Vec::new());
    let is_apart = apart() != Apart::Nothing;
    let known = if is_apart { OPEN_APART } else { OPEN };
    for attack in all().filter(|attack| !is_apart || !OWN_APART.contains(&attack.name)) {
        if effect(attack, None, Aim::Outside).is_none() {
            unfit.push(attack.name);
            continue;
        }
        for (access, aim) in attempts(attack.holds) {
            tried += 1;
            let effect = effect(attack, Some(*access), *aim);
            if known.contains(&attack.name) {
                open.extend(effect.map(|_| attack.name));
            } else if let Some(effect) = effect {
                effective.push(format!("{}, {access:?}, {aim:?}: {effect}", attack.name));
            }
        }
    }
    println!("{tried} attempts, {} known to have an effect, unfit here: {unfit:?}", open.len());
    let closed: Vec<_> =
        known.iter().filter(|name| !open.contains(name) && !unfit.contains(name)).collect();
    println!("closed by now: {closed:?}");
    assert!(effective.is_empty(), "{} had an effect:\n{}", effective.len(), effective.join("\n"));
}

fn attempts(holds: Holds) -> &'static [(Access, Aim)] {
    use Access::{ReadOnly, WorkspaceWrite};
    match holds {
        Holds::Always => {
            &[(ReadOnly, Aim::Outside), (ReadOnly, Aim::Workspace), (WorkspaceWrite, Aim::Outside)]
        }
        Holds::ReadOnly => &[(ReadOnly, Aim::Outside), (ReadOnly, Aim::Workspace)],
        Holds::Names => &[(ReadOnly, Aim::Outside), (WorkspaceWrite, Aim::Outside)],
    }
}

/// What an attempt changed, confined or bare.
fn effect(attack: &Attack, access: Option<Access>, aim: Aim) -> Option<String> {
    let scene = Scene::new(aim);
    let everything =
        access.map_or(attack.holds == Holds::ReadOnly, |access| access == Access::ReadOnly);
    let before = scene.look(everything);
    let plan = match attack.attempt {
        Attempt::Line(line) => shell(access.unwrap_or(Access::Full), line),
        Attempt::Part(_) => part(access.unwrap_or(Access::Full), &["play-attack", attack.name]),
    };
    let plan = scene.set(plan);
    let said = match access {
        Some(_) => Run::whole(&plan).said(),
        None => scene.run_bare(&plan),
    };
    scene.difference(&before, &scene.look(everything), &said)
}
