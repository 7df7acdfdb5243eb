//! Asking the keeper without ever waiting in its mailbox, and what all handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use actor::{Address, Reply, TrySendError};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use container_core::Credentials;
use management::Report;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, sleep};

use super::extract::Peer;
use super::feed::FeedHandle;
use super::metrics::Requests;
use super::problem::Refused;
use super::{Known, Specs};
use crate::keeper::Request;

/// Requests of the API that may wait for the keeper at once. The rest of its mailbox is for the wire and the runner.
const MOST_WAITING: usize = 128;
/// What finds so many waiting is tried again for so long,
const PATIENCE: Duration = Duration::from_secs(3);
/// first after this,
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// then after twice as long each time, up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Of these so many may be of others than root and the supervisor's user; the rest of theirs wait here, in turn.
const OTHERS_WAITING: usize = 32;
/// Reports that may be made at once for either: one walks every task and group, on the keeper's thread.
const REPORTS_AT_ONCE: usize = 2;

/// What every handler has.
pub struct App {
    keeper: Address<Request>,
    pub(super) specs: Arc<dyn Specs>,
    owner_uid: u32,
    pub(super) feed: FeedHandle,
    pub(super) requests: Requests,
    others: Semaphore,
    /// One apply at a time: each is found against what the one before has left.
    pub(super) applies: Semaphore,
    own_reports: Semaphore,
    others_reports: Semaphore,
}

impl App {
    pub(super) fn new(
        keeper: Address<Request>,
        specs: Arc<dyn Specs>,
        owner_uid: u32,
        feed: FeedHandle,
    ) -> Self {
        App {
            keeper,
            specs,
            owner_uid,
            feed,
            requests: Requests::default(),
            others: Semaphore::new(OTHERS_WAITING),
            applies: Semaphore::new(1),
            own_reports: Semaphore::new(REPORTS_AT_ONCE),
            others_reports: Semaphore::new(REPORTS_AT_ONCE),
        }
    }
}

/// Who asks, with what there is to ask. Root and the supervisor's user do not wait for others.
#[derive(Clone)]
pub struct Client {
    app: Arc<App>,
    /// By its connection.
    pub(super) by: Credentials,
}

impl FromRequestParts<Arc<App>> for Client {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let Peer(by) = Peer::from_request_parts(parts, app).await?;
        let app = app.clone();
        Ok(Client { app, by })
    }
}

impl Deref for Client {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl Client {
    fn is_own(&self) -> bool {
        self.by.uid == 0 || self.by.uid == self.owner_uid
    }

    /// Ask the keeper, and sleep until it answers.
    ///
    /// What finds too much waiting for the keeper is tried again for a while: a burst of news, as of many machines that end
    /// at once, is over in less.
    ///
    /// # Errors
    /// EAGAIN where too much waits for it, ESHUTDOWN where it has ended.
    pub async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let _place = match self.is_own() {
            true => None,
            false => Some(turn(&self.others).await?),
        };
        let (answer, answered) = oneshot::channel();
        let reply = actor::reply_to(move |value| {
            let _ = answer.send(value);
        });
        let mut request = request(reply);
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            request = match self.keeper.try_send_below(MOST_WAITING, request) {
                Ok(()) => return answered.await.map_err(|_| Refused::ending()),
                Err(TrySendError::Full(request)) if Instant::now() < deadline => request,
                Err(TrySendError::Full(_)) => {
                    let rule = format!("{MOST_WAITING} requests wait for the keeper already");
                    return Err(Refused::busy(rule));
                }
                Err(TrySendError::Closed(_)) => return Err(Refused::ending()),
            };
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The whole state but the events.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn state(&self) -> Result<Report, Refused> {
        let _turn = turn(self.reports()).await?;
        self.ask(Request::State).await
    }

    /// The whole state.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn report(&self) -> Result<Report, Refused> {
        let _turn = turn(self.reports()).await?;
        self.ask(Request::Report).await
    }

    /// What a spec is understood against.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn known(&self) -> Result<Known, Refused> {
        let _turn = turn(self.reports()).await?;
        self.ask(Request::Known).await
    }

    fn reports(&self) -> &Semaphore {
        match self.is_own() {
            true => &self.own_reports,
            false => &self.others_reports,
        }
    }

    /// What acts with the supervisor's own rights is for root and its own user.
    ///
    /// # Errors
    /// EPERM.
    pub fn own(&self, what: &str) -> Result<(), Refused> {
        if self.is_own() {
            return Ok(());
        }
        let (uid, owner) = (self.by.uid, self.owner_uid);
        Err(Refused::new(
            "EPERM",
            format!("user {uid} may not {what}: only root and the supervisor's user {owner} may"),
        ))
    }
}

pub(super) async fn turn(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, Refused> {
    // Never closed.
    semaphore.acquire().await.map_err(|_| Refused::ending())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use actor::{Mailbox, mailbox};

    use super::*;
    use crate::api::feed::{self, feed};
    use crate::api::tests::support::Lines;
    use crate::keeper::{MachineId, News};

    fn ended(machine: u32) -> Request {
        let machine = MachineId(machine);
        Request::News(News::LinkClosed { machine })
    }

    /// Ask a keeper that has much to do what hierarchies there are, while `keeper` does what it does.
    fn asked(keeper: impl FnOnce(Mailbox<Request>) + Send + 'static) -> Result<usize, Refused> {
        let (address, news) = mailbox(256);
        for machine in 0..200 {
            assert!(address.try_send(ended(machine)).is_ok());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let keeper = thread::spawn(move || keeper(news));
        let answer = runtime.block_on(async {
            let (_onlooker, feed) = feed();
            let app = App::new(address, Arc::new(Lines), 0, feed::serve(feed));
            let client = Client {
                app: Arc::new(app),
                by: Credentials::ROOT,
            };
            client.ask(Request::Hierarchies).await
        });
        keeper.join().unwrap();
        answer.map(|hierarchies| hierarchies.len())
    }

    #[test]
    fn the_news_of_many_machines_that_end_at_once_is_waited_out() {
        let found = asked(|mailbox| {
            thread::sleep(Duration::from_millis(100));
            while let Some(request) = mailbox.recv() {
                if let Request::Hierarchies(reply) = request {
                    reply.send(Vec::new());
                }
            }
        });
        assert_eq!(found, Ok(0));
    }

    #[test]
    fn a_keeper_that_does_not_come_to_its_mailbox_is_not_waited_for_without_end() {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let found = asked(move |mailbox| {
            let _ = is_done.recv_timeout(PATIENCE * 2);
            drop(mailbox);
        });
        drop(done);
        assert_eq!(found.unwrap_err().0.errno, "EAGAIN");
    }
}
