//! An answer that goes on: bytes as they come.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio::runtime::Runtime;

use super::ClientError;

/// The rest of an answer. Dropping it ends the connection.
#[derive(Debug)]
pub struct Stream<'a> {
    runtime: &'a Runtime,
    body: Incoming,
}

impl<'a> Stream<'a> {
    pub(super) fn new(runtime: &'a Runtime, body: Incoming) -> Self {
        Stream { runtime, body }
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<Bytes, ClientError>;

    /// The next bytes, however long they take; None at the end.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let frame = self.runtime.block_on(self.body.frame())?;
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(bytes)) => return Some(Ok(bytes)),
                // Trailers say nothing here.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(ClientError::http(error))),
            }
        }
    }
}
