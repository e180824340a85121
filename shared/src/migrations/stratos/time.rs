//! The field's stamps: `2026-02-11 09:30:00` in the time zone of its application.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time, and whether its zone has it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// Whether the clocks of the zone showed it twice or never, on the day that they were changed. The earlier offset is taken.
    pub is_ambiguous: bool,
}

/// Parses a stamp. One that names its offset is taken by that.
#[must_use]
pub fn parse(text: &str, zone: &TimeZone) -> Option<Stamp> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Stamp { at_ms: at.as_millisecond(), is_ambiguous: false });
    }
    let ambiguous = zone.to_ambiguous_zoned(text.parse::<DateTime>().ok()?);
    let is_ambiguous = ambiguous.is_ambiguous();
    Some(Stamp { at_ms: ambiguous.compatible().ok()?.timestamp().as_millisecond(), is_ambiguous })
}

/// Parses a time zone: `UTC`, an offset such as `+01:00`, a name of the system's time zone database, or a POSIX rule such as
/// `CET-1CEST,M3.5.0,M10.5.0/3`.
///
/// # Errors
/// It is none of them.
pub fn parse_zone(text: &str) -> Result<TimeZone, String> {
    let offset = || {
        let (sign, rest) = (text.starts_with('-'), text.strip_prefix(['+', '-'])?);
        let (hours, minutes) = rest.split_once(':')?;
        let minutes = hours.parse::<i32>().ok()? * 60 + minutes.parse::<i32>().ok()?;
        let seconds = minutes * if sign { -60 } else { 60 };
        Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?))
    };
    let named = || if text == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(text).ok() };
    offset().or_else(named).or_else(|| TimeZone::posix(text).ok()).ok_or_else(|| {
        format!("expected `UTC`, an offset such as +01:00, a name that this system's time zone database has, or a POSIX rule, not {text:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn stamps_are_taken_in_their_zone() {
        let at = |text: &str, zone: &str| {
            parse(text, &parse_zone(zone).unwrap()).map(|stamp| (rfc3339(stamp.at_ms), stamp.is_ambiguous))
        };
        let once = |text: &str| Some((text.to_owned(), false));
        assert_eq!(at("2026-02-11 09:30:00", "UTC"), once("2026-02-11T09:30:00.000Z"));
        assert_eq!(at("2026-02-11 09:30:00.250", "+05:30"), once("2026-02-11T04:00:00.250Z"));
        assert_eq!(at("2026-02-11 09:30:00", "-03:00"), once("2026-02-11T12:30:00.000Z"));
        assert_eq!(at("2026-02-11T09:30:00+02:00", "UTC"), once("2026-02-11T07:30:00.000Z"));
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(at("2026-07-01 12:00:00", berlin), once("2026-07-01T10:00:00.000Z"));
        assert_eq!(at("2026-10-25 02:30:00", berlin), Some(("2026-10-25T00:30:00.000Z".into(), true)));
        assert_eq!(at("2026-03-29 02:30:00", berlin), Some(("2026-03-29T01:30:00.000Z".into(), true)));
        assert_eq!((at("yesterday", "UTC"), at("", "UTC")), (None, None));
        assert!(parse_zone("+1").is_err() && parse_zone("Nowhere/At all").is_err());
    }
}
