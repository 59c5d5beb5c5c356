//! RFC 3339 times in UTC, to and from nanoseconds since the Unix epoch.

const NS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const EPOCH_DAYS: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// `2023-11-14T22:13:20.000000042Z`
pub fn time(ns: i64) -> String {
    let (seconds, fraction) = (ns.div_euclid(NS), ns.rem_euclid(NS));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

/// Reads what [`time`] writes, with any number of fraction digits (those beyond nanoseconds are
/// cut) and with an offset instead of `Z`. `None` if it is not such a time, or not representable.
pub fn parse_time(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let days = days(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let zone = clock.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = clock.split_at_checked(zone)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let scale = (fraction.len()..9).fold(1, |scale, _| scale * 10);
    let seconds = days * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    seconds.checked_mul(NS)?.checked_add(number(fraction)? * scale)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let seconds = number(hours)? * 3600 + number(minutes)? * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// One to nine decimal digits.
fn number(digits: &str) -> Option<i64> {
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Year, month and day of a number of days since the epoch. Years are counted from March, so that
/// the leap day is the last of the year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    era * ERA_DAYS + year * 365 + year / 4 - year / 100 + day - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400 * NS, "2000-02-29T00:00:00.000000000Z"),
            (1_735_689_599 * NS + 5, "2024-12-31T23:59:59.000000005Z"),
            (4_107_542_400 * NS, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(time(ns), text);
            assert_eq!(parse_time(text), Some(ns), "{text}");
        }
    }

    #[test]
    fn other_spellings_and_refusals() {
        assert_eq!(parse_time("1970-01-01T01:00:00.5+01:00"), Some(NS / 2));
        assert_eq!(parse_time("1970-01-01 00:00:01z"), Some(NS));
        for bad in [
            "",
            "now",
            "1970-01-01",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_time_reads_back(ns: i64) {
            proptest::prop_assert_eq!(parse_time(&time(ns)), Some(ns));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_time(&text);
        }
    }
}
