use std::fs;

use super::*;
use crate::host::disk::tests::Place as Directory;
use crate::words::item::{Message, Role};

const ONE: ThreadId = ThreadId { slot: 0, generation: 0 };
const OTHER: ThreadId = ThreadId { slot: 1, generation: 0 };

impl Album {
    pub(crate) fn count(&self) -> usize {
        self.images.len()
    }
}

fn url(letter: char) -> String {
    format!("data:image/png;base64,{}", letter.to_string().repeat(3 * KEPT_READ_BYTES))
}

fn kept(album: &mut Album, url: &str) -> Kept {
    let mut image = url.into();
    album.keep(&mut image);
    let Image::Kept(kept) = image else { panic!("it stays in memory") };
    kept
}

fn shown(kept: Kept) -> [Item; 1] {
    let parts = vec![Part::Image(Image::Kept(kept))];
    [Item::Message(Message { role: Role::User, parts, id: None })]
}

#[test]
fn images_are_read_back() {
    let mut album = Album::default();
    let urls = ['A', 'B', 'C'].map(url);
    let all = urls.each_ref().map(|url| kept(&mut album, url));
    for (kept, url) in all.iter().zip(&urls) {
        assert!(album.url(*kept).unwrap() == *url);
    }
    album.sweep(&[all[1].id]);
    assert_eq!(album.count(), 1);
    assert!(album.url(all[0]).is_err() && album.url(all[1]).unwrap() == urls[1]);
}

#[test]
fn what_is_small_or_escaped_stays_in_memory() {
    let mut album = Album::default();
    for url in [
        "data:,".to_owned(),
        format!("https://{}", "a".repeat(KEPT_IMAGE_BYTES_MIN)),
        format!("{}\"", url('A')),
        format!("{}\n", url('A')),
        format!("{}ä", url('A')),
    ] {
        let mut image = Image::Url(url.into());
        let before = image.clone();
        album.keep(&mut image);
        assert!(image == before);
    }
    assert_eq!(album.count(), 0);
}

#[test]
fn what_nobody_wants_is_looked_for_when_there_is_much() {
    let mut album = Album::default();
    while !album.is_crowded() {
        kept(&mut album, &url('A'));
    }
    assert_eq!(album.count(), KEPT_SWEEP_COUNT_MIN);
    album.sweep(&[]);
    assert!(!album.is_crowded() && album.count() == 0);
}

#[test]
fn a_changed_rollout_loses_its_images_and_nothing_else() {
    let directory = Directory::new();
    let url = url('A');
    let check = |change: &dyn Fn(&std::path::Path), is_lost: bool| {
        let path = directory.file("r.jsonl", format!("\"{url}\"\n"));
        let file = File::open(&path).unwrap();
        let mut album = Album::default();
        let source = album.source(ONE, &file).unwrap();
        let Ok(Image::Kept(kept)) = album.adopt(source, 1, url.len() as u32) else { panic!() };
        drop(file);
        change(&path);
        album.verify(&shown(kept));
        album.verify(&shown(kept));
        assert_eq!(album.lost(), if is_lost { vec![kept.id] } else { vec![] });
        assert_eq!((album.take_losses(), album.take_losses()), (u32::from(is_lost), 0));
        assert!(is_lost || album.url(kept).unwrap() == url);
    };
    check(&|_| {}, false);
    check(&|path| fs::write(path, "").unwrap(), true);
    check(&|path| fs::write(path, format!("\n\"{url}\"\n")).unwrap(), true);
    check(&|path| fs::write(path, "x".repeat(url.len() + 1)).unwrap(), true);
    // Who moves, deletes or replaces the file leaves ours as it was.
    check(&|path| fs::rename(path, path.with_extension("moved")).unwrap(), false);
    check(&|path| fs::remove_file(path).unwrap(), false);
}

#[test]
fn no_byte_is_handed_on_that_json_escapes() {
    let directory = Directory::new();
    let url = url('A');
    let path = directory.file("r.jsonl", &url);
    let mut album = Album::default();
    let source = album.source(ONE, &File::open(&path).unwrap()).unwrap();
    let Ok(Image::Kept(kept)) = album.adopt(source, 0, url.len() as u32) else { panic!() };
    let mut changed = url.clone().into_bytes();
    changed[url.len() / 2] = b'"';
    fs::write(&path, changed).unwrap();
    let hole = Hole { at: 2, kept };
    let mut pour = Pour::new(b"a\"\"b".to_vec(), vec![hole]);
    let mut out = Vec::new();
    let unread = loop {
        match pour.pour(&album, &mut out) {
            Ok(more) => assert!(more, "it is not told whole"),
            Err(unread) => break unread,
        }
    };
    assert_eq!(unread.kept, kept);
    assert!(!out[2..].contains(&b'"') && out.len() > 2);
}

#[test]
fn a_thread_that_is_released_closes_its_rollouts() {
    let directory = Directory::new();
    let file = File::open(directory.file("r.jsonl", url('A'))).unwrap();
    let mut album = Album::default();
    let source = album.source(ONE, &file).unwrap();
    assert_eq!(album.source(ONE, &file).unwrap(), source);
    assert_ne!(album.source(OTHER, &file).unwrap(), source);
    album.adopt(source, 0, url('A').len() as u32).unwrap();
    let staged = kept(&mut album, &url('B'));
    album.release(ONE);
    assert_eq!((album.count(), album.sources.len()), (1, 1));
    assert!(album.url(staged).unwrap() == url('B'));
}

#[test]
fn holes_are_filled_in_bounded_pieces() {
    let mut album = Album::default();
    let urls = ['A', 'B'].map(url);
    let [first, second] = urls.each_ref().map(|url| kept(&mut album, url));
    let long = "z".repeat(2 * KEPT_READ_BYTES);
    let mut out = b"before".to_vec();
    out.extend_from_slice(format!("ab{long}").as_bytes());
    let holes = [(7, first), (7, second), (8, first)].map(|(at, kept)| Hole { at, kept });
    let mut pour = Pour::behind(6, &mut out, holes.to_vec());
    assert_eq!(out, b"before");
    let mut whole = Vec::new();
    loop {
        let mut piece = Vec::new();
        let more = pour.pour(&album, &mut piece).unwrap();
        assert!(piece.len() <= KEPT_READ_BYTES && more != piece.is_empty());
        whole.extend(piece);
        if !more {
            break;
        }
    }
    let expected = format!("a{}{}b{}{long}", urls[0], urls[1], urls[0]);
    assert!(whole == expected.as_bytes());
    let mut out = Vec::new();
    assert!(!Pour::default().pour(&album, &mut out).unwrap() && out.is_empty());
}
