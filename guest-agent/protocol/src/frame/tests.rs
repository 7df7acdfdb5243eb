use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use proptest::collection::vec as list;
use proptest::option::of as maybe;
use proptest::prelude::*;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::*;
use crate::{Answer, Call, Change, EventId, FromAgent, Hello, MAX_CHANGES, VERSION};

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        ".{0,20}".prop_map(|group| Change::Mkdir { group }),
        ".{0,20}".prop_map(|group| Change::Rmdir { group }),
        (".{0,20}", ".{0,8}", ".{0,300}").prop_map(|(group, file, value)| Change::Set {
            group,
            file,
            value
        }),
        (".{0,20}", ".{0,8}").prop_map(|(group, task)| Change::Attach { group, task }),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let since = (any::<u64>(), any::<u64>()).prop_map(|(epoch, seq)| EventId { epoch, seq });
    prop_oneof![
        Just(Call::Ping),
        Just(Call::Roots),
        (".{0,8}", maybe(".{0,20}")).prop_map(|(hierarchy, after)| Call::Tree { hierarchy, after }),
        (".{0,20}", ".{0,8}").prop_map(|(group, file)| Call::Get { group, file }),
        list(change(), 0..=MAX_CHANGES).prop_map(Call::Change),
        maybe(since).prop_map(|since| Call::Subscribe { since }),
        Just(Call::Unsubscribe),
    ]
}

fn message() -> impl Strategy<Value = FromAgent> {
    prop_oneof![
        (any::<u16>(), ".{0,64}")
            .prop_map(|(version, agent)| FromAgent::Hello(Hello { version, agent })),
        (any::<u32>(), call()).prop_map(|(id, call)| FromAgent::Request { id, call }),
        (any::<u32>(), ".{0,64}", any::<u16>(), any::<u64>()).prop_map(
            |(id, agent, vcpus, uptime_ns)| FromAgent::Answer {
                id,
                answer: Answer::Info {
                    agent,
                    vcpus,
                    uptime_ns
                }
            }
        ),
    ]
}

