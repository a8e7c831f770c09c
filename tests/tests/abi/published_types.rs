//! Checks that the published ABI doesn't change.

use plugfit_api::abi::{
    self,
    abi_stable::{StableAbi, type_layout::TypeLayout},
};
use std::fmt::Write;

fn describe(text: &mut String, layout: &'static TypeLayout) {
    writeln!(text, "{} size {} align {}", layout.full_type(), layout.size(), layout.alignment()).expect("a string");
    for field in layout.get_fields().into_iter().flat_map(|fields| fields.iter()) {
        if field.is_function() {
            for function in field.function_range().iter() {
                writeln!(text, "    {}: {function}", field.name()).expect("a string");
            }
        } else {
            writeln!(text, "    {}: {}", field.name(), field.layout().full_type()).expect("a string");
        }
    }
}

/// Describes every type of the ABI: its fields in order and the signatures of its functions.
fn layouts() -> String {
    let mut text = String::new();
    macro_rules! describe {
        ($($type:ty),* $(,)?) => { $(describe(&mut text, <$type as StableAbi>::LAYOUT);)* };
    }
    describe![
        abi::DType,
        abi::Tensor,
        abi::NamedTensor<'static>,
        abi::Inputs<'static>,
        abi::Error,
        abi::Handle,
        abi::Host,
        abi::Task,
        abi::ParallelV1,
        abi::LogV1,
        abi::CancelV1,
        abi::Component,
        abi::ComponentV1,
        abi::LossOutput<'static>,
        abi::LossTotals,
        abi::LossV1,
        abi::MetricResult,
        abi::SavedState,
        abi::MetricV1,
        abi::Parameter<'static>,
        abi::Slot,
        abi::UpdateEntry<'static>,
        abi::Update<'static>,
        abi::OptimizerV1,
        abi::ScheduleCall<'static>,
        abi::ScheduleV1,
        abi::LossV2,
    ];
    let root = std::mem::offset_of!(abi::Root, get_interface);
    let interface = std::mem::offset_of!(abi::Interface, layout);
    writeln!(text, "Root size {} get_interface at {root}", size_of::<abi::Root>()).expect("a string");
    writeln!(text, "Interface size {} layout at {interface}", size_of::<abi::Interface>()).expect("a string");
    text
}

#[test]
fn published_types_are_unchanged() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/abi.txt");
    let found = layouts();
    if std::env::var_os("PLUGFIT_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &found).expect("a file");
    }
    let published = std::fs::read_to_string(path).expect("golden/abi.txt");
    assert!(
        found == published,
        "a published type has changed. Put back what was, and add a new interface beside it.\n{}",
        diff(&published, &found)
    );
}

#[test]
fn the_frozen_copy_matches_the_current_source() {
    let root = plugfit_tests::build::root();
    for entry in std::fs::read_dir(root.join("tests/frozen/abi/src")).expect("a folder") {
        let frozen = entry.expect("an entry").path();
        let today = root.join("plugin-api/abi/src").join(frozen.file_name().expect("a name"));
        // New code may be in other files.
        let code = |path| {
            let text: String = std::fs::read_to_string(path).expect("a file");
            text.lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let (today_code, frozen_code) = (code(&today), code(&frozen));
        if today.ends_with("lib.rs") || today.ends_with("codes.rs") {
            // `lib.rs` lists the other files, and codes may be added to `codes.rs`.
            let missing = frozen_code.lines().find(|line| !today_code.lines().any(|today| today == *line));
            assert_eq!(missing, None, "{}", today.display());
        } else {
            assert_eq!(today_code, frozen_code, "{}", today.display());
        }
    }
}

fn diff(published: &str, found: &str) -> String {
    let lines = |one: &str, other: &str, sign: char| -> String {
        let missing = one.lines().filter(|line| !other.lines().any(|other| other == *line));
        missing.map(|line| format!("{sign} {line}\n")).collect()
    };
    lines(published, found, '-') + &lines(found, published, '+')
}
