//! The console, which `console NAME` in the shell attaches to: questions and answers.

use sos_sdk::{console, print, println};

fn ask() -> sos_sdk::Result<()> {
    loop {
        print!("name? ");
        match console::read_line()?.trim() {
            "" => println!("(an empty name ends nothing; `bye` does)"),
            "bye" => return Ok(()),
            name => println!("hello {name}"),
        }
    }
}

sos_sdk::main!(ask);
