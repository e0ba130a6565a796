use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::config::providers::Provider;
use crate::core::effect::{Effect, Stop};
use crate::fronts::exec::Exec;
use crate::fronts::exec::jsonl::{Jsonl, ReasoningShown};
use crate::host::FRONT;
use crate::host::net::{Call, Net, Trust};
use crate::host::poller::Poller;
use crate::host::rollouts::{Keeping, Rollouts};
use crate::host::routes::Routes;
use crate::host::seam::Front;
use crate::wire::dialect::Dialect;
use crate::wire::http::Method;
use crate::wire::url::Url;
use crate::words::command::Command;
use crate::words::item::Part;
use crate::words::samples::settings;
use crate::words::settings::{OpeningFacts, ThreadSettings};

/// Prompts, each a piece of the request: more together than the kernel takes for a peer that does
/// not read.
const PROMPTS: usize = 60;
const PROMPT_BYTES: usize = 256 << 10;

/// A turn whose large request goes to a server that does not read yet.
struct World {
    poller: Poller,
    net: Net,
    seam: Seam,
    responses: Responses,
    routes: Routes,
    recording: Option<Recording>,
    op: OpId,
    server: TcpStream,
}

impl World {
    fn new() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let front = Exec::jsonl(Jsonl::new(ReasoningShown::Hidden));
        let mut seam = Seam::new(7, Rollouts::new(Keeping::Nothing), Front::Exec(Box::new(front)));
        let settings = ThreadSettings { stream_retries_max: 0, ..settings() };
        command(&mut seam, Command::Start { settings: Box::new(settings) });
        let thread = seam.thread.unwrap();
        for _ in 0..PROMPTS {
            let parts = vec![Part::Text("x".repeat(PROMPT_BYTES).into())];
            command(&mut seam, Command::Prompt { thread, parts });
        }
        let Some(Effect::Open { op, .. }) = seam.deeds.pop_front() else { panic!("facts first") };
        seam.feed(Input::Opened { op, facts: OpeningFacts::default() });
        let Some(Effect::Request { op, .. }) = seam.deeds.pop_front() else { panic!("a request") };

        let mut poller = Poller::new().unwrap();
        let mut net = Net::new(Trust::default(), |_| panic!("nothing is looked up"));
        let call = Call {
            method: Method::Post,
            url: Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap(),
            headers: Vec::new(),
            body_bytes: Dialect::Responses.length(&seam.agent.request_view(op).unwrap(), &[]),
            connect_ms: 10_000,
            idle_ms: 10_000,
        };
        let exchange = net.start(&mut poller, 0, call, op.packed()).unwrap();
        let mut responses = Responses::default();
        responses.add(op, thread, exchange, Dialect::Responses, 0);
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        let routes = Routes::one(Provider::demo(), Err("nobody asks".into()));
        World { poller, net, seam, responses, routes, recording: None, op, server }
    }

    /// One revolution of the loop; how many sources were ready.
    fn turn(&mut self) -> usize {
        self.poller.sleep(Some(Duration::from_millis(20))).unwrap();
        let count = self.poller.ready_count();
        for _ in 0..count {
            let Some((key, readiness)) = self.poller.pop_ready() else { break };
            let World { poller, net, seam, responses, routes, recording, .. } = self;
            let mut ear = Ear { responses, routes, seam, recording };
            net.on_ready(poller, 0, key, readiness, &mut ear);
        }
        count
    }

    /// Sends until the server's buffers are full.
    fn fill(&mut self) {
        while self.turn() > 0 {}
        assert_eq!(self.net.counts().0, 1, "it is in mid send");
    }

    fn interrupt(&mut self) {
        let thread = self.seam.thread.unwrap();
        command(&mut self.seam, Command::Interrupt { thread });
    }

    /// The server reads all there is.
    fn drain(&mut self) {
        let mut piece = vec![0; 1 << 20];
        while self.server.read(&mut piece).is_ok_and(|count| count > 0) {}
    }
}

fn command(seam: &mut Seam, command: Command) {
    seam.feed(Input::Command { front: FRONT, command });
}

#[test]
fn a_turn_that_was_stopped_lends_no_more_of_its_request() {
    let mut world = World::new();
    world.fill();
    world.interrupt();
    assert!(world.seam.agent.request_view(world.op).is_none());
    // The stop is not performed yet, and the server goes on reading.
    let stop = Effect::Stop { op: world.op, how: Stop::Interrupt };
    assert_eq!(world.seam.deeds, [stop]);
    let mut turns_count = 0;
    while world.net.counts().0 > 0 {
        world.drain();
        world.turn();
        turns_count += 1;
        assert!(turns_count < 100, "it spins");
    }
    assert!(world.responses.live.is_empty(), "the exchange failed: it was told once");
    let stdout = String::from_utf8(world.seam.output.stdout.clone()).unwrap();
    assert_eq!(stdout.lines().count(), 2, "whoever stopped it need not be told: {stdout}");
    assert!(world.seam.front.is_finished());
    assert_eq!(world.turn(), 0, "nothing is left to be served");
    // The stop finds nothing, and what it says comes too late.
    let late = world.seam.agent.late_count();
    assert_eq!(world.responses.take(world.op), None);
    world.seam.feed(Input::Stopped { op: world.op });
    assert_eq!(world.seam.agent.late_count(), late + 1);
}

#[test]
fn a_response_nobody_waits_for_lends_nothing() {
    let mut world = World::new();
    world.fill();
    let exchange = world.responses.take(world.op);
    assert!(exchange.is_some());
    // Should its exchange not be cancelled, it fails by itself.
    let mut turns_count = 0;
    while world.net.counts().0 > 0 {
        world.drain();
        world.turn();
        turns_count += 1;
        assert!(turns_count < 100, "it spins");
    }
    assert_eq!(world.turn(), 0);
}
