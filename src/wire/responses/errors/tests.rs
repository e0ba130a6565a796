use super::*;

/// 2026-11-21 02:00 UTC.
const NOW_S: u64 = 1_795_226_400;

const CALENDAR: Calendar = Calendar { now_s: NOW_S, local: LocalTime::utc };

fn none(_: &str) -> Option<&'static str> {
    None
}

fn refusal(status: u16, body: &str) -> ModelFailure {
    refused(status, &none, body.as_bytes(), &CALENDAR)
}

fn limit(plan: &str, resets_at: &str) -> String {
    let body = format!(
        r#"{{"error":{{"type":"usage_limit_reached","plan_type":{plan},"resets_at":{resets_at}}}}}"#
    );
    let failure = refusal(429, &body);
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Limit, None));
    failure.message.into()
}

#[test]
fn codes_of_failed_responses_mean_kinds() {
    for (code, kind) in [
        ("context_length_exceeded", FailureKind::ContextFull),
        ("exceed_context_size_error", FailureKind::ContextFull),
        ("insufficient_quota", FailureKind::Limit),
        ("usage_not_included", FailureKind::Limit),
        ("rate_limit_exceeded", FailureKind::RateLimited),
        ("invalid_prompt", FailureKind::Refused),
        ("server_is_overloaded", FailureKind::Overloaded),
        ("slow_down", FailureKind::Overloaded),
        ("server_error", FailureKind::Stream),
    ] {
        assert_eq!(failed(Some(code), Some("m")), ModelFailure::new(kind, "m"), "{code}");
        assert!(!failed(Some(code), None).message.is_empty());
    }
    assert_eq!(failed(None, None).kind, FailureKind::Stream);
}

#[test]
fn servers_without_codes_say_in_words_that_a_window_is_full() {
    for message in [
        "This model's maximum context length is 4096 tokens. However, you requested 5000.",
        "Your input exceeds the context window of this model.",
        "the request exceeds the available context size, try increasing it",
        "the model is loaded with context length of only 4096 tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count (9) exceeds the maximum number of tokens allowed (8).",
    ] {
        let body = format!(r#"{{"error":{{"code":400,"message":"{message}"}}}}"#);
        for (status, body) in [(400, &*body), (500, &*body), (400, message)] {
            assert_eq!(refusal(status, body).kind, FailureKind::ContextFull, "{status} {body}");
        }
        assert_eq!(refusal(401, &body).kind, FailureKind::Credentials);
        assert_eq!(failed(None, Some(message)).kind, FailureKind::ContextFull);
        assert_eq!(failed(Some("slow_down"), Some(message)).kind, FailureKind::Overloaded);
    }
    let named = r#"{"error":{"code":400,"type":"exceed_context_size_error","message":"m"}}"#;
    assert_eq!(refusal(400, named).kind, FailureKind::ContextFull);
    assert_eq!(refusal(413, "").kind, FailureKind::ContextFull);
}

#[test]
fn a_rate_limit_names_its_delay() {
    for (message, delay) in [
        ("Rate limit reached. Please try again in 1.898s. Visit", Some(1898)),
        ("Please try again in 28ms.", Some(28)),
        ("Try again in 35 seconds.", Some(35_000)),
        ("try again in 1 second", Some(1000)),
        ("try again in 0.2 ms", Some(1)),
        ("try again in 999999999s", Some(RETRY_AFTER_MS_MAX)),
        ("try again in a while", None),
        ("try again in 3 minutes", None),
        ("try again in 1.2.3s", None),
        ("slow", None),
    ] {
        let failure = failed(Some("rate_limit_exceeded"), Some(message));
        assert_eq!(failure.retry_after_ms, delay, "{message}");
    }
    assert_eq!(failed(Some("server_error"), Some("try again in 1s")).retry_after_ms, None);
}

#[test]
fn an_incomplete_response_is_final() {
    let failure = incomplete(Some("max_output_tokens"));
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("max_output_tokens"));
}

#[test]
fn statuses_mean_kinds() {
    for (status, code, kind) in [
        (400, "bad", FailureKind::Refused),
        (400, "context_length_exceeded", FailureKind::ContextFull),
        (401, "x", FailureKind::Credentials),
        (403, "x", FailureKind::Refused),
        (404, "x", FailureKind::Refused),
        (302, "x", FailureKind::Refused),
        (429, "x", FailureKind::RateLimited),
        (429, "rate_limit_exceeded", FailureKind::RateLimited),
        (429, "insufficient_quota", FailureKind::Limit),
        (429, "usage_not_included", FailureKind::Limit),
        (500, "x", FailureKind::Server),
        (503, "slow_down", FailureKind::Server),
        (599, "x", FailureKind::Server),
        (200, "x", FailureKind::Refused),
        (200, "slow_down", FailureKind::Overloaded),
    ] {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        assert_eq!(refusal(status, &body).kind, kind, "{status} {code}");
    }
}

