//! `windlass sandbox` and `windlass doctor`, as a person runs them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Output};

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let base = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let place = base.join(format!("sandbox-{name}-{}", std::process::id()));
        fs::create_dir_all(place.join("work")).unwrap();
        fs::create_dir_all(place.join("home")).unwrap();
        Place(place)
    }

    /// windlass in the working directory, with a home.
    fn windlass(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command.args(words).current_dir(self.0.join("work")).env_clear();
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("WINDLASS_HOME", self.0.join("home"));
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.windlass(words).output().unwrap()
    }

    fn check(&self, words: &[&str], code: i32, said: &str) {
        let output = self.run(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), said, "{words:?}: {errors}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_commands_end_becomes_ours() {
    let place = Place::new("end");
    place.check(&["sandbox", "--", "sh", "-c", "echo said; exit 7"], 7, "said\n");
    place.check(&["sandbox", "sh", "-c", "kill -9 $$"], 137, "");
    place.check(&["sandbox", "linux", "--", "sh", "-c", "kill -TERM $$"], 143, "");
    place.check(&["sandbox", "--", "no-such-program"], 127, "");
    place.check(&["sandbox", "--", "/etc/passwd"], 126, "");
    place.check(&["sandbox"], 2, "");
    place.check(
        &["sandbox", "--", "printf", "%s|", "--json", "-c", "", "linux"],
        0,
        "--json|-c||linux|",
    );
}

#[test]
fn arguments_and_stdin_pass_byte_for_byte() {
    let place = Place::new("bytes");
    let mut command = place.windlass(&["sandbox", "--", "sh", "-c", "cat; printf %s \"$0\""]);
    let input = place.0.join("input");
    fs::write(&input, b"in\xff").unwrap();
    command.arg(std::ffi::OsStr::from_bytes(b"\xfe")).stdin(fs::File::open(input).unwrap());
    assert_eq!(command.output().unwrap().stdout, b"in\xff\xfe");
}

#[test]
fn the_mode_is_that_of_flags_and_settings() {
    let place = Place::new("mode");
    let made = place.0.join("work/made");
    let config = place.0.join("home/config.toml");
    fs::write(&config, "[sandbox_workspace_write]\nexclude_slash_tmp = true\n").unwrap();
    let line = "echo x > made; echo x > ../outside; cat made";
    for words in [&["sandbox", "--"][..], &["sandbox", "-s", "read-only", "--"]] {
        place.run(&[words, &["sh", "-c", line]].concat());
        assert!(!made.exists());
    }
    let outside = place.0.join("outside");
    let writing: [&[&str]; 4] = [
        &["sandbox", "--full-auto", "--"],
        &["sandbox", "linux", "--full-auto", "--"],
        &["sandbox", "--mode", "workspace-write"],
        &["sandbox", "-c", "sandbox_mode=workspace-write", "--"],
    ];
    for words in writing {
        place.run(&[words, &["sh", "-c", line]].concat());
        assert!(made.exists() && !outside.exists(), "{words:?}");
        fs::remove_file(&made).unwrap();
    }
    fs::write(&config, "sandbox_mode = 'danger-full-access'").unwrap();
    place.check(&["sandbox", "--", "sh", "-c", line], 0, "x\n");
    assert!(outside.exists());
}

