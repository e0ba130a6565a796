//! The bounds of the room that touches the outside.

use super::*;

// ---- host ----

/// Bytes that may wait for one reader of ours: room for the longest messages on top of the high
/// mark, where whatever feeds the queue has long been paused. A reader that leaves more lying is
/// given up.
pub const OUTPUT_QUEUE_BYTES_MAX: usize = 64 << 20;

/// From here on whatever feeds the queue is paused: ample for a screen or a pipe, little to keep.
pub const OUTPUT_QUEUE_BYTES_HIGH: usize = 1 << 20;

/// Below this it is resumed; far enough from the high mark that they do not alternate.
pub const OUTPUT_QUEUE_BYTES_LOW: usize = 256 << 10;

/// Bytes written at once to a pipe that cannot be made non-blocking: what POLLOUT promises
/// (pipe(7)).
pub const SHARED_PIPE_WRITE_BYTES_MAX: usize = 4096;

/// Bytes written at once to a terminal that cannot be opened anew: what POLLOUT leaves room for
/// (tty core).
pub const SHARED_TERMINAL_WRITE_BYTES_MAX: usize = 256;

/// How long the end of the program waits for a reader that takes nothing.
pub const DRAIN_QUIET_MS: u64 = 30_000;

/// Bytes taken from stdin: four million tokens or so, more than any model's window.
pub const STDIN_BYTES_MAX: usize = 16 << 20;

/// Bytes of stdin read at once: what a pipe holds.
pub const STDIN_READ_BYTES: usize = 64 << 10;

/// How long a first byte may take when only our ancestors hold the other end: a harness that means
/// to write does so at once.
pub const STDIN_GRACE_ANCESTORS_MS: u64 = 1000;

/// The same when we cannot see who holds it: it may be a producer.
pub const STDIN_GRACE_UNSEEN_MS: u64 = 5000;

/// How long a refusal waits for the end of a prompt that nobody needs any more: a harness writes it
/// at once.
pub const HEAR_OUT_MS: u64 = 250;

/// After this long a person is told what we wait for.
pub const STDIN_NOTICE_MS: u64 = 1000;

/// Processes that are looked at when searching for a pipe's writers, those with the nearest ids
/// first.
pub const HOLDER_PROCESSES_MAX: usize = 32_768;

/// Descriptors of theirs that are looked at, all together: some tenths of a second at worst.
pub const HOLDER_DESCRIPTORS_MAX: usize = 65_536;

/// Generations of ours that are followed upward.
pub const ANCESTORS_MAX: usize = 64;

const _: () = assert!(OUTPUT_QUEUE_BYTES_LOW < OUTPUT_QUEUE_BYTES_HIGH);
const _: () = assert!(OUTPUT_QUEUE_BYTES_HIGH < OUTPUT_QUEUE_BYTES_MAX);
/// Events taken from the kernel at once; what is beyond comes with the next poll.
pub const POLL_EVENTS_MAX: usize = 256;

/// Bytes written to one outlet before others have their turn.
pub const OUTPUT_BUDGET_BYTES: usize = 1 << 20;

/// The width of a terminal that does not know its own.
pub const TERMINAL_COLUMNS_DEFAULT: u16 = 80;
/// One read of a pipe that the command line names; what a pipe holds at most unless told otherwise.
pub const GIVEN_READ_BYTES: usize = 64 * 1024;
/// How long a pipe that the command line names may take to end: a program that makes a schema or
/// an image is done long before, and nothing else happens meanwhile.
pub const GIVEN_WAIT_MS: u64 = 30 * 1000;

/// An image of a prompt; providers refuse larger ones.
pub const IMAGE_BYTES_MAX: usize = 16 << 20;

// ---- host: net ----

/// How long a connection to a provider may take, name and TLS included.
pub const CONNECT_MS: u64 = 15_000;

/// Bytes of a provider's refusal that are read; its reasons stand at the beginning.
pub const ERROR_BODY_BYTES_MAX: usize = 16 << 10;

/// Providers that threads of one process ask.
pub const ROUTES_MAX: usize = 64;

/// Exchanges going on or connections kept at once: one for each turn that may be awake.
pub const EXCHANGES_MAX: usize = 1024;

/// Connections kept for the next exchange. A handful of servers, few of them idle at once.
pub const IDLE_CONNECTIONS_MAX: usize = 16;

/// How long a connection is kept without use; servers and middle boxes forget it after about as
/// long.
pub const IDLE_CONNECTION_MS: u64 = 90_000;

