//! Reads a repository's `.git` without starting git: where it is, what is checked out, where it
//! came from.
//!
//! Best effort and bounded: a repository in a form we do not know (reftable, a broken HEAD) has
//! fewer facts, never a failure. Nothing is followed but the pointers git itself writes.

use std::path::{Component, Path, PathBuf};

use crate::host::disk::{read_head, read_text};
use crate::limits::{
    DIRECTORY_DEPTH_MAX, GIT_CONFIG_BYTES_MAX, GIT_PACKED_REFS_BYTES_MAX, GIT_POINTER_BYTES_MAX,
    GIT_SYMBOLIC_REFS_MAX,
};
use crate::words::review::Base;
use crate::words::settings::GitFacts;

/// The directory that holds `.git`, from here upwards.
pub fn repository_root(cwd: &Path) -> Option<PathBuf> {
    let mut above = cwd.ancestors().take(DIRECTORY_DEPTH_MAX);
    above.find(|directory| directory.join(".git").exists()).map(Path::to_owned)
}

/// The root of the repository whose linked worktree this root is, if both say so: a directory alone
/// may claim to belong to any repository.
pub fn main_root(root: &Path) -> Option<PathBuf> {
    let dot_git = root.join(".git");
    if !dot_git.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let repository = Repository::find(root)?;
    let own = repository.own.canonicalize().ok()?;
    let common = repository.common.canonicalize().ok()?;
    let back = read_text(&own.join("gitdir"), GIT_POINTER_BYTES_MAX).ok()??;
    let back = own.join(back.trim()).canonicalize().ok()?;
    let is_linked = own.parent() == Some(&common.join("worktrees")) && back == dot_git;
    let main = common.parent().filter(|_| is_linked && common.ends_with(".git"))?;
    Some(main.to_owned())
}

/// What is known about the repository around a directory; `None` outside of one.
pub fn facts(cwd: &Path) -> Option<GitFacts> {
    let repository = Repository::find(&repository_root(cwd)?)?;
    let (branch, commit_hash) = repository.head();
    Some(GitFacts { commit_hash, branch, repository_url: repository.origin() })
}

/// How git knows a branch that changes are compared with: where only the one of `origin` is here,
/// by that name. `None` if there is no such branch; git knows other names of commits as well.
///
/// Where it and HEAD part can be told only if they have not: more than that is in objects, which
/// are not read.
pub fn base(cwd: &Path, branch: &str) -> Option<Base> {
    let repository = Repository::find(&repository_root(cwd)?)?;
    let of_origin = format!("origin/{branch}");
    let places =
        [("refs/heads/", branch), ("refs/remotes/", branch), ("refs/remotes/", &of_origin)];
    let (name, commit) = places
        .into_iter()
        .find_map(|(place, name)| Some((name, repository.resolve(&format!("{place}{name}"))?)))?;
    let (_, head) = repository.head();
    let merge_base = head.filter(|head| *head == commit);
    Some(Base { name: name.into(), merge_base })
}

/// The directories of a repository.
#[derive(Debug)]
struct Repository {
    /// HEAD of this working tree.
    own: PathBuf,
    /// Refs and configuration, shared by all working trees.
    common: PathBuf,
}

impl Repository {
    fn find(root: &Path) -> Option<Repository> {
        let dot_git = root.join(".git");
        let own = match dot_git.is_dir() {
            true => dot_git,
            false => {
                let pointer = read_text(&dot_git, GIT_POINTER_BYTES_MAX).ok()??;
                root.join(pointer.strip_prefix("gitdir:")?.trim())
            }
        };
        let shared = read_text(&own.join("commondir"), GIT_POINTER_BYTES_MAX).ok().flatten();
        let common = match shared {
            Some(pointer) => own.join(pointer.trim()),
            None => own.clone(),
        };
        Some(Repository { own, common })
    }

    /// The branch and the commit that are checked out.
    fn head(&self) -> (Option<Box<str>>, Option<Box<str>>) {
        let Some(head) = read_text(&self.own.join("HEAD"), GIT_POINTER_BYTES_MAX).ok().flatten()
        else {
            return (None, None);
        };
        match head.strip_prefix("ref:").map(str::trim) {
            Some(name) => {
                let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
                (Some(branch.into()), self.resolve(name))
            }
            None => (None, hash(&head)),
        }
    }

    /// The commit that a ref names.
    fn resolve(&self, name: &str) -> Option<Box<str>> {
        let mut name: Box<str> = name.into();
        for _ in 0..GIT_SYMBOLIC_REFS_MAX {
            if !is_ref(&name) {
                return None;
            }
            let loose = [&self.own, &self.common].into_iter().find_map(|directory| {
                read_text(&directory.join(&*name), GIT_POINTER_BYTES_MAX).ok().flatten()
            });
            let Some(text) = loose else { return self.packed(&name) };
            match text.strip_prefix("ref:") {
                Some(next) => name = next.trim().into(),
                None => return hash(&text),
            }
        }
        None
    }

