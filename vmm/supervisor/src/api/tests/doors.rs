//! The error table through the API: every row by each route that has its operation, with the keeper behind it.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use actor::{Address, reply_to};
use axum::Router;
use container_core::Errno;
use management::api::Problem;
use serde_json::{Value, json};

use super::support::{Lines, PATIENCE, ask};
use crate::api::ask::App;
use crate::api::feed::{feed, serve};
use crate::api::router::router;
use crate::errors::world::{World, child};
use crate::errors::{Answer, HALF, Op, Row, table};
use crate::keeper::{Request, stage};

/// A request, and which command of it a refusal names.
struct Way {
    method: &'static str,
    path: String,
    body: String,
    refused: Option<usize>,
    commits: bool,
}

/// Every way to ask for a row.
fn ways(row: &Row) -> Vec<Way> {
    let mut ways: Vec<Way> = own_route(row.op).into_iter().collect();
    let Some(command) = command(row.op) else {
        return ways;
    };
    let half = command_of_half();
    let mut plans = vec![
        ("/v1/plan", vec![command.clone()]),
        ("/v1/plan?dry_run=true", vec![command.clone()]),
    ];
    if row.can_follow() {
        plans.push(("/v1/plan", vec![half, command]));
    }
    ways.extend(plans.into_iter().map(|(path, commands)| Way {
        method: "POST",
        path: path.into(),
        refused: Some(commands.len() - 1),
        body: json!({ "commands": commands }).to_string(),
        commits: path == "/v1/plan",
    }));
    ways
}

fn command_of_half() -> Value {
    command(HALF).unwrap()
}

/// The route that has this operation and no other.
fn own_route(op: Op) -> Option<Way> {
    let file = |group: &str, file: &str| {
        let (hierarchy, path) = group.split_once(":/").unwrap();
        let components = path.split('/').filter(|_| !path.is_empty());
        let parts: Vec<String> = components.chain([file]).map(encoded).collect();
        format!("/v1/files/{hierarchy}/{}", parts.join("/"))
    };
    let (method, path, body) = match op {
        Op::Read(group, name) => ("GET", file(group, name), String::new()),
        Op::Write(group, name, value) => ("PUT", file(group, name), value.into()),
        Op::Attach(group, task) => {
            let (hierarchy, _) = group.split_once(':').unwrap();
            let path = format!("/v1/tasks/{}/groups/{hierarchy}", encoded(task));
            ("PUT", path, json!({ "group": group }).to_string())
        }
        _ => return None,
    };
    Some(Way {
        method,
        path,
        body,
        refused: None,
        commits: true,
    })
}

/// What stands for itself in a path, and dots, which some clients take for something else, by its code.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn command(op: Op) -> Option<Value> {
    Some(match op {
        Op::Mount(hierarchy, subsystems) => {
            json!({"op": "mount", "hierarchy": hierarchy, "subsystems": subsystems})
        }
        Op::Unmount(hierarchy) => json!({"op": "umount", "hierarchy": hierarchy}),
        Op::Remount(hierarchy, subsystems) => {
            json!({"op": "remount", "hierarchy": hierarchy, "subsystems": subsystems})
        }
        Op::Mkdir(parent, name) => json!({"op": "mkdir", "group": child(parent, name)}),
        Op::Rmdir(group) => json!({"op": "rmdir", "group": group}),
        Op::Rename(group, to) => json!({"op": "rename", "group": group, "to": to}),
        Op::Chown(group, uid, gid, mode) => {
            json!({"op": "chown", "group": group, "uid": uid, "gid": gid, "mode": mode})
        }
        Op::Write(group, file, value) => {
            json!({"op": "set", "group": group, "file": file, "value": value})
        }
        Op::Attach(group, task) => json!({"op": "attach", "group": group, "task": task}),
        Op::Clone(task, subsystem) => json!({"op": "clone", "task": task, "subsystem": subsystem}),
        Op::Read(..) => return None,
    })
}

