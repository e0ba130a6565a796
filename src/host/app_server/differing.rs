//! `gitDiffToRemote` as a machine: which git to run next, and what its answers come to.
//!
//! ```text
//! Finding ──> Listing remotes ──> Walking ──> Comparing ──> Listing files ──> Adding ──> done
//! ```
//!
//! The base is the nearest ancestor of HEAD that a remote branch has; the diff leads from there to
//! the working tree, with every file that git does not know as an addition. Nothing of the
//! repository's own is believed: no hook, monitor, pager or program of its configuration runs for
//! us, no lock is taken and nothing is fetched. What its filters could do is up to the sandbox.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::core::input::CommandEnded;
use crate::fronts::app_server::envelope::Failure;
use crate::fronts::app_server::types::v1::GitDiffToRemoteResponse;
use crate::host::proc::programs::Changes;
use crate::limits::{
    GIT_COMPLAINT_BYTES_MAX, GIT_DIFF_BYTES_MAX, GIT_LIST_BYTES_MAX, GIT_UNTRACKED_MAX,
};

/// What every run of git is told first.
const OPTIONS: [&str; 15] = [
    "git",
    "--no-pager",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
    "-c",
    "diff.noprefix=false",
    "-c",
    "diff.mnemonicPrefix=false",
    "-c",
    "diff.relative=false",
    "-C",
];

/// How it compares; the last one calls off an order that the repository asks for.
const COMPARED: [&str; 7] = [
    "diff",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--ignore-submodules=dirty",
    "--submodule=short",
    "-O/dev/null",
];

/// What its environment has, and what of ours it must not have.
const SET: [(&str, &str); 6] = [
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_PAGER", "cat"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("LC_ALL", "C"),
];
const UNSET: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_ATTR_SOURCE",
];

/// A diff on its way.
#[derive(Debug)]
pub struct Differing {
    stage: Stage,
    /// Where to look; from `ListingRemotes` on, the top of the working tree.
    directory: Vec<u8>,
    head: Box<str>,
    base: Box<str>,
    /// Of the run of now. Invariant: at most `GIT_LIST_BYTES_MAX`.
    output: Vec<u8>,
    /// Likewise, at most `GIT_COMPLAINT_BYTES_MAX`.
    complaint: Vec<u8>,
    /// Invariant: at most `GIT_DIFF_BYTES_MAX`.
    diff: Vec<u8>,
    untracked: VecDeque<Vec<u8>>,
    is_over: bool,
}

/// What git is asked now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Where the working tree is, and what is checked out.
    Finding,
    /// Whether there are remote branches.
    ListingRemotes,
    /// Which commits no remote branch has, and where they come from.
    Walking,
    /// What has changed.
    Comparing,
    /// Which files git does not know.
    ListingFiles,
    /// What is in one of them.
    Adding,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Run this, and say what it prints and how it ends.
    Run {
        argv: Vec<Vec<u8>>,
    },
    Done(Result<GitDiffToRemoteResponse, Failure>),
}

/// Whether a run is worth reading on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    Wanted,
    /// It has said too much: end it.
    TooMuch,
}

impl Differing {
    /// Begins at a directory; gives the first run.
    pub fn begin(cwd: &str) -> (Differing, Vec<Vec<u8>>) {
        let differing = Differing {
            stage: Stage::Finding,
            directory: cwd.as_bytes().to_vec(),
            head: "".into(),
            base: "".into(),
            output: Vec::new(),
            complaint: Vec::new(),
            diff: Vec::new(),
            untracked: VecDeque::new(),
            is_over: false,
        };
        let argv = differing.argv(&[]);
        (differing, argv)
    }

    /// What to change in the environment of each run.
    pub fn changes() -> Changes {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let set = SET.iter().map(|(name, value)| (bytes(name), Some(bytes(value))));
        set.chain(UNSET.iter().map(|name| (bytes(name), None))).collect()
    }

