//! Sessions: commands that outlive their calls.

use super::*;

fn start(call_id: &str, cmd: &str) -> CallAsked {
    call(call_id, "exec_command", &format!(r#"{{"cmd":"{cmd}","yield_time_ms":1000}}"#))
}

fn write(call_id: &str, session: u32, chars: &str) -> CallAsked {
    let arguments = format!(r#"{{"session_id":{session},"chars":"{chars}"}}"#);
    call(call_id, "write_stdin", &arguments)
}

fn unread(text: &str) -> Unread {
    Unread { text: text.into(), dropped_bytes: 0 }
}

impl Story {
    /// Lets the awaited session say this when the patience of its call is over.
    fn yields(&mut self, op: OpId, text: &str) {
        self.wait();
        assert_eq!(self.effects, [Effect::Collect { op, thread: self.thread }]);
        self.feed(Input::Yielded { op, unread: unread(text) });
    }

    fn end_session(&mut self, op: OpId, code: i32, text: &str) {
        let ended = CommandEnded::Exited { code };
        let end = CommandResult { ended, output: "all of it".into(), lines_total: None };
        self.feed(Input::SessionEnded { op, end, unread: unread(text) });
    }

    /// The model answers with these calls.
    fn calls(&mut self, calls: Vec<CallAsked>) {
        let op = self.request_op();
        for call in calls {
            self.say(op, ModelEvent::ItemDone(Item::Call(call)));
        }
        self.say(op, completed());
    }

    fn told_end(&self) -> Option<(CallId, CommandEnd)> {
        self.events().into_iter().find_map(|event| match event {
            Event::SessionEnded { call, ended, .. } => Some((*call, *ended)),
            _ => None,
        })
    }

    /// The last output without its first two lines, which differ.
    fn told_model(&self) -> &str {
        let output = *self.outputs().last().expect("something was answered");
        match output.strip_prefix("Chunk ID: ") {
            Some(rest) => rest.splitn(3, '\n').nth(2).expect("a chunk has a head"),
            None => output,
        }
    }
}

/// A thread with one session, and its op.
fn with_session() -> (Story, OpId) {
    let mut story = Story::calling(settings(), vec![start("1", "cat")]);
    let op = story.spawn_op();
    story.yields(op, "ready\r\n");
    (story, op)
}

const EXITED_3: CommandEnd = CommandEnd::Exited { exit_code: 3 };

#[test]
fn a_command_that_ends_in_time_never_is_a_session() {
    let mut story = Story::calling(settings(), vec![start("1", "make")]);
    let op = story.spawn_op();
    assert!(story.tells(|event| matches!(event, Event::CommandStarted { call: CallId(0), .. })));
    story.now_ms += 12;
    story.end_session(op, 3, "out\n");
    assert_eq!(story.told_model(), "Process exited with code 3\nOutput:\nout\n");
    assert!(story.outputs()[0].contains("\nWall time: 0.0120 seconds\n"));
    assert_eq!(story.told_end(), Some((CallId(0), EXITED_3)));
    story.calls(vec![write("2", 0, "x")]);
    let unknown = "there is no session 0: it was never started, or its end has been told";
    assert_eq!(story.told_model(), unknown);
}

#[test]
fn a_session_is_written_to_until_it_ends() {
    let (mut story, op) = with_session();
    assert_eq!(story.told_model(), "Process running with session ID 0\nOutput:\nready\r\n");
    story.calls(vec![write("2", 0, "hello\\n")]);
    let wrote = Effect::Write { op, thread: story.thread, chars: "hello\n".into() };
    assert!(story.does(|effect| *effect == wrote));
    story.yields(op, "hello\r\n");
    assert_eq!(story.told_model(), "Process running with session ID 0\nOutput:\nhello\r\n");
    story.calls(vec![write("3", 0, "\\u0004")]);
    story.end_session(op, 3, "bye");
    assert_eq!(story.told_model(), "Process exited with code 3\nOutput:\nbye");
    assert_eq!(story.told_end(), Some((CallId(0), EXITED_3)), "the item of the start completes");
    story.calls(vec![write("4", 0, "x")]);
    assert!(story.told_model().starts_with("there is no session 0"));
}

#[test]
fn an_end_that_nobody_waits_for_is_told_at_once_and_kept() {
    let (mut story, op) = with_session();
    let request = story.request_op();
    story.end_session(op, 3, "last words");
    assert_eq!(story.told_end(), Some((CallId(0), EXITED_3)));
    story.say(request, ModelEvent::ItemDone(Item::Call(write("2", 0, "x"))));
    story.say(request, completed());
    assert!(!story.does(|effect| matches!(effect, Effect::Write { .. })));
    assert_eq!(story.told_model(), "Process exited with code 3\nOutput:\nlast words");
    assert_eq!(story.told_end(), None, "an end is told once");
    story.calls(vec![write("3", 0, "")]);
    assert!(story.told_model().starts_with("there is no session 0"));
}

#[test]
fn sessions_are_told_apart() {
    let (mut story, first) = with_session();
    story.calls(vec![start("2", "cat")]);
    let second = story.spawn_op();
    story.yields(second, "");
    assert!(story.told_model().starts_with("Process running with session ID 1\n"));
    story.calls(vec![write("3", 1, "b"), write("4", 0, "a")]);
    let wrote = |op: OpId, chars: &str| Effect::Write {
        op,
        thread: ThreadId { slot: 0, generation: 0 },
        chars: chars.into(),
    };
    assert!(story.does(|effect| *effect == wrote(second, "b")));
    story.yields(second, "b");
    assert!(story.does(|effect| *effect == wrote(first, "a")), "one after the other");
}

#[test]
fn a_session_that_says_nothing_is_not_waited_for_long() {
    let mut story = Story::calling(settings(), vec![start("1", "cat")]);
    let op = story.spawn_op();
    story.wait();
    let asked_ms = story.now_ms;
    story.wait();
    assert_eq!(story.now_ms, asked_ms + COLLECT_GRACE_MS);
    assert_eq!(story.told_model(), "Process running with session ID 0\nOutput:\n");
    story.feed(Input::Yielded { op, unread: unread("too late") });
    assert!(story.effects.is_empty());
}

#[test]
fn what_cannot_be_written_is_answered() {
    let (mut story, op) = with_session();
    story.calls(vec![write("2", 0, "x")]);
    story.feed(Input::Unwritten { op, why: "it does not read".into() });
    assert_eq!(story.told_model(), "it does not read");
    story.request_op();
}

#[test]
fn an_interrupt_stops_a_start_and_leaves_sessions_alone() {
    let (mut story, session) = with_session();
    story.calls(vec![start("2", "make")]);
    let starting = story.spawn_op();
    story.interrupt();
    let stop = Effect::Stop { op: starting, how: Stop::Interrupt };
    let stops: Vec<&Effect> =
        story.effects.iter().filter(|effect| matches!(effect, Effect::Stop { .. })).collect();
    assert_eq!(stops, [&stop]);
    assert_eq!(story.told_end(), None, "it may yet say what it has printed");
    // The session ends while the turn is stopping: that is no end of what is stopped.
    story.end_session(session, 3, "");
    assert_eq!(story.told_end(), Some((CallId(0), EXITED_3)));
    assert_eq!(story.ended(), None);
    story.end_session(starting, 130, "");
    let ended = CommandEnd::Interrupted;
    let end = Event::SessionEnded { call: CallId(1), ended, output: "all of it".into() };
    assert!(story.tells(|event| *event == end));
    let aborted = "Wall time: 0.0 seconds\naborted by user\nOutput:\nall of it";
    assert_eq!(story.told_model(), aborted);
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
}

#[test]
fn an_interrupt_of_a_write_leaves_the_session_to_the_next_turn() {
    let (mut story, op) = with_session();
    story.calls(vec![write("2", 0, "x")]);
    story.interrupt();
    assert_eq!(story.ended(), Some(&Ended::Interrupted));
    assert!(!story.does(|effect| matches!(effect, Effect::Stop { .. })));
    assert_eq!(story.told_model(), "aborted by user after 0.0s");
    story.prompt("go on");
    story.calls(vec![write("3", 0, "y")]);
    story.yields(op, "y");
    assert_eq!(story.told_model(), "Process running with session ID 0\nOutput:\ny");
}

#[test]
fn sessions_end_with_their_thread() {
    let (mut story, op) = with_session();
    story.say(story.request_op(), completed());
    assert_eq!(story.ended(), Some(&Ended::Completed));
    let thread = story.thread;
    story.command(Command::Close { thread });
    assert_eq!(story.effects, [Effect::Stop { op, how: Stop::Kill }]);
    story.end_session(op, 137, "");
    let ended = CommandEnd::Interrupted;
    let end = Event::SessionEnded { call: CallId(0), ended, output: "all of it".into() };
    assert!(story.tells(|event| *event == end));
    assert!(story.tells(|event| *event == Event::ThreadClosed));
    assert_eq!(story.agent.next_deadline(), None);
}

#[test]
fn a_session_that_does_not_end_holds_its_thread_up_for_a_moment_only() {
    for patience in [true, false] {
        let (mut story, op) = with_session();
        let thread = story.thread;
        story.say(story.request_op(), completed());
        story.command(Command::Close { thread });
        let start_ms = story.now_ms;
        if patience {
            story.wait();
            assert_eq!(story.now_ms, start_ms + KILL_GRACE_MS);
        } else {
            story.command(Command::Close { thread });
        }
        assert_eq!(story.told_end(), Some((CallId(0), CommandEnd::Interrupted)));
        assert!(story.tells(|event| *event == Event::ThreadClosed));
        story.end_session(op, 137, "");
        assert!(story.effects.is_empty(), "nobody is there to hear of it");
    }
}

#[test]
fn sessions_are_bounded_and_ended_ones_make_room() {
    let (mut story, first) = with_session();
    for number in 1..SESSIONS_MAX {
        story.calls(vec![start("n", "cat")]);
        let op = story.spawn_op();
        story.yields(op, "");
        let running = format!("Process running with session ID {number}\nOutput:\n");
        assert_eq!(story.told_model(), running);
    }
    story.calls(vec![start("n", "cat")]);
    let full = format!("{SESSIONS_MAX} sessions run already; end one of them first");
    assert_eq!(story.told_model(), full);
    let request = story.request_op();
    story.end_session(first, 0, "");
    story.say(request, ModelEvent::ItemDone(Item::Call(start("n", "cat"))));
    story.say(request, completed());
    story.spawn_op();
}

#[test]
fn a_session_that_could_not_start_is_answered_in_words() {
    let mut story = Story::calling(settings(), vec![start("1", "cat")]);
    let op = story.spawn_op();
    let ended = CommandEnded::NotStarted { why: "no terminal".into() };
    let end = CommandResult { ended, output: "".into(), lines_total: None };
    story.feed(Input::SessionEnded { op, end, unread: Unread::default() });
    assert_eq!(story.told_model(), "the command was not run: no terminal");
    assert_eq!(story.told_end(), Some((CallId(0), CommandEnd::NotStarted)));
}

#[test]
fn a_session_is_judged_like_any_command() {
    let untrusted = ThreadSettings { approval: ApprovalPolicy::Untrusted, ..settings() };
    let mut story = Story::calling(untrusted, vec![start("1", "make")]);
    assert!(story.tells(|event| matches!(event, Event::ApprovalAsked { .. })));
    story.answer(0, Decision::Approved);
    let op = story.spawn_op();
    story.yields(op, "");
    assert!(story.told_model().starts_with("Process running with session ID 0\n"));
}

#[test]
fn sessions_that_nobody_knows_of_any_more_have_ended() {
    let (mut story, op) = with_session();
    story.feed(Input::Stopped { op });
    assert_eq!(story.told_end(), Some((CallId(0), CommandEnd::Exited { exit_code: 137 })));
    let mut story = Story::calling(settings(), vec![start("1", "cat")]);
    let op = story.spawn_op();
    story.feed(Input::Stopped { op });
    assert_eq!(story.told_model(), "Process exited with code 137\nOutput:\n");
}
