//! A TCP service whose answers prove that no byte and no count was lost. Configuration: `port`
//! (7100).

use std::cell::Cell;
use std::rc::Rc;

use counter::Receiver;
use sos_sdk::net::{Ipv4Addr, TcpListener};
use sos_sdk::serve::{Flow, Protocol, serve};
use sos_sdk::{config, info, warn};

const CLIENTS: usize = 200;

struct Client {
    receiver: Receiver,
    service_blocks: Rc<Cell<u64>>,
}

impl Protocol for Client {
    fn receive(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Flow {
        let count = &self.service_blocks;
        let next_count = || {
            count.set(count.get() + 1);
            count.get()
        };
        match self.receiver.receive(bytes, output, next_count) {
            Ok(()) => Flow::Continue,
            Err(counter::BlockTooLong) => {
                warn!(
                    "a client sent a block of more than {} bytes",
                    counter::BLOCK_BYTES
                );
                Flow::Close
            }
        }
    }
}

fn start() -> sos_sdk::Result<()> {
    let port: u16 = config::parse("port").unwrap_or(7100);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED.into(), port))?;
    info!("counting on port {port}");
    let service_blocks = Rc::new(Cell::new(0));
    serve(listener, CLIENTS, || Client {
        receiver: Receiver::default(),
        service_blocks: service_blocks.clone(),
    })?;
    Ok(())
}

sos_sdk::main!(start);
