//! Writes the specification's scripts that must pass into one file, for nodes that run them themselves
//! (`test=spec`) and for the bench. Argument: the file.

use sos_core::conformance;
use sos_tests::spec;

fn main() -> std::io::Result<()> {
    let file = std::env::args().nth(1).expect("the name of the file");
    let bundle = conformance::encode(&spec::environment(), &spec::required());
    std::fs::write(file, bundle)
}
