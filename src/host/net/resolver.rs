//! Names to addresses, without blocking the loop.
//!
//! `getaddrinfo` blocks for seconds when a name server is dead. So it runs in ourselves under
//! another name, as a short-lived child whose answer comes over a pipe and which is killed when its
//! time is over. Literal addresses and `localhost` need no child; answers are kept for a minute.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::Interest;

use super::failure::os_words;
use crate::host::clock;
use crate::host::poller::{Key, Kind, Poller};
use crate::limits::{
    END_ALL_MS, QUOTED_BYTES_MAX, RESOLVE_MS_MAX, RESOLVED_ADDRESSES_MAX, RESOLVED_KEPT_MS,
    RESOLVED_NAMES_MAX, RESOLVER_ANSWER_BYTES_MAX, RESOLVER_REAP_MS, RESOLVERS_MAX,
};

/// The `argv[0]` under which our executable is a resolver; its one argument is the name.
pub const RESOLVER_NAME: &str = "windlass-resolve";

/// Starts a resolver for a name: the end of the pipe that its answer comes from, and its process
/// id.
///
/// The child gets `RESOLVER_NAME` as `argv[0]`, an empty environment, and the pipe as its stdout.
pub type SpawnResolver = fn(&str) -> io::Result<(OwnedFd, i32)>;

/// What begins a line of the child's that is an error and no address.
const ERROR_MARK: char = '!';

/// Lookups in progress, and answers that still hold.
#[derive(Debug)]
pub(super) struct Resolver {
    spawn: SpawnResolver,
    lookups: Vec<Option<Lookup>>,
    known: Vec<Known>,
    /// Children that were ended but not yet reaped.
    dying: Vec<i32>,
    generation: u32,
}

/// What asking for a name gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Known(Vec<IpAddr>),
    /// A lookup goes on, or all are busy: ask again when one is over.
    Pending,
    Failed(String),
}

#[derive(Debug)]
struct Lookup {
    host: String,
    key: Key,
    pipe: File,
    pid: i32,
    answer: Vec<u8>,
    until_ms: u64,
}

#[derive(Debug)]
struct Known {
    host: String,
    /// The addresses, or why there are none.
    answer: Result<Vec<IpAddr>, String>,
    until_ms: u64,
}

impl Resolver {
    pub(super) fn new(spawn: SpawnResolver) -> Resolver {
        Resolver { spawn, lookups: Vec::new(), known: Vec::new(), dying: Vec::new(), generation: 0 }
    }

    /// The addresses of a host, if they are known by now; else sees to it that they will be.
    pub(super) fn ask(&mut self, poller: &Poller, now_ms: u64, host: &str) -> Answer {
        if let Some(addresses) = without_lookup(host) {
            return Answer::Known(addresses);
        }
        self.known.retain(|known| now_ms < known.until_ms);
        if let Some(index) = self.known.iter().position(|known| known.host == host) {
            return match &self.known[index].answer {
                Ok(addresses) => Answer::Known(addresses.clone()),
                Err(why) => Answer::Failed(why.clone()),
            };
        }
        if self.lookups.iter().flatten().any(|lookup| lookup.host == host) {
            return Answer::Pending;
        }
        match self.begin(poller, now_ms, host) {
            Ok(()) => Answer::Pending,
            Err(error) => Answer::Failed(format!("start the lookup: {}", os_words(&error))),
        }
    }

    /// Reads what a child answered. True if its lookup is over, and whoever waits should ask again.
    pub(super) fn on_ready(&mut self, now_ms: u64, key: Key) -> bool {
        let slot = usize::from(key.slot());
        let Some(Some(lookup)) = self
            .lookups
            .get_mut(slot)
            .filter(|lookup| lookup.as_ref().is_some_and(|lookup| lookup.key == key))
        else {
            return false;
        };
        let mut piece = [0; 1024];
        let answer = loop {
            match lookup.pipe.read(&mut piece) {
                Ok(0) => break parse(&lookup.answer),
                Ok(_) if lookup.answer.len() > RESOLVER_ANSWER_BYTES_MAX => {
                    break Err("the answer is too long".to_owned());
                }
                Ok(count) => lookup.answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(os_words(&error)),
            }
        };
        self.end(now_ms, slot, answer);
        true
    }

