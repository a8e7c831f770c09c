//! Vets a library from its bytes alone, without running any of its code.

use object::{BinaryFormat, Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::collections::BTreeMap;

use plugfit_abi::Root;

use super::elf::{Links, check as check_elf, ensure};
use super::{Manifest, Refusal, bounds, foreign, image};
use crate::text::grouped;

/// The content of a vetted plug-in file.
#[derive(Debug)]
pub struct Vetted {
    pub manifest: Manifest,
    /// The manifest as it is in the file.
    pub json: Vec<u8>,
    /// The symbol of its root.
    pub root: String,
    /// The libraries that it needs.
    pub needed: Vec<String>,
}

/// A vetted library that has a certain function.
#[derive(Debug)]
pub struct Callable {
    /// Whether it also has the function's gradient.
    pub has_gradient: bool,
    /// The libraries that it needs.
    pub needed: Vec<String>,
}

/// Vets the bytes of a plug-in.
pub fn plugin(bytes: &[u8], in_place: bool) -> Result<Vetted, Refusal> {
    let (file, links) = library(bytes)?;
    let section = foreign::MANIFESTS.into_iter().find_map(|name| file.section_by_name(name));
    let section = section.ok_or_else(|| Refusal::not_a_plugin("has no plugfit manifest"))?;
    if foreign::is_python_extension(&file) {
        return Err(Refusal::not_a_plugin("is an extension module of Python"));
    }
    let outside = |(start, length): (u64, u64)| start.saturating_add(length) > image::mapped_length(bytes) as u64;
    if section.file_range().is_some_and(outside) {
        return Err(Refusal::new("has a manifest that isn't loaded with it").hint("build it again"));
    }
    let json = section.data().map_err(|error| Refusal::new(format!("has a damaged manifest: {error}")))?;
    let manifest = manifest(json)?;
    manifest.check()?;
    check_links(&links, in_place)?;
    // Formats other than ELF have no separate symbol table for the loader.
    let file_symbols = (file.format() != BinaryFormat::Elf).then(|| file.symbols()).into_iter().flatten();
    let roots: BTreeMap<&str, u64> = file
        .dynamic_symbols()
        .chain(file_symbols)
        .filter(|symbol| !symbol.is_undefined() && symbol.is_global())
        .filter_map(|symbol| Some((symbol.name().ok()?.trim_start_matches('_'), symbol.address())))
        .filter(|(name, _)| name.starts_with(plugfit_abi::ROOT_SYMBOL_PREFIX))
        .collect();
    if let Some((_, &start)) = roots.first_key_value() {
        let end = start.saturating_add(size_of::<Root>() as u64);
        let is_loaded = |segment: object::Segment<'_, '_>| {
            segment.address() <= start && end <= segment.address().saturating_add(segment.size())
        };
        ensure(file.segments().any(is_loaded), || "its root isn't loaded with it".into())?;
    }
    match (roots.first_key_value(), roots.len()) {
        (Some((root, _)), 1) => {
            Ok(Vetted { manifest, json: json.to_vec(), root: (*root).to_owned(), needed: links.needed })
        }
        (None, _) => {
            Err(Refusal::new("has a manifest and no root").hint("build it as a cdylib and don't strip its exports"))
        }
        (_, count) => Err(Refusal::new(format!("has {count} roots"))
            .hint("a plug-in that depends on another one must take it as a nested component, not link it")),
    }
}

/// Vets the bytes of any library: it must be complete, built for this machine, and have this symbol.
pub fn callable(bytes: &[u8], symbol: &str, in_place: bool) -> Result<Callable, Refusal> {
    let (file, links) = library(bytes)?;
    check_links(&links, in_place)?;
    let names: Vec<&str> =
        file.dynamic_symbols().filter(|found| !found.is_undefined()).filter_map(|found| found.name().ok()).collect();
    if names.contains(&symbol) {
        let has_gradient = names.contains(&format!("{symbol}_gradient").as_str());
        return Ok(Callable { has_gradient, needed: links.needed });
    }
    let short = names.iter().copied().filter(|name| name.len() <= bounds::MAX_NAME_LENGTH);
    let near = crate::text::nearest(symbol, short);
    let refusal = Refusal::invalid_request(format!("has no function \"{symbol}\""));
    Err(match near[..] {
        [near, ..] => refusal.hint(format!("did you mean \"{near}\"?")),
        [] => refusal.hint("export it with C linkage"),
    })
}

fn manifest(json: &[u8]) -> Result<Manifest, Refusal> {
    if json.len() > bounds::MAX_MANIFEST_LENGTH {
        return Err(Refusal::new(format!("has a manifest of {} bytes", grouped(json.len())))
            .hint(format!("a manifest has at most {} bytes", grouped(bounds::MAX_MANIFEST_LENGTH))));
    }
    // The ABI version is read first: a later manifest may have another form.
    #[derive(serde::Deserialize)]
    struct Version {
        abi: u32,
    }
    let damaged = |error: serde_json::Error| Refusal::new(format!("has a manifest that can't be read: {error}"));
    let Version { abi } = serde_json::from_slice(json).map_err(damaged)?;
    if abi != plugfit_abi::ABI_VERSION {
        let this_abi = plugfit_abi::ABI_VERSION;
        return Err(Refusal::new(format!("was built for plugfit ABI {abi}; this program speaks {this_abi}"))
            .hint(format!("rebuild it with plugfit-api {}, or update plugfit", env!("CARGO_PKG_VERSION"))));
    }
    serde_json::from_slice(json).map_err(damaged)
}

/// Refuses a plug-in whose panics would end the process into which it is loaded.
pub fn check_panic(manifest: &Manifest) -> Result<(), Refusal> {
    if manifest.panic == "abort" {
        return Err(Refusal::new("was built with panic = \"abort\", so that its first panic would end this program")
            .hint("remove that line from its Cargo.toml's profile and build it again, or run with --isolate"));
    }
    Ok(())
}

fn library(bytes: &[u8]) -> Result<(object::File<'_>, Links), Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::new("is empty").hint("copy it again"));
    }
    let links = match bytes.starts_with(&object::elf::ELFMAG) {
        true => check_elf(bytes)?,
        false => Links::default(),
    };
    let file = object::File::parse(bytes).map_err(|_| {
        Refusal::new("isn't a shared library").hint("a plug-in is what `cargo build` makes of a cdylib")
    })?;
    let native = if cfg!(target_os = "macos") {
        BinaryFormat::MachO
    } else if cfg!(windows) {
        BinaryFormat::Pe
    } else {
        BinaryFormat::Elf
    };
    if file.format() != native {
        return Err(Refusal::new("was built for another operating system").hint("build it for this one"));
    }
    Ok((file, links))
}