    /// The run has printed this.
    pub fn printed(&mut self, bytes: &[u8]) -> Heard {
        let room = match self.stage {
            Stage::Comparing | Stage::Adding => GIT_DIFF_BYTES_MAX - self.diff.len(),
            Stage::Finding | Stage::ListingRemotes | Stage::Walking | Stage::ListingFiles => {
                GIT_LIST_BYTES_MAX
            }
        };
        self.is_over |= self.output.len() + bytes.len() > room;
        if self.is_over {
            return Heard::TooMuch;
        }
        self.output.extend_from_slice(bytes);
        Heard::Wanted
    }

    /// The run complains.
    pub fn complained(&mut self, bytes: &[u8]) {
        let room = GIT_COMPLAINT_BYTES_MAX - self.complaint.len();
        self.complaint.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The run has ended.
    pub fn ended(&mut self, ended: CommandEnded) -> Next {
        let output = std::mem::take(&mut self.output);
        let complaint = std::mem::take(&mut self.complaint);
        let next = match self.judge(ended, &complaint) {
            Ok(is_success) => self.go_on(output, is_success),
            Err(failure) => Err(failure),
        };
        match next {
            Ok(Some(argv)) => Next::Run { argv },
            Ok(None) => Next::Done(Ok(GitDiffToRemoteResponse {
                sha: self.base.clone(),
                diff: String::from_utf8_lossy(&self.diff).into(),
            })),
            Err(failure) => Next::Done(Err(failure)),
        }
    }

    /// Whether the run has done what it was asked, or at least what may fail.
    fn judge(&self, ended: CommandEnded, complaint: &[u8]) -> Result<bool, Failure> {
        if self.is_over {
            let what = match self.stage {
                Stage::Comparing | Stage::Adding => "the diff has",
                Stage::Walking => "the list of commits that no remote branch has is",
                Stage::Finding | Stage::ListingRemotes | Stage::ListingFiles => "git says",
            };
            let bytes_max = match self.stage {
                Stage::Comparing | Stage::Adding => GIT_DIFF_BYTES_MAX,
                _ => GIT_LIST_BYTES_MAX,
            };
            return Err(Failure::internal(format!("{what} over {bytes_max} bytes")));
        }
        let complaint = String::from_utf8_lossy(complaint);
        let complaint = complaint.lines().next().unwrap_or_default();
        match ended {
            CommandEnded::NotStarted { why } => {
                Err(Failure::internal(format!("git could not be run: {why}")))
            }
            CommandEnded::Exited { code: 0 } => Ok(true),
            // Of files that differ, this is success; one that is gone by now differs from nothing.
            CommandEnded::Exited { code } if self.stage == Stage::Adding => Ok(code == 1),
            CommandEnded::Exited { .. } if self.stage == Stage::Finding => {
                let directory = String::from_utf8_lossy(&self.directory);
                Err(Failure::refused(format!(
                    "no commit is checked out in {directory}: {complaint}"
                )))
            }
            CommandEnded::Exited { code } => {
                Err(Failure::internal(format!("git ended with {code}: {complaint}")))
            }
            CommandEnded::Signalled { signal } => {
                Err(Failure::internal(format!("git was ended by signal {signal}")))
            }
        }
    }

    /// From what one run printed to the next one; `None` when all is known.
    fn go_on(
        &mut self,
        output: Vec<u8>,
        is_success: bool,
    ) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        match self.stage {
            Stage::Finding => {
                // The commit comes last: a directory may have a newline in its name.
                let output = output.strip_suffix(b"\n").unwrap_or(&output);
                let newline = output.iter().rposition(|byte| *byte == b'\n');
                let (top, head) = newline.map(|at| output.split_at(at)).unwrap_or_default();
                self.directory = top.to_vec();
                self.head = String::from_utf8_lossy(head).trim_start().into();
                self.stage = Stage::ListingRemotes;
            }
            Stage::ListingRemotes => {
                if output.is_empty() {
                    return Err(Failure::refused("the repository has no remote branch"));
                }
                self.stage = Stage::Walking;
            }
            Stage::Walking => {
                let text = String::from_utf8_lossy(&output);
                let base = nearest(&self.head, &text);
                self.base = base.ok_or_else(|| {
                    Failure::refused("no commit that is checked out is on a remote branch")
                })?;
                self.stage = Stage::Comparing;
            }
            Stage::Comparing => {
                self.diff = output;
                self.stage = Stage::ListingFiles;
            }
            Stage::ListingFiles => {
                let names = output.split(|byte| *byte == 0);
                // With a slash at its end it is a repository of its own.
                let names = names.filter(|name| !name.is_empty() && !name.ends_with(b"/"));
                self.untracked = names.map(<[u8]>::to_vec).take(GIT_UNTRACKED_MAX + 1).collect();
                if self.untracked.len() > GIT_UNTRACKED_MAX {
                    let why = format!("git does not know over {GIT_UNTRACKED_MAX} files");
                    return Err(Failure::internal(why));
                }
                self.stage = Stage::Adding;
            }
            Stage::Adding if is_success => self.diff.extend_from_slice(&output),
            Stage::Adding => {}
        }
        if self.stage != Stage::Adding {
            return Ok(Some(self.argv(&[])));
        }
        Ok(self.untracked.pop_front().map(|name| self.argv(&name)))
    }

