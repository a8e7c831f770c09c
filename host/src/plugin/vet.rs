//! What a file is, from its bytes alone: no code of it runs.

use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{BinaryFormat, Endianness, Object, ObjectSection, ObjectSymbol};

use plugfit_api::manifest::is_name;
use serde_json::Value;

use super::{Manifest, Refusal, foreign, image};
use crate::data::text::grouped;

/// What a plug-in's file holds.
#[derive(Debug)]
pub struct Vetted {
    pub manifest: Manifest,
    /// The manifest as it stands in the file.
    pub json: Vec<u8>,
    /// The symbol of its root.
    pub root: String,
}

/// Looks at the bytes of a plug-in.
pub fn plugin(bytes: &[u8], in_place: bool) -> Result<Vetted, Refusal> {
    let file = library(bytes)?;
    let section = foreign::MANIFESTS.into_iter().find_map(|name| file.section_by_name(name));
    let section = section.ok_or_else(|| Refusal::no_plugin("has no plugfit manifest"))?;
    if foreign::is_of_python(&file) {
        return Err(Refusal::no_plugin("is an extension module of Python"));
    }
    let outside = |(start, length): (u64, u64)| start.saturating_add(length) > image::mapped(bytes) as u64;
    if section.file_range().is_some_and(outside) {
        return Err(Refusal::new("has a manifest that isn't loaded with it").hint("build it again"));
    }
    let json = section.data().map_err(|error| Refusal::new(format!("has a damaged manifest: {error}")))?.to_vec();
    let manifest = manifest(&json)?;
    check_manifest(&manifest)?;
    check_dependencies(bytes, in_place)?;
    let roots: Vec<String> = file
        .dynamic_symbols()
        .chain(file.symbols())
        .filter(|symbol| !symbol.is_undefined() && symbol.is_global())
        .filter_map(|symbol| symbol.name().ok())
        .map(|name| name.trim_start_matches('_'))
        .filter(|name| name.starts_with(plugfit_abi::ROOT_SYMBOL_PREFIX))
        .map(str::to_owned)
        .collect();
    let mut distinct = roots.clone();
    distinct.sort();
    distinct.dedup();
    match &distinct[..] {
        [root] => Ok(Vetted { manifest, json, root: root.clone() }),
        [] => Err(Refusal::new("has a manifest and no root").hint("build it as a cdylib and don't strip its exports")),
        _ => Err(Refusal::new(format!("has {} roots", distinct.len()))
            .hint("a plug-in that depends on another one must take it as a nested component, not link it")),
    }
}

/// Looks at the bytes of any library: whole, of this machine, and with this symbol.
pub fn callable(bytes: &[u8], symbol: &str, in_place: bool) -> Result<bool, Refusal> {
    let file = library(bytes)?;
    check_dependencies(bytes, in_place)?;
    let names: Vec<&str> =
        file.dynamic_symbols().filter(|found| !found.is_undefined()).filter_map(|found| found.name().ok()).collect();
    if names.contains(&symbol) {
        return Ok(names.contains(&format!("{symbol}_gradient").as_str()));
    }
    let near = crate::data::text::nearest(symbol, names.iter().copied());
    let refusal = Refusal::asked_wrongly(format!("has no function \"{symbol}\""));
    Err(match near[..] {
        [near, ..] => refusal.hint(format!("did you mean \"{near}\"?")),
        [] => refusal.hint("export it with C linkage"),
    })
}

fn manifest(json: &[u8]) -> Result<Manifest, Refusal> {
    // The ABI version first: a later manifest may have another form.
    #[derive(serde::Deserialize)]
    struct Version {
        abi: u32,
    }
    let damaged = |error: serde_json::Error| Refusal::new(format!("has a manifest that can't be read: {error}"));
    let Version { abi } = serde_json::from_slice(json).map_err(damaged)?;
    if abi != plugfit_abi::ABI_VERSION {
        let own = plugfit_abi::ABI_VERSION;
        return Err(Refusal::new(format!("was built for plugfit ABI {abi}; this program speaks {own}"))
            .hint(format!("rebuild it with plugfit-api {}, or update plugfit", env!("CARGO_PKG_VERSION"))));
    }
    serde_json::from_slice(json).map_err(damaged)
}

/// Refuses what would end the process that it is loaded into.
pub fn check_panic(manifest: &Manifest) -> Result<(), Refusal> {
    if manifest.panic == "abort" {
        return Err(Refusal::new("was built with panic = \"abort\", so that its first panic would end this program")
            .hint("remove that line from its Cargo.toml's profile and build it again, or run with --isolate"));
    }
    Ok(())
}

