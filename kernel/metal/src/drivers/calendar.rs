//! Turns the registers of the real-time clock into seconds: pure, so that it is tested on the host.
//!
//! The chip is an MC146818A descendant; the register formats are those of its data sheet (Motorola
//! 1988, "Time, calendar and alarm locations" and "Register B"). Neighbour: `rtc`, which reads it.

use core::fmt;

/// The clock's registers, as read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockRegisters {
    /// Seconds, register 0x00.
    pub second: u8,
    /// Minutes, register 0x02.
    pub minute: u8,
    /// Hours, register 0x04; bit 7 is "afternoon" on a 12-hour clock.
    pub hour: u8,
    /// Day of the month, register 0x07.
    pub day: u8,
    /// Month, register 0x08.
    pub month: u8,
    /// Year of the century, register 0x09.
    pub year: u8,
    /// The century, in the register that PCs use for it (0x32); not every clock has one.
    pub century: u8,
    /// Register B, which tells the format of the others.
    pub format: u8,
}

/// Register B: values are binary, not decimal coded.
const FORMAT_BINARY: u8 = 1 << 2;
/// Register B: hours count to 24, not to 12.
const FORMAT_24_HOURS: u8 = 1 << 1;
/// Hours register of a 12-hour clock: the time is past noon.
const AFTERNOON: u8 = 1 << 7;

/// The clock shows no possible date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadClock(pub ClockRegisters);

impl fmt::Display for BadClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the real-time clock shows no possible date ({:02x}-{:02x}-{:02x} {:02x}:{:02x}:{:02x}); \
             set it in the firmware",
            self.0.year, self.0.month, self.0.day, self.0.hour, self.0.minute, self.0.second
        )
    }
}

impl ClockRegisters {
    /// Seconds since 1970-01-01 00:00 UTC, provided that the clock runs on UTC.
    pub fn unix_seconds(self) -> Result<u64, BadClock> {
        let number = |value| self.number(value).ok_or(BadClock(self));
        let (second, minute) = (number(self.second)?, number(self.minute)?);
        let (day, month) = (number(self.day)?, number(self.month)?);
        let hour = self.hour_of_day().ok_or(BadClock(self))?;
        let year = self.full_year().ok_or(BadClock(self))?;
        let possible = second < 60
            && minute < 60
            && hour < 24
            && (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day);
        if !possible {
            return Err(BadClock(self));
        }
        let days = days_since_1970(year, month, day);
        Ok(((days * 24 + hour) * 60 + minute) * 60 + second)
    }

    /// A register's value in the clock's format.
    fn number(self, value: u8) -> Option<u64> {
        if self.format & FORMAT_BINARY != 0 {
            return Some(value.into());
        }
        let (tens, units) = (value >> 4, value & 0xF);
        (tens < 10 && units < 10).then(|| u64::from(tens * 10 + units))
    }

    fn hour_of_day(self) -> Option<u64> {
        if self.format & FORMAT_24_HOURS != 0 {
            return self.number(self.hour);
        }
        let hour = self.number(self.hour & !AFTERNOON)?;
        let noon = if self.hour & AFTERNOON != 0 { 12 } else { 0 };
        (1..=12).contains(&hour).then(|| hour % 12 + noon)
    }

    /// The year; a century register that is absent or wrong counts as the twenty-first.
    fn full_year(self) -> Option<u64> {
        let year = self.number(self.year).filter(|&year| year < 100)?;
        let century = self
            .number(self.century)
            .filter(|it| (20..=22).contains(it))
            .unwrap_or(20);
        Some(century * 100 + year)
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date that is not before it.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: u64 = (1..month).map(|it| days_of_month(year, it)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal_coded(value: u8) -> u8 {
        ((value / 10) << 4) | (value % 10)
    }

    #[test]
    fn decimal_coded_24_hour_clock_is_read() {
        // 2026-11-22 16:08:57 UTC, by `date -u -d ... +%s`.
        let clock = ClockRegisters {
            second: 0x57,
            minute: 0x08,
            hour: 0x16,
            day: 0x22,
            month: 0x11,
            year: 0x26,
            century: 0x20,
            format: FORMAT_24_HOURS,
        };
        assert_eq!(clock.unix_seconds(), Ok(1_795_363_737));
    }

    #[test]
    fn binary_12_hour_clock_without_century_is_read() {
        // 2024-02-29 12:30:00 and 00:30:00 UTC.
        let noon = ClockRegisters {
            second: 0,
            minute: 30,
            hour: 12 | AFTERNOON,
            day: 29,
            month: 2,
            year: 24,
            century: 0xFF,
            format: FORMAT_BINARY,
        };
        assert_eq!(noon.unix_seconds(), Ok(1_709_209_800));
        let midnight = ClockRegisters { hour: 12, ..noon };
        assert_eq!(midnight.unix_seconds(), Ok(1_709_166_600));
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut expected = 10_957; // 2000-01-01
        for year in 2000..2300 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    assert_eq!(
                        days_since_1970(year, month, day),
                        expected,
                        "{year}-{month}-{day}"
                    );
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn impossible_dates_are_refused() {
        let good = ClockRegisters {
            day: 0x28,
            month: 0x02,
            year: decimal_coded(23),
            century: 0x20,
            format: FORMAT_24_HOURS,
            ..ClockRegisters::default()
        };
        assert!(good.unix_seconds().is_ok());
        for bad in [
            ClockRegisters { day: 0x29, ..good },
            ClockRegisters { day: 0, ..good },
            ClockRegisters {
                month: 0x13,
                ..good
            },
            ClockRegisters { month: 0, ..good },
            ClockRegisters { hour: 0x24, ..good },
            ClockRegisters {
                minute: 0x60,
                ..good
            },
            ClockRegisters {
                second: 0x5A,
                ..good
            },
            ClockRegisters { year: 0xFF, ..good },
            ClockRegisters {
                hour: 0,
                format: 0,
                ..good
            },
        ] {
            assert_eq!(bad.unix_seconds(), Err(BadClock(bad)));
        }
    }
}
