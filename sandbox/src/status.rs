//! What the launcher tells the agent: small frames on the status pipe.
//!
//! A frame is one kind byte and a payload whose length the kind fixes, numbers little-endian.
//! Either `Confined`, `Exited` or `Signalled`, any number of `Restored`, `LeftOver`; or `Refused`,
//! preceded by `Confined` if only the program itself could not be executed. Then the pipe closes.
//! Thus a sandbox that failed is never mistaken for a command that did. The pipe closing early
//! means that the launcher was killed.

use crate::policy::{Level, Missing};

/// Bytes of the longest frame.
pub const FRAME_BYTES_MAX: usize = 9;

/// Bytes a decoder may hold undecoded: more than all the frames of one command.
const BUFFER_BYTES_MAX: usize = 4096;

/// One event in the life of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The command is about to be executed, held by this much.
    Confined { level: Level, missing: Missing },
    /// The command was not run.
    Refused { stage: Stage, errno: i32 },
    /// The command ended by itself.
    Exited(i32),
    /// The command was ended by a signal.
    Signalled(i32),
    /// A protected path, by its place in the policy's list, was found changed once all had ended.
    /// It is as before, or could not be put back.
    Restored { index: u32, is_whole: bool },
    /// The last event: so many processes outlived the command and were ended, and so many could
    /// not be.
    LeftOver { ended: u32, alive: u32 },
}

/// Where the launcher gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// The plan could not be read: most likely the executable was replaced by another version.
    Plan = 1,
    /// The supervisor could not prepare itself.
    Supervise,
    /// The agent was gone before the command started.
    Orphaned,
    Fork,
    Session,
    Terminal,
    Directory,
    Limits,
    Capabilities,
    Privileges,
    /// `ENOSYS`: not in this kernel, or filtered; `EOPNOTSUPP`: disabled at boot;
    /// `ELOOP`: a granted path leads through a symbolic link.
    Landlock,
    Seccomp,
    Descriptors,
    /// The program was not found or cannot be executed.
    Exec,
    /// Namespaces that were granted before are refused now.
    Namespaces,
}

impl Stage {
    const ALL: [Stage; 15] = [
        Stage::Plan,
        Stage::Supervise,
        Stage::Orphaned,
        Stage::Fork,
        Stage::Session,
        Stage::Terminal,
        Stage::Directory,
        Stage::Limits,
        Stage::Capabilities,
        Stage::Privileges,
        Stage::Landlock,
        Stage::Seccomp,
        Stage::Descriptors,
        Stage::Exec,
        Stage::Namespaces,
    ];
}

/// The stream is not one of our launcher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusError {
    UnknownKind(u8),
    UnknownLevel(u8),
    UnknownStage(u8),
    TooMuch,
}

const KIND_CONFINED: u8 = 1;
const KIND_REFUSED: u8 = 2;
const KIND_EXITED: u8 = 3;
const KIND_SIGNALLED: u8 = 4;
const KIND_LEFT_OVER: u8 = 5;
const KIND_RESTORED: u8 = 6;

impl Status {
    /// The frame of this event. Allocates nothing, so that it can be called after a fork.
    pub fn encode(self) -> Frame {
        let mut frame = Frame { bytes: [0; FRAME_BYTES_MAX], len: 0 };
        match self {
            Status::Confined { level, missing } => {
                frame.put(&[KIND_CONFINED, level_byte(level)]);
                frame.put(&missing.bits().to_le_bytes());
            }
            Status::Refused { stage, errno } => {
                frame.put(&[KIND_REFUSED, stage as u8]);
                frame.put(&errno.to_le_bytes());
            }
            Status::Exited(code) => {
                frame.put(&[KIND_EXITED]);
                frame.put(&code.to_le_bytes());
            }
            Status::Signalled(signal) => {
                frame.put(&[KIND_SIGNALLED]);
                frame.put(&signal.to_le_bytes());
            }
            Status::Restored { index, is_whole } => {
                frame.put(&[KIND_RESTORED, u8::from(is_whole)]);
                frame.put(&index.to_le_bytes());
            }
            Status::LeftOver { ended, alive } => {
                frame.put(&[KIND_LEFT_OVER]);
                frame.put(&ended.to_le_bytes());
                frame.put(&alive.to_le_bytes());
            }
        }
        frame
    }
}

/// An encoded event. Invariant: `len <= FRAME_BYTES_MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    bytes: [u8; FRAME_BYTES_MAX],
    len: usize,
}

