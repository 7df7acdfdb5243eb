//! Who may do what: the router, called for others than who runs the tests.

use std::sync::Arc;

use axum::Router;
use container_core::Credentials;
use management::api::Problem;

use super::support::{Lines, ask, supervisor};
use crate::api::ask::App;
use crate::api::feed::{feed, serve};
use crate::api::router::router;

const SOMEBODY: Credentials = Credentials {
    uid: 54321,
    gid: 54321,
    task: None,
};

fn with_router(test: impl AsyncFnOnce(Router)) {
    let (onlooker, told) = feed();
    let supervisor = supervisor(onlooker);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let keeper = supervisor.keeper().clone();
        let owner = rustix::process::geteuid().as_raw();
        let app = App::new(keeper, Arc::new(Lines), owner, serve(told));
        test(router(Arc::new(app))).await;
    });
    supervisor.end();
}

const PRIVILEGED: [(&str, &str, &str); 6] = [
    ("POST", "/v1/apply", r#"{"spec": "", "file": "s"}"#),
    ("POST", "/v1/machines/web", r#"{"memory": "4M"}"#),
    ("DELETE", "/v1/machines/web", ""),
    ("PUT", "/v1/machines/web/state", r#"{"state": "stopped"}"#),
    ("POST", "/v1/machines/web/agent", r#"{"ask": "ping"}"#),
    ("GET", "/v1/machines/web/log", ""),
];

#[test]
fn what_acts_with_the_supervisors_rights_is_for_root_and_its_user() {
    with_router(async |router| {
        for (method, path, body) in PRIVILEGED {
            let (status, text) = ask(&router, Some(SOMEBODY), method, path, body).await;
            assert_eq!(status, 403, "{method} {path}: {text}");
            let problem: Problem = serde_json::from_str(&text).unwrap();
            assert_eq!(problem.errno, "EPERM");
            let (status, _) = ask(&router, Some(Credentials::ROOT), method, path, body).await;
            assert_ne!(status, 403, "{method} {path}");
        }
    });
}

#[test]
fn groups_are_changed_by_their_owners_and_looked_at_by_all() {
    with_router(async |router| {
        let by = Some(SOMEBODY);
        let plan =
            |group: &str| format!(r#"{{"commands": [{{"op": "mkdir", "group": "{group}"}}]}}"#);
        let make = plan("billing:/tenant/mine");
        let (status, text) = ask(&router, by, "POST", "/v1/plan", &make).await;
        assert_eq!(status, 403, "{text}");
        let file = "/v1/files/billing/tenant/notify_on_release";
        assert_eq!(ask(&router, by, "PUT", file, "1").await.0, 403);
        assert_eq!(ask(&router, by, "GET", file, "").await.0, 200);
        let chown = r#"{"commands": [{"op": "chown", "group": "billing:/tenant", "uid": 54321, "gid": 54321, "mode": 493}]}"#;
        let root = Some(Credentials::ROOT);
        let (status, text) = ask(&router, root, "POST", "/v1/plan", chown).await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(ask(&router, by, "POST", "/v1/plan", &make).await.0, 200);
        assert_eq!(ask(&router, by, "PUT", file, "1").await.0, 204);
    });
}

#[test]
fn a_release_agent_is_not_for_who_owns_the_group() {
    with_router(async |router| {
        let file = "/v1/files/billing/release_agent";
        let (status, text) = ask(&router, Some(SOMEBODY), "PUT", file, "/bin/sh").await;
        assert_eq!(status, 403, "{text}");
    });
}

#[test]
fn who_is_unknown_may_not() {
    with_router(async |router| {
        let plan = r#"{"commands": []}"#;
        assert_eq!(ask(&router, None, "POST", "/v1/plan", plan).await.0, 403);
    });
}

#[test]
fn what_others_ask_in_a_crowd_is_answered_in_turn() {
    with_router(async |router| {
        let asked: Vec<_> = (0..400)
            .map(|_| {
                let router = router.clone();
                tokio::spawn(async move {
                    ask(&router, Some(SOMEBODY), "GET", "/v1/hierarchies", "")
                        .await
                        .0
                })
            })
            .collect();
        let report = ask(&router, Some(Credentials::ROOT), "GET", "/v1/report", "").await;
        assert_eq!(report.0, 200);
        for answered in asked {
            assert_eq!(answered.await.unwrap(), 200);
        }
    });
}
