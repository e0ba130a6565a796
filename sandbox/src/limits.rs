//! Every bound of this crate, each with its unit in the name and the reason beside it.

/// Size of an encoded plan. The kernel refuses more than 6 MiB of arguments and environment.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// Size of one path in a plan: `PATH_MAX` of the kernel.
pub const PATH_BYTES_MAX: usize = 4096;

/// Paths in one list of a policy. Each costs the launcher a walk and a rule.
pub const PATHS_COUNT_MAX: usize = 256;

/// Directory entries granted one by one around hidden paths. Each costs some 3 µs; 16,384 of them
/// stay below 100 ms.
pub const SIBLINGS_COUNT_MAX: usize = 16_384;

/// Entries of a directory of the agent's own that are shown one by one. Each costs some 20 µs.
pub const SEALED_ENTRIES_COUNT_MAX: usize = 256;

/// Longest time between asking a command to stop and killing it.
pub const GRACE_MS_MAX: u32 = 60_000;

/// What processes left behind by a command get to react to SIGTERM. Short: the command is over and
/// its output is waited for.
pub const LEFT_OVER_GRACE_MS_MAX: u32 = 200;

/// How long the supervisor keeps killing without any process going away before it gives up.
/// Only processes in uninterruptible sleep, or of another user, last that long.
pub const STUCK_MS_MAX: u64 = 5_000;

/// Longest pause between two rounds of killing. The first rounds follow each other at once.
pub const ROUND_PAUSE_MS_MAX: i32 = 20;

/// Rounds of killing without a pause, to outrun processes that fork and exit.
pub const ROUNDS_RUSHED_COUNT: u32 = 64;

/// Processes reaped before the supervisor looks at its deadline again: below a millisecond.
pub const REAPED_COUNT_MAX: u32 = 256;

/// A killed supervisor whose end is known needs this long at most to hand over its children. It is
/// microseconds but for a machine in distress.
pub const HERITAGE_MS_MAX: i32 = 100;

/// Rounds of killing what a killed supervisor left to the agent: 0.3 s at most, as its loop waits.
pub const STRANGER_ROUNDS_COUNT: i32 = 24;

/// Highest process id of the kernel (`PID_MAX_LIMIT` on 64 bits).
pub const PID_MAX: i32 = 4_194_304;

/// Size of one file below `/proc/PID` that we read; a stat line has at most a few hundred bytes.
pub const PROC_LINE_BYTES_MAX: usize = 4096;

/// Connections of one command that processes of ours wait for; one more has to try again.
pub const HELPERS_COUNT_MAX: usize = 64;

/// Descriptors of one process looked through for the side that made a terminal. Each costs some
/// 2 µs; who has more gets no terminals by path.
pub const DESCRIPTORS_COUNT_MAX: usize = 4096;

/// Steps from a process up to its supervisor. A chain of parents any longer is a stranger's.
pub const ANCESTORS_COUNT_MAX: usize = 1024;

/// What is read of the table of unix sockets: some fifty thousand of them.
pub const SOCKET_TABLE_BYTES_MAX: u64 = 4 << 20;

/// Symbolic links followed in one path, as the kernel does (`MAXSYMLINKS`).
pub const LINKS_COUNT_MAX: usize = 40;

/// Bits of all processors that the kernel can be built for (8192).
pub const PROCESSORS_BYTES_MAX: usize = 1024;

/// Value of one extended attribute (`XATTR_SIZE_MAX`).
pub const ATTRIBUTE_BYTES_MAX: usize = 65_536;

/// Name of an extended attribute with its NUL (`XATTR_NAME_MAX` and one).
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 256;

/// A `struct file_attr` of this or a later kernel, which takes at most a page.
pub const FILE_ATTR_BYTES_MAX: usize = 4096;

/// What is kept of all protected paths of a command, to be put back; read before each command.
pub const KEPT_BYTES_MAX: usize = 4 << 20;

/// Files and directories kept. Each costs some 5 µs before a command and 1 µs after it.
pub const KEPT_ENTRIES_COUNT_MAX: usize = 1024;

/// Directories within each other in what is kept; each is a descriptor and a call.
pub const KEPT_DEPTH_MAX: usize = 16;

/// What is written of the look that overlapping commands share: twice what is kept at a time, for
/// names and for what was changed meanwhile by somebody who may.
pub const LOOK_BYTES_MAX: usize = 2 * KEPT_BYTES_MAX;

/// Changed versions of one protected path that are set aside beside it under easy names.
pub const SET_ASIDE_COUNT_MAX: u32 = 16;

/// Descendants listed in one round; more are met in the next.
pub const DESCENDANTS_COUNT_MAX: usize = 65_536;

const _: () = assert!(PATH_BYTES_MAX * PATHS_COUNT_MAX * 5 < RECORD_BYTES_MAX);
const _: () = assert!(LEFT_OVER_GRACE_MS_MAX <= GRACE_MS_MAX);
const _: () = assert!((LEFT_OVER_GRACE_MS_MAX as u64) < STUCK_MS_MAX);
