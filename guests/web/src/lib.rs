//! An HTTP service. `GET /` answers 200 with `text/plain` and exactly [`GREETING`];
//! `GET`, `PUT` and `DELETE` of `/kv/KEY` go through to the store.
//!
//! Configuration: `port` (80); `store`, the store's address (without it `/kv/` answers 503).

mod key;
mod store_client;

use std::convert::Infallible;

use sos_sdk::http::{Answer, Limits, Request, RequestId, Response, Server, Service, Status};
use sos_sdk::net::{Ipv4Addr, ToSocketAddrs};
use sos_sdk::poll::Event;
use sos_sdk::time::Duration;
use sos_sdk::{config, info, warn};
use store::Operation;

use store_client::{StoreClient, unavailable};

/// The body of `/`. The Linux peer of the benchmarks answers the same bytes.
const GREETING: &[u8] = b"hello from SOS\n";

/// How often to look whether the store still answers, while requests wait for it.
const STORE_CHECK: Duration = Duration::from_millis(500);

struct Web {
    store: Option<StoreClient>,
}

impl Service for Web {
    fn request(&mut self, request: &Request<'_>, response: Response<'_>, id: RequestId) -> Answer {
        let path = request.target.split('?').next().unwrap_or_default();
        if path == "/" {
            match request.method {
                "GET" => response.send(Status::OK, GREETING),
                _ => response.refuse_method("GET"),
            }
            return Answer::Now;
        }
        match path.strip_prefix("/kv/") {
            Some(key) => self.key_request(key, request, response, id),
            None => {
                response.refuse(Status::NOT_FOUND);
                Answer::Now
            }
        }
    }

    fn event(&mut self, event: Event, server: &mut Server) {
        if let Some(store) = &mut self.store {
            store.event(event, server);
        }
    }
}

impl Web {
    fn key_request(
        &mut self,
        key: &str,
        request: &Request<'_>,
        response: Response<'_>,
        id: RequestId,
    ) -> Answer {
        let (operation, value) = match request.method {
            "GET" => (Operation::Get, &b""[..]),
            "PUT" => (Operation::Put, request.body),
            "DELETE" => (Operation::Delete, &b""[..]),
            _ => {
                response.refuse_method("GET, PUT, DELETE");
                return Answer::Now;
            }
        };
        let key = match key::decode(key) {
            Ok(key) => key,
            Err(reason) => {
                response.send(Status::BAD_REQUEST, reason.as_bytes());
                return Answer::Now;
            }
        };
        let request = store::Request {
            operation,
            key: &key,
            value,
        };
        let is_asked = self
            .store
            .as_mut()
            .is_some_and(|store| store.ask(&request, id));
        if is_asked {
            return Answer::Later;
        }
        unavailable(response);
        Answer::Now
    }
}

/// Serves for ever.
///
/// # Errors
/// Those of listening and polling.
pub fn serve() -> sos_sdk::Result<Infallible> {
    let port: u16 = config::parse("port").unwrap_or(80);
    let mut server = Server::bind((Ipv4Addr::UNSPECIFIED.into(), port), Limits::default())?;
    let mut web = Web {
        store: find_store(),
    };
    info!("serving HTTP on port {port}");
    let mut events = Vec::new();
    loop {
        let waits = web.store.as_ref().is_some_and(StoreClient::is_waiting);
        server.turn(&mut web, &mut events, waits.then_some(STORE_CHECK))?;
        if let Some(store) = &mut web.store {
            store.turn(&mut server);
        }
    }
}

fn find_store() -> Option<StoreClient> {
    let Some(address) = config::get("store") else {
        info!("no store is configured; /kv/ answers 503");
        return None;
    };
    match address.to_socket_addrs() {
        Ok(addresses) => addresses.first().map(|&address| StoreClient::new(address)),
        Err(error) => {
            warn!("store = \"{address}\": {error}; /kv/ answers 503");
            None
        }
    }
}
