//! Pages of sessions in the order and of the kind that is wanted, made in slices.
//!
//! In the order of creation, folders are walked from where the page begins, and only rollouts that
//! may be on it are opened, at their heads. In the order of updates, the times of all are asked for
//! first. A page that would open too many ends early and says where to go on.

use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::config::providers::DEFAULT_PROVIDER;
use crate::host::disk::Failure;
use crate::host::disk::rollout::{Progress, Reader};
use crate::host::disk::shelf::{Found, Shelf};
use crate::host::disk::walk::{Ranked, Slice, Walk, Walked};
use crate::limits::{
    OPENED_COST, PAGE_SESSIONS_MAX, ROLLOUT_META_BYTES_MAX, ROLLOUT_READ_BYTES, SHELF_OPENED_MAX,
    STAMPED_COST,
};
use crate::wire::heading::Reading;
use crate::words::ids::ConversationId;
use crate::words::session::{Cursor, Direction, Heading, Mark, Session, Stamp, Wanted};

/// Some sessions, in order.
#[derive(Default, Debug)]
pub struct Page {
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Cursor>,
    /// Not all that was wanted was found when too much had been looked at.
    pub is_short: bool,
    pub opened_count: u32,
}

/// A page being made.
#[derive(Debug)]
pub struct Listing {
    home: PathBuf,
    wanted: Wanted,
    after: Option<Cursor>,
    /// Invariant: `page.sessions.len() <= length`.
    length: usize,
    source: Source,
    page: Page,
    /// The place behind what was looked at last.
    last: Option<Cursor>,
}

/// Where the next session comes from.
#[derive(Debug)]
enum Source {
    /// Names are in the order that is wanted.
    Created(Walk),
    /// Names are in another order: times are asked for, and what came first is on top.
    Stamping(Walk, BinaryHeap<Ranked<(u64, Mark)>>),
    Updated(BinaryHeap<Ranked<(u64, Mark)>>),
}

enum Next {
    One(Found, u64),
    More,
    End,
}

impl Listing {
    /// Begins the page behind a cursor; it will be at most `PAGE_SESSIONS_MAX` long.
    pub fn begin(
        home: &Path,
        wanted: Wanted,
        after: Option<Cursor>,
        length: usize,
    ) -> Result<Listing, Failure> {
        let shelf = shelf_of(&wanted);
        let direction = wanted.order.direction;
        let source = match (wanted.order.by, &after) {
            (Stamp::Created, Some(Cursor::Created(mark) | Cursor::Updated { mark, .. })) => {
                Source::Created(Walk::new(home, shelf, Some(mark.clone()), direction)?)
            }
            (Stamp::Created, None) => Source::Created(Walk::new(home, shelf, None, direction)?),
            (Stamp::Updated, _) => {
                Source::Stamping(Walk::new(home, shelf, None, direction)?, BinaryHeap::new())
            }
        };
        let length = length.clamp(1, PAGE_SESSIONS_MAX);
        let (home, page) = (home.to_owned(), Page::default());
        Ok(Listing { home, wanted, after, length, source, page, last: None })
    }

    /// Makes more of the page, for as long as the slice lasts; after the end nothing changes.
    pub fn step(&mut self, slice: &mut Slice) -> Result<Progress, Failure> {
        while !slice.is_over() {
            let (found, wall_ms) = match self.next(slice)? {
                Next::One(found, wall_ms) => (found, wall_ms),
                Next::More => return Ok(Progress::More),
                Next::End => return Ok(Progress::End),
            };
            let mark = found.mark.clone();
            let here = match self.wanted.order.by {
                Stamp::Created => Cursor::Created(mark),
                Stamp::Updated => Cursor::Updated { wall_ms, mark },
            };
            if self.page.opened_count >= SHELF_OPENED_MAX {
                self.page.is_short = self.page.sessions.len() < self.length;
                self.page.next = self.last.take();
                self.stop();
                return Ok(Progress::End);
            }
            self.page.opened_count += 1;
            // What cannot be read, or holds no session, is not on the list.
            let session = session(found, self.wanted.archived, slice).ok().flatten();
            if let Some(session) =
                session.filter(|session| self.wanted.takes(session, DEFAULT_PROVIDER))
            {
                if self.page.sessions.len() == self.length {
                    self.page.next = self.last.take();
                    self.stop();
                    return Ok(Progress::End);
                }
                self.page.sessions.push(session);
            }
            // A full page goes on where its last session is: what was looked at beyond is not
            // wanted.
            self.last = Some(here);
        }
        Ok(Progress::More)
    }

    /// What there is of the page; whole after the last step.
    pub fn finish(self) -> Page {
        self.page
    }

