//! A script that makes host calls in every manner it knows and logs what comes of each, one line
//! behind [`MARK`]. A test runs it under the kernel and on the SDK's simulated node and compares the
//! lines: what an author's test sees is what the service will see.
//!
//! The role is the first argument: `client` runs the script against the instances `server`
//! (10.0.0.2, also fd00::2), whose TCP services it needs, and `echo` (10.0.0.3), which sends
//! datagrams back. The client's own address is 10.0.0.4, and it may have eight sockets.

mod client;
mod observe;
mod server;

pub use observe::MARK;

/// Runs the role of the first argument.
///
/// # Errors
/// Those of a call that the script cannot go on without.
pub fn run() -> sos_sdk::Result<()> {
    match sos_sdk::args().first().map(String::as_str) {
        Some("client") => client::run(),
        Some("server") => server::serve_streams(),
        Some("echo") => server::serve_datagrams(),
        role => {
            sos_sdk::error!("unknown role {role:?}: choose from client, server, echo");
            Ok(())
        }
    }
}
