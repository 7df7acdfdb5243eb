//! What rows there are and what stays selected; over any reports beside a naive reading of them.

use std::collections::BTreeSet;

use management::{Group, Report};
use proptest::prelude::*;

use super::*;
use crate::top::rates::Rate;
use crate::top::samples::{SECOND, group, task, two_groups};

fn sample(report: Report, at_ns: u64) -> Sample {
    Sample { report, at_ns }
}

fn after_two() -> Model {
    let mut model = Model::new(sample(two_groups(1), SECOND));
    model.update(sample(two_groups(2), 2 * SECOND));
    model
}

fn names(model: &Model) -> Vec<&str> {
    let path = |row: &'_ Row| row.name.find(':').map_or(0, |colon| colon + 1);
    model
        .rows
        .iter()
        .map(|row| &row.name[path(row)..])
        .collect()
}

fn percent(row: &Row) -> (String, String) {
    row.rates
        .map(|rates| (rates.usage.to_string(), rates.wait.to_string()))
        .unwrap()
}

#[test]
fn one_report_has_no_rates_and_two_have() {
    let mut model = Model::new(sample(two_groups(1), 0));
    assert!(model.rows.iter().all(|row| row.rates.is_none()) && model.total.is_none());
    model.update(sample(two_groups(2), SECOND));
    let rates: Vec<_> = model.rows.iter().map(percent).collect();
    let expected = [
        ("150.0", "10.0"),
        ("100.0", "0.0"),
        ("100.0", "0.0"),
        ("100.0", "0.0"),
        ("50.0", "10.0"),
    ];
    assert_eq!(
        rates,
        expected.map(|(usage, wait)| (usage.to_owned(), wait.to_owned()))
    );
    assert_eq!(model.machine_rates.unwrap()[1].usage, Rate(SECOND / 2));
}

#[test]
fn rates_are_by_the_time_that_has_passed() {
    let mut model = Model::new(sample(two_groups(1), 0));
    model.update(sample(two_groups(2), 2 * SECOND));
    assert_eq!(percent(&model.rows[0]).0, "75.0");
    // A second report of the same moment changes nothing of them.
    model.update(sample(two_groups(2), 2 * SECOND));
    assert_eq!(percent(&model.rows[0]).0, "75.0");
}

#[test]
fn a_task_that_is_started_again_under_its_name_is_not_taken_for_the_old_one() {
    let report = |tid, usage| Report {
        tasks: vec![management::Task {
            tid,
            ..task("a/vcpu0", &["p:/"], ["", ""], [usage, 0])
        }],
        groups: vec![group("p:/", 0, None, &["a/vcpu0"])],
        ..Report::default()
    };
    let mut model = Model::new(sample(report(7, SECOND), 0));
    model.update(sample(report(8, SECOND / 4), SECOND));
    assert_eq!(percent(&model.rows[0]).0, "25.0");
    // A count that went back is none, and no panic.
    model.update(sample(report(8, 0), 2 * SECOND));
    assert_eq!(percent(&model.rows[0]).0, "0.0");
}

#[test]
fn folding_hides_what_is_below_and_counts_it() {
    let mut model = after_two();
    assert_eq!(
        names(&model),
        ["/", "/gold", "/gold/web", "/gold/web/hot", "/silver"]
    );
    model.step(Step::By(1));
    model.fold();
    assert_eq!(names(&model), ["/", "/gold", "/silver"]);
    assert!(model.rows[1].folded && model.rows[1].task_count == 4);
    model.fold();
    model.step(Step::Last);
    // Nothing is below it.
    model.fold();
    assert_eq!(model.rows.len(), 5);
    model.toggle_tasks();
    assert_eq!(model.rows.len(), 5 + 7);
    assert_eq!(model.rows[3].name, "web/vcpu0");
    assert_eq!(model.selected_group().unwrap().0, "placement:/silver");
}

#[test]
fn siblings_are_ordered_by_rate_and_the_selection_stays_with_its_row() {
    let mut model = after_two();
    model.step(Step::Last);
    model.next_sort();
    assert_eq!(names(&model)[1], "/gold");
    model.next_sort();
    assert_eq!(
        names(&model),
        ["/", "/silver", "/gold", "/gold/web", "/gold/web/hot"]
    );
    assert_eq!(
        model.selected_group(),
        Some(("placement:/silver", Some("1-3")))
    );
    assert_eq!(model.tree_cursor(), 1);
    // When it is gone, what stands in its place is selected.
    let mut report = two_groups(3);
    report
        .groups
        .retain(|group| group.group != "placement:/silver");
    model.update(sample(report, 3 * SECOND));
    assert_eq!(model.selected_group().unwrap().0, "placement:/gold");
}

#[test]
fn the_keys_go_round_hierarchies_and_panes() {
    let mut model = after_two();
    let mut round = |back| {
        model.next_pane(back);
        (model.pane, model.hierarchy().to_owned())
    };
    let billing = "billing".to_owned();
    assert_eq!(round(false), (Pane::Tree(1), billing.clone()));
    assert_eq!(round(false), (Pane::Cpus, billing.clone()));
    assert_eq!(round(false), (Pane::Machines, billing.clone()));
    assert_eq!(round(false), (Pane::Tree(0), "placement".to_owned()));
    assert_eq!(round(true), (Pane::Machines, "placement".to_owned()));
    model.step(Step::Last);
    assert_eq!(model.machine_cursor(), 1);
    assert_eq!(model.selected_group(), None);
    model.update(sample(Report::default(), 9 * SECOND));
    assert_eq!((model.machine_cursor(), model.rows.len()), (0, 0));
}

