//! How long a caller is going to wait.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The caller is told so a little before its time is over: else the transport below, whose clock began earlier, would say
/// that the call was cancelled, which SDKs take for something else. A tenth of its time, and at most this.
const MARGIN_MAX: Duration = Duration::from_millis(250);

/// As long as the caller says; for ever if it does not.
pub fn patience(metadata: &MetadataMap) -> Duration {
    let given = metadata.get("grpc-timeout").and_then(|given| given.to_str().ok());
    given.and_then(parse).map_or(Duration::MAX, |given| given - (given / 10).min(MARGIN_MAX))
}

/// At most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_its_length() {
        let table = [
            ("2H", Some(7_200_000)),
            ("3M", Some(180_000)),
            ("4S", Some(4_000)),
            ("1500m", Some(1_500)),
            ("99999999u", Some(99_999)),
            ("99999999n", Some(99)),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("5\u{e9}", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse(text).map(|given| given.as_millis()), millis, "{text}");
        }
    }
}
