//! Every bound in the program, each with its unit in the name and the reason beside it.
//!
//! One section per room. Relations between bounds are `const` assertions at the end of a section.
//! Reaching a bound is an ordinary, tested outcome: refuse, clip, pause or fail, and say so.

mod host;

pub use self::host::*;

// ---- words ----

/// Edits that a diff searches for exactly; the search keeps `DIFF_EDITS_MAX²/2` numbers of 4 bytes.
pub const DIFF_EDITS_MAX: usize = 1024;
/// Line comparisons of one diff before it gives up being minimal; tens of milliseconds.
pub const DIFF_STEPS_MAX: usize = 8 << 20;

// ---- search ----

/// Characters of a query for paths; people type a dozen, and each is compared with all of a path.
pub const FUZZY_QUERY_CHARS_MAX: usize = 64;
/// Characters of a path that are looked at: what the kernel takes for one (`PATH_MAX`).
pub const FUZZY_PATH_CHARS_MAX: usize = 4096;

// ---- tools ----

/// A command's time when the model names none.
pub const COMMAND_TIMEOUT_MS: u64 = 10_000;

/// The longest time a command may ask for; a turn should not hang on one command for ever.
pub const COMMAND_TIMEOUT_MS_MAX: u64 = 3_600_000;

/// Time for looking at files, inspecting or applying a patch.
pub const FILES_TIMEOUT_MS: u64 = 30_000;

/// Steps of a task list that are kept.
pub const TASKS_MAX: usize = 128;

/// The path of a directory that a command starts in: `PATH_MAX` of the kernel without its NUL.
pub const WORKDIR_BYTES_MAX: usize = 4095;
/// Output of one call that a model is shown; more costs context and tells little.
pub const CALL_OUTPUT_BYTES_MAX: usize = 10 << 10;
/// Lines of output that a model is shown, half of them from the end.
pub const CALL_OUTPUT_LINES_MAX: u64 = 256;
/// Half a clip must hold the longest mark of a cut, with its three numbers of up to 20 digits.
pub const CLIP_BYTES_MIN: usize = 256;
/// A model writes a patch in one go; nobody writes a megabyte that way.
pub const PATCH_BYTES_MAX: usize = 1 << 20;
/// Files in one patch: each costs an open file, a diff and a line to approve.
pub const PATCH_HUNKS_MAX: usize = 1024;
/// Bytes compared while the places of one file's chunks are looked for; about a second at worst.
pub const PATCH_SEEK_BYTES_MAX: usize = 256 << 20;
/// Characters of a line that `read_file` shows; longer lines are data, not text.
pub const FILE_LINE_CHARS_MAX: usize = 500;
/// Lines that `read_file` shows unless told otherwise.
pub const FILE_LINES_DEFAULT: u64 = 2000;
/// Text that `read_file` gathers at most; a model is shown far less.
pub const FILE_SHOWN_BYTES_MAX: usize = 1 << 20;
/// Memory for the lines of a file in which a block is looked for.
pub const FILE_BLOCK_BYTES_MAX: usize = 64 << 20;
/// Entries on a page of `list_dir` unless told otherwise.
pub const LISTING_ENTRIES_DEFAULT: u64 = 25;
/// Levels that `list_dir` descends unless told otherwise.
pub const LISTING_DEPTH_DEFAULT: u64 = 2;
/// Characters of a name that `list_dir` shows; file systems allow 255 bytes.
pub const LISTING_NAME_CHARS_MAX: usize = 500;
/// A pattern for names or paths; a path has at most 4096 bytes, a name 255.
pub const GLOB_BYTES_MAX: usize = 1024;
/// Patterns that `{a,b}` in one pattern may stand for.
pub const GLOB_ALTERNATIVES_MAX: usize = 64;
/// Rules of one `.gitignore` file; generated ones have some hundred.
pub const IGNORE_RULES_MAX: usize = 10_000;
/// A `.gitignore` file.
pub const IGNORE_FILE_BYTES_MAX: usize = 1 << 20;
/// Files that `grep_files` finds unless told otherwise.
pub const SEARCH_FOUND_DEFAULT: u64 = 100;
/// Files that `grep_files` finds at most; more is no answer.
pub const SEARCH_FOUND_MAX: usize = 2000;
/// A pattern of `grep_files`; nobody reads longer ones.
pub const SEARCH_PATTERN_BYTES_MAX: usize = 4096;
/// What a pattern may grow to when it is compiled: searching costs its size for every byte.
pub const SEARCH_PROGRAM_BYTES_MAX: usize = 1 << 20;
/// A line that is searched whole.
pub const SEARCH_LINE_BYTES_MAX: usize = 1 << 20;
/// Files and directories that one search looks through: twice the largest trees people keep, and
/// some tens of megabytes of names.
pub const SEARCH_NAMES_MAX: usize = 200_000;
/// How long `grep_files` searches: it answers with what it has before it is stopped without answer.
pub const SEARCH_MS: u64 = 25_000;
/// A file that is patched is held whole, twice; source files are far smaller.
pub const PATCH_FILE_BYTES_MAX: usize = 16 << 20;
/// All files of a patch together, before and after.
pub const PATCH_FILES_BYTES_MAX: usize = 64 << 20;
/// Unchanged lines around each change in the diffs that fronts are told.
pub const CHANGE_CONTEXT_LINES: usize = 1;
/// Text of one change that fronts are told.
pub const CHANGE_TEXT_BYTES_MAX: usize = 256 << 10;
/// Text of all changes of a patch that fronts are told.
pub const CHANGES_TEXT_BYTES_MAX: usize = 1 << 20;
/// The base instructions; every request pays for them.
pub const BASE_INSTRUCTIONS_BYTES_MAX: usize = 3500;
/// The texts of all tools together; with the base instructions a third of what the peer sends. All
/// forms of the shell count, of which a model is offered one.
pub const TOOL_TEXTS_BYTES_MAX: usize = 8 << 10;