    fn argv(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let words: Vec<&str> = match self.stage {
            Stage::Finding => vec!["rev-parse", "--show-toplevel", "--verify", "HEAD^{commit}"],
            Stage::ListingRemotes => {
                vec!["for-each-ref", "--count=1", "--format=%(refname)", "refs/remotes"]
            }
            Stage::Walking => {
                let head = &*self.head;
                vec!["rev-list", "--parents", "--boundary", head, "--not", "--remotes", "--"]
            }
            Stage::Comparing => COMPARED.into_iter().chain([&*self.base, "--"]).collect(),
            Stage::ListingFiles => vec!["ls-files", "--others", "--exclude-standard", "-z"],
            Stage::Adding => {
                COMPARED.into_iter().chain(["--no-index", "--", "/dev/null"]).collect()
            }
        };
        let mut argv: Vec<Vec<u8>> = OPTIONS.map(|word| word.as_bytes().to_vec()).into();
        argv.push(self.directory.clone());
        argv.extend(words.into_iter().map(|word| word.as_bytes().to_vec()));
        if self.stage == Stage::Adding {
            argv.push(name.to_vec());
        }
        argv
    }
}

/// The commit with the fewest steps from the head that a remote branch has, of a list of those that
/// none has. Each line names a commit and its parents; a dash marks those that a remote branch has.
fn nearest(head: &str, listed: &str) -> Option<Box<str>> {
    let mut commits: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in listed.lines().filter(|line| !line.starts_with('-')) {
        let mut names = line.split(' ');
        if let Some(commit) = names.next() {
            commits.insert(commit, names.collect());
        }
    }
    let pushed: HashSet<&str> =
        listed.lines().filter_map(|line| line.strip_prefix('-')?.split(' ').next()).collect();
    if commits.is_empty() {
        return Some(head.into());
    }
    let mut ahead = VecDeque::from([head]);
    while let Some(commit) = ahead.pop_front() {
        match commits.remove(commit) {
            Some(parents) => ahead.extend(parents),
            None if pushed.contains(commit) => return Some(commit.into()),
            // Seen on another way.
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: CommandEnded = CommandEnded::Exited { code: 0 };

    /// Goes through the runs with these answers, and gives what the last one leads to.
    fn answered(answers: &[&str]) -> Next {
        let (mut differing, _) = Differing::begin("/w/sub");
        let mut next = None;
        for answer in answers {
            assert_eq!(differing.printed(answer.as_bytes()), Heard::Wanted);
            next = Some(differing.ended(OK));
        }
        next.unwrap()
    }

    fn words(next: &Next) -> String {
        let Next::Run { argv } = next else { panic!("{next:?}") };
        String::from_utf8(argv[OPTIONS.len()..].join(&b' ')).unwrap()
    }

    fn failure(next: Next) -> Failure {
        let Next::Done(Err(failure)) = next else { panic!("{next:?}") };
        failure
    }

    #[test]
    fn every_run_leads_to_the_next() {
        let all = ["/w\nh\n", "refs/remotes/o/m\n", "h p\n-p q\n", "diff\n", "a\0b/\0", "+a\n"];
        let begins = ["for-each-ref", "rev-list", "diff", "ls-files", "diff"];
        for (count, begin) in begins.iter().enumerate() {
            let words = words(&answered(&all[..=count]));
            assert!(words.starts_with(&format!("/w {begin} ")), "{words}");
        }
        assert!(words(&answered(&all[..3])).ends_with(" p --"));
        assert!(words(&answered(&all[..5])).ends_with("--no-index -- /dev/null a"));
        let done = GitDiffToRemoteResponse { sha: "p".into(), diff: "diff\n+a\n".into() };
        assert_eq!(answered(&all), Next::Done(Ok(done)));
    }

    #[test]
    fn a_head_that_a_remote_branch_has_is_the_base() {
        assert_eq!(nearest("h", "").as_deref(), Some("h"));
    }

    #[test]
    fn the_nearest_commit_is_the_one_with_the_fewest_steps() {
        // h has two parents; the way by m is longer.
        let listed = "h m x\nm l\nl k\nx w\n-k j\n-w v\n";
        assert_eq!(nearest("h", listed).as_deref(), Some("w"));
        assert_eq!(nearest("h", "h m\nm\n"), None);
        assert_eq!(nearest("h", "h h\n"), None, "a circle ends");
    }

    #[test]
    fn without_a_remote_base_the_client_is_refused() {
        let why = failure(answered(&["/w\nh\n", ""]));
        assert_eq!((why.code, &*why.message), (-32600, "the repository has no remote branch"));
        let why = failure(answered(&["/w\nh\n", "refs/remotes/o/m\n", "h\n"]));
        assert_eq!(why.code, -32600);
        let (mut differing, _) = Differing::begin("/w");
        differing.complained(b"fatal: not a git repository\nmore");
        let why = failure(differing.ended(CommandEnded::Exited { code: 128 }));
        assert_eq!(why.code, -32600);
        assert!(why.message.ends_with("/w: fatal: not a git repository"), "{why}");
    }

    #[test]
    fn without_git_it_says_so() {
        let (mut differing, _) = Differing::begin("/w");
        let why = "git: no such program".into();
        let why = failure(differing.ended(CommandEnded::NotStarted { why }));
        assert_eq!(why, Failure::internal("git could not be run: git: no such program"));
    }

    #[test]
    fn a_file_that_is_gone_adds_nothing() {
        let (mut differing, _) = Differing::begin("/w");
        for answer in ["/w\nh\n", "r\n", "", "", "a\0b\0"] {
            differing.printed(answer.as_bytes());
            differing.ended(OK);
        }
        differing.printed(b"half");
        let next = differing.ended(CommandEnded::Exited { code: 128 });
        assert!(words(&next).ends_with(" b"));
        differing.printed(b"+b");
        let done = differing.ended(CommandEnded::Exited { code: 1 });
        let response = GitDiffToRemoteResponse { sha: "h".into(), diff: "+b".into() };
        assert_eq!(done, Next::Done(Ok(response)));
    }

    #[test]
    fn what_git_says_is_bounded() {
        let (mut differing, _) = Differing::begin("/w");
        differing.complained(&[b'x'; GIT_COMPLAINT_BYTES_MAX + 1]);
        assert_eq!(differing.complaint.len(), GIT_COMPLAINT_BYTES_MAX);
        assert_eq!(differing.printed(&vec![b'x'; GIT_LIST_BYTES_MAX]), Heard::Wanted);
        assert_eq!(differing.printed(b"x"), Heard::TooMuch);
        let killed = CommandEnded::Signalled { signal: 9 };
        assert!(failure(differing.ended(killed)).message.contains("over"));

        let (mut differing, _) = Differing::begin("/w");
        differing.stage = Stage::Comparing;
        assert_eq!(differing.printed(&vec![b'x'; GIT_DIFF_BYTES_MAX]), Heard::Wanted);
        differing.ended(OK);
        differing.printed(&b"f\0".repeat(GIT_UNTRACKED_MAX));
        assert!(matches!(differing.ended(OK), Next::Run { .. }));
        assert_eq!(differing.printed(b"x"), Heard::TooMuch);

        let (mut differing, _) = Differing::begin("/w");
        differing.stage = Stage::ListingFiles;
        differing.printed(&b"f\0".repeat(GIT_UNTRACKED_MAX + 1));
        assert_eq!(failure(differing.ended(OK)).code, -32603);
    }
}
