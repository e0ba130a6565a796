//! What in a writable root decides over later commands, and stays as it is.
//!
//! The agent's project directories, and of a repository what makes git run programs: hooks and
//! settings. Objects, references and the index stay writable, so that commits work; for a linked
//! worktree their place elsewhere becomes writable too, if that place names the worktree.
//!
//! Beside the repository of the root itself, which may be a bare one, those are known whose place
//! is found without a walk: directories of the root with a `.git`, and where the root's repository
//! has submodules and worktrees. Not held are repositories deeper within the workspace, those below
//! `/tmp`, and submodules of repositories in the root; nor what a command makes itself: it may
//! `git init` or clone, with hooks, in the workspace too, and from the next command on that is as
//! it left it. Whoever runs git there runs what the model could have run, but unconfined.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::limits::{
    GIT_MODULE_VISITS_MAX, GIT_NESTED_ENTRIES_MAX, GIT_NESTED_MAX, GIT_POINTER_BYTES_MAX,
    GIT_SUBMODULES_MAX,
};
use crate::words::sort;

/// The project directories of agents and accounts.
const PROJECT: [&str; 4] = [".windlass", ".codex", ".agents", ".aws"];

/// What makes git run programs, below a git directory; the last by naming another directory for the
/// first two.
const GIT_CONTROL: [&str; 4] = ["hooks", "config", "config.worktree", "commondir"];

/// The same of a submodule, and of what a linked worktree has of its own.
const GIT_MODULE: [&str; 3] = ["hooks", "config", "commondir"];
const GIT_WORKTREE: [&str; 2] = ["config.worktree", "commondir"];

/// What commits from a linked worktree write in the common git directory.
const GIT_SHARED: [&str; 3] = ["objects", "refs", "logs"];

/// The paths of a writable root that commands must not change.
pub fn protected(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = PROJECT.iter().map(|name| root.join(name)).collect();
    let git = root.join(".git");
    match fs::symlink_metadata(&git) {
        Ok(found) if found.is_dir() => paths.extend(controls(&git)),
        // A pointer, or a link; where it leads to is protected where it is writable.
        Ok(found) => {
            paths.push(git.clone());
            if found.is_symlink() {
                paths.extend(git.canonicalize().iter().flat_map(|place| controls(place)));
            } else if let Some((own, common)) = pointed_to(&git) {
                if own != common {
                    paths.extend(GIT_WORKTREE.map(|name| own.join(name)));
                }
                paths.extend(controls(&common));
            }
        }
        Err(_) if is_bare(root) => paths.extend(controls(root)),
        // `git init` may make one.
        Err(_) => {}
    }
    paths
}

/// Whether a directory is a repository without a working tree, as git sees it.
fn is_bare(root: &Path) -> bool {
    root.join("HEAD").is_file() && root.join("objects").is_dir() && root.join("refs").is_dir()
}

/// The same of repositories within a writable root, which may be removed as a whole. Pointers are
/// among them: where one leads to decides whose hooks run.
pub fn nested(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut count = 0;
    for directory in directories(root, GIT_NESTED_ENTRIES_MAX) {
        let git = directory.join(".git");
        let Ok(found) = fs::symlink_metadata(&git) else { continue };
        if count == GIT_NESTED_MAX {
            break;
        }
        count += 1;
        match found.is_dir() {
            true => paths.extend(GIT_CONTROL.map(|name| git.join(name))),
            false => paths.push(git),
        }
    }
    let git = root.join(".git");
    let mut modules = Vec::new();
    let mut visits_left = GIT_MODULE_VISITS_MAX;
    find_modules(&git.join("modules"), &mut visits_left, &mut modules);
    let trees = modules.iter().filter_map(|module| Some(working_tree(module)?.join(".git")));
    let worktrees = directories(&git.join("worktrees"), GIT_SUBMODULES_MAX);
    let others = worktrees.iter().filter_map(|own| read_line(&own.join("gitdir")));
    let pointers = trees.chain(others.map(PathBuf::from));
    let is_within = |path: &PathBuf| {
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        parent.is_some_and(|parent| path.starts_with(&parent) && parent.starts_with(root))
            && path.parent() != Some(root)
    };
    let is_pointer = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
    paths.extend(pointers.filter(|path| is_within(path) && is_pointer(path)));
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Where the settings of a submodule say that its files are.
fn working_tree(module: &Path) -> Option<PathBuf> {
    let text = read_start(&module.join("config"))?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix("worktree = "))?;
    module.join(value).canonicalize().ok()
}

