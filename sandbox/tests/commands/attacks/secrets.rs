//! What nobody may read, by ways that no shell has.

use std::ffi::CString;
use std::fs;

use super::calls::{call, told};
use super::{Attack, part_of};

pub(crate) const ATTACKS: &[Attack] = &[
    part_of("a secret opened for nothing", opened_for_nothing),
    part_of("a secret linked by a descriptor", linked_by_descriptor),
    part_of("a secret linked through the process files", linked_through_proc),
    part_of("a secret exchanged", exchanged),
];

/// Opened for nothing but naming it, which asks for no right to read.
fn named() -> i64 {
    let path = CString::new(told("K")).unwrap();
    let flags = i64::from(libc::O_PATH);
    call(libc::SYS_openat, [at_cwd(), path.as_ptr() as i64, flags, 0, 0])
}

fn at_cwd() -> i64 {
    i64::from(libc::AT_FDCWD)
}

fn mine() -> CString {
    CString::new(format!("{}/mine", told("W"))).unwrap()
}

fn tell(path: &str) {
    println!("{}", fs::read_to_string(path).unwrap_or_default());
}

fn opened_for_nothing() {
    tell(&format!("/proc/self/fd/{}", named()));
}

fn linked_by_descriptor() {
    let (empty, mine) = (c"".as_ptr() as i64, mine());
    let flags = i64::from(libc::AT_EMPTY_PATH);
    call(libc::SYS_linkat, [named(), empty, at_cwd(), mine.as_ptr() as i64, flags]);
    tell(mine.to_str().unwrap());
}

fn linked_through_proc() {
    let from = CString::new(format!("/proc/self/fd/{}", named())).unwrap();
    let (from, mine) = (from.as_ptr() as i64, mine());
    let flags = i64::from(libc::AT_SYMLINK_FOLLOW);
    call(libc::SYS_linkat, [at_cwd(), from, at_cwd(), mine.as_ptr() as i64, flags]);
    tell(mine.to_str().unwrap());
}

fn exchanged() {
    let (secret, mine) = (CString::new(told("K")).unwrap(), mine());
    fs::write(mine.to_str().unwrap(), "").unwrap();
    let exchange = i64::from(libc::RENAME_EXCHANGE);
    let (from, to) = (secret.as_ptr() as i64, mine.as_ptr() as i64);
    call(libc::SYS_renameat2, [at_cwd(), from, at_cwd(), to, exchange]);
    tell(mine.to_str().unwrap());
}
