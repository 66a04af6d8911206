//! What an instance's program is given besides its ports: libraries, environment, listeners, and the
//! check that it still serves.

use alloc::collections::BTreeSet;
use core::net::IpAddr;

use super::{bound, is_host, require_text};
use crate::image::{
    HealthCheck, HealthSpec, InstanceSpec, Item, LibrarySpec, ListenerSpec, ManifestError,
};
use crate::limits;

/// What modules import from under these names is the kernel's or the set's own.
const RESERVED_NAMES: [&str; 3] = ["main", "sos", "wasi_snapshot_preview1"];
/// The shortest interval and timeout of a health check: below, the check would be the load.
const LEAST_HEALTH_MILLIS: u32 = 10;

/// Says what is wrong with an instance's program, if anything is.
pub(super) fn validate(instance: &InstanceSpec) -> Result<(), ManifestError> {
    validate_libraries(instance)?;
    validate_environment(instance)?;
    validate_listeners(instance)?;
    instance
        .health
        .as_ref()
        .map_or(Ok(()), |health| validate_health(instance, health))
}

fn validate_libraries(instance: &InstanceSpec) -> Result<(), ManifestError> {
    let count = instance.libraries.len();
    bound(count, limits::LIBRARIES, "libraries", || {
        Item::Instance(instance.name.clone())
    })?;
    let mut names = BTreeSet::new();
    for LibrarySpec {
        name, module_name, ..
    } in &instance.libraries
    {
        let item = || Item::Library {
            instance: instance.name.clone(),
            library: name.clone(),
        };
        // Toolchains choose module names, so more is allowed than in names of ours.
        let sound = (1..=limits::NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound {
            return Err(ManifestError::BadText {
                item: item(),
                what: "name",
                wanted: "a short text of visible ASCII characters",
            });
        }
        require_text(module_name, "module name", item)?;
        if RESERVED_NAMES.contains(&name.as_str()) {
            return Err(ManifestError::ReservedName { item: item() });
        }
        if !names.insert(name) {
            return Err(ManifestError::DuplicateName { item: item() });
        }
    }
    Ok(())
}

fn validate_environment(instance: &InstanceSpec) -> Result<(), ManifestError> {
    let count = instance.environment.len();
    bound(
        count,
        limits::ENVIRONMENT_ENTRIES,
        "entries of `env`",
        || Item::Instance(instance.name.clone()),
    )?;
    let mut keys = BTreeSet::new();
    for (key, value) in &instance.environment {
        let item = || Item::Environment {
            instance: instance.name.clone(),
            key: key.clone(),
        };
        // A program finds each entry as `KEY=value` that ends with a zero byte.
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(ManifestError::BadText {
                item: item(),
                what: "key",
                wanted: "at least one character, and no `=`",
            });
        }
        if value.contains('\0') {
            return Err(ManifestError::BadText {
                item: item(),
                what: "value",
                wanted: "text without zero bytes",
            });
        }
        require_text(key, "key", item)?;
        require_text(value, "value", item)?;
        if !keys.insert(key) {
            return Err(ManifestError::DuplicateName { item: item() });
        }
    }
    Ok(())
}

fn validate_listeners(instance: &InstanceSpec) -> Result<(), ManifestError> {
    let whole = || Item::Instance(instance.name.clone());
    let count = instance.listeners.len();
    bound(count, limits::PREOPENS, "listeners", whole)?;
    let sockets = instance.limits.sockets as usize;
    bound(count, sockets, "listeners for its limit of sockets", whole)?;
    let mut taken: BTreeSet<(u16, Option<IpAddr>)> = BTreeSet::new();
    for &ListenerSpec { address, port } in &instance.listeners {
        let item = || Item::Listener {
            instance: instance.name.clone(),
            port,
        };
        if port == 0 {
            return Err(ManifestError::BadText {
                item: item(),
                what: "port",
                wanted: "1 to 65535",
            });
        }
        if let Some(address) = address
            && !is_host(address)
        {
            return Err(ManifestError::BadAddress {
                port: item(),
                address,
            });
        }
        // A listener at every address excludes all others of its port.
        let overlaps = taken.iter().any(|(other, held)| {
            *other == port && (held.is_none() || address.is_none() || *held == address)
        });
        if overlaps {
            return Err(ManifestError::ListenerTaken { item: item() });
        }
        taken.insert((port, address));
    }
    Ok(())
}

fn validate_health(instance: &InstanceSpec, health: &HealthSpec) -> Result<(), ManifestError> {
    let item = || Item::Health(instance.name.clone());
    let most = limits::HEALTH_MILLIS_MOST;
    let rows = [
        ("interval", health.interval_ms, LEAST_HEALTH_MILLIS, most),
        ("timeout", health.timeout_ms, LEAST_HEALTH_MILLIS, most),
        ("failures", health.failures, 1, limits::HEALTH_FAILURES_MOST),
        ("grace", health.grace_ms, 0, most),
    ];
    for (key, value, least, most) in rows {
        if !(least..=most).contains(&value) {
            return Err(ManifestError::OutOfRange {
                item: item(),
                key,
                least: least.into(),
                most: most.into(),
            });
        }
    }
    let (port, path) = match &health.check {
        HealthCheck::Tcp { port } => (*port, "/"),
        HealthCheck::Http { port, path } => (*port, path.as_str()),
    };
    if port == 0 {
        return Err(ManifestError::OutOfRange {
            item: item(),
            key: "port",
            least: 1,
            most: u16::MAX.into(),
        });
    }
    require_text(path, "path", item)?;
    // It stands between two blanks of the request's first line (RFC 9112 section 3).
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ManifestError::BadText {
            item: item(),
            what: "path",
            wanted: "visible ASCII characters that begin with `/`",
        });
    }
    Ok(())
}
