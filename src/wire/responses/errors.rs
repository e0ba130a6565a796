//! What a provider's refusals mean: failed responses, HTTP errors, and the limits it reports.
//!
//! Headers are asked for by lower-case name through a function, so that any client can lend them;
//! what local time it is comes in as a [`Calendar`].

use crate::limits::{ERROR_TEXT_BYTES_MAX, RETRY_AFTER_MS_MAX};
use crate::wire::json;
use crate::wire::time::Civil;
use crate::words::model::{FailureKind, ModelFailure, RateLimits, RateWindow};

/// A response's header by its lower-case name.
pub type Header<'f, 'h> = &'f dyn Fn(&str) -> Option<&'h str>;

/// A moment as a clock on the wall shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalTime {
    pub year: i64,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
}

/// How Unix seconds are shown to people.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    pub now_s: u64,
    pub local: fn(u64) -> LocalTime,
}

impl Default for Calendar {
    fn default() -> Calendar {
        Calendar { now_s: 0, local: LocalTime::utc }
    }
}

impl LocalTime {
    /// The moment in UTC, which is the fallback where no zone is known.
    pub fn utc(unix_s: u64) -> LocalTime {
        let civil = Civil::utc(unix_s.saturating_mul(1000));
        LocalTime {
            year: i64::from(civil.year),
            month: civil.month,
            day: civil.day,
            hour: civil.hour,
            minute: civil.minute,
        }
    }
}

/// What a `response.failed` means.
pub fn failed(code: Option<&str>, message: Option<&str>) -> ModelFailure {
    let kind = match code.and_then(kind_of_code) {
        Some(kind) => kind,
        None if message.is_some_and(says_context_full) => FailureKind::ContextFull,
        None => FailureKind::Stream,
    };
    let message = message.map(legible).filter(|message| !message.is_empty());
    let retry_after_ms = match (kind, &message) {
        (FailureKind::RateLimited, Some(message)) => delay_named(message),
        _ => None,
    };
    let message = message.unwrap_or_else(|| match (kind, code) {
        (FailureKind::ContextFull, _) => {
            "the conversation no longer fits the model's window".into()
        }
        (FailureKind::Overloaded, _) => "the provider is overloaded; try again later".into(),
        (_, Some(code)) => format!("the response failed: {}", legible(code)),
        (_, None) => "the response failed and the provider did not say why".into(),
    });
    ModelFailure { kind, message: message.into(), retry_after_ms }
}

/// What an `response.incomplete` means; it is final.
pub fn incomplete(reason: Option<&str>) -> ModelFailure {
    let reason = reason.map_or_else(|| "no reason given".to_owned(), legible);
    let message = format!("the provider ended the response early: {reason}");
    ModelFailure::new(FailureKind::Refused, message)
}

/// Whether a reply with these headers may be a stream of events. Plain servers name no type.
pub fn is_stream(header: Header<'_, '_>) -> bool {
    let kind = header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim();
    let is_other =
        ["application/json", "text/html"].iter().any(|other| kind.eq_ignore_ascii_case(other));
    !is_other && encoding(header).is_none()
}

/// How a reply is encoded, which none was asked to be.
fn encoding<'h>(header: Header<'_, 'h>) -> Option<&'h str> {
    let encoding = header("content-encoding").map(str::trim);
    encoding.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
}