/// One read from a socket; shared by all exchanges, so its size costs once.
pub const NET_READ_BYTES: usize = 32 << 10;

/// What one exchange may move before others have their turn.
pub const NET_BUDGET_BYTES: usize = 128 << 10;

/// How long an address is tried before the next is tried besides it.
pub const CONNECT_HEAD_START_MS: u64 = 250;

/// Addresses of one name that are tried; large sites have about a dozen.
pub const RESOLVED_ADDRESSES_MAX: usize = 16;

/// Names whose addresses are kept.
pub const RESOLVED_NAMES_MAX: usize = 64;

/// How long addresses are kept. Short, since we are not told how long they hold.
pub const RESOLVED_KEPT_MS: u64 = 60_000;

/// Lookups at once, each a process; more names wait.
pub const RESOLVERS_MAX: usize = 8;

/// How long a lookup may take; `getaddrinfo` itself gives up after 5 s for each server it knows.
pub const RESOLVE_MS_MAX: u64 = 10_000;

/// How soon to look again for a killed child that has not yet died.
pub const RESOLVER_REAP_MS: u64 = 20;

/// An answer of a lookup: its addresses as text, with much to spare.
pub const RESOLVER_ANSWER_BYTES_MAX: usize = 2 << 10;

/// A file of certificate authorities; those of distributions have about 250 KB.
pub const CA_FILE_BYTES_MAX: u64 = 8 << 20;

/// Files of one directory of certificate authorities.
pub const CA_FILES_MAX: usize = 1024;

const _: () = assert!(UNREACHABLE_MS_MAX + CONNECT_MS < 60_000, "a minute to give up in");
const _: () = assert!(EXCHANGES_MAX <= u16::MAX as usize, "a slot fits its key");
const _: () = assert!(IDLE_CONNECTIONS_MAX < EXCHANGES_MAX, "idle connections leave room");
const _: () = assert!(RESOLVED_ADDRESSES_MAX * 46 < RESOLVER_ANSWER_BYTES_MAX, "an answer fits");
const _: () = assert!(NET_READ_BYTES <= NET_BUDGET_BYTES, "a budget allows one read");

// ---- host: processes ----

/// Children that run for calls, over all threads; each costs three descriptors and a launcher.
pub const CHILDREN_MAX: usize = 512;

const _: () = assert!(SESSIONS_MAX + CALLS_PARALLEL_MAX <= CHILDREN_MAX);

/// Programs that clients run at once; each costs five descriptors and a launcher.
pub const PROGRAMS_MAX: usize = 128;

/// Submodules whose control files are protected; each costs three mounts.
/// Submodules, and other worktrees, whose control files are protected; each costs three mounts.
pub const GIT_SUBMODULES_MAX: usize = 32;

/// Directories looked into for submodules; each costs some 10 µs before every command.
pub const GIT_MODULE_VISITS_MAX: usize = 4 * GIT_SUBMODULES_MAX;

/// How long output may stay open after everything the command started is gone.
pub const OUTPUT_LINGER_MS: u64 = 200;

/// Bytes one source may move before the next has its turn.
pub const READ_BUDGET_BYTES: usize = 1 << 20;

/// The buffer that outputs of children are read through: what a pipe holds.
pub const SCRATCH_BYTES: usize = 64 << 10;

/// What waits to be written to a session: more than people type or models say at once.
pub const SESSION_INPUT_BYTES_MAX: usize = 64 << 10;

/// Paths that a search gathers; a model is shown far less.
pub const SEARCH_TEXT_BYTES_MAX: usize = 64 << 10;

/// How soon to look again for a launcher that has closed its pipes and is about to be gone.
pub const REAP_PAUSE_MS: u64 = 5;

/// How long the end of the program waits for launchers to end what they started.
pub const END_ALL_MS: u64 = 3_000;

/// Programs of `notify` that run at once; one that piles up this far is broken.
pub const NOTIFY_RUNNING_MAX: usize = 16;

// ---- host: disk ----

/// auth.json; three tokens of a few kilobytes each.
pub const AUTH_FILE_BYTES_MAX: usize = 256 * 1024;

/// The file of users; machines with more than ten thousand keep them elsewhere.
pub const PASSWD_BYTES_MAX: usize = 1024 * 1024;

/// Settings files of one project, from its root down to the working directory.
pub const PROJECT_CONFIGS_MAX: usize = 32;