fn check_manifest(manifest: &Manifest) -> Result<(), Refusal> {
    if !is_name(&manifest.name) {
        return Err(misnamed("is", &manifest.name));
    }
    for (i, component) in manifest.components.iter().enumerate() {
        for name in component.aliases.iter().chain([&component.name]) {
            if !is_name(name) {
                return Err(misnamed(&format!("declares a {}", component.kind), name));
            }
        }
        let twice = |other: &super::Component| other.kind == component.kind && other.name == component.name;
        if manifest.components[..i].iter().any(twice) {
            return Err(Refusal::new(format!("declares the {} \"{}\" twice", component.kind, component.name))
                .hint("rename one of them"));
        }
    }
    if let Some(text) = serde_json::to_value(manifest).as_ref().ok().and_then(unprintable) {
        return Err(Refusal::new(format!("has control characters in its manifest: {text:?}"))
            .hint("write its texts without them"));
    }
    Ok(())
}

fn misnamed(what: &str, name: &str) -> Refusal {
    Refusal::new(format!("{what} called {name:?}"))
        .hint("a name is of letters, digits, _ - and ., and begins with a letter")
}

/// A text that a terminal would obey rather than show.
fn unprintable(value: &Value) -> Option<&str> {
    let control = |character: char| character.is_control() && !"\n\t\r".contains(character);
    match value {
        Value::String(text) => text.contains(control).then_some(text),
        Value::Array(list) => list.iter().find_map(unprintable),
        Value::Object(map) => map.values().find_map(unprintable),
        _ => None,
    }
}

fn library(bytes: &[u8]) -> Result<object::File<'_>, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::new("is empty").hint("copy it again"));
    }
    if bytes.starts_with(&elf::ELFMAG) {
        check_elf(bytes)?;
    }
    let file = object::File::parse(bytes)
        .map_err(|_| Refusal::new("is no shared library").hint("a plug-in is what `cargo build` makes of a cdylib"))?;
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
    Ok(file)
}

const NATIVE: u16 = if cfg!(target_arch = "aarch64") { elf::EM_AARCH64 } else { elf::EM_X86_64 };

fn machine_name(machine: u16) -> String {
    match machine {
        elf::EM_X86_64 => "x86-64".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_386 => "32-bit x86".into(),
        elf::EM_ARM => "32-bit ARM".into(),
        elf::EM_RISCV => "RISC-V".into(),
        elf::EM_PPC64 => "POWER".into(),
        elf::EM_S390 => "s390".into(),
        other => format!("machine {other}"),
    }
}

fn damaged(error: object::read::Error) -> Refusal {
    Refusal::new(format!("is damaged: {error}")).hint("copy or build it again")
}

