//! Quantities as people read them: four significant digits and a unit.

/// CPU or wall time: `412.3 ms`, `1.204 s`, `2 m 03.5 s`. Never rounds up to the next unit's 1000.
pub fn time(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        1..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", digits(ns, 1_000)),
        1_000_000..1_000_000_000 => format!("{} ms", digits(ns, 1_000_000)),
        1_000_000_000..60_000_000_000 => format!("{} s", digits(ns, 1_000_000_000)),
        _ => {
            let tenths = ns / 100_000_000;
            let (minutes, tenths) = (tenths / 600, tenths % 600);
            format!("{minutes} m {:02}.{} s", tenths / 10, tenths % 10)
        }
    }
}

/// Cycles: `3.301 Gcycles`.
pub fn cycles(cycles: u64) -> String {
    match cycles {
        0..1_000 => format!("{cycles} cycles"),
        1_000..1_000_000 => format!("{} kcycles", digits(cycles, 1_000)),
        1_000_000..1_000_000_000 => format!("{} Mcycles", digits(cycles, 1_000_000)),
        _ => format!("{} Gcycles", digits(cycles, 1_000_000_000)),
    }
}

/// Bytes: `70.2 MiB`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{}.{} KiB", bytes >> 10, (bytes % 1_024) * 10 / 1_024),
        _ => {
            let kib = bytes >> 10;
            format!("{}.{} MiB", kib >> 10, (kib % 1_024) * 10 / 1_024)
        }
    }
}

/// Four significant digits of `value / unit`, cut off rather than rounded, for a value of at least one unit.
fn digits(value: u64, unit: u64) -> String {
    let whole = value / unit;
    let thousandths = value % unit * 1_000 / unit;
    match whole {
        0..10 => format!("{whole}.{thousandths:03}"),
        10..100 => format!("{whole}.{:02}", thousandths / 10),
        100..1_000 => format!("{whole}.{}", thousandths / 100),
        _ => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_four_digits_and_the_unit_that_fits() {
        let shown = [
            0,
            999,
            1_000,
            99_999,
            412_345_678,
            999_999_999,
            1_204_000_000,
            123_456_000_000,
        ];
        let shown = shown.map(time);
        let expected = [
            "0",
            "999 ns",
            "1.000 us",
            "99.99 us",
            "412.3 ms",
            "999.9 ms",
            "1.204 s",
            "2 m 03.4 s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn cycles_and_bytes_too() {
        let shown = [0, 12_345, 3_301_999_999, 12_345_000_000_000].map(cycles);
        let expected = [
            "0 cycles",
            "12.34 kcycles",
            "3.301 Gcycles",
            "12345 Gcycles",
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            [0, 1_536, 73_650_000].map(bytes),
            ["0 B", "1.5 KiB", "70.2 MiB"]
        );
    }
}
