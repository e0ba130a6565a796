//! A recorded model in place of a provider: one event for each revolution of the loop.

use crate::core::input::Input;
use crate::host::Host;
use crate::wire::replay::Replay;
use crate::words::ids::OpId;
use crate::words::model::{FailureKind, ModelEvent, ModelFailure};

/// The exit code of a run that left its recording.
pub const EXIT_MISMATCH: u8 = 3;

/// A recording that answers, and whether what was asked differed from it.
#[derive(Debug)]
pub struct Recorded {
    pub replay: Replay,
    pub is_mismatched: bool,
}

impl Host {
    /// Begins to play the answer to a request.
    pub(crate) fn play(&mut self, op: OpId) -> Result<(), ModelFailure> {
        let Some(view) = self.seam.agent.request_view(op) else { return Ok(()) };
        let Some(recorded) = &mut self.recorded else {
            return Err(ModelFailure::new(FailureKind::Setup, "there is no recording to play"));
        };
        match recorded.replay.answer(&view) {
            Ok(playing) => {
                self.playing.push((op, playing));
                Ok(())
            }
            Err(mismatch) => {
                recorded.is_mismatched = true;
                Err(ModelFailure::new(FailureKind::Setup, mismatch.to_string()))
            }
        }
    }

    /// Plays one event of each answer that is being played.
    pub(crate) fn play_on(&mut self) {
        let Some(recorded) = &self.recorded else { return };
        let replay = &recorded.replay;
        let mut ended = Vec::new();
        for (op, playing) in &mut self.playing {
            let seam = &mut self.seam;
            let more = playing.next(replay, &mut |event: ModelEvent<'_>| {
                seam.feed(Input::Model { op: *op, event });
            });
            if !more {
                ended.push(*op);
            }
        }
        self.playing.retain(|(op, _)| !ended.contains(op));
    }
}
