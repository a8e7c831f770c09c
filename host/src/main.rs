//! The `plugfit` program.

fn main() -> std::process::ExitCode {
    plugfit::cli::main()
}