/// Push all of it in pieces, taking messages whenever the reader is full or a piece is in.
fn read_in_pieces<'a>(
    reader: &mut FrameReader,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<FromAgent>, Option<FrameError>) {
    let mut messages = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = reader.push(piece);
            assert!(taken > 0, "a reader that wants bytes takes some");
            assert!(reader.held.len() <= FrameReader::MAX_HELD);
            assert!(reader.held.capacity() <= FrameReader::MAX_HELD);
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

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_messages_that_were_sent(
        messages in list(message(), 0..12),
        pieces in list(1usize..200, 1..40),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
        let mut rest = stream.as_slice();
        let mut sizes = pieces.into_iter().cycle();
        let pieces = core::iter::from_fn(|| {
            let (piece, left) = rest.split_at(sizes.next()?.min(rest.len()));
            rest = left;
            (!piece.is_empty()).then_some(piece)
        });
        let (read, error) = read_in_pieces(&mut FrameReader::new(), pieces);
        prop_assert_eq!(error, None);
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_a_broken_reader_stays_broken(
        stream in list(prop_oneof![3 => 0u8..8, 1 => any::<u8>()], 0..4096),
        size in 1usize..300,
    ) {
        let mut reader = FrameReader::new();
        let (_, error) = read_in_pieces(&mut reader, stream.chunks(size));
        if let Some(error) = error {
            let good = encode(&FromAgent::Request { id: 1, call: Call::Ping }).unwrap();
            prop_assert_eq!(reader.push(&good), good.len());
            prop_assert_eq!(reader.next_message::<FromAgent>(), Err(error));
            prop_assert_eq!(reader.held.capacity(), 0);
        }
    }

    #[test]
    fn a_damaged_frame_is_an_error_or_another_message_but_never_a_panic(
        message in message(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let mut frame = encode(&message).unwrap();
        let at = at.index(frame.len());
        frame[at] = value;
        read_in_pieces(&mut FrameReader::new(), core::iter::once(frame.as_slice()));
    }
}

#[test]
fn a_length_over_the_cap_is_an_error_before_any_byte_of_the_body() {
    let mut reader = FrameReader::new();
    let length = (MAX_FRAME as u32 + 1).to_le_bytes();
    reader.push(&length[..3]);
    assert_eq!(reader.next_message::<FromAgent>(), Ok(None));
    reader.push(&length[3..]);
    let error = FrameError::TooLong(MAX_FRAME + 1);
    assert_eq!(reader.next_message::<FromAgent>(), Err(error));
    assert_eq!(error.to_string(), "a message of 65537 bytes is past 65536");
}

#[test]
fn a_message_of_the_largest_size_goes_through_and_one_byte_more_does_not() {
    let get = |length| {
        let call = Call::Get {
            group: String::new(),
            file: "x".repeat(length),
        };
        FromAgent::Request { id: 0, call }
    };
    // Variant, id, variant, an empty string's length, three bytes of a long string's length.
    let largest = get(MAX_FRAME - 7);
    let frame = encode(&largest).unwrap();
    assert_eq!(frame.len(), FrameReader::MAX_HELD);
    let mut reader = FrameReader::new();
    assert_eq!(reader.push(&frame), frame.len());
    assert_eq!(reader.push(&[0]), 0, "it is full");
    assert_eq!(reader.next_message(), Ok(Some(largest)));
    assert_eq!(
        encode(&get(MAX_FRAME - 6)),
        Err(FrameError::TooLong(MAX_FRAME + 1))
    );
}

#[test]
fn a_message_must_fill_its_frame() {
    for (body, error) in [
        (&[][..], FrameError::Undecodable),
        (&[9], FrameError::Undecodable),
        (&[1, 7, 0, 0], FrameError::Trailing(1)),
        (&[1, 7], FrameError::Undecodable),
    ] {
        let mut reader = FrameReader::new();
        reader.push(&(body.len() as u32).to_le_bytes());
        reader.push(body);
        assert_eq!(reader.next_message::<FromAgent>(), Err(error), "{body:?}");
    }
}

/// What a list is told to make room for, and nothing else of it.
#[derive(Debug)]
struct Claim(Option<usize>);

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Hint;

        impl<'de> Visitor<'de> for Hint {
            type Value = Claim;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Claim, A::Error> {
                Ok(Claim(list.size_hint()))
            }
        }

        from.deserialize_seq(Hint)
    }
}

/// Postcard passes a list's claimed length on as a size hint only if as many bytes have arrived; of a hint,
/// serde makes room for up to a megabyte. So a frame of 64 KiB could take a megabyte before its first
/// element is looked at, but for the lists of agents, which are read by `message::changes`.
#[test]
fn a_list_that_claims_a_huge_length_takes_no_huge_memory() {
    // 2^59 elements, of which three bytes have arrived.
    let huge = [
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 2, 3,
    ];
    assert_eq!(postcard::from_bytes::<Claim>(&huge).unwrap().0, None);
    assert!(postcard::from_bytes::<Vec<Change>>(&huge).is_err());
    let honest = [3, 1, 2, 3];
    assert_eq!(postcard::from_bytes::<Claim>(&honest).unwrap().0, Some(3));

    // 20,000 changes of two bytes each: Mkdir of the empty name.
    let mut body = vec![1, 0, 4, 0xa0, 0x9c, 0x01];
    body.extend([0, 0].repeat(20_000));
    let mut reader = FrameReader::new();
    reader.push(&(body.len() as u32).to_le_bytes());
    reader.push(&body);
    let Ok(Some(FromAgent::Request {
        call: Call::Change(changes),
        ..
    })) = reader.next_message()
    else {
        panic!("no list of changes")
    };
    assert_eq!(
        changes.len(),
        MAX_CHANGES + 1,
        "enough to see that there are too many"
    );
    assert!(changes.capacity() <= 2 * MAX_CHANGES);

    // A string is copied out of bytes that are there.
    let long = [0, VERSION as u8, 0xff, 0xff, 0xff, 0xff, 0x0f, b'x'];
    assert!(postcard::from_bytes::<FromAgent>(&long).is_err());
}
