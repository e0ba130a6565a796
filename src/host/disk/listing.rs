//! Pages of sessions, the newest first.
//!
//! Folders are walked from where the page begins, and only rollouts that may be on it are opened,
//! at their heads. A page that would open too many ends early and says where to go on.

use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::config::providers::DEFAULT_PROVIDER;
use crate::host::disk::Failure;
use crate::host::disk::rollout::{Progress, Reader};
use crate::host::disk::shelf::{Found, Mark, Shelf, Walk};
use crate::limits::{
    PAGE_SESSIONS_MAX, ROLLOUT_META_BYTES_MAX, ROLLOUT_READ_BYTES, SHELF_OPENED_MAX,
};
use crate::wire::heading::Reading;
use crate::words::session::Session;

/// Which sessions are wanted.
#[derive(Clone, Debug)]
pub struct Query {
    pub shelf: Shelf,
    /// Only those begun in this directory.
    pub cwd: Option<Box<str>>,
    /// Only those of one of these providers; of all, if there is none.
    pub providers: Vec<Box<str>>,
    /// Only those begun by one of these kinds of programs; by all, if there is none.
    pub sources: Vec<Box<str>>,
    /// Only those whose first question, directory, branch or id holds this, in whatever case.
    pub search: Option<Box<str>>,
}

/// Some sessions, in order.
#[derive(Debug)]
pub struct Page {
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Mark>,
    /// Not all that was wanted was found when too much had been looked at.
    pub is_short: bool,
    pub opened_count: u32,
}

impl Query {
    pub fn all(shelf: Shelf) -> Query {
        let (providers, sources) = (Vec::new(), Vec::new());
        Query { shelf, cwd: None, providers, sources, search: None }
    }

    fn wants(&self, session: &Session) -> bool {
        let heading = &session.heading;
        let provider = heading.provider.as_deref().unwrap_or(DEFAULT_PROVIDER);
        let is_any = |wanted: &[Box<str>], found: Option<&str>| {
            wanted.is_empty() || wanted.iter().any(|wanted| Some(&**wanted) == found)
        };
        self.cwd.as_ref().is_none_or(|cwd| *cwd == heading.cwd)
            && is_any(&self.providers, Some(provider))
            && is_any(&self.sources, heading.source.as_deref())
            && self.search.as_ref().is_none_or(|search| {
                let search = search.to_lowercase();
                let branch = heading.branch.as_deref().unwrap_or_default();
                let texts = [&*heading.preview, &heading.cwd, branch, &session.id.to_string()];
                texts.iter().any(|text| text.to_lowercase().contains(&search))
            })
    }
}

/// The page that begins after a mark; at most `PAGE_SESSIONS_MAX` long.
pub fn page(
    home: &Path,
    query: &Query,
    after: Option<&Mark>,
    length: usize,
) -> Result<Page, Failure> {
    let length = length.clamp(1, PAGE_SESSIONS_MAX);
    let mut walk = Walk::new(home, query.shelf, after.cloned())?;
    let mut page = Page { sessions: Vec::new(), next: None, is_short: false, opened_count: 0 };
    let mut last = None;
    while let Some(found) = walk.advance()? {
        if page.opened_count >= SHELF_OPENED_MAX {
            page.is_short = page.sessions.len() < length;
            page.next = last;
            break;
        }
        page.opened_count += 1;
        let mark = found.mark.clone();
        // What cannot be read, or holds no session, is not on the list.
        let session = read(found, query.shelf).ok().flatten();
        if let Some(session) = session.filter(|session| query.wants(session)) {
            if page.sessions.len() == length {
                page.next = last;
                break;
            }
            page.sessions.push(session);
        }
        // A full page goes on where its last session is: what was looked at beyond is not wanted.
        last = Some(mark);
    }
    Ok(page)
}