/// The libraries of the C runtimes glibc and musl. Every process that loads plug-ins already contains them, so the
/// loader doesn't search for them.
const C_RUNTIME: [&str; 13] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so",
    "libc.musl-x86_64.so.1",
    "libc.musl-aarch64.so.1",
    "ld-musl-x86_64.so.1",
    "ld-musl-aarch64.so.1",
];

/// Refuses a library that loads others, which aren't vetted. A library that is loaded in place may need others.
fn check_links(links: &Links, in_place: bool) -> Result<(), Refusal> {
    if in_place {
        return Ok(());
    }
    if let Some(folder) = links.searched.first() {
        return Err(Refusal::new(format!("names a folder to search for libraries: {folder:?} (its RPATH or RUNPATH)"))
            .hint("link it without -rpath, or load it with --load-in-place"));
    }
    match links.needed.iter().find(|name| !C_RUNTIME.contains(&name.as_str())) {
        Some(name) => Err(Refusal::new(format!("needs {name}, which can't be found from a checked copy"))
            .hint("link it statically, or load it with --load-in-place")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use object::elf;

    use super::*;

    fn some_library() -> Option<Vec<u8>> {
        let names = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
        names.iter().find_map(|name| std::fs::read(name).ok())
    }

    fn reason(bytes: &[u8]) -> String {
        plugin(bytes, false).expect_err("it is no plug-in").reason
    }

    #[test]
    fn a_file_that_is_not_a_plugin_library_is_refused_with_the_reason() {
        assert_eq!(reason(b""), "is empty");
        assert_eq!(
            reason(b"hello, this is a text and longer than any header of a file would ever be"),
            "isn't a shared library"
        );
        let Some(library) = some_library() else { return };
        let refusal = plugin(&library, false).expect_err("no manifest");
        assert!(refusal.not_a_plugin && refusal.reason == "has no plugfit manifest");
        let mut foreign = library.clone();
        foreign[18..20].copy_from_slice(&elf::EM_S390.to_le_bytes());
        assert!(reason(&foreign).contains("was built for s390"));
        foreign[4] = elf::ELFCLASS32;
        assert!(reason(&foreign).contains("32-bit"));
        let mut program = library.clone();
        program[16] = 2;
        assert!(reason(&program).contains("no shared library"));
    }

    #[test]
    fn a_truncated_or_changed_library_never_panics() {
        let Some(library) = some_library() else { return };
        for length in (1..library.len()).step_by(4999) {
            let reason = reason(&library[..length]);
            assert!(reason.contains("cut short") || reason == "isn't a shared library", "{length}: {reason}");
        }
        // Each byte of the header is replaced in turn.
        for at in 0..64 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = library.clone();
                bytes[at] = value;
                let _ = plugin(&bytes, false);
                let _ = callable(&bytes, "cos", false);
            }
        }
    }

    #[test]
    fn only_libraries_of_the_c_runtime_may_be_needed() {
        let needs =
            |name: &str, in_place| check_links(&Links { needed: vec![name.to_owned()], ..Links::default() }, in_place);
        for name in
            ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-musl-x86_64.so.1", "libc.so"]
        {
            needs(name, false).unwrap_or_else(|refusal| panic!("{name}: {}", refusal.line()));
        }
        for name in [
            "libfoo.so.1",
            "libc.so.evil",
            "libc.so.7",
            "libm.so",
            "libm.so.6.1",
            "libm.so/../../tmp/x.so",
            "ld-linux/../x.so",
            "ld-linux-evil.so.2",
            "/lib/libc.so.6",
            "./libc.so.6",
            "$ORIGIN/libc.so.6",
            " libc.so.6",
            "LIBC.SO.6",
            "",
        ] {
            assert!(needs(name, false).expect_err(name).reason.starts_with("needs "), "{name}");
            needs(name, true).expect("in place, a library may need others");
        }
    }

    #[test]
    fn a_search_folder_is_refused_even_if_no_library_is_needed() {
        let searched =
            |in_place| check_links(&Links { searched: vec!["$ORIGIN\n".into()], ..Links::default() }, in_place);
        let reason = searched(false).expect_err("it is refused").reason;
        assert_eq!(reason, "names a folder to search for libraries: \"$ORIGIN\\n\" (its RPATH or RUNPATH)");
        searched(true).expect("in place, a library may say where others are");
    }

    #[test]
    fn a_function_is_found_by_its_name() {
        let Some(library) = some_library() else { return };
        assert!(!callable(&library, "cos", false).expect("it is there").has_gradient);
        assert!(callable(&library, "my_loss", false).expect_err("it isn't there").reason.contains("my_loss"));
    }

    #[test]
    fn a_later_abi_and_an_aborting_panic_are_refused_with_advice() {
        let later = manifest(br#"{"abi":3,"shape":"unknown"}"#).expect_err("too new");
        assert!(later.line().contains("ABI 3; this program speaks 1: rebuild it"), "{}", later.line());
        let manifest = manifest(br#"{"abi":1,"name":"x","panic":"abort","further":1}"#).expect("it can be read");
        assert!(check_panic(&manifest).expect_err("it would end the process").reason.contains("abort"));
    }

    #[test]
    fn the_size_of_a_manifest_is_bounded() {
        let padded = |length: usize| format!(r#"{{"abi":1,"name":"x"{}}}"#, " ".repeat(length - 20));
        assert_eq!(padded(100).len(), 100);
        manifest(padded(bounds::MAX_MANIFEST_LENGTH).as_bytes()).expect("it is just as large");
        let reason = manifest(padded(bounds::MAX_MANIFEST_LENGTH + 1).as_bytes()).expect_err("it is larger").reason;
        assert_eq!(reason, "has a manifest of 1,048,577 bytes");
    }
}
