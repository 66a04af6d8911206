//! What the tests share: [`sim`], the simulated machine and cluster; [`qemu`], real boots; and the
//! guests' modules.

pub mod qemu;
pub mod sim;

/// The modules of guests of this workspace, built when needed.
///
/// # Panics
/// When they cannot be built; the message says what is missing.
pub fn guests<const COUNT: usize>(names: [&str; COUNT]) -> [Vec<u8>; COUNT] {
    let paths = sos::build::guests(&names).unwrap_or_else(|error| panic!("guests: {error:#}"));
    let mut modules = paths.iter().map(|path| {
        std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    std::array::from_fn(|_| modules.next().expect("a module for each guest"))
}
