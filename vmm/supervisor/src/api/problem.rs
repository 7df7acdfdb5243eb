//! Why not: every error of the API, whoever finds it, as one body (RFC 9457) with an errno and a sentence.
//!
//! The errno decides the status. A refusal of the host is no fault of the server and is a conflict, so nothing
//! here is a 500.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use container_core::Refusal;
use management::api::Problem;

use crate::agent::{AskError, NotNow};
use crate::keeper::{AgentError, ChangeError};

/// After so many seconds it may be otherwise.
const RETRY_AFTER: &str = "1";
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Problem);

impl Refused {
    /// By the errno's own status.
    pub fn new(errno: &str, rule: impl Into<String>) -> Self {
        Self::with_status(status_of(errno), errno, rule)
    }

    /// By a status that says more than the errno.
    pub fn with_status(status: StatusCode, errno: &str, rule: impl Into<String>) -> Self {
        Refused(Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or_default().into(),
            status: status.as_u16(),
            detail: rule.into(),
            errno: errno.into(),
            command: None,
            remains: Box::default(),
        })
    }

    /// Something in the request is not what it has to look like.
    pub fn malformed(rule: impl Into<String>) -> Self {
        Self::with_status(StatusCode::BAD_REQUEST, "EINVAL", rule)
    }

    /// The supervisor has more to do than it takes in.
    pub fn busy(rule: impl Into<String>) -> Self {
        Self::new("EAGAIN", rule)
    }

    /// The keeper is gone.
    pub fn ending() -> Self {
        Self::with_status(
            StatusCode::SERVICE_UNAVAILABLE,
            "ESHUTDOWN",
            "the supervisor is ending",
        )
    }
}

/// The status of an errno. EINVAL and its like are 422: well-formed, and against a rule; what is not well-formed is 400.
fn status_of(errno: &str) -> StatusCode {
    match errno {
        "ENOENT" | "ESRCH" => StatusCode::NOT_FOUND,
        "EACCES" | "EPERM" => StatusCode::FORBIDDEN,
        "ENODEV" => StatusCode::GONE,
        "E2BIG" => StatusCode::PAYLOAD_TOO_LARGE,
        "EAGAIN" => StatusCode::SERVICE_UNAVAILABLE,
        "EEXIST" | "EBUSY" | "ESTALE" | "ENOTEMPTY" | "ENOSPC" | "ENOMEM" | "EIO" | "ETIMEDOUT" => {
            StatusCode::CONFLICT
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused::new(&format!("{:?}", refusal.errno), refusal.rule)
    }
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => refusal.into(),
            ChangeError::Host { why, drifted } if drifted.is_empty() => {
                Refused::new("EIO", format!("the host refused: {why}"))
            }
            ChangeError::Host { why, drifted } => {
                let tasks = match drifted.len() {
                    1 => "1 task could not be put back either and is".to_owned(),
                    tasks => format!("{tasks} tasks could not be put back either and are"),
                };
                let rule = format!("the host refused: {why}; {tasks} tried again every second");
                Refused::new("EIO", rule)
            }
        }
    }
}

impl From<AgentError> for Refused {
    fn from(error: AgentError) -> Self {
        let rule = error.to_string();
        match error {
            AgentError::Refused(refusal) => refusal.into(),
            AgentError::NoMachine(_) => Refused::new("ENOENT", rule),
            AgentError::NotRunning(..) => Refused::new("EBUSY", rule),
            AgentError::NoAgent(_) => Refused::with_status(StatusCode::CONFLICT, "ENODEV", rule),
            AgentError::NotNow(NotNow::NotOpen) => {
                Refused::with_status(StatusCode::CONFLICT, "ENOTCONN", rule)
            }
            AgentError::NotNow(NotNow::TooMany | NotNow::Full) => Refused::busy(rule),
            AgentError::Unanswered(AskError::TimedOut) => Refused::new("ETIMEDOUT", rule),
            AgentError::Unanswered(AskError::Ended(_)) => {
                Refused::with_status(StatusCode::CONFLICT, "ECONNRESET", rule)
            }
        }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Refused(problem)
    }
}

/// The errno of an answer, for the metrics.
#[derive(Clone, Debug)]
pub struct ErrnoOf(pub String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(problem) = self;
        let status = StatusCode::from_u16(problem.status)
            .ok()
            .filter(|status| status.is_client_error() || *status == StatusCode::SERVICE_UNAVAILABLE)
            .unwrap_or(StatusCode::CONFLICT);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let kind: (HeaderName, HeaderValue) =
            (header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        let mut response = (status, [kind], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let after = HeaderValue::from_static(RETRY_AFTER);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response.extensions_mut().insert(ErrnoOf(problem.errno));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_the_clients_to_read_and_none_a_server_error() {
        use container_core::Errno::*;
        let all = [
            EPERM,
            ENOENT,
            ESRCH,
            E2BIG,
            EAGAIN,
            EACCES,
            EBUSY,
            EEXIST,
            ENODEV,
            ENOTDIR,
            EISDIR,
            EINVAL,
            ENOSPC,
            ENOMEM,
            EIO,
            ERANGE,
            ENAMETOOLONG,
            EOVERFLOW,
            ESTALE,
        ];
        for errno in all {
            let refused = Refused::from(Refusal::new(errno, "a rule"));
            let status = refused.clone().into_response().status();
            assert!(
                status.is_client_error() || (errno == EAGAIN && status == 503),
                "{errno:?}: {status}"
            );
            assert_eq!(refused.0.errno, format!("{errno:?}"));
        }
    }
}
