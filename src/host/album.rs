//! Images kept out of memory: where their URLs stand, and reading them back.
//!
//! ```text
//! staged --recorded--> in a rollout --changed by somebody--> lost
//! ```
//!
//! Staged ones are in a file that has no name and is in no file system; they stay there if nothing
//! is recorded. A URL is read back in pieces, and only bytes that stand for themselves in JSON are
//! handed on. Rollouts are held open: it is no matter where they are moved.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::limits::{
    KEPT_ENDS_BYTES, KEPT_IMAGE_BYTES_MIN, KEPT_READ_BYTES, KEPT_SWEEP_COUNT_MIN,
    ROLLOUT_LINE_BYTES_MAX,
};
use crate::wire::holes::Hole;
use crate::wire::sieve;
use crate::words::ids::ThreadId;
use crate::words::item::{Image, Item, Kept, Part};

/// Every image of this process that is not in memory.
#[derive(Debug)]
pub struct Album {
    /// In ascending order of their ids.
    images: Vec<Held>,
    /// Ids of those that cannot be read back, in ascending order.
    lost: Vec<u32>,
    sources: Vec<Source>,
    staging: Option<Staging>,
    losses_count: u32,
    ids_count: u32,
    sources_count: u32,
    /// How many images there are before those that nobody needs are looked for.
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    kept: Kept,
    place: Place,
    /// What both ends of the URL come to.
    check: u64,
}

/// Where a URL stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Staged { offset_bytes: u64 },
    Recorded { source: SourceId, offset_bytes: u64 },
}

/// Names a rollout that images are read back from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceId(u32);

/// A rollout, open for as long as its thread.
#[derive(Debug)]
struct Source {
    id: SourceId,
    thread: ThreadId,
    /// Device and inode.
    identity: (u64, u64),
    file: File,
}

#[derive(Debug)]
struct Staging {
    file: File,
    end_bytes: u64,
}

impl Default for Album {
    fn default() -> Album {
        Album {
            images: Vec::new(),
            lost: Vec::new(),
            sources: Vec::new(),
            staging: None,
            losses_count: 0,
            ids_count: 0,
            sources_count: 0,
            sweep_at: KEPT_SWEEP_COUNT_MIN,
        }
    }
}

impl Album {
    /// Takes an image out of memory. One that is small or no plain `data:` URL stays there, as do
    /// all if the system has nowhere else to put them.
    pub fn keep(&mut self, image: &mut Image) {
        let Image::Url(url) = image else { return };
        let fits = (KEPT_IMAGE_BYTES_MIN..ROLLOUT_LINE_BYTES_MAX).contains(&url.len());
        if !fits || !url.starts_with("data:") || !is_plain(url.as_bytes()) {
            return;
        }
        let Ok(offset_bytes) = self.stage(url.as_bytes()) else { return };
        let check = check_of(url.as_bytes());
        let kept = self.add(Place::Staged { offset_bytes }, url.len() as u32, check);
        *image = Image::Kept(kept);
    }

    pub fn keep_all(&mut self, parts: &mut [Part]) {
        for part in parts {
            if let Part::Image(image) = part {
                self.keep(image);
            }
        }
    }

    /// Names a rollout of the thread; a duplicate of its descriptor is held until `release`.
    pub fn source(&mut self, thread: ThreadId, file: &File) -> io::Result<SourceId> {
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        let known = |source: &&Source| source.thread == thread && source.identity == identity;
        if let Some(source) = self.sources.iter().find(known) {
            return Ok(source.id);
        }
        let id = SourceId(self.sources_count);
        self.sources_count += 1;
        self.sources.push(Source { id, thread, identity, file: file.try_clone()? });
        Ok(id)
    }

    /// An image that stands in a rollout already.
    pub fn adopt(
        &mut self,
        source: SourceId,
        offset_bytes: u64,
        url_bytes: u32,
    ) -> io::Result<Image> {
        let place = Place::Recorded { source, offset_bytes };
        let check = self.check_at(place, url_bytes)?;
        Ok(Image::Kept(self.add(place, url_bytes, check)))
    }

    /// The image now stands here; where it was before it need not stay.
    pub fn recorded(&mut self, kept: Kept, source: SourceId, offset_bytes: u64) {
        let Some(index) = self.index(kept) else { return };
        let place = Place::Recorded { source, offset_bytes };
        let before = std::mem::replace(&mut self.images[index].place, place);
        self.unstage(before, kept.url_bytes);
    }

