//! What encoded bytes leave open: places where the URLs of kept images belong.
//!
//! An encoder writes everything around such a URL and notes where it belongs and how long it is;
//! whoever sends or records the bytes fills it in. Of an image that is lost a text is written that
//! says so, and nothing is left open.

use crate::wire::json;
use crate::words::item::{Image, Kept};

/// Stands where an image was that cannot be read back.
pub const LOST_IMAGE: &str =
    "[an image was here, but the session's record of it was changed and cannot be read any more]";

/// A place between two quotes where a URL belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hole {
    /// How many of the encoded bytes come before it.
    pub at: usize,
    pub kept: Kept,
}

/// The places that were left open so far, in order.
#[derive(Default, Debug)]
pub struct Holes<'a> {
    /// Ids of images that cannot be read back, in ascending order.
    lost: &'a [u32],
    open: Vec<Hole>,
}

impl<'a> Holes<'a> {
    pub fn new(lost: &'a [u32]) -> Holes<'a> {
        Holes { lost, open: Vec::new() }
    }

    /// Whether a text must stand for the image.
    pub fn is_lost(&self, image: &Image) -> bool {
        match image {
            Image::Url(_) => false,
            Image::Kept(kept) => self.lost.binary_search(&kept.id).is_ok(),
        }
    }

    /// Writes an image's URL as a JSON string, or the quotes around it.
    pub fn write(&mut self, image: &Image, out: &mut Vec<u8>) {
        match image {
            Image::Url(url) => json::string(url, out),
            Image::Kept(kept) => {
                out.push(b'"');
                self.open.push(Hole { at: out.len(), kept: *kept });
                out.push(b'"');
            }
        }
    }

    /// Bytes that belong into the open places.
    pub fn bytes(&self) -> u64 {
        self.open.iter().map(|hole| u64::from(hole.kept.url_bytes)).sum()
    }

    pub fn open(&self) -> &[Hole] {
        &self.open
    }

    pub fn into_open(self) -> Vec<Hole> {
        self.open
    }
}
