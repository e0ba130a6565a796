//! What the app server runs for its clients, against real commands and the real git.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use windlass::fronts::app_server::envelope::{Failure, INTERNAL_ERROR, INVALID_REQUEST};
use windlass::fronts::app_server::types::codec::{Maybe, Preset};
use windlass::fronts::app_server::types::v2_items::CommandExecOutputStream as Stream;
use windlass::fronts::app_server::types::{v1, v2};
use windlass::host::app_server::errands::{Errands, Event, Reach, Ticket};
use windlass::host::clock;
use windlass::host::poller::Poller;
use windlass::host::proc::Children;
use windlass::host::proc::launch::Starter;
use windlass::limits::{
    GIT_DIFF_MS, GIT_DIFFS_MAX, KILL_GRACE_MS, ONE_OFF_INPUT_BYTES_MAX, ONE_OFF_KEPT_BYTES_MAX,
    ONE_OFFS_MAX,
};
use windlass::words::policy::{SandboxMode, SandboxPolicy};

/// How long a test waits before it fails.
const PATIENCE_MS: u64 = 60_000;

/// A directory of its own, and everything that runs in it.
struct Desk {
    place: PathBuf,
    poller: Poller,
    children: Children,
    starter: Starter,
    errands: Errands,
    events: Vec<Event>,
    /// Time that passed for them alone.
    passed_ms: u64,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(SandboxMode::WorkspaceWrite, &[])
    }

    fn with(mode: SandboxMode, variables: &[(&str, &str)]) -> Desk {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-errands-{}-{count}", std::process::id());
        let place = std::env::temp_dir().join(name);
        fs::create_dir(&place).unwrap();
        let place = place.canonicalize().unwrap();
        let mut env = BTreeMap::from([
            ("PATH", std::env::var("PATH").unwrap()),
            ("HOME", place.to_str().unwrap().to_owned()),
        ]);
        env.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let env = env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let exe = PathBuf::from(env!("CARGO_BIN_EXE_windlass"));
        let starter = Starter::new(exe.clone(), None, None, env).with_executable(exe);
        let sandbox = SandboxPolicy {
            exclude_slash_tmp: true,
            exclude_tmpdir_env_var: true,
            ..SandboxPolicy::of(mode)
        };
        Desk {
            poller: Poller::new().unwrap(),
            children: Children::default(),
            starter,
            errands: Errands::new(place.to_str().unwrap(), &sandbox),
            events: Vec::new(),
            passed_ms: 0,
            place,
        }
    }

    fn reached<T>(&mut self, what: impl FnOnce(&mut Errands, &mut Reach<'_>) -> T) -> T {
        let mut reach = Reach {
            poller: &mut self.poller,
            children: &mut self.children,
            starter: &mut self.starter,
            now_ms: clock::mono_ms() + self.passed_ms,
        };
        let result = what(&mut self.errands, &mut reach);
        while let Some(event) = self.errands.pull() {
            self.events.push(event);
        }
        result
    }

    /// One revolution of a loop, of at most so long.
    fn turn(&mut self, ms: u64) {
        let left_ms = self.errands.next_deadline(&self.children);
        let left_ms =
            left_ms.map_or(ms, |at| at.saturating_sub(clock::mono_ms() + self.passed_ms).min(ms));
        self.poller.sleep(Some(Duration::from_millis(left_ms))).unwrap();
        for _ in 0..self.poller.ready_count() {
            let Some((key, _)) = self.poller.pop_ready() else { break };
            self.reached(|errands, reach| errands.on_ready(reach, key));
        }
        self.reached(Errands::on_deadline);
        self.children.reap();
    }

    #[track_caller]
    fn until(&mut self, is_done: impl Fn(&[Event]) -> bool) {
        let until_ms = clock::mono_ms() + PATIENCE_MS;
        while !is_done(&self.events) {
            assert!(clock::mono_ms() < until_ms, "{:?}", self.events);
            self.turn(1000);
        }
    }

    fn begin(&mut self, ticket: u64, params: v2::CommandExecParams) -> Result<(), Failure> {
        self.reached(|errands, reach| errands.one_offs.begin(reach, Ticket(ticket), params))
    }

    /// Lets so much time pass once a command has made this file.
    fn pass(&mut self, made: &str, ms: u64) {
        let until_ms = clock::mono_ms() + PATIENCE_MS;
        while !self.place.join(made).exists() {
            assert!(clock::mono_ms() < until_ms, "{made} does not appear");
            self.turn(10);
        }
        // What it has printed before is there to be read.
        self.turn(0);
        self.passed_ms += ms;
    }

    /// The answer to a command of either form.
    #[track_caller]
    fn answer(&mut self, ticket: u64) -> Result<v2::CommandExecResponse, Failure> {
        let is_it =
            |event: &Event| matches!(event, Event::Ended { ticket: t, .. } if t.0 == ticket);
        self.until(|events| events.iter().any(is_it));
        let place = self.events.iter().position(is_it).unwrap();
        match self.events.remove(place) {
            Event::Ended { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn ran(&mut self, params: v2::CommandExecParams) -> v2::CommandExecResponse {
        self.begin(0, params).unwrap();
        self.answer(0).unwrap()
    }

    /// What was streamed so far, and whether that is all there will be.
    fn streamed(&self, wanted: Stream) -> (String, bool) {
        let (mut text, mut is_capped) = (Vec::new(), false);
        for event in &self.events {
            if let Event::Output { stream, bytes, cap_reached, .. } = event
                && *stream == wanted
            {
                assert!(!is_capped, "nothing comes after the cap");
                text.extend_from_slice(bytes);
                is_capped |= cap_reached;
            }
        }
        (String::from_utf8(text).unwrap(), is_capped)
    }

    fn write(&mut self, id: &str, text: Option<&str>, close: bool) -> Result<(), Failure> {
        let params = v2::CommandExecWriteParams {
            process_id: id.into(),
            delta_base64: text.map(|text| STANDARD.encode(text).into()),
            close_stdin: Preset(close),
        };
        self.errands.one_offs.write(&mut self.children, &params)
    }

    fn git(&self, directory: &str, words: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@x", "-c", "init.defaultBranch=main"])
            .args(words)
            .current_dir(self.place.join(directory))
            .env("HOME", &self.place)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn diff(&mut self, cwd: &str) -> Result<v1::GitDiffToRemoteResponse, Failure> {
        let cwd = cwd.into();
        self.reached(|errands, reach| {
            errands.diffs.begin(reach, Ticket(9), &v1::GitDiffToRemoteParams { cwd })
        })?;
        self.until(|events| !events.is_empty());
        match self.events.remove(0) {
            Event::Diffed { ticket: Ticket(9), result } => result,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let until_ms = clock::mono_ms() + PATIENCE_MS;
        self.children.end_all(|| {
            clock::pause_ms(1);
            clock::mono_ms() < until_ms
        });
        // A leftover in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.place);
    }
}

fn command(words: &[&str]) -> v2::CommandExecParams {
    v2::CommandExecParams {
        command: words.iter().map(|word| (*word).into()).collect(),
        process_id: None,
        tty: Preset(false),
        stream_stdin: Preset(false),
        stream_stdout_stderr: Preset(false),
        output_bytes_cap: None,
        disable_output_cap: Preset(false),
        disable_timeout: Preset(false),
        timeout_ms: Some(PATIENCE_MS as i64),
        cwd: None,
        env: None,
        size: None,
        sandbox_policy: None,
    }
}

fn script(text: &str) -> v2::CommandExecParams {
    command(&["sh", "-c", text])
}

fn streaming(id: &str, text: &str) -> v2::CommandExecParams {
    let stream_stdout_stderr = Preset(true);
    v2::CommandExecParams { process_id: Some(id.into()), stream_stdout_stderr, ..script(text) }
}

fn first(words: &[&str], timeout_ms: i64) -> v1::ExecOneOffCommandParams {
    v1::ExecOneOffCommandParams {
        command: words.iter().map(|word| (*word).into()).collect(),
        timeout_ms: Some(timeout_ms),
        cwd: None,
        sandbox_policy: None,
    }
}

fn response(exit_code: i32, stdout: &str, stderr: &str) -> v2::CommandExecResponse {
    v2::CommandExecResponse { exit_code, stdout: stdout.into(), stderr: stderr.into() }
}

#[track_caller]
fn refused(result: Result<(), Failure>) {
    assert_eq!(result.unwrap_err().code, INVALID_REQUEST);
}

#[test]
fn both_forms_answer_with_the_streams_apart() {
    let mut desk = Desk::new();
    let text = "echo out; echo err >&2; pwd; exit 3";
    let expected = response(3, &format!("out\n{}\n", desk.place.display()), "err\n");
    assert_eq!(desk.ran(script(text)), expected);
    let params = first(&["sh", "-c", text], PATIENCE_MS as i64);
    desk.reached(|errands, reach| errands.one_offs.begin_first(reach, Ticket(4), params)).unwrap();
    assert_eq!(desk.answer(4), Ok(expected));
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let mut desk = Desk::new();
    let slow = "echo part; touch \"$0\"; sleep 1000";
    let params = command(&["sh", "-c", slow, "second"]);
    desk.begin(1, v2::CommandExecParams { timeout_ms: Some(500_000), ..params }).unwrap();
    desk.pass("second", 500_000);
    assert_eq!(desk.answer(1), Ok(response(124, "part\n", "")));
    let params = first(&["sh", "-c", slow, "first"], 700_000);
    desk.reached(|errands, reach| errands.one_offs.begin_first(reach, Ticket(4), params)).unwrap();
    desk.pass("first", 700_000);
    let failure = desk.answer(4).unwrap_err();
    let expected = (INTERNAL_ERROR, "the command timed out after 700000 ms");
    assert_eq!((failure.code, &*failure.message), expected);
    let data = failure.data.unwrap();
    assert_eq!(data.as_str(), r#"{"exitCode":124,"stdout":"part\n","stderr":""}"#);
}

#[test]
fn a_client_has_an_answer_even_if_a_command_cannot_be_ended() {
    let mut desk = Desk::new();
    let params = streaming("p", "echo begun; sleep 1000");
    desk.begin(1, v2::CommandExecParams { timeout_ms: Some(500_000), ..params }).unwrap();
    desk.until(|events| !events.is_empty());
    desk.events.clear();
    desk.passed_ms += 500_000;
    desk.reached(Errands::on_deadline);
    assert_eq!(desk.events, []);
    // Nobody has looked whether it ended.
    desk.passed_ms += KILL_GRACE_MS;
    desk.reached(Errands::on_deadline);
    let result = Ok(response(124, "", ""));
    assert_eq!(desk.events, [Event::Ended { ticket: Ticket(1), result }]);
}

#[test]
fn a_diff_that_takes_too_long_is_given_up() {
    let mut desk = Desk::new();
    cloned(&desk);
    let params = v1::GitDiffToRemoteParams { cwd: "w".into() };
    for ticket in 0..GIT_DIFFS_MAX {
        desk.reached(|errands, reach| errands.diffs.begin(reach, Ticket(ticket as u64), &params))
            .unwrap();
    }
    refused(desk.reached(|errands, reach| errands.diffs.begin(reach, Ticket(9), &params)));
    desk.reached(|errands, reach| errands.diffs.cancel(reach.children, Ticket(0)));
    desk.passed_ms += GIT_DIFF_MS;
    desk.reached(Errands::on_deadline);
    assert_eq!(desk.events.len(), GIT_DIFFS_MAX - 1);
    for event in &desk.events {
        let Event::Diffed { result: Err(failure), .. } = event else { panic!("{event:?}") };
        assert_eq!(failure.code, INTERNAL_ERROR);
    }
}

#[test]
fn streams_come_as_they_are_printed_up_to_their_cap() {
    let mut desk = Desk::new();
    let params = streaming("p", "printf 123456; printf abc >&2; printf 789");
    let params = v2::CommandExecParams { output_bytes_cap: Some(4), ..params };
    assert_eq!(desk.ran(params), response(0, "", ""));
    assert_eq!(desk.streamed(Stream::Stdout), ("1234".into(), true));
    assert_eq!(desk.streamed(Stream::Stderr), ("abc".into(), false));

    desk.events.clear();
    let params = v2::CommandExecParams { output_bytes_cap: Some(3), ..script("printf 123456") };
    assert_eq!(desk.ran(params), response(0, "123", ""));
    let params = streaming("p", "printf 123");
    desk.ran(v2::CommandExecParams { output_bytes_cap: Some(3), ..params });
    assert_eq!(desk.streamed(Stream::Stdout), ("123".into(), false));
}

#[test]
fn what_a_command_keeps_for_its_answer_is_bounded() {
    let mut desk = Desk::new();
    let text = format!("echo first; head -c {ONE_OFF_KEPT_BYTES_MAX} /dev/zero; sleep 1000");
    let disable_output_cap = Preset(true);
    desk.begin(1, v2::CommandExecParams { disable_output_cap, ..script(&text) }).unwrap();
    let failure = desk.answer(1).unwrap_err();
    assert!(failure.message.contains("printed over"), "{failure}");
    assert!(failure.data.unwrap().as_str().contains("first"));
}

#[test]
fn a_client_writes_and_ends_the_input() {
    let mut desk = Desk::new();
    let stream_stdin = Preset(true);
    desk.begin(1, v2::CommandExecParams { stream_stdin, ..streaming("p", "cat; echo end") })
        .unwrap();
    desk.write("p", Some("some "), false).unwrap();
    desk.until(|events| !events.is_empty());
    desk.write("p", Some("text\n"), true).unwrap();
    assert_eq!(desk.answer(1), Ok(response(0, "", "")));
    assert_eq!(desk.streamed(Stream::Stdout).0, "some text\nend\n");
    refused(desk.write("p", Some("late"), false));

    desk.begin(2, v2::CommandExecParams { stream_stdin, ..streaming("p", "sleep 1000") }).unwrap();
    refused(desk.write("p", None, false));
    refused(desk.write("p", Some(&"x".repeat(ONE_OFF_INPUT_BYTES_MAX + 1)), false));
    let params = v2::CommandExecWriteParams {
        process_id: "p".into(),
        delta_base64: Some("no base64!".into()),
        close_stdin: Preset(false),
    };
    refused(desk.errands.one_offs.write(&mut desk.children, &params));
    desk.write("p", None, true).unwrap();
    refused(desk.write("p", Some("late"), false));
}

#[test]
fn a_terminal_has_the_size_that_the_client_says() {
    let mut desk = Desk::new();
    let size = |rows, cols| v2::CommandExecTerminalSize { rows, cols };
    let params = streaming("t", "stty -echo; stty size; read it; stty size; echo $TERM; cat");
    let params = v2::CommandExecParams { tty: Preset(true), size: Some(size(30, 100)), ..params };
    desk.begin(1, params).unwrap();
    desk.until(|events| !events.is_empty());
    let params = |size| v2::CommandExecResizeParams { process_id: "t".into(), size };
    let resized = desk.errands.one_offs.resize(&mut desk.children, &params(size(40, 120)));
    assert_eq!(resized, Ok(()));
    refused(desk.errands.one_offs.resize(&mut desk.children, &params(size(0, 1))));
    desk.write("t", Some("it\n"), true).unwrap();
    assert_eq!(desk.answer(1), Ok(response(0, "", "")));
    assert_eq!(desk.streamed(Stream::Stdout).0, "30 100\r\n40 120\r\nxterm-256color\r\n");
    desk.begin(2, streaming("p", "sleep 1000")).unwrap();
    let params = v2::CommandExecResizeParams { process_id: "p".into(), size: size(1, 1) };
    refused(desk.errands.one_offs.resize(&mut desk.children, &params));
    refused(desk.write("p", Some("x"), false));
}

#[test]
fn a_request_changes_the_environment_and_the_directory() {
    let mut desk = Desk::with(SandboxMode::WorkspaceWrite, &[("GONE", "x"), ("KEPT", "k")]);
    fs::create_dir(desk.place.join("sub")).unwrap();
    let env = BTreeMap::from([("SET".into(), Some("s=1".into())), ("GONE".into(), None)]);
    let params = script("echo ${GONE-none} $KEPT $SET; basename $(pwd)");
    let params = v2::CommandExecParams { env: Some(env), cwd: Some("sub".into()), ..params };
    assert_eq!(desk.ran(params), response(0, "none k s=1\nsub\n", ""));
    for name in ["", "a=b", "a\0"] {
        let env = BTreeMap::from([(name.into(), None)]);
        refused(desk.begin(1, v2::CommandExecParams { env: Some(env), ..script("true") }));
    }
}

#[test]
fn the_policy_is_the_requests_or_else_our_own() {
    let mut desk = Desk::with(SandboxMode::ReadOnly, &[]);
    let text = "touch file 2>/dev/null && echo written || echo refused";
    assert_eq!(&*desk.ran(script(text)).stdout, "refused\n");
    let roots = v2::SandboxPolicy::WorkspaceWrite {
        writable_roots: Preset(Vec::new()),
        network_access: Preset(false),
        exclude_tmpdir_env_var: Preset(true),
        exclude_slash_tmp: Preset(true),
    };
    let external = v2::NetworkAccess::Enabled;
    for (policy, expected) in [
        (v2::SandboxPolicy::ReadOnly { network_access: Preset(true) }, "refused\n"),
        (roots, "written\n"),
        (v2::SandboxPolicy::DangerFullAccess, "written\n"),
        (v2::SandboxPolicy::ExternalSandbox { network_access: Maybe(Some(external)) }, "written\n"),
    ] {
        let params = v2::CommandExecParams { sandbox_policy: Some(policy), ..script(text) };
        assert_eq!(&*desk.ran(params).stdout, expected);
    }
    for (policy, expected) in [
        (v1::SandboxPolicy::ReadOnly, "refused\n"),
        (v1::SandboxPolicy::DangerFullAccess, "written\n"),
        (
            v1::SandboxPolicy::WorkspaceWrite {
                writable_roots: Maybe(None),
                network_access: Preset(false),
                exclude_tmpdir_env_var: Preset(true),
                exclude_slash_tmp: Preset(true),
            },
            "written\n",
        ),
    ] {
        let mut params = first(&["sh", "-c", text], PATIENCE_MS as i64);
        params.sandbox_policy = Some(policy);
        desk.reached(|errands, reach| errands.one_offs.begin_first(reach, Ticket(1), params))
            .unwrap();
        assert_eq!(&*desk.answer(1).unwrap().stdout, expected);
    }
}

#[test]
fn a_client_ends_a_command_and_all_that_it_started() {
    let mut desk = Desk::new();
    desk.begin(1, streaming("p", "sleep 1000 & echo begun; wait")).unwrap();
    desk.until(|events| !events.is_empty());
    let params = v2::CommandExecTerminateParams { process_id: "p".into() };
    desk.errands.one_offs.terminate(&mut desk.children, &params).unwrap();
    assert_eq!(desk.answer(1), Ok(response(128 + 15, "", "")));
    refused(desk.errands.one_offs.terminate(&mut desk.children, &params));
}

#[test]
fn senseless_requests_are_refused() {
    let mut desk = Desk::new();
    let id = || Some("p".into());
    let size = Some(v2::CommandExecTerminalSize { rows: 1, cols: 1 });
    for params in [
        command(&[]),
        command(&["a\0b"]),
        v2::CommandExecParams { tty: Preset(true), ..script("true") },
        v2::CommandExecParams { stream_stdin: Preset(true), ..script("true") },
        v2::CommandExecParams { stream_stdout_stderr: Preset(true), ..script("true") },
        v2::CommandExecParams { process_id: Some("".into()), ..script("true") },
        v2::CommandExecParams { process_id: Some("p".repeat(300).into()), ..script("true") },
        v2::CommandExecParams { timeout_ms: Some(-1), ..script("true") },
        v2::CommandExecParams { disable_timeout: Preset(true), ..script("true") },
        v2::CommandExecParams { output_bytes_cap: Some(-1), ..script("true") },
        v2::CommandExecParams { size, process_id: id(), ..script("true") },
    ] {
        refused(desk.begin(1, params));
    }
    assert_eq!(desk.begin(1, streaming("p", "sleep 1000")), Ok(()));
    refused(desk.begin(2, streaming("p", "true")));
    desk.begin(3, command(&["/no/such/program"])).unwrap();
    let failure = desk.answer(3).unwrap_err();
    assert_eq!(failure, Failure::internal("/no/such/program: no such program"));
    desk.begin(3, v2::CommandExecParams { cwd: Some("none".into()), ..script("true") }).unwrap();
    assert_eq!(desk.answer(3).unwrap_err().code, INTERNAL_ERROR);
}

#[test]
fn only_so_many_run_at_once() {
    let mut desk = Desk::new();
    for ticket in 0..ONE_OFFS_MAX {
        desk.begin(ticket as u64, command(&["sleep", "1000"])).unwrap();
    }
    refused(desk.begin(1, script("true")));
}

#[test]
fn what_streams_waits_while_the_client_takes_nothing() {
    let mut desk = Desk::new();
    let bytes = 300_000;
    desk.errands.pause(&mut desk.children);
    desk.begin(1, streaming("much", &format!("head -c {bytes} /dev/zero | tr '\\0' x"))).unwrap();
    desk.begin(2, streaming("short", "echo short")).unwrap();
    // One that keeps its output goes on meanwhile.
    assert_eq!(desk.ran(script("sleep 0.5; echo kept")), response(0, "kept\n", ""));
    assert_eq!(desk.events, []);
    desk.reached(Errands::resume);
    desk.answer(1).unwrap();
    desk.answer(2).unwrap();
    let (text, is_capped) = desk.streamed(Stream::Stdout);
    assert_eq!((text.len(), is_capped), (bytes + "short\n".len(), false));
}

/// A clone with one commit that its remote lacks, a change, and a file that git does not know.
fn cloned(desk: &Desk) -> String {
    desk.git(".", &["init", "-q", "--bare", "remote"]);
    desk.git(".", &["clone", "-q", "remote", "w"]);
    let work = desk.place.join("w");
    fs::create_dir(work.join("sub")).unwrap();
    fs::write(work.join("sub/a"), "one\ntwo\n").unwrap();
    fs::write(work.join(".gitignore"), "ignored\n").unwrap();
    desk.git("w", &["add", "."]);
    desk.git("w", &["commit", "-qm", "pushed"]);
    desk.git("w", &["push", "-q", "origin", "HEAD"]);
    let pushed = desk.git("w", &["rev-parse", "HEAD"]);
    fs::write(work.join("b"), "of a commit\n").unwrap();
    desk.git("w", &["add", "."]);
    desk.git("w", &["commit", "-qm", "not pushed"]);
    fs::write(work.join("sub/a"), "one\nchanged\n").unwrap();
    fs::write(work.join("new file"), "unknown\n").unwrap();
    fs::write(work.join("ignored"), "ignored\n").unwrap();
    pushed
}

#[test]
fn a_diff_leads_from_the_remote_to_the_working_tree() {
    let mut desk = Desk::new();
    let pushed = cloned(&desk);
    let response = desk.diff("w/sub").unwrap();
    assert_eq!(*response.sha, *pushed);
    for line in ["+changed", "-two", "+of a commit", "+unknown", "new file mode 100644"] {
        assert!(response.diff.lines().any(|it| it == line), "{line} in {}", response.diff);
    }
    assert!(!response.diff.contains("ignored"), "{}", response.diff);
    // git takes it back.
    fs::write(desk.place.join("diff"), &*response.diff).unwrap();
    desk.git("w", &["apply", "--reverse", "--check", "../diff"]);
    desk.git("w", &["push", "-q", "origin", "HEAD"]);
    assert_eq!(*desk.diff("w").unwrap().sha, *desk.git("w", &["rev-parse", "HEAD"]));
}

#[test]
fn a_hostile_repository_runs_nothing_that_matters() {
    let mut desk = Desk::new();
    let pushed = cloned(&desk);
    let touch = |name: &str| format!("touch {}; cat", desk.place.join(name).display());
    let work = desk.place.join("w");
    fs::write(work.join(".gitattributes"), "* filter=evil diff=evil\n").unwrap();
    for (key, name) in [
        ("filter.evil.clean", "evil-clean"),
        ("core.fsmonitor", "evil-monitor"),
        ("diff.external", "evil-external"),
        ("diff.evil.command", "evil-command"),
        ("diff.evil.textconv", "evil-textconv"),
        ("core.pager", "evil-pager"),
    ] {
        desk.git("w", &["config", key, &touch(name)]);
    }
    desk.git("w", &["config", "diff.noprefix", "true"]);
    desk.git("w", &["config", "diff.relative", "true"]);
    desk.git("w", &["config", "color.ui", "always"]);
    let response = desk.diff("w/sub").unwrap();
    assert_eq!(*response.sha, *pushed);
    assert!(response.diff.contains("\n--- a/sub/a\n+++ b/sub/a\n"), "{}", response.diff);
    let names = fs::read_dir(&desk.place).unwrap().map(|entry| entry.unwrap().file_name());
    let evil: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("evil")).collect();
    assert!(evil.is_empty(), "{evil:?}");
}

#[test]
fn without_a_base_or_git_there_is_no_diff() {
    let mut desk = Desk::new();
    fs::create_dir(desk.place.join("w")).unwrap();
    for cwd in ["w", "none", "w\0"] {
        assert_eq!(desk.diff(cwd).unwrap_err().code, INVALID_REQUEST, "{cwd:?}");
    }
    desk.git("w", &["init", "-q"]);
    assert_eq!(desk.diff("w").unwrap_err().code, INVALID_REQUEST, "no commit");
    desk.git("w", &["commit", "-q", "--allow-empty", "-m", "alone"]);
    assert_eq!(desk.diff("w").unwrap_err().code, INVALID_REQUEST, "no remote");

    let mut desk = Desk::with(SandboxMode::ReadOnly, &[("PATH", "/nowhere")]);
    let failure = desk.diff(".").unwrap_err();
    assert_eq!(failure, Failure::internal("git could not be run: git: no such program"));
}
