//! A whole command as one record: policy, program, arguments, environment, rules of lifetime.
//!
//! The record goes to the launcher in a memfd, since arguments are readable by everybody. It is
//! versioned, its length is checked, and every count is bounded by the bytes that are really there.
//!
//! ```text
//! "WLSP" | version u32 | length u32 | agent pid u32 | access u8 | flags u8 | grace_ms u32
//!        | apart u8 | nofile u64 | cwd | program | writable roots | unreadable | protected
//!        | nested | sealed | argv | env keys and values
//! string = length u32, bytes without NUL        list = count u32, strings
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::limits::{GRACE_MS_MAX, PATH_BYTES_MAX, PATHS_COUNT_MAX, RECORD_BYTES_MAX};
use crate::namespaces::Apart;
use crate::policy::{Access, Policy};

const MAGIC: [u8; 4] = *b"WLSP";
/// Raise with every change of the layout: the executable may be replaced while an agent runs.
const VERSION: u32 = 3;
const LENGTH_AT: usize = 8;

const FLAG_NETWORK: u8 = 1;
const FLAG_PTY: u8 = 1 << 1;
const FLAG_BACKGROUND: u8 = 1 << 2;
const FLAG_NOFILE: u8 = 1 << 3;
const FLAGS_ALL: u8 = FLAG_NETWORK | FLAG_PTY | FLAG_BACKGROUND | FLAG_NOFILE;

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub policy: Policy,
    /// Which namespaces of its own a confined command is given; `None` has the launcher find out,
    /// which takes as long as a command. What `Confined` says then holds for all that follow.
    pub apart: Option<Apart>,
    /// Looked up in the `PATH` of `env` unless it holds a slash.
    pub program: Vec<u8>,
    /// Arguments, the name the program sees included; never empty.
    pub argv: Vec<Vec<u8>>,
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Absolute.
    pub cwd: PathBuf,
    /// Descriptor 0 is the slave of a PTY, to become the controlling terminal.
    pub pty: bool,
    /// What the command leaves behind lives on until the control pipe closes.
    pub background: bool,
    /// Between SIGTERM and SIGKILL.
    pub grace_ms: u32,
    /// Soft limit of open files to restore; the agent raises its own.
    pub nofile: Option<u64>,
}

/// Why a record was not understood, or a plan cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    NotAPlan,
    OtherVersion(u32),
    WrongLength,
    Cut,
    TooLong,
    TooMany,
    UnknownAccess(u8),
    UnknownFlags(u8),
    UnknownApart(u8),
    HoldsNul,
    NoArguments,
    BadVariable,
    RelativePath,
    GraceTooLong,
}

