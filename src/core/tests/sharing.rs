//! Settings that several threads run with.

use std::rc::Rc;

use super::*;
use crate::limits::SETTINGS_COMPARED_MAX;

/// Whether both threads of the story have one and the same settings.
fn share(story: &Story, one: u16, other: u16) -> bool {
    let thread = |slot| story.agent.thread(ThreadId { slot, generation: 0 }).expect("a thread");
    Rc::ptr_eq(&thread(one).settings, &thread(other).settings)
}

fn start(story: &mut Story, cwd: &str) {
    let settings = ThreadSettings { cwd: cwd.into(), ..settings() };
    story.command(Command::Start { settings: Box::new(settings) });
}

#[test]
fn threads_that_run_with_the_same_share_it() {
    let mut story = Story::new(settings());
    for cwd in ["/w", "/other", "/w"] {
        start(&mut story, cwd);
    }
    assert!(share(&story, 0, 1) && share(&story, 0, 3));
    assert!(!share(&story, 0, 2));
}

#[test]
fn a_thread_is_compared_with_the_last_ones_alone() {
    let mut story = Story::new(settings());
    for number in 1..SETTINGS_COMPARED_MAX {
        start(&mut story, &format!("/{number}"));
    }
    start(&mut story, "/w");
    let last = SETTINGS_COMPARED_MAX as u16;
    assert!(share(&story, 0, last));
    for number in 0..SETTINGS_COMPARED_MAX {
        start(&mut story, &format!("/again/{number}"));
    }
    start(&mut story, "/w");
    assert!(!share(&story, last, 2 * last + 1));
}

#[test]
fn what_one_thread_is_to_run_with_changes_no_other() {
    let mut story = Story::new(settings());
    let thread = story.thread;
    start(&mut story, "/w");
    let same = Box::new(settings());
    story.command(Command::Configure { thread, settings: same });
    assert!(share(&story, 0, 1));
    let other = ThreadSettings { model: "other".into(), ..settings() };
    story.command(Command::Configure { thread, settings: Box::new(other) });
    let model = |slot| &*story.agent.settings(ThreadId { slot, generation: 0 }).expect("it").model;
    assert_eq!((model(0), model(1)), ("other", "model"));
}
