//! Times of documents: RFC 3339, or numbers since some beginning.

use model::json::parse_time;

/// 1970 in Windows file time, 100 ns units since 1601.
const FILETIME_1970: i64 = 116_444_736_000_000_000;
/// At and above these a number is of that unit: each covers the years from 1973 to beyond 5000.
const NANOSECONDS: i64 = 1_000_000_000_000_000_000;
const MICROSECONDS: i64 = 100_000_000_000_000;
const MILLISECONDS: i64 = 100_000_000_000;

/// A time as text: RFC 3339, or a number.
pub(crate) fn text(text: &str) -> Option<i64> {
    parse_time(text).or_else(|| text.parse().ok().map(number))
}

/// A time as a number: seconds, milliseconds, microseconds or nanoseconds since 1970, or Windows
/// file time. Which one is told by its size.
pub(crate) fn number(number: i64) -> i64 {
    match number {
        NANOSECONDS.. => number,
        FILETIME_1970.. => (number - FILETIME_1970).saturating_mul(100),
        MICROSECONDS.. => number.saturating_mul(1_000),
        MILLISECONDS.. => number.saturating_mul(1_000_000),
        _ => number.saturating_mul(1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_told_by_the_size() {
        let expected = 1_700_000_000_000_000_000;
        for given in [
            1_700_000_000,
            1_700_000_000_000,
            1_700_000_000_000_000,
            1_700_000_000_000_000_000,
            133_444_736_000_000_000,
        ] {
            assert_eq!(number(given), expected, "{given}");
        }
        assert_eq!(number(FILETIME_1970), 0);
        assert_eq!(text("2023-11-14T22:13:20Z"), Some(expected));
        assert_eq!(text("1700000000000"), Some(expected));
        assert_eq!(text("yesterday"), None);
    }
}
