use super::*;

/// A chunk of one choice.
fn chunk(choice: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,{choice}}}]}}"#)
}

fn delta(fields: &str) -> String {
    chunk(&format!(r#""delta":{{{fields}}},"finish_reason":null"#))
}

/// A piece of a call.
fn piece(fields: &str) -> String {
    delta(&format!(r#""tool_calls":[{{{fields}}}]"#))
}

fn finish(reason: &str) -> String {
    chunk(&format!(r#""delta":{{}},"finish_reason":"{reason}""#))
}

/// How a stream of these payloads comes.
fn stream(payloads: &[String]) -> Vec<u8> {
    payloads.iter().flat_map(|payload| format!("data: {payload}\n\n").into_bytes()).collect()
}

/// What payloads mean, the connection closing after them.
fn closed(payloads: &[String]) -> Vec<String> {
    let bytes = stream(payloads);
    fuzz_cuts(&bytes);
    told(std::iter::once(bytes.as_slice()))
}

fn whole(payloads: &[String]) -> Vec<String> {
    let mut payloads = payloads.to_vec();
    payloads.push("[DONE]".into());
    closed(&payloads)
}

fn check(payloads: &[String], expected: &[ModelEvent<'_>]) {
    let mut all = vec![format!("{:?}", ModelEvent::Created)];
    all.extend(expected.iter().map(|event| format!("{event:?}")));
    assert_eq!(whole(payloads), all, "{payloads:?}");
}

fn call(id: &str, name: &str, arguments: &str) -> ModelEvent<'static> {
    let (call_id, name, arguments) = (id.into(), name.into(), arguments.into());
    let kind = CallKind::Function;
    ModelEvent::ItemDone(Item::Call(CallAsked { kind, call_id, name, arguments, id: None }))
}

/// A response that brought these calls and nothing else.
fn check_calls(payloads: &[String], calls: &[ModelEvent<'static>]) {
    let mut expected = calls.to_vec();
    expected.push(DONE);
    check(payloads, &expected);
}

const DONE: ModelEvent<'static> = ModelEvent::Completed { usage: None };

fn said(text: &str) -> ModelEvent<'static> {
    ModelEvent::ItemDone(Item::Message(Message::text(Role::Assistant, text)))
}

fn thinking(text: &str) -> ModelEvent<'static> {
    let (summary, content) = (Vec::new(), vec![text.into()]);
    let reasoning = Reasoning { summary, content, encrypted: None, id: None };
    ModelEvent::ItemDone(Item::Reasoning(reasoning))
}

#[test]
fn a_message_comes_in_pieces_and_then_whole() {
    let role = r#""role":"assistant","content":"""#;
    check(
        &[
            delta(role),
            delta(r#""content":"hi \"y""#),
            delta(r#""content":"ou\"""#),
            finish("stop"),
        ],
        &[
            ModelEvent::ItemStarted(ItemStart::Message),
            ModelEvent::TextDelta("hi \"y"),
            ModelEvent::TextDelta("ou\""),
            said("hi \"you\""),
            DONE,
        ],
    );
}

#[test]
fn reasoning_is_read_in_every_spelling() {
    for fields in [
        r#""reasoning":"hm""#,
        r#""reasoning":{"text":"hm"}"#,
        r#""reasoning":{"content":"hm"}"#,
        r#""reasoning_content":"hm""#,
        r#""reasoning":"","reasoning_content":"hm""#,
        r#""reasoning":"hm","reasoning_content":"hm""#,
        r#""content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#,
        r#""content":[{"type":"thinking","thinking":"hm"}]"#,
    ] {
        check(
            &[delta(fields), delta(r#""content":"a""#)],
            &[
                ModelEvent::ItemStarted(ItemStart::Reasoning),
                ModelEvent::ReasoningRawDelta("hm"),
                ModelEvent::ItemStarted(ItemStart::Message),
                ModelEvent::TextDelta("a"),
                thinking("hm"),
                said("a"),
                DONE,
            ],
        );
    }
    let at_end = chunk(r#""message":{"reasoning":"hm","content":"a"},"finish_reason":"stop""#);
    let expected = [
        ModelEvent::ItemStarted(ItemStart::Reasoning),
        ModelEvent::ReasoningRawDelta("hm"),
        thinking("hm"),
        DONE,
    ];
    check(std::slice::from_ref(&at_end), &expected);
    check(&[delta(r#""reasoning":"hm""#), at_end], &expected);
}

#[test]
fn an_answer_in_parts_or_a_refusal_is_no_empty_answer() {
    for fields in [
        r#""content":[{"type":"text","text":"no, "},{"type":"text","text":"I won't"}]"#,
        r#""content":[{"type":"text","text":"no, I won't"},{"type":"reference","text":7},8]"#,
        r#""refusal":"no, I won't""#,
        r#""content":null,"refusal":"no, I won't""#,
        r#""content":"","refusal":"no, I won't""#,
    ] {
        let text = "no, I won't";
        let (started, delta_told) =
            (ModelEvent::ItemStarted(ItemStart::Message), ModelEvent::TextDelta(text));
        check(&[delta(fields), finish("stop")], &[started, delta_told, said(text), DONE]);
    }
}

#[test]
fn parallel_calls_are_kept_apart() {
    let (a, b) = (call("a", "shell", r#"{"x":1}"#), call("b", "list_dir", r#"{"y":2}"#));
    let first = r#""index":0,"id":"a","function":{"name":"shell","arguments":"{\"x\""}"#;
    let second = r#""index":1,"id":"b","function":{"name":"list_dir","arguments":"{\"y\""}"#;
    let (rest, other) = (r#""function":{"arguments":":1}"}"#, r#""function":{"arguments":":2}"}"#);
    let both = [a.clone(), b.clone()];
    for reason in ["tool_calls", "function_call", "stop"] {
        check_calls(
            &[
                piece(first),
                piece(second),
                piece(&format!(r#""index":0,{rest}"#)),
                piece(&format!(r#""index":1,{other}"#)),
                finish(reason),
            ],
            &both,
        );
    }
    // Both in one chunk.
    check_calls(
        &[delta(&format!(
            r#""tool_calls":[{{{first}}},{{{second}}},{{"index":1,{other}}},{{"index":0,{rest}}}]"#
        ))],
        &both,
    );
    // By id alone.
    let unnumbered = |piece: &str| piece.split_once(',').unwrap().1.to_owned();
    check_calls(
        &[
            piece(&unnumbered(first)),
            piece(&unnumbered(second)),
            piece(&format!(r#""id":"a",{rest}"#)),
            piece(&format!(r#""id":"b",{other}"#)),
        ],
        &both,
    );
    // By nothing but a name that begins.
    let bare = |piece: &str| unnumbered(&unnumbered(piece));
    check_calls(
        &[piece(&bare(first)), piece(rest), piece(&bare(second)), piece(other)],
        &[call("call_0", "shell", r#"{"x":1}"#), call("call_1", "list_dir", r#"{"y":2}"#)],
    );
    // All of them numbered 0.
    check_calls(
        &[
            piece(first),
            piece(&format!(r#""index":0,{rest}"#)),
            piece(&second.replace("\"index\":1", "\"index\":0")),
            piece(&format!(r#""index":0,{other}"#)),
        ],
        &both,
    );
    // Another id with every piece.
    check_calls(
        &[piece(first), piece(&format!(r#""index":0,"id":"z",{rest}"#))],
        std::slice::from_ref(&a),
    );
}

#[test]
fn a_call_that_lacks_something_is_mended() {
    check_calls(
        &[piece(r#""index":0,"function":{"name":"update_plan","arguments":""}"#)],
        &[call("call_0", "update_plan", "{}")],
    );
    check_calls(
        &[piece(r#""index":0,"id":null,"function":{"name":"f","arguments":{"a": [1]}}"#)],
        &[call("call_0", "f", r#"{"a":[1]}"#)],
    );
    check_calls(&[piece(r#""index":0"#)], &[]);
    let mut decoder = Decoder::new(7);
    let mut seen = String::new();
    let mut sink = |event: ModelEvent<'_>| seen += &format!("{event:?}");
    decoder.push_event(piece(r#""function":{"name":"f"}"#).as_bytes(), &mut sink);
    decoder.push_event(b"[DONE]", &mut sink);
    assert!(seen.contains("\"call_7\""), "{seen}");
}

#[test]
fn where_a_stream_is_cut_does_not_matter() {
    let bytes = stream(&[
        delta(r#""reasoning":"h\u00e4m""#),
        delta(r#""content":"t\u00e9xt""#),
        piece(r#""index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}"#),
        piece(r#""index":1,"id":"b","function":{"name":"g"}"#),
        piece(r#""index":0,"function":{"arguments":":1}"}"#),
        finish("tool_calls"),
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#.into(),
        "[DONE]".into(),
    ]);
    let whole = told(std::iter::once(bytes.as_slice()));
    assert_eq!(whole.len(), 10, "{whole:#?}");
    for cut in 0..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(told([head, tail].into_iter()), whole, "cut at {cut}");
    }
    fuzz_cuts(&bytes);
}

#[test]
fn items_come_in_the_order_reasoning_message_calls() {
    let told = whole(&[
        piece(r#""index":0,"id":"a","function":{"name":"f","arguments":"{}"}"#),
        delta(r#""content":"text""#),
        delta(r#""reasoning":"hm""#),
        finish("tool_calls"),
    ]);
    let items = [thinking("hm"), said("text"), call("a", "f", "{}"), DONE];
    let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    assert!(told.ends_with(&items), "{told:#?}");
}

#[test]
fn tokens_are_counted_wherever_they_are_told() {
    let usage = concat!(
        r#""usage":{"prompt_tokens":50,"completion_tokens":7,"total_tokens":57,"#,
        r#""prompt_tokens_details":{"cached_tokens":40},"#,
        r#""completion_tokens_details":{"reasoning_tokens":5}}}"#,
    );
    let counted = Usage {
        input: 50,
        cached_input: 40,
        cache_write_input: 0,
        output: 7,
        reasoning_output: 5,
        total: 57,
    };
    let completed = ModelEvent::Completed { usage: Some(counted) };
    for chunk in [
        format!(r#"{{"choices":[],{usage}"#),
        format!("{{{usage}"),
        format!(r#"{{"choices":[{{"delta":{{}}}}],{usage}"#),
    ] {
        check(&[finish("stop"), chunk.clone()], std::slice::from_ref(&completed));
        // A later chunk without a count changes nothing.
        check(&[chunk, finish("stop")], std::slice::from_ref(&completed));
    }
    let bare = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#.to_owned();
    let bare_usage = Usage { input: 1, output: 2, total: 3, ..Usage::default() };
    check(&[bare], &[ModelEvent::Completed { usage: Some(bare_usage) }]);
}

#[test]
fn a_response_at_its_limit_is_whole_with_a_warning() {
    let told = whole(&[delta(r#""content":"a""#), finish("length")]);
    let end = [said("a"), ModelEvent::CutShort, DONE].map(|event| format!("{event:?}"));
    assert!(told.ends_with(&end), "{told:#?}");
    let told = whole(&[delta(r#""content":"a""#), finish("content_filter")]);
    assert!(told.last().unwrap().contains("content_filter"), "{told:#?}");
    assert!(told.last().unwrap().contains("Refused"));
}

#[test]
fn a_close_is_an_end_unless_something_is_missing() {
    let text = [delta(r#""content":"a""#)];
    assert_eq!(closed(&text), whole(&text));
    let half = [piece(r#""index":0,"id":"a","function":{"name":"f","arguments":"{\"a\""}"#)];
    let told = closed(&half);
    assert!(told.last().unwrap().contains("in the middle of a call"), "{told:#?}");
    assert_eq!(told.len(), 2, "half a call is none");
    // It said that it was done: what is wrong with the call, its tool will say.
    let [half] = half;
    assert!(closed(&[half, finish("tool_calls")]).last().unwrap().contains("Completed"));
    for nothing in [vec![], vec!["{".to_owned()], vec!["{}".to_owned()]] {
        let told = closed(&nothing);
        assert!(told.last().unwrap().contains("before anything was said"), "{told:#?}");
        assert!(told.last().unwrap().contains("Stream"));
    }
    assert_eq!(closed(&["[DONE]".into()]), [format!("{DONE:?}")]);
}

#[test]
fn errors_in_the_stream_say_why() {
    for (payload, kind, message) in [
        (r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#, "ContextFull", "m"),
        (r#"{"error":{"message":"m","type":"insufficient_quota"}}"#, "Limit", "m"),
        (r#"{"error":{"message":"m","code":502}}"#, "Stream", "m"),
        (r#"{"error":"m"}"#, "Stream", "m"),
        (r#"{"error":{},"message":"m"}"#, "Stream", "m"),
        (r#"{"object":"error","message":"m","code":400}"#, "Stream", "m"),
    ] {
        let told = whole(&[payload.to_owned()]);
        let [told] = told.as_slice() else { panic!("{told:#?}") };
        assert!(told.contains(kind) && told.contains(&format!("message: {message:?}")), "{told}");
    }
}

#[test]
fn what_means_nothing_is_counted() {
    let mut decoder = Decoder::default();
    let payloads = ["", "{", "7", "[]", r#"{"id":"x"}"#, r#"{"choices":null}"#, "\u{7f}"];
    for payload in payloads {
        decoder.push_event(payload.as_bytes(), &mut |event| panic!("{payload}: {event:?}"));
    }
    decoder.push_event(b"\xff", &mut |event| panic!("{event:?}"));
    assert_eq!(decoder.ignored(), payloads.len() as u64 + 1);
    for odd in [
        r#"{"choices":7}"#,
        r#"{"choices":[7]}"#,
        r#"{"choices":[{"delta":7,"finish_reason":7}]}"#,
        r#"{"choices":[{"delta":{"content":["x"],"reasoning":7,"tool_calls":{"a":1}}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[7,null,{}]}}]}"#,
    ] {
        check(&[odd.to_owned()], &[DONE]);
    }
    let mut decoder = Decoder::default();
    decoder.push_event(b"[DONE]", &mut |_| {});
    assert!(decoder.ended());
    decoder.push_event(delta(r#""content":"late""#).as_bytes(), &mut |event| panic!("{event:?}"));
    decoder.push_event(b"[DONE]", &mut |event| panic!("{event:?}"));
    decoder.close(&mut |event| panic!("{event:?}"));
    assert_eq!(decoder.ignored(), 2);
}

#[test]
fn a_response_without_bounds_is_given_up() {
    let failed = |payload: &str, times: usize| {
        let mut decoder = Decoder::default();
        let mut failures = 0;
        for _ in 0..times {
            assert!(!decoder.ended());
            decoder.push_event(payload.as_bytes(), &mut |event| {
                failures += usize::from(matches!(event, ModelEvent::Failed(_)));
            });
        }
        decoder.ended() && failures == 1
    };
    let large = delta(&format!(r#""content":"{}""#, "x".repeat(1 << 20)));
    let fit = CHAT_RESPONSE_BYTES_MAX >> 20;
    assert!(!failed(&large, fit));
    assert!(failed(&large, fit + 1));
    let begins = piece(r#""function":{"name":"f"}"#);
    assert!(!failed(&begins, CHAT_CALLS_MAX));
    assert!(failed(&begins, CHAT_CALLS_MAX + 1));
}
