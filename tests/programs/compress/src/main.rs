//! Compressors, unchanged: each packs a file into another file, unpacks that into a third, and the
//! third equals the first.
//!
//! Arguments: a folder to work in, and the size of the file in bytes (200000). Prints the sizes and
//! the CRC-32 of what each compressor wrote, as far as they are the same on every system.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::{Compression, Crc};

type Done = Result<(), Box<dyn Error>>;

/// A way to pack and to unpack.
struct Method {
    name: &'static str,
    packed: Packed,
    pack: fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
    unpack: fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
}

/// Whether the packed bytes are the same on every system.
#[derive(PartialEq)]
enum Packed {
    Same,
    /// They depend on the size of a pointer.
    Varies,
}

const METHODS: [Method; 3] = [
    Method {
        name: "gzip",
        packed: Packed::Same,
        pack: |input, output| {
            let mut packer = flate2::write::GzEncoder::new(output, Compression::new(6));
            io::copy(input, &mut packer)?;
            packer.finish().map(drop)
        },
        unpack: |input, output| {
            io::copy(&mut flate2::read::GzDecoder::new(input), output).map(drop)
        },
    },
    Method {
        name: "lz4",
        packed: Packed::Varies,
        pack: |input, output| {
            let mut packer = lz4_flex::frame::FrameEncoder::new(output);
            io::copy(input, &mut packer)?;
            packer.finish().map(drop).map_err(io::Error::other)
        },
        unpack: |input, output| {
            io::copy(&mut lz4_flex::frame::FrameDecoder::new(input), output).map(drop)
        },
    },
    Method {
        name: "brotli",
        packed: Packed::Same,
        pack: |input, output| {
            let mut packer = brotli::CompressorWriter::new(output, 4096, 5, 20);
            io::copy(input, &mut packer)?;
            packer.flush()
        },
        unpack: |input, output| {
            io::copy(&mut brotli::Decompressor::new(input, 4096), output).map(drop)
        },
    },
];

fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: compress FOLDER [BYTES]")?;
    let bytes = arguments.next().map_or(Ok(200_000), |text| text.parse())?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let plain = folder.join("plain.txt");
    fs::write(&plain, text(bytes))?;
    println!(
        "plain   {:7} bytes, CRC-32 {:08x}",
        fs::metadata(&plain)?.len(),
        crc(&plain)?
    );
    for method in &METHODS {
        round_trip(method, folder, &plain)?;
    }
    refuse_damage(folder)?;
    for file in fs::read_dir(folder)? {
        fs::remove_file(file?.path())?;
    }
    println!("{} files left", fs::read_dir(folder)?.count());
    Ok(())
}

fn round_trip(method: &Method, folder: &Path, plain: &Path) -> Done {
    let packed = folder.join(format!("packed.{}", method.name));
    let unpacked = folder.join(format!("unpacked.{}", method.name));
    through(method.pack, plain, &packed)?;
    through(method.unpack, &packed, &unpacked)?;
    let equal = fs::read(plain)? == fs::read(&unpacked)?;
    let verdict = if equal {
        "equal after the round trip"
    } else {
        "NOT EQUAL"
    };
    let bytes = fs::metadata(&packed)?.len();
    let shrunk = bytes < fs::metadata(plain)?.len() / 2;
    match method.packed {
        Packed::Same => println!(
            "{:7} {bytes:7} bytes, CRC-32 {:08x}, {verdict}",
            method.name,
            crc(&packed)?
        ),
        Packed::Varies => println!("{:7} to less than half: {shrunk}, {verdict}", method.name),
    }
    Ok(())
}

fn through(
    change: fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
    from: &Path,
    to: &Path,
) -> io::Result<()> {
    let mut input = BufReader::new(File::open(from)?);
    let mut output = BufWriter::new(File::create_new(to)?);
    change(&mut input, &mut output)?;
    output.flush()?;
    output.get_ref().sync_all()
}

/// A byte in the middle of a file is changed in place; its reader must notice.
fn refuse_damage(folder: &Path) -> Done {
    let path = folder.join("packed.gzip");
    let mut file = File::options().read(true).write(true).open(&path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Current(-1))?;
    file.write_all(&[byte[0] ^ 0xff])?;
    drop(file);
    let refused = (METHODS[0].unpack)(&mut File::open(&path)?, &mut io::sink()).is_err();
    println!(
        "damage  {}",
        if refused { "refused" } else { "NOT NOTICED" }
    );
    Ok(())
}

fn crc(path: &Path) -> io::Result<u32> {
    let mut crc = Crc::new();
    crc.update(&fs::read(path)?);
    Ok(crc.sum())
}

/// Text of a small vocabulary, the same on every system.
fn text(bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "instance", "memory", "packet", "the", "a", "kernel", "of", "switch", "moves", "and",
        "waits", "module", "answers", "to", "port", "snapshot",
    ];
    let mut text = Vec::with_capacity(bytes + 16);
    // A linear congruential generator (Knuth's MMIX constants).
    let mut state = 1u64;
    while text.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let word = WORDS[(state >> 60) as usize];
        text.extend_from_slice(word.as_bytes());
        text.push(if (state >> 32) % 11 == 0 { b'\n' } else { b' ' });
    }
    text.truncate(bytes);
    text
}
