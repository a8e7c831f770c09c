//! What a library is linked with: nothing that the loader would load besides, by any way in.
#![cfg(target_os = "linux")]

use minisign::KeyPair;
use plugfit::{
    Host,
    plugin::{
        Isolation, LoadOptions, Lock, Locked,
        trust::{TrustedKey, TrustedKeys},
    },
};
use plugfit_tests::{
    build::{library, program},
    run::{folder, plugfit},
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A C library `lib{name}.so` of this source, linked with these arguments.
fn built(folder: &Path, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
    let (file, library) = (format!("{name}.c"), format!("lib{name}.so"));
    std::fs::write(folder.join(&file), source).expect("a file");
    let mut compiler = Command::new("cc");
    compiler.current_dir(folder).args(["-O2", "-shared", "-fPIC", "-o", &library, &file]).args(arguments);
    let output = compiler.output().expect("a C compiler");
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    folder.join(library)
}

const SQUARES: &str = "#include <stddef.h>\n\
    void squares(const float *t, const float *p, size_t rows, size_t columns, float *out) {\n\
        for (size_t i = 0; i < rows; i++) out[i] = (p[i * columns] - t[i * columns]) * (p[i * columns] - t[i * columns]);\n\
    }\n";

/// A library that leaves a file at `mark` as soon as it is loaded.
fn companion(folder: &Path, name: &str, mark: &Path) -> PathBuf {
    let source = format!(
        "#include <stdio.h>\n\
         __attribute__((constructor)) static void loaded(void) {{ FILE *f = fopen({mark:?}, \"w\"); if (f) fclose(f); }}\n\
         int companion(void) {{ return 0; }}\n"
    );
    built(folder, name, &source, &["-Wl,-soname,libdl.so.2"])
}

fn reason(host: &Host, library: &Path) -> String {
    host.loss(format!("{}#squares", library.display())).map(drop).expect_err("it is refused").to_string()
}

#[test]
fn no_library_is_searched_for_where_a_plugin_says() {
    let folder = folder();
    let here = folder.path().canonicalize().expect("a folder");
    let mark = here.join("mark");
    // It has the name of a part of the C runtime that isn't loaded yet.
    let evil = companion(&here, "companion", &mark);
    std::fs::copy(&evil, here.join("libdl.so.2")).expect("a copy");
    let rpath = format!("-Wl,-rpath,{}", here.display());
    for arguments in [
        &["-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed", "-L.", "-lcompanion"][..],
        &[&rpath, "-Wl,--no-as-needed", "-L.", "-lcompanion"],
        &[&rpath, "-Wl,--disable-new-dtags", "-Wl,--no-as-needed", "-L.", "-lcompanion"],
        &["-Wl,-rpath,$ORIGIN"],
    ] {
        let squares = built(&here, "squares", SQUARES, arguments);
        let text = std::fs::read(&squares).expect("a library");
        let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
        let signature = minisign::sign(Some(&keys.pk), &keys.sk, &text[..], None, None).expect("it can be signed");
        std::fs::write(format!("{}.minisig", squares.display()), signature.into_string()).expect("a file");
        let mut trusted = TrustedKeys::read(&here.join("keys")).expect("none yet");
        trusted.add(TrustedKey::read(&keys.pk.to_base64()).expect("a key"));
        let lock = Lock::new(
            here.join(Lock::NAME),
            vec![Locked {
                name: "squares".into(),
                version: "1".into(),
                abi: 1,
                sha256: plugfit::plugin::sha256(&text),
                from: squares.clone(),
            }],
        );
        let isolate = Isolation { program: vec![program().into()], ..Isolation::default() };
        for options in [
            LoadOptions::default(),
            LoadOptions { locks: vec![Arc::new(lock)], ..LoadOptions::default() },
            LoadOptions { signed_by: Some(Arc::new(trusted)), ..LoadOptions::default() },
            LoadOptions { isolate: Some(isolate), ..LoadOptions::default() },
        ] {
            let said = reason(&Host::with_options(options), &squares);
            assert!(said.contains("has libraries looked for in") && said.contains("--load-in-place"), "{said}");
        }
        assert!(!mark.exists(), "{arguments:?}");
    }
    // In place, which no lock and no signature allows, a library may say where others are.
    let squares = built(&here, "squares", SQUARES, &["-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed", "-L.", "-lcompanion"]);
    let in_place = Host::with_options(LoadOptions { load_in_place: true, ..LoadOptions::default() });
    in_place.loss(format!("{}#squares", squares.display())).expect("it is loaded from where it is");
    assert!(mark.exists());
}

#[test]
fn a_library_that_is_needed_is_part_of_the_c_runtime_by_its_whole_name() {
    let folder = folder();
    let here = folder.path().canonicalize().expect("a folder");
    let mark = here.join("mark");
    companion(&here, "companion", &mark);
    for name in ["libm.so", "libc.so.6.1", "libcompanion.so", "libpthread.so.0.evil"] {
        let other = built(&here, "other", "int other(void) { return 0; }\n", &[&format!("-Wl,-soname,{name}")]);
        let squares = built(&here, "squares", SQUARES, &["-Wl,--no-as-needed", &other.display().to_string()]);
        let said = reason(&Host::new(), &squares);
        assert!(said.contains(&format!("needs {name}, which can't be found")), "{said}");
    }
    // By a path.
    let plain = built(&here, "plain", "int plain(void) { return 0; }\n", &[]);
    let squares = built(&here, "squares", SQUARES, &["-Wl,--no-as-needed", &plain.display().to_string()]);
    let said = reason(&Host::new(), &squares);
    assert!(said.contains(&format!("needs {}, which", plain.display())), "{said}");
    assert!(!mark.exists());
    // What old systems had in libraries of its own comes from beside the C library, and not from a folder that a variable names.
    let squares = built(&here, "squares", SQUARES, &["-Wl,--no-as-needed", "-L.", "-l:libcompanion.so"]);
    std::fs::rename(here.join("libcompanion.so"), here.join("libdl.so.2")).expect("it can be");
    let check = |library: &Path| {
        let output = Command::new(program())
            .current_dir(&here)
            .args(["fit", "fit.toml", "--out", "run"])
            .env("LD_LIBRARY_PATH", &here)
            .output()
            .expect("it runs");
        assert!(!mark.exists(), "{}: {}", library.display(), String::from_utf8_lossy(&output.stderr));
        output.status.code()
    };
    std::fs::write(here.join("rows.csv"), "x,y\n1,2\n2,3\n3,4\n4,5\n").expect("a file");
    let text = "[data]\nfile = \"rows.csv\"\ntarget = \"y\"\n[network]\nlayers = [\"Dense(1)\"]\n[compile]\noptimizer = \"SGD\"\n\
        loss = \"mse\"\nmetrics = [\"./libsquares.so#squares\"]\n[fit]\nepochs = 1\n";
    std::fs::write(here.join("fit.toml"), text).expect("a file");
    assert_eq!(check(&squares), Some(0));
}

#[test]
fn what_the_loader_would_load_or_open_besides_is_refused() {
    let folder = folder();
    let here = folder.path();
    for (arguments, said) in [
        (&["-Wl,-z,execstack"][..], "needs an executable stack"),
        (&["-Wl,--audit=libaudit.so"], "has an auditing library loaded"),
        (&["-Wl,--depaudit=libaudit.so"], "has an auditing library loaded"),
        (&["-Wl,--auxiliary=libother.so"], "has another library looked at first"),
        (&["-Wl,--filter=libother.so"], "stands for another library"),
    ] {
        let found = reason(&Host::new(), &built(here, "squares", SQUARES, arguments));
        assert!(found.contains(said), "{arguments:?}: {found}");
    }
    let written = format!("{SQUARES}__asm__(\".text\\n.balign 8\\n.quad squares\\n\");\n");
    let found = reason(&Host::new(), &built(here, "written", &written, &["-Wl,-z,notext"]));
    assert!(found.contains("has code that is written to as it is loaded"), "{found}");
}

#[test]
fn a_named_file_has_a_line_of_why_whatever_became_of_it() {
    let folder = folder();
    let here = folder.path();
    let copy = here.join("libcalibration.so");
    std::fs::copy(library("calibration"), &copy).expect("a copy");
    built(here, "searching", SQUARES, &["-Wl,-rpath,$ORIGIN"]);
    let why = |file: &str| plugfit(here, &["list", "--why", "--plugins", file]).with_status(0);
    why("libcalibration.so").prints(&["libcalibration.so  loaded  calibration 0.1.0, ABI 1: "]);
    why("libsearching.so").prints(&["libsearching.so  refused  has no plugfit manifest"]);
    std::fs::write(here.join("text.so"), "a text").expect("a file");
    why("text.so").prints(&["text.so  refused  is no shared library"]);
    why("nowhere.so").prints(&["nowhere.so  (--plugins)\n  does not exist"]);
    plugfit(here, &["list", "--why", "--json", "--plugins", "text.so"])
        .with_status(0)
        .prints(&["{\"event\":\"file\",\"file\":\"text.so\",\"verdict\":\"refused\""]);
    let open = here.join("open");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("they can be set");
    for (path, state, why) in [
        (".", "exists", "null"),
        ("nowhere", "missing", "null"),
        ("open", "refused", "\"can be written by others (mode 0777"),
    ] {
        let ran = plugfit(here, &["list", "--why", "--json", "--plugins", path]).with_status(0);
        let says = |line: &str| {
            line.contains("\"event\":\"folder\"")
                && line.contains("\"source\":\"--plugins\"")
                && line.contains(&format!("\"state\":\"{state}\""))
                && line.contains(&format!("\"why\":{why}"))
        };
        assert!(ran.out.lines().any(says), "{path}: {}", ran.out);
    }
    // Otherwise a named file that is refused is an error, as before.
    plugfit(here, &["list", "--plugins", "text.so"]).with_status(1).says(&["error: text.so is no shared library"]);
}
