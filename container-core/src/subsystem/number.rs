//! Numbers and flags as they are written to control files.

use crate::{Errno, Refusal};

/// Parse a number as the kernel's kstrtoull does with base 0: an optional `+`, then decimal, `0x`
/// hexadecimal or `0` octal digits, and at most one newline after them.
///
/// # Errors
/// EINVAL for anything else, ERANGE past 64 bits.
pub fn parse_u64(file: &str, value: &str) -> Result<u64, Refusal> {
    let text = value.strip_suffix('\n').unwrap_or(value);
    let digits = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        let rule = format!("{file} takes a number, and {text:?} is none");
        return Err(Refusal::plain(Errno::EINVAL, rule));
    }
    u64::from_str_radix(digits, radix).map_err(|_| {
        Refusal::plain(
            Errno::ERANGE,
            format!("{file} takes numbers up to {}, not {text}", u64::MAX),
        )
    })
}

/// A flag file: any number but 0 sets it.
///
/// # Errors
/// Those of [`parse_u64`].
pub fn parse_flag(file: &str, value: &str) -> Result<bool, Refusal> {
    Ok(parse_u64(file, value)? != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_parsed_as_by_kstrtoull() {
        let big = "18446744073709551616";
        for (text, number) in [("0", 0), ("2\n", 2), ("+1", 1), ("0x1F", 31), ("010", 8)] {
            assert_eq!(parse_u64("f", text).unwrap(), number, "{text:?}");
        }
        for text in [
            "", "\n", "abc", "-1", " 1", "1 ", "1\n\n", "0x", "08", "++1",
        ] {
            assert_eq!(
                parse_u64("f", text).unwrap_err().errno,
                Errno::EINVAL,
                "{text:?}"
            );
        }
        assert_eq!(parse_u64("f", big).unwrap_err().errno, Errno::ERANGE);
    }
}