#[test]
fn the_message_is_found_in_any_shape() {
    for body in [
        r#"{"error":{"message":"the why"}}"#,
        r#"{"error":"the why"}"#,
        r#"{"detail":"the why"}"#,
        r#"{"message":"the why"}"#,
        "the why",
    ] {
        let message = refusal(400, body).message;
        assert_eq!(&*message, "the provider answered with status 400: the why", "{body}");
    }
    assert!(refusal(418, "").message.ends_with("418: nothing more was said"));
    assert!(refusal(404, " <html>x").message.contains("a web page"));
}

#[test]
fn foreign_text_is_cut_and_holds_no_control_characters() {
    let body = format!("\u{1b}[31m{}", "é".repeat(ERROR_TEXT_BYTES_MAX));
    let message = refusal(400, &body).message;
    assert!(message.len() < ERROR_TEXT_BYTES_MAX + 100);
    assert!(message.ends_with('…') && !message.contains('\u{1b}'));
}

#[test]
fn a_reply_that_is_no_stream_says_so() {
    let page = refusal(200, "<!doctype html><title>Log in</title>");
    assert_eq!(page.kind, FailureKind::Refused);
    assert!(page.message.starts_with("the provider sent no stream of events: a web page"));
    let error = refusal(200, r#"{"error":{"message":"no such model"}}"#);
    assert_eq!(&*error.message, "the provider sent no stream of events: no such model");
    for (headers, expected) in [
        (&[][..], true),
        (&[("content-type", "text/event-stream; charset=utf-8")], true),
        (&[("content-type", "text/plain")], true),
        (&[("content-type", "Application/JSON; charset=utf-8")], false),
        (&[("content-type", "text/html")], false),
        (&[("content-encoding", " Identity")], true),
        (&[("content-encoding", "")], true),
        (&[("content-encoding", "gzip")], false),
    ] {
        let header =
            |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        assert_eq!(is_stream(&header), expected, "{headers:?}");
    }
}

#[test]
fn a_reply_that_is_encoded_says_so() {
    let header = |name: &str| (name == "content-encoding").then_some("gzip");
    for (status, kind) in [(200, FailureKind::Refused), (503, FailureKind::Server)] {
        let failure = refused(status, &header, b"\x1f\x8b\x08{", &Calendar::default());
        assert_eq!(failure.kind, kind);
        let said = "it is encoded as gzip, which was not asked for";
        assert!(failure.message.ends_with(said), "{}", failure.message);
    }
}

#[test]
fn a_proxy_that_wants_credentials_is_told_apart() {
    let failure = refusal(407, "no");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.starts_with("a proxy on the way wants"), "{}", failure.message);
    assert!(failure.message.ends_with("http://user:password@host:port: no"));
}

#[test]
fn a_blocking_gateway_is_named_shortly() {
    let body = "<html>Sorry, you have been blocked. Cloudflare Ray ID</html>";
    let failure = refusal(403, body);
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("Cloudflare") && !failure.message.contains('<'));
}

#[test]
fn headers_give_the_delay_and_the_request() {
    let header = |name: &str| match name {
        "retry-after" => Some("2"),
        "x-request-id" => Some("req_1"),
        _ => None,
    };
    for (status, delay) in [(429, Some(2000)), (503, Some(2000)), (400, None)] {
        let failure = refused(status, &header, b"no", &CALENDAR);
        assert_eq!(failure.retry_after_ms, delay);
        assert!(failure.message.ends_with("no, request id: req_1"), "{}", failure.message);
    }
    let header = |name: &str| (name == "retry-after").then_some("Wed, 21 Oct 2015 07:28:00 GMT");
    assert_eq!(refused(429, &header, b"", &CALENDAR).retry_after_ms, None);
}