    /// Makes the whole page in one go.
    pub fn finished(mut self) -> Result<Page, Failure> {
        while self.step(&mut Slice::default())? == Progress::More {}
        Ok(self.page)
    }

    /// Gives nothing more.
    fn stop(&mut self) {
        self.source = Source::Updated(BinaryHeap::new());
    }

    fn next(&mut self, slice: &mut Slice) -> Result<Next, Failure> {
        let direction = self.wanted.order.direction;
        loop {
            match &mut self.source {
                Source::Created(walk) => {
                    return Ok(match walk.step(slice)? {
                        Walked::Found(found) => Next::One(found, 0),
                        Walked::More => Next::More,
                        Walked::End => Next::End,
                    });
                }
                Source::Stamping(walk, stamped) => match walk.step(slice)? {
                    Walked::Found(Found { path, mark }) => {
                        slice.spend(STAMPED_COST);
                        let key = (updated(&path), mark);
                        if comes_after(&key, self.after.as_ref(), direction) {
                            stamped.push(Ranked { key, direction });
                        }
                    }
                    Walked::More => return Ok(Next::More),
                    Walked::End => self.source = Source::Updated(std::mem::take(stamped)),
                },
                Source::Updated(stamped) => {
                    let Some(Ranked { key: (wall_ms, mark), .. }) = stamped.pop() else {
                        return Ok(Next::End);
                    };
                    let path = shelf_of(&self.wanted).place(&self.home, &mark);
                    return Ok(Next::One(Found { path, mark }, wall_ms));
                }
            }
        }
    }
}

fn shelf_of(wanted: &Wanted) -> Shelf {
    if wanted.archived { Shelf::Archive } else { Shelf::Dated }
}

fn comes_after(key: &(u64, Mark), after: Option<&Cursor>, direction: Direction) -> bool {
    match after {
        Some(Cursor::Updated { wall_ms, mark }) => {
            direction.compare(key, &(*wall_ms, mark.clone())).is_gt()
        }
        Some(Cursor::Created(_)) | None => true,
    }
}

/// When something was last added; never, for what cannot be asked.
fn updated(path: &Path) -> u64 {
    let changed = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let since = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_millis() as u64)
}

/// What the head of one rollout says; `None` if it holds no session that people know of.
fn session(found: Found, archived: bool, slice: &mut Slice) -> Result<Option<Session>, Failure> {
    let reading = headed(&found.path, slice)?;
    Ok(made(found, archived, reading.finish()))
}

/// The same of any session, for whoever knows its name: also of one in which nothing was asked yet.
pub fn named(found: Found, archived: bool) -> Result<Option<Session>, Failure> {
    let reading = headed(&found.path, &mut Slice::default())?;
    Ok(made(found, archived, reading.named()))
}

fn made(
    Found { path, mark }: Found,
    archived: bool,
    head: Option<(ConversationId, Heading)>,
) -> Option<Session> {
    let (id, heading) = head.filter(|(id, _)| *id == mark.id)?;
    let updated_wall_ms = updated(&path);
    Some(Session { id, path, archived, begun: mark.time, updated_wall_ms, heading })
}

