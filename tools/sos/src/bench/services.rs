//! Measures a machine that serves, from outside: the same steps for SOS and for the peer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::samples::Samples;
use super::statistics::percentile;
use super::system::{Service, Services};
use super::{load, stream_load};

/// How long each row is measured.
const ROW_TIME: Duration = Duration::from_secs(2);
/// Requests that are not counted, so that an emulator has translated what it will run.
const WARM_UP: Duration = Duration::from_secs(1);
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_SETTLE: Duration = Duration::from_secs(1);
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Requests per second of the open loop.
const OPEN_LOOP_RATE: u32 = 50;
/// Long enough for a few hundred answers.
const OPEN_LOOP_TIME: Duration = Duration::from_secs(8);
const CONNECTIONS_AT_ONCE: usize = 4;

/// A machine that was just started and boots.
pub trait Machine {
    /// When its emulator was started.
    fn started(&self) -> Instant;
    /// Where its services answer.
    fn services(&self) -> &Services;
    /// Bytes in use before its first service started; waits until the machine has said so.
    fn memory_before_bytes(&mut self) -> Result<u64>;
    /// Its emulator's process.
    fn process_id(&self) -> u32;
}

/// Measures every wanted row on a machine that was just started.
pub fn measure(machine: &mut dyn Machine, wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let services = *machine.services();
    let answered = await_boot(&services)?;
    let wants = |name: &str| wanted.contains(&name);
    if wants("boot_http") {
        samples.add(
            "boot_http",
            answered.duration_since(machine.started()).as_secs_f64() * 1e3,
        );
    }
    if wants("mem_before") {
        samples.add(
            "mem_before",
            machine.memory_before_bytes()? as f64 / f64::from(1 << 20),
        );
    }
    measure_network(&services, wanted, samples)?;
    if wants("idle_cpu") {
        samples.add("idle_cpu", idle_cpu_percent(machine.process_id())?);
    }
    Ok(())
}

/// The rows that need nothing but the services; the path's own ceiling is measured by them too.
pub fn measure_network(services: &Services, wanted: &[&str], samples: &mut Samples) -> Result<()> {
    let wants = |name: &str| wanted.contains(&name);
    let http = services.address(Service::Http);
    if ["http_rps_1", "http_rps_16", "conn_rate"]
        .into_iter()
        .any(wants)
    {
        load::closed_loop(http, CONNECTIONS_AT_ONCE, WARM_UP).context("warm-up")?;
    }
    if wants("http_rps_1") {
        samples.add(
            "http_rps_1",
            load::closed_loop(http, 1, ROW_TIME)
                .context("http_rps_1")?
                .rate(),
        );
    }
    if wants("http_rps_16") {
        samples.add(
            "http_rps_16",
            load::closed_loop(http, 16, ROW_TIME)
                .context("http_rps_16")?
                .rate(),
        );
    }
    if wants("conn_rate") {
        let answers = load::connection_loop(http, CONNECTIONS_AT_ONCE, ROW_TIME);
        samples.add("conn_rate", answers.context("conn_rate")?.rate());
    }
    if wants("tcp_in") {
        let sink = services.address(Service::Sink);
        samples.add(
            "tcp_in",
            stream_load::into_sink(sink, ROW_TIME).context("tcp_in")?,
        );
    }
    if wants("tcp_out") {
        let source = services.address(Service::Source);
        samples.add(
            "tcp_out",
            stream_load::out_of_source(source, ROW_TIME).context("tcp_out")?,
        );
    }
    if wants("rtt_p50") || wants("rtt_p99") {
        let trips = stream_load::round_trips(services.address(Service::Echo), ROW_TIME);
        let trips_ms = trips.context("rtt")?;
        for (name, percent) in [("rtt_p50", 50.0), ("rtt_p99", 99.0)] {
            if wants(name) {
                samples.add(
                    name,
                    percentile(&trips_ms, percent).context("no round trip")?,
                );
            }
        }
    }
    Ok(())
}

/// The 99th percentile of `web`'s latency at a modest rate, in milliseconds.
pub fn web_p99_ms(services: &Services) -> Result<f64> {
    let answers = load::open_loop(
        services.address(Service::Http),
        OPEN_LOOP_RATE,
        OPEN_LOOP_TIME,
    )?;
    percentile(&answers.latencies_ms, 99.0).context("no answer")
}

/// Waits until the machine serves.
pub fn await_boot(services: &Services) -> Result<Instant> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    load::first_answer(services.address(Service::Http), deadline).context("boot")
}

/// The share of one CPU that a process uses while nobody asks anything of it.
fn idle_cpu_percent(process_id: u32) -> Result<f64> {
    std::thread::sleep(IDLE_SETTLE);
    let began = Instant::now();
    let before = cpu_time(process_id)?;
    std::thread::sleep(IDLE_TIME);
    let used = cpu_time(process_id)?.saturating_sub(before);
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0)
}

/// User and system time of all threads of a process, from `/proc/PID/stat` (proc(5)).
fn cpu_time(process_id: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/stat"))
        .context("read the emulator's CPU time: it has ended")?;
    // The second field is a name in parentheses, which may hold anything; utime is the 14th.
    let fields = text
        .rsplit_once(')')
        .context("an unreadable /proc/PID/stat")?
        .1;
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().context("an unreadable CPU time"))
        .sum::<Result<u64>>()?;
    // SAFETY: plain argument.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_this_process_grows_with_work() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut sum = 0u64;
        while cpu_time(std::process::id()).unwrap() == before {
            sum = (0..100_000).fold(sum, |sum, value| sum.rotate_left(3) ^ value);
        }
        assert!(cpu_time(std::process::id()).unwrap() > before, "{sum}");
    }
}
