//! A plug-in that performs the action in `$PLUGFIT_TEST_AT_LOAD` when it is loaded or when the process ends, without
//! being called.
use plugfit_api::prelude::*;

fn crash() {
    // SAFETY: none. The crash is intended: no memory is mapped at this address.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

fn requested() -> String {
    std::env::var("PLUGFIT_TEST_AT_LOAD").unwrap_or_default()
}

extern "C" fn at_load() {
    match requested().as_str() {
        "segfault" => crash(),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "loop" => loop {
            std::thread::yield_now();
        },
        "print" => println!("hello from the plug-in"),
        _ => {}
    }
}

extern "C" fn at_end() {
    match requested().as_str() {
        "segfault at the end" => crash(),
        "loop at the end" => loop {
            std::thread::yield_now();
        },
        _ => {}
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_END: extern "C" fn() = at_end;

/// Always the same.
#[derive(Config)]
pub struct Harmless;

impl Schedule for Harmless {
    fn learning_rate(&self, _: &When) -> f64 {
        0.01
    }
}

export_plugin! { schedules: [Harmless] }