fn headed(path: &Path, slice: &mut Slice) -> Result<Reading, Failure> {
    let mut reader = Reader::open(path)?;
    let mut reading = Reading::default();
    let (mut slice_bytes, mut read_bytes) = (16 * 1024, 0);
    while reading.wants_more() && read_bytes < ROLLOUT_META_BYTES_MAX {
        slice.spend(OPENED_COST);
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
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::prng::Prng;
    use crate::host::disk::tests::Place;
    use crate::words::ids::ConversationId;
    use crate::words::session::Order;

    fn page(
        home: &Path,
        wanted: &Wanted,
        after: Option<&Cursor>,
        length: usize,
    ) -> Result<Page, Failure> {
        Listing::begin(home, wanted.clone(), after.cloned(), length)?.finished()
    }

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
        let query = Wanted::default();
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
        let cursor = first.next.expect("more").to_string();
        assert!(cursor.starts_with("2025-11-05T10-00-00|") || cursor.contains("04T"), "{cursor}");
        assert_eq!(page(place.path(), &query, None, 5).expect("a page").next, None);
    }

    #[test]
    fn filters_pass_over_what_is_not_wanted() {
        let place = Place::new();
        put(&place, Shelf::Dated, "2025-11-03T10-00-00", [1; 10], "/a", "Repair the Motor");
        put(&place, Shelf::Dated, "2025-11-04T10-00-00", [2; 10], "/b", "paint it");
        put(&place, Shelf::Archive, "2025-11-05T10-00-00", [3; 10], "/a", "old");
        let all = Wanted::default();
        let check = |query: &Wanted, expected: &[&str]| {
            let page = page(place.path(), query, None, 9).expect("a page");
            assert_eq!(previews(&page), expected, "{query:?}");
        };
        check(&all, &["paint it", "Repair the Motor"]);
        check(&Wanted { cwd: Some("/a".into()), ..all.clone() }, &["Repair the Motor"]);
        check(&Wanted { search: Some("MOTOR".into()), ..all.clone() }, &["Repair the Motor"]);
        check(&Wanted { search: Some("/b".into()), ..all.clone() }, &["paint it"]);
        check(&Wanted { providers: vec!["other".into()], ..all.clone() }, &[]);
        let default = vec![DEFAULT_PROVIDER.into()];
        check(&Wanted { providers: default, ..all.clone() }, &["paint it", "Repair the Motor"]);
        check(&Wanted { sources: vec!["cli".into()], ..all }, &[]);
        check(&Wanted { archived: true, ..Wanted::default() }, &["old"]);
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
        let query = Wanted::default();
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
        let none = Wanted { search: Some("nowhere".into()), ..query };
        let page = page(place.path(), &none, None, 25).expect("a page");
        assert_eq!(page.opened_count, SHELF_OPENED_MAX);
        assert!(page.is_short && page.next.is_some() && page.sessions.is_empty());
    }
    /// Pages of two, one after another, each made in slices as small as can be.
    fn in_pages(place: &Place, order: Order) -> Vec<String> {
        let (wanted, mut after) = (Wanted { order, ..Wanted::default() }, None);
        let mut seen = Vec::new();
        loop {
            let mut listing =
                Listing::begin(place.path(), wanted.clone(), after, 2).expect("begun");
            loop {
                let mut slice = Slice::default();
                slice.spend(crate::limits::SLICE_COST - 1);
                if listing.step(&mut slice).expect("a step") == Progress::End {
                    break;
                }
            }
            let mut again = Slice::default();
            assert_eq!(listing.step(&mut again).expect("a step"), Progress::End);
            let page = listing.finish();
            seen.extend(previews(&page).into_iter().map(str::to_owned));
            let Some(next) = page.next else { return seen };
            after = Cursor::read(&next.to_string(), order.by);
            assert_eq!(after, Some(next));
        }
    }

    #[test]
    fn pages_are_in_any_order_that_is_wanted() {
        let place = Place::new();
        for number in 0..5 {
            let time = format!("2025-11-0{}T10-00-00", 3 + number);
            let asked = format!("m{number}");
            put(&place, Shelf::Dated, &time, [number; 10], "/w", &asked);
            // The second and the fourth were touched at the same moment.
            let touched = [7, 3, 9, 3, 1][usize::from(number)];
            let mark = Mark { time: time.into(), id: ConversationId::v7(0, [number; 10]) };
            let path = Shelf::Dated.place(place.path(), &mark);
            let file = std::fs::File::options().append(true).open(path).expect("a rollout");
            let at = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + touched);
            file.set_modified(at).expect("touched");
        }
        for (by, direction, expected) in [
            (Stamp::Created, Direction::NewestFirst, ["m4", "m3", "m2", "m1", "m0"]),
            (Stamp::Created, Direction::OldestFirst, ["m0", "m1", "m2", "m3", "m4"]),
            (Stamp::Updated, Direction::NewestFirst, ["m2", "m0", "m3", "m1", "m4"]),
            (Stamp::Updated, Direction::OldestFirst, ["m4", "m1", "m3", "m0", "m2"]),
        ] {
            assert_eq!(in_pages(&place, Order { by, direction }), expected, "{by:?} {direction:?}");
        }
    }

    #[test]
    fn the_page_before_a_session_is_that_behind_it_the_other_way_round() {
        let place = Place::new();
        for number in 0..4 {
            let time = format!("2025-11-0{}T10-00-00", 3 + number);
            put(&place, Shelf::Dated, &time, [number; 10], "/w", &format!("m{number}"));
        }
        let newest_first = Wanted::default();
        let first = page(place.path(), &newest_first, None, 2).expect("a page");
        let second = page(place.path(), &newest_first, first.next.as_ref(), 2).expect("a page");
        assert_eq!(previews(&second), ["m1", "m0"]);
        let order = Order { direction: Direction::OldestFirst, ..Order::default() };
        let back = Cursor::behind(&second.sessions[0], order.by);
        let oldest_first = Wanted { order, ..Wanted::default() };
        let before = page(place.path(), &oldest_first, Some(&back), 2).expect("a page");
        assert_eq!(previews(&before), ["m2", "m3"]);
    }
}