/// How long `exec_command` waits for a command's end when the model does not say.
pub const SESSION_START_YIELD_MS: u64 = 10_000;
/// How long `write_stdin` waits after it has written: most programs answer at once.
pub const SESSION_WRITE_YIELD_MS: u64 = 250;
/// The shortest wait: models that poll faster only pay for more requests.
pub const SESSION_YIELD_MS_MIN: u64 = 250;
/// The longest wait for an answer to what was written.
pub const SESSION_YIELD_MS_MAX: u64 = 30_000;
/// The shortest wait that only waits.
pub const SESSION_POLL_MS_MIN: u64 = 5_000;
/// The longest wait that only waits: a build or a test run.
pub const SESSION_POLL_MS_MAX: u64 = 300_000;
/// Tokens of output that a model is shown of a session unless it asks for more or less.
pub const SESSION_TOKENS_DEFAULT: u32 = 10_000;
/// Bytes that count as one token where nothing better is known.
pub const TOKEN_BYTES: usize = 4;
/// Output of a session that nobody has asked for yet; the oldest is dropped.
pub const SESSION_UNREAD_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(CLIP_BYTES_MIN <= CALL_OUTPUT_BYTES_MAX);
const _: () = assert!(SESSION_YIELD_MS_MIN <= SESSION_WRITE_YIELD_MS);
const _: () = assert!(SESSION_START_YIELD_MS <= SESSION_YIELD_MS_MAX);
const _: () = assert!(SESSION_TOKENS_DEFAULT as usize * TOKEN_BYTES <= SESSION_UNREAD_BYTES_MAX);
const _: () = assert!(PATCH_FILE_BYTES_MAX <= PATCH_FILES_BYTES_MAX);
const _: () = assert!(SEARCH_MS < FILES_TIMEOUT_MS);
const _: () = assert!(CHANGE_TEXT_BYTES_MAX <= CHANGES_TEXT_BYTES_MAX);

