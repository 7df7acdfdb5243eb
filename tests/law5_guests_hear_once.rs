//! Law 5, for guests: each release in its view reaches a subscribed guest exactly once, in order, whatever
//! becomes of its sessions meanwhile.

mod support;

use std::collections::BTreeMap;

use support::random::Random;
use support::{Run, kvm};

/// Releases that the guest collects and then prints, so many times over: so it is never further behind than
/// its view's log reaches.
const RELEASES: usize = 100;
const TIMES: usize = 5;
/// It reconnects after each so many of them but the last: 4 times in a hundred, 20 in all.
const RECONNECT_EVERY: usize = 20;
const RECONNECTS: usize = TIMES * (RELEASES / RECONNECT_EVERY - 1);

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["debug"]
[group."placement:/yard"]
notify_on_release = true
[group."placement:/yard/g"]
[group."placement:/other"]
notify_on_release = true
[group."placement:/other/pen"]

[vm.g]
memory = "16M"
vcpus = 4
groups = ["placement:/yard/g"]
agent = "delegate"
guest = { tiny = ["vcpu0: subscribe", "vcpu0: print up", COLLECT, "halt"] }

[vm.neighbour]
memory = "16M"
vcpus = 1
groups = ["placement:/other"]
guest = { tiny = ["print up", "halt"] }
"#;

/// The yard as the test believes it to be: who is where, and which releases that makes.
struct Model {
    homes: [String; 3],
    /// Occupants (tasks and child groups) of each group below the root of the view.
    groups: BTreeMap<String, usize>,
    released: Vec<String>,
}

const ROOT: &str = "placement:/yard/g";

impl Model {
    fn leave(&mut self, group: &str) {
        if let Some(occupants) = self.groups.get_mut(group) {
            *occupants -= 1;
            if *occupants == 0 {
                let seen = group.replace(ROOT, "placement:");
                self.released.push(seen);
            }
        }
    }

    fn enter(&mut self, group: &str) {
        if let Some(occupants) = self.groups.get_mut(group) {
            *occupants += 1;
        }
    }
}

/// One random command, carried out and noted.
fn step(run: &mut Run, model: &mut Model, random: &mut Random, made: &mut usize) {
    let living: Vec<String> = model.groups.keys().cloned().collect();
    let pick = |random: &mut Random| match living.is_empty() {
        true => ROOT.to_owned(),
        false => living[random.below(living.len())].clone(),
    };
    match random.below(8) {
        0 | 1 if living.len() < 8 => {
            let above = if random.below(2) == 0 {
                ROOT.to_owned()
            } else {
                pick(random)
            };
            if above.matches('/').count() > 5 {
                return;
            }
            *made += 1;
            let group = format!("{above}/g{made}");
            run.must(&format!("group mkdir {group}"));
            model.enter(&above);
            model.groups.insert(group, 0);
        }
        2 => {
            let group = pick(random);
            if model.groups.get(&group) == Some(&0) {
                run.must(&format!("group rmdir {group}"));
                model.groups.remove(&group);
                let above = group.rsplit_once('/').map_or("", |(above, _)| above);
                model.leave(above);
            }
        }
        3 => {
            // Releases that are none of this guest's business.
            run.must("group attach placement:/other/pen neighbour/vcpu0");
            run.must("group attach placement:/other neighbour/vcpu0");
        }
        _ => {
            let vcpu = random.below(3);
            let to = if random.below(4) == 0 {
                ROOT.to_owned()
            } else {
                pick(random)
            };
            let from = model.homes[vcpu].clone();
            run.must(&format!("group attach {to} g/vcpu{}", vcpu + 1));
            if from != to {
                model.enter(&to);
                model.leave(&from);
                model.homes[vcpu] = to;
            }
        }
    }
}

#[test]
fn five_hundred_releases_reach_a_guest_once_each_over_reconnects_and_pauses() {
    if !kvm() {
        return;
    }
    let mut random = Random::seeded();
    let collect = format!("\"vcpu0: collect {RELEASES} {RECONNECT_EVERY}\"");
    let collect = vec![collect; TIMES].join(", ");
    let mut run = Run::start(&SPEC.replace("COLLECT", &collect));
    run.line("g | vcpu0: up");
    run.line("neighbour | vcpu0: up");
    let mut model = Model {
        homes: std::array::from_fn(|_| ROOT.into()),
        groups: BTreeMap::new(),
        released: Vec::new(),
    };
    let (mut made, mut pauses, mut paused) = (0, 0, false);
    for round in 1..=TIMES {
        while model.released.len() < round * RELEASES {
            step(&mut run, &mut model, &mut random, &mut made);
            if random.below(40) == 0 {
                paused = !paused;
                pauses += usize::from(paused);
                run.must(if paused { "vm pause g" } else { "vm resume g" });
            }
        }
        if std::mem::take(&mut paused) {
            run.must("vm resume g");
        }
        run.line(&format!("g | vcpu0: collected {RELEASES}"));
    }
    let heard: Vec<(u64, String)> = run
        .seen
        .iter()
        .filter_map(|line| line.strip_prefix("g | vcpu0: released "))
        .map(|line| {
            let (seq, group) = line.split_once(' ').expect("a number and a group");
            (seq.parse().expect("a number"), group.to_owned())
        })
        .collect();
    assert!(!run.seen.iter().any(|line| line.contains("gap")), "a gap");
    let groups: Vec<&String> = heard.iter().map(|(_, group)| group).collect();
    assert_eq!(groups, model.released.iter().collect::<Vec<_>>());
    assert!(
        heard.windows(2).all(|two| two[0].0 < two[1].0),
        "numbers rise"
    );
    println!(
        "{} releases, {RECONNECTS} reconnects, {pauses} pauses, {made} groups",
        heard.len()
    );
    run.must("vm stop --force g");
    run.must("vm stop --force neighbour");
    run.end();
}