/// What an HTTP reply means that is not a stream of events: any status but 2xx, and 2xx of another
/// content type. The body may be cut; only its beginning counts.
pub fn refused(
    status: u16,
    header: Header<'_, '_>,
    body: &[u8],
    calendar: &Calendar,
) -> ModelFailure {
    let body = match encoding(header) {
        Some(name) => format!("it is encoded as {name}, which was not asked for").into(),
        None => String::from_utf8_lossy(body),
    };
    let reply = ErrorBody::read(&body);
    let code = reply.code.as_deref().or(reply.kind.as_deref());
    let kind = match kind_of_reply(status, code) {
        FailureKind::Refused | FailureKind::Server
            if says_context_full(reply.message.as_deref().unwrap_or(&body)) =>
        {
            FailureKind::ContextFull
        }
        kind => kind,
    };
    let mut message = match (status, code) {
        (429, Some("usage_limit_reached")) => limit_text(&reply, calendar),
        (429, Some("usage_not_included")) => {
            "this plan does not include the model; choose another or upgrade the plan".to_owned()
        }
        (500, _) => "the provider failed, perhaps from high demand; try again later".to_owned(),
        (403, _) if is_cloudflare(&body) => {
            "the provider's gateway (Cloudflare) blocked the request: 403; \
             another network may be let through"
                .to_owned()
        }
        _ => status_text(status, &reply, &body),
    };
    if let Some(id) = header("x-request-id") {
        message += &format!(", request id: {}", legible(id));
    }
    let comes_back = matches!(kind, FailureKind::RateLimited | FailureKind::Server);
    let retry_after_ms = header("retry-after").filter(|_| comes_back).and_then(|text| {
        let seconds = text.trim().parse::<f64>().ok()?;
        bounded_ms(seconds * 1000.0)
    });
    ModelFailure { kind, message: message.into(), retry_after_ms }
}

/// The limits that a reply's headers report; `None` when there are none.
pub fn rate_limits(header: Header<'_, '_>) -> Option<RateLimits> {
    let window = |name: &str| {
        let value = |field: &str| header(&format!("x-codex-{name}-{field}")).map(str::trim);
        let used_percent = value("used-percent")?.parse::<f64>().ok()?;
        let window_minutes = value("window-minutes").and_then(|text| text.parse().ok());
        let resets_at = value("reset-at").and_then(|text| text.parse().ok());
        let says_something = used_percent != 0.0 || window_minutes.is_some() || resets_at.is_some();
        (used_percent.is_finite() && says_something).then_some(RateWindow {
            used_percent,
            window_minutes,
            resets_at,
        })
    };
    let limits = RateLimits { primary: window("primary"), secondary: window("secondary") };
    (limits != RateLimits::default()).then_some(limits)
}

/// What an error's JSON says, in any of the shapes providers use.
#[derive(Default)]
struct ErrorBody {
    kind: Option<Box<str>>,
    code: Option<Box<str>>,
    message: Option<Box<str>>,
    plan: Option<Box<str>>,
    resets_at: Option<u64>,
}

impl ErrorBody {
    fn read(body: &str) -> ErrorBody {
        let Ok([error, detail, message]) = json::pick(body, ["error", "detail", "message"]) else {
            return ErrorBody::default();
        };
        let outer = message.or(detail).and_then(json::boxed);
        let Some(error) = error else {
            return ErrorBody { message: outer, ..ErrorBody::default() };
        };
        let names = ["type", "code", "message", "plan_type", "resets_at"];
        match json::pick(error, names) {
            Ok([kind, code, message, plan, resets_at]) => ErrorBody {
                kind: kind.and_then(json::boxed),
                code: code.and_then(json::boxed),
                message: message.and_then(json::boxed).or(outer),
                plan: plan.and_then(json::boxed),
                resets_at: resets_at.and_then(json::count),
            },
            Err(_) => ErrorBody { message: json::boxed(error).or(outer), ..ErrorBody::default() },
        }
    }
}

/// Whether a provider without codes says that a request is more than the model's window holds.
fn says_context_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    CONTEXT_FULL.iter().any(|words| message.contains(words))
}

/// Words of OpenAI, vLLM and gateways; llama.cpp; LM Studio; others.
const CONTEXT_FULL: [&str; 6] = [
    "maximum context length",
    "exceeds the context window",
    "exceeds the available context size",
    "context length of only",
    "prompt is too long",
    "maximum number of tokens allowed",
];

fn kind_of_code(code: &str) -> Option<FailureKind> {
    match code {
        // The second is how the server of llama.cpp says it.
        "context_length_exceeded" | "exceed_context_size_error" => Some(FailureKind::ContextFull),
        "insufficient_quota" | "usage_not_included" | "usage_limit_reached" => {
            Some(FailureKind::Limit)
        }
        "rate_limit_exceeded" => Some(FailureKind::RateLimited),
        "invalid_prompt" => Some(FailureKind::Refused),
        "server_is_overloaded" | "slow_down" => Some(FailureKind::Overloaded),
        _ => None,
    }
}

