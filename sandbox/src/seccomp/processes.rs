//! Limits, priorities and processors: a program may set its own, and those of nobody else.
//!
//! Zero means the caller. Every other number is refused, or asked about where somebody answers.

use std::io;

use libc::c_long;
use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompRule};

use super::verdicts::{answer, jump, load};
use super::{ARGUMENT_0_LOW_AT, ARGUMENT_1_LOW_AT, Rules, condition, invalid, refuse_if};

/// `PRIO_PROCESS` and `PRIO_USER` of linux/resource.h.
const PRIO_PROCESS: u32 = 0;
const PRIO_USER: u64 = 2;
/// `IOPRIO_WHO_PROCESS` and `IOPRIO_WHO_USER` of linux/ioprio.h.
const IOPRIO_WHO_PROCESS: u32 = 1;
const IOPRIO_WHO_USER: u64 = 3;

/// Calls that set something for a process, or a thread, by its number.
const BY_NUMBER: [c_long; 5] = [
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_prlimit64,
];
/// The same where the number comes second, and the first argument says that it is one of a process.
const BY_SECOND_NUMBER: [(c_long, u32); 2] =
    [(libc::SYS_setpriority, PRIO_PROCESS), (libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS)];

/// Which argument of a call is the number of the process that it sets something for.
pub(crate) fn process_at(number: c_long) -> Option<usize> {
    if BY_NUMBER.contains(&number) {
        return Some(0);
    }
    BY_SECOND_NUMBER.iter().any(|(found, _)| *found == number).then_some(1)
}

/// Refuses whatever says a number, or a group or a user. Reading limits stays allowed.
pub(super) fn refuse(rules: &mut Rules) -> io::Result<()> {
    use SeccompCmpOp::{Eq, Ne};
    for number in BY_NUMBER.into_iter().filter(|number| *number != libc::SYS_prlimit64) {
        refuse_if(rules, number, &[(0, Ne, 0)])?;
    }
    for (number, everybody) in
        [(libc::SYS_setpriority, PRIO_USER), (libc::SYS_ioprio_set, IOPRIO_WHO_USER)]
    {
        refuse_if(rules, number, &[(1, Ne, 0)])?;
        refuse_if(rules, number, &[(0, Eq, everybody)])?;
    }
    // The third argument is a pointer; only the whole of it tells whether something is set.
    let other = condition(0, SeccompCmpArgLen::Dword, Ne, 0)?;
    let sets = condition(2, SeccompCmpArgLen::Qword, Ne, 0)?;
    let rule = SeccompRule::new(vec![other, sets]).map_err(invalid)?;
    rules.entry(libc::SYS_prlimit64).or_default().push(rule);
    Ok(())
}

/// Asks about what is set by a number that is not zero, since it may be the caller's own. Comes
/// before the refusals, which hold where nobody answers. Finds the call's number loaded, and leaves
/// it so.
pub(super) fn ask(program: &mut BpfProgram) -> io::Result<()> {
    let ask = libc::SECCOMP_RET_USER_NOTIF;
    for number in BY_NUMBER {
        program.extend([
            jump(libc::BPF_JEQ, u32::try_from(number).map_err(invalid)?, 0, 4),
            load(ARGUMENT_0_LOW_AT),
            jump(libc::BPF_JEQ, 0, 1, 0),
            answer(ask),
            load(0),
        ]);
    }
    for (number, kind) in BY_SECOND_NUMBER {
        program.extend([
            jump(libc::BPF_JEQ, u32::try_from(number).map_err(invalid)?, 0, 6),
            load(ARGUMENT_0_LOW_AT),
            jump(libc::BPF_JEQ, kind, 0, 3),
            load(ARGUMENT_1_LOW_AT),
            jump(libc::BPF_JEQ, 0, 1, 0),
            answer(ask),
            load(0),
        ]);
    }
    Ok(())
}
