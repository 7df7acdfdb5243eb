//! Who may do what with a group that is another's.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

const OWNER: (u32, u32) = (7, 9);

/// Users, each with how far up in a mode the bits of its class stand. Who is the owner is nothing else.
const USERS: [((u32, u32), u32); 4] = [(OWNER, 6), ((7, 1), 6), ((8, 9), 3), ((8, 1), 0)];

/// Whether a user may read `p:/a`, and whether it may write it.
fn may(bench: &mut Bench, (uid, gid): (u32, u32)) -> (bool, bool) {
    let by = Credentials {
        uid,
        gid,
        ..Credentials::ROOT
    };
    let read = bench.framework.read(&by, &group("p:/a"), "tasks");
    let written = bench.framework.plan(&by, &[mkdir("p:/a/b")]);
    let is_allowed = |refusal: Option<Refusal>| {
        let errno = refusal.map(|refusal| refusal.errno);
        assert!(matches!(errno, None | Some(Errno::EACCES)), "{errno:?}");
        errno.is_none()
    };
    (is_allowed(read.err()), is_allowed(written.err()))
}

#[test]
fn a_user_has_the_bits_of_the_first_class_that_it_is_of_and_of_no_other() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("p:/a")]);
    let modes = [6, 3, 0].into_iter().flat_map(|class| {
        let only = [0o1, 0o2, 0o4, 0o6].map(|bits| bits << class);
        let all_but = 0o777 & !(0o7 << class);
        only.into_iter().chain([all_but])
    });
    for mode in modes {
        bench.run(&[Command::Chown {
            group: group("p:/a"),
            uid: OWNER.0,
            gid: OWNER.1,
            mode,
        }]);
        for (user, class) in USERS {
            let bits = mode >> class;
            let allowed = (bits & 0o4 != 0, bits & 0o2 != 0);
            assert_eq!(may(&mut bench, user), allowed, "{user:?}, mode {mode:o}");
        }
        assert_eq!(may(&mut bench, (0, 1)), (true, true), "user 0 may all");
    }
}
