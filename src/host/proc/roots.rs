//! Where writable roots are.
//!
//! A root may lie within another one, as in `/tmp`, or be named before it is made: then a command
//! can put a link in its place. What that leads to was never meant. So a name means for ever what
//! it meant when it was first heard; should that place lead through a link by then, the launcher
//! refuses it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::limits::ROOTS_KNOWN_MAX;

/// The places of roots by their names.
#[derive(Default, Debug)]
pub struct Roots {
    /// Invariant: at most `ROOTS_KNOWN_MAX`.
    places: BTreeMap<Box<str>, PathBuf>,
}

impl Roots {
    /// Where a root is; `None` if there is nothing.
    pub fn place(&mut self, name: &str) -> Option<PathBuf> {
        let place = match self.places.get(name) {
            Some(place) => place.clone(),
            // Of one too many, nothing but the name itself is meant.
            None if self.places.len() == ROOTS_KNOWN_MAX => PathBuf::from(name),
            None => {
                let place = place(Path::new(name));
                self.places.insert(name.into(), place.clone());
                place
            }
        };
        fs::symlink_metadata(&place).is_ok().then_some(place)
    }
}

/// Where a path leads, whether or not there is something.
pub fn place(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| {
        let found = fs::canonicalize(above).ok()?;
        let rest = path.strip_prefix(above).ok()?;
        // Joining nothing would make a directory of it.
        Some(if rest.as_os_str().is_empty() { found } else { found.join(rest) })
    });
    found.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::disk::tests::Place;

    #[test]
    fn a_name_means_what_it_meant_at_first() {
        let place = Place::new();
        let (real, other) = (place.directory("real"), place.directory("other"));
        let names = ["link", "real", "later"].map(|name| place.path().join(name));
        let [link, plain, later] = names.each_ref().map(|path| path.to_str().unwrap());
        symlink(&real, link).unwrap();
        let mut roots = Roots::default();
        assert_eq!(roots.place(link).as_deref(), Some(&*real));
        assert_eq!(roots.place(plain).as_deref(), Some(&*real));
        assert_eq!(roots.place(later), None);
        fs::remove_file(link).unwrap();
        fs::rename(&real, place.path().join("moved")).unwrap();
        for name in [link, plain, later] {
            symlink(&other, name).unwrap();
        }
        assert_eq!(roots.place(link).as_deref(), Some(&*real));
        assert_eq!(roots.place(plain).as_deref(), Some(&*real));
        assert_eq!(roots.place(later).as_deref(), Some(Path::new(later)));
    }

    #[test]
    fn no_more_names_than_the_bound_are_known() {
        let place = Place::new();
        let mut roots = Roots::default();
        for number in 0..ROOTS_KNOWN_MAX {
            assert_eq!(roots.place(&format!("/none/{number}")), None);
        }
        let link = place.path().join("link");
        symlink("/", &link).unwrap();
        assert_eq!(roots.place(link.to_str().unwrap()).as_deref(), Some(&*link));
        assert_eq!(roots.places.len(), ROOTS_KNOWN_MAX);
    }
}
