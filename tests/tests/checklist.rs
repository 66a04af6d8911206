//! `tests/CHECKLIST.md` names a test for everything that is promised; here each name is looked up.

use sos_abi::CallId;
use sos_abi::wasi::WasiCall;
use sos_core::shell::VERBS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate lies in the workspace")
        .into()
}

/// Rows of all tables: (what, file, test).
fn rows() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(root().join("tests/CHECKLIST.md")).expect("the checklist");
    let mut rows = Vec::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| What"))
    {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "not three cells: {line}");
        rows.push((
            cells[0].into(),
            cells[1].trim_matches('`').into(),
            cells[2].trim_matches('`').into(),
        ));
    }
    assert!(rows.len() > 50, "the checklist was not read");
    rows
}

#[test]
fn every_row_names_a_test_that_exists() {
    let mut missing = Vec::new();
    for (what, file, test) in rows() {
        let source = std::fs::read_to_string(root().join(&file)).unwrap_or_default();
        let function = format!("fn {test}(");
        let found = source.match_indices(&function).any(|(at, _)| {
            let before: String = source[..at]
                .lines()
                .rev()
                .take(4)
                .collect::<Vec<_>>()
                .join("\n");
            before.contains("#[test]")
        });
        // A documentation test is named by the item that carries it.
        let documented = test == "doc" && source.contains("```");
        if !found && !documented {
            missing.push(format!("{what}: {file}: {test}"));
        }
    }
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
}

#[test]
fn every_verb_and_every_host_call_has_a_row() {
    let named: BTreeSet<String> = rows().into_iter().map(|(what, _, _)| what).collect();
    for verb in VERBS {
        let row = format!("shell: {}", verb.name);
        assert!(named.contains(&row), "no row '{row}'");
    }
    for call in CallId::ALL {
        let row = format!("call: {}", call.name());
        assert!(named.contains(&row), "no row '{row}'");
    }
    for call in WasiCall::ALL {
        let row = format!("wasi: {}", call.name());
        assert!(named.contains(&row), "no row '{row}'");
    }
}