/// The user's own AGENTS.md; it goes out with every conversation.
pub const GLOBAL_NOTES_BYTES_MAX: usize = 256 * 1024;

/// Steps from a directory up to the root; deeper trees are not looked through to their top.
pub const DIRECTORY_DEPTH_MAX: usize = 256;

/// What one read of a rollout asks for.
pub const ROLLOUT_READ_BYTES: usize = 256 * 1024;
/// What of a fork's past is copied at once: about a millisecond on a busy machine.
pub const FORK_SLICE_BYTES: u64 = 256 * 1024;
/// Lines of a rollout that are passed over until a summary replaces them; more than a window holds.
pub const ROLLOUT_PASSED_MAX: usize = 16_384;
/// The same in bytes; to read them after all takes some tens of milliseconds.
pub const ROLLOUT_PASSED_BYTES_MAX: usize = 8 << 20;

/// The first line of a rollout, when only that is wanted; it may hold base instructions.
pub const ROLLOUT_META_BYTES_MAX: usize = 1024 * 1024;

/// Names looked at in one search of the sessions; some milliseconds.
pub const SHELF_NAMES_MAX: u32 = 100_000;

/// Lines of a rollout that are gathered before they are written; what one input leads to is rarely
/// more, and where it is, memory matters more than one system call.
pub const ROLLOUT_BATCH_BYTES: usize = 64 * 1024;
/// Rollouts opened in one search for the newest of a directory; some milliseconds.
pub const SHELF_OPENED_MAX: u32 = 2_000;

/// What one slice of a search may cost, in names that are looked at: some milliseconds.
pub const SLICE_COST: u32 = 4_000;
/// What asking for a file's times costs of that.
pub const STAMPED_COST: u32 = 4;
/// What opening a rollout and reading its head costs of that; more for each further piece.
pub const OPENED_COST: u32 = 50;

/// The file of names that sessions have: some thousand, each replaced a few times.
pub const NAMES_BYTES_MAX: usize = 1 << 20;
/// The same as other programs may leave it.
pub const NAMES_READ_BYTES_MAX: usize = 4 << 20;
/// The name of one session; people write a line.
pub const NAME_BYTES_MAX: usize = 1024;

/// Sessions on one page of a list.
pub const PAGE_SESSIONS_MAX: usize = 100;
/// First lines of a rollout that say what a list shows of it.
pub const HEADING_LINES_MAX: u32 = 10;
/// Rollouts opened for one list; some tenths of a second.
pub const LISTED_OPENED_MAX: u32 = 10_000;
/// An answer to a question of ours: yes or no.
pub const ANSWER_BYTES_MAX: u64 = 64;
/// What a list keeps of the first thing that was asked.
pub const PREVIEW_BYTES_MAX: usize = 4 * 1024;

/// Entries of a writable root among which repositories are looked for; each costs some 1 µs before
/// every command, however large the workspace.
pub const GIT_NESTED_ENTRIES_MAX: usize = 256;

/// Repositories beside each other in a writable root whose control files are put back; each costs
/// some 100 µs before every command.
pub const GIT_NESTED_MAX: usize = 8;

/// Small files of git: HEAD, a ref, a pointer to another directory.
pub const GIT_POINTER_BYTES_MAX: usize = 4096;

/// The configuration of a repository.
pub const GIT_CONFIG_BYTES_MAX: usize = 256 * 1024;

/// The packed refs of a repository: some ten thousand branches and tags.
pub const GIT_PACKED_REFS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Refs that name other refs; git itself stops at five.
pub const GIT_SYMBOLIC_REFS_MAX: u32 = 5;

/// The shortest URL of an image that is kept outside of memory: below this, memory is cheaper than
/// reading it back.
pub const KEPT_IMAGE_BYTES_MIN: usize = 4 * 1024;
/// What is read back at a time of such a URL, or of a line that has some.
pub const KEPT_READ_BYTES: usize = 32 * 1024;
/// Bytes at either end of such a URL that show whether it is still what it was.
pub const KEPT_ENDS_BYTES: usize = 64;
/// Images that are kept before those that nobody needs any more are looked for.
pub const KEPT_SWEEP_COUNT_MIN: usize = 64;
/// What is held of a line of a rollout until it is known to be wanted: all of most.
pub const ROLLOUT_LINE_HELD_BYTES: usize = 256 * 1024;
/// What is held of a longer one: what it is stands at its beginning.
pub const ROLLOUT_HEAD_BYTES: usize = 4 * 1024;

