//! Lines and what they mean.

use super::*;
use crate::image::AddressSpec;
use alloc::vec;

fn wrong(line: &str, part: &str) {
    let text = parse(line).expect_err(line).to_string();
    assert!(text.contains(part), "{line}: {text}");
}

#[test]
fn lines_become_commands() {
    assert_eq!(parse("  "), Ok(Command::Nothing));
    assert_eq!(parse("ls --json"), Ok(Command::List(Format::Json)));
    assert_eq!(
        parse("stop web 'a b'"),
        Ok(Command::Act(
            Action::Stop,
            vec!["web".into(), "a b".into()],
            Format::Table
        ))
    );
    assert_eq!(
        parse("logs -f web -n 5"),
        Ok(Command::Logs {
            name: "web".into(),
            follow: Follow::Follow,
            last: Some(5),
            format: Format::Table
        })
    );
    assert_eq!(
        parse("switch add lan2 --uplink nic1"),
        Ok(Command::Do(
            Request::AddSwitch {
                name: "lan2".into(),
                uplink: Some(1)
            },
            Format::Table
        ))
    );
    assert_eq!(
        parse("ping web fd00::1 -c 2"),
        Ok(Command::Ping {
            from: "web".into(),
            to: "fd00::1".parse().unwrap(),
            count: 2
        })
    );
}

fn fixed(instance: Option<&str>, address: &str, prefix_length: u8) -> PortAddress {
    PortAddress {
        instance: instance.map(Into::into),
        port: "eth0".into(),
        address: AddressSpec::Static {
            address: address.parse().unwrap(),
            prefix_length,
        },
    }
}

#[test]
fn snapshots_are_taken_and_used() {
    let taken = |cut, extent, format| {
        let request = Request::Snapshot {
            name: "web".into(),
            to: "monday".into(),
            cut,
            extent,
        };
        Ok(Command::Do(request, format))
    };
    assert_eq!(
        parse("snapshot web to monday --json"),
        taken(CutMode::Running, Extent::Full, Format::Json)
    );
    assert_eq!(
        parse("snapshot --stop web to monday --incremental"),
        taken(CutMode::Stopping, Extent::Incremental, Format::Table)
    );
    assert_eq!(
        parse("snapshot rm a b"),
        Ok(Command::Act(
            Action::RemoveSnapshot,
            ["a".into(), "b".into()].into(),
            Format::Table
        ))
    );
    assert!(matches!(
        parse("snapshot rm to b"),
        Ok(Command::Do(Request::Snapshot { name, .. }, _)) if name == "rm"
    ));
    let restore = Request::Restore {
        snapshot: "monday".into(),
        to: Some("web2".into()),
        addresses: vec![fixed(None, "fd00::9", 64)],
    };
    assert_eq!(
        parse("restore monday as web2 --address eth0=fd00::9/64"),
        Ok(Command::Do(restore, Format::Table))
    );
    let dhcp = PortAddress {
        instance: None,
        port: "eth1".into(),
        address: AddressSpec::Dhcp,
    };
    let clone = Request::Clone {
        name: "web".into(),
        to: None,
        count: 3,
        addresses: vec![fixed(None, "10.0.0.9", 24), dhcp],
    };
    assert_eq!(
        parse("clone web --count 3 --address eth0=10.0.0.9/24 --address eth1=dhcp"),
        Ok(Command::Do(clone, Format::Table))
    );
    wrong("snapshot web", "`to SNAPSHOT` is missing");
    wrong("snapshot web to", "a name is missing");
    wrong("snapshot web store to both", "want --group");
    wrong("restore monday as", "a name is missing");
    wrong("clone web --count many", "'many' is not a number");
    for address in ["eth0", "eth0=10.0.0.9", "eth0=10.0.0.9/33", "eth0=here/8"] {
        wrong(
            &alloc::format!("clone web --address {address}"),
            "is not like eth0=10.0.0.9/24",
        );
    }
}

#[test]
fn groups_are_taken_and_cloned() {
    let names = || vec!["web".into(), "store".into()];
    let taken = Request::SnapshotGroup {
        names: names(),
        to: "both".into(),
        cut: CutMode::Stopping,
        extent: Extent::Full,
    };
    assert_eq!(
        parse("snapshot --group web store to both --stop"),
        Ok(Command::Do(taken, Format::Table))
    );
    let cloned = Request::CloneGroup {
        names: names(),
        to: Some("test".into()),
        count: 1,
        addresses: vec![fixed(Some("web"), "10.0.0.9", 24)],
    };
    assert_eq!(
        parse("clone --group web store as test --address web.eth0=10.0.0.9/24"),
        Ok(Command::Do(cloned, Format::Table))
    );
    wrong("clone web store", "want --group");
    wrong("snapshot --group to both", "`to SNAPSHOT` is missing");
}

#[test]
fn every_verb_is_parsed_and_wrong_lines_name_the_word() {
    for verb in verbs::VERBS {
        let error = parse(&alloc::format!("{} a b --nonsense", verb.name));
        let text = error.expect_err(verb.name).to_string();
        assert!(text.contains(verb.name), "{text}");
    }
    wrong("nonsense", "unknown verb 'nonsense'");
    wrong("info", "an instance is missing");
    wrong("logs web -n many", "'many' is not a number");
    wrong("ping web here", "'here' is not an IPv4 or IPv6 address");
    wrong("switch add x --uplink eth0", "not a NIC such as nic0");
    wrong("ls 'web", "quote is not closed");
}

#[test]
fn instances_are_migrated() {
    let migrate = |line: &str| match parse(line) {
        Ok(Command::Do(request, Format::Table)) => request,
        other => panic!("{line}: {other:?}"),
    };
    use crate::control::{MigrateOptions, MigratePace, Owner};
    assert_eq!(
        migrate("migrate web node2 --cold --bandwidth 3 --downtime 20"),
        Request::Migrate {
            name: "web".into(),
            to: "node2".into(),
            options: MigrateOptions {
                pace: MigratePace::Cold,
                bandwidth: Some(3 << 20),
                downtime_ms: Some(20),
            },
        }
    );
    assert_eq!(migrate("migrate"), Request::Migrations);
    assert_eq!(
        migrate("migrate --resolve web there"),
        Request::ResolveMigration {
            name: "web".into(),
            owner: Owner::There,
        }
    );
    assert_eq!(
        migrate("evacuate node2 node3"),
        Request::Evacuate {
            to: vec!["node2".into(), "node3".into()],
            options: MigrateOptions::default(),
        }
    );
    assert_eq!(
        migrate("migrate --group web store node2 --cold"),
        Request::MigrateGroup {
            names: ["web".into(), "store".into()].into(),
            to: "node2".into(),
            options: MigrateOptions {
                pace: MigratePace::Cold,
                ..MigrateOptions::default()
            },
        }
    );
    wrong("migrate --group node2", "are missing");
    wrong("migrate web", "a node is missing");
    wrong("migrate web node2 --live --cold", "exclude each other");
    wrong(
        "migrate --resolve web mine",
        "'mine' is not here, there or drop",
    );
    wrong("migrate web node2 --bandwidth 0", "at least 1 MiB");
}