#[test]
fn what_is_to_stay_stays_and_it_is_said() {
    let place = Place::new("stay");
    let words = ["sandbox", "--full-auto", "--", "sh", "-c"];
    let line = "mkdir .codex && echo x > .codex/config.toml && echo made";
    let output = place.run(&[&words[..], &[line]].concat());
    assert_eq!(output.stdout, b"made\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("put back as before: .codex;"), "{said}");
    assert!(!place.0.join("work/.codex").exists());
    assert!(place.0.join("work/.codex.undone/config.toml").exists());
}

#[test]
fn a_repository_in_the_workspace_is_not_armed_but_may_be_removed() {
    let place = Place::new("within");
    let git = place.0.join("work/sub/.git");
    fs::create_dir_all(git.join("hooks")).unwrap();
    fs::write(git.join("config"), "[core]\n").unwrap();
    let words = ["sandbox", "--full-auto", "--", "sh", "-c"];
    let line = "echo x > sub/.git/hooks/late; echo x >> sub/.git/config; echo made";
    let output = place.run(&[&words[..], &[line]].concat());
    assert_eq!(output.stdout, b"made\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("put back as before: sub/.git/config, sub/.git/hooks;"), "{said}");
    assert_eq!(fs::read_to_string(git.join("config")).unwrap(), "[core]\n");
    assert!(!git.join("hooks/late").exists());
    place.check(&[&words[..], &["rm -rf sub && echo gone"]].concat(), 0, "gone\n");
    assert!(!place.0.join("work/sub").exists());
}

#[test]
fn no_home_is_needed() {
    let place = Place::new("homeless");
    let mut command = place.windlass(&["sandbox", "--", "echo", "ran"]);
    command.env_remove("WINDLASS_HOME").env_remove("PATH");
    assert_eq!(command.output().unwrap().stdout, b"ran\n");
}

#[test]
fn secrets_stay_unread() {
    let place = Place::new("secrets");
    for path in ["home/auth.json", "work/.env", "work/other"] {
        fs::write(place.0.join(path), format!("content of {path}\n")).unwrap();
    }
    std::os::unix::fs::symlink(".env", place.0.join("work/link")).unwrap();
    fs::write(place.0.join("home/config.toml"), "sandbox_deny_read = ['.env']").unwrap();
    let line = "cat ../home/auth.json .env link other; cp .env copy; ln .env hard; cat copy hard
                env; echo x > .env; rm -f .env";
    for mode in ["read-only", "workspace-write"] {
        let mut command = place.windlass(&["sandbox", "-s", mode, "--", "sh", "-c", line]);
        command.env("OPENAI_API_KEY", "secret-1").env("MY_TOKEN", "secret-2").env("KEPT", "kept");
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(said.contains("content of work/other") && said.contains("KEPT=kept"), "{said}");
        for secret in ["auth.json", "content of work/.env", "secret-1", "secret-2"] {
            assert!(!said.contains(secret), "{mode}: {said}");
        }
        let kept = fs::read_to_string(place.0.join("work/.env")).unwrap();
        assert_eq!(kept, "content of work/.env\n");
    }
}

#[test]
fn files_handed_over_keep_their_permissions() {
    use std::os::unix::fs::PermissionsExt;
    // Not below a writable root.
    let base = PathBuf::from("/var/tmp").canonicalize().unwrap();
    let outside = base.join(format!("windlass-handed-{}", std::process::id()));
    let place = Place::new("handed");
    fs::write(&outside, "").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o640)).unwrap();
    let line = "chmod 777 /proc/self/fd/0 /proc/self/fd/1; touch own; chmod 600 own && cat own";
    let mut command = place.windlass(&["sandbox", "-s", "workspace-write", "--", "sh", "-c", line]);
    command.stdin(fs::File::open(&outside).unwrap());
    command.stdout(fs::OpenOptions::new().append(true).open(&outside).unwrap());
    assert!(command.output().unwrap().status.success());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&outside), 0o640);
    assert_eq!(mode(&place.0.join("work/own")), 0o600);
    fs::remove_file(&outside).unwrap();
    let before = mode(std::path::Path::new("/dev/null"));
    let line = format!("chmod {before:o} /proc/self/fd/0");
    let mut command =
        place.windlass(&["sandbox", "-s", "workspace-write", "--", "sh", "-c", &line]);
    assert!(!command.stdin(std::process::Stdio::null()).output().unwrap().status.success());
}

#[test]
fn a_secret_with_another_name_stops_commands_until_that_is_closed_too() {
    let place = Place::new("names");
    fs::write(place.0.join("work/.env"), "the secret\n").unwrap();
    fs::hard_link(place.0.join("work/.env"), place.0.join("work/other")).unwrap();
    let config = place.0.join("home/config.toml");
    fs::write(&config, "sandbox_deny_read = ['.env']").unwrap();
    let output = place.run(&["sandbox", "--", "cat", "other"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("work/.env") && said.contains("has 2 names"), "{said}");
    let doctor = place.run(&["doctor"]).stdout;
    assert!(String::from_utf8_lossy(&doctor).contains("has 2 names"));
    fs::write(&config, "sandbox_deny_read = ['.env', 'other']").unwrap();
    let output = place.run(&["sandbox", "--", "sh", "-c", "cat .env other; echo ran"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ran\n");
}

#[test]
fn a_repository_can_be_committed_to_but_not_armed() {
    let place = Place::new("git");
    let line = "git init -q . && git config user.name a && git config user.email a@b
                echo 1 > f && git add f && git commit -qm one && git worktree add -q ../tree";
    let made = Command::new("sh").args(["-c", line]).current_dir(place.0.join("work")).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    let is_full = String::from_utf8_lossy(&place.run(&["doctor", "--json"]).stdout)
        .contains("\"sandbox\":\"full\"");
    for directory in ["work", "tree"] {
        let line = "echo 2 > f && git commit -qam two && git log --oneline | wc -l
                    git config core.fsmonitor evil; echo evil > \"$(git rev-parse --git-path hooks)/x\"";
        let mut command = place.windlass(&["sandbox", "--full-auto", "-C"]);
        command.arg(place.0.join(directory)).args(["--", "sh", "-c", line]);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "2\n", "{directory}: {errors}");
        if is_full {
            let config = fs::read_to_string(place.0.join("work/.git/config")).unwrap();
            assert!(!config.contains("evil"), "{config}");
            assert!(!place.0.join("work/.git/hooks/x").exists());
        }
    }
}

#[test]
fn the_doctor_says_what_works() {
    let place = Place::new("doctor");
    let output = place.run(&["doctor"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for name in ["kernel ", "sandbox ", "landlock ", "namespaces ", "login ", "terminal "] {
        assert!(said.lines().any(|line| line.starts_with(name)), "{said}");
    }
    let output = place.run(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let level = found["sandbox"].as_str().unwrap();
    assert!(["full", "standard", "reduced", "none"].contains(&level));
    assert_eq!(output.status.code(), Some(i32::from(level == "none")));
    assert_eq!(found["mode"], "read-only");
}