impl Plan {
    /// The record of this plan, as the process `agent_pid` hands it over.
    pub fn encode(&self, agent_pid: u32) -> Result<Vec<u8>, PlanError> {
        self.judge()?;
        let mut record = Vec::with_capacity(512);
        record.extend_from_slice(&MAGIC);
        put_u32(&mut record, VERSION);
        put_u32(&mut record, 0);
        put_u32(&mut record, agent_pid);
        record.push(match self.policy.access {
            Access::ReadOnly => 0,
            Access::WorkspaceWrite => 1,
            Access::Full => 2,
        });
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        record.push(
            flag(self.policy.network, FLAG_NETWORK)
                | flag(self.pty, FLAG_PTY)
                | flag(self.background, FLAG_BACKGROUND)
                | flag(self.nofile.is_some(), FLAG_NOFILE),
        );
        put_u32(&mut record, self.grace_ms);
        record.push(match self.apart {
            None => 0,
            Some(Apart::Nothing) => 1,
            Some(Apart::View) => 2,
            Some(Apart::Whole) => 3,
        });
        record.extend_from_slice(&self.nofile.unwrap_or(0).to_le_bytes());
        put_string(&mut record, self.cwd.as_os_str().as_bytes())?;
        put_string(&mut record, &self.program)?;
        for paths in self.policy.lists() {
            put_count(&mut record, paths.len())?;
            for path in paths {
                put_string(&mut record, path.as_os_str().as_bytes())?;
            }
        }
        put_count(&mut record, self.argv.len())?;
        for argument in &self.argv {
            put_string(&mut record, argument)?;
        }
        put_count(&mut record, self.env.len())?;
        for (key, value) in &self.env {
            put_string(&mut record, key)?;
            put_string(&mut record, value)?;
        }
        let length = u32::try_from(record.len()).map_err(|_| PlanError::TooLong)?;
        record[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
        Ok(record)
    }

    /// The plan of a record, and the process that handed it over.
    pub fn decode(record: &[u8]) -> Result<(Plan, u32), PlanError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(PlanError::TooLong);
        }
        let mut cursor = Cursor { rest: record };
        if cursor.take(4).map_err(|_| PlanError::NotAPlan)? != MAGIC {
            return Err(PlanError::NotAPlan);
        }
        let version = cursor.u32()?;
        if version != VERSION {
            return Err(PlanError::OtherVersion(version));
        }
        if cursor.u32()? as usize != record.len() {
            return Err(PlanError::WrongLength);
        }
        let agent_pid = cursor.u32()?;
        let access = match cursor.u8()? {
            0 => Access::ReadOnly,
            1 => Access::WorkspaceWrite,
            2 => Access::Full,
            unknown => return Err(PlanError::UnknownAccess(unknown)),
        };
        let flags = cursor.u8()?;
        if flags & !FLAGS_ALL != 0 {
            return Err(PlanError::UnknownFlags(flags));
        }
        let grace_ms = cursor.u32()?;
        let apart = match cursor.u8()? {
            0 => None,
            1 => Some(Apart::Nothing),
            2 => Some(Apart::View),
            3 => Some(Apart::Whole),
            unknown => return Err(PlanError::UnknownApart(unknown)),
        };
        let nofile = cursor.u64()?;
        if nofile != 0 && flags & FLAG_NOFILE == 0 {
            return Err(PlanError::UnknownFlags(flags));
        }
        let cwd = cursor.path()?;
        let program = cursor.string()?.to_vec();
        let policy = Policy {
            access,
            network: flags & FLAG_NETWORK != 0,
            writable_roots: cursor.paths()?,
            unreadable: cursor.paths()?,
            protected: cursor.paths()?,
            nested: cursor.paths()?,
            sealed: cursor.paths()?,
        };
        let argv = cursor.list(|cursor| Ok(cursor.string()?.to_vec()))?;
        let env =
            cursor.list(|cursor| Ok((cursor.string()?.to_vec(), cursor.string()?.to_vec())))?;
        if !cursor.rest.is_empty() {
            return Err(PlanError::WrongLength);
        }
        let plan = Plan {
            policy,
            apart,
            program,
            argv,
            env,
            cwd,
            pty: flags & FLAG_PTY != 0,
            background: flags & FLAG_BACKGROUND != 0,
            grace_ms,
            nofile: (flags & FLAG_NOFILE != 0).then_some(nofile),
        };
        plan.judge()?;
        Ok((plan, agent_pid))
    }

    /// The value of a variable in the environment of the command.
    pub fn variable(&self, key: &[u8]) -> Option<&[u8]> {
        self.env.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_slice())
    }

    /// Whether this plan can be handed over and run at all.
    fn judge(&self) -> Result<(), PlanError> {
        if self.argv.is_empty() {
            return Err(PlanError::NoArguments);
        }
        if self.grace_ms > GRACE_MS_MAX {
            return Err(PlanError::GraceTooLong);
        }
        let bad_key = |key: &[u8]| key.is_empty() || key.contains(&b'=');
        if self.env.iter().any(|(key, _)| bad_key(key)) {
            return Err(PlanError::BadVariable);
        }
        let lists = self.policy.lists();
        if lists.iter().any(|paths| paths.len() > PATHS_COUNT_MAX) {
            return Err(PlanError::TooMany);
        }
        for path in lists.into_iter().flatten().chain([&self.cwd]) {
            judge_path(path.as_os_str())?;
        }
        Ok(())
    }
}

fn judge_path(path: &OsStr) -> Result<(), PlanError> {
    if path.len() > PATH_BYTES_MAX {
        return Err(PlanError::TooLong);
    }
    if path.as_bytes().first() != Some(&b'/') {
        return Err(PlanError::RelativePath);
    }
    Ok(())
}

fn put_u32(record: &mut Vec<u8>, number: u32) {
    record.extend_from_slice(&number.to_le_bytes());
}

fn put_count(record: &mut Vec<u8>, count: usize) -> Result<(), PlanError> {
    put_u32(record, u32::try_from(count).map_err(|_| PlanError::TooMany)?);
    Ok(())
}

fn put_string(record: &mut Vec<u8>, string: &[u8]) -> Result<(), PlanError> {
    if string.contains(&0) {
        return Err(PlanError::HoldsNul);
    }
    if record.len() + 4 + string.len() > RECORD_BYTES_MAX {
        return Err(PlanError::TooLong);
    }
    put_count(record, string.len())?;
    record.extend_from_slice(string);
    Ok(())
}

/// What of a record is still to be read.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], PlanError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(PlanError::Cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], PlanError> {
        let mut word = [0; N];
        word.copy_from_slice(self.take(N)?);
        Ok(word)
    }

    fn u8(&mut self) -> Result<u8, PlanError> {
        Ok(self.word::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, PlanError> {
        Ok(u32::from_le_bytes(self.word()?))
    }

    fn u64(&mut self) -> Result<u64, PlanError> {
        Ok(u64::from_le_bytes(self.word()?))
    }

    fn string(&mut self) -> Result<&'a [u8], PlanError> {
        let len = self.u32()? as usize;
        let string = self.take(len)?;
        if string.contains(&0) { Err(PlanError::HoldsNul) } else { Ok(string) }
    }

    fn path(&mut self) -> Result<PathBuf, PlanError> {
        Ok(PathBuf::from(OsString::from_vec(self.string()?.to_vec())))
    }

    fn paths(&mut self) -> Result<Vec<PathBuf>, PlanError> {
        self.list(Cursor::path)
    }

    /// A list; each element takes at least the four bytes of its length, which bounds the count.
    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, PlanError>,
    ) -> Result<Vec<T>, PlanError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() / 4 {
            return Err(PlanError::Cut);
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests;
