//! Tests that repeated calls across the boundary leak no memory and no files.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use plugfit_tests::{
    boundary::Boundary,
    build::{c_library, library},
    run::folder,
};
use std::{path::Path, process::Command};

/// Returns the number of bytes that all libraries of this process have allocated.
fn allocated() -> usize {
    // SAFETY: `mallinfo2` has no arguments and only reads the statistics of malloc.
    unsafe { libc::mallinfo2() }.uordblks
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the process's files").count()
}

/// Builds a library with a function that is a loss, and returns its identifier.
fn squares(folder: &Path) -> String {
    let text = "#include <stddef.h>\n\
        void squares(const float *y_true, const float *y_pred, size_t rows, size_t columns, float *out) {\n\
            for (size_t i = 0; i < rows; i++) {\n\
                out[i] = 0;\n\
                for (size_t j = i * columns; j < (i + 1) * columns; j++)\n\
                    out[i] += (y_true[j] - y_pred[j]) * (y_true[j] - y_pred[j]);\n\
            }\n\
        }\n";
    format!("{}#squares", c_library(folder, "squares", text, &[]).display())
}

#[test]
fn no_call_across_the_boundary_leaks_memory_or_files() {
    // malloc counts its per-thread caches as allocated. Run the test again in a process without them.
    const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
    if std::env::var(TUNABLES.0).is_err() {
        let this = std::env::current_exe().expect("this test");
        let ran = Command::new(this).env(TUNABLES.0, TUNABLES.1).status();
        return assert!(ran.expect("it runs again").success());
    }
    let folder = folder();
    let mut libraries =
        ["plugfit-standard", "stepsize", "hostile"].map(|name| library(name).display().to_string()).to_vec();
    libraries.push(squares(folder.path()));
    let boundary = Boundary::new(&libraries);
    let round = || assert!(boundary.round() > 80, "too few components were made");
    // Threads and their caches are created once, in the first rounds.
    (0..5).for_each(|_| round());
    let (before, files) = (allocated(), open_files());
    const ROUNDS: usize = 50;
    (0..ROUNDS).for_each(|_| round());
    assert_eq!(open_files(), files, "files were left open");
    let grown = allocated().saturating_sub(before);
    // malloc allocates at least 32 bytes.
    assert!(grown < 16 * ROUNDS, "{ROUNDS} rounds left {grown} bytes behind");
}
