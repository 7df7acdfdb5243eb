use super::*;
use crate::virtio::driver::{DriverRing, Part};
use proptest::prelude::*;
use vm_memory::GuestMemoryMmap;

const SIZE: u16 = 8;
const BASE: u64 = 0x1_0000;
const MEMORY: usize = 0x4_0000;
const DATA: u64 = 0x2_0000;

fn memory() -> GuestMemoryMmap<()> {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap()
}

fn setup() -> QueueSetup {
    QueueSetup {
        size: SIZE.into(),
        ready: true,
        descriptors: BASE,
        avail: BASE + 0x1000,
        used: BASE + 0x2000,
    }
}

fn pair(event_idx: bool) -> (GuestMemoryMmap<()>, DriverRing, Ring) {
    let memory = memory();
    let driver = DriverRing::new(&memory, BASE, SIZE, event_idx);
    let ring = Ring::new(setup(), event_idx, &memory).unwrap();
    (memory, driver, ring)
}

fn pop(memory: &GuestMemoryMmap<()>, ring: &mut Ring) -> Result<Option<Chain>, Broken> {
    let mut chain = Chain::default();
    Ok(ring.pop(memory, &mut chain)?.then_some(chain))
}

#[test]
fn a_queue_that_cannot_be_is_refused() {
    let memory = memory();
    let good = setup();
    assert!(Ring::new(good, true, &memory).is_ok());
    for bad in [
        QueueSetup { size: 0, ..good },
        QueueSetup { size: 3, ..good },
        QueueSetup { size: 512, ..good },
        QueueSetup {
            size: 0x1_0008,
            ..good
        },
        QueueSetup {
            ready: false,
            ..good
        },
        QueueSetup {
            descriptors: BASE + 8,
            ..good
        },
        QueueSetup {
            avail: BASE + 1,
            ..good
        },
        QueueSetup { avail: 0, ..good },
        QueueSetup {
            used: BASE + 2,
            ..good
        },
        QueueSetup {
            descriptors: MEMORY as u64 - 16,
            ..good
        },
        QueueSetup {
            avail: MEMORY as u64 - 2,
            ..good
        },
        QueueSetup {
            used: u64::MAX - 3,
            ..good
        },
    ] {
        assert_eq!(
            Ring::new(bad, true, &memory).unwrap_err(),
            Broken,
            "{bad:?}"
        );
    }
}

proptest! {
    #[test]
    fn bytes_cross_a_chain_whatever_its_pieces(
        pieces in proptest::collection::vec(0u32..100, 1..=SIZE.into()),
        indirect: bool,
        skip in 0usize..100,
    ) {
        let (memory, mut driver, mut ring) = pair(true);
        let total: u32 = pieces.iter().sum();
        let text: Vec<u8> = (0..total).map(|at| at as u8).collect();
        for writes in [false, true] {
            let mut at = DATA;
            let parts: Vec<Part> = pieces.iter().map(|bytes| {
                let part = (at, *bytes, writes);
                at += u64::from(*bytes);
                part
            }).collect();
            let head = if indirect {
                driver.offer_indirect(DATA + 0x1000, &parts)
            } else {
                driver.offer(&parts)
            };
            let chain = pop(&memory, &mut ring).unwrap().unwrap();
            let buffers = if writes { &chain.writable } else { &chain.readable };
            prop_assert_eq!(buffers.bytes(), text.len());
            let skip = skip.min(text.len());
            let mut back = vec![0; text.len() - skip];
            if writes {
                memory.write_slice(&vec![0; text.len()], GuestAddress(DATA)).unwrap();
                buffers.write(&memory, skip, &text[skip..]).unwrap();
                memory.read_slice(&mut back, GuestAddress(DATA + skip as u64)).unwrap();
            } else {
                memory.write_slice(&text, GuestAddress(DATA)).unwrap();
                buffers.read(&memory, skip, &mut back).unwrap();
            }
            prop_assert_eq!(&back, &text[skip..]);
            prop_assert_eq!(buffers.write(&memory, text.len(), &[1]), Err(Broken));
            ring.give_back(&memory, &chain, text.len()).unwrap();
            prop_assert_eq!(driver.take_used(), Some((head, total)));
        }
    }

    #[test]
    fn no_memory_contents_panic_or_hang_a_queue(
        bytes in proptest::collection::vec(any::<u8>(), 0x100),
        small in proptest::collection::vec(0u8..9, 0x100),
        avail in prop_oneof![0u16..20, any::<u16>()],
        event_idx: bool,
    ) {
        let (memory, driver, mut ring) = pair(event_idx);
        // Descriptors whose words are mostly small, so that chains go on for a while.
        let table: Vec<u8> = bytes.iter().zip(&small).enumerate()
            .map(|(at, (any, small))| match at % 16 {
                12 | 14 => *small,
                1 | 2 => *any,
                0 | 8 => *any & 0xf0,
                _ => 0,
            })
            .collect();
        memory.write_slice(&table, GuestAddress(BASE)).unwrap();
        memory.write_slice(&small, GuestAddress(BASE + 0x1000)).unwrap();
        driver.set(driver.avail_address() + 2, avail);
        let mut taken = 0;
        while let Ok(Some(chain)) = pop(&memory, &mut ring) {
            taken += 1;
            prop_assert!(taken <= avail);
            let _ = ring.give_back(&memory, &chain, 1);
            let _ = ring.wants_interrupt(&memory);
        }
        let _ = ring.wait_for_kick(&memory);
    }
}