/// One value of what a model is told of a command whose risk it is asked about: a long script.
pub const RISK_FIELD_BYTES_MAX: usize = 8 << 10;

/// Characters of a risk's description; clients show it beside the question.
pub const RISK_CHARS_MAX: usize = 500;

/// An answer about a command's risk; more is not what was asked for.
pub const RISK_ANSWER_BYTES_MAX: usize = 16 << 10;

const _: () = assert!(CLIP_BYTES_MIN <= RISK_FIELD_BYTES_MAX);

// ---- wire ----

/// Parts of one message, reasoning or tool output; people and models use a handful.
pub const ITEM_PARTS_MAX: usize = 4096;

/// Bytes of a provider's error text that a person gets to read; the rest is noise.
pub const ERROR_TEXT_BYTES_MAX: usize = 2048;

/// Longest wait in milliseconds that a provider may ask for; beyond an hour nobody is waiting.
pub const RETRY_AFTER_MS_MAX: u64 = 60 * 60 * 1000;

/// Findings of one review; nobody works off more at once.
pub const REVIEW_FINDINGS_MAX: usize = 500;
/// Characters that name a finding or a review, as clients expect them.
pub const REVIEW_TITLE_CHARS_MAX: usize = 80;
/// Bytes of one line of a rollout: an image or two, inline.
pub const ROLLOUT_LINE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of a recording, and of what is recorded of one exchange: an afternoon's work, in memory.
pub const RECORDING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a call's arguments that a recording compares letter by letter; longer ones by their
/// hash.
pub const RECORDED_ARGUMENTS_BYTES_MAX: usize = 256;

/// Shortest credential in bytes that a recording blanks out: a shorter one would hit innocent
/// words.
pub const CREDENTIAL_BYTES_MIN: usize = 6;
/// Longest server-sent event, name and data together. The last event of a response repeats the
/// whole response, so it is large; past this it is no answer we could keep.
pub const SSE_EVENT_BYTES_MAX: usize = 16 << 20;

/// What is kept of one Chat Completions response, whose items come in pieces: as much as the last
/// event of a Responses stream may hold.
pub const CHAT_RESPONSE_BYTES_MAX: usize = SSE_EVENT_BYTES_MAX;

/// Calls of one such response; each piece of a call looks for its own among them.
pub const CHAT_CALLS_MAX: usize = 512;

/// Capacity that a line buffer keeps while its stream is silent. Ordinary events stay below it and
/// cost no allocation; a large event, or many in one read, leave no memory with an idle stream.
pub const LINES_CAPACITY_KEPT_BYTES: usize = 4 << 10;

/// Longest URL, before and after percent-encoding; servers refuse longer request lines anyway.
pub const URL_BYTES_MAX: usize = 8 << 10;

/// Longest host of a URL: what a domain name may be (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;

/// All heads of one response, `1xx` ones included. Providers send about 2 KB.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// Request line and headers: tokens of several KB and headers from the configuration fit.
pub const HTTP_REQUEST_HEAD_BYTES_MAX: usize = 64 << 10;

/// How much of a request is encoded at a time; what a blocked socket leaves us holding.
pub const HTTP_REQUEST_PIECE_BYTES: usize = 32 << 10;

/// Bytes without body in a row: a chunk length with its extensions, and trailers, which nobody
/// reads.
pub const HTTP_FRAMING_BYTES_MAX: usize = 16 << 10;

/// Words of a server that we quote in an error.
pub const QUOTED_BYTES_MAX: usize = 256;

// ---- config ----

/// The name of a branch or commit; git keeps names of refs in files of so long names.
pub const REVISION_BYTES_MAX: usize = 255;

/// Words on the command line; generous for scripts that attach many files.
pub const ARGUMENTS_COUNT_MAX: usize = 4096;

