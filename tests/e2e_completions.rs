//! Completion scripts in the shells they are for. Bash has to be there; the others are tried where
//! they are installed, and said to be missing where not.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};

use support::{World, spawning};

/// The script for a shell, in a file.
fn script(world: &World, shell: &str) -> PathBuf {
    let output = windlass(&["completions", shell]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let path = world.root.join(shell);
    fs::write(&path, output.stdout).unwrap();
    path
}

fn windlass(words: &[&str]) -> Output {
    let _guard = spawning();
    Command::new(env!("CARGO_BIN_EXE_windlass")).args(words).output().unwrap()
}

/// Runs a shell with these words; `None` if it is not installed.
fn shell(world: &World, name: &str, words: &[&str]) -> Option<Output> {
    let guard = spawning();
    let mut command = Command::new(name);
    command.args(words).current_dir(&world.cwd).env("HOME", &world.root);
    command.env("XDG_CONFIG_HOME", &world.root).env("XDG_DATA_HOME", &world.root);
    let result = command.output();
    drop(guard);
    match result {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: {name} is not installed, its completions are not tried");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What bash is offered for a command line, whose last word is being typed.
fn bash(world: &World, line: &[&str]) -> Vec<String> {
    let body = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _windlass; \
                printf '%s\\n' \"${COMPREPLY[@]}\"";
    let path = script(world, "bash");
    let words = ["--norc", "-uc", body, "bash", path.to_str().unwrap(), "windlass"];
    let output = shell(world, "bash", &[&words, line].concat()).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{line:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_is_offered_what_may_stand_there() {
    let world = World::new();
    world.file("a picture.png", "");
    fs::create_dir(world.cwd.join("a folder")).unwrap();
    let modes = ["read-only", "workspace-write", "danger-full-access"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["ex"], &["exec"]),
        (&["exec", "re"], &["resume", "review"]),
        (&["e", "re"], &["resume", "review"]),
        (&["exec", "a prompt", "re"], &[]),
        (&["exec", "--sa"], &["--sandbox"]),
        (&["exec", "--sandbox", ""], &modes),
        (&["exec", "--sandbox", "="], &modes),
        (&["exec", "--sandbox", "=", "w"], &["workspace-write"]),
        (&["-m", "exec", "exec", "-s", "r"], &["read-only"]),
        (&["exec", "--color", ""], &["auto", "always", "never"]),
        (&["exec", "-C", "a"], &["a folder"]),
        (&["exec", "-i", "a p"], &["a picture.png"]),
        (&["exec", "-m", ""], &[]),
        (&["review", "--unc"], &["--uncommitted"]),
        (&["exec", "resume", "--la"], &["--last"]),
        (&["exec", "--la"], &[]),
        (&["exec", "--", "--js"], &[]),
        (&["completions", ""], &["bash", "zsh", "fish"]),
        (&["completion", "z"], &["zsh"]),
        (&["help", "dem"], &["demo"]),
        (&["features", ""], &["list"]),
        (&["exec", "--enable", "gho"], &["ghost_commit"]),
        (&["--ver"], &["--version"]),
    ];
    for (line, expected) in cases {
        assert_eq!(bash(&world, line), *expected, "{line:?}");
    }
}

#[test]
fn zsh_understands_its_script() {
    let world = World::new();
    let path = script(&world, "zsh");
    let Some(output) = shell(&world, "zsh", &["-n", path.to_str().unwrap()]) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn fish_is_offered_what_may_stand_there() {
    let world = World::new();
    let path = script(&world, "fish");
    let cases = [
        ("windlass ex", "exec"),
        ("windlass exec --sandbox w", "workspace-write"),
        ("windlass e -m exec resume --la", "--last"),
        ("windlass exec --la", ""),
        ("windlass exec -- --js", ""),
    ];
    for (line, expected) in cases {
        let body = "source $argv[1]; complete -C $argv[2]";
        let words = ["--no-config", "-c", body, path.to_str().unwrap(), line];
        let Some(output) = shell(&world, "fish", &words) else { return };
        assert!(output.status.success() && output.stderr.is_empty(), "{line:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let offered: Vec<&str> =
            text.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(offered.join(" "), expected, "{line:?}");
    }
}

#[test]
fn a_shell_has_to_be_one_of_those_known() {
    for words in [&["completions"][..], &["completion", "tcsh"]] {
        let output = windlass(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("bash, zsh or fish"), "{said}");
    }
}
