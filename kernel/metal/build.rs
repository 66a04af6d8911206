//! Passes what only this binary needs to the linker, so that whoever builds the kernel has a short
//! command (see the docs of `src/main.rs`).
//!
//! The kernel's triple equals the host's (D13), so `cargo check` and `cargo clippy` meet this
//! package as an ordinary host program too. Only the profile `kernel`, which aborts on panic, makes
//! the freestanding one; the sources tell them apart by `cfg(panic = "abort")`.

fn main() {
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if !is_kernel_profile() {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    for argument in [
        &*format!("--script={folder}/kernel.ld"),
        // No dynamic loader will ever see this file.
        "--no-dynamic-linker",
        "--no-eh-frame-hdr",
        // Names this very build in the epitaph of a node that died.
        "--build-id=sha1",
        // Segments differ in rights, so none may share a 4 KiB page.
        "-zmax-page-size=4096",
        "-znognustack",
        "--fatal-warnings",
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

/// Whether this is the profile `kernel`. Cargo tells build scripts neither the profile's own name
/// nor how it panics, but the name is part of `OUT_DIR`: `…/PROFILE/build/PACKAGE-HASH/out`.
fn is_kernel_profile() -> bool {
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let profile = std::path::Path::new(&folder).ancestors().nth(3);
    profile
        .and_then(|path| path.file_name())
        .is_some_and(|name| name == "kernel")
}
