//! Forked processes: the tests that need a process of one thread to start from. libtest has several,
//! so this is a program of its own: it runs the tests named on its command line, or all of them, one after
//! the other, and says so in its last line.

mod processes {
    pub mod bills;
    pub mod forks;
    pub mod namespaces;
    pub mod reuse;
    pub mod workload;
}

use std::panic::catch_unwind;
use std::process::ExitCode;

use processes::{bills, forks, namespaces, reuse};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    (
        "a_child_is_waited_for_and_reaped_once",
        forks::a_child_is_waited_for_and_reaped_once,
    ),
    (
        "a_killed_child_says_which_signal",
        forks::a_killed_child_says_which_signal,
    ),
    (
        "a_child_that_panics_ends_there",
        forks::a_child_that_panics_ends_there,
    ),
    (
        "a_child_has_no_descriptor_but_those_kept",
        forks::a_child_has_no_descriptor_but_those_kept,
    ),
    (
        "a_process_of_two_threads_may_not_fork",
        forks::a_process_of_two_threads_may_not_fork,
    ),
    (
        "a_child_dies_with_its_parent",
        forks::a_child_dies_with_its_parent,
    ),
    (
        "a_program_finds_its_descriptors_in_place_and_no_signal_blocked",
        forks::a_program_finds_its_descriptors_in_place_and_no_signal_blocked,
    ),
    (
        "a_program_that_is_missing_is_an_error",
        forks::a_program_that_is_missing_is_an_error,
    ),
    (
        "a_peak_of_memory_is_remembered",
        forks::a_peak_of_memory_is_remembered,
    ),
    (
        "a_child_is_in_exactly_the_namespaces_that_were_asked_for_with_all_its_threads",
        namespaces::a_child_is_in_exactly_the_namespaces_that_were_asked_for_with_all_its_threads,
    ),
    (
        "what_a_program_mounts_in_its_own_namespace_is_not_the_hosts",
        namespaces::what_a_program_mounts_in_its_own_namespace_is_not_the_hosts,
    ),
    (
        "namespaces_that_may_not_be_entered_are_an_error_and_leave_no_child",
        namespaces::namespaces_that_may_not_be_entered_are_an_error_and_leave_no_child,
    ),
    (
        "memory_that_a_process_has_touched_is_its_own_until_it_is_dead",
        namespaces::memory_that_a_process_has_touched_is_its_own_until_it_is_dead,
    ),
    (
        "a_reused_pid_is_not_followed",
        reuse::a_reused_pid_is_not_followed,
    ),
    (
        "burning_threads_are_billed_as_the_witness_has_it",
        bills::burning,
    ),
    (
        "napping_threads_are_billed_as_the_witness_has_it",
        bills::napping,
    ),
    (
        "a_sampler_keeps_the_cost_of_switches_from_adding_up",
        bills::sampled,
    ),
    (
        "migrating_threads_are_billed_as_the_witness_has_it",
        bills::migrating,
    ),
    (
        "threads_sharing_a_cpu_are_billed_as_the_witness_has_it",
        bills::crowded,
    ),
    (
        "a_count_of_a_thread_that_died_is_not_taken",
        bills::a_count_of_a_dead_thread_is_not_taken,
    ),
    ("a_bill_survives_the_kill_of_its_thread", bills::killed),
    ("costs", bills::costs),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, rest @ ..] = &args[..]
        && mode == forks::AS_PROGRAM
    {
        return ExitCode::from(forks::program(rest));
    }
    if args.iter().any(|arg| arg == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(*word));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| is_wanted(name)) {
        let outcome = catch_unwind(test);
        println!(
            "test {name} ... {}",
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
        *(if outcome.is_ok() {
            &mut passed
        } else {
            &mut failed
        }) += 1;
    }
    println!("test result: {} passed, {} failed", passed, failed);
    ExitCode::from(u8::from(failed > 0))
}
