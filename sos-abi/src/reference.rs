//! The reference page of the table, `kernel/ABI.md`.

use core::fmt::{self, Write};

use crate::{CallId, ErrorCode, MODULE};

const INTRODUCTION: &str = "\
# Host calls of SOS

Rendered from the table in `sos-abi`; `UPDATE_ABI_PAGE=1 cargo test -p sos-abi` writes it anew.

A guest exports its memory as `memory` and its entry point as `_start`. Pointers and lengths are
unsigned 32-bit values. An `i32` result below zero is an error code. A pointer that is marked as
optional may be 0. Calls that wait can be interrupted by a suspension at any time and continue after
it. `flags`: NONBLOCK = 1, PEEK = 2. Poll bits: READABLE = 1, WRITABLE = 2, CLOSED = 4, FAILED = 8.
A poll entry is 12 bytes: handle, interest, ready. A socket address is 32 bytes: family (2 bytes, 4
or 6), port (2), IPv6 scope (4), address in network order (16), zero (8). All numbers are
little-endian; numbers and names are append-only.
";

/// Writes the page in Markdown.
///
/// # Errors
/// Those of `out`.
pub fn render(out: &mut dyn Write) -> fmt::Result {
    out.write_str(INTRODUCTION)?;
    write!(out, "\n## Calls (import module `{MODULE}`)\n")?;
    for &call in CallId::ALL {
        render_call(out, call)?;
    }
    out.write_str("\n## Errors\n\n| code | name | meaning |\n|---|---|---|\n")?;
    for error in ErrorCode::ALL {
        writeln!(out, "| {} | {} | {error} |", error.code(), error.name())?;
    }
    Ok(())
}

fn render_call(out: &mut dyn Write, call: CallId) -> fmt::Result {
    let signature = call.signature();
    write!(out, "\n### {} `{}(", call.number(), call.name())?;
    for (index, (name, kind)) in call
        .parameter_names()
        .iter()
        .zip(signature.parameters)
        .enumerate()
    {
        let separator = if index == 0 { "" } else { ", " };
        write!(out, "{separator}{name}: {}", kind.name())?;
    }
    out.write_str(")")?;
    if let Some(result) = signature.result {
        write!(out, " -> {}", result.name())?;
    }
    write!(out, "`\n\n{}\n", call.summary())?;
    if let Some((first, rest)) = call.errors().split_first() {
        write!(out, "Errors: {}", first.name())?;
        for error in rest {
            write!(out, ", {}", error.name())?;
        }
        out.write_str(".\n")?;
    }
    Ok(())
}