#[test]
fn cpus_with_the_same_tasks_are_one_row_and_share_what_floats() {
    let model = after_two();
    let shown = |row: &CpuRow| {
        (
            row.cpus.clone(),
            row.busy.unwrap().to_string(),
            row.pinned.len(),
        )
    };
    let rows: Vec<_> = model.cpus.iter().map(shown).collect();
    let expected = [("0", "100.0", 4), ("1-2", "25.0", 0)];
    assert_eq!(
        rows,
        expected.map(|(cpus, busy, n)| (cpus.to_owned(), busy.to_owned(), n))
    );
    assert_eq!(model.cpus[1].floating, ["db/vcpu0", "db/control", "db/io"]);
}

/// Any report that a supervisor could send, and some that none would: depths jump, and tasks stand in groups
/// that there are not.
fn reports() -> impl Strategy<Value = Report> {
    let groups = prop::collection::vec((0..5usize, 0..6u8, 0..3u8), 0..12);
    let tasks = prop::collection::vec((0..12usize, 0..2_000_000_000u64, 0..4u8), 0..10);
    (groups, tasks).prop_map(|(groups, tasks)| {
        let mut names = BTreeSet::new();
        let mut report = Report::default();
        for (depth, number, hierarchy) in groups {
            let name = format!("h{hierarchy}:/{depth}.{number}");
            if names.insert(name.clone()) {
                report
                    .groups
                    .push(group(&name, depth, Some(["0", "0"]), &[]));
            }
        }
        report
            .groups
            .sort_by(|a, b| a.group[..2].cmp(&b.group[..2]));
        for (at, usage, cpu) in tasks {
            let name = format!("m/vcpu{}", report.tasks.len());
            let Some(group) = report.groups.get_mut(at) else {
                continue;
            };
            group.tasks.push(name.clone());
            let of = group.group.clone();
            let cpus = format!("{cpu}-3");
            report
                .tasks
                .push(task(&name, &[&of], [&cpus, &cpus], [usage, usage / 2]));
        }
        report
    })
}

#[derive(Clone, Copy, Debug)]
enum Do {
    Step(isize),
    Fold,
    Sort,
    Tasks,
    Pane(bool),
}

fn deeds() -> impl Strategy<Value = Do> {
    prop_oneof![
        (-9..9isize).prop_map(Do::Step),
        Just(Do::Fold),
        Just(Do::Sort),
        Just(Do::Tasks),
        any::<bool>().prop_map(Do::Pane),
    ]
}

/// The rows' groups as a reader of the report would list them: those of the hierarchy that no folded one is above.
fn naive(report: &Report, hierarchy: &str, folded: &BTreeSet<String>) -> BTreeSet<String> {
    let visible = |(at, group): (usize, &Group)| {
        let mut depth = group.depth;
        let mut root = group;
        let mut seen = true;
        for above in report.groups[..at].iter().rev() {
            if above.depth < depth {
                depth = above.depth;
                root = above;
                seen &= !folded.contains(&above.group);
            }
        }
        (seen && root.group.split(':').next() == Some(hierarchy)).then(|| group.group.clone())
    };
    report
        .groups
        .iter()
        .enumerate()
        .filter_map(visible)
        .collect()
}

proptest! {
    #[test]
    fn any_reports_and_keys_give_the_rows_of_a_naive_reading(
        reports in prop::collection::vec(reports(), 1..4),
        deeds in prop::collection::vec(deeds(), 0..24),
    ) {
        let mut model = Model::new(sample(reports[0].clone(), 0));
        for (at, deed) in deeds.iter().enumerate() {
            let before = model.selected.clone();
            match *deed {
                Do::Step(by) => model.step(Step::By(by)),
                Do::Fold => model.fold(),
                Do::Sort => model.next_sort(),
                Do::Tasks => model.toggle_tasks(),
                Do::Pane(back) => model.next_pane(back),
            }
            if matches!(deed, Do::Fold | Do::Sort) {
                prop_assert_eq!(&before.0, &model.selected.0);
            }
            let report = reports[at % reports.len()].clone();
            model.update(sample(report.clone(), at as u64 * SECOND / 2));

            let groups = model.rows.iter().filter(|row| !row.is_task);
            let shown: BTreeSet<String> = groups.map(|row| row.name.clone()).collect();
            prop_assert_eq!(shown, naive(&report, model.hierarchy(), &model.folded));
            let cursor = model.tree_cursor();
            prop_assert!(model.rows.is_empty() && cursor == 0 || cursor < model.rows.len());
            prop_assert!(model.cpu_cursor() < model.cpus.len().max(1));
        }
    }

    #[test]
    fn what_roots_use_is_what_their_tasks_use_and_cpus_carry_no_more(
        before in reports(), now in reports(), interval in 1..3 * SECOND,
    ) {
        let tasks = rates::of_tasks(&before, &now, interval).unwrap();
        let groups = rates::of_groups(&now, &tasks);
        let parents = rates::parents(&now);
        let roots = groups.iter().zip(&parents).filter(|(_, parent)| parent.is_none());
        let roots: Vec<Rates> = roots.map(|(&rates, _)| rates).collect();
        prop_assert_eq!(rates::sum(&roots), rates::sum(&tasks));
        let cpus = cpu_rows(&now, Some(&tasks));
        let carried: u64 = cpus.iter().map(|row| row.busy.unwrap().0 * row.count).sum();
        let used = rates::sum(&tasks).usage.0;
        // Each task's rate is divided among its CPUs, and what does not divide is dropped.
        let dropped = now.tasks.len() as u64 * 4;
        prop_assert!(carried <= used && used - carried <= dropped);
    }
}
