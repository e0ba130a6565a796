use super::*;
use crate::host::disk::tests::Place as Directory;
use crate::limits::{KEPT_IMAGE_BYTES_MIN, ROLLOUT_LINE_BYTES_MAX};
use crate::words::item::{Message, Role};

const THREAD: ThreadId = ThreadId { slot: 0, generation: 0 };
const META: &str =
    r#""session_meta","payload":{"id":"01990000-0000-7000-8000-0000000000aa","cwd":"/w"}"#;

/// A line as all programs begin it; what follows is its type and payload.
fn line(rest: &str) -> String {
    format!("{{\"timestamp\":\"2026-01-01T10:00:00.000Z\",\"type\":{rest}}}\n")
}

fn said(content: &str) -> String {
    let payload = format!(r#"{{"type":"message","role":"user","content":[{content}]}}"#);
    line(&format!(r#""response_item","payload":{payload}"#))
}

fn text(words: &str) -> String {
    format!(r#"{{"type":"input_text","text":"{words}"}}"#)
}

fn image(url: &str) -> String {
    format!(r#"{{"type":"input_image","image_url":"{url}"}}"#)
}

fn url(letter: char, length: usize) -> String {
    format!("data:image/png;base64,{}", letter.to_string().repeat(length))
}

/// What is remembered of these lines, and where its images are.
fn remembered(lines: &[String]) -> (Result<Restored, Unfit>, Album) {
    let directory = Directory::new();
    let path = directory.file("rollout.jsonl", lines.concat());
    let mut reader = Reader::open_glancing(&path).unwrap();
    let (mut past, mut album) = (Past::default(), Album::default());
    while past.read_on(&mut reader, THREAD, &mut album).unwrap() == Progress::More {}
    (past.fold.finish(), album)
}

/// The parts of the messages, with the URLs of kept images read back.
fn parts(restored: &Restored, album: &Album) -> Vec<Part> {
    let messages = restored.items.iter().map(|item| match item {
        Item::Message(message) => &message.parts,
        other => panic!("{other:?}"),
    });
    let back = |part: &Part| match part {
        Part::Image(Image::Kept(kept)) => Part::Image(album.url(*kept).unwrap().into()),
        part => part.clone(),
    };
    messages.flatten().map(back).collect()
}

#[test]
fn a_glance_tells_what_a_line_is() {
    let cases = [
        (said(&text("a")), Glance::Item),
        (line(r#""response_item","payload":{"type":"function_call"}"#), Glance::Unsaid),
        (line(r#""response_item","payload":{"type":"function_call_x"}"#), Glance::Item),
        (line(r#""response_item","payload":{"type":"reasoning","#), Glance::Unsaid),
        (line(r#""event_msg","payload":{"type":"user_message","message":"a"}"#), Glance::Nothing),
        (line(r#""event_msg","payload":{"type":"token_count"}"#), Glance::Unsure),
        (line(r#""event_msg","payload":{"type":"user_message","a"#), Glance::Unsure),
        (line(r#""compacted","payload":{"message":"a"}"#), Glance::Unsure),
        (line(META), Glance::Unsure),
        ("{\"type\":\"response_item\"}\n".to_owned(), Glance::Unsure),
        (format!("{{\"timestamp\":\"{}\n", "9".repeat(100)), Glance::Unsure),
        ("not JSON\n".to_owned(), Glance::Unsure),
        ("\n".to_owned(), Glance::Unsure),
    ];
    for (line, expected) in cases {
        let bytes = line.trim_end().as_bytes();
        let tail = &bytes[bytes.len().saturating_sub(2)..];
        assert_eq!(rollout::glance(bytes, tail), expected, "{line}");
    }
}

#[test]
fn images_stay_where_they_are() {
    let long = url('A', 3 * ROLLOUT_LINE_HELD_BYTES);
    let (short, small) = (url('B', 20), url('C', KEPT_IMAGE_BYTES_MIN));
    let escaped = small.replacen('C', "\\u0043", 1);
    let content = [text("look"), image(&long), image(&short), image(&small), image(&escaped)];
    let (restored, album) = remembered(&[line(META), said(&content.join(",")), said(&text("z"))]);
    let restored = restored.unwrap();
    assert_eq!(restored.lines_skipped, 0);
    let held: u64 = restored.items.iter().map(Item::bytes).sum();
    assert!(held < 100, "{held} bytes are in memory");
    let urls = [&long, &short, &small, &small].map(|url| Part::Image((&**url).into()));
    let mut expected = vec![Part::Text("look".into())];
    expected.extend(urls);
    expected.push(Part::Text("z".into()));
    assert!(parts(&restored, &album) == expected);
}

#[test]
fn what_looks_like_a_mark_is_none() {
    let (long, mark) = (url('A', KEPT_IMAGE_BYTES_MIN), "\\u00000");
    let content = [text(mark), image(&long), image(mark), image("\\u00007")];
    let (restored, album) = remembered(&[line(META), said(&content.join(","))]);
    let parts = parts(&restored.unwrap(), &album);
    // One that names an image of its own line is that image.
    let long = Part::Image(long.into());
    assert!(parts[..3] == [Part::Text("\u{0}0".into()), long.clone(), long]);
    assert!(parts[3] == Part::Image("\u{0}7".into()));
}

#[test]
fn a_line_of_any_order_is_read() {
    let long = url('A', 2 * ROLLOUT_LINE_HELD_BYTES);
    let content = image(&long);
    let odd = [
        format!(
            "{{\"payload\":{{\"content\":[{content}],\"role\":\"user\",\"type\":\"message\"}},\
             \"type\":\"response_item\"}}\n"
        ),
        format!("{{\"payload\":{{\"message\":\"{long}\",\"type\":\"x\"}},\"type\":\"event_msg\"}}"),
    ];
    let (restored, album) = remembered(&[line(META), odd.concat()]);
    let restored = restored.unwrap();
    assert_eq!((restored.items.len(), restored.lines_skipped), (1, 0));
    assert!(parts(&restored, &album) == [Part::Image(long.into())]);
}

#[test]
fn a_summary_replaces_what_was_passed_over() {
    let long = url('A', 2 * ROLLOUT_LINE_HELD_BYTES);
    let compacted =
        |rest: &str| line(&format!(r#""compacted","payload":{{"message":"sum"{rest}}}"#));
    let history = r#","replacement_history":[{"type":"message","role":"user","content":"kept"}]"#;
    let item = |text: &str| Item::Message(Message::text(Role::User, text));
    let before = [line(META), said(&text("before")), said(&image(&long))];
    let (restored, album) =
        remembered(&[&before[..], &[compacted(history), said(&text("z"))]].concat());
    assert_eq!(restored.unwrap().items, [item("kept"), item("z")]);
    assert_eq!(album.count(), 0, "nobody looks at it any more");
    let (restored, album) = remembered(&[&before[..], &[compacted("")]].concat());
    let items = restored.unwrap().items;
    assert_eq!((items.len(), &items[0], album.count()), (2, &item("before"), 0));
}

#[test]
fn of_what_a_summary_replaces_only_what_was_said_is_read() {
    let call = r#"{"type":"function_call","name":"shell","arguments":"{}","call_id":"a"}"#;
    let output = r#"{"type":"function_call_output","call_id":"a","output":"x"}"#;
    let torn = r#"{"type":"function_call_output","call_id":"a","output":"x"#;
    let item = |payload: &str| line(&format!(r#""response_item","payload":{payload}"#));
    let before = [line(META), said(&text("go")), item(call), item(output), item(torn)];
    let compacted = line(r#""compacted","payload":{"message":"sum"}"#);
    let lines = [&before[..], &[compacted, item(call), item(output), item(torn)]].concat();
    let restored = remembered(&lines).0.unwrap();
    assert_eq!((restored.items.len(), restored.lines_skipped), (4, 1));
    assert_eq!(restored.items[0], Item::Message(Message::text(Role::User, "go")));
    assert_eq!(remembered(&before).0.unwrap().items.len(), 3);
}

#[test]
fn counts_outlive_the_items_they_count() {
    let tokens = r#"{"input_tokens":5,"total_tokens":7}"#;
    let counted = line(&format!(
        r#""event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{tokens},"last_token_usage":{tokens}}}}}"#
    ));
    let compacted = line(r#""compacted","payload":{"message":"sum","replacement_history":[]}"#);
    let lines = [line(META), said(&text("a")), counted.clone(), said(&text("b"))];
    let restored = remembered(&lines).0.unwrap();
    assert_eq!((restored.usage.total, restored.counted.tokens, restored.counted.items), (7, 7, 1));
    let restored = remembered(&[&lines[..], &[compacted]].concat()).0.unwrap();
    assert_eq!((restored.usage.total, restored.counted.tokens), (7, 0));
}

#[test]
fn much_that_nothing_sums_up_is_read_in_order() {
    let words = "x".repeat(ROLLOUT_LINE_HELD_BYTES - 200);
    let count = 3 * ROLLOUT_PASSED_BYTES_MAX / ROLLOUT_LINE_HELD_BYTES;
    let mut lines = vec![line(META)];
    lines.extend((0..count).map(|number| said(&text(&format!("{number} {words}")))));
    let restored = remembered(&lines).0.unwrap();
    assert_eq!(restored.items.len(), count);
    for (number, item) in restored.items.iter().enumerate() {
        let Item::Message(message) = item else { panic!("{item:?}") };
        assert!(message.texts().all(|text| text.starts_with(&format!("{number} x"))));
    }
}

#[test]
fn lines_that_are_none_are_counted() {
    let over = said(&text(&"x".repeat(ROLLOUT_LINE_BYTES_MAX)));
    let broken = said(&image(&url('A', ROLLOUT_LINE_HELD_BYTES))).replace("]}}", "]}");
    let lines = [line(META), over, broken, "not JSON\n".to_owned(), said(&text("z"))];
    let restored = remembered(&lines).0.unwrap();
    assert_eq!((restored.items.len(), restored.lines_skipped), (1, 3));
    assert_eq!(remembered(&lines[1..]).0, Err(Unfit::Nobodys));
}

#[test]
fn more_images_than_a_history_may_have_are_too_many() {
    let long = image(&url('A', 8 << 20));
    let lines: Vec<String> = (0..33).map(|_| said(&long)).collect();
    let (restored, _) = remembered(&[&[line(META)], &lines[..]].concat());
    assert_eq!(restored, Err(Unfit::Outgrown));
}
