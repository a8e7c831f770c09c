//! Builds the program and plug-ins when a test first needs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the root folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' folder is in the project's")
}

/// Returns the folder with the build outputs of this test, such as `target/debug`.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let deps = test.parent().expect("it lies in a folder");
    deps.parent().expect("which lies in the profile's").to_owned()
}

/// Returns a target folder for builds other than that of this test.
fn other_target(name: &str) -> PathBuf {
    let profile = folder();
    profile.parent().expect("the profile's folder lies in the target folder").join(name)
}

/// Runs cargo.
///
/// # Panics
/// Panics if cargo fails.
pub fn cargo(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) {
    if let Err(error) = try_cargo(folder, arguments, environment) {
        panic!("cargo {} in {}:\n{error}", arguments.join(" "), folder.display());
    }
}

/// Runs cargo.
///
/// # Errors
/// Returns the stderr of cargo if it fails.
pub fn try_cargo(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(arguments).envs(environment.iter().copied());
    // Cargo sets these variables for this test. They must not affect another build.
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CARGO_PKG") || key == "CARGO_MANIFEST_DIR") {
        command.env_remove(key);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Builds the program and the plug-ins of the workspace and returns their folder. Their dependencies are those of these
/// tests, so most of the build is already done.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = folder();
        let profile = if folder.ends_with("release") { "release" } else { "dev" };
        let target = folder.parent().expect("it lies in the target folder").display().to_string();
        // Build the whole workspace. A part of it would select other features of the dependencies and rebuild them. The
        // mutation tests select no others, and no test uses their program.
        let arguments = ["build", "--quiet", "--workspace", "--exclude", "plugfit-mutants", "--profile", profile];
        cargo(root(), &arguments, &[("CARGO_TARGET_DIR", &target)]);
        folder
    })
}

/// Returns the path of the program.
pub fn program() -> PathBuf {
    built().join("plugfit")
}

/// Returns the library of a plug-in of the workspace.
pub fn library(package: &str) -> PathBuf {
    built().join(format!("lib{}.so", package.replace('-', "_")))
}

/// The compiler of a build.
#[derive(Clone, Copy, Debug)]
pub enum Compiler {
    /// The compiler of this build.
    Own,
    /// A rustup toolchain.
    Toolchain(&'static str),
    /// The rustc at this path.
    At(&'static str),
}

/// Builds the crate `name` in any folder and returns its library. `target` names the target folder; builds with
/// different flags need different ones.
///
/// # Errors
/// Returns the stderr of cargo if it fails.
pub fn build_crate(
    folder: &Path,
    name: &str,
    target: &str,
    compiler: Compiler,
    flags: &str,
) -> Result<PathBuf, String> {
    let target = other_target(target);
    let target_text = target.display().to_string();
    let mut arguments = vec!["build", "--quiet", "--lib"];
    let mut environment =
        vec![("CARGO_TARGET_DIR", target_text.as_str()), ("RUSTFLAGS", flags), ("CARGO_PROFILE_DEV_DEBUG", "0")];
    let toolchain;
    match compiler {
        Compiler::Own => {}
        Compiler::Toolchain(name) => {
            toolchain = format!("+{name}");
            arguments.insert(0, &toolchain);
        }
        Compiler::At(rustc) => environment.push(("RUSTC", rustc)),
    }
    try_cargo(folder, &arguments, &environment)?;
    Ok(target.join("debug").join(format!("lib{}.so", name.replace('-', "_"))))
}

/// Returns the plug-in `calibration`, built with `panic = "abort"`.
pub fn calibration_with_panic_abort() -> PathBuf {
    let folder = root().join("plugins/calibration");
    build_crate(&folder, "calibration", "test-abort", Compiler::Own, "-Cpanic=abort")
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Compiles a C source, which may include `plugfit.h`, to `lib{name}.so` in a folder. Returns the path of the library.
///
/// # Panics
/// Panics if the compiler fails.
pub fn c_library(folder: &Path, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
    let (file, library) = (format!("{name}.c"), format!("lib{name}.so"));
    std::fs::write(folder.join(&file), source).expect("a file");
    let mut compiler = Command::new("cc");
    compiler.current_dir(folder).args(["-O2", "-shared", "-fPIC", "-o", &library, &file]).args(arguments);
    let output = compiler.arg("-I").arg(root().join("plugin-api/include")).output().expect("a C compiler");
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    folder.join(library)
}

/// Returns a plug-in that is built against a copy of the first ABI.
pub fn frozen() -> PathBuf {
    static FROZEN: OnceLock<PathBuf> = OnceLock::new();
    FROZEN
        .get_or_init(|| {
            build_crate(&root().join("tests/frozen"), "frozen", "test-others", Compiler::Own, "")
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .clone()
}
