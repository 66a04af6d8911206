//! Manifests for tests: the demo, and small ones written line by line with modules beside them.

use std::path::PathBuf;
use std::sync::OnceLock;

use sos::image::{self, BootImage};
use sos::{paths, setup};
use tempfile::TempDir;

/// The image of `guests/demo.toml`, built once per test program.
///
/// # Panics
/// When it cannot be built.
pub fn demo() -> &'static BootImage {
    static DEMO: OnceLock<BootImage> = OnceLock::new();
    DEMO.get_or_init(|| {
        setup::ensure().expect("tools");
        let path: PathBuf = paths::workspace()
            .expect("the workspace")
            .join("guests/demo.toml");
        image::from_manifest(&path).unwrap_or_else(|error| panic!("{error:#}"))
    })
}

/// A manifest in the making, with modules in text format.
pub struct Manifest {
    text: String,
    folder: TempDir,
}

impl Manifest {
    /// A manifest from TOML text, whose modules are guests of SOS or files added by [`Self::file`].
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn new(text: impl Into<String>) -> Manifest {
        Manifest {
            text: text.into(),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Adds a module file that the text names as `name`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Manifest {
        std::fs::write(self.folder.path().join(name), contents).expect("write a module");
        self
    }

    /// The image.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn build(self) -> BootImage {
        setup::ensure().expect("tools");
        image::from_text(&self.text, self.folder.path()).unwrap_or_else(|error| panic!("{error:#}"))
    }
}