    /// When something is to be done here if nothing happens before.
    pub(super) fn next_deadline(&self, now_ms: u64) -> Option<u64> {
        let lookups = self.lookups.iter().flatten().map(|lookup| lookup.until_ms);
        let reaping = (!self.dying.is_empty()).then_some(now_ms + RESOLVER_REAP_MS);
        lookups.chain(reaping).min()
    }

    /// Ends lookups whose time is over. True if there were any.
    pub(super) fn on_deadline(&mut self, now_ms: u64) -> bool {
        self.reap();
        let mut ended = false;
        for slot in 0..self.lookups.len() {
            if self.lookups[slot].as_ref().is_some_and(|lookup| now_ms >= lookup.until_ms) {
                let why = format!("no answer within {} s", RESOLVE_MS_MAX / 1000);
                self.end(now_ms, slot, Err(why));
                ended = true;
            }
        }
        ended
    }

    fn begin(&mut self, poller: &Poller, now_ms: u64, host: &str) -> io::Result<()> {
        let slot = match self.lookups.iter().position(Option::is_none) {
            Some(slot) => slot,
            None if self.lookups.len() < RESOLVERS_MAX => {
                self.lookups.push(None);
                self.lookups.len() - 1
            }
            None => return Ok(()),
        };
        let (pipe, pid) = (self.spawn)(host)?;
        self.generation = self.generation.wrapping_add(1);
        // Fits: `RESOLVERS_MAX` is far below.
        let key = Key::new(Kind::Resolver, slot as u16, self.generation);
        let registered = set_nonblocking(&pipe)
            .and_then(|()| poller.register_fd(pipe.as_fd(), key, Interest::READABLE));
        if let Err(error) = registered {
            self.finish_off(pid);
            return Err(error);
        }
        self.lookups[slot] = Some(Lookup {
            host: host.to_owned(),
            key,
            pipe: File::from(pipe),
            pid,
            answer: Vec::new(),
            until_ms: now_ms + RESOLVE_MS_MAX,
        });
        Ok(())
    }

    fn end(&mut self, now_ms: u64, slot: usize, answer: Result<Vec<IpAddr>, String>) {
        let Some(lookup) = self.lookups[slot].take() else { return };
        self.finish_off(lookup.pid);
        if self.known.len() >= RESOLVED_NAMES_MAX {
            self.known.remove(0);
        }
        // A failure is kept only for those who wait for it now.
        let kept_ms = if answer.is_ok() { RESOLVED_KEPT_MS } else { 1 };
        self.known.push(Known { host: lookup.host, answer, until_ms: now_ms + kept_ms });
    }

    /// Kills a child and reaps it, now or later.
    fn finish_off(&mut self, pid: i32) {
        // SAFETY: plain system call on integers; the child is ours and not yet reaped, so the id is
        // its.
        let _ = unsafe { libc::kill(pid, libc::SIGKILL) };
        // A failure means that it is gone already, which is what we want.
        self.dying.push(pid);
        self.reap();
    }

    fn reap(&mut self) {
        self.dying.retain(|&pid| {
            // SAFETY: plain system call on integers; a null status is allowed and not written to.
            let reaped = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
            // Zero: not dead yet. An error: somebody else reaped it.
            reaped == 0
        });
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for lookup in std::mem::take(&mut self.lookups).into_iter().flatten() {
            self.finish_off(lookup.pid);
        }
        // All of them are killed; waiting sees to it that none outlives us.
        let began_ms = clock::mono_ms();
        while !self.dying.is_empty() && clock::mono_ms() - began_ms < END_ALL_MS {
            clock::pause_ms(1);
            self.reap();
        }
    }
}

/// What a resolver child does: looks up its argument, prints addresses one per line, exits.
pub fn resolver_main() -> ! {
    die_with_parent();
    let host = std::env::args().nth(1).unwrap_or_default();
    let text = answer_text(&host);
    // Without a reader there is nobody to tell.
    let written = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    std::process::exit(i32::from(written.is_err()));
}

