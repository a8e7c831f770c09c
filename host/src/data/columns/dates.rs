//! Dates and times as seconds since 1970, and their parts as features.

use std::f64::consts::TAU;

use arrow_cast::parse::string_to_datetime;
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};

/// Parses an ISO 8601 date with an optional time, such as "2024-02-29", "2024-02-29 17:30" or "2024-02-29T17:30:00Z",
/// as seconds since 1970-01-01T00:00:00 UTC. A time without an offset is in UTC.
pub fn parse_date(text: &str) -> Option<f64> {
    // The parser needs seconds; spreadsheets write times without them.
    let with_seconds = (text.len() == 16).then(|| format!("{text}:00"));
    let date = string_to_datetime(&Utc, with_seconds.as_deref().unwrap_or(text)).ok()?;
    Some(date.timestamp() as f64 + f64::from(date.timestamp_subsec_micros()) / 1e6)
}

/// Formats a date: "2024-02-29", or "2024-02-29 17:30:00" if the time isn't midnight.
pub fn format_date(seconds: f64) -> String {
    match of_seconds(seconds) {
        Some(date) if date.num_seconds_from_midnight() == 0 => date.date().to_string(),
        Some(date) => date.format("%Y-%m-%d %H:%M:%S").to_string(),
        None => seconds.to_string(),
    }
}

/// Returns the year; `None` if the date is out of range.
pub fn year(seconds: f64) -> Option<f64> {
    of_seconds(seconds).map(|date| f64::from(date.year()))
}

/// Returns whether the time isn't midnight.
pub fn has_time(seconds: f64) -> bool {
    seconds.rem_euclid(86_400.0) != 0.0
}

/// The names of the cyclic parts, without and with times of day.
pub fn part_names(times: bool) -> &'static [&'static str] {
    const NAMES: [&str; 6] = ["month sin", "month cos", "weekday sin", "weekday cos", "time sin", "time cos"];
    if times { &NAMES } else { &NAMES[..4] }
}

/// Calls `push` with the sine and cosine of the month (a year is a turn), of the day of the week (a turn from Monday to
/// Monday) and, with `times`, of the time of day. Returns false if the date is out of range.
pub fn cyclic_parts(seconds: f64, times: bool, mut push: impl FnMut(f64)) -> bool {
    let Some(date) = of_seconds(seconds) else { return false };
    let month = f64::from(date.month0()) / 12.0;
    let weekday = f64::from(date.weekday().num_days_from_monday()) / 7.0;
    let time = seconds.rem_euclid(86_400.0) / 86_400.0;
    for turn in [month, weekday, time].into_iter().take(if times { 3 } else { 2 }) {
        push((turn * TAU).sin());
        push((turn * TAU).cos());
    }
    true
}

fn of_seconds(seconds: f64) -> Option<NaiveDateTime> {
    // Beyond this, float64 doesn't hold whole seconds, and chrono has no dates.
    (seconds.abs() < 1e13)
        .then(|| DateTime::from_timestamp(seconds.floor() as i64, 0))
        .flatten()
        .map(|date| date.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_dates_are_parsed() {
        for (text, seconds) in [
            ("1970-01-02", 86_400.0),
            ("1970-01-01 00:01", 60.0),
            ("1970-01-01T00:00:01.5", 1.5),
            ("1970-01-01T02:00:00+02:00", 0.0),
            ("2000-02-29T00:00:00Z", 951_782_400.0),
            ("1969-12-31", -86_400.0),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
        }
        for text in ["", "1970", "1970-13-01", "1970-02-30", "01/02/1970", "12345678", "Paris", "1970-01-01x"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn parts_are_those_of_the_calendar() {
        // A Thursday in October, at 06:00.
        let date = parse_date("2026-10-01T06:00:00").expect("a date");
        assert_eq!((year(date), has_time(date), format_date(date)), (Some(2026.0), true, "2026-10-01 06:00:00".into()));
        let mut parts = Vec::new();
        assert!(cyclic_parts(date, true, |part| parts.push(part)));
        let want = [(0.75 * TAU).sin(), (0.75 * TAU).cos(), (TAU * 3.0 / 7.0).sin(), (TAU * 3.0 / 7.0).cos(), 1.0, 0.0];
        assert!(parts.iter().zip(want).all(|(part, want)| (part - want).abs() < 1e-12), "{parts:?}");
        assert_eq!(parts.len(), part_names(true).len());
        assert_eq!(format_date(parse_date("1969-07-20").expect("a date")), "1969-07-20");
        assert_eq!(year(1e300), None);
    }
}