/// The status of an errno, as docs/management-api.md has it.
fn status(errno: Errno) -> u16 {
    use Errno::*;
    match errno {
        EPERM | EACCES => 403,
        ENOENT | ESRCH => 404,
        EEXIST | EBUSY | ESTALE | ENOSPC | ENOMEM | EIO => 409,
        ENODEV => 410,
        E2BIG => 413,
        EINVAL | ERANGE | EOVERFLOW | ENOTDIR | EISDIR | ENAMETOOLONG => 422,
        EAGAIN => 503,
    }
}

/// A router, and the keeper behind it, in the world of a row.
struct Supervised {
    router: Router,
    keeper: Address<Request>,
    thread: JoinHandle<()>,
}

impl Supervised {
    fn new(row: &Row) -> Self {
        let (keeper, thread) = stage::serve(World::new(row.setting).framework);
        let (_, told) = feed();
        let app = App::new(keeper.clone(), Arc::new(Lines), 0, serve(told));
        Supervised {
            router: router(Arc::new(app)),
            keeper,
            thread,
        }
    }

    fn known<T: Send + 'static>(&self, request: impl FnOnce(actor::Reply<T>) -> Request) -> T {
        let (answer, answered) = channel();
        let reply = reply_to(move |value| answer.send(value).unwrap());
        self.keeper.send(request(reply)).unwrap();
        answered.recv_timeout(PATIENCE).unwrap()
    }

    /// Everything there is: hierarchies, groups, values, tasks, and the number of the last event.
    fn snapshot(&self) -> String {
        let known = self.known(Request::Known);
        let (last, most) = (None, 0);
        let page = self.known(|reply| Request::EventsSince { last, most, reply });
        format!("{}{}", known.framework.snapshot(), page.last)
    }

    fn end(self) {
        self.keeper.send(Request::End).unwrap();
        self.thread.join().unwrap();
    }
}

fn assert_refused(row: &Row, way: &Way, (told, text): (u16, &str)) {
    let Answer::Refused(errno, operands) = row.answer else {
        panic!("{row:#?}: {} {}: {text}", way.method, way.path);
    };
    let asked = format!("{row:#?} by {} {}: {text}", way.method, way.path);
    assert_eq!(told, status(errno), "{asked}");
    let problem: Problem = serde_json::from_str(text).expect("a problem");
    assert_eq!(problem.errno, format!("{errno:?}"), "{asked}");
    assert_eq!(
        (problem.status, problem.command),
        (told, way.refused),
        "{asked}"
    );
    for operand in operands {
        assert!(
            problem.detail.contains(operand),
            "no {operand:?} in {asked}"
        );
    }
}

async fn assert_answered(row: &Row, way: &Way) {
    let supervised = Supervised::new(row);
    let before = supervised.snapshot();
    let by = Some(row.by.credentials());
    let (told, text) = ask(&supervised.router, by, way.method, &way.path, &way.body).await;
    if told >= 300 || !way.commits {
        assert_eq!(before, supervised.snapshot(), "{row:#?} by {}", way.path);
    }
    match row.answer {
        Answer::Taken(then) if told < 300 => {
            if let (true, Op::Write(group, file, _)) = (way.commits, row.op) {
                let framework = supervised.known(Request::Known).framework;
                assert_eq!(World::read(&framework, group, file), then, "{row:#?}");
            }
        }
        _ => assert_refused(row, way, (told, &text)),
    }
    supervised.end();
}

#[test]
fn every_row_of_the_error_table_is_answered_by_every_route_that_has_it_and_a_refusal_leaves_no_trace()
 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut own = 0;
        for row in table() {
            let ways = ways(row);
            assert!(!ways.is_empty(), "{row:#?} has no route");
            own += ways.iter().filter(|way| way.refused.is_none()).count();
            for way in &ways {
                assert_answered(row, way).await;
            }
        }
        assert!(own > 50, "only {own} rows have a route of their own");
    });
}
