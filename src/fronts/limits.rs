//! What is known of an account's limits, as people read it.
//!
//! Providers tell limits with their replies, so that before the first one nothing can be known.
//! Resets are moments, not distances: a figure that was recorded days ago is still right, and one
//! whose window has begun anew since is no longer shown.

use crate::wire::responses::errors::{Calendar, moment};
use crate::words::model::{RateLimits, RateWindow};

/// What a provider has said of limits so far.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Known {
    /// Nothing was asked yet.
    NotAsked,
    /// It has answered, and named none.
    NotTold,
    Told(RateLimits),
}

impl Known {
    /// A line for each window, or one that says why there is none; without the last newline.
    pub fn text(self, calendar: &Calendar) -> String {
        let nothing = match self {
            Known::NotAsked => return "usage appears once a message has been sent".to_owned(),
            Known::NotTold => RateLimits::default(),
            Known::Told(limits) => limits,
        };
        let windows = [("primary", nothing.primary), ("secondary", nothing.secondary)];
        let lines: Vec<String> = windows
            .into_iter()
            .filter_map(|(name, window)| Some((name, window?)))
            .filter(|(_, window)| window.resets_at.is_none_or(|at_s| at_s > calendar.now_s))
            .map(|(name, window)| line(name, window, calendar))
            .collect();
        match lines.as_slice() {
            [] => "not available yet".to_owned(),
            lines => lines.join("\n"),
        }
    }
}

fn line(name: &str, window: RateWindow, calendar: &Calendar) -> String {
    let span = match window.window_minutes {
        None | Some(0) => name.to_owned(),
        Some(minutes) if minutes % 1440 == 0 => format!("{}d", minutes / 1440),
        Some(minutes) if minutes % 60 == 0 => format!("{}h", minutes / 60),
        Some(minutes) => format!("{minutes}m"),
    };
    let percent = (window.used_percent.clamp(0.0, 999.0) * 10.0).round() / 10.0;
    match window.resets_at {
        Some(at_s) => format!("{span}: {percent}% used, resets at {}", moment(at_s, calendar)),
        None => format!("{span}: {percent}% used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::responses::errors::LocalTime;

    /// 2026-11-21 02:00 UTC.
    const CALENDAR: Calendar = Calendar { now_s: 1_795_226_400, local: LocalTime::utc };

    fn window(
        used_percent: f64,
        window_minutes: Option<u64>,
        resets_at: Option<u64>,
    ) -> Option<RateWindow> {
        Some(RateWindow { used_percent, window_minutes, resets_at })
    }

    fn check(primary: Option<RateWindow>, secondary: Option<RateWindow>, text: &str) {
        let limits = RateLimits { primary, secondary };
        assert_eq!(Known::Told(limits).text(&CALENDAR), text);
    }

    #[test]
    fn before_an_answer_and_after_one_without_limits_other_things_are_said() {
        let early = Known::NotAsked.text(&CALENDAR);
        assert_eq!(early, "usage appears once a message has been sent");
        assert_eq!(Known::NotTold.text(&CALENDAR), "not available yet");
        check(None, None, "not available yet");
    }

    #[test]
    fn a_window_is_told_by_its_length_and_its_reset() {
        check(
            window(12.5, Some(300), Some(1_795_228_740)),
            window(5.0, Some(10_080), Some(1_795_315_080)),
            "5h: 12.5% used, resets at 2:39 AM\n\
             7d: 5% used, resets at Nov 22nd, 2026 2:38 AM",
        );
        check(window(0.04, Some(90), None), None, "90m: 0% used");
        check(None, window(66.66, None, None), "secondary: 66.7% used");
        check(window(1e300, Some(0), None), None, "primary: 999% used");
    }

    #[test]
    fn a_window_that_has_begun_anew_says_nothing() {
        let stale = window(99.0, Some(300), Some(CALENDAR.now_s));
        check(stale, window(5.0, None, None), "secondary: 5% used");
        check(stale, None, "not available yet");
    }
}
