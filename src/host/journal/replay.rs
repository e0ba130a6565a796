//! Runs the inputs of a journal again and compares what comes of them.
//!
//! A machine with the journal's seed takes each input at its time. Nothing is done about what it
//! asks for; it must only ask for the same as then. Where the process ended in the middle of a line
//! the input is taken if it is whole: it may be what ended the process.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, BufRead};

use crate::core::Agent;
use crate::core::effect::{Effect, Effects};
use crate::core::input::{Input, Now};
use crate::host::journal::blanks::Blanks;
use crate::host::journal::reading::{Damage, Reading, Take};
use crate::host::journal::recorder::{AHEAD, EFFECTS, ITEMS, MAGIC, Recorder, VERSION};
use crate::host::journal::shapes::{Out, Put};
use crate::limits::JOURNAL_BYTES_MAX;
use crate::words::ids::OpId;
use crate::words::item::Item;

/// A journal being replayed.
#[derive(Debug)]
pub struct Replay<R> {
    lines: R,
    line: Vec<u8>,
    /// The number of the last line that was read, from 1.
    pub line_number: u64,
    /// The version of the program that wrote it.
    pub version: Box<str>,
    agent: Agent,
    effects: Effects,
    again: Recorder,
    /// Items of pasts that have yet to happen.
    ahead: Vec<(OpId, Vec<Item>)>,
}

/// How far a replay came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The line's input had the same effects again.
    Same,
    /// The line has items of a past that is about to happen.
    Ahead,
    /// The line's input was taken; what came of it then was not written down any more.
    Unanswered,
    /// The line ends before its input does.
    Cut,
    /// There is no other line.
    End,
}

