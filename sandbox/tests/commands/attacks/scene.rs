//! What attacks are aimed at, and how it looks from outside.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use windlass_sandbox::{Apart, Plan};

use crate::stage::{Place, apart, exe, open_terminal, processes_with};

/// What nobody may read; said by a command, it has been read.
const SECRET: &str = "the-secret-word";
/// Said by a command that got something which shows nowhere else.
pub(crate) const GOT_IT: &str = "GOT-IT";

/// Names in the workspace that are not for commands.
const NAMES: [&str; 8] = [
    ".windlass",
    ".codex",
    ".agents",
    ".git/hooks",
    ".git/config",
    ".git/config.worktree",
    ".git/commondir",
    ".git/modules/sub/config",
];

/// What `$O` names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    Outside,
    Workspace,
}

pub(crate) struct Scene {
    aim: Aim,
    number: String,
    tcp: TcpListener,
    udp: UdpSocket,
    stream: UnixListener,
    datagram: UnixDatagram,
    hidden: UnixListener,
    terminal: (OwnedFd, OwnedFd),
    /// Open for writing in whatever inherits them.
    inherited: [File; 2],
    victim: Child,
    /// Processes of the attack may have outlived it.
    has_left: Cell<bool>,
    place: Place,
}

impl Scene {
    pub(crate) fn new(aim: Aim) -> Scene {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let number = format!("9{count:05}.{}", std::process::id());
        let place = Place::new(&format!("attack-{count}"));
        for name in ["outside", "workspace", "workspace/inner", "secret"] {
            place.directory(name);
        }
        let path = |name: &str| place.path.join(name);
        furnish(&path("outside"));
        furnish(&path("workspace/inner"));
        keep_names(&path("workspace"));
        fs::write(path("secret/key"), SECRET).unwrap();
        fs::hard_link(path("secret/key"), path("secret/alias")).unwrap();
        let stream = UnixListener::bind(path("outside/stream")).unwrap();
        let datagram = UnixDatagram::bind(path("outside/datagram")).unwrap();
        let name = SocketAddr::from_abstract_name(number.as_bytes()).unwrap();
        let hidden = UnixListener::bind_addr(&name).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        datagram.set_nonblocking(true).unwrap();
        hidden.set_nonblocking(true).unwrap();
        let inherited = [
            File::options().read(true).append(true).open(path("outside/kept")).unwrap(),
            File::open(path("outside")).unwrap(),
        ];
        let victim = Command::new("sleep")
            .arg("900")
            .env_clear()
            .env("PRIVATE", SECRET)
            .stdin(Stdio::null())
            .stdout(File::create(path("victim-said")).unwrap())
            .spawn()
            .unwrap();
        // Execve lets go of us before its environment can be read.
        let environ = format!("/proc/{}/environ", victim.id());
        while fs::read(&environ).unwrap().is_empty() {}
        for file in &inherited {
            // SAFETY: F_SETFD takes integers.
            assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) }, 0);
        }
        let terminal = open_terminal();
        type_secret(&terminal.0, &terminal.1);
        Scene {
            aim,
            number,
            tcp,
            udp,
            stream,
            datagram,
            hidden,
            terminal,
            inherited,
            victim,
            has_left: Cell::new(false),
            place,
        }
    }

    /// The plan, aimed: what the attack needs to know is in its environment.
    pub(crate) fn set(&self, mut plan: Plan) -> Plan {
        let path = |name: &str| self.place.path.join(name).display().to_string();
        let aim = match self.aim {
            Aim::Outside => "outside",
            Aim::Workspace => "workspace/inner",
        };
        let slave = format!("/proc/self/fd/{}", self.terminal.1.as_raw_fd());
        let slave = fs::read_link(slave).unwrap();
        plan.env.extend(
            [
                ("O", path(aim)),
                ("W", path("workspace")),
                ("K", path("secret/key")),
                ("L", path("secret/alias")),
                ("S", path("outside/stream")),
                ("D", path("outside/datagram")),
                ("A", self.number.clone()),
                ("M", self.number.clone()),
                ("T", self.tcp.local_addr().unwrap().port().to_string()),
                ("U", self.udp.local_addr().unwrap().port().to_string()),
                ("P", slave.display().to_string()),
                ("V", self.victim.id().to_string()),
                ("F", self.inherited[0].as_raw_fd().to_string()),
                ("G", self.inherited[1].as_raw_fd().to_string()),
            ]
            .map(|(key, value)| (key.as_bytes().to_vec(), value.into_bytes())),
        );
        plan.cwd = self.place.path.join("workspace");
        plan.policy.writable_roots = vec![self.place.path.join("workspace")];
        plan.policy.unreadable = vec![self.place.path.join("secret")];
        let workspace = &plan.policy.writable_roots[0];
        plan.policy.protected = NAMES.iter().map(|name| workspace.join(name)).collect();
        plan
    }

    /// Runs a plan's command without any sandbox, as a grandchild in a group of its own, since it
    /// may kill both; what it leaves behind lives until the scene is over.
    pub(crate) fn run_bare(&self, plan: &Plan) -> String {
        // Also what it starts too late to be seen.
        self.has_left.set(true);
        let said = self.place.path.join("said");
        let output = File::create(&said).unwrap();
        let errors = output.try_clone().unwrap();
        let words = plan.argv.iter().map(|word| OsStr::from_bytes(word));
        Command::new(exe())
            .arg0("play-bare")
            .arg(OsStr::from_bytes(&plan.program))
            .args(words)
            .env_clear()
            .envs(
                plan.env
                    .iter()
                    .map(|(key, value)| (OsStr::from_bytes(key), OsStr::from_bytes(value))),
            )
            .current_dir(&plan.cwd)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .status()
            .unwrap();
        String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned()
    }

    /// Everything that is to be protected in a mode, line by line.
    pub(crate) fn look(&self, everything: bool) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        let path = |name: &str| self.place.path.join(name);
        look_at_tree(&path("outside"), Depth::Whole, &mut seen);
        look_at_tree(&path("secret"), Depth::Whole, &mut seen);
        // Without mounts they are put back, which makes other files of the same kind.
        let depth = if apart() == Apart::Nothing { Depth::Content } else { Depth::Whole };
        for name in NAMES {
            look_at_tree(&path("workspace").join(name), depth, &mut seen);
        }
        if everything {
            look_at_tree(&path("workspace"), Depth::Whole, &mut seen);
            let shared = PathBuf::from(format!("/dev/shm/{}", self.number));
            look_at_tree(&shared, Depth::Whole, &mut seen);
        }
        self.look_at_victim(&mut seen);
        self.look_at_arrivals(&mut seen);
        seen
    }

    fn look_at_victim(&self, seen: &mut BTreeMap<String, String>) {
        let pid = self.victim.id();
        let names = ["comm", "limits", "oom_score_adj", "coredump_filter", "timerslack_ns"];
        for name in names.into_iter().chain(["environ", "personality", "autogroup"]) {
            let text = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            seen.insert(format!("victim {name}"), String::from_utf8_lossy(&text).into_owned());
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // State, parent, group, session; priority and niceness; real-time priority and policy.
        for index in [0, 1, 2, 3, 15, 16, 37, 38] {
            let value = match fields.get(index).copied().unwrap_or("") {
                "R" | "S" | "D" => "alive",
                value => value,
            };
            let value = value.to_owned();
            seen.insert(format!("victim stat {index}"), value);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        for line in status.lines() {
            if ["Cpus_allowed:", "TracerPid:", "Mems_allowed:"]
                .iter()
                .any(|key| line.starts_with(key))
            {
                seen.insert(format!("victim {}", line.split(':').next().unwrap()), line.into());
            }
        }
        // SAFETY: ioprio_get takes integers.
        let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, 1, pid) };
        seen.insert("victim ioprio".into(), priority.to_string());
    }

    fn look_at_arrivals(&self, seen: &mut BTreeMap<String, String>) {
        let mut piece = [0; 64];
        let arrivals = [
            ("tcp", self.tcp.accept().is_ok()),
            ("udp", self.udp.recv(&mut piece).is_ok()),
            ("stream", self.stream.accept().is_ok()),
            ("datagram", self.datagram.recv(&mut piece).is_ok()),
            ("abstract", self.hidden.accept().is_ok()),
            ("terminal", is_readable(&self.terminal.0)),
        ];
        for (name, arrived) in arrivals {
            seen.insert(format!("arrived by {name}"), arrived.to_string());
        }
    }

    /// What differs between two looks, and what was said that shouldn't be.
    pub(crate) fn difference(
        &self,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
        said: &str,
    ) -> Option<String> {
        let left = processes_with(&self.number);
        if !left.is_empty() {
            self.has_left.set(true);
            return Some(format!("processes are left: {left:?}"));
        }
        for word in [SECRET, GOT_IT] {
            if said.contains(word) {
                return Some(format!("it said {word}"));
            }
        }
        let keys = before.keys().chain(after.keys());
        let mut changed = keys.filter(|key| before.get(*key) != after.get(*key));
        let key = changed.next()?;
        let short = |seen: &BTreeMap<String, String>| seen.get(key).cloned().unwrap_or_default();
        Some(format!("{key}: {} -> {} ({said})", short(before), short(after)))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        while self.has_left.get() {
            let mut left = processes_of(&self.number);
            left.extend(processes_with(&self.number));
            for pid in &left {
                // SAFETY: kill takes integers; the process is marked as of this scene.
                unsafe { libc::kill(*pid, libc::SIGKILL) };
            }
            self.has_left.set(!left.is_empty());
        }
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = fs::remove_file(format!("/dev/shm/{}", self.number));
        let workspace = self.place.path.join("workspace");
        // Also what was made after the looks of a covered directory.
        let closed = ["", "d", ".git", ".windlass", ".windlass.undone"];
        for path in closed.map(|name| workspace.join(name)) {
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        }
    }
}