/// Where commits from a linked worktree are written.
///
/// Whoever may write the pointer could point it anywhere, also to a place of his own that points
/// back and names any repository for its own. So only a place counts that lies where git puts those
/// of that repository: who may write there could write what is granted for it as well.
pub fn linked_git(root: &Path) -> Vec<PathBuf> {
    let git = root.join(".git");
    let Some((own, common)) = pointed_to(&git) else { return Vec::new() };
    let back = read_line(&own.join("gitdir")).and_then(|back| own.join(back).canonicalize().ok());
    // The root leads through no link, and what is there in the place of the pointer is none.
    let is_linked = own.parent() == Some(&common.join("worktrees")) && back == Some(git);
    if !is_linked {
        return Vec::new();
    }
    let shared = GIT_SHARED.iter().map(|name| common.join(name));
    let is_directory = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    [own.clone()].into_iter().chain(shared).filter(is_directory).collect()
}

/// The control files of a git directory, of its submodules, and of its other worktrees. What is
/// missing is among them: making it must change nothing either.
fn controls(git: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = GIT_CONTROL.iter().map(|name| git.join(name)).collect();
    let mut modules = Vec::new();
    let mut visits_left = GIT_MODULE_VISITS_MAX;
    find_modules(&git.join("modules"), &mut visits_left, &mut modules);
    paths.extend(modules.iter().flat_map(|module| GIT_MODULE.map(|name| module.join(name))));
    let worktrees = directories(&git.join("worktrees"), GIT_SUBMODULES_MAX);
    paths.extend(worktrees.iter().flat_map(|own| GIT_WORKTREE.map(|name| own.join(name))));
    paths
}

/// The git directories of submodules, and of theirs.
fn find_modules(within: &Path, visits_left: &mut usize, found: &mut Vec<PathBuf>) {
    for directory in directories(within, GIT_SUBMODULES_MAX) {
        if *visits_left == 0 || found.len() == GIT_SUBMODULES_MAX {
            return;
        }
        *visits_left -= 1;
        if directory.join("HEAD").exists() {
            found.push(directory.clone());
            find_modules(&directory.join("modules"), visits_left, found);
        } else {
            // The names of submodules may have slashes.
            find_modules(&directory, visits_left, found);
        }
    }
}

/// The directories among so many entries of a directory, in order of their names.
fn directories(within: &Path, entries_max: usize) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(within) else { return Vec::new() };
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let found = entries.take(entries_max).flatten().filter(is_directory);
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    sort::by(&mut paths, &mut Ord::cmp);
    paths
}

/// The git directory that a pointer names, and the one that has what all worktrees share.
fn pointed_to(git: &Path) -> Option<(PathBuf, PathBuf)> {
    let line = read_line(git)?;
    let named = line.strip_prefix("gitdir:")?.trim();
    let own = git.parent()?.join(named).canonicalize().ok()?;
    let common = match read_line(&own.join("commondir")) {
        Some(common) => own.join(common).canonicalize().ok()?,
        None => own.clone(),
    };
    Some((own, common))
}

/// The first line of a small file.
fn read_line(path: &Path) -> Option<String> {
    Some(read_start(path)?.lines().next()?.trim_end().to_owned())
}

