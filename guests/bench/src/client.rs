//! One client of one of the services: what it is owed and how far that is.

use sos_sdk::Result;
use sos_sdk::net::TcpStream;

/// What a client came for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Counts.
    Sink,
    /// Sends as many bytes as asked.
    Source,
    /// Sends back.
    Echo,
}

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes from the peer.
    Reading,
    /// Room towards the peer.
    Writing,
    /// Nothing: the connection is to be closed.
    Over,
}

/// A connection and its state.
pub struct Client {
    stream: TcpStream,
    service: Service,
    /// Bytes that the sink has counted.
    counted: u64,
    /// The source's count as far as it has come.
    asked: Vec<u8>,
    /// Bytes that the source still owes.
    owed: u64,
    /// What is to be sent before anything else.
    unsent: Vec<u8>,
    is_ending: bool,
}

impl Client {
    /// A client that has just come.
    pub fn new(stream: TcpStream, service: Service) -> Client {
        Client {
            stream,
            service,
            counted: 0,
            asked: Vec::new(),
            owed: 0,
            unsent: Vec::new(),
            is_ending: false,
        }
    }

    /// Moves as many bytes as the socket takes or gives.
    pub fn progress(&mut self, scratch: &mut [u8], payload: &[u8]) -> Result<Progress> {
        loop {
            if !self.unsent.is_empty() {
                let Some(sent) = ready(self.stream.write(&self.unsent))? else {
                    return Ok(Progress::Writing);
                };
                self.unsent.drain(..sent);
            } else if self.owed > 0 {
                let bytes = self.owed.min(payload.len() as u64) as usize;
                let Some(sent) = ready(self.stream.write(&payload[..bytes]))? else {
                    return Ok(Progress::Writing);
                };
                self.owed -= sent as u64;
                self.is_ending = self.owed == 0;
            } else if self.is_ending {
                return Ok(Progress::Over);
            } else {
                let Some(read) = ready(self.stream.read(scratch))? else {
                    return Ok(Progress::Reading);
                };
                self.receive(&scratch[..read]);
            }
        }
    }

    /// Takes received bytes; none mean that the peer has finished.
    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            if self.service == Service::Sink {
                self.unsent.extend_from_slice(&self.counted.to_le_bytes());
            }
            self.is_ending = true;
            return;
        }
        match self.service {
            Service::Sink => self.counted += bytes.len() as u64,
            Service::Echo => self.unsent.extend_from_slice(bytes),
            Service::Source => {
                self.asked
                    .extend_from_slice(&bytes[..bytes.len().min(8 - self.asked.len())]);
                if let Ok(count) = self.asked[..].try_into() {
                    self.owed = u64::from_le_bytes(count);
                    self.is_ending = self.owed == 0;
                }
            }
        }
    }
}

/// What a call moved; none when it would have to wait.
fn ready(result: Result<usize>) -> Result<Option<usize>> {
    match result {
        Err(error) if error.is_would_block() => Ok(None),
        result => result.map(Some),
    }
}
