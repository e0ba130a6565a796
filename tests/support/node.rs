//! Programs that node runs and npm installs, for the tests that `WINDLASS_INTEROP=1` asks for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::outside;

/// Longest time for an installation or a program.
const DEADLINE: Duration = Duration::from_secs(240);

/// Whether such tests are wanted; says so if they are not.
pub fn is_wanted(what: &str) -> bool {
    let is_wanted = std::env::var("WINDLASS_INTEROP").as_deref() == Ok("1");
    if !is_wanted {
        eprintln!("SKIPPED: {what} WAS NOT DONE; WINDLASS_INTEROP=1 asks for it");
    }
    is_wanted
}

/// Runs a command to its end; gives its output, or what went wrong.
pub fn run(command: &mut Command, scratch: &Path) -> Result<String, String> {
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    command.stdin(Stdio::null());
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("{command:?} does not end"));
        }
        outside::poll(&mut [], 20);
    };
    let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let (said, complained) = (read(&out), read(&err));
    match status.success() {
        true => Ok(said),
        false => Err(format!("{command:?}: {status}\n{said}\n{complained}")),
    }
}

/// Installs packages below a new folder of this name, without their scripts. Where nothing can be
/// installed, the test that asks is skipped, loudly.
pub fn installed(scratch: &Path, name: &str, packages: &[&str]) -> Option<PathBuf> {
    let folder = scratch.join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut npm = Command::new("npm");
    npm.arg("install").args(packages);
    npm.args(["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]);
    npm.args(["--fetch-retries", "1", "--prefix"]).arg(&folder);
    match run(&mut npm, scratch) {
        Ok(_) => Some(folder),
        Err(why) => {
            eprintln!("SKIPPED: {packages:?} CANNOT BE INSTALLED HERE: {why}");
            None
        }
    }
}

/// Compiles all TypeScript of a folder, strictly; panics with what the compiler says.
pub fn compile(typescript: &Path, folder: &Path) {
    let config = serde_json::json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "target": "es2022", "module": "esnext",
            "moduleResolution": "bundler", "types": [],
        },
        "include": ["**/*.ts"],
    });
    fs::write(folder.join("tsconfig.json"), config.to_string()).unwrap();
    let mut tsc = Command::new("node");
    tsc.arg(typescript.join("node_modules/typescript/bin/tsc")).arg("--project").arg(folder);
    if let Err(why) = run(&mut tsc, folder) {
        panic!("{why}");
    }
}
