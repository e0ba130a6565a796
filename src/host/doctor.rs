//! `doctor`: what works here, for people and for programs.
//!
//! Everything is found out by trying it without an effect. No secret is printed, nothing is sent.

use std::io::IsTerminal;
use std::path::PathBuf;

use windlass_sandbox::{Apart, Level, Probe};

use crate::config::args::Invocation;
use crate::config::credentials::{self, KeyFromEnv};
use crate::config::flags::sandbox_name;
use crate::config::providers::{DEFAULT_PROVIDER, Provider};
use crate::fronts::limits::Known;
use crate::host::confined::Place;
use crate::host::disk::auth;
use crate::host::exec::say;
use crate::host::proc::links;
use crate::host::responses::calendar;
use crate::host::{environment, out};
use crate::wire::json::Fields;

/// One line: a name, what was found, and what to do about it if it is not well.
struct Finding {
    name: &'static str,
    found: String,
    advice: Option<&'static str>,
}

impl Finding {
    fn new(name: &'static str, found: impl Into<String>) -> Finding {
        Finding { name, found: found.into(), advice: None }
    }

    fn advised(mut self, advice: Option<&'static str>) -> Finding {
        self.advice = advice;
        self
    }
}

/// Prints what was found and gives the exit code: 1 if commands cannot be confined.
pub fn print(invocation: &Invocation) -> u8 {
    let probe = windlass_sandbox::probe();
    let mut findings = of_system(&probe);
    findings.extend(of_settings(invocation));
    findings.push(of_terminal());
    let printed = if invocation.json { json(&findings) } else { text(&findings) };
    let code = out::print(&printed);
    if code == 0 && probe.level().is_none() { 1 } else { code }
}

/// What was found, as a line of JSON.
pub fn facts(invocation: &Invocation) -> String {
    let mut findings = of_system(&windlass_sandbox::probe());
    findings.extend(of_settings(invocation));
    json(&findings)
}

fn of_system(probe: &Probe) -> Vec<Finding> {
    let landlock = match (probe.landlock, probe.landlock_claimed) {
        (Ok(abi), Ok(claimed)) if abi == claimed => format!("ABI {abi}"),
        (Ok(abi), Ok(claimed)) => format!("ABI {abi} in use, {claimed} reported"),
        (Ok(abi), Err(_)) => format!("ABI {abi}"),
        (Err(errno), _) => refused(errno),
    };
    let namespaces = match probe.namespaces {
        Ok(Apart::Whole) => "users, mounts, processes, objects, network".to_owned(),
        Ok(Apart::View) => "mounts, objects, network; no processes of its own".to_owned(),
        Ok(Apart::Nothing) => "none".to_owned(),
        Err(errno) => refused(errno),
    };
    let (level, advice) = match probe.level() {
        Some(Level::Full) => ("full", None),
        Some(Level::Standard) => (
            "standard",
            Some("namespaces are refused; control files of repositories are not held by mounts"),
        ),
        Some(Level::Reduced) => (
            "reduced",
            Some("this kernel's Landlock lacks what its ABI says; from Linux 6.12 on it is whole"),
        ),
        Some(Level::Open) | None => (
            "none",
            Some(
                "no confined command will run; enable Landlock (Linux 5.13 or later) and seccomp. \
                 Namespaces alone are no sandbox: devices stay open to their owner",
            ),
        ),
    };
    let yes_or_no = |is: bool| if is { "yes" } else { "no" };
    vec![
        Finding::new("kernel", environment::release()),
        Finding::new("sandbox", level).advised(advice),
        Finding::new("landlock", landlock),
        Finding::new("seccomp", yes_or_no(probe.seccomp)),
        Finding::new("namespaces", namespaces),
        Finding::new("pidfds", yes_or_no(probe.pidfds)),
    ]
}

fn refused(errno: i32) -> String {
    format!("refused: {}", std::io::Error::from_raw_os_error(errno))
}

fn of_settings(invocation: &Invocation) -> Vec<Finding> {
    let env = |name: &str| std::env::var(name).ok();
    let place = match Place::of(invocation, &env) {
        Ok(place) => place,
        Err(error) => return vec![Finding::new("config", format!("wrong: {error}"))],
    };
    let home = match &place.home {
        Some(home) if home.is_dir() => home.display().to_string(),
        Some(home) => format!("{} (not there yet)", home.display()),
        None => "none; set HOME or WINDLASS_HOME".to_owned(),
    };
    let id = place.layers.text(&["model_provider"]).unwrap_or(DEFAULT_PROVIDER);
    let mut findings =
        vec![Finding::new("home", home), Finding::new("mode", sandbox_name(place.sandbox.mode))];
    let denied = place.sandbox.unreadable.iter().map(|path| PathBuf::from(&**path));
    if let Err(error) = links::judge(&denied.collect::<Vec<_>>()) {
        findings.push(Finding::new("closed", error.to_string()));
    }
    match Provider::find(id, &place.layers, &env) {
        Ok(provider) => {
            findings.push(Finding::new("provider", format!("{id} at {}", provider.base_url)));
            let home = place.home.as_ref().filter(|_| provider.requires_openai_auth);
            let stored = home.map(|home| auth::read(home));
            let mut has_account = false;
            let found = match stored.transpose() {
                Err(failure) => failure.to_string(),
                Ok(stored) => {
                    let stored = stored.flatten();
                    let honoured = KeyFromEnv::Honoured;
                    match credentials::resolve(&provider, &env, honoured, stored.as_ref()) {
                        Ok(found) if found.token.is_some() => {
                            has_account = found.account_id.is_some();
                            let kind = if has_account { "an account" } else { "a key" };
                            format!("there is {kind}")
                        }
                        Ok(_) => "none needed".to_owned(),
                        Err(why) => why.into(),
                    }
                }
            };
            findings.push(Finding::new("login", found));
            if has_account {
                // Nothing is sent here, and only replies tell limits.
                findings.push(Finding::new("limits", Known::NotAsked.text(&calendar())));
            }
        }
        Err(error) => findings.push(Finding::new("provider", format!("wrong: {error}"))),
    }
    findings
}

fn of_terminal() -> Finding {
    let name = std::env::var("TERM").unwrap_or_else(|_| "not named".to_owned());
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    Finding::new("terminal", if is_terminal { name } else { format!("none ({name})") })
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{:<11} {}\n", finding.name, finding.found));
        if let Some(advice) = finding.advice {
            text.push_str(&format!("{:<11} -> {advice}\n", ""));
        }
    }
    text
}

fn json(findings: &[Finding]) -> String {
    let mut out = Vec::new();
    let mut fields = Fields::open(&mut out);
    for finding in findings {
        fields.text(finding.name, &finding.found);
    }
    fields.close();
    out.push(b'\n');
    String::from_utf8(out).unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        String::new()
    })
}
