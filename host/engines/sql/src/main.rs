//! The program `plugfit-score`.

fn main() -> std::process::ExitCode {
    plugfit_sql::cli::main()
}