    /// Looks whether the images of these items can still be read back.
    pub fn verify(&mut self, items: &[Item]) {
        let messages = items.iter().filter_map(|item| match item {
            Item::Message(message) => Some(&message.parts),
            Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => None,
        });
        for part in messages.flatten() {
            let Part::Image(Image::Kept(kept)) = part else { continue };
            let held = self.index(*kept).map(|index| self.images[index]);
            let is_there = held.is_some_and(|held| {
                let check = self.check_at(held.place, kept.url_bytes);
                check.is_ok_and(|check| check == held.check)
            });
            if !is_there {
                self.lose(*kept);
            }
        }
    }

    /// The image cannot be read back: from now on a text stands for it.
    pub fn lose(&mut self, kept: Kept) {
        if let Err(at) = self.lost.binary_search(&kept.id) {
            self.lost.insert(at, kept.id);
            self.losses_count += 1;
        }
    }

    /// How many were lost since this was last asked.
    pub fn take_losses(&mut self) -> u32 {
        std::mem::take(&mut self.losses_count)
    }

    /// Ids of images that cannot be read back, in ascending order.
    pub fn lost(&self) -> &[u32] {
        &self.lost
    }

    /// Whether it is time to `sweep`.
    pub fn is_crowded(&self) -> bool {
        self.images.len() >= self.sweep_at
    }

    /// Forgets all images but these, which are in ascending order.
    pub fn sweep(&mut self, wanted: &[u32]) {
        let is_wanted = |id: &u32| wanted.binary_search(id).is_ok();
        let (left, gone) = std::mem::take(&mut self.images)
            .into_iter()
            .partition::<Vec<Held>, _>(|held| is_wanted(&held.kept.id));
        self.images = left;
        self.lost.retain(is_wanted);
        for held in gone {
            self.unstage(held.place, held.kept.url_bytes);
        }
        self.sweep_at = KEPT_SWEEP_COUNT_MIN.max(2 * self.images.len());
    }

    /// Closes the thread's rollouts, and forgets what stands in them.
    pub fn release(&mut self, thread: ThreadId) {
        self.sources.retain(|source| source.thread != thread);
        let Album { images, sources, .. } = self;
        images.retain(|held| match held.place {
            Place::Staged { .. } => true,
            Place::Recorded { source, .. } => sources.iter().any(|known| known.id == source),
        });
    }

    /// The whole URL.
    pub fn url(&self, kept: Kept) -> io::Result<String> {
        let mut url = Vec::new();
        while url.len() < kept.url_bytes as usize {
            self.read(kept, url.len() as u32, &mut url)?;
        }
        Ok(String::from_utf8_lossy(&url).into())
    }

    /// Appends a piece of the URL, from this byte on.
    fn read(&self, kept: Kept, from: u32, out: &mut Vec<u8>) -> io::Result<()> {
        let missing = || io::Error::other("the image is not there any more");
        let held = self.images[self.index(kept).ok_or_else(missing)?];
        let length = (kept.url_bytes.saturating_sub(from) as usize).min(KEPT_READ_BYTES);
        let begin = out.len();
        out.resize(begin + length, 0);
        let read = self.read_at(held.place, u64::from(from), &mut out[begin..]);
        let read = read.and_then(|()| match is_plain(&out[begin..]) {
            true => Ok(()),
            false => Err(io::Error::other("the record of an image was changed")),
        });
        if read.is_err() {
            out.truncate(begin);
        }
        read
    }

    fn read_at(&self, place: Place, from: u64, out: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::other("the file of the image is closed");
        match place {
            Place::Staged { offset_bytes } => {
                let staging = self.staging.as_ref().ok_or_else(missing)?;
                staging.file.read_exact_at(out, offset_bytes + from)
            }
            Place::Recorded { source, offset_bytes } => {
                let source = self.sources.iter().find(|known| known.id == source);
                source.ok_or_else(missing)?.file.read_exact_at(out, offset_bytes + from)
            }
        }
    }