const _: () = assert!(2 * KEPT_ENDS_BYTES <= KEPT_IMAGE_BYTES_MIN);
const _: () = assert!(ROLLOUT_HEAD_BYTES <= ROLLOUT_LINE_HELD_BYTES);
const _: () = assert!(ROLLOUT_LINE_BYTES_MAX <= u32::MAX as usize, "a URL's length fits");

/// A journal of `--journal`: a long session with many images; a report should still be sendable.
pub const JOURNAL_BYTES_MAX: u64 = 256 << 20;

/// Responses in which a journal watches for credentials that are cut in two, at the same time.
pub const JOURNAL_STREAMS_MAX: usize = 16;

/// Credentials that are kept out of one journal: each text is searched for each of them.
pub const JOURNAL_CREDENTIALS_MAX: usize = 64;

/// Room that is kept for the lines of a journal; longer ones are rare.
pub const JOURNAL_KEPT_BYTES: usize = 64 << 10;

const _: () = assert!(ROLLOUT_META_BYTES_MAX <= ROLLOUT_LINE_BYTES_MAX);
const _: () = assert!(ROLLOUT_READ_BYTES <= ROLLOUT_LINE_BYTES_MAX);
/// One request to `windlass-files`; a patch as JSON may take six bytes for one.
pub const FILES_REQUEST_BYTES_MAX: usize = 8 << 20;
/// An image that the model views: four thirds of it fit a reply and, a few times, a history.
pub const VIEWED_IMAGE_BYTES_MAX: usize = 5 << 20;
/// One reply of `windlass-files`, for the same reason.
pub const FILES_REPLY_BYTES_MAX: usize = 8 << 20;
/// Bytes of a file that `read_file` passes on its way to an offset; a second or two of reading.
pub const FILE_SCANNED_BYTES_MAX: u64 = 1 << 30;
/// Names of a directory that `list_dir` sorts, and how far its pages go.
pub const LISTING_WANTED_MAX: usize = 100_000;

const _: () = assert!(FILES_REQUEST_BYTES_MAX >= 6 * PATCH_BYTES_MAX);
const _: () = assert!(FILES_REPLY_BYTES_MAX >= 6 * CHANGES_TEXT_BYTES_MAX);
const _: () = assert!(FILES_REPLY_BYTES_MAX >= 6 * FILE_SHOWN_BYTES_MAX);
const _: () = assert!(FILES_REPLY_BYTES_MAX >= VIEWED_IMAGE_BYTES_MAX.div_ceil(3) * 4 + 64);
const _: () = assert!(VIEWED_IMAGE_BYTES_MAX <= IMAGE_BYTES_MAX);
const _: () = assert!(HISTORY_SPARE_BYTES < HISTORY_BYTES_MAX);

// ---- host: app server ----

/// Requests of clients that programs answer, beyond which more are refused.
pub const ERRANDS_MAX: usize = 256;
/// Requests at once that look through what was recorded.
pub const SHELVES_JOBS_MAX: usize = 64;
/// Threads or turns on one page of a list, if the client does not say.
pub const PAGE_COUNT: u32 = 25;
/// Searches at once: each is a client's list that is being typed into.
pub const SEARCHES_MAX: usize = 32;

/// Paths that one `fuzzyFileSearch` finds; clients show a list.
pub const FUZZY_FOUND_MAX: usize = 50;
/// Roots of one such search; clients name one or two.
pub const FUZZY_ROOTS_MAX: usize = 64;
/// Directories within each other that it enters; each is open for as long.
pub const FUZZY_DEPTH_MAX: usize = 64;
/// Text of the `.gitignore` files of one directory and those around it; each path is compared with
/// all of it.
pub const FUZZY_IGNORES_BYTES_MAX: usize = 64 << 10;
/// How long one slice of such a search may take.
pub const FUZZY_STEP_MS: u64 = 4;

/// Commands that clients run at once with `command/exec` and `execOneOffCommand`.
pub const ONE_OFFS_MAX: usize = 64;
/// How long such a command may run when the client does not say.
pub const ONE_OFF_TIMEOUT_MS: u64 = 10_000;
/// Bytes of each of its streams that clients get unless they say otherwise.
pub const ONE_OFF_OUTPUT_BYTES: usize = 1 << 20;
/// Bytes of each of its streams that are kept for its answer; more is for those that stream.
pub const ONE_OFF_KEPT_BYTES_MAX: usize = 8 << 20;
/// What waits to be written to such a command: a file or so.
pub const ONE_OFF_INPUT_BYTES_MAX: usize = 1 << 20;
/// The name that a client gives such a command.
pub const PROCESS_ID_BYTES_MAX: usize = 256;

