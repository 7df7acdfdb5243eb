//! How often the file is read, and what is not missed between two readings: by a keeper that says when something is
//! told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use actor::mailbox;
use axum::body::Body;
use axum::extract::Request;
use container_core::Credentials;
use http_body_util::BodyExt;
use management::Event;
use management::api::Problem;
use tower_service::Service;

use super::{EMPTY, EVENTS};
use crate::api::ask::App;
use crate::api::extract::Peer;
use crate::api::feed::{FeedHandle, feed, serve};
use crate::api::poll::PACE;
use crate::api::router::router;
use crate::api::tests::support::{Lines, PATIENCE};
use crate::keeper::Request as Asked;
use crate::{Notice, Onlooker};

const NOBODY: &str = "populated 0\nfrozen 0\n";
const SOMEBODY: &str = "populated 1\nfrozen 0\n";

/// Who tells the feed that something has happened.
#[derive(Clone)]
struct Teller {
    onlooker: Onlooker,
    feed: FeedHandle,
}

impl Teller {
    /// Something has happened, and whoever follows has been told so.
    fn tell(&self) {
        let mut told = self.feed.follow();
        (self.onlooker)(Notice::Event(Box::<Event>::default()));
        told.blocking_recv().unwrap();
    }
}

/// What who has an empty group's file is answered, by a keeper whose readings these are, each with its number, from 0;
/// after so many it is gone. With how many there were.
fn polled(
    wait: u32,
    most: usize,
    mut read: impl FnMut(usize, &Teller) -> &'static str + Send + 'static,
) -> (u16, String, usize) {
    let (keeper, asked) = mailbox(256);
    let (onlooker, told) = feed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let feed = serve(told);
        let app = App::new(keeper, Arc::new(Lines), 0, feed.clone());
        let teller = Teller { onlooker, feed };
        let keeper = thread::spawn(move || {
            let mut readings = 0;
            while readings < most
                && let Some(request) = asked.recv()
            {
                let Asked::Read { reply, .. } = request else {
                    panic!("it is asked for the file alone");
                };
                reply.send(Ok(read(readings, &teller).into()));
                readings += 1;
            }
            readings
        });
        let mut router = router(Arc::new(app));
        let mut request = Request::builder()
            .uri(format!("{EVENTS}?wait={wait}"))
            .header("if-none-match", EMPTY)
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Peer(Credentials::ROOT));
        let answer = tokio::time::timeout(PATIENCE, router.call(request)).await;
        let answer = answer.expect("an answer in time").unwrap();
        let status = answer.status().as_u16();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        drop(router);
        let text = String::from_utf8(text.to_vec()).unwrap();
        (status, text, keeper.join().unwrap())
    })
}

#[test]
fn what_happens_between_the_reading_and_the_wait_is_not_missed() {
    let (status, text, readings) = polled(60, usize::MAX, |number, teller| {
        if number > 0 {
            return SOMEBODY;
        }
        // After the keeper has looked, and before its answer is there.
        teller.tell();
        NOBODY
    });
    assert_eq!((status, &*text, readings), (200, SOMEBODY, 2));
}

#[test]
fn a_wait_is_over_in_time_however_much_happens() {
    let (status, text, _) = polled(1, usize::MAX, |_, teller| {
        teller.tell();
        NOBODY
    });
    assert_eq!((status, &*text), (304, ""));
}

#[test]
fn all_that_happens_in_a_while_is_one_reading_and_the_last_of_it_is_not_missed() {
    let is_over = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let (status, text, readings) = polled(60, usize::MAX, {
        let is_over = is_over.clone();
        move |number, teller| {
            if number == 0 {
                let (is_over, teller) = (is_over.clone(), teller.clone());
                thread::spawn(move || {
                    for _ in 0..200 {
                        teller.tell();
                        thread::sleep(Duration::from_millis(2));
                    }
                    is_over.store(true, Ordering::SeqCst);
                    teller.tell();
                });
            }
            match is_over.load(Ordering::SeqCst) {
                true => SOMEBODY,
                false => NOBODY,
            }
        }
    });
    assert_eq!((status, &*text), (200, SOMEBODY));
    // The slower this host, the more of them there may be.
    let most = begun.elapsed().as_millis() / PACE.as_millis() + 2;
    assert!(readings as u128 <= most, "{readings} of at most {most}");
}

#[test]
fn who_has_fallen_behind_reads_again() {
    let (status, text, readings) = polled(60, usize::MAX, |number, teller| {
        let events = [1, 3_000, 0][number];
        (0..events).for_each(|_| teller.tell());
        [NOBODY, NOBODY, SOMEBODY][number]
    });
    assert_eq!((status, &*text, readings), (200, SOMEBODY, 3));
}

#[test]
fn who_waits_while_the_supervisor_ends_is_told_so() {
    let (status, text, readings) = polled(60, 1, |_, _| NOBODY);
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &*problem.errno, readings), (503, "ESHUTDOWN", 1));
}