fn kind_of_reply(status: u16, code: Option<&str>) -> FailureKind {
    let named = code.and_then(kind_of_code);
    match (status, named) {
        (200..300, Some(kind)) => kind,
        (401, _) => FailureKind::Credentials,
        (429, Some(FailureKind::Limit)) => FailureKind::Limit,
        (429, _) => FailureKind::RateLimited,
        (413, _) | (400..500, Some(FailureKind::ContextFull)) => FailureKind::ContextFull,
        (500..600, _) => FailureKind::Server,
        _ => FailureKind::Refused,
    }
}

fn status_text(status: u16, reply: &ErrorBody, body: &str) -> String {
    let is_page = body.trim_start().starts_with('<');
    let said = match &reply.message {
        Some(message) => legible(message),
        None if is_page => "a web page instead of an answer; is the base URL right?".to_owned(),
        None => legible(body),
    };
    let said = if said.is_empty() { "nothing more was said".to_owned() } else { said };
    match status {
        407 => format!(
            "a proxy on the way wants other credentials (status 407); name them in its address, as \
             in http://user:password@host:port: {said}"
        ),
        200..300 => format!("the provider sent no stream of events: {said}"),
        401 => format!("the provider did not accept the credentials (status 401): {said}"),
        _ => format!("the provider answered with status {status}: {said}"),
    }
}

fn is_cloudflare(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    body.contains("cloudflare") && body.contains("blocked")
}

/// What to do about a used-up plan, and when it starts anew.
fn limit_text(reply: &ErrorBody, calendar: &Calendar) -> String {
    const CREDITS: &str = "buy credits (https://chatgpt.com/codex/settings/usage)";
    const PLANS: &str = "https://chatgpt.com/pricing";
    let again = match reply.resets_at {
        Some(at) => format!("try again at {}", moment(at, calendar)),
        None => "try again later".to_owned(),
    };
    let deeds = match reply.plan.as_deref() {
        Some("free") => format!("upgrade to Plus ({PLANS}) to go on, or {again}"),
        Some("plus") => format!("upgrade to Pro ({PLANS}), {CREDITS}, or {again}"),
        Some("pro") => format!("{CREDITS}, or {again}"),
        Some("team" | "business") => format!("ask your admin for more, or {again}"),
        _ => again,
    };
    format!("usage limit reached: {deeds}")
}

/// `2:39 AM` for today, `Nov 22nd, 2026 2:38 AM` for any other day.
pub fn moment(unix_s: u64, calendar: &Calendar) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (at, now) = ((calendar.local)(unix_s), (calendar.local)(calendar.now_s));
    let half = if at.hour < 12 { "AM" } else { "PM" };
    let hour = match at.hour % 12 {
        0 => 12,
        hour => hour,
    };
    let time = format!("{hour}:{:02} {half}", at.minute);
    if (at.year, at.month, at.day) == (now.year, now.month, now.day) {
        return time;
    }
    let ordinal = match (at.day % 10, at.day) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    let month = MONTHS.get(usize::from(at.month).wrapping_sub(1)).unwrap_or(&"?");
    format!("{month} {}{ordinal}, {} {time}", at.day, at.year)
}

/// The delay in "try again in 1.5s", with `ms`, `s` or `seconds`.
fn delay_named(message: &str) -> Option<u64> {
    const LEAD: &str = "try again in";
    let message = message.to_ascii_lowercase();
    let rest = message[message.find(LEAD)? + LEAD.len()..].trim_start();
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let value = rest[..digits].parse::<f64>().ok()?;
    let unit = rest[digits..].trim_start();
    let word = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
    match &unit[..word] {
        "ms" => bounded_ms(value),
        "s" | "second" | "seconds" => bounded_ms(value * 1000.0),
        _ => None,
    }
}

fn bounded_ms(ms: f64) -> Option<u64> {
    (ms >= 0.0).then(|| (ms.ceil() as u64).min(RETRY_AFTER_MS_MAX))
}

/// Foreign text as a person may read it: no control characters, and not too long.
fn legible(text: &str) -> String {
    let text = text.trim();
    let cut = text.floor_char_boundary(ERROR_TEXT_BYTES_MAX);
    let mut legible: String =
        text[..cut].chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    if cut < text.len() {
        legible.push('…');
    }
    legible
}

#[cfg(test)]
mod tests;