    fn packed(&self, name: &str) -> Option<Box<str>> {
        let path = self.common.join("packed-refs");
        let head = read_head(&path, GIT_PACKED_REFS_BYTES_MAX).ok()??;
        let mut lines = head.bytes.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            let (commit, of) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            (of.trim_end() == name).then(|| hash(commit)).flatten()
        })
    }

    /// The address of the remote `origin`, without a user's name and password.
    fn origin(&self) -> Option<Box<str>> {
        let text = read_text(&self.common.join("config"), GIT_CONFIG_BYTES_MAX).ok()??;
        let mut inside = false;
        let mut found = None;
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[') {
                let section = section.split_once(']').map_or(section, |(section, _)| section);
                let (section, name) = section.split_once(' ').unwrap_or((section, ""));
                inside = section.eq_ignore_ascii_case("remote") && name.trim() == "\"origin\"";
            } else if inside
                && let Some((key, value)) = line.split_once('=')
                && key.trim().eq_ignore_ascii_case("url")
            {
                found = Some(unquoted(value));
            }
        }
        found.filter(|url| !url.is_empty()).map(|url| without_login(&url).into())
    }
}

/// A name that stays below the repository.
fn is_ref(name: &str) -> bool {
    let path = Path::new(name);
    name.starts_with("refs/") && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// A commit's name in full: SHA-1 or SHA-256 in hex.
fn hash(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    let whole = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| text.into())
}

/// A value of git's configuration: quotes and their escapes undone, comments dropped.
fn unquoted(value: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut characters = value.trim().chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' => out.extend(characters.next()),
            '#' | ';' if !quoted => break,
            character => out.push(character),
        }
    }
    out.trim_end().to_owned()
}

