//! `fuzzyFileSearch`: walks the roots in slices and keeps the paths that fit best.
//!
//! Hidden files are found, `.git` is not; what git ignores is passed over inside its repositories
//! and nowhere else. Links are followed, but no directory contains itself and none is entered twice
//! through links. Only directories and `.gitignore` files are opened: the client asks, so this runs
//! in our own process, and whatever else lies there is named, never touched.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, Metadata, ReadDir};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fronts::app_server::types::codec::Maybe;
use crate::fronts::app_server::types::v1::{
    FuzzyFileSearchMatchType, FuzzyFileSearchParams, FuzzyFileSearchResponse, FuzzyFileSearchResult,
};
use crate::host::clock;
use crate::host::files::regular;
use crate::limits::{
    DIRECTORY_DEPTH_MAX, FUZZY_DEPTH_MAX, FUZZY_FOUND_MAX, FUZZY_IGNORES_BYTES_MAX,
    FUZZY_ROOTS_MAX, FUZZY_STEP_MS, SEARCH_NAMES_MAX,
};
use crate::search::best::{Best, Found};
use crate::search::score::Query;
use crate::tools::ignore::{Ignores, Verdict};

/// A search in progress.
#[derive(Debug)]
pub struct Search {
    /// `None` if nothing is looked for, and then nothing is found.
    query: Option<Query>,
    token: Option<Box<str>>,
    /// Those that are still to be walked.
    roots: VecDeque<Box<str>>,
    walk: Option<Walk>,
    best: Best<Hit>,
    names_count: usize,
}

/// What is kept of a path that fits, besides itself.
#[derive(Debug)]
struct Hit {
    root: Box<str>,
    kind: FuzzyFileSearchMatchType,
    indices: Vec<u32>,
}

impl Search {
    /// Opens nothing yet.
    pub fn begin(params: FuzzyFileSearchParams) -> Search {
        let mut roots = VecDeque::new();
        for root in params.roots.into_iter().take(FUZZY_ROOTS_MAX) {
            if !roots.contains(&root) {
                roots.push_back(root);
            }
        }
        Search {
            query: Query::new(&params.query),
            token: params.cancellation_token,
            roots,
            walk: None,
            best: Best::new(FUZZY_FOUND_MAX),
            names_count: 0,
        }
    }

    /// What a later search names to end this one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Looks at so many names more, or for `FUZZY_STEP_MS`; gives what was found once all were
    /// looked at.
    pub fn step(&mut self, budget: u32) -> Option<FuzzyFileSearchResponse> {
        let until_ms = clock::mono_ms() + FUZZY_STEP_MS;
        for _ in 0..budget {
            if !self.look() {
                return Some(self.found());
            }
            if clock::mono_ms() >= until_ms {
                break;
            }
        }
        None
    }

    /// Ends the search with what it has found so far.
    pub fn give_up(mut self) -> FuzzyFileSearchResponse {
        self.found()
    }

    /// Looks at one name or begins with a root. Returns whether there may be more.
    fn look(&mut self) -> bool {
        let Some(query) = &mut self.query else { return false };
        if self.names_count >= SEARCH_NAMES_MAX {
            return false;
        }
        let Some(walk) = &mut self.walk else {
            let Some(root) = self.roots.pop_front() else { return false };
            self.walk = Walk::new(root);
            return true;
        };
        match walk.next() {
            Step::Path(path, kind) => {
                self.names_count += 1;
                if let Some(score) = query.score(&path) {
                    let root = || walk.root.clone();
                    let hit = || Hit { root: root(), kind, indices: query.indices(&path) };
                    self.best.push(score, &path, hit);
                }
            }
            Step::Nothing => self.names_count += 1,
            Step::End => self.walk = None,
        }
        true
    }

    fn found(&mut self) -> FuzzyFileSearchResponse {
        let best = std::mem::replace(&mut self.best, Best::new(0));
        let result = |found: Found<Hit>| FuzzyFileSearchResult {
            root: found.what.root,
            file_name: found.path.rsplit('/').next().unwrap_or_default().into(),
            match_type: Maybe(Some(found.what.kind)),
            score: found.score,
            indices: Some(found.what.indices),
            path: found.path,
        };
        FuzzyFileSearchResponse { files: best.into_found().into_iter().map(result).collect() }
    }
}

