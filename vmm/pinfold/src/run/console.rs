//! Guests' serial consoles as lines: each line carries its machine's name, and no line of one machine
//! is broken by another's.

use std::collections::BTreeMap;

/// A line is shown at this many bytes even if it has not ended.
const MAX_LINE: usize = 4096;

/// The unfinished lines of all machines.
#[derive(Debug, Default)]
pub struct Consoles {
    unfinished: BTreeMap<String, Vec<u8>>,
}

impl Consoles {
    /// Take bytes; the lines they finish, if any.
    pub fn take(&mut self, machine: &str, bytes: &[u8]) -> Option<String> {
        let line = self.unfinished.entry(machine.to_owned()).or_default();
        let mut out = String::new();
        for &byte in bytes {
            match byte {
                b'\n' => finish(&mut out, machine, line),
                b'\r' => {}
                byte => line.push(byte),
            }
            if line.len() >= MAX_LINE {
                finish(&mut out, machine, line);
            }
        }
        (!out.is_empty()).then_some(out)
    }

    /// What is left unfinished, as lines.
    pub fn rest(&mut self) -> Option<String> {
        let mut out = String::new();
        for (machine, line) in &mut self.unfinished {
            if !line.is_empty() {
                finish(&mut out, machine, line);
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

/// `MACHINE | TEXT`, without what could steer the reader's terminal.
fn finish(out: &mut String, machine: &str, line: &mut Vec<u8>) {
    out.push_str(machine);
    out.push_str(" | ");
    let text = String::from_utf8_lossy(line);
    out.extend(text.chars().map(|c| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    }));
    out.push('\n');
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_two_machines_are_not_mixed() {
        let mut consoles = Consoles::default();
        assert_eq!(consoles.take("a", b"one"), None);
        assert_eq!(consoles.take("b", b"two\n"), Some("b | two\n".into()));
        assert_eq!(
            consoles.take("a", b" more\nnext"),
            Some("a | one more\n".into())
        );
        assert_eq!(consoles.rest(), Some("a | next\n".into()));
        assert_eq!(consoles.rest(), None);
    }

    #[test]
    fn a_guest_cannot_steer_the_terminal_nor_grow_a_line_for_ever() {
        let mut consoles = Consoles::default();
        let shown = consoles.take("a", b"\x1b[2J\n").unwrap();
        assert!(!shown.contains('\x1b'));
        assert!(consoles.take("a", &[b'x'; MAX_LINE]).is_some());
    }
}
