//! Programs that make every host call in random orders with arguments that mean anything: nothing
//! they do harms the node, its other instances, or the meaning of a result.
//!
//! The programs are made from the tables of calls, so that no row can be forgotten. What each call
//! does with one wrong argument is tested beside the calls themselves (`host/tests`).

use std::fmt::Write as _;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sos_abi::wasi::WasiCall;
use sos_abi::{CallId, HostCall, SocketAddress, ValueType};
use sos_core::machine::Duration;
use sos_tests::programs::ticks;
use sos_tests::sim::cluster::Cluster;
use sos_tests::sim::image::{ImageBuilder, switch};

/// Calls in one program.
const CALLS: usize = 300;
/// Programs that share a node.
const PROGRAMS: usize = 4;
/// Where a program counts the calls that it made.
const COUNT: u32 = 16;
/// Where it keeps results that may be handles, in a ring of eight.
const RESULTS: u32 = 32;
/// Status with which a program ends that got a result which no table knows.
const WRONG_RESULT: i32 = 77;

/// Every call but those that end the program.
fn calls() -> Vec<HostCall> {
    let native = CallId::ALL.iter().copied().map(HostCall::from);
    let wasi = WasiCall::ALL.iter().copied().map(HostCall::from);
    let ends = |call: &HostCall| {
        let (exit, proc_exit) = (CallId::Exit.into(), WasiCall::ProcExit.into());
        *call == exit || *call == proc_exit || *call == WasiCall::ProcRaise.into()
    };
    native.chain(wasi).filter(|call| !ends(call)).collect()
}

/// An argument: small numbers, places in memory, its ends, wild ones, or an earlier result.
fn argument(random: &mut SmallRng, kind: ValueType, name: &str) -> String {
    // Half of the pointers and lengths make sense, so that calls go beyond their first check.
    let sensible = random.random_bool(0.6);
    let number: i64 = match name {
        "flags" if sensible => 1,
        _ if name.ends_with("_ns") && sensible => random.random_range(0..1_000_000),
        _ if sensible && (name.contains("length") || name == "capacity" || name == "count") => {
            random.random_range(0..64)
        }
        _ if sensible && matches!(kind, ValueType::I32) => {
            return match random.random_range(0..4) {
                0 => format!(
                    "(i32.load (i32.const {}))",
                    RESULTS + 4 * random.random_range(0..8)
                ),
                1 => format!("(i32.const {})", random.random_range(0..12)),
                2 => format!("(i32.const {})", 256 + 32 * random.random_range(0..4)),
                _ => format!("(i32.const {})", 128 + 16 * random.random_range(0..512)),
            };
        }
        _ => *[
            0,
            1,
            -1,
            2,
            3,
            255,
            65_535,
            65_536,
            131_072,
            1 << 31,
            i64::MAX,
            i64::MIN,
            1 << 32,
        ]
        .choose(random)
        .expect("some"),
    };
    match kind {
        ValueType::I32 => format!("(i32.const {})", number as i32),
        ValueType::I64 => format!("(i64.const {number})"),
    }
}

/// Ends the program unless the result `$r` of `call` is one that its table knows.
fn check(call: HostCall) -> String {
    let wrong = format!("(then (call $exit (i32.const {WRONG_RESULT})))");
    match call {
        HostCall::Wasi(_) => format!("(if (i32.gt_u (local.get $r) (i32.const 76)) {wrong})"),
        HostCall::Sos(call) => {
            let known: String = call
                .errors()
                .iter()
                .map(|error| format!("(i32.ne (local.get $r) (i32.const {}))", error.code()))
                .fold(String::from("(i32.const 1)"), |all, one| {
                    format!("(i32.and {all} {one})")
                });
            format!("(if (i32.and (i32.lt_s (local.get $r) (i32.const 0)) {known}) {wrong})")
        }
    }
}

