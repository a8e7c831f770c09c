//! Any bytes as a `plugfit.lock`: read or refused, and what was read is written and read again as the same.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use plugfit::plugin::Lock;
use plugfit_fuzz::{file, written};

/// A good one is read, so that not all are refused for another reason than what is in them.
fn check_place() {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| {
        let good = Lock::read(&written("plugfit.lock", include_bytes!("../corpus/lock/one")));
        assert_eq!(good.expect("a good lock").plugins().len(), 2);
    });
}

fuzz_target!(|bytes: &[u8]| {
    check_place();
    match Lock::read(&written("plugfit.lock", bytes)) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(lock) => {
            let copy = Lock::new(file("copy.lock"), lock.plugins().to_vec());
            copy.write().expect("what was read can be written");
            let again = Lock::read(copy.path()).expect("what was written can be read");
            assert_eq!(again.plugins(), lock.plugins());
        }
    }
});
