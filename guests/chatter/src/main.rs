//! Sends blocks of random bytes to a counter and checks each proof.
//!
//! Configuration: `peer` (10.1.0.2:7100), `block_bytes` (largest block, 4096), `blocks` (0 = for
//! ever), `interval_ms` (pause between blocks, 0), `report_ms` (10000). Ends with status 1 when a
//! proof is wrong, and with 0 after the last block; a broken connection is logged and made anew.

use counter::{BLOCK_BYTES, PROOF_BYTES, Proof, Tally};
use sos_sdk::net::TcpStream;
use sos_sdk::time::{Duration, Instant, sleep};
use sos_sdk::{config, error, exit, info, random, warn};

struct Settings {
    peer: String,
    block_bytes: usize,
    blocks: u64,
    interval: Duration,
    report: Duration,
}

/// What was sent since the service started.
struct Progress {
    blocks: u64,
    bytes: u64,
    connections: u64,
    last_report: Instant,
}

fn chat() {
    let settings = Settings {
        peer: config::get("peer").unwrap_or_else(|| "10.1.0.2:7100".into()),
        block_bytes: config::parse("block_bytes")
            .unwrap_or(4096)
            .clamp(1, BLOCK_BYTES),
        blocks: config::parse("blocks").unwrap_or(0),
        interval: Duration::from_millis(config::parse("interval_ms").unwrap_or(0)),
        report: Duration::from_millis(config::parse("report_ms").unwrap_or(10_000)),
    };
    let mut progress = Progress {
        blocks: 0,
        bytes: 0,
        connections: 0,
        last_report: Instant::now(),
    };
    while settings.blocks == 0 || progress.blocks < settings.blocks {
        if let Err(reason) = talk(&settings, &mut progress) {
            warn!("{}: {reason}; connecting again", settings.peer);
            sleep(Duration::from_secs(1));
        }
    }
    info!(
        "done: {} blocks, {} bytes, all proved",
        progress.blocks, progress.bytes
    );
}

/// Sends on one connection until the last block or until it breaks.
fn talk(settings: &Settings, progress: &mut Progress) -> sos_sdk::Result<()> {
    let stream = TcpStream::connect(&settings.peer)?;
    stream.set_nodelay(true)?;
    progress.connections += 1;
    info!("connection {} to {}", progress.connections, settings.peer);
    let mut tally = Tally::default();
    let mut service_blocks = 0;
    let mut noise = Noise(random::next_u64() | 1);
    let mut message = Vec::new();
    while settings.blocks == 0 || progress.blocks < settings.blocks {
        let length = 1 + noise.next() as usize % settings.block_bytes;
        message.clear();
        message.extend_from_slice(&(length as u32).to_le_bytes());
        noise.append(&mut message, length);
        stream.write_all(&message)?;
        let mut answer = [0; PROOF_BYTES];
        stream.read_exact(&mut answer)?;
        let proof = Proof::decode(&answer);
        tally.add_bytes(&message[4..]);
        let expected = tally.end_block(length as u32, proof.service_blocks);
        if proof != expected || proof.service_blocks <= service_blocks {
            error!("wrong proof: got {proof:?}, expected {expected:?} after {service_blocks}");
            exit(1);
        }
        service_blocks = proof.service_blocks;
        progress.blocks += 1;
        progress.bytes += length as u64;
        report(settings, progress);
        if !settings.interval.is_zero() {
            sleep(settings.interval);
        }
    }
    Ok(())
}

fn report(settings: &Settings, progress: &mut Progress) {
    if progress.last_report.elapsed() >= settings.report {
        progress.last_report = Instant::now();
        info!(
            "{} blocks, {} bytes, all proved",
            progress.blocks, progress.bytes
        );
    }
}

/// Bytes without a pattern, quickly: xorshift64 (Marsaglia 2003).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn append(&mut self, output: &mut Vec<u8>, length: usize) {
        let end = output.len() + length;
        while output.len() < end {
            output.extend_from_slice(&self.next().to_le_bytes());
        }
        output.truncate(end);
    }
}

sos_sdk::main!(chat);
