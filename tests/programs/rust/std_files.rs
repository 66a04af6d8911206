//! What a program of the standard library does with files. It finds `/etc/motd`, `/etc/link` that
//! leads there, `/var/empty`, and the directory `data` open.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Numbers of errors, since the standard library has no kinds for some of them here.
const EXISTS: i32 = 20;
const INVALID: i32 = 28;
const NOT_FOUND: i32 = 44;
const NOT_DIRECTORY: i32 = 54;
const NOT_EMPTY: i32 = 55;

fn fails<T: std::fmt::Debug>(result: io::Result<T>, number: i32) {
    assert_eq!(result.expect_err("an error").raw_os_error(), Some(number));
}

fn image() {
    assert_eq!(fs::read("/etc/motd").unwrap(), b"from the image");
    assert_eq!(fs::read("/etc/link").unwrap(), b"from the image");
    assert!(fs::symlink_metadata("/etc/link").unwrap().is_symlink());
    assert_eq!(fs::read_link("/etc/link").unwrap().to_str(), Some("motd"));
    assert_eq!(names("/"), set(&["etc", "var", "srv"]));
    assert_eq!(names("/var/empty"), set(&[]));
    // A write goes over the image's bytes, a link leads to the changed file.
    let mut file = OpenOptions::new().write(true).open("/etc/motd").unwrap();
    file.write_all(b"FROM").unwrap();
    assert_eq!(fs::read("/etc/link").unwrap(), b"FROM the image");
    fs::remove_file("/etc/motd").unwrap();
    fails(fs::read("/etc/link"), NOT_FOUND);
}

fn bytes() {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open("data/bytes")
        .unwrap();
    file.write_all(b"hello world").unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "world");
    assert_eq!(file.seek(SeekFrom::End(-5)).unwrap(), 6);
    assert_eq!(file.stream_position().unwrap(), 6);
    fails(file.seek(SeekFrom::Current(-7)), INVALID);
    file.set_len(3).unwrap();
    file.set_len(8).unwrap();
    file.sync_all().unwrap();
    file.sync_data().unwrap();
    assert_eq!(fs::read("data/bytes").unwrap(), b"hel\0\0\0\0\0");
    assert_eq!(fs::read("/srv/data/bytes").unwrap().len(), 8);
    let mut end = OpenOptions::new().append(true).open("data/bytes").unwrap();
    end.write_all(b"end").unwrap();
    assert_eq!(file.metadata().unwrap().len(), 11);
    fails(File::create_new("data/bytes"), EXISTS);
    // A mebibyte in one write and one read.
    let large: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    fs::write("data/large", &large).unwrap();
    assert!(fs::read("data/large").unwrap() == large);
    assert_eq!(fs::copy("data/large", "data/copy").unwrap(), 1 << 20);
    assert!(fs::read("data/copy").unwrap() == large);
}

fn names_and_directories() {
    fs::create_dir_all("data/deep/er/still").unwrap();
    fails(fs::create_dir("data/deep"), EXISTS);
    fs::write("data/deep/er/file", "x").unwrap();
    fails(fs::remove_dir("data/deep"), NOT_EMPTY);
    fs::rename("data/deep/er", "data/moved").unwrap();
    assert_eq!(names("data/moved"), set(&["file", "still"]));
    assert_eq!(names("data/deep"), set(&[]));
    fs::hard_link("data/moved/file", "data/second").unwrap();
    fs::write("data/second", "both").unwrap();
    assert_eq!(fs::read("data/moved/file").unwrap(), b"both");
    fs::rename("data/second", "data/moved/file").unwrap();
    fails(fs::read_dir("data/moved/file"), NOT_DIRECTORY);
    fails(fs::read("data/missing"), NOT_FOUND);
    fs::remove_dir_all("data/moved").unwrap();
    assert!(!fs::exists("data/moved").unwrap());
    for number in 0..500 {
        fs::write(format!("data/deep/{number}"), number.to_string()).unwrap();
    }
    assert_eq!(names("data/deep").len(), 500);
    fs::remove_dir_all("data/deep").unwrap();
}

fn attributes() {
    let begin = SystemTime::now();
    fs::write("data/attributes", "12345").unwrap();
    let metadata = fs::metadata("data/attributes").unwrap();
    assert!(metadata.is_file() && metadata.len() == 5);
    assert!(metadata.modified().unwrap() >= begin);
    let file = OpenOptions::new()
        .write(true)
        .open("data/attributes")
        .unwrap();
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(past).unwrap();
    let metadata = fs::metadata("data/attributes").unwrap();
    assert_eq!(metadata.modified().unwrap(), past);
    assert!(fs::metadata("data").unwrap().is_dir());
}

fn escapes() {
    for path in ["data/../../etc/link", "data/../etc"] {
        assert!(fs::read(path).is_err(), "{path}");
    }
    assert!(fs::metadata("/../etc").is_err());
    assert!(fs::metadata("nowhere").is_err());
}

fn main() {
    image();
    bytes();
    names_and_directories();
    attributes();
    escapes();
    println!("all is well");
}
