//! An HTTP/1.1 client of a few lines, for the outside of a node (RFC 9112).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

use super::{PATIENCE, eventually};

/// One connection, kept alive.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header field; `name` in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(found, _)| found == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects to a port of this host.
    ///
    /// # Errors
    /// Why it could not.
    pub fn open(port: u16) -> io::Result<Connection> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Why it could not.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Why either failed.
    pub fn ask(&mut self, method: &str, target: &str, body: &[u8]) -> io::Result<Response> {
        self.send(&request(method, target, body))?;
        self.read()
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// Why it could not, [`io::ErrorKind::InvalidData`] when it is not HTTP.
    pub fn read(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let mut words = line.split(' ');
        let status = match (words.next(), words.next().map(str::parse)) {
            (Some("HTTP/1.1"), Some(Ok(status))) => status,
            _ => return Err(malformed(&line)),
        };
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
        let mut response = Response {
            status,
            fields,
            body: Vec::new(),
        };
        if let Some(length) = response.field("content-length") {
            let length = length.parse().map_err(|_| malformed(length))?;
            response.body.resize(length, 0);
            self.stream.read_exact(&mut response.body)?;
        }
        Ok(response)
    }

    /// Says that nothing more will be asked.
    ///
    /// # Errors
    /// Why it could not.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(Shutdown::Write)
    }

    /// Whether the service has closed the connection; waits for it.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let end = self.stream.read_to_end(&mut rest);
        rest.is_empty() && !end.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_string()),
            None => Err(malformed(&line)),
        }
    }
}

/// A request's bytes.
pub fn request(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes =
        format!("{method} {target} HTTP/1.1\r\nHost: sos\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Asks once on a connection of its own.
///
/// # Errors
/// Why it failed.
pub fn ask(port: u16, method: &str, target: &str, body: &[u8]) -> io::Result<Response> {
    Connection::open(port)?.ask(method, target, body)
}

/// Asks until the service answers with `status`.
///
/// # Panics
/// When it does not in time.
pub fn ask_until(port: u16, method: &str, target: &str, body: &[u8], status: u16) -> Response {
    eventually(&format!("{method} {target} gives {status}"), || {
        match ask(port, method, target, body) {
            Ok(response) if response.status == status => Ok(response),
            Ok(response) => Err(format!("{} {}", response.status, response.text())),
            Err(error) => Err(error.to_string()),
        }
    })
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {line:?}"))
}