fn answer_text(host: &str) -> String {
    match (host, 0).to_socket_addrs() {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address| address.ip()) {
                if !addresses.contains(&address) && addresses.len() < RESOLVED_ADDRESSES_MAX {
                    addresses.push(address);
                }
            }
            addresses.iter().map(|address| format!("{address}\n")).collect()
        }
        Err(error) => format!("{ERROR_MARK}{}\n", os_words(&error)),
    }
}

fn die_with_parent() {
    // SAFETY: plain system call on integers, without memory of ours.
    let _ = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // Should the parent have died before that, the lookup still ends.
    let seconds = u32::try_from(2 * RESOLVE_MS_MAX / 1000).unwrap_or(u32::MAX);
    // SAFETY: plain system call on an integer; the default action of SIGALRM ends us.
    let _ = unsafe { libc::alarm(seconds) };
}

/// Addresses of hosts that need no lookup.
fn without_lookup(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![address]);
    }
    // RFC 6761. IPv4 first: most local model servers listen there alone.
    let is_local = host == "localhost" || host.ends_with(".localhost");
    is_local.then(|| vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)])
}

fn parse(answer: &[u8]) -> Result<Vec<IpAddr>, String> {
    let text = String::from_utf8_lossy(answer);
    if let Some(why) = text.strip_prefix(ERROR_MARK) {
        let line = why.lines().next().unwrap_or_default();
        return Err(line.chars().take(QUOTED_BYTES_MAX).filter(|c| !c.is_control()).collect());
    }
    let mut addresses = Vec::new();
    for line in text.lines().take(RESOLVED_ADDRESSES_MAX) {
        match line.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => return Err("the lookup answered something that is no address".to_owned()),
        }
    }
    if addresses.is_empty() {
        return Err("the lookup gave no address".to_owned());
    }
    Ok(addresses)
}