/// Longest mistyped name that is compared with what there is, and that is repeated in a message.
pub const SUGGESTION_BYTES_MAX: usize = 64;

/// Longest run that can be asked for: a day, after which nobody waits any more.
pub const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// A file of settings; people write kilobytes.
pub const CONFIG_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Dotted parts of a key given with `-c`; the deepest known key has four.
pub const CONFIG_KEY_PARTS_MAX: usize = 16;

/// Providers, headers, roots and other entries of one list or table of settings.
pub const CONFIG_ENTRIES_MAX: usize = 256;

/// Edits of one batch; the file is read again after each, and nobody writes more at once.
pub const CONFIG_EDITS_MAX: usize = 64;

/// Keys that one line about settings names; a person needs no more to find the rest.
pub const CONFIG_NAMED_MAX: usize = 8;

/// Characters of a key that such a line repeats.
pub const CONFIG_NAMED_CHARS_MAX: usize = 120;

/// A header or address from settings; servers refuse heads that are much larger.
pub const HEADER_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Attempts that `request_max_retries` and `stream_max_retries` may ask for.
pub const RETRIES_CONFIGURED_MAX: u32 = 100;

/// Longest silence of a stream that `stream_idle_timeout_ms` may ask for: a day.
pub const STREAM_IDLE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Bytes of AGENTS.md files of a project that `project_doc_max_bytes` may ask for.
pub const PROJECT_NOTES_BYTES_MAX: u64 = 1024 * 1024;

/// A JSON Schema for the final message; it goes out with every request.
pub const OUTPUT_SCHEMA_BYTES_MAX: usize = 1024 * 1024;

/// Base instructions from a file; they go out with every request.
pub const INSTRUCTIONS_BYTES_MAX: usize = 1024 * 1024;

/// A model's name; providers use at most a few dozen bytes.
pub const MODEL_NAME_BYTES_MAX: usize = 256;

/// The originator: a token in a header, named by an environment variable.
pub const ORIGINATOR_BYTES_MAX: usize = 128;

// ---- core ----

/// Threads loaded at once; each holds a history, so this and `HISTORY_BYTES_MAX` bound memory.
pub const THREADS_MAX: usize = 1024;

/// Threads whose settings are compared with those of a new one, the last ones: threads of one place
/// run with the same, and settings may hold `INSTRUCTIONS_BYTES_MAX` to compare.
pub const SETTINGS_COMPARED_MAX: usize = 16;

/// Outside work in progress, over all threads: a turn needs one, its calls `CALLS_PARALLEL_MAX`.
pub const OPS_MAX: usize = 4096;

/// A command line of the user: what Linux takes as one argument (`MAX_ARG_STRLEN`) without its NUL.
pub const USER_COMMAND_BYTES_MAX: usize = (128 << 10) - 1;

/// What one history may hold in bytes; a model's window of 400,000 tokens is about 1.6 MB of text,
/// the rest is room for images and encrypted reasoning.
pub const HISTORY_BYTES_MAX: u64 = 32 << 20;

/// What the images of one history may have together, outside of memory: each request sends them
/// all, and no provider takes more of them.
pub const HISTORY_KEPT_BYTES_MAX: u64 = 256 << 20;

/// What an item takes besides its text: its fields, and what surrounds each of its allocations.
pub const ITEM_BYTES: u64 = 256;

/// What an image that is viewed leaves free in a history, so that the conversation can go on.
pub const HISTORY_SPARE_BYTES: u64 = 8 << 20;

/// What a history that is read back may hold in bytes; the outputs of the last calls may have
/// taken it over `HISTORY_BYTES_MAX`, and then it is summed up before it goes on.
pub const RESTORED_BYTES_MAX: u64 = HISTORY_BYTES_MAX + HISTORY_SPARE_BYTES;

/// Items of one response; a response of more is cut, with a warning.
pub const RESPONSE_ITEMS_MAX: usize = 512;

