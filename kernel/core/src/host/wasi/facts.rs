//! Arguments and environment: `args_*`, `environ_*`.

use alloc::string::String;

use sos_abi::wasi::Errno;

use super::memory::{Out, array, bytes, bytes_mut};
use super::{Progress, WasiResult};
use crate::host::guest::Guest;
use crate::host::memory::Arguments;

/// Bytes of a pointer in a program's memory.
const POINTER: u32 = 4;

impl Guest {
    pub(super) fn args_get(&mut self, memory: &mut [u8], arguments: Arguments<'_>) -> WasiResult {
        let all = self.program_and_arguments();
        let written = write_texts(memory, arguments, all.map(|text| [text]))?;
        self.charge_bytes(written);
        Ok(Progress::Done)
    }

    pub(super) fn args_sizes_get(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let all = self.program_and_arguments();
        write_sizes(memory, arguments, all.map(|text| [text]))
    }

    pub(super) fn environ_get(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        let written = write_texts(memory, arguments, self.variables())?;
        self.charge_bytes(written);
        Ok(Progress::Done)
    }

    pub(super) fn environ_sizes_get(
        &mut self,
        memory: &mut [u8],
        arguments: Arguments<'_>,
    ) -> WasiResult {
        write_sizes(memory, arguments, self.variables())
    }

    /// The first argument of a WASI program is its name.
    fn program_and_arguments(&self) -> impl Iterator<Item = &str> + Clone {
        let arguments = self.arguments.iter().map(String::as_str);
        core::iter::once(self.program.as_str()).chain(arguments)
    }

    fn variables(&self) -> impl Iterator<Item = [&str; 3]> + Clone {
        let variables = self.environment.iter();
        variables.map(|(key, value)| [key.as_str(), "=", value.as_str()])
    }
}

/// The number of texts and the bytes that they take with their ends.
fn sizes<'a, const N: usize>(texts: impl Iterator<Item = [&'a str; N]>) -> (u32, u32) {
    let (mut count, mut total) = (0, 0);
    for parts in texts {
        count += 1;
        total += 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    }
    // A manifest's arguments and variables are far below 4 GiB (`limits`).
    (count, total as u32)
}

/// Writes the number of texts and the bytes that they take.
fn write_sizes<'a, const N: usize>(
    memory: &mut [u8],
    arguments: Arguments<'_>,
    texts: impl Iterator<Item = [&'a str; N]>,
) -> WasiResult {
    let count_out = Out::<4>::new(memory, arguments.u32(0))?;
    let bytes_out = Out::<4>::new(memory, arguments.u32(1))?;
    let (count, total) = sizes(texts);
    count_out.write_u32(memory, count)?;
    bytes_out.write_u32(memory, total)?;
    Ok(Progress::Done)
}

/// Writes a pointer to each text at argument 0 and the texts at argument 1, each of its parts after
/// the other and a zero byte at its end: how many bytes it wrote.
fn write_texts<'a, const N: usize>(
    memory: &mut [u8],
    arguments: Arguments<'_>,
    texts: impl Iterator<Item = [&'a str; N]> + Clone,
) -> Result<usize, Errno> {
    let (pointers, mut at) = (arguments.u32(0), arguments.u32(1));
    let (count, total) = sizes(texts.clone());
    array(memory, pointers, count, POINTER)?;
    bytes(memory, at, total)?;
    // Both arrays are in bounds, so nothing below overflows.
    for (index, parts) in texts.enumerate() {
        let pointer = Out::<4>::new(memory, pointers + index as u32 * POINTER)?;
        pointer.write_u32(memory, at)?;
        for part in parts.into_iter().chain(["\0"]) {
            bytes_mut(memory, at, part.len() as u32)?.copy_from_slice(part.as_bytes());
            at += part.len() as u32;
        }
    }
    Ok(total as usize)
}
