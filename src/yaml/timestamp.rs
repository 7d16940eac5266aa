//! Times that are written without quotes.

/// What the YAML library of kustomize (go-yaml 3) takes for a time, as kustomize prints it: a date, or a date and a time of day.
pub(crate) fn timestamp(text: &str) -> Option<String> {
    let first = text.as_bytes();
    if first.len() < 8 || first[4] != b'-' || !first[0].is_ascii_digit() {
        return None;
    }
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut parts = date.split('-');
    let [year, month, day] = [(4, 4), (1, 2), (1, 2)].map(|lengths| number(parts.next()?, lengths));
    let (year, month, day) = (year?, month?, day?);
    let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=days).contains(&day) {
        return None;
    }
    let time = if rest.is_empty() { "00:00:00Z".to_owned() } else { time_of_day(rest)? };
    Some(format!("{year:04}-{month:02}-{day:02}T{time}"))
}

/// A time of day with what separates it from the date: after `T` or `t` it has a zone, after a blank it has none.
fn time_of_day(text: &str) -> Option<String> {
    let (time, zone) = if let Some(time) = text.strip_prefix(' ') {
        (time, "Z".to_owned())
    } else {
        let time = text.get(1..)?;
        let (time, zone) = time.split_at(time.find(['Z', '+', '-'])?);
        let is_utc = matches!(zone, "Z" | "+00:00" | "-00:00");
        (time, if is_utc { "Z".to_owned() } else { offset(zone)? })
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut parts = time.split(':');
    let [hour, minute, second] =
        [23, 59, 59].map(|most| number(parts.next()?, (1, 2)).filter(|it| *it <= most));
    if parts.next().is_some() {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{:02}:{:02}:{:02}{point}{fraction}{zone}", hour?, minute?, second?))
}

/// A difference to UTC.
fn offset(zone: &str) -> Option<String> {
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let is_known = number(hours, (2, 2))? <= 24 && number(minutes, (2, 2))? <= 60;
    is_known.then(|| zone.to_owned())
}

/// A number of so many digits.
fn number(text: &str, (least, most): (usize, usize)) -> Option<u32> {
    let is_number = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_kustomize_prints_them() {
        for (text, printed) in [
            ("2020-01-31", Some("2020-01-31T00:00:00Z")),
            ("2001-1-4", Some("2001-01-04T00:00:00Z")),
            ("2001-12-14t21:59:43.10-05:00", Some("2001-12-14T21:59:43.1-05:00")),
            ("2001-12-14 1:2:3", Some("2001-12-14T01:02:03Z")),
            ("2001-12-14T21:59:43Z", Some("2001-12-14T21:59:43Z")),
            ("2001-12-14T25:59:43Z", None),
            ("2001-12-14T21:59:43", None),
            ("2001-12-14 21:59:43Z", None),
            ("2020-02-30", None),
            ("2020-01-31-x", None),
            ("1.2.3-4", None),
        ] {
            assert_eq!(timestamp(text).as_deref(), printed, "{text}");
        }
    }
}
