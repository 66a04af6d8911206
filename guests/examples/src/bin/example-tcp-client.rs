//! A TCP client: connects to the service of the configuration key `peer`, sends a line and logs the
//! line that comes back. The streams are also `std::io::Read` and `Write`.

use std::io::{BufRead, BufReader};

use sos_sdk::net::TcpStream;
use sos_sdk::{config, info};

fn talk() -> Result<(), Box<dyn std::error::Error>> {
    let peer = config::get("peer").ok_or("set `peer` in the manifest, such as 10.0.0.2:7")?;
    let stream = TcpStream::connect(&peer)?;
    stream.write_all(b"hello\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    info!("{peer} answers {}", line.trim_end());
    Ok(())
}

sos_sdk::main!(talk);