/// Text of a message that is still streaming; the whole message comes again when it is done, so
/// that what exceeds this is only missing if the stream breaks.
pub const PARTIAL_BYTES_MAX: usize = 4 << 20;

/// A model's summary of a conversation; more would not be one.
pub const SUMMARY_BYTES_MAX: usize = 64 << 10;

/// What a user said that a summary does not replace: 20,000 tokens or so.
pub const SAID_BYTES_KEPT_MAX: usize = 80_000;

/// The same for a model of a small window: some screens of text.
pub const SAID_BYTES_KEPT_MIN: usize = 8 << 10;

/// Output of a call in a conversation that is too long to be summed up whole: how it began and
/// ended.
pub const DRAFT_OUTPUT_BYTES_MAX: usize = 2 << 10;

/// How many times the oldest quarter is left out of what is to be summed up: a thirtieth remains.
pub const DRAFT_CUTS_MAX: u32 = 12;

/// Tokens of one conversation that a provider's count is believed to; no model's window is near.
pub const CREDIBLE_TOKENS_MAX: u64 = 100_000_000;

/// Tokens that an image counts as where nobody has counted it; providers scale images down to about
/// that.
pub const IMAGE_TOKENS: u64 = 1500;

/// Calls of one thread that run at the same time.
pub const CALLS_PARALLEL_MAX: usize = 8;

/// Sessions of one thread: each is a process and up to a megabyte of what it printed.
pub const SESSIONS_MAX: usize = 16;

/// How long a session may take to say what it has printed; the host has it in memory.
pub const COLLECT_GRACE_MS: u64 = 1_000;

/// Prompts that wait for a running turn to take them.
pub const PROMPTS_WAITING_MAX: usize = 64;

/// Approvals a thread remembers for its session; the oldest is forgotten first.
pub const APPROVALS_REMEMBERED_MAX: usize = 256;

/// How much of the line that gives a denial away is quoted to the model; it has all of it above.
pub const DENIAL_QUOTE_BYTES_MAX: usize = 200;

/// Effects of one input: the worst case is a full response whose calls are all answered at once
/// (three each) after all waiting prompts were taken (three each).
pub const EFFECTS_PER_INPUT_MAX: usize = 4096;

/// From the polite signal to the final one.
pub const STOP_GRACE_MS: u64 = 3_000;

/// From the final signal to giving up on an answer; the kernel needs no longer unless a process
/// hangs in it, and then nobody can help.
pub const KILL_GRACE_MS: u64 = 2_000;

/// What a person's question waits for a model to say what it makes of a command: as long as nobody
/// wonders what is going on.
pub const ASSESSMENT_MS: u64 = 5_000;

/// The delay before the first retry; doubles with each.
pub const RETRY_DELAY_MS: u64 = 200;

/// No retry waits longer than this, whatever a provider asks for.
pub const RETRY_DELAY_MS_MAX: u64 = 60_000;

/// How long a provider is tried of whom not a byte is heard; no attempt begins after that. The last
/// one may take all its time to connect, and the run is to end within a minute.
pub const UNREACHABLE_MS_MAX: u64 = 40_000;

/// Retries a configuration may ask for.
pub const RETRIES_MAX: u32 = 100;

const _: () = assert!(CLIP_BYTES_MIN <= DRAFT_OUTPUT_BYTES_MAX);
const _: () = assert!(CLIP_BYTES_MIN <= SAID_BYTES_KEPT_MIN);
const _: () = assert!(SAID_BYTES_KEPT_MIN <= SAID_BYTES_KEPT_MAX);
// A rollout's line holds what survives, escaped, beside project notes and instructions.
const _: () = assert!(8 * (SAID_BYTES_KEPT_MAX + SUMMARY_BYTES_MAX) < ROLLOUT_LINE_BYTES_MAX);
const _: () = assert!(CALLS_PARALLEL_MAX + SESSIONS_MAX < OPS_MAX);
const _: () = assert!(
    3 * RESPONSE_ITEMS_MAX + 3 * PROMPTS_WAITING_MAX + CALLS_PARALLEL_MAX * 4 + 16
        <= EFFECTS_PER_INPUT_MAX
);
const _: () = assert!((PARTIAL_BYTES_MAX as u64) < HISTORY_BYTES_MAX);

