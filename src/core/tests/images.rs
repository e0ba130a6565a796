//! Images that the model views.

use super::*;
use crate::limits::{HISTORY_BYTES_MAX, HISTORY_KEPT_BYTES_MAX, HISTORY_SPARE_BYTES};

const ATTACHED: &str = "attached local image path";

fn view(call_id: &str) -> CallAsked {
    call(call_id, "view_image", r#"{"path":"a.png"}"#)
}

fn image(op: OpId, url: &str) -> Input<'static> {
    Input::Looked { op, result: Ok(Seen::Image(url.into())) }
}

impl Story {
    /// The items after the calls, a word for each.
    fn shown(&self) -> Vec<String> {
        let after = self.items().iter().skip_while(|item| !matches!(item, Item::Call(_)));
        let word = |item: &Item| match item {
            Item::Call(_) => None,
            Item::Output(output) => Some(output.answer.text().to_string()),
            Item::Message(Message { role: Role::User, parts, .. }) => match parts.as_slice() {
                [Part::Image(Image::Url(url))] => Some(format!("image {url}")),
                _ => panic!("{parts:?}"),
            },
            other => panic!("{other:?}"),
        };
        after.filter_map(word).collect()
    }
}

#[test]
fn an_image_is_shown_after_all_outputs() {
    let calls = vec![view("1"), view("2"), shell("3", r#"["make"]"#)];
    let mut story = Story::calling(settings(), calls);
    let ops = story.look_ops();
    story.feed(image(ops[1], "b"));
    story.feed(image(ops[0], "a"));
    assert_eq!(story.shown(), [ATTACHED, ATTACHED]);
    story.exit(story.spawn_op(), 0);
    assert_eq!(story.shown(), [ATTACHED, ATTACHED, "out", "image a", "image b"]);
    let items = (story.items().len() - 3..story.items().len()).map(|item| ItemIndex(item as u32));
    let recorded: Vec<Record> = items.map(Record::Item).collect();
    assert_eq!(story.records(), recorded.iter().collect::<Vec<_>>());
    let op = story.request_op();
    assert_eq!(story.agent.request_view(op).unwrap().items.len(), story.items().len());
}

#[test]
fn what_cannot_be_viewed_is_an_answer() {
    let mut story = Story::calling(settings(), vec![view("1")]);
    let op = story.look_ops()[0];
    story.feed(Input::Looked { op, result: Err("there is no such file".into()) });
    assert_eq!(story.shown(), ["there is no such file"]);
    story.request_op();
}

#[test]
fn an_interrupt_shows_what_was_attached() {
    let mut story = Story::calling(settings(), vec![view("1"), view("2"), view("3")]);
    let ops = story.look_ops();
    story.feed(image(ops[0], "a"));
    story.feed(image(ops[2], "c"));
    story.interrupt();
    assert_eq!(story.shown(), [ATTACHED, "aborted by user after 0.0s", ATTACHED]);
    story.feed(image(ops[1], "b"));
    let aborted = "aborted by user after 0.0s";
    assert_eq!(story.shown(), [ATTACHED, aborted, ATTACHED, "image a", "image c"]);
    assert_eq!(story.ended(), Some(&Ended::Interrupted), "what comes late is not shown");
}

#[test]
fn an_image_that_cannot_be_recorded_is_not_remembered() {
    let mut story = Story::calling(settings(), vec![view("1")]);
    let op = story.look_ops()[0];
    story.handle(image(op, "a"));
    let op = story.request_op();
    story.lose_from(1);
    assert_eq!(story.shown(), [ATTACHED]);
    story.feed(Input::Stopped { op });
    assert_eq!(story.failed(), Some(Failed::Record));
}

#[test]
fn images_leave_room_to_go_on() {
    let mut story = Story::calling(settings(), vec![view("1"), view("2"), view("3"), view("4")]);
    let ops = story.look_ops();
    let url = "u".repeat(((HISTORY_BYTES_MAX - HISTORY_SPARE_BYTES) / 3 - 1000) as usize);
    for &op in &ops {
        story.feed(image(op, &url));
    }
    let outputs = story.outputs();
    assert_eq!(outputs[..3], [ATTACHED; 3]);
    assert!(outputs[3].starts_with("the conversation has no room"), "{}", outputs[3]);
    let op = story.request_op();
    story.say(op, ModelEvent::ItemDone(Item::Call(view("5"))));
    story.say(op, completed());
    story.feed(image(story.look_ops()[0], &url));
    assert!(story.outputs()[4].starts_with("the conversation has no room"));
    story.request_op();
}

#[test]
fn whoever_keeps_images_learns_which_are_wanted() {
    let mut story = Story::calling(settings(), vec![view("1")]);
    let image = |id: u32| Image::Kept(Kept { id, url_bytes: 5000 });
    let op = story.look_ops()[0];
    let (thread, parts) = (story.thread, vec![Part::Image(image(7))]);
    story.command(Command::Prompt { thread, parts });
    assert_eq!(story.agent.kept(), [7], "it waits");
    story.handle(Input::Looked { op, result: Ok(Seen::Image(image(3))) });
    assert_eq!(story.agent.kept(), [3, 7]);
    story.lose_from(1);
    assert!(!story.agent.kept().contains(&3), "it is not remembered");
}

#[test]
fn images_outside_of_memory_are_bounded_too() {
    let calls = (0..5).map(|number| view(&number.to_string())).collect();
    let mut story = Story::calling(settings(), calls);
    let url_bytes = (HISTORY_KEPT_BYTES_MAX / 4) as u32;
    for (id, op) in story.look_ops().into_iter().enumerate() {
        let seen = Seen::Image(Image::Kept(Kept { id: id as u32, url_bytes }));
        story.feed(Input::Looked { op, result: Ok(seen) });
    }
    let outputs = story.outputs();
    assert_eq!(outputs[..4], [ATTACHED; 4]);
    assert!(outputs[4].starts_with("the conversation has no room"), "{}", outputs[4]);
    let op = story.request_op();
    story.say(op, said("done"));
    story.say(op, completed());
    let (thread, kept) = (story.thread, Kept { id: 9, url_bytes: 1 });
    let parts = vec![Part::Image(Image::Kept(kept))];
    story.command(Command::Prompt { thread, parts });
    story.request_op();
    assert!(story.records().is_empty(), "it is summed up before the prompt is taken");
}