fn set_nonblocking(pipe: &OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is open, as `pipe` owns it; the call takes integers only.
    let flags = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above. The end we read is ours alone, so the flag disturbs nobody.
    let set = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn spawn(script: &str) -> io::Result<(OwnedFd, i32)> {
        let mut child =
            Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn()?;
        Ok((child.stdout.take().unwrap().into(), i32::try_from(child.id()).unwrap()))
    }

    /// Runs lookups until one is over.
    fn finish(poller: &mut Poller, resolver: &mut Resolver, now_ms: u64) {
        loop {
            poller.sleep(Some(Duration::from_secs(5))).unwrap();
            // Nothing is ready if a signal ended the sleep.
            if let Some((key, _)) = poller.pop_ready()
                && resolver.on_ready(now_ms, key)
            {
                return;
            }
        }
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn check(answer: SpawnResolver, expected: Answer) {
        let mut poller = Poller::new().unwrap();
        let mut resolver = Resolver::new(answer);
        assert_eq!(resolver.ask(&poller, 0, "name"), Answer::Pending);
        assert_eq!(resolver.ask(&poller, 0, "name"), Answer::Pending);
        finish(&mut poller, &mut resolver, 0);
        assert_eq!(resolver.ask(&poller, 0, "name"), expected);
    }

    #[test]
    fn literals_and_localhost_need_no_child() {
        let mut resolver = Resolver::new(|_| panic!("no child"));
        let poller = Poller::new().unwrap();
        for (host, addresses) in [
            ("1.2.3.4", ips(&["1.2.3.4"])),
            ("::1", ips(&["::1"])),
            ("localhost", ips(&["127.0.0.1", "::1"])),
            ("a.localhost", ips(&["127.0.0.1", "::1"])),
        ] {
            assert_eq!(resolver.ask(&poller, 0, host), Answer::Known(addresses), "{host}");
        }
    }

    #[test]
    fn a_child_answers_with_addresses_or_words() {
        check(|_| spawn("echo 10.0.0.1; echo ::2"), Answer::Known(ips(&["10.0.0.1", "::2"])));
        check(|_| spawn("echo '!no such name'"), Answer::Failed("no such name".into()));
        check(|_| spawn("exit 1"), Answer::Failed("the lookup gave no address".into()));
        check(
            |_| spawn("echo nonsense"),
            Answer::Failed("the lookup answered something that is no address".into()),
        );
        check(
            |_| spawn("while :; do echo 10.0.0.1; done"),
            Answer::Failed("the answer is too long".into()),
        );
    }

    #[test]
    fn a_child_that_cannot_start_is_a_failure() {
        let mut resolver = Resolver::new(|_| Err(io::Error::from_raw_os_error(libc::EACCES)));
        let poller = Poller::new().unwrap();
        assert_eq!(
            resolver.ask(&poller, 0, "name"),
            Answer::Failed("start the lookup: permission denied".into())
        );
    }

    #[test]
    fn answers_hold_for_a_while_and_failures_do_not() {
        let mut poller = Poller::new().unwrap();
        let mut resolver = Resolver::new(|host| spawn(&format!("echo {host}")));
        assert_eq!(resolver.ask(&poller, 5, "!x"), Answer::Pending);
        finish(&mut poller, &mut resolver, 5);
        assert_eq!(resolver.ask(&poller, 5, "!x"), Answer::Failed("x".into()));
        assert_eq!(resolver.ask(&poller, 6, "!x"), Answer::Pending);

        let mut poller = Poller::new().unwrap();
        let mut resolver = Resolver::new(|_| spawn("echo 10.0.0.1"));
        assert_eq!(resolver.ask(&poller, 5, "a"), Answer::Pending);
        finish(&mut poller, &mut resolver, 5);
        let known = || Answer::Known(ips(&["10.0.0.1"]));
        assert_eq!(resolver.ask(&poller, 4 + RESOLVED_KEPT_MS, "a"), known());
        assert_eq!(resolver.ask(&poller, 5 + RESOLVED_KEPT_MS, "a"), Answer::Pending);
    }

    #[test]
    fn a_silent_child_is_killed_at_its_deadline() {
        let poller = Poller::new().unwrap();
        let mut resolver = Resolver::new(|_| spawn("exec sleep 1000"));
        assert_eq!(resolver.ask(&poller, 7, "a"), Answer::Pending);
        assert_eq!(resolver.next_deadline(7), Some(7 + RESOLVE_MS_MAX));
        assert!(!resolver.on_deadline(6 + RESOLVE_MS_MAX));
        assert!(resolver.on_deadline(7 + RESOLVE_MS_MAX));
        let why = "no answer within 10 s".to_owned();
        assert_eq!(resolver.ask(&poller, 7 + RESOLVE_MS_MAX, "a"), Answer::Failed(why));
        while resolver.next_deadline(0).is_some() {
            resolver.on_deadline(0);
        }
        assert!(resolver.dying.is_empty());
    }

    #[test]
    fn lookups_and_kept_names_are_bounded() {
        let mut poller = Poller::new().unwrap();
        let mut resolver = Resolver::new(|_| spawn("echo 10.0.0.1"));
        for index in 0..RESOLVERS_MAX + 3 {
            assert_eq!(resolver.ask(&poller, 0, &format!("n{index}")), Answer::Pending);
        }
        assert_eq!(resolver.lookups.iter().flatten().count(), RESOLVERS_MAX);
        finish(&mut poller, &mut resolver, 0);
        assert_eq!(resolver.ask(&poller, 0, "late"), Answer::Pending);
        assert_eq!(resolver.lookups.iter().flatten().count(), RESOLVERS_MAX);

        let mut resolver = Resolver::new(|_| spawn("echo 10.0.0.1"));
        for index in 0..RESOLVED_NAMES_MAX + 1 {
            resolver.lookups.push(Some(Lookup {
                host: format!("n{index}"),
                key: Key::new(Kind::Resolver, 0, 0),
                pipe: File::open("/dev/null").unwrap(),
                pid: spawn("exit").unwrap().1,
                answer: Vec::new(),
                until_ms: 0,
            }));
            let slot = resolver.lookups.len() - 1;
            resolver.end(0, slot, Ok(ips(&["::1"])));
        }
        assert_eq!(resolver.known.len(), RESOLVED_NAMES_MAX);
    }

    #[test]
    fn the_child_side_prints_what_the_parent_reads() {
        assert_eq!(parse(answer_text("127.0.0.9").as_bytes()), Ok(ips(&["127.0.0.9"])));
        let failed = answer_text("no such name because of spaces");
        assert!(parse(failed.as_bytes()).is_err());
    }
}
