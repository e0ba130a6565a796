//! `sessions`: what was recorded, listed, put away and deleted.

use std::env;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use crate::config::args::{Invocation, Listed, Resumed, Sessions};
use crate::fronts::{sessions, visible};
use crate::host::disk::config::PASSWD;
use crate::host::disk::home::Home;
use crate::host::disk::listing::Listing;
use crate::host::disk::shelf::{self, Shelf};
use crate::host::disk::shelving::Taken;
use crate::host::exec::say;
use crate::host::{out, status};
use crate::limits::{ANSWER_BYTES_MAX, LISTED_OPENED_MAX, PAGE_SESSIONS_MAX};
use crate::words::session::{Cursor, Order, Wanted};

const LISTED_COUNT: u64 = 25;
/// A session may be on either.
const BOTH: &[Shelf] = &[Shelf::Dated, Shelf::Archive];

/// Does it and gives the exit code.
pub fn run(invocation: &Invocation, asked: &Sessions) -> u8 {
    let env = |name: &str| env::var(name).ok();
    let home = Home::find(&env, Path::new(PASSWD)).map_err(|error| error.to_string());
    let home = home.and_then(|home| {
        home.path.ok_or_else(|| "there is no home directory that could hold sessions".to_owned())
    });
    let all = invocation.all;
    let done = home.and_then(|home| match asked {
        Sessions::List => list(&home, &invocation.listed, invocation.json),
        Sessions::Archive(which) => {
            let taken = take(&home, &[Shelf::Dated], which, all)?;
            moved(taken.put(&home, Shelf::Archive).map_err(|failure| failure.to_string())?)
        }
        Sessions::Unarchive(which) => {
            let taken = take(&home, &[Shelf::Archive], which, all)?;
            moved(taken.put(&home, Shelf::Dated).map_err(|failure| failure.to_string())?)
        }
        Sessions::Delete(which) => {
            let taken = take(&home, BOTH, which, all)?;
            let name = taken.path().display().to_string();
            if !invocation.yes && !agreed(&name)? {
                return Err("nothing was deleted".to_owned());
            }
            taken.delete().map_err(|failure| failure.to_string())?;
            say(&visible::line(&format!("deleted {name}")));
            Ok(0)
        }
    });
    done.unwrap_or_else(|message| {
        say(&visible::line(&format!("error: {message}")));
        1
    })
}

fn list(home: &Path, listed: &Listed, json: bool) -> Result<u8, String> {
    let wanted = Wanted {
        archived: listed.archived,
        cwd: listed.cwd.as_deref().map(directory).transpose()?,
        providers: listed.provider.iter().cloned().collect(),
        search: listed.search.clone(),
        order: Order { by: listed.sort, ..Order::default() },
        ..Wanted::default()
    };
    let limit = listed.limit.unwrap_or(LISTED_COUNT);
    let mut next = match &listed.cursor {
        Some(cursor) => Some(Cursor::read(cursor, wanted.order.by).ok_or_else(|| {
            "--cursor takes what an earlier list in the same order gave, such as \
             `2025-11-07T10-00-00|01990000-0000-7000-8000-0000000000aa`"
                .to_owned()
        })?),
        None => None,
    };
    let (mut left, mut opened_count) = (limit, 0);
    let mut shown = Vec::new();
    loop {
        let length = left.min(PAGE_SESSIONS_MAX as u64) as usize;
        let page = Listing::begin(home, wanted.clone(), next, length).and_then(Listing::finished);
        let page = page.map_err(|failure| failure.to_string())?;
        left -= page.sessions.len() as u64;
        opened_count += page.opened_count;
        shown.extend(page.sessions);
        next = page.next;
        if left == 0 || next.is_none() || opened_count >= LISTED_OPENED_MAX {
            break;
        }
    }
    let cursor = next.map(|cursor| cursor.to_string());
    if json {
        return Ok(out::print(&sessions::json(&shown, cursor.as_deref())));
    }
    let code = out::print(&match io::stdout().is_terminal() {
        true => sessions::table(&shown, status::columns_of(libc::STDOUT_FILENO)),
        false => sessions::lines(&shown),
    });
    match cursor {
        Some(cursor) if left > 0 => {
            say(&format!("looked at {opened_count} sessions; to go on, add --cursor '{cursor}'"));
        }
        Some(cursor) => say(&format!("there are more; to go on, add --cursor '{cursor}'")),
        None if shown.is_empty() => say("no sessions"),
        None => {}
    }
    Ok(code)
}

/// Finds a session on one of these shelves and sees to it that nobody else has it open.
fn take(home: &Path, shelves: &[Shelf], which: &Resumed, all: bool) -> Result<Taken, String> {
    let path = match which {
        Resumed::Named(name) => match name.parse() {
            Ok(id) => {
                let mut found = None;
                for shelf in shelves {
                    let here = || shelf::find(home, *shelf, id);
                    found = match found {
                        None => here().map_err(|failure| failure.to_string())?,
                        found => found,
                    };
                }
                found.ok_or_else(|| format!("no session here has the id {id}"))?
            }
            Err(_) if name.contains('/') || name.ends_with(".jsonl") => PathBuf::from(&**name),
            Err(_) => return Err(format!("{name:?} is neither the id nor the path of a session")),
        },
        Resumed::Last => {
            let cwd = if all { None } else { Some(directory(Path::new("."))?) };
            let shelf = shelves.first().copied().unwrap_or(Shelf::Dated);
            let newest = shelf::newest(home, shelf, cwd.as_deref());
            let newest = newest.map_err(|failure| failure.to_string())?;
            newest.ok_or("there is no such session; --all looks beyond this directory")?
        }
    };
    Taken::take(home, shelves, &path).map_err(|failure| failure.to_string())
}

fn moved(path: PathBuf) -> Result<u8, String> {
    say(&visible::line(&format!("moved to {}", path.display())));
    Ok(0)
}

/// A directory as sessions name it.
fn directory(path: &Path) -> Result<Box<str>, String> {
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_string_lossy().into())
}

/// Asks a person, if there is one.
fn agreed(name: &str) -> Result<bool, String> {
    let (mut stderr, stdin) = (io::stderr(), io::stdin());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Err(format!("to delete {name} without being asked, add --yes"));
    }
    let failed = |error: io::Error| format!("ask on the terminal: {error}");
    write!(stderr, "delete {} for good? [y/N] ", visible::line(name)).map_err(failed)?;
    let mut answer = String::new();
    let mut lines = stdin.lock().take(ANSWER_BYTES_MAX);
    lines.read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
