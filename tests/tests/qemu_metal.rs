//! What only the real machine shows: its own tests, epitaphs, sizes of memory, power and idling.

use std::time::{Duration, Instant};

use sos::qemu::{ConsoleError, End};
use sos::symbols::Symbols;
use sos_tests::qemu::{Boot, PATIENCE, cpu_time, kernel};

/// Boots the kernel with a self test that it survives; returns what it printed before the prompt.
fn survives(test: &str, memory_mib: u64) -> String {
    let node = Boot::bare("sos")
        .memory_mib(memory_mib)
        .append(&format!("test={test}"))
        .spawn();
    let printed = node.until_prompt();
    node.power_off();
    printed
}

/// Boots the kernel with a self test that it dies of; returns the epitaph.
fn dies(test: &str) -> String {
    let node = Boot::bare("sos").append(&format!("test={test}")).spawn();
    node.expect("sos: this node died: ");
    let end = node.machine().wait(PATIENCE);
    let end = end.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(
        (end, end.exit_code()),
        (End::Panic, 33),
        "{}",
        node.console().tail()
    );
    let transcript = node.console().transcript();
    let start = transcript
        .find("sos: this node died: ")
        .expect("an epitaph");
    transcript[start..].to_string()
}

/// What `sos run` adds to an epitaph.
fn symbolised(epitaph: &str) -> String {
    let symbols = Symbols::read(kernel()).unwrap_or_else(|error| panic!("{error:#}"));
    symbols.explain(epitaph)
}

fn has_build_id_and_registers(epitaph: &str) {
    for words in ["backtrace", "rax", "rsp", "rflags", "cr2", "cr3"] {
        assert!(epitaph.contains(words), "{words}: {epitaph}");
    }
    let id = epitaph.lines().find_map(|line| line.strip_prefix("build "));
    let id = id.expect("a build id").trim();
    let hexadecimal = id.chars().all(|digit| digit.is_ascii_hexdigit());
    assert!(id.len() >= 16 && hexadecimal, "{id}");
}

#[test]
fn a_read_of_unmapped_memory_leaves_an_epitaph_with_names() {
    let epitaph = dies("fault");
    has_build_id_and_registers(&epitaph);
    assert!(
        epitaph.contains("page fault at 0x") && epitaph.contains("address 0x10"),
        "{epitaph}"
    );
    let names = symbolised(&epitaph);
    assert!(
        names.contains("self_test") || names.contains("kernel_main"),
        "{names}\n{epitaph}"
    );
}

#[test]
fn a_write_to_code_is_refused() {
    let epitaph = dies("write-code");
    has_build_id_and_registers(&epitaph);
    // Error code 3: a write, to a page that is there (Intel SDM volume 3, 4.7).
    assert!(
        epitaph.contains("page fault at 0x") && epitaph.contains("error code 0x3,"),
        "{epitaph}"
    );
}

#[test]
fn a_stack_that_overflows_hits_its_guard_page() {
    let epitaph = dies("overflow");
    has_build_id_and_registers(&epitaph);
    assert!(epitaph.contains("stack overflowed)"), "{epitaph}");
    let names = symbolised(&epitaph);
    assert!(names.contains("overflow"), "{names}\n{epitaph}");
}

#[test]
fn a_panic_names_its_line() {
    let epitaph = dies("panic");
    assert!(
        epitaph.contains("as the command line asks") && epitaph.contains("self_test.rs:"),
        "{epitaph}"
    );
    let names = symbolised(&epitaph);
    assert!(names.contains("kernel_main"), "{names}\n{epitaph}");
}

#[test]
fn memory_is_given_on_demand_and_returned() {
    let printed = survives("guest", 128);
    let figure = |words: &str| -> u64 {
        let rest = printed.split(words).nth(1).expect(words);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    };
    let touched = figure("guest: 1 MiB touched, ");
    assert!(
        (1 << 20..=(1 << 20) + 64 * 1024).contains(&touched),
        "{touched}"
    );
    let apart = figure("guest: 127 pages apart touched, ");
    assert!(
        (touched + 127 * 4096..touched + 256 * 4096).contains(&apart),
        "{apart}"
    );
    // Page tables may stay for the next.
    assert!(figure("guest: returned, ") <= 64 * 4096, "{printed}");

    let printed = survives("exhaust", 64);
    assert!(printed.contains("exhaust: reported after "), "{printed}");
    assert!(printed.contains("exhaust: returned, "), "{printed}");
}

