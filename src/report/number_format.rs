//! Numbers as text for people. An unknown value is a dash. Knows nothing of what the numbers mean.

use bytesize::ByteSize;

/// An unknown value.
pub const UNKNOWN: &str = "–";

/// Three decimals.
pub fn number(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.3}"))
}

/// A number of any size with a few significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.2e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// A fraction as per cent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// The bounds of an interval.
pub fn interval(bounds: Option<[f64; 2]>) -> String {
    bounds.map_or(UNKNOWN.to_owned(), |[lower, upper]| format!("{lower:.3} to {upper:.3}"))
}

/// A number of bytes with its unit.
pub fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// A duration.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    match (hours, minutes) {
        (0, 0) if seconds < 10.0 => format!("{seconds:.1} s"),
        (0, 0) => format!("{whole} s"),
        (0, _) => format!("{minutes} min {} s", whole % 60),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// A count with its noun, in the plural unless the count is 1.
pub fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.00012, 0.1234, 12.345, 5000.4, 2e7].map(digits),
            ["0", "1.20e-4", "0.123", "12.3", "5000", "2.00e7"]
        );
        assert_eq!([0.0, 0.004, 0.5, 1.0].map(percent), ["0 %", "0.4 %", "50 %", "100 %"]);
        assert_eq!([3.21, 42.0, 85.4, 7300.0].map(seconds), ["3.2 s", "42 s", "1 min 25 s", "2 h 1 min"]);
        assert_eq!((number(None), interval(None)), (UNKNOWN.to_owned(), UNKNOWN.to_owned()));
    }
}
