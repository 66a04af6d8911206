//! The WebAssembly specification's suite on core's engine, on the host and inside the kernel.
//!
//! What need not pass stands in `tests/src/spec/exempt.txt` with the number of commands that fail
//! and why; a file that passes more than it says must be taken off, so that the list only shrinks.
//! `SPEC_REPORT=1 cargo test -p sos-tests --test spec -- --nocapture` prints the lines that the list
//! would have today.

use std::collections::BTreeSet;
use std::time::Duration;

use sos_core::conformance::{self, Verdict};
use sos_engine::GuestMemory;
use sos_tests::qemu::Boot;
use sos_tests::spec;

fn run(script: &conformance::Script, environment: &[u8]) -> Verdict {
    conformance::run(script, environment, &mut |request| {
        Ok(GuestMemory::zeroed(request.maximum_bytes as usize))
    })
}

#[test]
fn the_suite_passes_but_for_what_is_exempt() {
    let environment = spec::environment();
    let exempt = spec::exempt();
    let report = std::env::var_os("SPEC_REPORT").is_some();
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    let (mut whole, mut files) = (0, 0);
    for case in spec::suite() {
        files += 1;
        let name = case.name.as_str();
        names.insert(case.name.clone());
        let (failures, first) = match &case.script {
            Ok(script) => {
                let failures = run(script, &environment).failures;
                let first = failures.first();
                let first = first.map(|first| format!("line {}: {}", first.line, first.reason));
                (failures.len(), first.unwrap_or_default())
            }
            Err(error) => (usize::MAX, error.clone()),
        };
        whole += usize::from(failures == 0);
        let allowed = exempt.get(name).map_or(0, |(count, _)| *count);
        if report && failures > 0 {
            println!("{name} {failures} {}", first.replace('\n', " "));
        }
        if failures != allowed {
            wrong.push(format!(
                "{name}: {failures} commands fail, {allowed} may: {first}"
            ));
        }
        assert!(
            !exempt.contains_key(name) || failures > 0,
            "{name} passes: no longer exempt"
        );
    }
    println!("{whole} of {files} files pass whole");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unknown = exempt.keys().find(|name| !names.contains(**name));
    assert_eq!(
        unknown, None,
        "the exempt list names a file that is not there"
    );
}

/// Fuel between two moves of a call: about three operators.
const MOVING_FUEL: u64 = 3;
/// Files of which some calls stay in their store: they call functions of instances whose instantiation failed after
/// it had put them into a table, which no set has.
const UNMOVED: [&str; 5] = [
    "core/linking.wast",
    "function-references/linking.wast",
    "multi-memory/linking0.wast",
    "mutable-global/linking.wast",
    "reference-types/linking.wast",
];

#[test]
fn the_suite_passes_while_its_calls_move_to_new_stores() {
    let environment = spec::environment();
    let exempt = spec::exempt();
    let mut wrong = Vec::new();
    let mut all_moves = 0;
    for case in spec::suite() {
        let Ok(script) = &case.script else { continue };
        let name = case.name.as_str();
        let (verdict, moves, refusals) = conformance::run_moving(
            script,
            &environment,
            &mut |request| Ok(GuestMemory::zeroed(request.maximum_bytes as usize)),
            MOVING_FUEL,
        );
        all_moves += moves;
        let failures = verdict.failures;
        let allowed = exempt.get(name).map_or(0, |(count, _)| *count);
        if failures.len() != allowed {
            let count = failures.len();
            let first = failures
                .first()
                .map(|it| format!("line {}: {}", it.line, it.reason));
            wrong.push(format!("{name}: {count} fail, {allowed} may: {first:?}"));
        }
        let may_refuse = UNMOVED.contains(&name);
        if may_refuse == refusals.is_empty() {
            let count = refusals.len();
            wrong.push(format!(
                "{name}: {count} calls do not move: {:?}",
                refusals.first()
            ));
        }
    }
    println!("{all_moves} moves");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all_moves > 40_000, "{all_moves} moves");
}

#[test]
fn the_suite_passes_inside_the_kernel() {
    let scripts = spec::required();
    let bundle = conformance::encode(&spec::environment(), &scripts);
    let node = Boot::bytes(bundle)
        .memory_mib(512)
        .append("test=spec")
        .watchdog(Duration::from_secs(600))
        .spawn();
    let printed = node.until_prompt();
    node.power_off();
    let count = scripts.len();
    let wanted = format!("spec: finished: {count} of {count} files whole");
    let lines = printed.lines().filter(|line| line.contains("spec:"));
    assert!(
        printed.contains(&wanted),
        "{wanted}: {}",
        lines.collect::<Vec<_>>().join("\n")
    );
}