#[test]
fn each_plan_is_told_what_it_can_do() {
    const AGAIN: &str = "try again ";
    let plus = "upgrade to Plus (https://chatgpt.com/pricing) to go on, or try again ";
    let pro = "upgrade to Pro (https://chatgpt.com/pricing), buy credits \
               (https://chatgpt.com/codex/settings/usage), or try again ";
    let credits = "buy credits (https://chatgpt.com/codex/settings/usage), or try again ";
    let admin = "ask your admin for more, or try again ";
    for (plan, deeds) in [
        ("\"free\"", plus),
        ("\"plus\"", pro),
        ("\"pro\"", credits),
        ("\"team\"", admin),
        ("\"business\"", admin),
        ("\"enterprise\"", AGAIN),
        ("\"edu\"", AGAIN),
        ("\"a plan of the future\"", AGAIN),
        ("7", AGAIN),
        ("null", AGAIN),
    ] {
        for (resets_at, when) in [
            ("1795228740", "at 2:39 AM"),
            ("1795315080", "at Nov 22nd, 2026 2:38 AM"),
            ("null", "later"),
            ("\"soon\"", "later"),
        ] {
            let expected = format!("usage limit reached: {deeds}{when}");
            assert_eq!(limit(plan, resets_at), expected, "{plan} {resets_at}");
        }
    }
}

#[test]
fn a_limit_is_read_from_fields_and_never_from_the_message() {
    let body = r#"{"error":{"type":"usage_limit_reached",
        "message":"You are on plus. Try again in 3 days 2 hours."}}"#;
    let failure = refusal(429, body);
    assert_eq!(&*failure.message, "usage limit reached: try again later");
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Limit, None));
    // Without its type it is one of the limits that pass.
    let failure = refusal(429, r#"{"error":{"message":"Try again in 3 days 2 hours."}}"#);
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::RateLimited, None));
}

#[test]
fn another_day_is_named_with_its_ordinal() {
    let day = 86_400;
    for (at_s, text) in [
        (NOW_S + day + 38 * 60, "Nov 22nd, 2026 2:38 AM"),
        (NOW_S - 10 * 3600, "Nov 20th, 2026 4:00 PM"),
        (NOW_S + 10 * day - 2 * 3600, "Dec 1st, 2026 12:00 AM"),
        (NOW_S + 2 * day + 10 * 3600, "Nov 23rd, 2026 12:00 PM"),
        (NOW_S + 20 * day, "Dec 11th, 2026 2:00 AM"),
        (NOW_S + 21 * day, "Dec 12th, 2026 2:00 AM"),
        (NOW_S + 22 * day, "Dec 13th, 2026 2:00 AM"),
    ] {
        assert_eq!(moment(at_s, &CALENDAR), text);
    }
}

#[test]
fn utc_is_counted_right() {
    for (unix_s, expected) in [
        (0, (1970, 1, 1, 0, 0)),
        (951_782_399, (2000, 2, 28, 23, 59)),
        (951_782_400, (2000, 2, 29, 0, 0)),
        (1_709_251_199, (2024, 2, 29, 23, 59)),
        (4_107_542_400, (2100, 3, 1, 0, 0)),
    ] {
        let LocalTime { year, month, day, hour, minute } = LocalTime::utc(unix_s);
        assert_eq!((year, month, day, hour, minute), expected);
    }
    LocalTime::utc(u64::MAX);
}

#[test]
fn limits_come_from_headers() {
    let header = |name: &str| match name {
        "x-codex-primary-used-percent" => Some("12.5"),
        "x-codex-primary-window-minutes" => Some("300"),
        "x-codex-primary-reset-at" => Some("1764000000"),
        "x-codex-secondary-used-percent" => Some("0"),
        _ => None,
    };
    let primary = RateWindow {
        used_percent: 12.5,
        window_minutes: Some(300),
        resets_at: Some(1_764_000_000),
    };
    assert_eq!(rate_limits(&header), Some(RateLimits { primary: Some(primary), secondary: None }));
    assert_eq!(rate_limits(&none), None);
    // A time relative to the reply is not one to keep.
    let header = |name: &str| match name {
        "x-codex-secondary-used-percent" => Some("7"),
        "x-codex-secondary-reset-after-seconds" => Some("120"),
        _ => None,
    };
    let secondary = RateWindow { used_percent: 7.0, window_minutes: None, resets_at: None };
    let limits = RateLimits { primary: None, secondary: Some(secondary) };
    assert_eq!(rate_limits(&header), Some(limits));
    for value in ["0", "NaN", "inf", "x"] {
        let header = |name: &str| (name == "x-codex-primary-used-percent").then_some(value);
        assert_eq!(rate_limits(&header), None, "{value}");
    }
}
