//! What the process finds around it, and what it arranges there for its children.

use std::ffi::{CStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::config::environment;
use crate::config::settings::ShellEnvironment;
use crate::host::net::RESOLVER_NAME;
use crate::tools::patch;

/// Opens `/dev/null` at every standard descriptor that is closed, so that nothing else ends up
/// there.
///
/// Must be the first thing the program does that opens anything.
pub fn open_standard_descriptors() {
    // Without `/dev/null` there is nothing to put there, and later errors will say so.
    while let Ok(file) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        if file.as_raw_fd() > 2 {
            return;
        }
        // It stays open for as long as the program runs.
        let _ = file.into_raw_fd();
    }
}

/// Our own executable, for children of our own.
pub fn own_executable() -> PathBuf {
    let own = Path::new("/proc/self/exe");
    if own.exists() {
        return own.to_path_buf();
    }
    PathBuf::from(std::env::args_os().next().unwrap_or_default())
}

/// Starts the child that looks up a name, and gives what it will print into.
pub fn spawn_resolver(host: &str) -> io::Result<(OwnedFd, i32)> {
    let (answer, answer_end) = io::pipe()?;
    let nothing = File::open("/dev/null")?;
    let argv = [OsString::from(RESOLVER_NAME), OsString::from(host)];
    let pid = windlass_sandbox::spawn_bare(
        &own_executable(),
        &argv,
        &[],
        nothing.as_fd(),
        answer_end.as_fd(),
        nothing.as_fd(),
    )?;
    Ok((OwnedFd::from(answer), pid))
}

/// Raises the soft limit of open files to the hard one; gives the soft limit from before, for
/// children.
pub fn raise_open_files() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the call to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    let before = limit.rlim_cur;
    if before == limit.rlim_max {
        return None;
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid value that outlives the call.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    raised.then_some(before)
}

/// A directory with our executable under the names by which scripts apply patches.
///
/// It lies in the home, which commands cannot write. Where there is no home yet, or none that can
/// be written, scripts do without.
pub fn command_links(home: &Path, exe: &Path) -> Option<PathBuf> {
    let target = exe.canonicalize().ok()?;
    let directory = home.join("bin");
    for name in patch::NAMES {
        let link = directory.join(name);
        if fs::read_link(&link).is_ok_and(|known| known == target) {
            continue;
        }
        fs::create_dir_all(&directory).ok()?;
        let fresh = directory.join(format!(".{name}.{}", std::process::id()));
        symlink(&target, &fresh).ok()?;
        fs::rename(&fresh, &link).ok()?;
    }
    Some(directory)
}

/// The environment of commands, with the directory of links first in `PATH`.
///
/// The login shells of many systems set `PATH` anew; for bash, the links are functions as well,
/// which it inherits through variables of its own (bash(1), FUNCTIONS).
pub fn of_commands(
    policy: &ShellEnvironment,
    links: Option<&Path>,
    credential: Option<&str>,
) -> Vec<(OsString, OsString)> {
    let ours = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut kept = environment::of_commands(policy, ours.collect(), credential);
    if let Some(links) = links.and_then(Path::to_str) {
        let path = kept.iter_mut().find(|(name, _)| name == "PATH");
        match path {
            Some((_, value)) => *value = format!("{links}:{value}"),
            None => kept.push(("PATH".into(), format!("{links}:/usr/local/bin:/usr/bin:/bin"))),
        }
        let quoted = links.replace('\'', r"'\''");
        for name in patch::NAMES {
            let function = format!("() {{ '{quoted}/{name}' \"$@\"; }}");
            kept.push((format!("BASH_FUNC_{name}%%"), function));
        }
    }
    kept.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Who asks, as others read it: originator, version, system, terminal.
pub fn user_agent(originator: &str, version: &str) -> String {
    let arch = std::env::consts::ARCH;
    let terminal = std::env::var("TERM_PROGRAM").or_else(|_| std::env::var("TERM"));
    let terminal = terminal.unwrap_or_default();
    let is_plain = !terminal.is_empty() && terminal.bytes().all(|byte| byte.is_ascii_graphic());
    let terminal = if is_plain { &terminal } else { "unknown" };
    format!("{originator}/{version} (Linux {}; {arch}) {terminal}", release())
}

/// The kernel's release, as `uname -r` has it.
pub fn release() -> String {
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to live memory of the right type.
    if unsafe { libc::uname(names.as_mut_ptr()) } != 0 {
        return "unknown".to_string();
    }
    // SAFETY: zeroed memory is a valid `utsname`, and the call has filled it.
    let names = unsafe { names.assume_init() };
    // SAFETY: the kernel ends the field with a NUL.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    let text = release.to_string_lossy();
    text.chars().filter(|letter| letter.is_ascii_graphic()).collect()
}