/// The way through one root, depth first.
#[derive(Debug)]
struct Walk {
    /// As the client calls it.
    root: Box<str>,
    /// Bytes of each path before what is below the root.
    prefix_bytes: usize,
    /// From the root down; the last one is being read.
    levels: Vec<Level>,
    /// Rules from the outermost directory to this one, each with the bytes of a path before what
    /// they are about.
    ignores: Vec<(usize, Ignores)>,
    /// Text of all these rules, with which each path is compared. Invariant: at most
    /// `FUZZY_IGNORES_BYTES_MAX`.
    ignores_bytes: usize,
    /// Directories that were entered through links.
    linked: HashSet<Identity>,
}

/// A directory that is being read.
#[derive(Debug)]
struct Level {
    entries: ReadDir,
    identity: Identity,
    /// Where the rules of its repository begin; `None` outside of one.
    repository: Option<usize>,
    /// How many rules, and how much text of them, there were before.
    ignores_outside: (usize, usize),
}

/// What makes a directory itself: device and inode.
type Identity = (u64, u64);

/// What one name came to.
enum Step {
    Path(String, FuzzyFileSearchMatchType),
    Nothing,
    End,
}

impl Walk {
    /// `None` if there is no such directory.
    fn new(root: Box<str>) -> Option<Walk> {
        let path = Path::new(&*root).canonicalize().ok()?;
        let metadata = fs::metadata(&path).ok().filter(Metadata::is_dir)?;
        let mut walk = Walk {
            root,
            prefix_bytes: prefix_bytes(&path),
            levels: Vec::new(),
            ignores: Vec::new(),
            ignores_bytes: 0,
            linked: HashSet::new(),
        };
        let repository = walk.above(&path);
        walk.enter(&path, &metadata, repository).then_some(walk)
    }

    /// Takes in the rules of the repository around a root; gives where they begin.
    fn above(&mut self, root: &Path) -> Option<usize> {
        let mut inside = Vec::new();
        for directory in root.ancestors().take(DIRECTORY_DEPTH_MAX) {
            if directory != root {
                inside.push(directory);
            }
            if is_repository(directory) {
                self.take_in(directory, ".git/info/exclude");
                inside.iter().rev().for_each(|directory| self.take_in(directory, ".gitignore"));
                return Some(0);
            }
        }
        None
    }

    fn take_in(&mut self, directory: &Path, name: &str) {
        // What is too large or no file is no list of patterns, and one that cannot be read is as
        // good as none.
        let left = FUZZY_IGNORES_BYTES_MAX - self.ignores_bytes;
        let Ok(Some(text)) = regular::read(&directory.join(name), left) else { return };
        let ignores = Ignores::parse(&text);
        if !ignores.is_empty() {
            self.ignores_bytes += text.len();
            self.ignores.push((prefix_bytes(directory), ignores));
        }
    }

    /// Begins to read a directory, if that can be. Returns whether it does.
    fn enter(&mut self, path: &Path, metadata: &Metadata, outer: Option<usize>) -> bool {
        let Ok(entries) = fs::read_dir(path) else { return false };
        let ignores_outside = (self.ignores.len(), self.ignores_bytes);
        let is_root = self.levels.is_empty();
        let mut repository = outer;
        if !is_root && is_repository(path) {
            repository = Some(self.ignores.len());
            self.take_in(path, ".git/info/exclude");
        }
        if repository.is_some() {
            self.take_in(path, ".gitignore");
        }
        let identity = identity(metadata);
        self.levels.push(Level { entries, identity, repository, ignores_outside });
        true
    }

    fn next(&mut self) -> Step {
        let Some(level) = self.levels.last_mut() else { return Step::End };
        let Some(Ok(entry)) = level.entries.next() else {
            self.leave();
            return Step::Nothing;
        };
        if entry.file_name() == ".git" {
            return Step::Nothing;
        }
        let repository = level.repository;
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { return Step::Nothing };
        // Of a link, what it leads to; of a directory, what tells it from others.
        let metadata =
            if kind.is_symlink() || kind.is_dir() { fs::metadata(&path).ok() } else { None };
        let directory = metadata.filter(Metadata::is_dir);
        if self.is_ignored(&path, directory.is_some(), repository) {
            return Step::Nothing;
        }
        let shown = bytes(&path).get(self.prefix_bytes..).unwrap_or_default();
        let shown = String::from_utf8_lossy(shown).into_owned();
        let Some(metadata) = directory else {
            return Step::Path(shown, FuzzyFileSearchMatchType::File);
        };
        if self.is_wanted(&metadata, kind.is_symlink()) {
            // One that cannot be read holds nothing for us.
            let _ = self.enter(&path, &metadata, repository);
        }
        Step::Path(shown, FuzzyFileSearchMatchType::Directory)
    }

