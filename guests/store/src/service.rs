//! The service: clients, and the one table behind them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use sos_sdk::net::{Ipv4Addr, TcpListener};
use sos_sdk::serve::{Flow, Protocol, serve as serve_clients};
use sos_sdk::{config, info};

use crate::{Answer, Frame, Status, Table, encode_answer, next_request};

const CLIENTS: usize = 64;

/// One client: what it has sent of a request that is not whole yet.
struct Client {
    table: Rc<RefCell<Table>>,
    input: Vec<u8>,
}

impl Client {
    /// Answers every whole request; gives the bytes used up, or nothing when one is malformed.
    fn answer_all(&self, input: &[u8], output: &mut Vec<u8>) -> Option<usize> {
        let mut table = self.table.borrow_mut();
        let mut taken = 0;
        loop {
            match next_request(&input[taken..]) {
                Frame::Complete(request, bytes) => {
                    encode_answer(output, &table.execute(&request));
                    taken += bytes;
                }
                Frame::Incomplete => return Some(taken),
                Frame::Malformed => {
                    encode_answer(
                        output,
                        &Answer {
                            status: Status::Malformed,
                            value: b"",
                        },
                    );
                    return None;
                }
            }
        }
    }
}

impl Protocol for Client {
    fn receive(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Flow {
        let taken = if self.input.is_empty() {
            let taken = self.answer_all(bytes, output);
            self.input
                .extend_from_slice(&bytes[taken.unwrap_or(bytes.len())..]);
            taken
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            let taken = self.answer_all(&input, output);
            input.drain(..taken.unwrap_or(input.len()));
            self.input = input;
            taken
        };
        match taken {
            Some(_) => Flow::Continue,
            None => Flow::Close,
        }
    }
}

/// Serves for ever. Configuration: `port` (7000).
///
/// # Errors
/// Those of listening and polling.
pub fn serve() -> sos_sdk::Result<Infallible> {
    let port: u16 = config::parse("port").unwrap_or(7000);
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED.into(), port))?;
    info!("storing on port {port}");
    let table = Rc::new(RefCell::new(Table::default()));
    serve_clients(listener, CLIENTS, || Client {
        table: table.clone(),
        input: Vec::new(),
    })
}
