//! The table as a C header, `sdk/c/sos.h`.

use core::fmt::{self, Write};

use crate::{CallId, ErrorCode, ValueType};

const BEGIN: &str = r#"/* Host calls of SOS for C and C++.
 *
 * Rendered from the table in `sos-abi`; `UPDATE_C_HEADER=1 cargo test -p sos-abi` writes it anew.
 * What each call does in detail stands in kernel/ABI.md.
 *
 * A result below zero is one of the error codes. Calls that wait do so in the kernel; with SOS_NONBLOCK
 * they return SOS_ERROR_WOULD_BLOCK instead, and sos_poll waits for many sockets. Works without a C library and
 * beside one: a program for WASI has these calls for what WASI lacks. Compile with
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--export=_start -o service.wasm service.c
 *
 * or name the source in the manifest, `module = "./service.c"`, which does so when it defines `_start`,
 * and links wasi-libc when it defines `main`.
 */
#ifndef SOS_H
#define SOS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef __wasm__
#error "sos.h is for WebAssembly: compile with clang --target=wasm32 or --target=wasm32-wasi"
#endif

#define SOS_IMPORT(name) __attribute__((import_module("sos"), import_name(#name)))

/* An IP address and a port. */
typedef struct sos_address {
    uint16_t family; /* 4 or 6 */
    uint16_t port;
    uint32_t scope;  /* of an IPv6 address, else 0 */
    uint8_t ip[16];  /* in network order; an IPv4 address takes the first four */
    uint8_t zero[8];
} sos_address;

/* One socket that sos_poll watches. */
typedef struct sos_poll_entry {
    int32_t handle;
    uint32_t interest; /* SOS_READABLE, SOS_WRITABLE or both */
    uint32_t ready;    /* written by sos_poll; SOS_CLOSED and SOS_FAILED whatever the interest */
} sos_poll_entry;

/* The IPv4 address a.b.c.d with a port; 0.0.0.0 means every interface. */
static inline sos_address sos_ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) {
    sos_address address = {4, port, 0, {a, b, c, d}, {0}};
    return address;
}
"#;

const END: &str = r#"
#ifdef __cplusplus
}
#endif

#endif
"#;

/// Names and values that calls take, with what they are for.
const CONSTANTS: [(&str, usize); 24] = [
    ("SOS_NONBLOCK", crate::NONBLOCK as usize),
    ("SOS_PEEK", crate::PEEK as usize),
    ("SOS_SHUTDOWN_READ", crate::SHUTDOWN_READ as usize),
    ("SOS_SHUTDOWN_WRITE", crate::SHUTDOWN_WRITE as usize),
    ("SOS_SHUTDOWN_BOTH", crate::SHUTDOWN_BOTH as usize),
    ("SOS_OPTION_NODELAY", crate::OPTION_NODELAY as usize),
    ("SOS_OPTION_KEEPALIVE", crate::OPTION_KEEPALIVE as usize),
    ("SOS_READABLE", crate::POLL_READABLE as usize),
    ("SOS_WRITABLE", crate::POLL_WRITABLE as usize),
    ("SOS_CLOSED", crate::POLL_CLOSED as usize),
    ("SOS_FAILED", crate::POLL_FAILED as usize),
    ("SOS_LOG_ERROR", crate::LOG_ERROR as usize),
    ("SOS_LOG_WARNING", crate::LOG_WARNING as usize),
    ("SOS_LOG_INFORMATION", crate::LOG_INFORMATION as usize),
    ("SOS_LOG_DEBUG", crate::LOG_DEBUG as usize),
    ("SOS_REVIVAL_ANY", crate::REVIVAL_ANY as usize),
    ("SOS_REVIVAL_RESUMED", crate::REVIVAL_RESUMED as usize),
    ("SOS_REVIVAL_RESTORED", crate::REVIVAL_RESTORED as usize),
    ("SOS_REVIVAL_CLONED", crate::REVIVAL_CLONED as usize),
    ("SOS_CALL_BYTES", crate::CALL_BYTES),
    ("SOS_POLL_ENTRIES", crate::POLL_ENTRIES),
    ("SOS_NAME_BYTES", crate::NAME_BYTES),
    ("SOS_ADDRESS_BYTES", crate::SocketAddress::BYTES),
    ("SOS_POLL_ENTRY_BYTES", crate::PollEntry::BYTES),
];

/// Writes the header.
///
/// # Errors
/// Those of `out`.
pub fn render(out: &mut dyn Write) -> fmt::Result {
    out.write_str(BEGIN)?;
    out.write_str("\n/* Flags, options and bounds. */\n")?;
    for (name, value) in CONSTANTS {
        writeln!(out, "#define {name} {value}")?;
    }
    out.write_str(
        "\n#ifndef __cplusplus\n\
         _Static_assert(sizeof(sos_address) == SOS_ADDRESS_BYTES, \"layout\");\n\
         _Static_assert(sizeof(sos_poll_entry) == SOS_POLL_ENTRY_BYTES, \"layout\");\n\
         #endif\n\n/* Error codes. */\nenum {\n",
    )?;
    for error in ErrorCode::ALL {
        writeln!(out, "    /* {error} */")?;
        writeln!(out, "    SOS_ERROR_{} = {},", error.name(), error.code())?;
    }
    out.write_str("};\n")?;
    for &call in CallId::ALL {
        render_call(out, call)?;
    }
    out.write_str(END)
}

fn render_call(out: &mut dyn Write, call: CallId) -> fmt::Result {
    let signature = call.signature();
    write!(out, "\n/* {}", call.summary())?;
    for (index, error) in call.errors().iter().enumerate() {
        let separator = if index == 0 { "\n * Errors: " } else { ", " };
        write!(out, "{separator}{}", error.name())?;
    }
    writeln!(out, " */\nSOS_IMPORT({})", call.name())?;
    let result = signature.result.map_or("void", plain_type);
    if call == CallId::Exit {
        out.write_str("__attribute__((noreturn)) ")?;
    }
    write!(out, "{result} sos_{}(", call.name())?;
    let parameters = call.parameter_names().iter().zip(signature.parameters);
    for (index, (name, kind)) in parameters.enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let declared = parameter_type(name).unwrap_or(plain_type(*kind));
        let space = if declared.ends_with('*') { "" } else { " " };
        write!(out, "{separator}{declared}{space}{name}")?;
    }
    let nothing = if signature.parameters.is_empty() {
        "void"
    } else {
        ""
    };
    writeln!(out, "{nothing});")
}

const fn plain_type(kind: ValueType) -> &'static str {
    match kind {
        ValueType::I32 => "int32_t",
        ValueType::I64 => "int64_t",
    }
}

/// The C type of a parameter whose name says more than its WebAssembly type does.
pub fn parameter_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "text" | "bytes" | "key" | "name" => "const void *",
        "buffer" => "void *",
        "address" => "const sos_address *",
        "peer_out" | "address_out" | "addresses_out" => "sos_address *",
        "entries" => "sos_poll_entry *",
        "length" | "key_length" | "name_length" | "capacity" | "count" | "index" | "flags"
        | "level" | "how" | "option" | "backlog" | "kind" => "uint32_t",
        "handle" | "listener" | "code" => "int32_t",
        "duration_ns" | "timeout_ns" | "value" => "int64_t",
        _ => return None,
    })
}
