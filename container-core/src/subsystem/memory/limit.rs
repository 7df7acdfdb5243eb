//! Limits as text.

use crate::{Bytes, Errno, Refusal};

/// The file that holds one.
pub(super) const LIMIT: &str = "memory.limit_in_bytes";

const PAGE: u64 = 4096;

/// The limit of a group that has none: the kernel's PAGE_COUNTER_MAX in bytes.
pub(super) const UNLIMITED: Bytes = Bytes(i64::MAX as u64 / PAGE * PAGE);

/// Parse a limit as the kernel does (page_counter_memparse): -1 for none, or a number as for
/// strtoull(3) with base 0 and at most one of K, M, G, T, P and E; rounded down to whole pages. Blanks
/// around it do not count.
///
/// # Errors
/// EINVAL for anything else, ERANGE past 64 bits, where the kernel would wrap around.
pub(super) fn parse(value: &str) -> Result<Bytes, Refusal> {
    let text = value.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    if text == "-1" {
        return Ok(UNLIMITED);
    }
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        // Its leading zero is one of its digits.
        None if lower.starts_with('0') => (&*lower, 8),
        None => (&*lower, 10),
    };
    let end = digits
        .find(|digit: char| !digit.is_digit(radix))
        .unwrap_or(digits.len());
    let (number, unit) = digits.split_at(end);
    let shift = match unit {
        "" => Some(0),
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        "t" => Some(40),
        "p" => Some(50),
        "e" => Some(60),
        _ => None,
    };
    let (Some(shift), false) = (shift, number.is_empty()) else {
        let rule = format!("{LIMIT} takes -1 or a size such as 64M, and {text:?} is neither");
        return Err(Refusal::plain(Errno::EINVAL, rule));
    };
    let bytes = u64::from_str_radix(number, radix).ok();
    let bytes = bytes.and_then(|number| number.checked_mul(1 << shift));
    let bytes = bytes.ok_or_else(|| {
        let rule = format!("{LIMIT} takes up to {} bytes, not {text}", u64::MAX);
        Refusal::plain(Errno::ERANGE, rule)
    })?;
    Ok(Bytes(bytes / PAGE * PAGE).min(UNLIMITED))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as a limit was seen to take it on Linux 6.18.
    #[test]
    fn limits_are_parsed_as_by_the_kernel() {
        const NONE: u64 = 9_223_372_036_854_771_712;
        for (text, bytes) in [
            ("0", 0),
            ("4095", 0),
            ("4096", 4096),
            ("8191", 4096),
            ("2k", 0),
            ("1m", 1 << 20),
            (" 1M \n", 1 << 20),
            ("1G", 1 << 30),
            ("1T", 1 << 40),
            ("1p", 1 << 50),
            ("1E", 1 << 60),
            ("0x1000", 4096),
            ("0X1K", 1024 / 4096),
            ("010000", 4096),
            ("0K", 0),
            ("8E", NONE),
            ("18446744073709551615", NONE),
            ("9223372036854775807", NONE),
            ("-1", NONE),
            (" -1\n\n", NONE),
        ] {
            assert_eq!(parse(text), Ok(Bytes(bytes)), "{text:?}");
        }
        for text in [
            "abc", "-2", "1Mx", "1 M", "1.5M", "+1", "max", "1K1", "12 34", "0x", "0xg", "08",
        ] {
            let errno = parse(text).unwrap_err().errno;
            assert_eq!(errno, Errno::EINVAL, "{text:?}");
        }
    }

    /// The kernel takes what has no digit, a blank line or `K`, for 0 and lets a number past 64 bits wrap around.
    #[test]
    fn a_limit_that_nobody_can_have_meant_is_refused() {
        for text in ["\n", "K", " "] {
            assert_eq!(parse(text).unwrap_err().errno, Errno::EINVAL, "{text:?}");
        }
        for text in ["18446744073709551616", "16E", "99999999999999999999999"] {
            assert_eq!(parse(text).unwrap_err().errno, Errno::ERANGE, "{text}");
        }
    }
}
