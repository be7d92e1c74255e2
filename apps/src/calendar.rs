//! Dates of the Gregorian calendar, UTC. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// Days from 1970-01-01 to a date, which may be before it.
fn days(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is the last; eras of 400 years have 146,097 days.
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = i64::from((153 * month + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The moment of a date and time of day; `None` before 1970.
pub(crate) fn moment(date: (i64, u32, u32), time: (u32, u32, u32)) -> Option<SystemTime> {
    let days = u64::try_from(days(date.0, date.1, date.2)).ok()?;
    let seconds = u64::from(time.0) * 3600 + u64::from(time.1) * 60 + u64::from(time.2);
    Some(UNIX_EPOCH + Duration::from_secs(days * DAY + seconds))
}

/// A moment as RFC 3339 writes it, with milliseconds; moments before 1970 as 1970.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (day, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let mut year = 1970 + day as i64 / 366;
    while days(year + 1, 1, 1) <= day as i64 {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day as i64).unwrap_or(1);
    let date = day as i64 - days(year, month, 1) + 1;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{:02}.{:03}Z",
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_dates_are_turned_into_each_other() {
        for (date, time, text) in [
            ((1970, 1, 1), (0, 0, 0), "1970-01-01T00:00:00.000Z"),
            ((2000, 2, 29), (23, 59, 59), "2000-02-29T23:59:59.000Z"),
            ((2024, 12, 31), (12, 0, 1), "2024-12-31T12:00:01.000Z"),
            ((2100, 3, 1), (1, 2, 3), "2100-03-01T01:02:03.000Z"),
        ] {
            assert_eq!(rfc3339(moment(date, time).unwrap()), text);
        }
        assert_eq!(moment((1969, 12, 31), (0, 0, 0)), None);
        // 1,700,000,000 seconds: a date that can be looked up.
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        assert_eq!(rfc3339(at), "2023-11-14T22:13:20.250Z");
    }
}
