//! The `sos` program.
fn main() -> anyhow::Result<()> {
    sos::setup::ensure()?;
    for file in sos::build::guests(&["hello"])? {
        println!("{}", file.display());
    }
    println!("{}", sos::build::kernel()?.display());
    Ok(())
}
