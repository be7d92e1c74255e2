//! Numbers as people read them. Pure.

/// A count: `950`, `12.3k`, `4.5M`.
pub(super) fn count(n: u64) -> String {
    scaled(n as f64, 1000.0, &["", "k", "M", "G", "T"], "")
}

/// Bytes: `950 B`, `12.3 kB`.
pub(super) fn bytes(n: u64) -> String {
    scaled(n as f64, 1000.0, &["B", "kB", "MB", "GB", "TB"], " ")
}

/// Events per second: `0.5`, `12.3k`.
pub(super) fn rate(n: f64) -> String {
    match n {
        0.0 => "0".to_owned(),
        n if n < 1000.0 => format!("{n:.1}"),
        n => count(n as u64),
    }
}

fn scaled(n: f64, step: f64, units: &[&str], space: &str) -> String {
    let mut n = n;
    let mut index = 0;
    // 999.95 would be shown as 1000.0.
    while n >= step - 0.05 && index + 1 < units.len() {
        n /= step;
        index += 1;
    }
    match index {
        0 => format!("{n:.0}{space}{}", units[0]),
        _ => format!("{n:.1}{space}{}", units[index]),
    }
}

/// A time span in its two largest units: `42 s`, `3 min 20 s`, `2 h 5 min`, `12 d 3 h`.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes, rest) {
        (0, 0, 0, _) => format!("{rest} s"),
        (0, 0, _, 0) => format!("{minutes} min"),
        (0, 0, ..) => format!("{minutes} min {rest} s"),
        (0, _, 0, _) => format!("{hours} h"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (_, 0, ..) => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.0k"),
            (12_345, "12.3k"),
            (999_960, "1.0M"),
            (4_500_000, "4.5M"),
            (u64::MAX, "18446744.1T"),
        ] {
            assert_eq!(count(n), text, "{n}");
        }
        assert_eq!((bytes(60).as_str(), bytes(1_500).as_str()), ("60 B", "1.5 kB"));
        assert_eq!((rate(0.0).as_str(), rate(0.5).as_str()), ("0", "0.5"));
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (42, "42 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (7500, "2 h 5 min"),
            (1_047_600, "12 d 3 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
