//! Moments as text: civil dates by arithmetic, without tables, zones or clocks.
//!
//! The proleptic Gregorian calendar for Unix times of the years 1970 to 9999; later ones are
//! clamped, so that the text keeps its width. A zone is an offset in seconds that the host knows.

use std::fmt;

/// A moment taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Civil {
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub millisecond: u16,
}

/// The last moment that has a year of four digits.
const WALL_MS_MAX: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

impl Civil {
    /// The moment in UTC.
    pub fn utc(wall_ms: u64) -> Civil {
        Civil::local(wall_ms, 0)
    }

    /// The moment in a zone that is ahead of UTC by so many seconds.
    pub fn local(wall_ms: u64, ahead_seconds: i32) -> Civil {
        let ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        let ms = ms.saturating_add(i64::from(ahead_seconds) * 1000).clamp(0, WALL_MS_MAX);
        // Days since 0000-03-01: a year that begins in March has its leap day last. The clamp above
        // keeps everything positive and small.
        let days = ms / DAY_MS + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let of_day = ms % DAY_MS;
        Civil {
            year: year as u16,
            month: month as u8,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
            hour: (of_day / 3_600_000) as u8,
            minute: (of_day / 60_000 % 60) as u8,
            second: (of_day / 1000 % 60) as u8,
            millisecond: (of_day % 1000) as u16,
        }
    }
}

/// Reads a moment that RFC 3339 writes in UTC, to the millisecond; later digits are cut off.
pub fn read(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_at_checked("0000-00-00T00:00:00".len())?;
    let mut shape = whole.bytes().zip(b"0000-00-00T00:00:00");
    if !shape.all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        wanted => byte == *wanted,
    }) {
        return None;
    }
    let number = |from: usize, to: usize| whole[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fraction = rest.strip_suffix('Z')?;
    let digits = if fraction.is_empty() { "0" } else { fraction.strip_prefix('.')? };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{digits:0<3}")[..3].parse::<i64>().ok()?;
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_real || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // A year that begins in March has its leap day last.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    u64::try_from(seconds * 1000 + thousandths).ok()
}

/// Writes a moment as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rfc3339(pub u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second, millisecond } = Civil::utc(self.0);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_762_509_600_123, "2025-11-07T10:00:00.123Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ];
        for (wall_ms, text) in cases {
            assert_eq!(Rfc3339(wall_ms).to_string(), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = Civil::utc(0);
        for day in 1..200_000_u64 {
            let now = Civil::utc(day * 86_400_000);
            let next_day =
                (now.year, now.month) == (before.year, before.month) && now.day == before.day + 1;
            let divided = |by: u16| before.year.is_multiple_of(by);
            let leap = divided(4) && (!divided(100) || divided(400));
            let month_days = match before.month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next_month = now.day == 1 && before.day == month_days;
            assert!(next_day || next_month, "{before:?} {now:?}");
            before = now;
        }
    }

    #[test]
    fn zones_shift_the_date() {
        let west = Civil::local(1_762_509_600_123, -11 * 3600);
        assert_eq!((west.day, west.hour, west.minute), (6, 23, 0));
        let east = Civil::local(1_762_509_600_123, 14 * 3600 + 1800);
        assert_eq!((east.day, east.hour, east.minute), (8, 0, 30));
        assert_eq!(Civil::local(0, -3600), Civil::utc(0));
    }

    #[test]
    fn a_moment_reads_back_and_nothing_else_is_one() {
        for wall_ms in
            [0, 951_782_400_000, 1_709_164_800_123, 1_762_509_600_999, 253_402_300_799_999]
        {
            assert_eq!(read(&Rfc3339(wall_ms).to_string()), Some(wall_ms));
        }
        assert_eq!(read("1970-01-02T00:00:00Z"), Some(86_400_000));
        assert_eq!(read("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(read("1970-01-01T00:00:01.123456Z"), Some(1123));
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+00:00",
            "1970-13-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:0\u{e4}",
            "+970-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