/// Runs a command as its parent: program, name, arguments.
pub(crate) fn play_bare(words: &[&str]) {
    Command::new(words[0]).arg0(words[1]).args(&words[2..]).status().unwrap();
}

/// Types a line that whoever reads from the terminal first gets to see.
fn type_secret(master: &OwnedFd, slave: &OwnedFd) {
    // SAFETY: the structure is plain integers, for which zeros are a valid value.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `settings` is a valid place for the result.
    assert_eq!(unsafe { libc::tcgetattr(slave.as_raw_fd(), &raw mut settings) }, 0);
    settings.c_lflag &= !libc::ECHO;
    // SAFETY: `settings` is initialized and outlives the call.
    let set = unsafe { libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &raw const settings) };
    assert_eq!(set, 0);
    let mut keys = File::from(master.try_clone().unwrap());
    std::io::Write::write_all(&mut keys, format!("{SECRET}\n").as_bytes()).unwrap();
}

/// Puts things there that can be spoiled.
fn furnish(directory: &Path) {
    fs::write(directory.join("kept"), "before\n").unwrap();
    fs::write(directory.join("script"), "#!/bin/sh\necho before\n").unwrap();
    fs::set_permissions(directory.join("script"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::create_dir(directory.join("sub")).unwrap();
    fs::write(directory.join("sub/deep"), "before\n").unwrap();
    std::os::unix::fs::symlink("kept", directory.join("link")).unwrap();
}

/// A repository, and the agent's own directory, without a program of either.
fn keep_names(workspace: &Path) {
    let git = ["hooks", "objects", "refs/heads", "modules/sub"].map(|name| format!(".git/{name}"));
    for name in git.iter().map(String::as_str).chain([".codex"]) {
        fs::create_dir_all(workspace.join(name)).unwrap();
    }
    fs::write(workspace.join(".git/modules/sub/config"), "[core]\n\tbare = true\n").unwrap();
    fs::write(workspace.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(workspace.join(".git/config"), "[core]\n\tbare = false\n").unwrap();
    fs::write(workspace.join(".git/hooks/pre-commit"), "#!/bin/sh\n").unwrap();
    fs::write(workspace.join(".codex/config.toml"), "model = \"m\"\n").unwrap();
}

/// How closely one looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// What it is, who may do what with it, and what is in it.
    Content,
    /// Also whether it is the very same, with the same names, and untouched.
    Whole,
}

fn look_at_tree(path: &Path, depth: Depth, seen: &mut BTreeMap<String, String>) {
    let key = path.display().to_string();
    let Ok(metadata) = fs::symlink_metadata(path) else {
        seen.insert(key, "nothing".into());
        return;
    };
    let content = if metadata.is_file() {
        fs::read_to_string(path).unwrap_or_default()
    } else {
        fs::read_link(path).map(|link| link.display().to_string()).unwrap_or_default()
    };
    // A change of whatever kind sets the time of change; entries of directories show as themselves.
    let mut looks = format!("{:o} {} {content:?}", metadata.mode(), metadata.uid());
    if depth == Depth::Whole {
        let (seconds, part) = (metadata.ctime(), metadata.ctime_nsec());
        write!(looks, " {} {} {seconds}.{part}", metadata.ino(), metadata.nlink()).unwrap();
    }
    seen.insert(key, looks);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            look_at_tree(&entry.path(), depth, seen);
        }
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `polled` is one structure.
    unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
}

/// Processes whose environment has this number, whatever they have become, and that live.
fn processes_of(number: &str) -> Vec<i32> {
    let is_meant = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(number.len()).any(|piece| piece == number.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let us = std::process::id().cast_signed();
    pids.filter(|pid| *pid != us && is_meant(pid)).collect()
}
