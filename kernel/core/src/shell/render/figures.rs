//! Figures with their units: sizes, spans of time, dates.

use alloc::format;
use alloc::string::String;

/// Bytes in the largest binary unit that keeps at least one digit: `512 B`, `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(count) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// A span of time: `421ns`, `35us`, `12.3ms`, `5.4s`, `3m20s`, `2h05m`, `4d03h`.
pub fn span(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}us", nanos / 1_000),
        1_000_000..1_000_000_000 => {
            format!("{}.{}ms", nanos / 1_000_000, nanos / 100_000 % 10)
        }
        1_000_000_000..60_000_000_000 => format!("{}.{}s", seconds, nanos / 100_000_000 % 10),
        _ => match seconds {
            0..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
            3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
            _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
        },
    }
}

/// Seconds since the node started, as `dmesg` prefixes them.
pub fn stamp(nanos: u64) -> String {
    format!(
        "[{:>5}.{:06}]",
        nanos / 1_000_000_000,
        nanos / 1_000 % 1_000_000
    )
}

/// Wall time as `2026-11-22 16:05:09 UTC`.
pub fn wall(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Gregorian date of a day counted from 1970-01-01, by walking years and months.
fn civil_from_days(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    for (month, length) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        .into_iter()
        .enumerate()
    {
        if days < length {
            return (year, month as u64 + 1, days + 1);
        }
        days -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_their_unit() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(16 << 20), "16.0 MiB");
        assert_eq!(span(950), "950ns");
        assert_eq!(span(12_345_678), "12.3ms");
        assert_eq!(span(200_000_000_000), "3m20s");
        assert_eq!(span(7_500_000_000_000), "2h05m");
        assert_eq!(stamp(1_234_567_000), "[    1.234567]");
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(wall(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(wall(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(wall(1_795_363_509_000_000_000), "2026-11-22 16:05:09 UTC");
    }
}
