//! `plugfit new`: creates the crate of a plug-in.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Common, absolute, print, short};
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// The kind of component
    kind: Template,
    /// The crate's name, such as my-metric
    name: String,
    /// The folder to create it in [default: NAME]
    #[arg(long, value_name = "FOLDER", value_parser = absolute())]
    path: Option<PathBuf>,
    /// The source of its dependency plugfit-api: a folder, a git address, or a version
    #[arg(long, value_name = "PATH|URL|VERSION")]
    api: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Template {
    Metric,
    Loss,
    Optimizer,
}

/// The source folder of the plugfit-api that this program was built with.
const OWN_API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api");

pub fn run(options: &Options, common: &Common) -> Result<()> {
    let name = crate_name(&options.name)?;
    let type_name = type_name(&name);
    let folder = options.path.clone().unwrap_or_else(|| PathBuf::from(&name));
    if folder.exists() {
        return Err(
            Error::usage(format!("{} already exists", folder.display())).hint("name another folder with --path")
        );
    }
    let manifest = include_str!("templates/Cargo.toml.txt")
        .replace("{name}", &name)
        .replace("{api}", &api(options.api.as_deref())?);
    let (kind, source) = match options.kind {
        Template::Metric => ("metric", include_str!("templates/metric.rs.txt")),
        Template::Loss => ("loss", include_str!("templates/loss.rs.txt")),
        Template::Optimizer => ("optimizer", include_str!("templates/optimizer.rs.txt")),
    };
    let source = source.replace("{Type}", &type_name);
    let failed = |error: std::io::Error| Error::failure(format!("cannot make {}: {error}", folder.display()));
    std::fs::create_dir_all(folder.join("src")).map_err(failed)?;
    std::fs::write(folder.join("Cargo.toml"), manifest).map_err(failed)?;
    std::fs::write(folder.join(".gitignore"), "/target\n/Cargo.lock\n").map_err(failed)?;
    std::fs::write(folder.join("src/lib.rs"), source).map_err(failed)?;
    let library = format!("target/release/{}", library_file(&name));
    if common.json {
        super::event(
            "end",
            serde_json::json!({"folder": folder.display().to_string(), "component": type_name, "library": library}),
        );
        return Ok(());
    }
    let place = short(&folder);
    print(&format!(
        "{place} is the crate of the {kind} {type_name}\n  test    cd {place} && cargo test\n  build   cargo build --release\n  \
         use     copy {library} into a plug-in folder, and name \"{type_name}\" in a run's file\n"
    ));
    Ok(())
}

fn library_file(name: &str) -> String {
    let stem = name.replace('-', "_");
    format!("{}{stem}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

fn crate_name(name: &str) -> Result<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(is_allowed) || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(Error::usage(format!("\"{name}\" can't be a crate's name"))
            .hint("it has letters, digits, - and _, and begins with a letter"));
    }
    Ok(name.to_owned())
}

/// Returns the name of the type: `my-metric` becomes `MyMetric`.
fn type_name(name: &str) -> String {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_ascii_uppercase() + rest
        })
        .collect()
}

/// Returns the right-hand side of the dependency in Cargo.toml.
fn api(given: Option<&str>) -> Result<String> {
    let at_path = |path: &Path| {
        let path =
            std::fs::canonicalize(path).map_err(|error| Error::usage(format!("--api {}: {error}", path.display())))?;
        if !path.join("Cargo.toml").is_file() {
            return Err(Error::usage(format!("--api {}: no crate is there", path.display())));
        }
        Ok(format!("path = {:?}", path.display().to_string()))
    };
    match given {
        None if Path::new(OWN_API).is_dir() => at_path(Path::new(OWN_API)),
        None => Ok(format!("version = {:?}", env!("CARGO_PKG_VERSION"))),
        Some(url) if url.contains("://") || url.starts_with("git@") => Ok(format!("git = {url:?}")),
        Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) && !Path::new(version).exists() => {
            Ok(format!("version = {version:?}"))
        }
        Some(path) => at_path(Path::new(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_name_becomes_a_type_name() {
        assert_eq!([type_name("my-metric"), type_name("brier"), type_name("f_beta")], ["MyMetric", "Brier", "FBeta"]);
        assert!(crate_name("1st").is_err() && crate_name("a b").is_err() && crate_name("../x").is_err());
    }

    #[test]
    fn the_api_is_a_version_an_address_or_a_folder() {
        assert_eq!(api(Some("0.2")).expect("a version"), "version = \"0.2\"");
        assert_eq!(api(Some("https://example.com/x")).expect("a url"), "git = \"https://example.com/x\"");
        assert!(api(Some("/no/such/folder")).is_err());
    }
}
