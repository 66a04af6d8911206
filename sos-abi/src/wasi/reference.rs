//! The reference page of WASI, `kernel/WASI.md`: the table, and what is particular to SOS.

use core::fmt::{self, Write};

use super::{Errno, MODULE, WasiCall};
use crate::ValueType;

const INTRODUCTION: &str = "\
# WASI preview 1 in SOS

Rendered from the table in `sos-abi`; `UPDATE_ABI_PAGE=1 cargo test -p sos-abi` writes it anew.
What the functions mean stands in the specification (WebAssembly/WASI, `legacy/preview1`). This page
says which there are, all of them, and what is particular here. A program may use them beside the
native calls (`ABI.md`), which have what preview 1 lacks: outgoing connections, UDP, names.

## What a program finds

- Arguments: the module's name, then those of the manifest. Environment: that of the manifest.
- Descriptors: 0, 1 and 2 are the standard streams; then come the manifest's listening sockets, from 3
  on, in its order; then its preopened directories. A new descriptor has the lowest free number.
- Standard output and error go to the instance's console, or to whoever runs it (`exec`); what is
  written to standard error goes line by line to its log too, as warnings. Standard input is what is
  typed at the console. A console is a terminal (a character device), a pipe is of unknown type.
- Files: a tree in memory over the read-only files of the image, bounded by `file_bytes` and `files`.
  What is written is in its only store at once, so the synchronous flags and functions hold anyway.
- The entry is `_start`; the status is 0 when it returns, else that of `proc_exit`.

## Rules

- Address 0 is a place like any other, and no alignment is asked for. A range that ends past the memory
  is FAULT; no function has an effect before all that it was given is checked.
- One call moves at most 64 KiB and then says how many bytes it were; `random_get`, `fd_readdir` and a
  `sock_recv` that waits for all go on by themselves, with others' turns between.
- At most 1024 descriptors (MFILE), 1024 buffers of one call and 1024 subscriptions (INVAL).
- A descriptor has the rights of its kind, or fewer: those that it was opened with. A call that does not
  fit the kind says so (NOTSOCK, SPIPE, ISDIR, NOTDIR) before rights are looked at (NOTCAPABLE).
- A call that waits survives a suspension: relative times count guest time, which stands meanwhile.

## Functions
";

/// Writes the page in Markdown.
///
/// # Errors
/// Those of `out`.
pub fn render(out: &mut dyn Write) -> fmt::Result {
    out.write_str(INTRODUCTION)?;
    write!(
        out,
        "\nImport module `{MODULE}`. Every result is an error number, 0 without an error.\n"
    )?;
    for &call in WasiCall::ALL {
        render_function(out, call)?;
    }
    out.write_str("\n## Errors\n\n| number | name | meaning |\n|---|---|---|\n")?;
    for &error in Errno::ALL {
        write!(out, "| {} | ", error.number())?;
        // The specification writes names in capitals.
        for character in NameOf(error).text().chars() {
            out.write_char(character.to_ascii_uppercase())?;
        }
        writeln!(out, " | {error} |")?;
    }
    Ok(())
}

fn render_function(out: &mut dyn Write, call: WasiCall) -> fmt::Result {
    let signature = call.signature();
    write!(out, "\n### `{}(", call.name())?;
    let parameters = call.parameter_names().iter().zip(signature.parameters);
    for (index, (name, kind)) in parameters.enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(out, "{separator}{name}: {}", kind.name())?;
    }
    out.write_str(")")?;
    if let Some(result) = signature.result.map(ValueType::name) {
        write!(out, " -> {result}")?;
    }
    write!(out, "`\n\n{}\n", call.summary())?;
    match particular(call) {
        Some(text) => writeln!(out, "{text}"),
        None => Ok(()),
    }
}

/// What is particular here about a function.
fn particular(call: WasiCall) -> Option<&'static str> {
    Some(match call {
        WasiCall::ArgsGet | WasiCall::ArgsSizesGet => {
            "The first argument is the name that the manifest gives the module."
        }
        WasiCall::ClockResGet => "Every clock counts nanoseconds.",
        WasiCall::ClockTimeGet => {
            "The monotonic clock counts from the instance's start and stands while it is paused; the \
             realtime clock does not. The two CPU clocks are the same: an instance has one thread."
        }
        WasiCall::FdFdstatSetFlags => "Every flag may be set and cleared on every descriptor.",
        WasiCall::FdPread | WasiCall::FdPwrite | WasiCall::FdSeek | WasiCall::FdTell => {
            "Streams and sockets have no position: SPIPE. APPEND does not bind `fd_pwrite`."
        }
        WasiCall::FdPrestatGet => {
            "A socket answers with tag 1 and no name: C libraries stop their search for directories \
             at the first descriptor that answers BADF, and listeners come before the directories."
        }
        WasiCall::FdPrestatDirName => "A buffer that is too short is NAMETOOLONG.",
        WasiCall::FdRenumber => "Both descriptors must be open.",
        WasiCall::PollOneoff => {
            "What is wrong with one subscription is said in its event, and all that are ready are told \
             together. Listeners are readable when a connection waits. CPU clocks are NOTSUP, since \
             a program that waits uses none. No subscriptions are INVAL."
        }
        WasiCall::ProcRaise => {
            "A signal that ends a program ends it with status 128 and its number; those that are \
             ignored are; those that stop a program are NOTSUP."
        }
        WasiCall::SockAccept => "NONBLOCK is the one flag.",
        WasiCall::SockRecv => "With PEEK, WAITALL waits for the first bytes only.",
        _ => return None,
    })
}

/// The specification's name of an error.
struct NameOf(Errno);

impl NameOf {
    fn text(&self) -> &'static str {
        match self.0 {
            Errno::TooBig => "2BIG",
            other => other.name(),
        }
    }
}