    /// What both ends of the URL come to that stands here.
    fn check_at(&self, place: Place, url_bytes: u32) -> io::Result<u64> {
        let mut ends = [0; 2 * KEPT_ENDS_BYTES];
        let (first, last) = ends.split_at_mut(KEPT_ENDS_BYTES);
        self.read_at(place, 0, first)?;
        self.read_at(place, (url_bytes as usize).saturating_sub(last.len()) as u64, last)?;
        Ok(check_of(&ends))
    }

    fn add(&mut self, place: Place, url_bytes: u32, check: u64) -> Kept {
        let kept = Kept { id: self.ids_count, url_bytes };
        self.ids_count += 1;
        self.images.push(Held { kept, place, check });
        kept
    }

    fn index(&self, kept: Kept) -> Option<usize> {
        self.images.binary_search_by_key(&kept.id, |held| held.kept.id).ok()
    }

    /// Writes it where it has no name; gives where.
    fn stage(&mut self, url: &[u8]) -> io::Result<u64> {
        let staging = match &mut self.staging {
            Some(staging) => staging,
            None => self.staging.insert(Staging { file: nameless()?, end_bytes: 0 }),
        };
        let offset_bytes = staging.end_bytes;
        staging.file.write_all_at(url, offset_bytes)?;
        staging.end_bytes += url.len() as u64;
        Ok(offset_bytes)
    }

    /// Gives back the memory of what was staged.
    fn unstage(&mut self, place: Place, url_bytes: u32) {
        let (Place::Staged { offset_bytes }, Some(staging)) = (place, &self.staging) else {
            return;
        };
        let descriptor = staging.file.as_raw_fd();
        let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (offset, length) = (offset_bytes as libc::off_t, libc::off_t::from(url_bytes));
        // SAFETY: the descriptor is open for as long as the file that it was lent by; the call
        // touches no memory of ours. If it fails, the memory stays taken until the end.
        let _ = unsafe { libc::fallocate(descriptor, how, offset, length) };
    }
}

/// An image that could not be read back, and why.
#[derive(Debug)]
pub struct Unread {
    pub kept: Kept,
    pub source: io::Error,
}

/// Encoded bytes on their way out, with what belongs into the places they left open.
#[derive(Default, Debug)]
pub struct Pour {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
    /// Bytes that are out. Invariant: `poured <= bytes.len()`.
    poured: usize,
    /// Holes that are filled. Invariant: `filled <= holes.len()`.
    filled: usize,
    /// Bytes of the next hole that are out.
    within: u32,
}

impl Pour {
    pub fn new(bytes: Vec<u8>, holes: Vec<Hole>) -> Pour {
        Pour { bytes, holes, ..Pour::default() }
    }

    /// The same of what was written behind these bytes, which it is taken from.
    pub fn behind(before: usize, out: &mut Vec<u8>, mut holes: Vec<Hole>) -> Pour {
        holes.iter_mut().for_each(|hole| hole.at -= before);
        Pour::new(out.split_off(before), holes)
    }

    /// Appends what comes next, a bounded piece of it; `false` at the end.
    pub fn pour(&mut self, album: &Album, out: &mut Vec<u8>) -> Result<bool, Unread> {
        let next = self.holes.get(self.filled).copied();
        let until = next.map_or(self.bytes.len(), |hole| hole.at);
        if self.poured < until {
            let end = until.min(self.poured + KEPT_READ_BYTES);
            out.extend_from_slice(&self.bytes[self.poured..end]);
            self.poured = end;
            return Ok(true);
        }
        let Some(hole) = next else { return Ok(false) };
        let begin = out.len();
        let read = album.read(hole.kept, self.within, out);
        read.map_err(|source| Unread { kept: hole.kept, source })?;
        self.within += (out.len() - begin) as u32;
        if self.within >= hole.kept.url_bytes {
            self.within = 0;
            self.filled += 1;
        }
        Ok(true)
    }
}

/// Whether all bytes stand for themselves in a JSON string.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| sieve::is_plain(*byte))
}

/// What both ends of a URL come to (FNV-1a).
fn check_of(url: &[u8]) -> u64 {
    let ends = url.iter().take(KEPT_ENDS_BYTES).chain(&url[url.len() - KEPT_ENDS_BYTES..]);
    ends.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A file in memory that is not ours.
fn nameless() -> io::Result<File> {
    // SAFETY: the name is a C string that lives through the call.
    let descriptor = unsafe { libc::memfd_create(c"images".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

#[cfg(test)]
mod tests;
