//! The status line: there while a turn goes on, and gone without a trace.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::time::Duration;

use support::World;
use support::outside;
use support::reply::Reply;
use support::run::{Call, Ended, Run};

/// Loops until the test makes this file.
const UNTIL_GO: &str = "until [ -e go ]; do sleep 0.02; done; echo and now it goes on, at last";

/// The rows of a terminal after these bytes; knows what the program may send and nothing else.
fn screen(bytes: &str) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let mut column = 0;
    let mut rest = bytes;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let row = rows.last_mut().unwrap();
        match letter {
            '\r' => column = 0,
            // The kernel sends a carriage return along.
            '\n' => {
                rows.push(Vec::new());
                column = 0;
            }
            '\x1b' => {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                match &rest[..=end] {
                    "[J" => row.truncate(column),
                    colour => assert!(colour.ends_with('m'), "{colour:?}"),
                }
                rest = &rest[end + 1..];
            }
            letter => {
                assert!(!letter.is_control(), "{letter:?}");
                row.resize(row.len().max(column + 1), ' ');
                row[column] = letter;
                column += 1;
            }
        }
    }
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

/// The row that the cursor is on.
fn bottom(run: &Run) -> String {
    screen(&run.stderr()).pop().unwrap()
}

/// Everything that stays, but for what is different in each run.
fn kept(ended: &Ended) -> Vec<String> {
    let rows = screen(&ended.stderr).into_iter();
    let is_same = |row: &String| !row.starts_with("session id:") && !row.contains(" in ");
    rows.map(|row| row.trim_end().to_owned()).filter(is_same).collect()
}

/// A run that is shown on a terminal, in the middle of a command.
fn running(world: &mut World, call: Call) -> Run {
    world.reply(Reply::script(UNTIL_GO)).reply(Reply::message("all done").held());
    let mut run = world.start(call);
    world.until(&mut run, "the command is shown", |_, run| bottom(run).contains("until [ -e go"));
    run
}

fn go_on(world: &mut World) {
    world.file("go", "");
    world.provider.is_released = true;
}

#[test]
fn a_terminal_shows_what_goes_on_and_keeps_nothing_of_it() {
    let mut world = World::new();
    let call = world.call(&["go"]).on_terminal(60).with_stdout();
    let mut run = running(&mut world, call);
    let shown = bottom(&run);
    assert!(shown.starts_with('[') && shown.contains("s, 80 tokens] running until ["), "{shown}");
    assert!(shown.len() < 60, "{shown}");
    world.file("go", "");
    let is_thinking = |_: &World, run: &Run| bottom(run).ends_with("] thinking");
    world.until(&mut run, "the model has its output", is_thinking);
    let time = |run: &Run| bottom(run).split(',').next().unwrap().to_owned();
    let before = time(&run);
    world.until(&mut run, "time passes", |_, run| time(run) != before);
    go_on(&mut world);
    let ended = world.finish(run);
    ended.exits(0);
    assert!(kept(&ended).iter().all(|row| !row.contains(" tokens]")));

    world.reply(Reply::script(UNTIL_GO)).reply(Reply::message("all done"));
    let piped = world.exec(&["go"]);
    assert!(!piped.stderr.contains(['\x1b', '\r']), "{piped}");
    assert_eq!(kept(&ended), kept(&piped));
    assert_eq!(piped.stdout, "all done\n");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_plain_text() {
    for (term, words) in [("dumb", &["go"][..]), ("xterm", &["--json", "go"])] {
        let mut world = World::new();
        world.reply(Reply::script("echo hi")).reply(Reply::message("done"));
        let call = world.call(words).on_terminal(80).env("TERM", term);
        let ended = world.run(call);
        ended.exits(0);
        assert!(!ended.stderr.contains('\x1b'), "{ended}");
    }
}

#[test]
fn colours_are_all_that_a_wish_for_no_colour_takes() {
    let mut world = World::new();
    // A width of nothing is one that is not known.
    let call = world.call(&["--color", "never", "go"]).on_terminal(0);
    let run = running(&mut world, call);
    let shown = bottom(&run);
    let columns = usize::from(windlass::limits::TERMINAL_COLUMNS_DEFAULT);
    assert!(shown.len() == columns - 1 && shown.ends_with("..."), "{shown}");
    assert!(run.stderr().contains("\x1b[J") && !run.stderr().contains("\x1b[2m"));
    go_on(&mut world);
    world.finish(run).exits(0);
}

#[test]
fn a_signal_leaves_nothing_on_the_screen() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        let mut world = World::new();
        let call = world.call(&["go"]).on_terminal(80).with_stdout();
        let mut run = running(&mut world, call);
        run.signal(signal);
        let ended = world.finish(run);
        ended.exits(code);
        let rows = kept(&ended);
        assert!(rows.contains(&"interrupted".to_owned()), "{rows:?}");
        assert!(rows.iter().all(|row| !row.starts_with('[')), "{rows:?}");
        assert_eq!(rows.last().unwrap(), "");
    }
}

#[test]
fn a_stopped_program_leaves_nothing_on_the_screen_and_goes_on() {
    let mut world = World::new();
    let call = world.call(&["go"]).on_terminal(80);
    let mut run = running(&mut world, call);
    run.signal(libc::SIGTSTP);
    let is_stopped = |_: &World, run: &Run| outside::stat(run.pid()).unwrap().state == 'T';
    world.until(&mut run, "it is stopped", is_stopped);
    world.until(&mut run, "the line is gone", |_, run| bottom(run).is_empty());
    run.signal(libc::SIGCONT);
    world.until(&mut run, "it is shown again", |_, run| bottom(run).contains("until [ -e go"));
    go_on(&mut world);
    let ended = world.finish(run);
    ended.exits(0);
    assert!(kept(&ended).iter().all(|row| !row.contains("tokens]")), "{ended}");
}

#[test]
fn a_terminal_that_is_stopped_holds_up_nothing() {
    let mut world = World::new();
    let call = world.call(&["go"]).on_terminal(80);
    let terminal = call.terminal();
    let mut run = running(&mut world, call);
    outside::set_flow(&terminal, false);
    world.pass(&mut run, Duration::from_millis(1500));
    let ticks = run.cpu_ticks();
    let shown = run.err.len();
    go_on(&mut world);
    // The model is asked for more although nobody sees it.
    world.until(&mut run, "the turn goes on", |world, _| world.requests().len() == 2);
    world.settle(&mut run);
    assert_eq!(run.err.len(), shown);
    assert!(run.cpu_ticks() - ticks < 50, "it spins");
    outside::set_flow(&terminal, true);
    drop(terminal);
    let ended = world.finish(run);
    ended.exits(0);
    let rows = kept(&ended);
    assert!(rows.contains(&"all done".to_owned()), "{rows:?}");
    assert!(rows.iter().all(|row| !row.contains("tokens]")), "{rows:?}");
}

#[test]
fn a_command_cannot_command_the_terminal() {
    let mut world = World::new();
    let script = format!("{UNTIL_GO}; : '\x1b[2J\x1b]0;title\x07\r\n\u{202e}'");
    world.reply(Reply::script(&script)).reply(Reply::message("done"));
    let mut run = world.start(world.call(&["go"]).on_terminal(200));
    world.until(&mut run, "the command is shown", |_, run| bottom(run).contains("until [ -e go"));
    fs::write(world.cwd.join("go"), "").unwrap();
    // Rendering it refuses whatever is not ours.
    world.finish(run).exits(0);
}
