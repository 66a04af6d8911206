//! Byte streams against the services of `guests/bench`: in, out and back again, every byte counted.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of one round trip.
const ECHO_BYTES: usize = 64;
/// What the first, uncounted transfer of the source asks for.
const WARM_UP_BYTES: u64 = 2 << 20;
/// How long one read or write may take before the measurement is given up.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    Ok(stream)
}

fn megabytes_per_second(bytes: u64, elapsed: Duration) -> f64 {
    bytes as f64 / 1e6 / elapsed.as_secs_f64()
}

/// Sends to the sink for `duration`, and until it has confirmed the count; MB/s.
pub fn into_sink(address: SocketAddr, duration: Duration) -> Result<f64> {
    let mut stream = connect(address)?;
    let chunk = [b'x'; CHUNK_BYTES];
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < duration {
        stream.write_all(&chunk).context("send to the sink")?;
        sent += CHUNK_BYTES as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut count = [0; 8];
    stream
        .read_exact(&mut count)
        .context("read the sink's count")?;
    let elapsed = began.elapsed();
    let count = u64::from_le_bytes(count);
    ensure!(count == sent, "the sink counted {count} of {sent} bytes");
    Ok(megabytes_per_second(sent, elapsed))
}

/// Receives from the source for about `duration`; MB/s.
pub fn out_of_source(address: SocketAddr, duration: Duration) -> Result<f64> {
    let warm_up = receive(address, WARM_UP_BYTES)?;
    let bytes = WARM_UP_BYTES as f64 * duration.as_secs_f64() / warm_up.as_secs_f64();
    let bytes = (bytes as u64).max(WARM_UP_BYTES);
    Ok(megabytes_per_second(bytes, receive(address, bytes)?))
}

fn receive(address: SocketAddr, bytes: u64) -> Result<Duration> {
    let mut stream = connect(address)?;
    let mut chunk = [0; CHUNK_BYTES];
    let began = Instant::now();
    stream.write_all(&bytes.to_le_bytes())?;
    let mut received = 0;
    loop {
        match stream.read(&mut chunk).context("receive from the source")? {
            0 => break,
            read => received += read as u64,
        }
    }
    ensure!(
        received == bytes,
        "the source sent {received} of {bytes} bytes"
    );
    Ok(began.elapsed())
}

/// Round trips of a few bytes, one after the other, for `duration`; each in milliseconds.
pub fn round_trips(address: SocketAddr, duration: Duration) -> Result<Vec<f64>> {
    let mut stream = connect(address)?;
    let began = Instant::now();
    let mut trips_ms = Vec::new();
    while began.elapsed() < duration {
        let sent = [trips_ms.len() as u8; ECHO_BYTES];
        let mut received = [0; ECHO_BYTES];
        let asked = Instant::now();
        stream.write_all(&sent)?;
        stream
            .read_exact(&mut received)
            .context("receive from the echo")?;
        trips_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        ensure!(sent == received, "the echo changed the bytes");
    }
    Ok(trips_ms)
}
