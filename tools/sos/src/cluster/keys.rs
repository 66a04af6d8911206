//! The secrets of a project: its cluster key and one secret for each node, in files of the user's alone.
//!
//! They lie in the project's state folder, `.sos` beside its manifest, as 64 hexadecimal digits each; the
//! folder keeps itself out of git. Who has the cluster key may command every node of the project.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Bytes of a key and of a secret.
pub const KEY_BYTES: usize = 32;
/// A project's state beside its manifest.
const FOLDER: &str = ".sos";
/// The cluster key's file in that folder.
const CLUSTER_KEY: &str = "cluster.key";

/// The state folder of the project whose manifest or image this is; it is made if it is missing.
///
/// # Errors
/// When it cannot be made.
pub fn state_folder(manifest: &Path) -> Result<PathBuf> {
    let around = manifest
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = around.unwrap_or(Path::new(".")).join(FOLDER);
    let context = || format!("make the folder {}", folder.display());
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(folder),
        Err(error) => return Err(error).with_context(context),
    }
    fs::write(folder.join(".gitignore"), "*\n").with_context(context)?;
    Ok(folder)
}

/// Where a project's cluster key is.
pub fn cluster_key_file(folder: &Path) -> PathBuf {
    folder.join(CLUSTER_KEY)
}

/// Where a node's secret is.
pub fn secret_file(folder: &Path, node: &str) -> PathBuf {
    folder.join(format!("{node}.secret"))
}

/// The key in a file, which is made if there is none.
///
/// # Errors
/// When it can neither be read nor made.
pub fn read_or_make(file: &Path) -> Result<[u8; KEY_BYTES]> {
    if !file.exists() {
        // Another run may be quicker, and its key then counts.
        if let Err(error) = make(file)
            && !file.exists()
        {
            return Err(error);
        }
    }
    read(file)
}

/// The key in a file.
///
/// # Errors
/// When there is none, others may read it, or it is no key.
pub fn read(file: &Path) -> Result<[u8; KEY_BYTES]> {
    let shown = file.display();
    let context = || format!("read the key {shown}");
    let mode = fs::metadata(file)
        .with_context(context)?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        bail!("the key {shown} can be read by others: `chmod 600 {shown}`, or make a new one");
    }
    let text = fs::read_to_string(file).with_context(context)?;
    from_digits(text.trim()).with_context(|| {
        format!(
            "{shown} holds no key, which is 64 hexadecimal digits: `cargo sos key new` makes one"
        )
    })
}

/// Makes a key in a file that does not exist yet.
///
/// # Errors
/// When there is a file already, or it cannot be written.
pub fn make(file: &Path) -> Result<[u8; KEY_BYTES]> {
    let key = random().context("draw a key from /dev/urandom")?;
    let context = || format!("make the key {}", file.display());
    let folder = file.parent().unwrap_or(Path::new("."));
    // Whole or not at all: who finds the file finds all of it.
    let mut written = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    writeln!(written, "{}", digits(&key)).with_context(context)?;
    written.persist_noclobber(file).with_context(context)?;
    Ok(key)
}

/// Writes bytes that only the user may read.
///
/// # Errors
/// When that fails.
pub fn write_secret(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = File::options();
    let options = options.write(true).create_new(true).mode(0o600);
    let written = options
        .open(file)
        .and_then(|mut file| file.write_all(bytes));
    written.with_context(|| format!("write {}", file.display()))
}

/// A key as its file has it.
pub fn digits(key: &[u8; KEY_BYTES]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_digits(text: &str) -> Option<[u8; KEY_BYTES]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let mut key = [0; KEY_BYTES];
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    (key != [0; KEY_BYTES]).then_some(key)
}

/// Bytes that nobody can guess.
pub(super) fn random() -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_the_users_alone() {
        let project = tempfile::tempdir().unwrap();
        let folder = state_folder(&project.path().join("sos.toml")).unwrap();
        assert_eq!(
            state_folder(&project.path().join("sos.toml")).unwrap(),
            folder
        );
        let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap();
        assert_eq!(ignored, "*\n");
        let file = cluster_key_file(&folder);
        let key = read_or_make(&file).unwrap();
        assert_eq!(read_or_make(&file).unwrap(), key);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(make(&file).is_err());
        let other = read_or_make(&secret_file(&folder, "node1")).unwrap();
        assert_ne!(other, key);
        let given = fs::read(secret_file(&folder, "node1")).unwrap();
        assert!(sos_core::keys::NodeKeys::read(&given).is_some());
    }

    #[test]
    fn keys_that_others_may_read_and_what_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        make(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&file).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        for text in ["", "12", &"0".repeat(64), &"x".repeat(64), &"1".repeat(66)] {
            let file = folder.path().join("other");
            let _ = fs::remove_file(&file);
            write_secret(&file, text.as_bytes()).unwrap();
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains("holds no key"), "{text}: {error}");
        }
        assert!(read(&folder.path().join("none")).is_err());
    }
}