/// An address as it may be recorded and sent: tokens are often part of it.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((login, host)) if login.contains(':') || scheme.starts_with("http") => {
            format!("{scheme}://{host}{path}")
        }
        Some(_) | None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disk::tests::Place;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn check(place: &Place, cwd: &str, branch: Option<&str>, commit: Option<&str>) {
        let facts = facts(&place.path().join(cwd)).expect("a repository");
        assert_eq!(facts.branch.as_deref(), branch);
        assert_eq!(facts.commit_hash.as_deref(), commit);
    }

    #[test]
    fn a_branch_is_found_loose_or_packed() {
        let place = Place::new();
        place.file("r/.git/HEAD", "ref: refs/heads/feature/x\n");
        place.directory("r/src/deep");
        check(&place, "r/src/deep", Some("feature/x"), None);
        let packed =
            format!("# pack-refs with: peeled\n{COMMIT} refs/heads/feature/x\n^{COMMIT}\n");
        place.file("r/.git/packed-refs", packed);
        check(&place, "r", Some("feature/x"), Some(COMMIT));
        let loose = COMMIT.replace('0', "f");
        place.file("r/.git/refs/heads/feature/x", format!("{loose}\n"));
        check(&place, "r/src", Some("feature/x"), Some(&loose));
        assert_eq!(repository_root(&place.path().join("r/src")), Some(place.path().join("r")));
    }

    #[test]
    fn a_linked_worktree_belongs_to_whom_it_is_known() {
        let place = Place::new();
        let main = place.directory("main");
        let own = "main/.git/worktrees/w";
        place.file(&format!("{own}/commondir"), "../..\n");
        let gitdir = place.path().join(own);
        let dot_git = place.file("w/.git", format!("gitdir: {}\n", gitdir.display()));
        let of = |name: &str| main_root(&place.path().join(name));
        assert_eq!(of("w"), None, "nothing points back");
        place.file(&format!("{own}/gitdir"), format!("{}\n", dot_git.display()));
        assert_eq!(of("w"), Some(main.clone()));
        place.file(&format!("{own}/gitdir"), "../../../../w/.git\n");
        assert_eq!(of("w"), Some(main));
        place.file("forged/.git", format!("gitdir: {}\n", gitdir.display()));
        assert_eq!(of("forged"), None, "another one is known");
        place.directory("linked");
        let link = place.path().join("linked/.git");
        std::os::unix::fs::symlink(&dot_git, link).expect("a link");
        assert_eq!(of("linked"), None, "a link is nobody's");
        assert_eq!(of("main"), None, "no worktree");
    }

    #[test]
    fn a_branch_to_compare_with_may_be_here_as_one_of_origin_alone() {
        let place = Place::new();
        let other = COMMIT.replace('0', "f");
        place.file(".git/HEAD", "ref: refs/heads/x\n");
        place.file(".git/refs/heads/x", COMMIT);
        place.file(".git/refs/remotes/origin/main", &other);
        place.file(".git/packed-refs", format!("{COMMIT} refs/remotes/up/dev\n"));
        for (branch, name, merge_base) in [
            ("main", "origin/main", None),
            ("origin/main", "origin/main", None),
            ("up/dev", "up/dev", Some(COMMIT)),
            ("x", "x", Some(COMMIT)),
        ] {
            let known = base(place.path(), branch).expect(branch);
            assert_eq!((&*known.name, known.merge_base.as_deref()), (name, merge_base));
        }
        place.file(".git/refs/heads/main", COMMIT);
        assert_eq!(&*base(place.path(), "main").expect("a branch").name, "main");
        for branch in ["none", "HEAD~1", "../../HEAD", "/etc/passwd", ""] {
            assert_eq!(base(place.path(), branch), None, "{branch}");
        }
    }

    #[test]
    fn a_detached_head_has_no_branch() {
        let place = Place::new();
        place.file(".git/HEAD", format!("{COMMIT}\n"));
        check(&place, "", None, Some(COMMIT));
        place.file(".git/HEAD", "nonsense\n");
        check(&place, "", None, None);
    }

    #[test]
    fn a_working_tree_shares_refs_with_its_repository() {
        let place = Place::new();
        place.file("main/.git/worktrees/w/HEAD", "ref: refs/heads/w\n");
        place.file("main/.git/worktrees/w/commondir", "../..\n");
        place.file("main/.git/refs/heads/w", COMMIT);
        place.file("main/.git/config", "[remote \"origin\"]\n\turl = git@example.org:a/b.git\n");
        place.file("w/.git", "gitdir: ../main/.git/worktrees/w\n");
        check(&place, "w", Some("w"), Some(COMMIT));
        let facts = facts(&place.path().join("w")).expect("a repository");
        assert_eq!(facts.repository_url.as_deref(), Some("git@example.org:a/b.git"));
    }

    #[test]
    fn the_origin_is_told_without_its_login() {
        let place = Place::new();
        place.directory(".git");
        let cases = [
            ("[remote \"origin\"]\nurl=https://h/a.git", Some("https://h/a.git")),
            ("[remote \"origin\"]\nurl = https://me:tok@h/a@b.git # c", Some("https://h/a@b.git")),
            ("[remote \"origin\"]\nurl = \"https://tok@h/a#b\"", Some("https://h/a#b")),
            ("[remote \"origin\"]\nurl = ssh://git@h/a", Some("ssh://git@h/a")),
            ("[remote \"other\"]\nurl = x\n[core]\nurl = y", None),
            ("[remote \"other\"]\nurl = x\n[remote \"origin\"]\nURL = z\n[x]\n", Some("z")),
            ("", None),
        ];
        for (config, url) in cases {
            place.file(".git/config", config);
            let facts = facts(place.path()).expect("a repository");
            assert_eq!(facts.repository_url.as_deref(), url, "{config}");
        }
    }

    #[test]
    fn a_hostile_repository_leads_nowhere() {
        let place = Place::new();
        place.file("secret", COMMIT);
        for name in ["refs/../../secret", "/etc/passwd", "refs/heads//../../../../secret", ""] {
            place.file(".git/HEAD", format!("ref: {name}\n"));
            let facts = facts(place.path()).expect("a repository");
            assert_eq!(facts.commit_hash, None, "{name}");
        }
        place.file(".git/HEAD", "ref: refs/heads/a\n");
        place.file(".git/refs/heads/a", "ref: refs/heads/b\n");
        place.file(".git/refs/heads/b", "ref: refs/heads/a\n");
        check(&place, "", Some("a"), None);
        place.file(".git/HEAD", "x".repeat(GIT_POINTER_BYTES_MAX + 1));
        place.file(".git/config", " ".repeat(GIT_CONFIG_BYTES_MAX + 1));
        assert_eq!(facts(place.path()), Some(GitFacts::default()));
    }

    #[test]
    fn packed_refs_beyond_the_bound_are_not_read() {
        let place = Place::new();
        place.file(".git/HEAD", "ref: refs/heads/a\n");
        let filler = "#".repeat(GIT_PACKED_REFS_BYTES_MAX);
        place.file(".git/packed-refs", format!("{filler}\n{COMMIT} refs/heads/a\n"));
        check(&place, "", Some("a"), None);
    }

    #[test]
    fn outside_a_repository_there_are_no_facts() {
        let place = Place::new();
        assert_eq!(facts(place.path()), None);
        let deep = place.path().join("d/".repeat(DIRECTORY_DEPTH_MAX + 1));
        place.directory(".git");
        assert_eq!(repository_root(&deep), None);
    }
}