/// Runs of `gitDiffToRemote` at once; a client shows one.
pub const GIT_DIFFS_MAX: usize = 4;
/// How long one may take, over all the runs of git.
pub const GIT_DIFF_MS: u64 = 30_000;
/// The whole diff; people read kilobytes of one.
pub const GIT_DIFF_BYTES_MAX: usize = 8 << 20;
/// Commits that are on no remote branch, or names of files that git does not know, as git lists
/// them: some ten thousand commits, which take milliseconds to go through.
pub const GIT_LIST_BYTES_MAX: usize = 2 << 20;
/// Files that git does not know and that become part of a diff; each costs a run of git.
pub const GIT_UNTRACKED_MAX: usize = 500;
/// What git says when it fails.
pub const GIT_COMPLAINT_BYTES_MAX: usize = 1000;

const _: () = assert!(ONE_OFFS_MAX + GIT_DIFFS_MAX <= PROGRAMS_MAX);
const _: () = assert!(ONE_OFF_OUTPUT_BYTES <= ONE_OFF_KEPT_BYTES_MAX);
/// Symbolic links that are followed to a file that is written, as many as the kernel follows
/// (path_resolution(7)).
pub const LINKS_FOLLOWED_MAX: usize = 40;

/// What a user says in one bundle of feedback; a few pages.
pub const FEEDBACK_TEXT_BYTES_MAX: usize = 64 << 10;

/// The end of a session that goes into a bundle: the last turns, read and searched at once.
pub const FEEDBACK_SESSION_BYTES_MAX: u64 = 4 << 20;

/// Bundles that lie in the home; who has so many should look at them.
pub const FEEDBACK_BUNDLES_MAX: usize = 32;

/// Bytes of a command's output that clients are told while it runs, as many as of a command of
/// their own.
pub const TOLD_BYTES_MAX: usize = ONE_OFF_OUTPUT_BYTES;
/// Pieces of it; a program that prints byte by byte would make a message of each.
pub const TOLD_PIECES_MAX: u32 = 8192;
/// Bytes of it that wait for a client which reads nothing: what a pipe holds.
pub const TOLD_WAITING_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(CHILDREN_MAX * TOLD_WAITING_BYTES_MAX <= OUTPUT_QUEUE_BYTES_MAX);
// A piece as JSON may take six bytes for one, and goes to the queue when it is below its high mark.
const _: () = assert!(OUTPUT_QUEUE_BYTES_HIGH + 6 * READ_BUDGET_BYTES < OUTPUT_QUEUE_BYTES_MAX);

/// Names of writable roots whose places are remembered: those of as many threads as one server ever
/// has, and some more.
pub const ROOTS_KNOWN_MAX: usize = 4096;

/// Bytes of a file that a turn's diff shows, before or after; longer ones are no reading for
/// people, and each takes milliseconds to compare.
pub const TURN_DIFF_FILE_BYTES_MAX: usize = 512 << 10;
/// Files that one such diff tells of.
pub const TURN_DIFF_FILES_MAX: usize = 256;
/// The texts of one such diff: each patch has it told anew.
pub const TURN_DIFF_BYTES_MAX: usize = 1 << 20;
/// Files as they were before their turns, and the texts of their diffs, of all turns that run.
pub const TURN_DIFFS_HELD_BYTES_MAX: usize = 32 << 20;
/// Bytes that are read and compared at once; milliseconds of work.
pub const TURN_DIFF_SLICE_BYTES: usize = 1 << 20;
/// Unchanged lines around each change of such a diff, as in those of git.
pub const TURN_DIFF_CONTEXT_LINES: usize = 3;

/// URLs of images in a message that clients are told it has; they are told of it more than once,
/// and have most often sent it themselves.
pub const TOLD_IMAGES_BYTES_MAX: usize = 1 << 20;

// Each listener is told three times, who follows in the words of the second protocol twice.
const _: () = assert!(
    OUTPUT_QUEUE_BYTES_HIGH + (3 * LISTENERS_MAX + 2) * TOLD_IMAGES_BYTES_MAX
        < OUTPUT_QUEUE_BYTES_MAX
);
