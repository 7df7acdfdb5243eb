//! Applies whose machines cannot be made: this supervisor has no program to make them with.

use serde_json::json;

use super::support::Served;

fn apply(served: &Served, spec: &str) -> super::support::Answer {
    let body = json!({ "spec": spec, "file": "/s" });
    served.send("POST", "/v1/apply", &body)
}

#[test]
fn a_plan_is_taken_back_with_the_machine_that_could_not_be_made() {
    let served = Served::start();
    let problem = apply(&served, "mkdir billing:/a\nmkdir billing:/a/b\nvm db").refused(409, "EIO");
    assert!(
        problem.detail.contains("machine db could not be made"),
        "{problem:?}"
    );
    assert!(
        problem.detail.ends_with("; the groups are as they were"),
        "{problem:?}"
    );
    assert!(problem.remains.is_empty());
    served.get("/v1/groups/billing/a").refused(404, "ENOENT");
    served.get("/v1/machines/db").refused(404, "ENOENT");
    assert_eq!(apply(&served, "mkdir billing:/a").status, 200);
}

#[test]
fn what_cannot_be_taken_back_is_said() {
    let served = Served::start();
    for (group, way, why) in [
        (
            "a",
            "no way back",
            "no way back to what they were was found",
        ),
        (
            "b",
            "a way back to nowhere",
            "taking that back was refused: there is no group billing:/b",
        ),
    ] {
        let spec = format!("mkdir billing:/{group}\nvm db\n{way}");
        let problem = apply(&served, &spec).refused(409, "EIO");
        let [remains] = &problem.remains[..] else {
            panic!("{problem:?}")
        };
        let groups = "the groups are as the spec says: ";
        let said = remains.strip_prefix(groups).expect(groups);
        assert!(said.contains(why), "{said}");
        assert!(problem.detail.ends_with(remains), "{problem:?}");
        assert_eq!(
            served.get(&format!("/v1/groups/billing/{group}")).status,
            200
        );
    }
}

#[test]
fn a_dry_run_says_where_the_tasks_of_a_new_machine_will_be() {
    let served = Served::start();
    let body = json!({ "spec": "mkdir billing:/a\nvm db", "file": "/s" });
    let dry = served.send("POST", "/v1/apply?dry_run=true", &body).json();
    assert_eq!(dry["started"], json!(["db"]));
    let births = dry["births"].as_array().unwrap();
    let tasks: Vec<&str> = births
        .iter()
        .filter_map(|birth| birth["task"].as_str())
        .collect();
    assert_eq!(tasks, ["db/vcpu0", "db/io", "db/control"]);
    assert_eq!(dry["plan"]["committed"], json!(false));
    served.get("/v1/groups/billing/a").refused(404, "ENOENT");
    let machine = json!({ "memory": "4M", "vcpus": 1, "guest": { "tiny": ["exit"] } });
    let dry = served
        .send("POST", "/v1/machines/db?dry_run=true", &machine)
        .json();
    assert_eq!(dry["births"].as_array().unwrap().len(), 3);
    served.get("/v1/machines/db").refused(404, "ENOENT");
}