/// A library that is cut short would end the process in dlopen, by a page that isn't there.
fn check_elf(bytes: &[u8]) -> Result<(), Refusal> {
    let other =
        |what: &str| Refusal::new(format!("was built for {what}; this program is for {}", machine_name(NATIVE)));
    if bytes.len() < std::mem::size_of::<FileHeader64<Endianness>>() {
        return Err(Refusal::new(format!("is cut short: {} bytes are there", bytes.len())).hint("copy it again"));
    }
    if bytes[4] != elf::ELFCLASS64 {
        return Err(other("a 32-bit machine").hint("build it for this machine"));
    }
    if bytes[5] != if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB } {
        return Err(other("a machine of the other byte order").hint("build it for this machine"));
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let machine = header.e_machine(endian);
    if machine != NATIVE {
        return Err(other(&machine_name(machine)).hint("build it for this machine"));
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(Refusal::new("is an ELF file, but no shared library")
            .hint("a plug-in is what `cargo build` makes of a cdylib"));
    }
    let table = |offset: u64, count: u16, size: u16| offset.saturating_add(u64::from(count) * u64::from(size));
    let mut end = table(header.e_shoff(endian), header.e_shnum(endian), header.e_shentsize(endian));
    end = end.max(table(header.e_phoff(endian), header.e_phnum(endian), header.e_phentsize(endian)));
    let cut = |end: u64| {
        let (here, whole) = (grouped(bytes.len()), grouped(usize::try_from(end).unwrap_or(usize::MAX)));
        Refusal::new(format!("is cut short: {here} of {whole} bytes are there")).hint("copy it again")
    };
    if let Ok(segments) = header.program_headers(endian, bytes) {
        for segment in segments {
            end = end.max(segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
        }
    }
    if end > bytes.len() as u64 {
        return Err(cut(end));
    }
    for section in header.section_headers(endian, bytes).map_err(damaged)? {
        if section.sh_type(endian) != elf::SHT_NOBITS {
            end = end.max(section.sh_offset(endian).saturating_add(section.sh_size(endian)));
        }
    }
    if end > bytes.len() as u64 {
        return Err(cut(end));
    }
    super::headers::check(bytes)
}

/// What every C program has.
const RUNTIME: [&str; 8] =
    ["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux", "ld-musl"];

fn is_runtime(name: &str) -> bool {
    let versions = |rest: &str| rest.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    let rest = RUNTIME.iter().find_map(|known| name.strip_prefix(known));
    // A name with a path in it is that file, whatever it begins with.
    rest.is_some_and(|rest| versions(rest) || name.starts_with("ld-") && !rest.contains('/'))
}

/// From a copy, `$ORIGIN` isn't the plug-in's folder, and its companions wouldn't be found.
fn check_dependencies(bytes: &[u8], in_place: bool) -> Result<(), Refusal> {
    if in_place || !bytes.starts_with(&elf::ELFMAG) {
        return Ok(());
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let sections = header.sections(endian, bytes).map_err(damaged)?;
    let Some((entries, link)) = sections.dynamic(endian, bytes).map_err(damaged)? else { return Ok(()) };
    let strings = sections.strings(endian, bytes, link).map_err(damaged)?;
    for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(elf::DT_NEEDED)) {
        let name = entry.string(endian, strings).map_err(damaged)?;
        let name = String::from_utf8_lossy(name);
        if !is_runtime(&name) {
            return Err(Refusal::new(format!("needs {name}, which can't be found from a checked copy"))
                .hint("link it statically, or load it with --load-in-place"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_library() -> Option<Vec<u8>> {
        let names = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
        names.iter().find_map(|name| std::fs::read(name).ok())
    }

    fn reason(bytes: &[u8]) -> String {
        plugin(bytes, false).expect_err("it is no plug-in").reason
    }

    #[test]
    fn what_is_no_library_is_refused_with_its_reason() {
        assert_eq!(reason(b""), "is empty");
        assert_eq!(
            reason(b"hello, this is a text and longer than any header of a file would ever be"),
            "is no shared library"
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
    fn a_library_cut_anywhere_is_refused_and_never_panics() {
        let Some(library) = some_library() else { return };
        for length in (1..library.len()).step_by(4999) {
            let reason = reason(&library[..length]);
            assert!(reason.contains("cut short") || reason == "is no shared library", "{length}: {reason}");
        }
        // Any byte of the header may be wrong.
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
    fn only_the_c_runtime_is_depended_on() {
        for name in
            ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-musl-x86_64.so.1", "libc.so"]
        {
            assert!(is_runtime(name), "{name}");
        }
        for name in ["libfoo.so.1", "libc.so.evil", "libm.so/../../tmp/x.so", "ld-linux/../x.so", "/lib/libc.so.6", ""]
        {
            assert!(!is_runtime(name), "{name}");
        }
    }

    #[test]
    fn a_function_is_found_by_its_name() {
        let Some(library) = some_library() else { return };
        assert!(!callable(&library, "cos", false).expect("it is there"));
        assert!(callable(&library, "my_loss", false).expect_err("it isn't there").reason.contains("my_loss"));
    }

    #[test]
    fn a_later_abi_and_an_aborting_panic_are_refused_with_what_to_do() {
        let later = manifest(br#"{"abi":3,"shape":"unknown"}"#).expect_err("too new");
        assert!(later.line().contains("ABI 3; this program speaks 1: rebuild it"), "{}", later.line());
        let manifest = manifest(br#"{"abi":1,"name":"x","panic":"abort","further":1}"#).expect("it can be read");
        assert!(check_panic(&manifest).expect_err("it would end the process").reason.contains("abort"));
    }

    #[test]
    fn what_a_terminal_or_a_path_would_take_for_something_else_is_refused() {
        let refused = |json: &str| {
            let manifest = manifest(json.as_bytes()).expect("it can be read");
            check_manifest(&manifest).expect_err("it is refused").reason
        };
        assert_eq!(refused(r#"{"abi":1,"name":"../x"}"#), "is called \"../x\"");
        let named = |name: &str| format!(r#"{{"abi":1,"name":"x","components":[{{"kind":"loss","name":"{name}"}}]}}"#);
        assert_eq!(refused(&named("a/b")), "declares a loss called \"a/b\"");
        assert_eq!(refused(&named("a\\u001b[2J")), "declares a loss called \"a\\u{1b}[2J\"");
        let reason = refused(r#"{"abi":1,"name":"x","description":"\u001b]0;x\u0007"}"#);
        assert!(reason.contains("control characters") && !reason.contains('\u{1b}'), "{reason}");
    }
}
