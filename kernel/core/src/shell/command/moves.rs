//! `migrate` and `evacuate`.

use super::{Arguments, Command, CommandError, take_names};
use crate::control::{MigrateOptions, MigratePace, Owner, Request};

/// Bytes in the unit of `--bandwidth`.
const MIB: u64 = 1024 * 1024;

/// `migrate NAME NODE`, `migrate --group NAME... NODE`, `migrate --cancel NAME`, `migrate --resolve NAME here|there|drop`, or `migrate`.
pub(super) fn migrate(arguments: &mut Arguments) -> Result<Command, CommandError> {
    let format = arguments.take_format();
    if arguments.take_flag("--cancel") {
        let name = arguments.take_word("an instance")?;
        return Ok(Command::Do(Request::CancelMigration { name }, format));
    }
    if arguments.take_flag("--resolve") {
        let name = arguments.take_word("an instance")?;
        let word = arguments.take_word("here, there or drop")?;
        let owner = match word.as_str() {
            "here" => Owner::Here,
            "there" => Owner::There,
            "drop" => Owner::Nobody,
            _ => {
                return Err(arguments.wrong(alloc::format!("'{word}' is not here, there or drop")));
            }
        };
        return Ok(Command::Do(
            Request::ResolveMigration { name, owner },
            format,
        ));
    }
    let is_group = arguments.take_flag("--group");
    let options = take_options(arguments)?;
    if is_group {
        let mut names = take_names(arguments, "")?;
        let to = names.pop().filter(|_| !names.is_empty());
        let to = to.ok_or_else(|| arguments.wrong("instances and a node are missing".into()))?;
        let request = Request::MigrateGroup { names, to, options };
        return Ok(Command::Do(request, format));
    }
    if arguments.words.is_empty() {
        return Ok(Command::Do(Request::Migrations, format));
    }
    let name = arguments.take_word("an instance")?;
    let to = arguments.take_word("a node")?;
    let request = Request::Migrate { name, to, options };
    Ok(Command::Do(request, format))
}

/// `evacuate NODE...`
pub(super) fn evacuate(arguments: &mut Arguments) -> Result<Command, CommandError> {
    let format = arguments.take_format();
    let options = take_options(arguments)?;
    let to = take_names(arguments, "")?;
    Ok(Command::Do(Request::Evacuate { to, options }, format))
}

fn take_options(arguments: &mut Arguments) -> Result<MigrateOptions, CommandError> {
    let pace = match (arguments.take_flag("--live"), arguments.take_flag("--cold")) {
        (true, true) => return Err(arguments.wrong("--live and --cold exclude each other".into())),
        (_, true) => MigratePace::Cold,
        (_, false) => MigratePace::Live,
    };
    let bandwidth: Option<u64> = arguments.take_number("--bandwidth")?;
    if bandwidth == Some(0) {
        return Err(arguments.wrong("--bandwidth wants at least 1 MiB a second".into()));
    }
    Ok(MigrateOptions {
        pace,
        bandwidth: bandwidth.map(|mib| mib.saturating_mul(MIB)),
        downtime_ms: arguments.take_number("--downtime")?,
    })
}
