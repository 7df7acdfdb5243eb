//! Asking the keeper without ever waiting in its mailbox, and what all handlers share.

use std::sync::Arc;

use actor::{Address, Reply, TrySendError};
use container_core::Credentials;
use management::Report;
use tokio::sync::{Semaphore, oneshot};

use super::feed::FeedHandle;
use super::metrics::Requests;
use super::problem::Refused;
use super::{Known, Specs};
use crate::keeper::Request;

/// Requests of the API that may wait for the keeper at once. The rest of its mailbox is for the wire and the runner.
const MOST_WAITING: usize = 128;
/// Reports that may be made at once: one walks every task and group, on the keeper's thread.
const REPORTS_AT_ONCE: usize = 4;

/// What every handler has.
pub struct App {
    pub(super) keeper: Address<Request>,
    pub(super) specs: Arc<dyn Specs>,
    pub(super) owner_uid: u32,
    pub(super) feed: FeedHandle,
    pub(super) requests: Requests,
    reports: Semaphore,
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
            reports: Semaphore::new(REPORTS_AT_ONCE),
        }
    }

    /// Ask the keeper, and sleep until it answers.
    ///
    /// # Errors
    /// EAGAIN where too much waits for it, ESHUTDOWN where it has ended.
    pub async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        let reply = actor::reply_to(move |value| {
            let _ = answer.send(value);
        });
        match self.keeper.try_send_below(MOST_WAITING, request(reply)) {
            Ok(()) => answered.await.map_err(|_| Refused::ending()),
            Err(TrySendError::Full(_)) => Err(Refused::busy(format!(
                "{MOST_WAITING} requests wait for the keeper already"
            ))),
            Err(TrySendError::Closed(_)) => Err(Refused::ending()),
        }
    }

    /// The whole state but the events.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn state(&self) -> Result<Report, Refused> {
        let _turn = self
            .reports
            .acquire()
            .await
            .map_err(|_| Refused::ending())?;
        self.ask(Request::State).await
    }

    /// The whole state.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn report(&self) -> Result<Report, Refused> {
        let _turn = self
            .reports
            .acquire()
            .await
            .map_err(|_| Refused::ending())?;
        self.ask(Request::Report).await
    }

    /// What a spec is understood against.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn known(&self) -> Result<Known, Refused> {
        let _turn = self
            .reports
            .acquire()
            .await
            .map_err(|_| Refused::ending())?;
        self.ask(Request::Known).await
    }

    /// What acts with the supervisor's own rights is for root and its own user.
    ///
    /// # Errors
    /// EPERM.
    pub fn own(&self, by: &Credentials, what: &str) -> Result<(), Refused> {
        if by.uid == 0 || by.uid == self.owner_uid {
            return Ok(());
        }
        let (uid, owner) = (by.uid, self.owner_uid);
        Err(Refused::new(
            "EPERM",
            format!("user {uid} may not {what}: only root and the supervisor's user {owner} may"),
        ))
    }
}
