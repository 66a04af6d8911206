//! `evacuate_50`: a node that 50 instances of 1 MiB leave, each with a client.
//!
//! The time is the source's own, from the first instance's order until it has heard that the last one runs
//! at the other node. All clients are asked in turn meanwhile and afterwards, each over the connection that
//! it had before: one that was lost is a failure of the row.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sos_core::control::{MigrateOptions, Request};

use super::EVACUATE;
use super::pair::{NODES, Pair};
use super::probe::Visitor;
use super::story::Evacuation;
use crate::bench::samples::Samples;
use crate::bench::sos_node::Kit;
use crate::bench::system::Service;
use crate::lan::Forward;
use crate::process::say;

const INSTANCES: u8 = 50;
/// Host number of the first one.
const FIRST_HOST: u8 = 100;
/// How long all may take to answer first, and to leave.
const PATIENCE: Duration = Duration::from_secs(120);

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, FIRST_HOST + number)
}

fn manifest() -> String {
    let instance = |number: u8| {
        format!(
            "[instance.i{number}]\nmodule = \"holder\"\nlimits.memory = \"4MiB\"\n\
             [instance.i{number}.config]\nmebibytes = \"1\"\n\
             [instance.i{number}.port.eth0]\nswitch = \"lan\"\naddress = \"{}/24\"\n",
            address(number)
        )
    };
    let instances: String = (0..INSTANCES).map(instance).collect();
    format!("name = \"bench\"\n[switch.lan]\nuplink = \"nic0\"\n{instances}")
}

/// Evacuates one node and then the other.
pub fn measure(kit: &Kit, samples: &mut Samples) -> Result<()> {
    let forward = |number| Forward::to_address(IpAddr::V4(address(number)), Service::Echo.port());
    let forwards = (0..INSTANCES).map(forward).collect();
    let mut pair = Pair::start(kit, &manifest(), forwards)?;
    let deadline = Instant::now() + PATIENCE;
    let mut visitors = Vec::new();
    for number in 0..usize::from(INSTANCES) {
        let port = SocketAddr::from((Ipv4Addr::LOCALHOST, pair.port(number)));
        visitors.push(Visitor::connect_until(port, deadline)?);
    }
    for from in [0, 1] {
        let evacuation = evacuate(&mut pair, from, &mut visitors)?;
        say(format!(
            "bench: {INSTANCES} instances left {} within {:.0} ms, {} KiB; the longest stood for {:.1} ms",
            NODES[from],
            evacuation.total_ms(),
            evacuation.kib,
            evacuation.longest_stood_ns as f64 / 1e6
        ));
        samples.add(EVACUATE, evacuation.total_ms() / 1e3);
    }
    Ok(())
}

/// Has all instances leave a node while their clients ask.
fn evacuate(pair: &mut Pair, from: usize, visitors: &mut [Visitor]) -> Result<Evacuation> {
    pair.events(from)?;
    let begin = Instant::now();
    let request = Request::Evacuate {
        to: vec![NODES[1 - from].into()],
        options: MigrateOptions::default(),
    };
    pair.ask(from, &request)?;
    let mut events = Vec::new();
    let evacuation = loop {
        for (number, visitor) in visitors.iter_mut().enumerate() {
            let asked = visitor.ask();
            asked.with_context(|| format!("the connection to i{number}, during the evacuation"))?;
        }
        events.extend(pair.events(from)?);
        let evacuation = Evacuation::read(&events)?;
        if evacuation.left == u32::from(INSTANCES) {
            break evacuation;
        }
        let left = evacuation.left;
        ensure!(begin.elapsed() < PATIENCE, "only {left} instances left");
    };
    for (number, visitor) in visitors.iter_mut().enumerate() {
        let asked = visitor.ask();
        asked.with_context(|| format!("the connection to i{number}, after the evacuation"))?;
    }
    Ok(evacuation)
}
