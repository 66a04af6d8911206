//! Boots of real nodes with less than they expect: images that are corrupt, cut short or missing,
//! modules that are refused, NICs that are absent, old-fashioned or pulled out.

use serde_json::json;
use sos_tests::qemu::{Boot, Manifest, Nic, TestNode, demo, eventually};

/// Lines of the kernel's log that are not mere milestones.
fn troubles(node: &TestNode) -> Vec<String> {
    let rows = node.json("dmesg");
    let rows = rows["entries"].as_array().expect("entries").iter();
    let rows = rows.filter(|row| row["severity"] != "info");
    rows.map(|row| row["text"].as_str().unwrap_or_default().to_string())
        .collect()
}

/// Boots and returns what troubled the node, after its shell has shown that it works.
fn troubles_of(boot: Boot) -> Vec<String> {
    let node = boot.start();
    assert!(node.shell("uptime").contains("up "));
    let found = troubles(&node);
    node.power_off();
    found
}

#[test]
fn images_that_cannot_be_used_leave_a_node_with_a_shell() {
    let good = &demo().bytes;
    let mut corrupt_index = good.clone();
    corrupt_index[100] ^= 0x40;
    for (bytes, words) in [
        (corrupt_index, "corrupt"),
        (good[..good.len() / 2].to_vec(), "bytes"),
        (good[..10].to_vec(), "less than its header"),
        (b"#!/bin/sh\nexit 0\n".repeat(10), "no SOS image"),
    ] {
        let found = troubles_of(Boot::bytes(bytes));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("boot image: ") && found[0].contains(words),
            "{found:?}"
        );
    }
    let found = troubles_of(Boot::bare("sos"));
    assert_eq!(
        found,
        ["no boot image: the node runs no instance; give one as boot module"]
    );
}

#[test]
fn a_corrupt_module_costs_its_instances_only() {
    let image = Manifest::new(
        r#"
            name = "partly"
            [instance.good]
            module = "./good.wat"
            [instance.bad]
            module = "./bad.wat"
        "#,
    )
    .file("good.wat", module("(loop (br 0))", 1))
    .file("bad.wat", module("(loop (br 0))", 2))
    .build();
    let mut bytes = image.bytes.clone();
    // The modules lie at the end, in the order of their hashes; one bit is enough.
    *bytes.last_mut().expect("bytes") ^= 1;
    let node = Boot::bytes(bytes).named("partly").start();
    let rows = node.json("ls");
    let states: Vec<&str> = (0..2)
        .map(|row| rows[row]["state"].as_str().expect("a state"))
        .collect();
    let mut sorted = states.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["failed", "running"], "{states:?}");
    let found = troubles(&node);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("corrupt"), "{found:?}");
    node.power_off();
}

/// A module that runs `body`; `pages` make it another module.
fn module(body: &str, pages: u32) -> String {
    format!("(module (memory (export \"memory\") {pages}) (func (export \"_start\") {body}))")
}

#[test]
fn modules_that_cannot_run_are_refused_by_name() {
    let image = Manifest::new(
        r#"
            name = "refused"
            [switch.lan]
            uplink = "nic0"
            [instance.invalid]
            module = "./invalid.wasm"
            [instance.import]
            module = "./import.wat"
            [instance.entry]
            module = "./entry.wat"
            [instance.start]
            module = "./start.wat"
            [instance.trap]
            module = "./trap.wat"
            [instance.large]
            module = "./large.wat"
            limits.memory = "1MiB"
            [instance.web]
            module = "web"
            port.eth0 = { switch = "lan", address = "dhcp" }
            [[forward]]
            host = 1
            to = "web:80"
        "#,
    )
    // A function whose body is missing.
    .file(
        "invalid.wasm",
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0",
    )
    .file(
        "import.wat",
        "(module (import \"sos\" \"fly\" (func)) (memory (export \"memory\") 1) (func (export \"_start\")))",
    )
    .file("entry.wat", "(module (memory (export \"memory\") 1))")
    .file(
        "start.wat",
        "(module (memory (export \"memory\") 1) (func $s unreachable) (start $s) (func (export \"_start\")))",
    )
    .file("trap.wat", module("unreachable", 1))
    .file("large.wat", module("(loop (br 0))", 17))
    .build();
    let node = Boot::image(&image).start();
    node.web_serves();
    for (name, state, words) in [
        ("invalid", "failed", "refused"),
        ("import", "failed", "fly"),
        ("entry", "failed", "_start"),
        ("start", "trapped", "unreachable"),
        ("trap", "trapped", "unreachable"),
        ("large", "failed", "memory"),
    ] {
        let detail = node.until_state(name, state);
        assert!(detail.contains(words), "{name}: {detail}");
    }
    // One line for each, and the name is in it.
    let found = troubles(&node);
    for name in ["invalid", "import", "entry", "start", "trap", "large"] {
        let own = found
            .iter()
            .filter(|text| text.contains(&format!("'{name}'")));
        assert_eq!(own.count(), 1, "{name}: {found:?}");
    }
    assert!(node.shell("start import").contains("did not start"));
    node.web_serves();
    node.power_off();
}

