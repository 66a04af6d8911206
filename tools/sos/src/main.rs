//! The `sos` program: hands its arguments to [`sos::cli`].

fn main() -> std::process::ExitCode {
    sos::cli::main()
}
