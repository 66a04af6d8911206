//! wasi-libc as distributions install it: the C library of WASI programs.

use std::path::{Path, PathBuf};

/// Debian's package.
pub const PACKAGE: &str = "wasi-libc";
/// Where it lies under a system root, and where a system root for WASI is: Debian's, Arch's and
/// Fedora's folders.
const ROOTS: [&str; 3] = ["/usr", "/usr/share/wasi-sysroot", "/usr/wasm32-wasi"];
const FOLDER: &str = "wasm32-wasi";
/// Calls `main` once and ends.
const START_OBJECT: &str = "crt1-command.o";

/// The C library's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasiLibc {
    /// The headers.
    pub headers: PathBuf,
    /// `libc.a`, the start objects and the emulations of what WASI lacks.
    pub libraries: PathBuf,
}

impl WasiLibc {
    /// The library, if it is installed.
    pub fn find() -> Option<WasiLibc> {
        ROOTS.iter().map(Path::new).find_map(WasiLibc::under)
    }

    fn under(root: &Path) -> Option<WasiLibc> {
        let libc = WasiLibc {
            headers: root.join("include").join(FOLDER),
            libraries: root.join("lib").join(FOLDER),
        };
        let complete = libc.headers.join("stdio.h").is_file() && libc.start_object().is_file();
        complete.then_some(libc)
    }

    /// The object that calls `main`.
    pub fn start_object(&self) -> PathBuf {
        self.libraries.join(START_OBJECT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_library_is_none() {
        let root = tempfile::tempdir().unwrap();
        let headers = root.path().join("include").join(FOLDER);
        std::fs::create_dir_all(&headers).unwrap();
        std::fs::write(headers.join("stdio.h"), "").unwrap();
        assert_eq!(WasiLibc::under(root.path()), None);
        let libraries = root.path().join("lib").join(FOLDER);
        std::fs::create_dir_all(&libraries).unwrap();
        std::fs::write(libraries.join(START_OBJECT), "").unwrap();
        assert!(WasiLibc::under(root.path()).is_some());
    }
}
