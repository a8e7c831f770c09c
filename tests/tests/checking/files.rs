//! Tests of `plugfit check` and `plugfit list` on files that aren't plug-ins or whose manifest doesn't match the
//! module.

use super::*;

/// Returns the bytes of a library with a text of its manifest replaced by another of the same length.
#[track_caller]
fn patched(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "{from} and {to}");
    let manifest = manifest(bytes);
    let at = manifest.start + find(&bytes[manifest], from.as_bytes()).expect("it is in the manifest");
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Returns the position of the manifest.
fn manifest(bytes: &[u8]) -> std::ops::Range<usize> {
    let start = find(bytes, br#"{"abi":1,"#).expect("a manifest");
    let mut texts = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<Value>();
    texts.next().expect("a text").expect("JSON");
    start..start + texts.byte_offset()
}

/// Returns the library with its manifest section moved to the end of the file, where it isn't loaded.
fn with_another_section(bytes: &[u8], manifest_of_the_file: &[u8]) -> Vec<u8> {
    let place = manifest(bytes).start as u64;
    let mut bytes = bytes.to_vec();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let sections = number(0x28) as usize..bytes.len();
    // A section header contains the address, offset and size of the section, in this order.
    let header =
        sections.step_by(8).find(|&at| number(at) == place && number(at + 8) == manifest_of_the_file.len() as u64);
    let header = header.expect("a section");
    let end = bytes.len() as u64;
    bytes[header..header + 8].copy_from_slice(&end.to_le_bytes());
    // Clear the flag that the section is loaded. The flags are two words before the offset.
    bytes[header - 16] &= !2;
    bytes.extend_from_slice(manifest_of_the_file);
    bytes
}

/// Fills a folder with files that aren't plug-ins or are damaged. Returns their names and why each is refused.
fn bad_files(folder: &Path) -> Vec<(&'static str, &'static str)> {
    let good = std::fs::read(library("at-load")).expect("a library");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("a file");
    let copy = |name: &str, from: &Path| {
        std::fs::copy(from, folder.join(name)).expect("a copy");
    };
    write("libempty.so", b"");
    write("libtext.so", b"#!/bin/sh\necho this is a text, and longer than the header of any library would be\n");
    write("libtruncated.so", &good[..good.len() / 2]);
    write("libheader.so", &good[..40]);
    let mut other = good.clone();
    other[4] = 1;
    write("lib32bit.so", &other);
    other[4] = 2;
    other[18..20].copy_from_slice(&[0xb7, 0]);
    write("libarm.so", &other);
    write("libabi.so", &patched(&good, r#"{"abi":1,"#, r#"{"abi":3,"#));
    write("libjson.so", &patched(&good, r#""name":"at-load""#, r#""name":at-load:["#));
    write("libpath.so", &patched(&good, "Harmless", "../../up"));
    write("libcontrol.so", &patched(&good, "Harmless", r"H\u001b["));
    write("libplugin.so", &patched(&good, r#""name":"at-load""#, r#""name":"at/load""#));
    write("libdoc.so", &patched(&good, "Always the same.", r"A\u001b[2J same."));
    copy("libtwice.so", &library("twice"));
    copy("libabort.so", &calibration_with_panic_abort());
    std::fs::create_dir(folder.join("libfolder.so")).expect("a folder");
    std::os::unix::fs::symlink("nowhere", folder.join("libdangling.so")).expect("a link");
    let status = Command::new("mkfifo").arg(folder.join("libfifo.so")).stdin(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "mkfifo is there");
    let sparse = File::create(folder.join("libsparse.so")).expect("a file");
    sparse.set_len(1 << 40).expect("a file of holes");
    let mut libc = std::fs::read_dir("/lib/x86_64-linux-gnu").into_iter().flatten().flatten();
    let libm = libc.find(|entry| entry.file_name() == "libm.so.6").map(|entry| entry.path());
    let mut bad = vec![
        ("libempty.so", "is empty: copy it again"),
        ("libtext.so", "isn't a shared library"),
        ("libtruncated.so", "is cut short"),
        ("libheader.so", "is cut short: 40 bytes are there"),
        ("lib32bit.so", "was built for a 32-bit machine"),
        ("libarm.so", "was built for aarch64"),
        ("libabi.so", "was built for plugfit ABI 3; this program speaks 1: rebuild it"),
        ("libjson.so", "has a manifest that can't be read"),
        ("libpath.so", "declares a schedule called \"../../up\": a name is of letters"),
        ("libcontrol.so", "declares a schedule called \"H\\u{1b}[\""),
        ("libplugin.so", "is called \"at/load\""),
        ("libdoc.so", "has control characters in its manifest"),
        ("libtwice.so", "declares the metric \"Same\" twice: rename one of them"),
        ("libabort.so", "was built with panic = \"abort\""),
        ("libfolder.so", "isn't a regular file"),
        ("libdangling.so", "does not exist"),
        ("libfifo.so", "isn't a regular file"),
        ("libsparse.so", "is larger than 2 GiB"),
    ];
    if let Some(libm) = libm {
        copy("libm.so", &libm);
        bad.push(("libm.so", "has no plugfit manifest"));
    }
    bad
}

#[test]
fn check_and_list_report_every_file_that_is_not_a_plugin() {
    let folder = folder();
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("a folder");
    let bad = bad_files(&plugins);
    std::fs::copy(library("calibration"), plugins.join("libcalibration.so")).expect("a copy");

    let files: Vec<String> = bad.iter().map(|(name, _)| format!("plugins/{name}")).collect();
    let files = files.iter().map(String::as_str);
    let arguments: Vec<&str> =
        ["check", "--json", "--only", "load"].into_iter().chain(files).chain(["plugins/libcalibration.so"]).collect();
    let ran = run(folder.path(), &arguments).with_status(1);
    let verdicts = Verdicts::of(&ran);
    assert_no_complaints(bad.iter().map(|(name, reason)| {
        let reason = Value::from(*reason).to_string();
        verdicts.complaint(name, "load", reason.trim_matches('"'))
    }));
    assert_eq!(verdicts.get("libcalibration.so", "load").expect("it was tried")["outcome"], "held");
    assert_eq!(verdicts.0.len(), bad.len() + 1);

    let why = run(folder.path(), &["list", "--why", "--plugins", "plugins"]).with_status(0).out;
    assert_no_complaints(bad.iter().map(|(name, reason)| {
        let line = why.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_default();
        let is_reported = line.contains(reason) && (line.contains(" refused ") || line.contains(" passed by "));
        (!is_reported).then(|| format!("{name}: not \"{reason}\" but {line:?}"))
    }));
    let good = why.lines().find(|line| line.contains("libcalibration.so")).expect("a line");
    assert!(good.contains("loaded") && good.contains("calibration 0.2.0, ABI 1: 2 metrics"), "{good}");
    assert!(!why.contains(|character: char| character.is_control() && character != '\n'), "{why}");
    run(folder.path(), &["list", "metrics", "--plugins", "plugins"])
        .with_status(0)
        .prints(&["BrierScore"])
        .says(&["libempty.so: is empty", "libabi.so: was built for plugfit ABI 3"]);
}

#[test]
fn a_manifest_that_does_not_match_the_module_is_found() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let schedule = std::fs::read(library("at-load")).expect("a library");
    let metric = std::fs::read(library("calibration")).expect("a library");
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("a file");
    write("libname.so", &patched(&schedule, "Harmless", "Harmful_"));
    write("libkind.so", &patched(&schedule, r#""kind":"schedule""#, r#""kind":"metric"  "#));
    write("libdefault.so", &patched(&metric, r#""default":15"#, r#""default":16"#));
    write("libbound.so", &patched(&metric, r#""maximum":100000"#, r#""maximum":10000 "#));
    write("libsetting.so", &patched(&metric, "num_bins", "num_pins"));
    let text = String::from_utf8(metric[manifest(&metric)].to_vec()).expect("UTF-8");
    let other = text.replace("BrierScore", "BetterName");
    write("libsection.so", &with_another_section(&metric, other.as_bytes()));
    let files =
        ["libname.so", "libkind.so", "libdefault.so", "libbound.so", "libsetting.so", "libsection.so"].into_iter();
    let only = ["load", "config", "bounds"].into_iter().flat_map(|test| ["--only", test]);
    let ran = run(folder.path(), &["check", "--json"].into_iter().chain(files).chain(only).collect::<Vec<_>>());
    let verdicts = Verdicts::of(&ran.with_status(1));
    let ece = "metric/ExpectedCalibrationError";
    assert_no_complaints([
        verdicts.complaint("libname.so", "schedule/Harmful_/config", "this plug-in has no"),
        verdicts.complaint("libkind.so", "metric/Harmless/config", "this plug-in has no"),
        verdicts.complaint(
            "libdefault.so",
            &format!("{ece}/config"),
            "has 15 for num_bins where none is given, and says that the default is 16",
        ),
        verdicts.complaint("libbound.so", &format!("{ece}/bounds"), "takes num_bins = 10001"),
        verdicts.complaint("libsetting.so", &format!("{ece}/config"), "doesn't write num_pins"),
        verdicts.complaint("libsection.so", "load", "has a manifest that isn't loaded with it"),
    ]);
}

#[test]
fn a_plugin_file_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    for name in [&b"-x.so"[..], b"lib\xff.so", b"two\nlines \x1b[31m.so"] {
        let name = std::ffi::OsStr::from_bytes(name);
        std::fs::copy(library("calibration"), folder.path().join(name)).expect("a copy");
        for format in [&["--json"][..], &["--format", "junit"], &["--format", "markdown"], &[]] {
            let mut command = command(folder.path());
            let output = command.args(["check", "--only", "load"]).args(format).arg("--").arg(name).output();
            let output = output.expect("it runs");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(0), "{name:?} {format:?}: {said}");
            assert!(!said.contains('\x1b'), "{name:?} {format:?}: {said:?}");
        }
    }
}

#[test]
fn control_characters_in_file_names_are_not_printed() {
    let folder = folder();
    let hostile = "x\u{1b}[2J\nerror: y.so";
    std::fs::write(folder.path().join(hostile), "a text").expect("a file");
    for arguments in
        [&["list", "--plugins", "."][..], &["list", "--plugins", ".", "--why"], &["list", "--plugins", hostile]]
    {
        let ran = run(folder.path(), arguments);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("x\u{fffd}[2J\u{fffd}error: y.so"), "{arguments:?}: {said:?}");
        assert!(!said.contains('\u{1b}'), "{arguments:?}: {said:?}");
    }
}
