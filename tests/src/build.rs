//! Programs and plug-ins, built when a test first needs them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' folder is in the project's")
}

/// Where the build of this test put its files: `target/debug`, say.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    let deps = test.parent().expect("it lies in a folder");
    deps.parent().expect("which lies in the profile's").to_owned()
}

/// Where other builds go, apart from this one's.
fn other_target(name: &str) -> PathBuf {
    let profile = folder();
    profile.parent().expect("the profile's folder lies in the target folder").join(name)
}

/// Runs cargo.
///
/// # Panics
/// It fails.
pub fn cargo(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) {
    if let Err(error) = try_cargo(folder, arguments, environment) {
        panic!("cargo {} in {}:\n{error}", arguments.join(" "), folder.display());
    }
}

/// Runs cargo, and gives back what it wrote where it fails.
pub fn try_cargo(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(arguments).envs(environment.iter().copied());
    // What cargo sets for this test isn't meant for another build.
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CARGO_PKG") || key == "CARGO_MANIFEST_DIR") {
        command.env_remove(key);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The folder with the program and the plug-ins of the workspace, up to date: of what these tests are built of, linked.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = folder();
        let profile = if folder.ends_with("release") { "release" } else { "dev" };
        let target = folder.parent().expect("it lies in the target folder").display().to_string();
        // All of it, as of a part the dependencies have other features, and are built once more.
        cargo(root(), &["build", "--quiet", "--workspace", "--profile", profile], &[("CARGO_TARGET_DIR", &target)]);
        folder
    })
}

/// The program.
pub fn program() -> PathBuf {
    built().join("plugfit")
}

/// The library of a plug-in of the workspace.
pub fn library(package: &str) -> PathBuf {
    built().join(format!("lib{}.so", package.replace('-', "_")))
}

/// Which compiler builds.
#[derive(Clone, Copy, Debug)]
pub enum Compiler {
    /// That of this build.
    Own,
    /// A toolchain of rustup.
    Toolchain(&'static str),
    /// The rustc that lies there.
    At(&'static str),
}

/// The library of a crate anywhere, built into a target folder of that name; what is built with other flags has another.
pub fn elsewhere(folder: &Path, name: &str, target: &str, compiler: Compiler, flags: &str) -> Result<PathBuf, String> {
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

/// A plug-in built against a copy of the first ABI.
pub fn frozen() -> PathBuf {
    static FROZEN: OnceLock<PathBuf> = OnceLock::new();
    FROZEN
        .get_or_init(|| {
            elsewhere(&root().join("tests/frozen"), "frozen", "test-others", Compiler::Own, "")
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .clone()
}