fn program(random: &mut SmallRng) -> String {
    let calls = calls();
    let mut text = String::from("(module (import \"sos\" \"exit\" (func $exit (param i32)))\n");
    for (index, call) in calls.iter().enumerate() {
        let signature = call.signature();
        let parameters: Vec<&str> = signature
            .parameters
            .iter()
            .map(|kind| kind.name())
            .collect();
        let result = signature
            .result
            .map_or(String::new(), |kind| format!("(result {})", kind.name()));
        let (module, name) = (call.module(), call.name());
        let parameters = parameters.join(" ");
        writeln!(
            text,
            "(import \"{module}\" \"{name}\" (func $c{index} (param {parameters}) {result}))"
        )
        .expect("a string");
    }
    text.push_str(
        "(memory (export \"memory\") 2 3)\n(data (i32.const 128) \"port /etc/name a\")\n",
    );
    let addresses = ["0.0.0.0:80", "10.0.0.11:80", "0.0.0.0:0", "10.0.0.12:9"];
    for (place, address) in addresses.into_iter().enumerate() {
        let address = SocketAddress::encode(address.parse().expect("an address"));
        let bytes: String = address
            .as_bytes()
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let place = 256 + 32 * place;
        writeln!(text, "(data (i32.const {place}) \"{bytes}\")").expect("a string");
    }
    text.push_str("(func (export \"_start\") (local $r i32)\n");
    for step in 0..CALLS {
        let index = random.random_range(0..calls.len());
        let call = calls[index];
        let names = match call {
            HostCall::Sos(call) => call.parameter_names(),
            HostCall::Wasi(call) => call.parameter_names(),
        };
        let kinds = call.signature().parameters;
        let arguments: Vec<String> = kinds
            .iter()
            .zip(names)
            .map(|(kind, name)| argument(random, *kind, name))
            .collect();
        let made = format!("(call $c{index} {})", arguments.join(" "));
        match call.signature().result {
            Some(ValueType::I32) => {
                let slot = RESULTS + 4 * (step as u32 % 8);
                writeln!(
                    text,
                    "(local.set $r {made}) (i32.store (i32.const {slot}) (local.get $r)) {}",
                    check(call)
                )
            }
            Some(ValueType::I64) => writeln!(text, "(drop {made})"),
            None => writeln!(text, "{made}"),
        }
        .expect("a string");
        writeln!(text, "(i32.store (i32.const {COUNT}) (i32.const {step}))").expect("a string");
    }
    text.push_str("))");
    text
}

/// Boots the programs of one seed and lets them run.
fn attack(seed: u64) -> Cluster {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut image = ImageBuilder::new("abi")
        .switch("lan", None)
        .instance("victim", ticks(Duration::from_millis(100)));
    for number in 0..PROGRAMS {
        let text = program(&mut random);
        image = image
            .instance(&format!("program{number}"), text)
            .with(|spec| spec.limits.memory_bytes = 3 * 65_536)
            .port("eth0", switch("lan"), &format!("10.0.0.{}/24", 10 + number));
    }
    let mut cluster = Cluster::new(seed);
    cluster.boot("node1", image.build());
    cluster.run_for(Duration::from_secs(3));
    cluster
}

#[test]
fn calls_in_any_order_with_any_arguments_harm_nobody() {
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..24 {
        let mut cluster = attack(seed);
        for number in 0..PROGRAMS {
            let (state, detail) = cluster.state(0, &format!("program{number}"));
            // It may wait for ever in a call, or have made all of them; it never traps.
            assert!(
                matches!(state.as_str(), "waiting" | "running" | "exited"),
                "seed {seed}: {state}: {detail}"
            );
            assert!(
                !detail.contains(&WRONG_RESULT.to_string()),
                "seed {seed}: program {number} got a result that no table knows"
            );
            *ends.entry(state).or_default() += 1;
        }
        let before = cluster.ticks(0, "victim");
        cluster.run_for(Duration::from_secs(1));
        let after = cluster.ticks(0, "victim");
        assert!(
            before > 0 && after > before,
            "seed {seed}: {before} then {after} ticks"
        );
    }
    println!("{ends:?}");
    assert!(
        ends.contains_key("exited"),
        "some make all their calls: {ends:?}"
    );
}