/// The head of one rollout; `None` if it holds no session.
fn read(found: Found, shelf: Shelf) -> Result<Option<Session>, Failure> {
    let Found { path, mark } = found;
    let mut reader = Reader::open(&path)?;
    let mut reading = Reading::default();
    let (mut slice_bytes, mut read_bytes) = (16 * 1024, 0);
    while reading.wants_more() && read_bytes < ROLLOUT_META_BYTES_MAX {
        let progress = reader.read_slice(slice_bytes)?;
        read_bytes += slice_bytes;
        slice_bytes = (slice_bytes * 2).min(ROLLOUT_READ_BYTES);
        while let Some(line) = reader.pull() {
            reading.push(line.bytes);
        }
        if progress == Progress::End {
            break;
        }
    }
    let Some((id, heading)) = reading.finish().filter(|(id, _)| *id == mark.id) else {
        return Ok(None);
    };
    let changed = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let since = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let updated_wall_ms = since.map_or(0, |since| since.as_millis() as u64);
    let archived = shelf == Shelf::Archive;
    Ok(Some(Session { id, path, archived, begun: mark.time, updated_wall_ms, heading }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::prng::Prng;
    use crate::host::disk::tests::Place;
    use crate::words::ids::ConversationId;

    /// Puts a session on a shelf.
    fn put(place: &Place, shelf: Shelf, time: &str, bytes: [u8; 10], cwd: &str, asked: &str) {
        let mark = Mark { time: time.into(), id: ConversationId::v7(0, bytes) };
        let id = mark.id;
        let text = format!(
            "{{\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\",\"cwd\":\"{cwd}\"}}}}\n\
             {{\"type\":\"event_msg\",\"payload\":{{\"type\":\"user_message\",\"message\":\"{asked}\"}}}}\n"
        );
        let path = shelf.place(place.path(), &mark);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("written");
    }

    fn previews(page: &Page) -> Vec<&str> {
        page.sessions.iter().map(|session| &*session.heading.preview).collect()
    }

    #[test]
    fn pages_follow_one_another_and_the_last_says_so() {
        let place = Place::new();
        for number in 0..5 {
            let time = format!("2025-11-0{}T10-00-00", 3 + number % 3);
            put(&place, Shelf::Dated, &time, [number; 10], "/w", &format!("m{number}"));
        }
        let query = Query::all(Shelf::Dated);
        for length in 1..=6 {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = page(place.path(), &query, after.as_ref(), length).expect("a page");
                assert!(!page.sessions.is_empty() && page.sessions.len() <= length);
                seen.extend(previews(&page).into_iter().map(str::to_owned));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, ["m2", "m4", "m1", "m3", "m0"], "{length}");
        }
        let first = page(place.path(), &query, None, 2).expect("a page");
        let cursor = first.next.expect("more").cursor();
        assert!(cursor.starts_with("2025-11-05T10-00-00|") || cursor.contains("04T"), "{cursor}");
        assert_eq!(page(place.path(), &query, None, 5).expect("a page").next, None);
    }

    #[test]
    fn filters_pass_over_what_is_not_wanted() {
        let place = Place::new();
        put(&place, Shelf::Dated, "2025-11-03T10-00-00", [1; 10], "/a", "Repair the Motor");
        put(&place, Shelf::Dated, "2025-11-04T10-00-00", [2; 10], "/b", "paint it");
        put(&place, Shelf::Archive, "2025-11-05T10-00-00", [3; 10], "/a", "old");
        let all = Query::all(Shelf::Dated);
        let check = |query: &Query, expected: &[&str]| {
            let page = page(place.path(), query, None, 9).expect("a page");
            assert_eq!(previews(&page), expected, "{query:?}");
        };
        check(&all, &["paint it", "Repair the Motor"]);
        check(&Query { cwd: Some("/a".into()), ..all.clone() }, &["Repair the Motor"]);
        check(&Query { search: Some("MOTOR".into()), ..all.clone() }, &["Repair the Motor"]);
        check(&Query { search: Some("/b".into()), ..all.clone() }, &["paint it"]);
        check(&Query { providers: vec!["other".into()], ..all.clone() }, &[]);
        let default = vec![DEFAULT_PROVIDER.into()];
        check(&Query { providers: default, ..all.clone() }, &["paint it", "Repair the Motor"]);
        check(&Query { sources: vec!["cli".into()], ..all }, &[]);
        check(&Query::all(Shelf::Archive), &["old"]);
    }

    /// Three years of days with many sessions each: a page opens its own files and one more.
    #[test]
    fn a_page_opens_what_it_shows_however_many_there_are() {
        let place = Place::new();
        let mut chance = Prng::new(7);
        for number in 0..6_000 {
            let (year, month, day) =
                (2023 + chance.below(3), 1 + chance.below(12), 1 + chance.below(28));
            let time = format!("{year}-{month:02}-{day:02}T{:02}-00-00", chance.below(24));
            put(&place, Shelf::Dated, &time, chance.ten_bytes(), "/w", &format!("m{number}"));
        }
        let query = Query::all(Shelf::Dated);
        let (mut after, mut seen, mut begun) = (None, 0, None::<Box<str>>);
        loop {
            let page = page(place.path(), &query, after.as_ref(), 100).expect("a page");
            assert!(page.opened_count <= 101, "{}", page.opened_count);
            for session in &page.sessions {
                assert!(begun.as_ref().is_none_or(|newer| *newer >= session.begun));
                begun = Some(session.begun.clone());
            }
            seen += page.sessions.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, 6_000);
        let none = Query { search: Some("nowhere".into()), ..query };
        let page = page(place.path(), &none, None, 25).expect("a page");
        assert_eq!(page.opened_count, SHELF_OPENED_MAX);
        assert!(page.is_short && page.next.is_some() && page.sessions.is_empty());
    }
}