/// Why a replay does not go on; the line is where.
#[derive(Debug)]
pub enum Broken {
    Unreadable(io::Error),
    NoJournal,
    Damaged(Damage),
    NotText,
    /// Another effect than then, or one more or less.
    Differs {
        /// From 0.
        index: usize,
        then: Option<Box<str>>,
        now: Option<Box<str>>,
        /// The effect in full.
        effect: Option<Box<str>>,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Unreadable(error) => error.fmt(formatter),
            Broken::NoJournal => formatter.write_str("it does not begin as journals do"),
            Broken::Damaged(damage) => damage.fmt(formatter),
            Broken::NotText => formatter.write_str("it is not UTF-8"),
            Broken::Differs { index, then, now, effect } => {
                let named = |digest: &Option<Box<str>>| digest.clone().unwrap_or("none".into());
                let (then, now) = (named(then), named(now));
                write!(formatter, "effect {}: then {then}, now {now}", index + 1)?;
                match effect {
                    Some(effect) => write!(formatter, ":\n{effect}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl From<Damage> for Broken {
    fn from(damage: Damage) -> Broken {
        Broken::Damaged(damage)
    }
}

impl<R: BufRead> Replay<R> {
    /// Reads the first line and makes the machine.
    pub fn begin(lines: R) -> Result<Replay<R>, Broken> {
        let mut replay = Replay {
            lines,
            line: Vec::new(),
            line_number: 0,
            version: "".into(),
            agent: Agent::new(0),
            effects: Effects::default(),
            again: Recorder::new(0, Blanks::default()),
            ahead: Vec::new(),
        };
        replay.again.clear();
        replay.pull()?;
        let first = replay.line.strip_prefix(MAGIC.as_bytes()).ok_or(Broken::NoJournal)?;
        let first = str::from_utf8(first).map_err(|_| Broken::NoJournal)?;
        let (version, rest) = first.split_once('"').ok_or(Broken::NoJournal)?;
        let seed = rest.strip_prefix(",\"seed\":").and_then(|rest| rest.strip_suffix("}\n"));
        let seed = seed.and_then(|seed| seed.parse().ok()).ok_or(Broken::NoJournal)?;
        replay.version = version.into();
        replay.agent = Agent::new(seed);
        Ok(replay)
    }

    /// Whether the same program wrote it, as far as versions say.
    pub fn is_own(&self) -> bool {
        *self.version == *VERSION
    }

    /// Runs the next input again.
    pub fn step(&mut self) -> Result<Step, Broken> {
        self.pull()?;
        if self.line.is_empty() {
            return Ok(Step::End);
        }
        let is_last = self.line.pop_if(|byte| *byte == b'\n').is_none();
        let text = match str::from_utf8(&self.line) {
            Ok(text) => text,
            Err(error) if is_last && error.error_len().is_none() => return Ok(Step::Cut),
            Err(_) => return Err(Broken::NotText),
        };
        let lent = OnceCell::new();
        let mut reading = Reading::new(text, &lent);
        if text.starts_with(AHEAD) {
            return match ahead(&mut reading) {
                Ok((op, items)) => {
                    self.foresee(op, items);
                    Ok(Step::Ahead)
                }
                Err(damage) if is_last && damage.at_end => Ok(Step::Cut),
                Err(damage) => Err(damage.into()),
            };
        }
        let (now, mut input) = match input(&mut reading) {
            Ok(happened) => happened,
            Err(damage) if is_last && damage.at_end => return Ok(Step::Cut),
            Err(damage) => return Err(damage.into()),
        };
        if let Input::Restored { op, result: Ok(past) } = &mut input
            && let Some(place) = self.ahead.iter().position(|(ahead, _)| ahead == op)
        {
            past.items.splice(..0, self.ahead.swap_remove(place).1);
        }
        self.agent.handle(now, input, &mut self.effects);
        self.agent.check();
        self.again.leads_to(&self.agent, &self.effects);
        let then = effects(&mut reading);
        // What was not asked for again is no longer wanted by the machine.
        let outcome = match then {
            Ok(then) => compare(&then, &self.again, &self.effects).map(|()| Step::Same),
            Err(damage) if is_last && damage.at_end => Ok(Step::Unanswered),
            Err(damage) => Err(damage.into()),
        };
        self.again.clear();
        while self.effects.pull().is_some() {}
        outcome
    }

    /// Keeps items until their past happens.
    fn foresee(&mut self, op: OpId, mut items: Vec<Item>) {
        match self.ahead.iter_mut().find(|(ahead, _)| *ahead == op) {
            Some((_, before)) => before.append(&mut items),
            None => self.ahead.push((op, items)),
        }
    }

    /// Reads a line with its end; nothing at the end of the file.
    fn pull(&mut self) -> Result<(), Broken> {
        self.line.clear();
        self.line_number += 1;
        let mut bounded = io::Read::take(&mut self.lines, JOURNAL_BYTES_MAX);
        bounded.read_until(b'\n', &mut self.line).map_err(Broken::Unreadable)?;
        Ok(())
    }
}

/// Reads what happened, and when.
pub fn input<'a>(from: &mut Reading<'a>) -> Result<(Now, Input<'a>), Damage> {
    from.expect("{\"now\":");
    let (mono_ms, wall_ms) = Take::take(from);
    from.expect(",\"input\":");
    let input = Input::take(from);
    from.check()?;
    Ok((Now { mono_ms, wall_ms }, input))
}

/// Reads items of a past that is about to happen, and what waits for it.
fn ahead(from: &mut Reading<'_>) -> Result<(OpId, Vec<Item>), Damage> {
    from.expect(AHEAD);
    let op = Take::take(from);
    from.expect(ITEMS);
    let items = Take::take(from);
    from.expect("}");
    if !from.rest().is_empty() {
        from.damage("the end of the line");
    }
    from.check()?;
    Ok((op, items))
}

/// Reads the digests of what came of it.
fn effects<'a>(from: &mut Reading<'a>) -> Result<Vec<&'a str>, Damage> {
    from.expect(EFFECTS);
    let mut digests = Vec::new();
    while !from.is_damaged() && !from.follows("]") {
        if !digests.is_empty() {
            from.expect(",");
        }
        digests.push(from.quoted());
    }
    from.expect("}");
    if !from.rest().is_empty() {
        from.damage("the end of the line");
    }
    from.check()?;
    Ok(digests)
}

/// Compares what came of an input with what came of it then.
fn compare(then: &[&str], again: &Recorder, effects: &Effects) -> Result<(), Broken> {
    let lent = OnceCell::new();
    // What the recorder writes is what this reads.
    let text = str::from_utf8(again.bytes()).map_err(|_| Broken::NotText)?;
    let now = self::effects(&mut Reading::new(text.trim_end(), &lent))?;
    let differs = (0..then.len().max(now.len())).find(|&index| then.get(index) != now.get(index));
    let Some(index) = differs else { return Ok(()) };
    let named = |digests: &[&str]| digests.get(index).map(|digest| digest.replace('"', "").into());
    let effect = effects.iter().nth(index).map(in_full);
    Err(Broken::Differs { index, then: named(then), now: named(&now), effect })
}

fn in_full(effect: &Effect) -> Box<str> {
    let (mut bytes, blanks) = (Vec::new(), Blanks::default());
    effect.put(&mut Out { bytes: &mut bytes, blanks: &blanks, digest: None });
    String::from_utf8_lossy(&bytes).into()
}

/// What reads as an input is written so that it reads as the same.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let (first, again) = (OnceCell::new(), OnceCell::new());
        if let Ok((op, items)) = ahead(&mut Reading::new(line, &first)) {
            let mut recorder = Recorder::new(0, Blanks::default());
            recorder.clear();
            recorder.ahead(op, &items);
            let written = String::from_utf8_lossy(recorder.bytes());
            let read = ahead(&mut Reading::new(written.trim_end(), &again));
            assert_eq!(read, Ok((op, items)));
            continue;
        }
        let Ok((now, happened)) = input(&mut Reading::new(line, &first)) else { continue };
        let written = written(now, &happened);
        let read = input(&mut Reading::new(&written, &again));
        let read = read.map(|(now, happened)| self::written(now, &happened));
        assert_eq!(read.as_deref(), Ok(&*written));
    }
}

fn written(now: Now, happened: &Input<'_>) -> String {
    let mut recorder = Recorder::new(0, Blanks::default());
    recorder.clear();
    recorder.happens(now, happened);
    String::from_utf8_lossy(recorder.bytes()).into_owned()
}

#[cfg(test)]
mod tests;
