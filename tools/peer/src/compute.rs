//! The rows that compare engines: the same assembled wasmi, the same module, the same slices of
//! fuel as in SOS, in an ordinary process.

use std::fmt::{self, Display};
use std::fs;
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};

use sos_engine::{
    CompilationMode, Config, Engine, Error, Extern, ExternType, Func, GuestMemory, Instance,
    Module, ResumableCall, Segments, Store, Val,
};

use crate::machine::monotonic_ns;

/// What a module's memory may grow to; only touched pages cost anything.
const MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// More fuel than any service of the bench uses before its first host call.
const BEGINNING_FUEL: u64 = 10_000_000;
/// The argument with which process 1 starts itself again as one instance.
pub const INSTANCE_ARGUMENT: &str = "--instance";

/// A module's `run` export and how to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The module file.
    pub module: String,
    /// What `run` is given.
    pub iterations: u32,
    /// Fuel between two returns to the caller, as between two turns of SOS's scheduler.
    pub slice_fuel: u64,
}

/// What one run took and gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// From the first instruction to the last.
    pub elapsed_ns: u64,
    /// The result of `run`.
    pub checksum: u32,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "in {} ns checksum {:08x}",
            self.elapsed_ns, self.checksum
        )
    }
}

/// Tells the bench that what it times begins, so that it can watch the machine from then on.
fn announce() {
    println!("peer: begins");
}

/// Runs the work in this process and times it.
pub fn run(work: &Work) -> io::Result<Outcome> {
    let bytes = fs::read(&work.module)?;
    let mut instance = Loaded::new(&bytes).map_err(io::Error::other)?;
    announce();
    let began_ns = monotonic_ns();
    let checksum = instance
        .run(work.iterations, work.slice_fuel)
        .map_err(io::Error::other)?;
    Ok(Outcome {
        elapsed_ns: monotonic_ns() - began_ns,
        checksum,
    })
}

/// Starts a process per run that instantiates the module; times from the request to the first
/// instruction. The kernel's page cache is warm after the first run, which is left out.
pub fn time_starts(module: &str, runs: usize) -> io::Result<Vec<u64>> {
    time_start(module)?;
    let timed = |_| {
        announce();
        time_start(module)
    };
    (0..runs).map(timed).collect()
}

fn time_start(module: &str) -> io::Result<u64> {
    let began_ns = monotonic_ns();
    let mut child = Command::new("/proc/self/exe")
        .args([INSTANCE_ARGUMENT, module])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut reached = [0; 8];
    let result = child
        .stdout
        .take()
        .map(|mut output| output.read_exact(&mut reached));
    child.wait()?;
    result.ok_or_else(|| io::Error::other("no pipe from the instance"))??;
    Ok(u64::from_le_bytes(reached) - began_ns)
}

/// The life of such a process: load, note the moment before the first instruction, run it up to
/// its first host call, report.
pub fn instance_main(module: &str) -> io::Result<()> {
    let bytes = fs::read(module)?;
    let mut instance = Loaded::new(&bytes).map_err(io::Error::other)?;
    let reached_ns = monotonic_ns();
    instance.begin().map_err(io::Error::other)?;
    io::stdout().write_all(&reached_ns.to_le_bytes())
}

/// Where executed programs may work.
pub const WORK_FOLDER: &str = "/data";

/// How an executed program ended.
pub struct Ended {
    /// From the start of its process to its end.
    pub elapsed_ns: u64,
    /// What the system says of its end.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub output: String,
}

/// Runs a program with [`WORK_FOLDER`] there, as a shell would.
pub fn execute(program: &str, arguments: &[String]) -> io::Result<Ended> {
    fs::create_dir_all(WORK_FOLDER)?;
    announce();
    let began_ns = monotonic_ns();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()?;
    Ok(Ended {
        elapsed_ns: monotonic_ns() - began_ns,
        status: output.status,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
    })
}

struct Loaded {
    store: Store<()>,
    instance: Instance,
}

