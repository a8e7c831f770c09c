//! Tests of the libraries that a plug-in is linked with. The loader must not load another library, however the plug-in
//! is added.
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
    build::{c_library, program},
    run::folder,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const SQUARES: &str = "#include <stddef.h>\n\
    void squares(const float *t, const float *p, size_t rows, size_t columns, float *out) {\n\
        for (size_t i = 0; i < rows; i++) out[i] = (p[i * columns] - t[i * columns]) * (p[i * columns] - t[i * columns]);\n\
    }\n";

/// Builds a library that creates the file `mark` when it is loaded.
fn companion(folder: &Path, name: &str, mark: &Path) -> PathBuf {
    let source = format!(
        "#include <stdio.h>\n\
         __attribute__((constructor)) static void loaded(void) {{ FILE *f = fopen({mark:?}, \"w\"); if (f) fclose(f); }}\n\
         int companion(void) {{ return 0; }}\n"
    );
    c_library(folder, name, &source, &["-Wl,-soname,libdl.so.2"])
}

fn reason(host: &Host, library: &Path) -> String {
    host.loss(format!("{}#squares", library.display())).map(drop).expect_err("it is refused").to_string()
}

#[test]
fn a_plugin_that_sets_a_library_search_path_is_refused() {
    let folder = folder();
    let root = folder.path().canonicalize().expect("a folder");
    let mark = root.join("mark");
    // The name is that of a part of the C runtime that isn't loaded yet.
    let evil = companion(&root, "companion", &mark);
    std::fs::copy(&evil, root.join("libdl.so.2")).expect("a copy");
    let rpath = format!("-Wl,-rpath,{}", root.display());
    for arguments in [
        &["-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed", "-L.", "-lcompanion"][..],
        &[&rpath, "-Wl,--no-as-needed", "-L.", "-lcompanion"],
        &[&rpath, "-Wl,--disable-new-dtags", "-Wl,--no-as-needed", "-L.", "-lcompanion"],
        &["-Wl,-rpath,$ORIGIN"],
    ] {
        let squares = c_library(&root, "squares", SQUARES, arguments);
        let text = std::fs::read(&squares).expect("a library");
        let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
        let signature = minisign::sign(Some(&keys.pk), &keys.sk, &text[..], None, None).expect("it can be signed");
        std::fs::write(format!("{}.minisig", squares.display()), signature.into_string()).expect("a file");
        let mut trusted = TrustedKeys::read(&root.join("keys")).expect("none yet");
        trusted.add(TrustedKey::read(&keys.pk.to_base64()).expect("a key"));
        let lock = Lock::new(
            root.join(Lock::NAME),
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
            assert!(
                said.contains("names a folder to search for libraries:") && said.contains("--load-in-place"),
                "{said}"
            );
        }
        assert!(!mark.exists(), "{arguments:?}");
    }
    // A library that is loaded in place may set a search path. Locks and required signatures forbid loading in place.
    let squares =
        c_library(&root, "squares", SQUARES, &["-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed", "-L.", "-lcompanion"]);
    let in_place = Host::with_options(LoadOptions { load_in_place: true, ..LoadOptions::default() });
    in_place.loss(format!("{}#squares", squares.display())).expect("it is loaded from where it is");
    assert!(mark.exists());
}

#[test]
fn a_needed_library_must_be_part_of_the_c_runtime_by_its_whole_name() {
    let folder = folder();
    let root = folder.path().canonicalize().expect("a folder");
    let mark = root.join("mark");
    companion(&root, "companion", &mark);
    for name in ["libm.so", "libc.so.6.1", "libcompanion.so", "libpthread.so.0.evil"] {
        let other = c_library(&root, "other", "int other(void) { return 0; }\n", &[&format!("-Wl,-soname,{name}")]);
        let squares = c_library(&root, "squares", SQUARES, &["-Wl,--no-as-needed", &other.display().to_string()]);
        let said = reason(&Host::new(), &squares);
        assert!(said.contains(&format!("needs {name}, which can't be found")), "{said}");
    }
    // A needed library with a path.
    let plain = c_library(&root, "plain", "int plain(void) { return 0; }\n", &[]);
    let squares = c_library(&root, "squares", SQUARES, &["-Wl,--no-as-needed", &plain.display().to_string()]);
    let said = reason(&Host::new(), &squares);
    assert!(said.contains(&format!("needs {}, which", plain.display())), "{said}");
    assert!(!mark.exists());
    // Parts of the C runtime that old systems had in separate libraries are loaded from the folder of the C library,
    // not from one in `LD_LIBRARY_PATH`.
    let squares = c_library(&root, "squares", SQUARES, &["-Wl,--no-as-needed", "-L.", "-l:libcompanion.so"]);
    std::fs::rename(root.join("libcompanion.so"), root.join("libdl.so.2")).expect("it can be");
    let check = |library: &Path| {
        let output = Command::new(program())
            .current_dir(&root)
            .args(["fit", "fit.toml", "--out", "run"])
            .env("LD_LIBRARY_PATH", &root)
            .output()
            .expect("it runs");
        assert!(!mark.exists(), "{}: {}", library.display(), String::from_utf8_lossy(&output.stderr));
        output.status.code()
    };
    std::fs::write(root.join("rows.csv"), "x,y\n1,2\n2,3\n3,4\n4,5\n").expect("a file");
    let text = "[data]\nfile = \"rows.csv\"\ntarget = \"y\"\n[network]\nlayers = [\"Dense(1)\"]\n[compile]\noptimizer = \"SGD\"\n\
        loss = \"mse\"\nmetrics = [\"./libsquares.so#squares\"]\n[fit]\nepochs = 1\n";
    std::fs::write(root.join("fit.toml"), text).expect("a file");
    assert_eq!(check(&squares), Some(0));
}

#[test]
fn executable_stacks_other_libraries_and_writable_code_are_refused() {
    let folder = folder();
    let root = folder.path();
    for (arguments, said) in [
        (&["-Wl,-z,execstack"][..], "needs an executable stack"),
        (&["-Wl,--audit=libaudit.so"], "names an auditing library"),
        (&["-Wl,--depaudit=libaudit.so"], "names an auditing library"),
        (&["-Wl,--auxiliary=libother.so"], "names a library that is searched before it"),
        (&["-Wl,--filter=libother.so"], "is a filter for another library"),
    ] {
        let found = reason(&Host::new(), &c_library(root, "squares", SQUARES, arguments));
        assert!(found.contains(said), "{arguments:?}: {found}");
    }
    let written = format!("{SQUARES}__asm__(\".text\\n.balign 8\\n.quad squares\\n\");\n");
    let found = reason(&Host::new(), &c_library(root, "written", &written, &["-Wl,-z,notext"]));
    assert!(found.contains("has code that is written to as it is loaded"), "{found}");
}
