//! The directory that holds settings, login and sessions.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, Env, env_text};
use crate::host::disk::read_head;
use crate::limits::PASSWD_BYTES_MAX;

/// Where everything of ours is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    /// May not exist yet; `None` if there is no place for it.
    pub path: Option<PathBuf>,
    /// A line for people who may expect something else.
    pub hint: Option<Box<str>>,
}

impl Home {
    /// `$WINDLASS_HOME`, else `$CODEX_HOME`, else `~/.windlass`.
    ///
    /// Who has no `$HOME` has what the file of users says; who is not in it has no home.
    pub fn find(env: Env<'_>, passwd: &Path) -> Result<Home, ConfigError> {
        for variable in ["WINDLASS_HOME", "CODEX_HOME"] {
            let Some(value) = env_text(env, variable) else { continue };
            let Ok(path) = Path::new(&value).canonicalize() else {
                let message = format!("{variable} is set to {value:?}, which does not exist");
                return Err(ConfigError::new(message));
            };
            if !path.is_dir() {
                let message = format!("{variable} is set to {value:?}, which is not a directory");
                return Err(ConfigError::new(message));
            }
            return Ok(Home { path: Some(path), hint: None });
        }
        let Some(user) = user_directory(env, passwd) else {
            let hint = "there is no home directory: no settings are read and no session is kept \
                        (HOME or WINDLASS_HOME can name one)";
            return Ok(Home { path: None, hint: Some(hint.into()) });
        };
        let path = user.join(".windlass");
        if path.symlink_metadata().is_ok() && !path.is_dir() {
            let message = format!(
                "{} is not a directory, so that neither settings nor sessions can be in it; move it \
                 away or set WINDLASS_HOME",
                path.display()
            );
            return Err(ConfigError::new(message));
        }
        let other = user.join(".codex");
        let hint = (!path.exists() && other.is_dir()).then(|| {
            let other = other.display();
            format!("settings in {other} are not used; set CODEX_HOME={other} to share them")
        });
        Ok(Home { path: Some(path), hint: hint.map(Box::from) })
    }
}

/// The user's own directory.
pub fn user_directory(env: Env<'_>, passwd: &Path) -> Option<PathBuf> {
    let named = env_text(env, "HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    named.or_else(|| {
        // SAFETY: the call takes nothing and cannot fail.
        let uid = unsafe { libc::geteuid() };
        // What cannot be read names nobody.
        let head = read_head(passwd, PASSWD_BYTES_MAX).ok().flatten()?;
        directory_of(&head.bytes, uid).filter(|home| home.is_absolute() && home.is_dir())
    })
}

/// The directory of a user in a file of users (passwd(5)).
fn directory_of(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let own = fields.next()? == uid.as_bytes();
        let directory = fields.nth(2)?;
        own.then(|| PathBuf::from(OsStr::from_bytes(directory)))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;

    fn find_with(pairs: &[(&str, &Path)], passwd: &Path) -> Result<Home, ConfigError> {
        let env = |name: &str| {
            let pair = pairs.iter().find(|(known, _)| *known == name);
            pair.and_then(|(_, path)| path.to_str()).map(str::to_owned)
        };
        Home::find(&env, passwd)
    }

    fn find(pairs: &[(&str, &Path)]) -> Result<Home, ConfigError> {
        find_with(pairs, Path::new("/no/such/file"))
    }

    #[test]
    fn the_home_is_named_or_the_usual_one() {
        let place = Place::new();
        let (one, two) = (place.directory("one"), place.directory("two"));
        let both = find(&[("WINDLASS_HOME", &one), ("CODEX_HOME", &two)]).expect("a home");
        assert_eq!(both.path, Some(one));
        assert_eq!(find(&[("CODEX_HOME", &two)]).expect("a home").path, Some(two));
        let usual = find(&[("HOME", place.path()), ("CODEX_HOME", Path::new(""))]);
        let usual = usual.expect("a home");
        assert_eq!((usual.path, usual.hint), (Some(place.path().join(".windlass")), None));
        place.directory(".codex");
        assert!(find(&[("HOME", place.path())]).expect("a home").hint.is_some());
        place.directory(".windlass");
        assert_eq!(find(&[("HOME", place.path())]).expect("a home").hint, None);
    }

    #[test]
    fn a_home_that_is_named_and_does_not_exist_is_an_error() {
        let place = Place::new();
        let missing = place.path().join("missing");
        let file = place.file("file", "");
        let wrong = |path: &Path| find(&[("CODEX_HOME", path)]).expect_err("wrong").to_string();
        assert!(wrong(&missing).contains("does not exist"));
        assert!(wrong(&file).contains("not a directory"));
    }

    #[test]
    fn a_file_in_the_way_of_the_home_is_an_error() {
        let place = Place::new();
        symlink("nowhere", place.path().join(".windlass")).expect("a link");
        let wrong = find(&[("HOME", place.path())]).expect_err("wrong").to_string();
        assert!(wrong.contains(".windlass is not a directory"), "{wrong}");
    }

    #[test]
    fn who_has_no_variable_is_looked_up_among_the_users() {
        let place = Place::new();
        // SAFETY: the call takes nothing and cannot fail.
        let uid = unsafe { libc::geteuid() };
        let home = place.directory("of-user");
        let line = |home: &Path| format!("me:x:{uid}:0:Me:{}:/bin/sh\n", home.display());
        let passwd = place.file("passwd", format!("a:x\n\nb:x:4294967295:0::/b:\n{}", line(&home)));
        let relative = ("HOME", Path::new("relative"));
        for pairs in [&[][..], &[relative]] {
            let found = find_with(pairs, &passwd).expect("a home");
            assert_eq!((found.path, found.hint), (Some(home.join(".windlass")), None));
        }
        place.file("passwd", line(Path::new("/no/such/directory")));
        let found = find_with(&[], &passwd).expect("no home");
        assert_eq!(found.path, None);
        assert!(found.hint.expect("a hint").contains("no session is kept"));
    }

    #[test]
    fn only_the_head_of_the_users_is_read() {
        let place = Place::new();
        // SAFETY: the call takes nothing and cannot fail.
        let uid = unsafe { libc::geteuid() };
        let mut users = "#".repeat(PASSWD_BYTES_MAX);
        users.push_str(&format!("\nme:x:{uid}:0:Me:/:/bin/sh\n"));
        let passwd = place.file("passwd", users);
        assert_eq!(find_with(&[], &passwd).expect("no home").path, None);
        assert_eq!(directory_of(b"a:b:c\n:::::\n::1:::/x", 1), Some(PathBuf::from("/x")));
    }
}
