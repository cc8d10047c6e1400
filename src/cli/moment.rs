//! A moment on the command line: a time, or how far away from now it is.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use prost_types::Timestamp;

use super::Error;

/// An RFC 3339 time, or a distance from now: whether that lies ahead or back is the flag's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(SystemTime),
    Away(Duration),
}

impl Moment {
    /// The time, where a distance leads into the future.
    pub fn ahead(self, now: SystemTime) -> Result<Timestamp, Error> {
        match self {
            Moment::At(time) => Some(time),
            Moment::Away(distance) => now.checked_add(distance),
        }
        .map(Timestamp::from)
        .ok_or_else(|| self.too_far())
    }

    /// The time, where a distance leads into the past.
    pub fn ago(self, now: SystemTime) -> Result<Timestamp, Error> {
        match self {
            Moment::At(time) => Some(time),
            Moment::Away(distance) => now.checked_sub(distance),
        }
        .map(Timestamp::from)
        .ok_or_else(|| self.too_far())
    }

    fn too_far(self) -> Error {
        Error::Usage(match self {
            Moment::At(time) => format!("{} is too far away", humantime::format_rfc3339(time)),
            Moment::Away(distance) => format!("{} is too far away", humantime::format_duration(distance)),
        })
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Moment, &'static str> {
        if let Ok(distance) = humantime::parse_duration(text) {
            return Ok(Moment::Away(distance));
        }
        time(text).map(Moment::At).ok_or("neither a time like 2026-11-23T22:00:00+01:00 nor a duration like 5m")
    }
}

/// RFC 3339. The library knows no offset but Z.
fn time(text: &str) -> Option<SystemTime> {
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let is_ahead = match offset.chars().next()? {
        '+' => true,
        '-' => false,
        _ => return humantime::parse_rfc3339(text).ok(),
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let distance = Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60);
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    if is_ahead { local.checked_sub(distance) } else { local.checked_add(distance) }
}

/// Two digits.
fn number(text: &str, below: u64) -> Option<u64> {
    let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number < below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_distance() {
        let at = |seconds| Ok(Moment::At(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
        let none = Err("neither a time like 2026-11-23T22:00:00+01:00 nor a duration like 5m");
        let cases = [
            ("5m", Ok(Moment::Away(Duration::from_secs(300)))),
            ("1h 30m", Ok(Moment::Away(Duration::from_secs(5400)))),
            ("1970-01-02T00:00:00Z", at(86_400)),
            ("1970-01-02T02:00:00+02:00", at(86_400)),
            ("1970-01-01T20:30:00-03:30", at(86_400)),
            ("1970-01-02T00:00:00", none),
            ("1970-01-02T00:00:00+2:00", none),
            ("1970-01-02T00:00:00+25:00", none),
            ("1970-01-02T00:00:00+é:00", none),
            ("1970-01-02", none),
            ("tomorrow", none),
            ("5", none),
            ("", none),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn a_distance_leads_where_the_flag_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let seconds = |timestamp: Result<Timestamp, Error>| timestamp.unwrap().seconds;
        let away = Moment::Away(Duration::from_secs(60));
        assert_eq!((seconds(away.ahead(now)), seconds(away.ago(now))), (1060, 940));
        let at = Moment::At(now);
        assert_eq!((seconds(at.ahead(now)), seconds(at.ago(now))), (1000, 1000));
        assert_eq!(Moment::Away(Duration::MAX).ahead(now).unwrap_err().exit().code(), 2);
    }
}
