//! Files as plain data: stored and read again.

use super::*;

fn image() -> FileSystem {
    let mut files = empty();
    files.add_image_file("/a", blob(b"hello"), 1).unwrap();
    files.add_image_file("/b", blob(b"other"), 1).unwrap();
    put(&mut files, "a", b"J");
    make_directory(&mut files, "d");
    make_link(&mut files, "a", "d/l");
    files
}

#[test]
fn stored_files_come_back_whole_when_the_blobs_are_found() {
    let files = image();
    let stored = postcard::to_allocvec(&files).unwrap();
    let mut back: FileSystem = postcard::from_bytes(&stored).unwrap();
    assert_eq!(back, files);
    assert_eq!(get(&back, "b"), Err(FileError::MissingBlob));
    let known = [b"hello", b"other"];
    let attached = back.attach_blobs(|blob| {
        let found = known
            .iter()
            .find(|bytes| blob_hash(&bytes[..]) == blob.hash());
        found.map(|bytes| BlobBytes::Image(&bytes[..]))
    });
    assert_eq!(attached, Ok(()));
    assert_eq!(get(&back, "a").unwrap(), b"Jello");
    assert_eq!(get(&back, "b").unwrap(), b"other");
    assert_eq!(
        all_changes(&back, "/").len(),
        all_changes(&files, "/").len()
    );
}

#[test]
fn blobs_that_are_missing_or_of_another_length_are_refused() {
    let stored = postcard::to_allocvec(&image()).unwrap();
    let mut back: FileSystem = postcard::from_bytes(&stored).unwrap();
    assert_eq!(back.attach_blobs(|_| None), Err(FileError::MissingBlob));
    let short = back.attach_blobs(|_| Some(BlobBytes::Image(b"hell")));
    assert_eq!(short, Err(FileError::MissingBlob));
}

#[test]
fn the_same_operations_make_the_same_files() {
    assert_eq!(
        postcard::to_allocvec(&image()).unwrap(),
        postcard::to_allocvec(&image()).unwrap()
    );
}
