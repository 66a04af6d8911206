//! Assembles the crate: wasmi's published source, our edits applied, in `OUT_DIR`.
//!
//! `locate` finds the source that Cargo downloaded for the build dependency `wasmi`, `edits`
//! and `frame_edits` list what is changed and why. The build stops when an anchor of an edit does not occur
//! exactly once, so that no edit is lost silently when wasmi is updated.

#[path = "build/edits.rs"]
mod edits;
#[path = "build/frame_edits.rs"]
mod frame_edits;
#[path = "build/locate.rs"]
mod locate;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The release that the edits are written for.
const WASMI_VERSION: &str = "2.0.0";

/// wasmi's Cargo features that the assembled source is compiled with. `memory64` belongs to
/// `simd`: without it a valid module decodes vector offsets wrongly and can crash the host.
const WASMI_FEATURES: [&str; 5] = ["stable", "validate", "memory64", "simd", "auto-dispatch"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(variable("OUT_DIR"));
    let source = locate::wasmi_source(&out, WASMI_VERSION)
        .unwrap_or_else(|error| panic!("cannot find the source of wasmi {WASMI_VERSION}: {error}"));
    println!("cargo::rerun-if-changed={}", source.display());
    let target = out.join("wasmi");
    if target.exists() {
        fs::remove_dir_all(&target).expect("remove the previous assembly");
    }
    copy_folder(&source.join("src"), &target.join("src"));
    for edit in edits::EDITS.iter().chain(frame_edits::EDITS) {
        apply(&target, edit);
    }
    emit_configuration();
}

/// Copies `from` with everything in it. Files are written anew: those of a registry are read-only.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create a folder below OUT_DIR");
    for entry in fs::read_dir(from).expect("list the source of wasmi") {
        let path = entry.expect("list the source of wasmi").path();
        let target = to.join(path.file_name().expect("a listed file has a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            let text = fs::read_to_string(&path).expect("read a source file of wasmi");
            fs::write(&target, without_tests(&text)).expect("write a file below OUT_DIR");
        }
    }
}

/// Turns wasmi's unit tests off: they want `std` and its text parser, and `cargo clippy
/// --all-targets` builds them whatever the manifest says.
fn without_tests(text: &str) -> String {
    text.replace("#[cfg(test)]", "#[cfg(any())]")
        .replace("#[test]", "#[cfg(any())]")
}

/// Applies one edit, or stops the build with its reason.
fn apply(root: &Path, edit: &edits::Edit) {
    let path = root.join(edit.file);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("wasmi {WASMI_VERSION} has no {}: {error}", edit.file));
    let found = text.matches(edit.anchor).count();
    assert!(
        found == 1,
        "the anchor of the edit \"{}\" occurs {found} times in {}, not once: \
         adapt kernel/engine/build/edits.rs to the release of wasmi",
        edit.why,
        edit.file,
    );
    let start = text.find(edit.anchor).expect("the anchor was counted");
    let end = start + edit.anchor.len();
    let (before, after) = (&text[..start], &text[end..]);
    let edited = match edit.change {
        edits::Change::Replace(new) => format!("{before}{new}{after}"),
        edits::Change::ReplaceThrough(last, new) => {
            let (_, after) = after.split_once(last).unwrap_or_else(|| {
                panic!(
                    "the end of the edit \"{}\" is not in {}",
                    edit.why, edit.file
                )
            });
            format!("{before}{new}{after}")
        }
        edits::Change::InsertBefore(new) => format!("{before}{new}{}", &text[start..]),
        edits::Change::InsertAfter(new) => format!("{}{new}{after}", &text[..end]),
        edits::Change::DropBefore => text[start..].to_string(),
    };
    fs::write(&path, edited).expect("write an edited file below OUT_DIR");
}

/// Sets the `cfg`s that wasmi's manifest and its build script would set.
fn emit_configuration() {
    let known = "\"std\", \"wat\", \"debug\", \"deterministic\", \"extra-checks\", \
                 \"hash-collections\", \"indirect-dispatch\", \"libm\", \"portable-dispatch\", \
                 \"prefer-btree-collections\", \"unstable\"";
    let ours = WASMI_FEATURES
        .map(|feature| format!("\"{feature}\""))
        .join(", ");
    println!("cargo::rustc-check-cfg=cfg(feature, values({known}, {ours}))");
    for name in ["opt_size", "opt_speed", "has_tail_calls", "use_tail_calls"] {
        println!("cargo::rustc-check-cfg=cfg(wasmi_{name})");
    }
    println!("cargo::rustc-check-cfg=cfg(docsrs)");
    for feature in WASMI_FEATURES {
        println!("cargo::rustc-cfg=feature=\"{feature}\"");
    }
    if env::var_os("CARGO_FEATURE_PORTABLE").is_some() {
        println!("cargo::rustc-cfg=feature=\"portable-dispatch\"");
    }
    let optimisation = variable("OPT_LEVEL");
    match optimisation.as_str() {
        "2" | "3" => println!("cargo::rustc-cfg=wasmi_opt_speed"),
        "s" | "z" => println!("cargo::rustc-cfg=wasmi_opt_size"),
        _ => {}
    }
    // LLVM turns the handlers' calls into jumps on these architectures, when it optimises.
    if matches!(
        variable("CARGO_CFG_TARGET_ARCH").as_str(),
        "x86_64" | "aarch64" | "riscv64"
    ) {
        println!("cargo::rustc-cfg=wasmi_has_tail_calls");
        if matches!(optimisation.as_str(), "2" | "3" | "s" | "z") {
            println!("cargo::rustc-cfg=wasmi_use_tail_calls");
        }
    }
}

/// A variable that Cargo sets for every build script.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo did not set {name}"))
}
