//! Bytes of an agent, split at will: the reader never panics, never holds more than a frame, and gives the
//! same messages whatever the split.
#![no_main]

use agent_protocol::{FrameError, FrameReader, FromAgent, encode};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], piece: usize) -> (Vec<FromAgent>, Option<FrameError>) {
    let mut reader = FrameReader::new();
    let mut messages = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let taken = reader.push(piece);
            assert!(taken > 0, "a reader that wants bytes takes some");
            piece = &piece[taken..];
            loop {
                match reader.next_message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
    }
    (messages, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, stream)) = input.split_first() else {
        return;
    };
    let whole = read(stream, stream.len().max(1));
    assert_eq!(whole, read(stream, usize::from(*piece).max(1)));
    // What was read is written and read back as it is.
    let again: Vec<u8> = whole.0.iter().flat_map(|m| encode(m).unwrap()).collect();
    assert_eq!((whole.0, None), read(&again, again.len().max(1)));
});
