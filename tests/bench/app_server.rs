//! What `app-server` costs with many threads, beside a client that only reads the same streams:
//! `cargo bench --bench app_server`.
//!
//! Each thread runs one turn of 100 deltas in ten seconds. The bench is provider, client and floor
//! in one loop. Nothing here fails because the machine is slow; `WINDLASS_LONG=1` adds a thousand
//! threads, and words after `--` are the numbers of threads to measure instead.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod slow_streams;
#[path = "../support/mod.rs"]
mod support;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

use slow_streams::{BUSY, CALLS, DELTAS, LISTENER, PERIOD, Provider, READERS, Reader, contains};
use support::outside;

const STDOUT: Token = Token(1);
const DEADLINE: Duration = Duration::from_secs(300);

fn main() {
    let program = std::env::var_os("WINDLASS_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_windlass").into(), PathBuf::from);
    println!("measured: {}", program.display());
    let given: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let mut counts = vec![1, 10, 100, 500];
    if std::env::var_os("WINDLASS_LONG").is_some() {
        counts.push(1000);
    }
    let counts = if given.is_empty() { counts } else { given };
    println!("{:<52} {:>10} {:>10}", "", "target", "measured");
    for count in counts {
        streams(&program, count);
    }
    fairness(&program);
}

/// One line of the table.
fn row(what: &str, target: f64, measured: f64) {
    let verdict = if measured <= target { "met" } else { "MISSED" };
    println!("{what:<52} {target:>10.2} {measured:>10.2}  {verdict}");
}

fn streams(program: &Path, count: usize) {
    let floor = floor(count);
    let mut bench = Bench::new(program);
    let base_kib = bench.server.memory_kib();
    let began = Instant::now();
    // What is needed once is there after the first half.
    let mut threads = bench.threads(count.div_ceil(2));
    let half_kib = bench.server.memory_kib();
    threads.extend(bench.threads(count / 2));
    let opened = began.elapsed();
    let idle_kib = bench.server.memory_kib();

    let before = bench.server.spent();
    let began = Instant::now();
    for thread in &threads {
        bench.server.turn(thread, "hi");
    }
    let last = format!("\"threadId\":\"{}\"", threads[count - 1]);
    bench.until(|server| server.first_delta_of(&last).is_some());
    let first_delta = began.elapsed();
    bench.until(|_| began.elapsed() > PERIOD * DELTAS as u32 / 2);
    let active_kib = bench.server.memory_kib();
    bench.until(|server| server.completed == count);
    let took = began.elapsed();
    let after = bench.server.spent();
    let done_kib = bench.server.memory_kib();

    println!("{count} threads, floor {:.2} s", floor.as_secs_f64());
    row("  wall time over the floor", 1.05, took.as_secs_f64() / floor.as_secs_f64());
    // The provider itself waits this long before it says the first word.
    let beyond = first_delta.saturating_sub(PERIOD);
    row("  first delta of the last thread, s", 0.5, beyond.as_secs_f64());
    let each = |kib: u64| kib.saturating_sub(base_kib) as f64 / count as f64;
    if count >= 100 {
        let further = (idle_kib - half_kib) as f64 / (count / 2) as f64;
        row("  RSS for each further idle thread, KB", 2.0, further);
        row("  RSS for each active thread, KB", 24.0, each(active_kib));
        row("  RSS for each thread after its turn, KB", 24.0, each(done_kib));
    }
    row("  OS threads", 1.0, bench.server.lanes_max as f64);
    println!(
        "  opened in {:.3} s; base {base_kib} KiB; of a delta: {:.2} writes, {:.1} us cpu",
        opened.as_secs_f64(),
        (after.writes - before.writes) as f64 / (count * DELTAS) as f64,
        (after.cpu_us - before.cpu_us) / (count * DELTAS) as f64,
    );
}

