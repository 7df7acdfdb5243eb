//! The line that a host's client begins with: `CONNECT PORT`, as Firecracker and Cloud Hypervisor have it.
//!
//! Pure. What comes after the newline is the guest's and is left where it is.

/// A line has at most this many bytes before its newline; the longest sensible one has 18.
const MOST_BYTES: usize = 32;

/// A line as far as it has come.
#[derive(Debug)]
pub(super) struct Greeting {
    line: [u8; MOST_BYTES + 1],
    length: usize,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing yet.
    Part,
    /// To be connected to this port of the guest.
    Port(u32),
    /// Something else.
    Garbage,
}

impl Greeting {
    /// Nothing has come.
    pub fn new() -> Self {
        Greeting {
            line: [0; MOST_BYTES + 1],
            length: 0,
        }
    }

    /// No more bytes than these can belong to the line.
    pub const fn most() -> usize {
        MOST_BYTES + 1
    }

    /// Take what belongs to the line of the `bytes` that come next: how many, and what it says by now.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Heard) {
        let room = &mut self.line[self.length..];
        let within = &bytes[..bytes.len().min(room.len())];
        let newline = within.iter().position(|byte| *byte == b'\n');
        let taken = newline.map_or(within.len(), |at| at + 1);
        room[..taken].copy_from_slice(&within[..taken]);
        self.length += taken;
        let heard = match newline {
            Some(_) => parse(&self.line[..self.length - 1]),
            None if self.length > MOST_BYTES => Heard::Garbage,
            None => Heard::Part,
        };
        (taken, heard)
    }
}

fn parse(line: &[u8]) -> Heard {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match (words.next(), words.next().and_then(number), words.next()) {
        (Some(verb), Some(port), None) if verb.eq_ignore_ascii_case(b"CONNECT") => {
            Heard::Port(port)
        }
        _ => Heard::Garbage,
    }
}

/// A port in decimal digits. The highest number is no port: it means any.
fn number(word: &[u8]) -> Option<u32> {
    let digits = word.iter().all(u8::is_ascii_digit);
    let port = std::str::from_utf8(word).ok()?.parse().ok()?;
    (digits && port != u32::MAX).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(line: &[u8]) -> Heard {
        Greeting::new().take(line).1
    }

    #[test]
    fn a_port_is_heard_and_nothing_else_is() {
        assert_eq!(whole(b"CONNECT 52\n"), Heard::Port(52));
        assert_eq!(whole(b"connect 4294967294\r\n"), Heard::Port(u32::MAX - 1));
        for line in [
            &b"\n"[..],
            b"CONNECT\n",
            b"CONNECT 4294967295\n",
            b"CONNECT 4294967296\n",
            b"CONNECT +5\n",
            b"CONNECT -5\n",
            b"CONNECT 0x5\n",
            b"CONNECT 5 6\n",
            b"OK 5\n",
            b"\xff\xfe 5\n",
        ] {
            assert_eq!(whole(line), Heard::Garbage, "{line:?}");
        }
    }

    #[test]
    fn the_longest_line_is_heard_and_one_byte_more_is_not_waited_for() {
        let mut line = [b' '; MOST_BYTES + 1];
        line[..9].copy_from_slice(b"CONNECT 7");
        assert_eq!(whole(&line), Heard::Garbage);
        line[MOST_BYTES] = b'\n';
        assert_eq!(whole(&line), Heard::Port(7));
        assert_eq!(whole(&line[..MOST_BYTES]), Heard::Part);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_line_is_heard_and_the_rest_left(
            cuts in proptest::collection::vec(1usize..8, 0..12), port in 0..u32::MAX,
        ) {
            let line = format!("CONNECT {port}\n");
            let sent = [line.as_bytes(), b"the guest's"].concat();
            let (mut greeting, mut at) = (Greeting::new(), 0);
            for cut in cuts.into_iter().chain(std::iter::once(sent.len())) {
                let end = sent.len().min(at + cut);
                let (taken, heard) = greeting.take(&sent[at..end]);
                at += taken;
                if heard != Heard::Part {
                    prop_assert_eq!(heard, Heard::Port(port));
                    break;
                }
            }
            prop_assert_eq!(at, line.len());
        }

        #[test]
        fn no_bytes_panic_or_are_waited_for_without_end(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 40),
        ) {
            let mut greeting = Greeting::new();
            let mut pieces = pieces.iter();
            let ended = pieces.any(|piece| greeting.take(piece).1 != Heard::Part);
            prop_assert!(ended);
        }
    }
}