#[test]
fn images_and_clones_share_pages_until_either_is_written() {
    let printed = survives("images", 256);
    assert!(printed.contains("images: as the model has it"), "{printed}");
    let printed = survives("images-exhaust", 64);
    let ended = "images: out of frames at 40 places, ";
    let told = printed.split(ended).nth(1).expect("a result");
    // The shortage was real: some memories were told, and some lost what they wrote.
    assert!(
        !told.starts_with('0') && !told.contains(" 0 lost"),
        "{told}"
    );
}

#[test]
fn heap_and_memory_functions_are_right() {
    assert!(survives("heap", 128).contains("heap: "));
    assert!(survives("copy", 128).contains("copy: right at all sizes"));
}

#[test]
fn the_demo_serves_with_64_mib() {
    let node = Boot::demo().memory_mib(64).start();
    node.web_serves();
    node.ask_until("PUT", "/kv/small", b"value", 200);
    assert_eq!(node.ask_until("GET", "/kv/small", b"", 200).text(), "value");
    let used = node.shell("dmesg");
    assert!(used.contains("used before the first service"), "{used}");
    node.power_off();
}

#[test]
fn the_demo_serves_with_512_mib_and_8_gib() {
    for memory_mib in [512, 8192] {
        let available_kib = available_kib();
        // QEMU reserves the memory; only what is touched is taken.
        if available_kib < 2 << 20 || overcommit_is_refused() {
            eprintln!("skipped with {memory_mib} MiB: the host has {available_kib} KiB left");
            continue;
        }
        let node = Boot::demo().memory_mib(memory_mib).start();
        node.web_serves();
        let memory = &node.json("uptime")["memory"];
        let total = memory["total_bytes"].as_u64().expect("a total") >> 20;
        let near = memory_mib - 8..=memory_mib;
        assert!(near.contains(&total), "{total} of {memory_mib} MiB");
        node.power_off();
    }
}

fn available_kib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.unwrap_or(0)
}

/// Whether the host gives no more memory than it has (proc(5), overcommit_memory).
fn overcommit_is_refused() -> bool {
    let mode = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    mode.trim() == "2"
}

#[test]
fn an_idle_node_leaves_the_cpu_alone() {
    let node = Boot::demo().start();
    node.web_serves();
    // The last of the demo's instances starts when the others have come to rest.
    node.until_state("spinner", "running");
    node.quietly("stop spinner");
    node.until_state("spinner", "stopped");
    let span = Duration::from_secs(3);
    let before = cpu_time(node.machine().process_id());
    let start = Instant::now();
    std::thread::sleep(span);
    let used = cpu_time(node.machine().process_id()) - before;
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(
        share < 0.10,
        "an idle node used {:.1} % of a CPU",
        share * 100.0
    );
    // It wakes up as it should.
    node.web_serves();
    node.power_off();
}

#[test]
fn reboot_starts_the_node_anew() {
    let node = Boot::demo().start();
    node.web_serves();
    node.ask_until("PUT", "/kv/kept", b"no", 200);
    node.line("reboot");
    node.until_prompt();
    node.web_serves();
    // It is another life: memory is empty.
    node.ask_until("GET", "/kv/kept", b"", 404);
    node.power_off();

    let node = Boot::bare("sos").arguments(&["-no-reboot"]).start();
    node.line("reboot");
    let end = node.machine().wait(PATIENCE).expect("an end");
    assert!(end.is_poweroff(), "{end}");
}

#[test]
fn the_watchdog_ends_a_node_that_hangs_and_shows_its_log() {
    let limit = Duration::from_secs(5);
    let node = Boot::bare("sos")
        .append("test=panic panic=halt")
        .watchdog(limit)
        .spawn();
    let error = node
        .console()
        .expect("sos> ", PATIENCE)
        .expect_err("no prompt");
    let ConsoleError::Ended { transcript, .. } = &error else {
        panic!("{error}");
    };
    assert!(transcript.contains("as the command line asks"), "{error}");
    assert!(error.to_string().contains("watchdog"), "{error}");
    assert_eq!(node.machine().end(), Some(End::Watchdog(limit)));
}