#[test]
fn a_node_without_a_nic_warns_and_works() {
    let node = Boot::demo().nic(Nic::None).start();
    let found = troubles(&node);
    assert_eq!(
        found,
        ["switch 'lan': the machine has no nic0, so nothing outside is reached"]
    );
    node.until_state("store", "waiting");
    node.until_state("web", "waiting");
    // What is inside reaches each other.
    let said = node.shell("ping web 10.1.0.2 -c 1");
    assert!(said.contains("1 received"), "{said}");
    node.power_off();
}

#[test]
fn a_nic_without_msi_x_serves_by_its_interrupt_line() {
    let node = Boot::demo().nic(Nic::OnLan(",vectors=0".into())).start();
    assert!(
        node.console().transcript().to_lowercase().contains("intx"),
        "{}",
        node.console().tail()
    );
    node.web_serves();
    let large = vec![b'v'; 60_000];
    node.ask_until("PUT", "/kv/large", &large, 200);
    assert!(node.ask_until("GET", "/kv/large", b"", 200).body == large);
    node.power_off();
}

#[test]
fn a_nic_of_the_old_kind_is_refused_by_name() {
    let legacy = ",disable-legacy=off,disable-modern=on".into();
    let node = Boot::demo().nic(Nic::OnLan(legacy)).start();
    let printed = node.console().transcript();
    assert!(
        printed.contains("virtio device not used: ") && printed.contains("disable-modern=off"),
        "{printed}"
    );
    assert!(troubles(&node)[0].contains("the machine has no nic0"));
    node.power_off();
}

#[test]
fn plain_cpus_run_the_demo() {
    // No RDRAND, no invariant TSC, no AVX; three CPUs too many.
    let node = Boot::demo()
        .arguments(&["-cpu", "qemu64", "-smp", "4"])
        .start();
    node.web_serves();
    node.ask_until("PUT", "/kv/plain", b"value", 200);
    assert_eq!(troubles(&node), Vec::<String>::new());
    node.power_off();
}

#[test]
fn a_microvm_serves_the_demo_and_its_drivers_are_in_the_kernel_log() {
    // Neither the ports of PCI's configuration space nor an MCFG table, no HPET, no PM timer.
    let node = Boot::demo().machine("microvm,pcie=on").start();
    node.web_serves();
    let log = node.shell("dmesg");
    assert!(
        log.contains("] net 00:0") && log.contains("] sos: "),
        "{log}"
    );
    assert_eq!(troubles(&node), Vec::<String>::new());
    node.power_off();
}

#[test]
fn a_nic_that_is_pulled_out_costs_one_line() {
    // The i440FX machine takes a card out as soon as its ACPI eject register is written, which an
    // operating system does when it is asked; here the monitor writes it, so that the card vanishes
    // under the driver (QEMU, docs/specs/acpi_pci_hotplug.rst: 0xae10 selects, 0xae08 ejects).
    let node = Boot::demo()
        .machine("pc")
        .nic(Nic::OnLan(",id=nic0,addr=0x9".into()))
        .start();
    node.web_serves();
    let mut monitor = node.monitor();
    monitor.execute("device_del", json!({ "id": "nic0" }));
    assert!(monitor.human("info pci").contains("Ethernet"));
    monitor.human("o /w 0xae10 0");
    monitor.human("o /w 0xae08 0x200");
    assert!(!monitor.human("info pci").contains("Ethernet"));
    // The driver's line comes at any time, also in the middle of what is typed; so it goes first.
    let said = node.expect(": out of use: it has vanished; attach it again and reboot");
    assert_eq!(said.matches("net ").count(), 1, "{said}");
    node.expect("\n");
    let found = eventually("the node sees that its NIC is gone", || {
        let found = troubles(&node);
        match found.is_empty() {
            true => Err("nothing is said".into()),
            false => Ok(found),
        }
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("nic0"), "{found:?}");
    // The others go on, and so does web, without anybody outside.
    let said = node.shell("ping web 10.1.0.2 -c 1");
    assert!(said.contains("1 received"), "{said}");
    assert_eq!(troubles(&node).len(), 1);
    node.power_off();
}