type Offence<'a> = &'a dyn Fn(&mut DriverRing);

#[test]
fn a_chain_that_breaks_a_rule_breaks_the_queue() {
    let far = MEMORY as u64;
    let cases: [(&str, Offence<'_>); 8] = [
        ("loop", &|driver| {
            driver.write_descriptor(BASE, 0, (DATA, 4, false), Some(1), 0);
            driver.write_descriptor(BASE, 1, (DATA, 4, false), Some(0), 0);
            driver.publish(0);
        }),
        ("no such next", &|driver| {
            driver.write_descriptor(BASE, 0, (DATA, 4, false), Some(SIZE), 0);
            driver.publish(0);
        }),
        ("no such head", &|driver| driver.publish(SIZE)),
        ("outside memory", &|driver| {
            driver.offer(&[(far - 4, 5, false)]);
        }),
        ("address overflows", &|driver| {
            driver.offer(&[(u64::MAX - 4, 100, true)]);
        }),
        ("readable after writable", &|driver| {
            driver.offer(&[(DATA, 4, true), (DATA, 4, false)]);
        }),
        ("an indirect table of half a descriptor", &|driver| {
            driver.write_descriptor(BASE, 0, (DATA, 24, false), None, 4);
            driver.publish(0);
        }),
        ("an indirect chain longer than the queue", &|driver| {
            driver.offer_indirect(DATA, &[(DATA, 1, false); SIZE as usize + 1]);
        }),
    ];
    for (what, offend) in cases {
        let (memory, mut driver, mut ring) = pair(true);
        offend(&mut driver);
        assert_eq!(pop(&memory, &mut ring).unwrap_err(), Broken, "{what}");
    }
}

#[test]
fn an_index_that_jumps_further_than_the_queue_is_long_breaks_it() {
    let (memory, driver, mut ring) = pair(true);
    driver.set(driver.avail_address() + 2, SIZE + 1);
    assert_eq!(pop(&memory, &mut ring).unwrap_err(), Broken);
}

#[test]
fn interrupts_come_only_when_wanted() {
    for event_idx in [true, false] {
        let (memory, mut driver, mut ring) = pair(event_idx);
        let give = |ring: &mut Ring, driver: &mut DriverRing| {
            driver.offer(&[(DATA, 4, true)]);
            let chain = pop(&memory, ring).unwrap().unwrap();
            ring.give_back(&memory, &chain, 0).unwrap();
            ring.wants_interrupt(&memory).unwrap()
        };
        assert!(!ring.wants_interrupt(&memory).unwrap());
        assert!(give(&mut ring, &mut driver));
        assert!(!ring.wants_interrupt(&memory).unwrap());
        if event_idx {
            // The driver has not looked since, so it knows that there is something.
            assert!(!give(&mut ring, &mut driver));
            while driver.take_used().is_some() {}
            assert!(!driver.want_interrupt());
        } else {
            driver.set(driver.avail_address(), 1);
            assert!(!give(&mut ring, &mut driver));
            driver.set(driver.avail_address(), 0);
        }
        assert!(give(&mut ring, &mut driver));
    }
}

#[test]
fn the_driver_rings_only_when_it_is_waited_for() {
    for event_idx in [true, false] {
        let (memory, mut driver, mut ring) = pair(event_idx);
        ring.no_kicks(&memory).unwrap();
        driver.offer(&[(DATA, 4, true)]);
        assert_eq!(
            driver.kick_wanted(),
            event_idx,
            "the first one, unless suppressed"
        );
        pop(&memory, &mut ring).unwrap().unwrap();
        driver.offer(&[(DATA, 4, true)]);
        assert!(!driver.kick_wanted());
        // Offered before it was waited for: no ringing, so it is found.
        assert!(ring.wait_for_kick(&memory).unwrap());
        pop(&memory, &mut ring).unwrap().unwrap();
        assert!(!ring.wait_for_kick(&memory).unwrap());
        driver.offer(&[(DATA, 4, true)]);
        assert!(driver.kick_wanted());
    }
}