impl Frame {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Frames out of pieces of any size. After an error every pull repeats it.
#[derive(Debug, Default)]
pub struct StatusDecoder {
    buffer: Vec<u8>,
    /// Bytes already decoded. Invariant: `taken <= buffer.len()`.
    taken: usize,
    failed: Option<StatusError>,
}

impl StatusDecoder {
    /// Takes the next piece of the stream. Pull until `None` before pushing again.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.len() + piece.len() > BUFFER_BYTES_MAX {
            self.failed = self.failed.or(Some(StatusError::TooMuch));
            return;
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The next event, or `None` until more bytes arrive.
    pub fn pull(&mut self) -> Option<Result<Status, StatusError>> {
        if let Some(error) = self.failed {
            return Some(Err(error));
        }
        match decode(&self.buffer[self.taken..]) {
            Ok(Some((status, len))) => {
                self.taken += len;
                Some(Ok(status))
            }
            Ok(None) => None,
            Err(error) => {
                self.failed = Some(error);
                Some(Err(error))
            }
        }
    }
}

/// Decodes one frame at the start of `bytes`, and says how long it was.
fn decode(bytes: &[u8]) -> Result<Option<(Status, usize)>, StatusError> {
    let Some((&kind, payload)) = bytes.split_first() else { return Ok(None) };
    let len = match kind {
        KIND_CONFINED | KIND_REFUSED | KIND_RESTORED => 5,
        KIND_EXITED | KIND_SIGNALLED => 4,
        KIND_LEFT_OVER => 8,
        unknown => return Err(StatusError::UnknownKind(unknown)),
    };
    let Some(payload) = payload.get(..len) else { return Ok(None) };
    let number = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&payload[at..at + 4]);
        u32::from_le_bytes(word)
    };
    let status = match kind {
        KIND_CONFINED => Status::Confined {
            level: level_of(payload[0])?,
            missing: Missing::from_bits(number(1)),
        },
        KIND_REFUSED => {
            Status::Refused { stage: stage_of(payload[0])?, errno: number(1).cast_signed() }
        }
        KIND_EXITED => Status::Exited(number(0).cast_signed()),
        KIND_SIGNALLED => Status::Signalled(number(0).cast_signed()),
        KIND_RESTORED => Status::Restored { index: number(1), is_whole: payload[0] != 0 },
        _ => Status::LeftOver { ended: number(0), alive: number(4) },
    };
    Ok(Some((status, 1 + len)))
}

fn level_byte(level: Level) -> u8 {
    match level {
        Level::Open => 0,
        Level::Reduced => 1,
        Level::Standard => 2,
        Level::Full => 3,
    }
}

fn level_of(byte: u8) -> Result<Level, StatusError> {
    match byte {
        0 => Ok(Level::Open),
        1 => Ok(Level::Reduced),
        2 => Ok(Level::Standard),
        3 => Ok(Level::Full),
        unknown => Err(StatusError::UnknownLevel(unknown)),
    }
}

fn stage_of(byte: u8) -> Result<Stage, StatusError> {
    Stage::ALL.into_iter().find(|stage| *stage as u8 == byte).ok_or(StatusError::UnknownStage(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_kind() -> Vec<Status> {
        let missing = Missing::METADATA.with(Missing::PATH_SOCKETS);
        let mut statuses = vec![
            Status::Confined { level: Level::Open, missing: Missing::NONE },
            Status::Confined { level: Level::Reduced, missing },
            Status::Confined { level: Level::Standard, missing },
            Status::Exited(0),
            Status::Exited(255),
            Status::Signalled(9),
            Status::Restored { index: 255, is_whole: true },
            Status::Restored { index: 0, is_whole: false },
            Status::LeftOver { ended: 7, alive: u32::MAX },
        ];
        statuses.extend(Stage::ALL.map(|stage| Status::Refused { stage, errno: -2 }));
        statuses
    }

    fn pull_all(pieces: &[&[u8]]) -> Vec<Result<Status, StatusError>> {
        let mut decoder = StatusDecoder::default();
        let mut pulled = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(status) = decoder.pull() {
                pulled.push(status);
                if status.is_err() {
                    return pulled;
                }
            }
        }
        pulled
    }

    fn check_cuts(stream: &[u8]) {
        let whole = pull_all(&[stream]);
        for cut in 0..=stream.len() {
            assert_eq!(pull_all(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(pull_all(&bytes), whole);
    }

    #[test]
    fn any_cut_gives_the_same_statuses() {
        let mut stream = Vec::new();
        for status in every_kind() {
            stream.extend_from_slice(status.encode().as_bytes());
        }
        let expected: Vec<_> = every_kind().into_iter().map(Ok).collect();
        assert_eq!(pull_all(&[&stream]), expected);
        check_cuts(&stream);
    }

    #[test]
    fn a_foreign_stream_is_an_error_for_good() {
        check_cuts(&[KIND_EXITED, 1, 0, 0, 0, 99, 1, 2, 3]);
        check_cuts(&[KIND_CONFINED, 9, 0, 0, 0, 0]);
        check_cuts(&[KIND_REFUSED, 0, 0, 0, 0, 0]);
        let mut decoder = StatusDecoder::default();
        decoder.push(b"hello");
        assert_eq!(decoder.pull(), Some(Err(StatusError::UnknownKind(b'h'))));
        decoder.push(Status::Exited(0).encode().as_bytes());
        assert_eq!(decoder.pull(), Some(Err(StatusError::UnknownKind(b'h'))));
    }

    #[test]
    fn a_flood_is_an_error_before_it_is_memory() {
        let mut decoder = StatusDecoder::default();
        decoder.push(&[KIND_EXITED; BUFFER_BYTES_MAX + 1]);
        assert_eq!(decoder.pull(), Some(Err(StatusError::TooMuch)));
    }
}
