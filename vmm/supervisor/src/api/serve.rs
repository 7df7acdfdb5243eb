//! The thread: connections, their number and their rights.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use container_core::Credentials;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{LocalSet, spawn_local};
use tower_service::Service;

use super::extract::Peer;
use super::patience::{Answer, Patience, Watched};
use super::poll::Waits;

/// Connections at once. Each is a descriptor and at most some 100 KiB.
const MAX_CONNECTIONS: usize = 1024;
/// Of these the last are for root and the supervisor's own user: others cannot shut them out.
const RESERVED: usize = 128;
/// Largest head of a request, and what is read ahead of a body.
const READ_BUFFER: usize = 64 << 10;
/// After a failed accept(2), which is out of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a connection too many is told, before it has said anything.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/problem+json\r\ncontent-length: 134\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
\"detail\":\"there are as many connections as may be\",\"errno\":\"EAGAIN\"}\n";

/// Serve until told to end, and return what was told.
pub async fn serve<T>(
    listener: UnixListener,
    router: Router,
    owner_uid: u32,
    told: impl Future<Output = T>,
) -> T {
    let connections = LocalSet::new();
    connections
        .run_until(async {
            tokio::select! {
                never = accept(listener, router, owner_uid) => match never {},
                told = told => told,
            }
        })
        .await
}

async fn accept(listener: UnixListener, router: Router, owner_uid: u32) -> Infallible {
    let open = Rc::new(Cell::new(0));
    // Of users with connections, and so not many.
    let mut users: BTreeMap<u32, Waits> = BTreeMap::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(peer) = stream.peer_cred() else {
            continue;
        };
        let own = peer.uid() == 0 || peer.uid() == owner_uid;
        let most = MAX_CONNECTIONS - if own { 0 } else { RESERVED };
        if open.get() >= most {
            let _ = stream.try_write(TOO_MANY);
            continue;
        }
        let by = Credentials {
            uid: peer.uid(),
            gid: peer.gid(),
            task: None,
        };
        users.retain(|_, waits| !waits.is_last());
        let asker = Asker {
            peer: Peer(by),
            waits: users.entry(by.uid).or_default().clone(),
        };
        let place = Place::take(&open);
        spawn_local(connection(stream, router.clone(), asker, place));
    }
}

/// Who is at the other end.
#[derive(Clone)]
struct Asker {
    peer: Peer,
    waits: Waits,
}

/// A place among the connections.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Place(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn connection(stream: UnixStream, router: Router, asker: Asker, _place: Place) {
    let patience = Patience::new();
    let watched = Watched {
        stream,
        patience: patience.clone(),
    };
    let service = service_fn(|request: Request<Incoming>| {
        patience.serve();
        let (mut router, patience) = (router.clone(), patience.clone());
        let Asker { peer, waits } = asker.clone();
        async move {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(waits);
            let response: Result<Response, Infallible> = router.call(request).await;
            response.map(|response| response.map(|body| Answer { body, patience }))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(watched), service);
    // What goes wrong on a connection is its client's affair.
    tokio::select! {
        _ = served => {}
        () = patience.gone() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_too_many_is_told_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        serde_json::from_str::<management::api::Problem>(body).unwrap();
    }
}