/// What a small file holds, or the start of a large one.
fn read_start(path: &Path) -> Option<String> {
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    // What was put there since may be a pipe, which would be waited for.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = fs::File::options().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(GIT_POINTER_BYTES_MAX as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let base = std::env::temp_dir().canonicalize().unwrap();
            let path = base.join(format!("windlass-protection-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Place(path)
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn check(place: &Place, root: &str, expected: &[&str]) {
        let root = place.0.join(root);
        let found = protected(&root);
        let found: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(&place.0).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found[PROJECT.len()..], *expected);
    }

    #[test]
    fn control_files_of_a_repository_are_protected() {
        let place = Place::new("plain");
        place.write("w/.git/config", "");
        place.write("w/.git/modules/libs/sub/HEAD", "");
        place.write("w/.git/modules/libs/sub/modules/inner/HEAD", "");
        place.write("w/.git/worktrees/other/HEAD", "");
        let of = |git: &str, names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{git}/{name}")).collect()
        };
        let modules = "w/.git/modules/libs/sub";
        let expected = [
            of("w/.git", &GIT_CONTROL),
            of(modules, &GIT_MODULE),
            of(&format!("{modules}/modules/inner"), &GIT_MODULE),
            of("w/.git/worktrees/other", &GIT_WORKTREE),
        ];
        let expected = expected.concat();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&place, "w", &expected);
        std::os::unix::fs::symlink("../w/.git", place.0.join("link.git")).unwrap();
        fs::create_dir(place.0.join("linked")).unwrap();
        fs::rename(place.0.join("link.git"), place.0.join("linked/.git")).unwrap();
        let linked: Vec<&str> = ["linked/.git"].into_iter().chain(expected).collect();
        check(&place, "linked", &linked);
        fs::create_dir(place.0.join("none")).unwrap();
        check(&place, "none", &[]);
    }

    fn check_nested(place: &Place, expected: &[&str]) {
        let found = nested(&place.0.join("w"));
        let found: Vec<_> =
            found.iter().map(|it| it.strip_prefix(&place.0).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, *expected);
    }

    #[test]
    fn repositories_in_a_root_are_found_without_a_walk() {
        let place = Place::new("nested");
        place.write("w/file", "");
        check_nested(&place, &[]);
        place.write("w/sub/.git/HEAD", "");
        place.write("w/deep/er/.git/HEAD", "");
        place.write("w/pointer/.git", "gitdir: /elsewhere");
        let sub = ["commondir", "config", "config.worktree", "hooks"];
        let sub = sub.map(|name| format!("w/sub/.git/{name}"));
        let mut expected: Vec<&str> = sub.iter().map(String::as_str).collect();
        expected.insert(0, "w/pointer/.git");
        check_nested(&place, &expected);
        // Settings and lists of the root's own say where the others are.
        place.write("w/.git/modules/m/HEAD", "");
        place.write("w/.git/modules/m/config", "[core]\n\tworktree = ../../../libs/m\n");
        place.write("w/libs/m/.git", "gitdir: ../../.git/modules/m\n");
        let tree = place.0.join("w/trees/t/.git");
        place.write("w/.git/worktrees/t/gitdir", &format!("{}\n", tree.display()));
        place.write("w/trees/t/.git", "");
        let outside = place.0.join("elsewhere/.git");
        place.write("elsewhere/.git", "");
        place.write("w/.git/worktrees/u/gitdir", &format!("{}\n", outside.display()));
        expected.insert(0, "w/libs/m/.git");
        expected.push("w/trees/t/.git");
        check_nested(&place, &expected);
    }

    #[test]
    fn repositories_in_a_root_are_bounded() {
        let place = Place::new("nested-many");
        for number in 0..=GIT_NESTED_MAX {
            place.write(&format!("w/{number}/.git"), "");
        }
        assert_eq!(nested(&place.0.join("w")).len(), GIT_NESTED_MAX);
        for number in 0..GIT_NESTED_ENTRIES_MAX + 9 {
            fs::create_dir(place.0.join(format!("w/d{number}"))).unwrap();
        }
        assert_eq!(directories(&place.0.join("w"), GIT_NESTED_ENTRIES_MAX).len(), 256);
    }

    #[test]
    fn a_root_may_be_a_repository_itself() {
        let place = Place::new("bare");
        for name in ["HEAD", "objects/x", "refs/x"] {
            place.write(&format!("w/{name}"), "");
        }
        check(
            &place,
            "w",
            &GIT_CONTROL.map(|name| match name {
                "hooks" => "w/hooks",
                "config" => "w/config",
                "config.worktree" => "w/config.worktree",
                _ => "w/commondir",
            }),
        );
    }

    #[test]
    fn a_linked_worktree_may_be_committed_from() {
        let place = Place::new("linked");
        for name in ["objects/x", "refs/x", "config", "worktrees/w/HEAD"] {
            place.write(&format!("main/.git/{name}"), "");
        }
        place.write("main/.git/worktrees/w/commondir", "../..\n");
        let pointer = format!("gitdir: {}/main/.git/worktrees/w\n", place.0.display());
        place.write("w/.git", &pointer);
        let root = place.0.join("w");
        assert_eq!(linked_git(&root), Vec::<PathBuf>::new(), "it does not point back");
        place.write("main/.git/worktrees/w/gitdir", &format!("{}/.git\n", root.display()));
        let main = place.0.join("main/.git");
        let expected = ["worktrees/w", "objects", "refs"].map(|name| main.join(name));
        assert_eq!(linked_git(&root), expected);
        let found = protected(&root);
        for name in ["w/.git", "main/.git/config", "main/.git/worktrees/w/commondir"] {
            assert!(found.contains(&place.0.join(name)), "{name}");
        }
        place.write("other/.git", &pointer);
        assert_eq!(linked_git(&place.0.join("other")), Vec::<PathBuf>::new());
        // What leads elsewhere is nothing of the repository's.
        fs::rename(main.join("refs"), place.0.join("refs")).unwrap();
        std::os::unix::fs::symlink("../../refs", main.join("refs")).unwrap();
        assert_eq!(linked_git(&root), ["worktrees/w", "objects"].map(|name| main.join(name)));
    }

    #[test]
    fn a_place_that_anybody_made_belongs_to_no_repository() {
        let place = Place::new("claimed");
        for name in ["objects/x", "refs/x", "worktrees/w/HEAD"] {
            place.write(&format!("main/.git/{name}"), "");
        }
        place.write("w/.git", "gitdir: own");
        place.write("w/own/gitdir", &format!("{}/w/.git\n", place.0.display()));
        for common in ["../../main/.git", "../../main/.git/worktrees"] {
            place.write("w/own/commondir", common);
            assert_eq!(linked_git(&place.0.join("w")), Vec::<PathBuf>::new(), "{common}");
        }
    }
}
