use super::*;
use crate::fronts::exec::jsonl::ReasoningShown;
use crate::fronts::exec::plain::{Looks, Stdout, Thinking};
use crate::fronts::exec::style::Paint;
use crate::words::call::{
    Answer, CallAsked, CallKind, Change, ChangeKind, CommandAnswer, Task, TaskStatus, aborted,
};
use crate::words::event::{CommandEnd, Failed};
use crate::words::ids::{CallId, ConversationId, TurnId};
use crate::words::item::{Message, Output as ItemOutput, Reasoning};
use crate::words::model::{FailureKind, RateLimits, Usage};
use crate::words::samples;
use crate::words::settings::{ReasoningSettings, ShellForm, ThreadSettings};

/// A thread's history and what was told of it, as a test makes it up.
#[derive(Default)]
struct Story {
    items: Vec<Item>,
    events: Vec<Event>,
}

impl Story {
    /// A thread that started and took a prompt.
    fn begun() -> Story {
        let mut story = Story::default();
        let conversation = ConversationId::v7(0x0199_0000_0000, [0x11; 10]);
        story.tell(Event::ThreadStarted { conversation, resumed: false });
        story.tell(Event::TurnStarted { turn: TurnId(1) });
        let item = story.item(Item::Message(Message::text(Role::User, "fix the test")));
        story.tell(Event::PromptTaken { item });
        story
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    fn item(&mut self, item: Item) -> ItemIndex {
        self.items.push(item);
        ItemIndex(self.items.len() as u32 - 1)
    }

    fn completed(&mut self, item: Item) {
        let item = self.item(item);
        self.tell(Event::ItemCompleted { item });
    }

    fn said(&mut self, text: &str) {
        self.completed(Item::Message(Message::text(Role::Assistant, text)));
    }

    fn call(&mut self, name: &str, arguments: &str) -> ItemIndex {
        self.item(Item::Call(CallAsked {
            kind: CallKind::Function,
            call_id: "c".into(),
            name: name.into(),
            arguments: arguments.into(),
            id: None,
        }))
    }

    fn output(&mut self, answer: Answer) -> ItemIndex {
        self.item(Item::Output(ItemOutput {
            call_id: "c".into(),
            kind: CallKind::Function,
            answer,
        }))
    }

    fn started(&mut self, call: u32, argv: &[&str]) {
        let item = self.call("shell", "{}");
        self.tell(Event::CommandStarted {
            call: CallId(call),
            item,
            argv: argv.iter().map(|&word| word.into()).collect(),
            cwd: "/w".into(),
        });
    }

    fn ended(&mut self, call: u32, exit_code: i32, output: &str) {
        let item = self.output(Answer::Command(CommandAnswer {
            exit_code,
            wall_ms: 12,
            output: output.into(),
            lines_total: None,
        }));
        let ended = CommandEnd::Exited { exit_code };
        self.tell(Event::CommandEnded { call: CallId(call), item, ended });
    }

    fn refused(&mut self, call: u32, ended: CommandEnd, text: &str) {
        let item = self.output(Answer::failure(text));
        self.tell(Event::CommandEnded { call: CallId(call), item, ended });
    }

    fn patched(&mut self, call: u32, applied: bool, text: &str) {
        let item = self.call("apply_patch", "{}");
        let changes = changes();
        let started = changes.clone();
        self.tell(Event::PatchStarted { call: CallId(call), item, changes: started });
        let item = self.output(Answer::Text { text: text.into(), success: applied });
        self.tell(Event::PatchEnded { call: CallId(call), item, changes, applied });
    }

    fn tasks(&mut self, tasks: &[(&str, TaskStatus)]) {
        let task = |&(step, status): &(&str, TaskStatus)| Task { step: step.into(), status };
        self.tell(Event::TasksUpdated { tasks: tasks.iter().map(task).collect() });
    }

    fn over(&mut self, how: Ended) {
        let usage = Usage { input: 1, output: 1, total: 2, ..Usage::default() };
        self.tell(Event::TurnEnded { turn: TurnId(1), how, usage });
    }

    /// Tells a front everything.
    fn told(&self, mut exec: Exec) -> (Exec, String, String) {
        let mut out = Output::default();
        for event in &self.events {
            exec.told(event, &self.items, &mut out);
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exec, text(out.stdout), text(out.stderr))
    }

    fn lines(&self) -> (Exec, String, String) {
        self.told(Exec::jsonl(Jsonl::new(ReasoningShown::Summary)))
    }

    fn shown(&self, looks: Looks) -> (Exec, String, String) {
        self.told(Exec::plain(Plain::new(&settings(), looks)))
    }
}

fn settings() -> ThreadSettings {
    let mut settings = samples::settings();
    settings.sandbox.writable_roots = vec!["/data".into()];
    settings.tools.shell = ShellForm::Line;
    ThreadSettings {
        model: "gpt-5.1".into(),
        provider: "openai".into(),
        shell: "/bin/bash".into(),
        reasoning: ReasoningSettings {
            supported: true,
            effort: Some("high".into()),
            summary: Some("auto".into()),
        },
        originator: "codex_exec".into(),
        ..settings
    }
}

fn changes() -> Vec<Change> {
    let change = |path: &str, kind, moved_to: Option<&str>, diff: &str| Change {
        path: path.into(),
        kind,
        moved_to: moved_to.map(Into::into),
        before: None,
        over: None,
        diff: diff.into(),
    };
    vec![
        change("/w/new.txt", ChangeKind::Add, None, "@@ -0,0 +1 @@\n+hello\n"),
        change("/w/a.txt", ChangeKind::Update, Some("/w/b.txt"), "@@ -1 +1 @@\n-a\n+b\n"),
        change("/w/old.txt", ChangeKind::Delete, None, "@@ -1 +0,0 @@\n-bye\n"),
    ]
}

fn reasoning(summary: &[&str]) -> Item {
    Item::Reasoning(Reasoning {
        summary: summary.iter().map(|&text| text.into()).collect(),
        content: vec!["raw thought".into()],
        encrypted: None,
        id: None,
    })
}

/// A turn with something of everything.
fn long_story() -> Story {
    let mut story = Story::begun();
    story.tell(Event::Warning { message: "unknown model".into() });
    story.tell(Event::CompactionStarted);
    story.tell(Event::Compacted { summary: ItemIndex(0) });
    story.completed(reasoning(&["Look at\nthe file", "Then fix"]));
    story.completed(reasoning(&[]));
    story.tell(Event::TextDelta { from_bytes: 0 });
    story.said("I will look");
    story.tell(Event::Tokens {
        last: Usage::default(),
        turn: Usage::default(),
        total: Usage::default(),
    });
    story.started(0, &["bash", "-lc", "cat a.txt"]);
    story.started(1, &["bash", "-lc", "it's \"x\""]);
    story.ended(1, 2, "no\u{1b}[31m\n");
    story.ended(0, 0, "hello\n");
    story.started(2, &["rm", "-rf", "/"]);
    story.refused(2, CommandEnd::Declined, "rejected by user");
    story.started(3, &["/missing"]);
    story.refused(3, CommandEnd::NotStarted, "no such file");
    story.tasks(&[("read", TaskStatus::Completed), ("edit", TaskStatus::InProgress)]);
    story.patched(4, true, "ok");
    let item = story.call("read_file", "{\n\"path\":\"/w/a\"}");
    let output = story.output(Answer::failure("no such file"));
    story.tell(Event::CallAnswered { call: CallId(5), item, output });
    story.tasks(&[("read", TaskStatus::Completed), ("edit", TaskStatus::Completed)]);
    story.tell(Event::Retrying {
        attempt: 1,
        attempts_max: 5,
        delay_ms: 200,
        message: "stream closed".into(),
    });
    story.tell(Event::ServedStarted);
    story.completed(Item::Served {
        json:
            "{\"type\":\"web_search_call\",\n\"action\":{\"type\":\"search\",\n\"query\":\"mio\"}}"
                .into(),
        query: "mio".into(),
        id: None,
    });
    story.said("Done \"now\"\u{7}");
    story.tell(Event::Tokens {
        last: Usage::default(),
        turn: Usage::default(),
        total: Usage {
            input: 4000,
            cached_input: 1600,
            cache_write_input: 7,
            output: 80,
            reasoning_output: 20,
            total: 4080,
        },
    });
    story.over(Ended::Completed);
    story
}

const LONG_STORY_LINES: &str = include_str!("../../../tests/snapshots/exec_long_turn.jsonl");

const LONG_STORY_SHOWN: &str = include_str!("../../../tests/snapshots/exec_long_turn.txt");

fn without_version(shown: &str) -> &str {
    shown.strip_prefix(concat!("windlass ", env!("CARGO_PKG_VERSION"), "\n")).unwrap()
}

#[test]
fn a_search_that_never_ends_keeps_its_number_to_itself() {
    let served = || Item::Served { json: "{}".into(), query: "q".into(), id: None };
    let mut story = Story::begun();
    story.tell(Event::ServedStarted);
    story.tell(Event::Retrying {
        attempt: 1,
        attempts_max: 5,
        delay_ms: 200,
        message: "stream closed".into(),
    });
    story.completed(served());
    story.tell(Event::ServedStarted);
    story.tell(Event::ServedStarted);
    story.completed(served());
    let (_, stdout, _) = story.lines();
    let numbers: Vec<(&str, &str)> = stdout
        .lines()
        .filter(|line| line.contains("\"web_search\""))
        .map(|line| (&line[14..21], line.split("item_").nth(1).unwrap().split_at(1).0))
        .collect();
    let (begun, whole) = ("started", "complet");
    // What is told of at its end alone is begun there.
    let expected =
        [(begun, "0"), (begun, "1"), (whole, "1"), (begun, "2"), (begun, "3"), (whole, "3")];
    assert_eq!(numbers, expected);
}

#[test]
fn programs_read_one_exact_line_for_each_event() {
    let (exec, stdout, stderr) = long_story().lines();
    assert_eq!(stdout, LONG_STORY_LINES);
    assert_eq!(stderr, "");
    assert_eq!((exec.is_finished(), exec.exit_code()), (true, EXIT_COMPLETED));
    assert_eq!(exec.last_message(), None);
}

#[test]
fn the_last_message_is_kept_where_it_is_wanted() {
    let front = Exec::jsonl(Jsonl::new(ReasoningShown::Summary)).keeping_last_message();
    let (exec, ..) = long_story().told(front);
    assert_eq!(exec.last_message(), Some("Done \"now\"\u{7}"));
}

#[test]
fn every_line_is_json() {
    let (_, stdout, _) = long_story().lines();
    for line in stdout.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn people_read_blocks_on_stderr_and_the_final_message_on_stdout() {
    let (exec, stdout, stderr) = long_story().shown(Looks::default());
    assert_eq!(without_version(&stderr), LONG_STORY_SHOWN);
    assert_eq!(stdout, "Done \"now\"\u{7}\n", "a pipe gets the message unchanged");
    assert_eq!(exec.exit_code(), EXIT_COMPLETED);
}

#[test]
fn colours_change_nothing_but_colours() {
    let looks = Looks { paint: Paint::On, ..Looks::default() };
    let (_, _, stderr) = long_story().shown(looks);
    assert!(stderr.contains("\x1b[1;35mexec \x1b[0mbash"), "{stderr}");
    assert_eq!(without_version(&visible::block(&stderr)), LONG_STORY_SHOWN);
}

#[test]
fn a_terminal_gets_the_message_once_and_made_safe() {
    let on = |stdout| long_story().shown(Looks { stdout, ..Looks::default() }).1;
    assert_eq!(on(Stdout::Terminal), "Done \"now\"\u{2407}\n");
    assert_eq!(on(Stdout::SameTerminal), "");
}

#[test]
fn raw_or_no_reasoning_is_shown_when_asked_for() {
    let on = |reasoning| long_story().shown(Looks { reasoning, ..Looks::default() }).2;
    assert!(on(Thinking::Raw).contains("thinking\nraw thought\n"));
    assert!(!on(Thinking::Hidden).contains("thinking"));
    let hidden = Exec::jsonl(Jsonl::new(ReasoningShown::Hidden));
    assert!(!long_story().told(hidden).1.contains("reasoning\""));
}

#[test]
fn a_failed_turn_says_so_and_exits_with_1() {
    let mut story = Story::begun();
    story.said("half");
    story.tasks(&[("read", TaskStatus::Pending)]);
    let kind = Failed::Model(FailureKind::Stream);
    story.over(Ended::Failed { kind, message: "stream ended early".into() });

    let (exec, stdout, _) = story.lines();
    let tail = stdout.lines().skip(4).collect::<Vec<_>>();
    assert!(tail[0].starts_with(r#"{"type":"item.completed","item":{"id":"item_1","type":"todo_"#));
    assert_eq!(tail[1], r#"{"type":"error","message":"stream ended early"}"#);
    assert_eq!(tail[2], r#"{"type":"turn.failed","error":{"message":"stream ended early"}}"#);
    assert_eq!(tail.len(), 3);
    assert_eq!(exec.exit_code(), EXIT_FAILED);

    let looks = Looks { paint: Paint::On, ..Looks::default() };
    let (_, stdout, stderr) = story.shown(looks);
    assert_eq!(stdout, "");
    assert!(stderr.contains("\x1b[1;31mERROR\x1b[0m\n\x1b[1;31mstream ended early\x1b[0m\n"));
}

#[test]
fn an_interrupted_turn_is_no_success() {
    let mut story = Story::begun();
    story.started(0, &["sleep", "9"]);
    story.tell(Event::TurnStopping { turn: TurnId(1) });
    story.refused(0, CommandEnd::Interrupted, &aborted(1_200, "user", "so far\n"));
    story.over(Ended::Interrupted);
    let (exec, stdout, _) = story.lines();
    assert!(stdout.contains(r#""aggregated_output":"so far\n","exit_code":-1,"status":"failed""#));
    assert!(!stdout.contains("turn.completed"));
    assert!(!stdout.contains("turn.failed"), "that is for failures, which the SDK throws");
    assert_eq!(exec.exit_code(), EXIT_INTERRUPTED);
    let (_, _, stderr) = story.shown(Looks::default());
    let told = "interrupting...\nexec sleep 9 in /w\n interrupted:\nso far\n";
    assert!(stderr.contains(told));
}

#[test]
fn a_session_is_one_item_from_its_start_to_its_end() {
    let mut story = Story::begun();
    story.started(0, &["sh", "-c", "cat"]);
    let output = story.output(Answer::Text { text: "Chunk ID: 1".into(), success: true });
    let item = ItemIndex(1);
    story.tell(Event::CallAnswered { call: CallId(0), item, output });
    story.said("it runs");
    let ended = CommandEnd::Exited { exit_code: 3 };
    let end = Event::SessionEnded { call: CallId(0), ended, output: "all\r\n".into() };
    story.tell(end.clone());
    story.over(Ended::Completed);
    story.tell(end);
    let (_, stdout, _) = story.lines();
    let item = r#""type":"command_execution","command":"sh -c cat","aggregated_output""#;
    let completed = format!(
        r#"{{"type":"item.completed","item":{{"id":"item_0",{item}:"all\r\n","exit_code":3,"status":"failed"}}}}"#
    );
    assert!(stdout.contains(&completed), "{stdout}");
    assert_eq!(stdout.matches("command_execution").count(), 2);
    let (_, _, stderr) = story.shown(Looks::default());
    assert!(stderr.contains("exec sh -c cat in /w\n goes on\n"), "{stderr}");
    assert!(stderr.contains("exec sh -c cat in /w\n exited 3:\nall\n"), "{stderr}");
}

#[test]
fn a_session_that_is_left_running_ends_before_its_turn() {
    let mut story = Story::begun();
    story.started(0, &["top"]);
    let output = story.output(Answer::Text { text: "Chunk ID: 1".into(), success: true });
    story.tell(Event::CallAnswered { call: CallId(0), item: ItemIndex(1), output });
    story.tasks(&[("watch", TaskStatus::Completed)]);
    story.over(Ended::Completed);
    let (mut exec, stdout, _) = story.lines();
    assert!(!stdout.contains("turn.completed") && !exec.is_finished(), "{stdout}");
    assert!(exec.takes_leave() && !exec.takes_leave());
    let (call, ended) = (CallId(0), CommandEnd::Interrupted);
    story.tell(Event::SessionEnded { call, ended, output: "so far".into() });
    story.tell(Event::ThreadClosed);
    let (exec, stdout, _) = story.lines();
    assert_eq!((exec.is_finished(), exec.exit_code()), (true, EXIT_COMPLETED));
    let lines: Vec<&str> = stdout.lines().collect();
    let [.., session, tasks, turn] = lines.as_slice() else { panic!("{stdout}") };
    assert_eq!(
        *session,
        r#"{"type":"item.completed","item":{"id":"item_0","type":"command_execution","command":"top","aggregated_output":"so far","exit_code":-1,"status":"failed"}}"#
    );
    assert!(tasks.contains("todo_list") && turn.contains("turn.completed"), "{stdout}");
}

#[test]
fn a_patch_that_was_not_applied_failed() {
    let mut story = Story::begun();
    story.patched(0, false, "file changed meanwhile");
    let item = story.output(Answer::failure("not a patch"));
    let changes = Vec::new();
    story.tell(Event::PatchEnded { call: CallId(1), item, changes, applied: false });
    let (_, stdout, _) = story.lines();
    assert_eq!(stdout.matches("file_change").count(), 2, "a bad patch emits nothing");
    assert!(stdout.ends_with("\"kind\":\"delete\"}],\"status\":\"failed\"}}\n"));
    let (_, _, stderr) = story.shown(Looks::default());
    assert!(stderr.contains("patch not applied:\nfile changed meanwhile\n"));
}

#[test]
fn a_thread_that_did_not_open_leaves_stdout_empty() {
    for exec in
        [Exec::jsonl(Jsonl::default()), Exec::plain(Plain::new(&settings(), Looks::default()))]
    {
        let mut story = Story::default();
        story.tell(Event::ThreadFailed { message: "no such session".into() });
        let (exec, stdout, stderr) = story.told(exec);
        assert_eq!((exec.is_finished(), exec.exit_code()), (true, EXIT_FAILED));
        assert_eq!(stdout, "");
        assert!(stderr.contains("no such session"));
    }
}

#[test]
fn a_refused_prompt_ends_the_run_but_a_vain_interrupt_does_not() {
    let mut story = Story::begun();
    story.tell(Event::Refused { refusal: Refusal::NothingRuns });
    assert!(!story.lines().0.is_finished());
    story.tell(Event::Refused { refusal: Refusal::TooManyPrompts });
    let (exec, stdout, stderr) = story.lines();
    assert_eq!((exec.is_finished(), exec.exit_code()), (true, EXIT_FAILED));
    assert!(stdout.ends_with(
        "{\"type\":\"error\",\"message\":\"the prompt was not taken: too many are waiting\"}\n"
    ));
    assert_eq!(stderr, "error: the prompt was not taken: too many are waiting\n");
}

#[test]
fn nothing_is_shown_after_the_end() {
    let mut story = Story::begun();
    story.over(Ended::Completed);
    let before = story.lines().1;
    story.said("late");
    story.tell(Event::ThreadClosed);
    let (exec, stdout, _) = story.lines();
    assert_eq!(stdout, before);
    assert_eq!((exec.last_message(), exec.exit_code()), (None, EXIT_COMPLETED));
}

#[test]
fn a_long_output_is_previewed() {
    use crate::limits::PREVIEW_LINES_MAX;
    let mut story = Story::begun();
    let output = "line\n".repeat(PREVIEW_LINES_MAX + 1500);
    story.started(0, &["yes"]);
    story.ended(0, 0, &output);
    let (_, _, stderr) = story.shown(Looks::default());
    assert_eq!(stderr.matches("line\n").count(), PREVIEW_LINES_MAX);
    assert!(stderr.ends_with("... 1,500 more lines\n"));
}

/// A review that says something, looks and judges, in `/w`.
fn review_story(last: Option<&str>) -> Story {
    let mut story = Story::begun();
    story.events.pop();
    let item = ItemIndex(0);
    story.tell(Event::ReviewEntered { item, hint: "a\u{1b}[2Jll".into() });
    story.tell(Event::PromptTaken { item });
    story.said("I will look");
    story.started(0, &["ls"]);
    story.ended(0, 0, "a.txt\n");
    story.said("half a thought");
    let verdict = last.map(|text| {
        story.said(text);
        ItemIndex(story.items.len() as u32 - 1)
    });
    let (usage, limits) = (Usage::default(), RateLimits::default());
    story.tell(Event::Limits { limits });
    story.tell(Event::Tokens { last: usage, turn: usage, total: usage });
    story.tell(Event::ReviewExited { verdict });
    story
}

fn as_review(exec: Exec) -> Exec {
    exec.reviewing("/w").keeping_last_message()
}

#[test]
fn of_a_review_only_the_verdict_is_held_back() {
    let json = r#"{"findings":[{"title":"Fix it","priority":0,"code_location":
        {"absolute_file_path":"/w/a","line_range":{"start":1,"end":1}}}]}"#;
    let mut story = review_story(Some(json));
    story.over(Ended::Completed);
    let (exec, stdout, _) = story.told(as_review(Exec::jsonl(Jsonl::default())));
    assert_eq!(exec.last_message(), Some("[P0] Fix it\na:1"));
    let texts: Vec<&str> = stdout.lines().filter(|line| line.contains("agent_message")).collect();
    let [first, second, third] = texts.as_slice() else { panic!("{stdout}") };
    assert!(first.contains("I will look") && second.contains("half a thought"), "{stdout}");
    assert!(third.contains(r#""text":"[P0] Fix it\na:1","review_output":{"findings":[{"#));
    let (_, stdout, stderr) =
        story.told(as_review(Exec::plain(Plain::new(&settings(), Looks::default()))));
    assert_eq!(stdout, "[P0] Fix it\na:1\n");
    let told = stderr.split_once("review of\nall\ncodex\nI will look\n");
    let (_, told) = told.unwrap_or_else(|| panic!("{stderr}"));
    assert!(told.ends_with("codex\nhalf a thought\nreview\n[P0] Fix it\na:1\n"), "{told}");
}

#[test]
fn a_review_without_a_verdict_shows_what_was_said() {
    for how in [Ended::Interrupted, Ended::Completed] {
        let mut story = review_story(None);
        story.over(how);
        let (exec, stdout, _) = story.told(as_review(Exec::jsonl(Jsonl::default())));
        assert_eq!(exec.last_message(), Some("half a thought"));
        assert!(stdout.contains("half a thought") && !stdout.contains("review_output"));
    }
    // One that could not be recorded ends with its turn.
    let mut story = review_story(None);
    story.events.pop();
    story.over(Ended::Failed { kind: Failed::Record, message: "disk full".into() });
    let (_, stdout, _) = story.told(as_review(Exec::jsonl(Jsonl::default())));
    assert!(stdout.contains("half a thought"), "{stdout}");
}