impl Loaded {
    fn new(bytes: &[u8]) -> Result<Loaded, Error> {
        let mut config = Config::default();
        config
            .consume_fuel(true)
            .compilation_mode(CompilationMode::Eager);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, bytes)?;
        let mut store = Store::new(&engine, ());
        let imports = refused_imports(&module, &mut store)?;
        let memories = module
            .defined_memories()
            .map(|_| GuestMemory::zeroed(MEMORY_BYTES));
        let memories = memories.collect();
        let (instance, start) = store.instantiate(&module, imports, memories, Segments::Applied)?;
        if start.is_some() {
            return Err(Error::new(
                "the module has a start function: the bench's kernels have none",
            ));
        }
        Ok(Loaded { store, instance })
    }

    /// Runs a service's entry point until it wants something of the host.
    fn begin(&mut self) -> Result<(), Error> {
        let function = self
            .instance
            .get_func(&self.store, "_start")
            .ok_or_else(|| Error::new("the module exports no function `_start`"))?;
        self.store.set_fuel(BEGINNING_FUEL)?;
        match function.call_resumable(&mut self.store, &[], &mut [])? {
            ResumableCall::HostTrap(_) | ResumableCall::Finished => Ok(()),
            ResumableCall::OutOfFuel(_) => Err(Error::new("the service computes before it calls")),
        }
    }

    fn run(&mut self, iterations: u32, slice_fuel: u64) -> Result<u32, Error> {
        let function = self
            .instance
            .get_func(&self.store, "run")
            .ok_or_else(|| Error::new("the module exports no function `run`"))?;
        let mut results = [Val::I32(0)];
        self.store.set_fuel(slice_fuel)?;
        let arguments = [Val::I32(iterations as i32)];
        let mut call = function.call_resumable(&mut self.store, &arguments, &mut results)?;
        while let ResumableCall::OutOfFuel(suspended) = call {
            let fuel = (self.store.get_fuel()? + slice_fuel).max(suspended.required_fuel());
            self.store.set_fuel(fuel)?;
            call = suspended.resume(&mut self.store, &mut results)?;
        }
        match (call, &results) {
            (ResumableCall::Finished, [Val::I32(checksum)]) => Ok(*checksum as u32),
            _ => Err(Error::new(
                "`run` called the host, which the bench's kernels must not",
            )),
        }
    }
}

/// Stands in for SOS's host calls: `run` is pure computation and calls none.
fn refused_imports(module: &Module, store: &mut Store<()>) -> Result<Vec<Extern>, Error> {
    module
        .imports()
        .map(|import| match import.ty() {
            ExternType::Func(signature) => Ok(Extern::Func(Func::new(
                &mut *store,
                signature.clone(),
                |_, _, _| Err(Error::new("host call during a pure computation")),
            ))),
            _ => Err(Error::new(
                "the module imports something that is not a function",
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts down from the argument in a loop and returns 7; imports what it never calls.
    const COUNTDOWN: &str = r#"(module
        (import "sos" "exit" (func (param i32)))
        (memory 1)
        (func (export "run") (param i32) (result i32)
            (loop $again
                (if (local.get 0) (then
                    (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                    (br $again))))
            (i32.const 7)))"#;

    #[test]
    fn a_module_runs_in_slices_to_its_result() {
        let bytes = wat::parse_str(COUNTDOWN).expect("the text is a module");
        let mut loaded = Loaded::new(&bytes).expect("the module loads");
        assert_eq!(loaded.run(10_000, 100).expect("it runs"), 7);
    }

    #[test]
    fn a_module_that_calls_the_host_is_refused() {
        let text = r#"(module (import "sos" "exit" (func $exit (param i32)))
            (func (export "run") (param i32) (result i32)
                (call $exit (i32.const 1)) (i32.const 7)))"#;
        let bytes = wat::parse_str(text).expect("the text is a module");
        let mut loaded = Loaded::new(&bytes).expect("the module loads");
        assert!(loaded.run(1, 1000).is_err());
    }

    #[test]
    fn a_service_begins_and_stops_at_its_first_host_call() {
        let text = r#"(module (import "sos" "exit" (func $exit (param i32)))
            (func (export "_start") (call $exit (i32.const 1))))"#;
        let bytes = wat::parse_str(text).expect("the text is a module");
        let mut loaded = Loaded::new(&bytes).expect("the module loads");
        assert!(loaded.begin().is_ok());
    }
}
