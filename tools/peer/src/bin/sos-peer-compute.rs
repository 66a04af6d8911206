//! The peer that computes: runs kernels in wasmi, or starts processes that instantiate a module.

use std::io;

use sos_peer::compute;
use sos_peer::options::Task;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if let (Some(compute::INSTANCE_ARGUMENT), Some(module)) =
        (arguments.next().as_deref(), arguments.next())
    {
        if let Err(error) = compute::instance_main(&module) {
            eprintln!("peer: failed: instance: {error}");
            std::process::exit(1);
        }
        return;
    }
    sos_peer::as_init(work);
}

fn work(words: &str) -> io::Result<()> {
    match Task::from_command_line(words) {
        None => Err(io::Error::other(
            "none of peer.compute, peer.start and peer.execute says what to do",
        )),
        Some(Task::Compute(works)) => {
            for work in works {
                println!(
                    "peer: {}: {} iterations {}",
                    work.module,
                    work.iterations,
                    compute::run(&work)?
                );
            }
            Ok(())
        }
        Some(Task::Start { module, runs }) => {
            for elapsed_ns in compute::time_starts(&module, runs)? {
                println!("peer: start {elapsed_ns} ns");
            }
            Ok(())
        }
        Some(Task::Execute { program, arguments }) => {
            let ended = compute::execute(&program, &arguments)?;
            for line in ended.output.lines() {
                println!("peer: printed {line}");
            }
            println!(
                "peer: executed in {} ns, {}",
                ended.elapsed_ns, ended.status
            );
            Ok(())
        }
    }
}