    fn leave(&mut self) {
        if let Some(Level { ignores_outside: (count, text_bytes), .. }) = self.levels.pop() {
            self.ignores.truncate(count);
            self.ignores_bytes = text_bytes;
        }
    }

    /// Whether a directory is to be entered: none that we are in, and none twice through links.
    fn is_wanted(&mut self, metadata: &Metadata, is_link: bool) -> bool {
        let identity = identity(metadata);
        let is_around = self.levels.iter().any(|level| level.identity == identity);
        let is_known = is_link && !is_around && !self.linked.insert(identity);
        self.levels.len() < FUZZY_DEPTH_MAX && !is_around && !is_known
    }

    /// The innermost rules that say something count.
    fn is_ignored(&self, path: &Path, is_directory: bool, repository: Option<usize>) -> bool {
        let verdict = |(prefix_bytes, ignores): &(usize, Ignores)| {
            ignores.judge(bytes(path).get(*prefix_bytes..).unwrap_or_default(), is_directory)
        };
        let inside = repository.and_then(|first| self.ignores.get(first..)).unwrap_or_default();
        inside.iter().rev().find_map(verdict) == Some(Verdict::Ignored)
    }
}

fn is_repository(directory: &Path) -> bool {
    directory.join(".git").symlink_metadata().is_ok()
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Bytes of a path below this directory that are the directory's own, slash included.
fn prefix_bytes(directory: &Path) -> usize {
    bytes(directory).len() + usize::from(!bytes(directory).ends_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;

    fn asked(query: &str, roots: &[&Path]) -> FuzzyFileSearchParams {
        let roots = roots.iter().map(|root| root.to_str().unwrap().into()).collect();
        FuzzyFileSearchParams { query: query.into(), roots, cancellation_token: None }
    }

    fn finish(mut search: Search, budget: u32) -> FuzzyFileSearchResponse {
        loop {
            if let Some(response) = search.step(budget) {
                return response;
            }
        }
    }

    /// The paths that are found, in order of their names.
    fn found(query: &str, root: &Path) -> Vec<String> {
        let response = finish(Search::begin(asked(query, &[root])), 3);
        let mut paths: Vec<String> =
            response.files.into_iter().map(|file| file.path.into()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn a_path_comes_with_all_that_clients_show() {
        let place = Place::new();
        place.file("src/lib.rs", "");
        let root = place.path();
        let response = finish(Search::begin(asked("lib", &[root])), 1);
        let [file] = &response.files[..] else { panic!("{response:?}") };
        assert_eq!((&*file.path, &*file.file_name), ("src/lib.rs", "lib.rs"));
        assert_eq!(*file.root, *root.to_str().unwrap());
        assert_eq!(file.indices.as_deref(), Some(&[4, 5, 6][..]));
        assert_eq!(file.match_type, Maybe(Some(FuzzyFileSearchMatchType::File)));
        assert!(file.score > 0);
        let response = finish(Search::begin(asked("src", &[root])), 1);
        let kinds: Vec<_> = response.files.iter().map(|file| file.match_type).collect();
        assert!(kinds.contains(&Maybe(Some(FuzzyFileSearchMatchType::Directory))), "{kinds:?}");
    }

    #[test]
    fn nothing_is_found_without_a_query_or_a_root() {
        let place = Place::new();
        let file = place.file("a", "");
        assert!(found("", place.path()).is_empty());
        assert!(found(" ", place.path()).is_empty());
        assert!(found("a", &place.path().join("none")).is_empty());
        assert!(found("a", &file).is_empty());
        let response = finish(Search::begin(asked("a", &[])), 1);
        assert!(response.files.is_empty());
    }

    #[test]
    fn rules_of_git_count_inside_repositories_alone() {
        let place = Place::new();
        for name in ["out/a.x", "in/a.x", "in/b.y", "in/deep/a.x", "in/deep/c.y", "in/e.z"] {
            place.file(name, "");
        }
        place.file(".gitignore", "*");
        place.file(
            "in/.gitignore",
            "*.x
",
        );
        place.file(
            "in/deep/.gitignore",
            "!a.x
c.y
",
        );
        place.file(
            "in/.git/info/exclude",
            "*.z
",
        );
        place.file("in/.git/a.y", "");
        place.file("in/nested/.git/HEAD", "");
        place.file("in/nested/n.x", "");
        let all = ["in/b.y", "in/deep/a.x", "in/nested/n.x", "out/a.x"];
        let mut paths = found(".", place.path());
        paths.retain(|path| !path.contains("gitignore"));
        assert_eq!(paths, all);
        // From further down the rules above count as well.
        let mut paths = found(".", &place.path().join("in/deep"));
        paths.retain(|path| !path.contains("gitignore"));
        assert_eq!(paths, ["a.x"]);
    }

    #[test]
    fn links_are_followed_but_never_in_circles() {
        let place = Place::new();
        place.file("real/a.rs", "");
        let outside = Place::new();
        outside.file("b.rs", "");
        symlink(outside.path(), place.path().join("link")).unwrap();
        symlink(outside.path(), place.path().join("second")).unwrap();
        symlink("..", place.path().join("real/up")).unwrap();
        symlink(place.path(), outside.path().join("back")).unwrap();
        symlink("nowhere", place.path().join("real/broken.rs")).unwrap();
        let paths = found(".rs", place.path());
        let of_outside = paths.iter().filter(|path| path.ends_with("b.rs")).count();
        assert_eq!(of_outside, 1, "{paths:?}");
        let inside: Vec<&String> = paths.iter().filter(|path| !path.ends_with("b.rs")).collect();
        assert_eq!(inside, ["real/a.rs", "real/broken.rs"]);
    }

    #[test]
    fn what_is_no_file_is_named_and_never_opened() {
        let place = Place::new();
        place.pipe("fifo");
        place.directory(".git");
        place.pipe(".gitignore");
        place.pipe("deep.fifo");
        assert_eq!(found("fifo", place.path()), ["deep.fifo", "fifo"]);
    }

    #[test]
    fn only_the_best_are_kept_and_roots_are_searched_once() {
        let place = Place::new();
        for index in 0..FUZZY_FOUND_MAX + 10 {
            place.file(&format!("file{index:03}"), "");
        }
        let other = Place::new();
        other.file("f/i/l/e", "");
        other.file("file", "");
        let roots = [place.path(), other.path(), place.path()];
        let response = finish(Search::begin(asked("file", &roots)), 7);
        assert_eq!(response.files.len(), FUZZY_FOUND_MAX);
        let names: HashSet<&str> = response.files.iter().map(|file| &*file.path).collect();
        assert_eq!(names.len(), FUZZY_FOUND_MAX, "each once");
        let order: Vec<_> =
            response.files.iter().map(|file| (u32::MAX - file.score, &file.path)).collect();
        assert!(order.is_sorted());
        assert!(names.contains("file"));
    }

    #[test]
    fn a_search_that_is_given_up_says_what_it_has() {
        let place = Place::new();
        for index in 0..20 {
            place.file(&format!("file{index}"), "");
        }
        let params = asked("file", &[place.path()]);
        let params = FuzzyFileSearchParams { cancellation_token: Some("t".into()), ..params };
        let mut search = Search::begin(params);
        assert_eq!(search.token(), Some("t"));
        // The root itself, and four names.
        assert_eq!(search.step(5), None);
        assert_eq!(search.give_up().files.len(), 4);
    }

    #[test]
    fn depth_and_rules_are_bounded() {
        let place = Place::new();
        let deep = "d/".repeat(FUZZY_DEPTH_MAX + 1);
        place.file(&format!("{deep}file"), "");
        place.file("file", "");
        assert_eq!(found("file", place.path()), ["file"]);
        place.directory(".git");
        place.file(
            ".gitignore",
            "file
"
            .repeat(FUZZY_IGNORES_BYTES_MAX / 5 + 1),
        );
        assert_eq!(found("file", place.path()), ["file"]);
        place.file(
            ".gitignore",
            "file
",
        );
        assert!(found("file", place.path()).is_empty());
    }
}
