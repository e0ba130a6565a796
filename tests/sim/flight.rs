//! The flight recorder on board: whatever happens to a machine happens again from its journal.

use windlass::core::Agent;
use windlass::core::effect::Effects;
use windlass::core::input::{Input, Now};
use windlass::host::journal::blanks::Blanks;
use windlass::host::journal::recorder::Recorder;
use windlass::host::journal::replay::{Replay, Step};

use crate::chance::Chance;

/// A machine and its journal.
pub(crate) struct Flight {
    recorder: Recorder,
    inputs_count: u64,
}

impl Flight {
    /// A new machine, its seed from chance.
    pub(crate) fn begin(chance: &mut Chance) -> (Agent, Flight) {
        let seed = chance.number();
        let recorder = Recorder::new(seed, Blanks::default());
        (Agent::new(seed), Flight { recorder, inputs_count: 0 })
    }

    /// Lets the machine take an input and writes down both what happened and what it led to.
    pub(crate) fn handle(
        &mut self,
        agent: &mut Agent,
        now: Now,
        input: Input<'_>,
        effects: &mut Effects,
    ) {
        self.inputs_count += 1;
        self.recorder.happens(now, &input);
        agent.handle(now, input, effects);
        self.recorder.leads_to(agent, effects);
    }

    /// Does it all again.
    pub(crate) fn assert_replays(&self) {
        let mut replay = Replay::begin(self.recorder.bytes()).expect("a journal begins");
        assert!(replay.is_own());
        for _ in 0..self.inputs_count {
            match replay.step() {
                Ok(step) => assert_eq!(step, Step::Same),
                Err(broken) => panic!("line {} of the journal: {broken}", replay.line_number),
            }
        }
        assert_eq!(replay.step().ok(), Some(Step::End));
    }
}