// ---- fronts ----

/// Bytes of what a client of the app server says at once: it becomes one message.
pub const CLIENT_INPUT_BYTES_MAX: usize = 16 << 20;

/// Bytes of one line of a client of the app server: what it says at once, as Base64 and escaped.
pub const CLIENT_LINE_BYTES_MAX: usize = 2 * CLIENT_INPUT_BYTES_MAX;

/// Lines of a client that are served before others have their turn.
pub const CLIENT_LINES_PER_TURN: usize = 64;

/// Parts of what a client of the app server says at once.
pub const CLIENT_INPUT_PARTS_MAX: usize = 1000;

/// Listeners of one conversation of an app server's client: each of them costs a copy of all that
/// is told, and no client needs more than a few.
pub const LISTENERS_MAX: usize = 16;
/// Lines of a rollout whose items are held for one answer with a thread's turns; older turns are on
/// pages of their own.
pub const PAST_BYTES_MAX: usize = 16 << 20;
/// Turns of one such answer.
pub const PAST_TURNS_MAX: usize = 1000;
/// What an item takes besides its line.
pub const PAST_ITEM_BYTES: usize = 256;
/// Calls of a recorded turn that wait for their answers at once; models make a few.
pub const PAST_CALLS_OPEN_MAX: usize = 64;

/// Elements of one array, or fields of one object, that a client of the app server may send: far
/// more than any conversation has items.
pub const PROTOCOL_ELEMENTS_MAX: usize = 100_000;

/// Bytes of a client's own word that an error repeats: enough to recognize it.
pub const PROTOCOL_WORD_BYTES_MAX: usize = 400;

/// Lines of a command's output that a person sees while it scrolls by: enough to tell what
/// happened.
pub const PREVIEW_LINES_MAX: usize = 20;

/// Bytes of one such line: a few rows of a wide terminal.
pub const PREVIEW_LINE_BYTES_MAX: usize = 1000;

/// How long the status line stands before it is painted anew: as fast as people read.
pub const STATUS_PAUSE_MS: u64 = 100;

/// How often it is painted when nothing happens but time; it shows seconds.
pub const STATUS_TICK_MS: u64 = 1000;

/// A narrower terminal has no status line: there is nothing to read in what is left of it.
pub const STATUS_COLUMNS_MIN: u16 = 20;

/// Bytes of a command on the status line: more than the widest terminal shows of it.
pub const STATUS_COMMAND_BYTES_MAX: usize = 1000;
/// Bytes of one argument of a program, its NUL among them (`MAX_ARG_STRLEN`, execve(2)).
pub const ARGUMENT_BYTES_MAX: usize = 128 << 10;

/// What surrounds the texts in the argument of `notify`: names, ids, quotes and marks.
pub const NOTIFY_ENVELOPE_BYTES_MAX: usize = 1 << 10;

/// The working directory in the argument of `notify`, escaped: a path has 4096 bytes at most.
pub const NOTIFY_PATH_BYTES_MAX: usize = 24 << 10;

/// The prompts, and again the last message, in the argument of `notify`, escaped: what is left of
/// an argument.
pub const NOTIFY_TEXT_BYTES_MAX: usize = 51 << 10;

const _: () = assert!(
    NOTIFY_ENVELOPE_BYTES_MAX + NOTIFY_PATH_BYTES_MAX + 2 * NOTIFY_TEXT_BYTES_MAX
        < ARGUMENT_BYTES_MAX
);
