//! Does what `$PLUGFIT_TEST_AT_LOAD` says as it is loaded, or as the process ends, before anybody has called it.
use plugfit_api::prelude::*;

fn crash() {
    // SAFETY: none, that is what it is for: there is nothing at this address.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

fn told() -> String {
    std::env::var("PLUGFIT_TEST_AT_LOAD").unwrap_or_default()
}

extern "C" fn at_load() {
    match told().as_str() {
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
    match told().as_str() {
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
