//! What a line looks like, by who reads it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::Line;

/// A line's text is cut to this many bytes: with all that stands around it, it is still one atomic write to a pipe. The
/// event log has it whole.
const TEXT_BYTES: usize = 1500;

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A person.
    Words,
    /// A program: an object a line.
    Json,
    /// The journal, in its native protocol: a datagram a line.
    Journal,
}

impl Form {
    /// A line's bytes, as they go to the sink.
    pub fn bytes(self, line: &Line) -> Vec<u8> {
        let text = clean(&line.text);
        let at = rfc3339(line.at);
        let (id, kind) = line.event.as_ref().map(|(id, kind)| (id, kind)).unzip();
        let line = match (self, &line.event) {
            (Form::Words, Some((id, kind))) => format!("{at} {text} [{kind} {id}]\n"),
            (Form::Words, None) => format!("{at} {text}\n"),
            (Form::Json, _) => {
                let object = json!({"timestamp": at, "message": text, "id": id, "kind": kind});
                format!("{object}\n")
            }
            (Form::Journal, event) => {
                let line = format!("SYSLOG_IDENTIFIER=pinfold\nPRIORITY=6\nMESSAGE={text}\n");
                match event {
                    Some((id, kind)) => {
                        format!("{line}PINFOLD_EVENT={id}\nPINFOLD_EVENT_KIND={kind}\n")
                    }
                    None => line,
                }
            }
        };
        line.into_bytes()
    }
}

/// On one line, not too long, and with nothing in it that steers a terminal.
fn clean(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(TEXT_BYTES)];
    cut.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The time in UTC, to the millisecond: `2026-11-24T09:15:05.123Z`.
fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let milliseconds = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day of a day since 1970-01-01. Years are counted from March, so that a leap day is the last of one;
/// 400 of them have 146,097 days, and five months from March on have 153 (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let since_march_0000 = days + 719_468;
    let (era, day) = (since_march_0000 / 146_097, since_march_0000 % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_based = (5 * day + 2) / 153;
    let month = if march_based < 10 {
        march_based + 3
    } else {
        march_based - 9
    };
    let year = 400 * era + year + u64::from(month <= 2);
    (year, month, day - (153 * march_based + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: Form, text: &str) -> String {
        let line = Line {
            at: UNIX_EPOCH + Duration::from_millis(1_795_511_705_123),
            text: text.into(),
            event: Some(("1.7".into(), "released".into())),
            lost_before: 0,
        };
        String::from_utf8(form.bytes(&line)).unwrap()
    }

    #[test]
    fn a_line_is_one_line_in_each_form() {
        assert_eq!(
            shown(Form::Words, "p:/a released"),
            "2026-11-24T09:15:05.123Z p:/a released [released 1.7]\n"
        );
        assert_eq!(
            shown(Form::Json, "a \"b\""),
            "{\"id\":\"1.7\",\"kind\":\"released\",\"message\":\"a \\\"b\\\"\",\"timestamp\":\"2026-11-24T09:15:05.123Z\"}\n"
        );
        assert_eq!(
            shown(Form::Journal, "a\nPRIORITY=0"),
            "SYSLOG_IDENTIFIER=pinfold\nPRIORITY=6\nMESSAGE=a\u{fffd}PRIORITY=0\nPINFOLD_EVENT=1.7\nPINFOLD_EVENT_KIND=released\n"
        );
    }

    #[test]
    fn a_line_of_any_text_is_an_atomic_write() {
        for text in ["\"", "\\", "\u{1b}", "ß", "\u{10ffff}"] {
            for form in [Form::Words, Form::Json, Form::Journal] {
                let length = shown(form, &text.repeat(5000)).len();
                assert!(length <= 4096, "{text:?} {form:?}: {length}");
            }
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_722, (2023, 12, 31)),
            (19_723, (2024, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
    }
}
