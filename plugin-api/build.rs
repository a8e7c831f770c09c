//! Exports the compiler version and the target triple to the manifest, and sets `cfg(avx512)` if the compiler supports
//! it.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(avx512)");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    // For example "rustc 1.95.0 (59807616e 2026-04-14)".
    let short = version.split(" (").next().unwrap_or_default().trim();
    println!("cargo::rustc-env=PLUGFIT_COMPILER={short}");
    println!("cargo::rustc-env=PLUGFIT_TARGET={}", env::var("TARGET").unwrap_or_default());
    // AVX-512 target features are stable since 1.89.
    let minor = short.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap_or(0);
    if minor >= 89 {
        println!("cargo::rustc-cfg=avx512");
    }
}
