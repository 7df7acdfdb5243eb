//! A machine in JSON is the machine in TOML, and its refusals point into the JSON.

use serde_json::{Value, json};

use super::{TREES, host, loaded};
use crate::spec::{MachineSpec, machine_from_json};
use container_core::Framework;
use supervisor::api::{Known, KnownMachine};

fn now() -> Known {
    let spec = loaded(&TREES.replace("[vm.web]", "[vm.other]")).unwrap();
    let mut framework = Framework::new(host());
    spec.check(&mut framework).unwrap();
    let running = |machine: &MachineSpec| KnownMachine {
        asked: machine.to_new(),
        alive: true,
    };
    Known {
        framework,
        machines: spec.machines.iter().map(running).collect(),
    }
}

fn good() -> Value {
    json!({
        "memory": "64M",
        "vcpus": 2,
        "guest": { "tiny": ["print \"a\\b\u{e9}", "exit"] },
        "groups": { "all": ["billing:/a"], "vcpu": ["placement:/gold"] },
        "task": { "vcpu1": { "groups": ["placement:/gold/web"] } },
        "agent": "read",
        "vsock": { "cid": 7, "path": "/tmp/web.sock" },
        "restart": "on-failure",
    })
}

fn refused(body: &Value) -> String {
    let refused = machine_from_json("web", body, &now());
    refused.expect_err("it is bad").to_string()
}

/// A good body but for one value; a null takes the key out.
fn but(pointer: &str, value: Value) -> Value {
    let mut body = good();
    let (at, key) = pointer.rsplit_once('/').unwrap();
    let table = body.pointer_mut(at).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => drop(table.remove(key)),
        value => drop(table.insert(key.into(), value)),
    }
    body
}

#[test]
fn a_body_is_the_machine_that_its_table_is() {
    let text = TREES.replace("guest = { tiny = ['exit'] }\n", "")
        + r#"
guest = { tiny = ["print \"a\\bé", "exit"] }
agent = 'read'
restart = 'on-failure'
vsock = { cid = 7, path = '/tmp/web.sock' }
groups = { all = ['billing:/a'], vcpu = ['placement:/gold'] }
task.vcpu1.groups = ['placement:/gold/web']
"#;
    let from_toml = &loaded(&text).unwrap().machines[0];
    let from_json = machine_from_json("web", &good(), &now()).unwrap();
    assert_eq!(from_json.config, from_toml.config);
    assert_eq!(from_json.restart, from_toml.restart);
    let [one, other] = [&from_json, from_toml].map(|machine| format!("{:?}", machine.agent));
    assert_eq!(one, other);
    for kind in from_toml.kinds() {
        assert_eq!(
            from_json.groups_of(kind),
            from_toml.groups_of(kind),
            "{kind}"
        );
    }
}

#[test]
fn what_is_wrong_in_a_body_is_named_by_its_place_and_both_operands() {
    let cases = [
        (
            "/memory",
            json!("64"),
            "/memory: machine web: memory \"64\" is no size; a whole number and K, ",
        ),
        ("/memory", Value::Null, "machine web has no `memory`"),
        (
            "/vcpus",
            json!(65),
            "/vcpus: machine web asks for 65 vCPUs; it can have 1 to 64",
        ),
        (
            "/vcpus",
            json!("two"),
            "/vcpus: invalid type: string \"two\", expected an integer",
        ),
        (
            "/vcpus",
            json!(1.5),
            "/vcpus: invalid type: floating point `1.5`, expected an integer",
        ),
        (
            "/guest/tiny",
            json!(["exit", "jump"]),
            "/guest/tiny/1: machine web: script line 2, \"jump\": ",
        ),
        (
            "/guest/kernel",
            json!("vmlinuz"),
            "/guest/kernel: `kernel` is not in this release of Pinfold: ",
        ),
        (
            "/guest",
            json!("exit"),
            "/guest: invalid type: string \"exit\", expected a table, as { tiny = ",
        ),
        ("/a~b\"\n]", json!(1), "/a~0b\"\n]: unknown key `a~b\""),
        (
            "/groups/all",
            json!(["billing:/a", "billing:/"]),
            "/groups/all/1: groups billing:/a and billing:/ ",
        ),
        (
            "/groups/io",
            json!(["placement:/tin"]),
            "/groups/io/0: there is no group placement:/tin",
        ),
        (
            "/groups/io",
            json!(["net:/x"]),
            "/groups/io/0: group net:/x is in hierarchy net, which is not mounted",
        ),
        (
            "/groups/io",
            json!([["placement:/gold"]]),
            "/groups/io/0: invalid type: ",
        ),
        (
            "/groups/io",
            json!([{ "a": 1 }]),
            "/groups/io/0: invalid type: ",
        ),
        (
            "/task/vcpu7",
            json!({}),
            "/task/vcpu7: machine web has no task vcpu7: its vCPUs are vcpu0 to vcpu1",
        ),
        (
            "/agent",
            json!("write"),
            "/agent: agent \"write\" of machine web is neither \"read\" nor ",
        ),
        (
            "/restart",
            json!("maybe"),
            "/restart: restart \"maybe\" of machine web is none of \"no\", ",
        ),
        (
            "/vsock/cid",
            json!(2),
            "/vsock/cid: vsock.cid 2 of machine web is not one of 3 to 4294967294",
        ),
        (
            "/vsock/path",
            json!("web.sock"),
            "/vsock/path: vsock.path \"web.sock\" of machine web does not begin with /, ",
        ),
    ];
    for (pointer, value, start) in cases {
        let message = refused(&but(pointer, value));
        assert!(
            message.starts_with(start),
            "{message:?} does not start with {start:?}"
        );
    }
    let mut body = good();
    body["task"]["vcpu1"]["groups"][0] = Value::Null;
    let expected = "/task/vcpu1/groups/0: null is no value; leave the key out";
    assert_eq!(refused(&body), expected);
    let expected = "a machine is an object, as a [vm.NAME] is a table";
    assert_eq!(refused(&json!([])), expected);
    let name = machine_from_json("a/b", &good(), &now()).unwrap_err();
    assert!(name.to_string().contains("a/b"), "{name}");
}

#[test]
fn a_body_cannot_take_another_living_machines_socket() {
    let mut now = now();
    let web = machine_from_json("web", &good(), &now).unwrap();
    now.machines[0].asked.config.vsock = web.config.vsock;
    let refused = machine_from_json("web", &good(), &now).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/vsock/path: machine web has the vsock.path /tmp/web.sock of machine other"
    );
    now.machines[0].alive = false;
    machine_from_json("web", &good(), &now).unwrap();
}

#[test]
fn whatever_a_body_holds_is_a_value_and_no_toml() {
    let texts = ["\u{7f}\u{0}\r", "'''", "\"\"\"", "]\n[vm.x]\n", "#", "\\"];
    for text in texts {
        for pointer in ["/memory", "/agent", "/restart"] {
            let message = refused(&but(pointer, json!(text)));
            assert!(message.starts_with(&format!("{pointer}: ")), "{message}");
        }
    }
    assert!(refused(&but("/vcpus", json!(u64::MAX))).starts_with("/vcpus: "));
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert!(!refused(&but("/vcpus", deep.clone())).is_empty());
    let deep = (0..100).fold(deep, |inner, _| json!({ "a": inner }));
    assert!(!refused(&but("/guest", deep)).is_empty());
}
