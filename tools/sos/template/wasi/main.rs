//! The program {{name}}: an ordinary program of the standard library, for WASI. What WASI has no calls
//! for, such as connecting to others, comes from the SDK.

use sos_sdk::net::{TcpStream, lookup_host};

fn main() {
    println!("hello from {{name}}");
    for argument in std::env::args().skip(1) {
        println!("argument {argument}");
    }
    // Whom to talk to: set args = ["HOST:PORT"] in sos.toml.
    let Some(address) = std::env::args().nth(1) else {
        return;
    };
    if let Some((host, _)) = address.rsplit_once(':') {
        match lookup_host(host) {
            Ok(addresses) => println!("{host} has {addresses:?}"),
            Err(error) => eprintln!("{host}: {error}"),
        }
    }
    match TcpStream::connect(&address) {
        Ok(stream) => println!("connected from {:?}", stream.local_addr()),
        Err(error) => eprintln!("{address}: {error}"),
    }
}
