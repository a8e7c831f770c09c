//! Reads any bytes as a `plugfit.lock`. The bytes must be accepted or rejected. An accepted lock must be the same after
//! it is written and read again.
#![no_main]

use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use plugfit::plugin::Lock;
use plugfit_fuzz::{file, written};

/// Checks that a valid lock is read, so that inputs aren't all rejected for a reason other than their content.
fn check_valid_lock() {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| {
        let good = Lock::read(&written("plugfit.lock", include_bytes!("../corpus/lock/one")));
        assert_eq!(good.expect("a good lock").plugins().len(), 2);
    });
}

fuzz_target!(|bytes: &[u8]| {
    check_valid_lock();
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
