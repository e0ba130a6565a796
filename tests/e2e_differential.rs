//! The same attempts under `windlass sandbox` and under `bwrap`, class by class.
//!
//! Each attempt is run bare first; one that fails even then is unfit for this machine. bwrap is
//! told to give what workspace-write gives. Where the two differ, the difference stands here with
//! its reason, and is one in which we are stricter.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether the workspace-write mode allows an attempt, and whether bwrap does otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    Allowed,
    Refused,
    /// bwrap has no rule for it.
    RefusedByUsOnly,
}

/// A class, a line that succeeds if the attempt does, and what is expected.
const ATTEMPTS: [(&str, &str, Expected); 12] = [
    ("write inside", "echo x > $W/made && cat $W/made", Expected::Allowed),
    ("chmod inside", "chmod 700 $W/inner", Expected::Allowed),
    ("write outside", "echo x > $O/made", Expected::Refused),
    ("chmod outside", "chmod 600 $O/kept", Expected::Refused),
    ("read a secret", "grep -q secret $K", Expected::Refused),
    ("connect to the network", "bash -c \"exec 3<>/dev/tcp/127.0.0.1/$T\"", Expected::Refused),
    // A mount that shows a socket lets it be connected to.
    (
        "connect to a unix socket outside",
        "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1' $O/socket",
        Expected::RefusedByUsOnly,
    ),
    ("signal a process outside", "kill -0 $V", Expected::Refused),
    ("look into a process outside", ": < /proc/$V/mem", Expected::Refused),
    ("make a device", "mknod $W/device c 1 3", Expected::Refused),
    ("mount", "mount --bind $W/inner $W/other || exit 1; umount $W/other", Expected::Refused),
    // Said by the process that is still there when the command is over.
    ("leave a process behind", "setsid sleep $M > /dev/null 2>&1 &", Expected::Refused),
];

const LEFT_BEHIND: &str = "leave a process behind";

/// What the attempts are aimed at.
struct Scene {
    root: PathBuf,
    victim: Child,
    tcp: TcpListener,
    _unix: UnixListener,
    /// A number that no other process has in its command line.
    marker: String,
}

impl Scene {
    fn new() -> Scene {
        // Not below `/tmp`, which workspace-write opens.
        let root = Path::new("/var/tmp").canonicalize().unwrap();
        let root = root.join(format!("windlass-differential-{}", std::process::id()));
        for name in ["work/inner", "work/other", "outside", "home"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("outside/kept"), "").unwrap();
        fs::write(root.join("secret"), "a secret").unwrap();
        let denied = format!("sandbox_deny_read = ['{}']", root.join("secret").display());
        fs::write(root.join("home/config.toml"), denied).unwrap();
        let victim = Command::new("sleep").arg("900").stdout(Stdio::null()).spawn().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(root.join("outside/socket")).unwrap();
        let marker = format!("600.{}", std::process::id());
        Scene { root, victim, tcp, _unix: unix, marker }
    }

    /// Whether an attempt succeeds when run by these words.
    fn succeeds(&self, by: &[String], class: &str, line: &str) -> bool {
        let path = |name: &str| self.root.join(name).display().to_string();
        let words = by.iter().map(String::as_str).chain(["sh", "-c", line]);
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.root.join("work")).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("WINDLASS_HOME", path("home"));
        for (key, value) in [
            ("W", path("work")),
            ("O", path("outside")),
            ("K", path("secret")),
            ("T", self.tcp.local_addr().unwrap().port().to_string()),
            ("V", self.victim.id().to_string()),
            ("M", self.marker.clone()),
        ] {
            command.env(key, value);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        if class != LEFT_BEHIND {
            return output.status.success();
        }
        let left = self.left_behind();
        for pid in &left {
            // SAFETY: kill takes integers; the process is one of this test.
            unsafe { libc::kill(*pid, libc::SIGKILL) };
        }
        !left.is_empty()
    }

    /// Processes that an attempt left behind: those that are still there after a moment.
    fn left_behind(&self) -> Vec<i32> {
        let began = Instant::now();
        loop {
            let entries = fs::read_dir("/proc").unwrap().flatten();
            let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let is_ours = |pid: &i32| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.split(|&byte| byte == 0).any(|word| word == self.marker.as_bytes())
            };
            let left: Vec<i32> = pids.filter(is_ours).collect();
            if left.is_empty() || began.elapsed() > Duration::from_secs(1) {
                return left;
            }
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.victim.kill().unwrap();
        self.victim.wait().unwrap();
        fs::remove_dir_all(&self.root).unwrap();
    }
}

#[test]
fn we_hold_what_bwrap_holds() {
    let scene = Scene::new();
    let ours = [env!("CARGO_BIN_EXE_windlass"), "sandbox", "-s", "workspace-write", "--"];
    let ours = ours.map(str::to_owned);
    let (work, secret) = (scene.root.join("work"), scene.root.join("secret"));
    let (work, secret) = (work.to_str().unwrap(), secret.to_str().unwrap());
    let bwrap = "bwrap --unshare-all --cap-drop ALL --die-with-parent --new-session \
                 --ro-bind / / --dev /dev --proc /proc --bind WORK WORK --bind /tmp /tmp \
                 --ro-bind /dev/null SECRET --";
    let bwrap = bwrap.split_ascii_whitespace().map(|word| match word {
        "WORK" => work.to_owned(),
        "SECRET" => secret.to_owned(),
        word => word.to_owned(),
    });
    let bwrap: Vec<String> = bwrap.collect();
    let mut probe = Command::new(&bwrap[0]);
    let has_bwrap = probe.args(&bwrap[1..]).arg("true").stderr(Stdio::null()).status();
    let has_bwrap = has_bwrap.is_ok_and(|status| status.success());
    if !has_bwrap {
        eprintln!("SKIPPED: bwrap is missing or may not run here, and so nothing is beside us");
    }
    let mut wrong = Vec::new();
    for (class, line, expected) in ATTEMPTS {
        if !scene.succeeds(&[], class, line) {
            eprintln!("SKIPPED: {class}: fails here without any sandbox");
            continue;
        }
        let is_allowed = scene.succeeds(&ours, class, line);
        if is_allowed != (expected == Expected::Allowed) {
            wrong.push(format!("{class}: we allow it: {is_allowed}"));
        }
        let by_bwrap = expected != Expected::Refused;
        if has_bwrap && scene.succeeds(&bwrap, class, line) != by_bwrap {
            wrong.push(format!("{class}: bwrap allows it: {}", !by_bwrap));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