/// How long it takes to read as many streams and do nothing else.
fn floor(count: usize) -> Duration {
    let mut poll = Poll::new().unwrap();
    let mut provider = Provider::new(poll.registry());
    let mut events = Events::with_capacity(1024);
    let began = Instant::now();
    let mut readers = Vec::new();
    for index in 0..count {
        readers.push(Reader::new(poll.registry(), provider.port, index));
        // Nobody waits for a place in the queue of those who knock.
        provider.accept(poll.registry());
    }
    while readers.iter().any(|reader| !reader.is_over) {
        assert!(began.elapsed() < DEADLINE, "the streams do not end");
        sleep(&mut poll, &mut events, &provider);
        for event in &events {
            match event.token() {
                LISTENER => provider.accept(poll.registry()),
                Token(token) if token >= READERS => readers[token - READERS].on_ready(),
                token => provider.on_ready(token),
            }
        }
        provider.tell();
    }
    began.elapsed()
}

/// How much longer a turn of many tool calls takes while others stream.
fn fairness(program: &Path) {
    let others = 499;
    let alone = busy(program, 0);
    let among = busy(program, others);
    println!("one turn of {CALLS} tool calls: {alone:.2?} alone, {among:.2?} among {others}");
    row("  time among others over time alone", 2.0, among.as_secs_f64() / alone.as_secs_f64());
}

/// How long a turn of many tool calls takes while so many others stream.
fn busy(program: &Path, others: usize) -> Duration {
    let mut bench = Bench::new(program);
    let threads = bench.threads(others + 1);
    for thread in &threads[..others] {
        bench.server.turn(thread, "hi");
    }
    bench.until(|server| server.first_deltas.len() == others);
    let began = Instant::now();
    bench.server.turn(&threads[others], BUSY);
    let last = format!("\"threadId\":\"{}\"", threads[others]);
    bench.until(|server| server.ended.iter().any(|line| line.contains(&last)));
    let took = began.elapsed();
    assert!(others == 0 || bench.server.completed < others, "the streams were over before");
    took
}

fn sleep(poll: &mut Poll, events: &mut Events, provider: &Provider) {
    let now = Instant::now();
    let wait = provider.next_due().map_or(PERIOD, |at| at.saturating_duration_since(now));
    if let Err(error) = poll.poll(events, Some(wait.min(PERIOD))) {
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
}

struct Bench {
    poll: Poll,
    events: Events,
    provider: Provider,
    server: Server,
}

impl Bench {
    /// A server that has been introduced to its client.
    fn new(program: &Path) -> Bench {
        let poll = Poll::new().unwrap();
        let provider = Provider::new(poll.registry());
        let server = Server::start(program, provider.port);
        let fd = server.stdout.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), STDOUT, Interest::READABLE).unwrap();
        let mut bench = Bench { poll, events: Events::with_capacity(1024), provider, server };
        let info = json!({"name": "bench", "version": "1"});
        bench.server.ask("initialize", &json!({"clientInfo": info}));
        bench.until(|server| server.answers.len() == 1);
        bench
    }

    /// Opens so many threads and gives their ids.
    fn threads(&mut self, count: usize) -> Vec<String> {
        self.server.answers.clear();
        let params = json!({
            "cwd": self.server.place, "sandbox": "danger-full-access", "approvalPolicy": "never",
        });
        for _ in 0..count {
            self.server.ask("thread/start", &params);
        }
        self.until(|server| server.answers.len() == count);
        let id = |answer: &Value| answer["result"]["thread"]["id"].as_str().unwrap().to_owned();
        self.server.answers.drain(..).map(|answer| id(&answer)).collect()
    }

    fn until(&mut self, mut holds: impl FnMut(&Server) -> bool) {
        let began = Instant::now();
        while !holds(&self.server) {
            assert!(began.elapsed() < DEADLINE, "never; last: {}", self.server.last_line());
            self.server.write();
            sleep(&mut self.poll, &mut self.events, &self.provider);
            for event in &self.events {
                match event.token() {
                    LISTENER => self.provider.accept(self.poll.registry()),
                    STDOUT => {}
                    token => self.provider.on_ready(token),
                }
            }
            self.provider.tell();
            self.server.read();
        }
    }
}

struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: File,
    place: PathBuf,
    unsaid: Vec<u8>,
    heard: Vec<u8>,
    next_id: i64,
    answers: Vec<Value>,
    /// Turns that are over.
    completed: usize,
    /// Lines with the first delta of each turn.
    first_deltas: Vec<String>,
    /// Lines that told so.
    ended: Vec<String>,
    lanes_max: usize,
}

#[derive(Clone, Copy)]
struct Spent {
    /// System calls that write to pipes and files.
    writes: u64,
    cpu_us: f64,
}

impl Server {
    fn start(program: &Path, port: u16) -> Server {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{port}"));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(&place).unwrap();
        let mut command = Command::new(program);
        command.arg("app-server").env_clear().current_dir(&place);
        command.env("PATH", std::env::var("PATH").unwrap());
        command.env("HOME", &place).env("WINDLASS_HOME", place.join("home"));
        std::fs::create_dir_all(place.join("home")).unwrap();
        command.env("OPENAI_BASE_URL", format!("http://127.0.0.1:{port}/v1"));
        command.env("CODEX_API_KEY", "sk-bench");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = File::from(OwnedFd::from(child.stdout.take().unwrap()));
        outside::set_nonblocking(stdin.as_raw_fd());
        outside::set_nonblocking(stdout.as_raw_fd());
        Server {
            child,
            stdin,
            stdout,
            place,
            unsaid: Vec::new(),
            heard: Vec::new(),
            next_id: 0,
            answers: Vec::new(),
            completed: 0,
            first_deltas: Vec::new(),
            ended: Vec::new(),
            lanes_max: 0,
        }
    }

    fn ask(&mut self, method: &str, params: &Value) {
        self.next_id += 1;
        let line = json!({"id": self.next_id, "method": method, "params": params});
        writeln!(self.unsaid, "{line}").unwrap();
    }

    fn turn(&mut self, thread: &str, text: &str) {
        let input = json!([{"type": "text", "text": text}]);
        self.ask("turn/start", &json!({"threadId": thread, "input": input}));
    }

    fn write(&mut self) {
        while !self.unsaid.is_empty() {
            match self.stdin.write(&self.unsaid) {
                Ok(count) => drop(self.unsaid.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn read(&mut self) {
        let is_open = slow_streams::read(&mut self.stdout, &mut self.heard);
        assert!(is_open, "the server left: {}", self.last_line());
        let heard = std::mem::take(&mut self.heard);
        let mut rest = heard.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.hear(&rest[..end]);
            rest = &rest[end + 1..];
        }
        self.heard = rest.to_vec();
    }

    fn hear(&mut self, line: &[u8]) {
        let head = &line[..line.len().min(48)];
        if contains(head, "item/agentMessage/delta") {
            return;
        }
        if head.starts_with(b"{\"id\"") {
            self.answers.push(serde_json::from_slice(line).unwrap());
        } else if contains(head, "\"turn/completed\"") {
            assert!(
                contains(line, "\"status\":\"completed\""),
                "{}",
                String::from_utf8_lossy(line)
            );
            self.completed += 1;
            self.ended.push(String::from_utf8(line.to_vec()).unwrap());
            let lanes = outside::threads_count(self.child.id().cast_signed());
            self.lanes_max = self.lanes_max.max(lanes.unwrap_or(0));
        } else if contains(head, "\"item/started\"") && contains(line, "\"agentMessage\"") {
            self.first_deltas.push(String::from_utf8(line.to_vec()).unwrap());
        }
    }

    /// The line that begins the message of this thread.
    fn first_delta_of(&self, thread: &str) -> Option<&String> {
        self.first_deltas.iter().find(|line| line.contains(thread))
    }

    fn last_line(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    fn memory_kib(&self) -> u64 {
        outside::status_kib(self.child.id().cast_signed(), "VmRSS").unwrap()
    }

    fn spent(&self) -> Spent {
        let pid = self.child.id();
        let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let number = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        let scheduled = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        let cpu_ns: f64 = scheduled.split(' ').next().unwrap().parse().unwrap();
        Spent { writes: number("syscw:"), cpu_us: cpu_ns / 1e3 }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.place);
    }
}
