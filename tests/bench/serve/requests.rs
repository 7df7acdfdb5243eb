//! Single requests over one kept-alive connection, from just before a request is written until its answer is read.

use super::server::Server;
use crate::Sample;

const ROUNDS: usize = 2_000;

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/pen"]
files = { "cpuset.cpus" = "0-1" }
[group."placement:/pen/vcpu"]
files = { "cpuset.cpus" = "0" }
[vm.m]
memory = "4M"
vcpus = 1
guest = { tiny = ["halt"] }
groups = ["placement:/pen"]
[vm.m.task.vcpu0]
groups = ["placement:/pen/vcpu"]
"#;

pub fn bench() {
    println!(
        "serve: requests: {ROUNDS} each over one connection, one halted vCPU; {}",
        super::load()
    );
    let server = Server::start();
    let mut connection = server.connect();
    connection.apply(SPEC);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let file = "/v1/files/placement/pen/vcpu/cpuset.cpus";
    let version = (0..ROUNDS).map(|_| connection.get("/v1/version").ok().took());
    Sample::new(version.collect()).row("GET version (nobody is asked)");
    let read = (0..ROUNDS).map(|_| connection.get(file).ok().took());
    Sample::new(read.collect()).row("GET cpuset.cpus");
    let write = (0..ROUNDS).map(|round| {
        let cpu = ["1", "0"][round % 2];
        connection.ask("PUT", file, "text/plain", cpu).ok().took()
    });
    Sample::new(write.collect()).row("PUT cpuset.cpus, which pins its vCPU");
}
