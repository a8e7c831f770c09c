//! Observes the state of the process outside of its memory, and allocates memory that ends at a guard page. The tests
//! of a plug-in use both; they run in a separate process.

use std::collections::BTreeMap;

use plugfit_api::testing::{AllocateGuarded, FLOAT_MODE, Surroundings, float_mode};

/// Returns the current state of the process.
pub fn observe() -> Surroundings {
    let one = |name: &str, value: String| BTreeMap::from([(name.to_owned(), value)]);
    let directory = std::env::current_dir().map_or_else(|error| error.to_string(), |path| path.display().to_string());
    #[allow(unused_mut)]
    let mut found = BTreeMap::from([(FLOAT_MODE, float_mode()), ("directory", one("working directory", directory))]);
    #[cfg(unix)]
    {
        use rustix::fs::Mode;
        // The umask can only be read by setting it.
        let mask = rustix::process::umask(Mode::empty());
        rustix::process::umask(mask);
        found.insert("umask", one("umask", format!("{:04o}", mask.bits())));
    }
    #[cfg(target_os = "linux")]
    {
        found.insert("signals", linux::signals());
        found.insert("descriptors", linux::descriptors());
    }
    found
}

/// Returns a function that allocates memory that ends at a guard page, if the system supports it.
pub fn allocate_guarded() -> Option<AllocateGuarded> {
    #[cfg(target_os = "linux")]
    let allocate: Option<AllocateGuarded> = Some(linux::before_a_guard_page);
    #[cfg(not(target_os = "linux"))]
    let allocate = None;
    allocate
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;

    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

    const NAMED: [(i32, &str); 15] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGCHLD, "SIGCHLD"),
    ];

    fn name(signal: i32) -> String {
        let named = NAMED.iter().find(|(number, _)| *number == signal);
        named.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
    }

    /// Returns the action for each signal, and the signals that are blocked on this thread.
    pub fn signals() -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for signal in 1..=libc::SIGRTMAX() {
            let mut action = MaybeUninit::<libc::sigaction>::uninit();
            // SAFETY: nothing is set; `action` is initialised if the call succeeds.
            let action = unsafe {
                if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) != 0 {
                    continue;
                }
                action.assume_init()
            };
            let action_text = match action.sa_sigaction {
                libc::SIG_DFL => "the default".to_owned(),
                libc::SIG_IGN => "to ignore it".to_owned(),
                address => format!("a function at {address:#x}"),
            };
            found.insert(format!("handler of {}", name(signal)), action_text);
        }
        let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: nothing is set; `blocked` is initialised if the call succeeds; `sigismember` is called for valid
        // signals only.
        let blocked: Vec<String> = unsafe {
            if libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr()) != 0 {
                return found;
            }
            let blocked = blocked.assume_init();
            (1..=libc::SIGRTMAX()).filter(|&signal| libc::sigismember(&blocked, signal) == 1).map(name).collect()
        };
        let blocked = if blocked.is_empty() { "none".to_owned() } else { blocked.join(", ") };
        found.insert("list of blocked signals".into(), blocked);
        found
    }

    /// Returns the open file descriptors. A few more descriptors than the process needs are opened, to detect a plug-in
    /// that closes those of others.
    pub fn descriptors() -> BTreeMap<String, String> {
        static MORE: OnceLock<Vec<File>> = OnceLock::new();
        MORE.get_or_init(|| (0..8).filter_map(|_| File::open("/dev/null").ok()).collect());
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let of = |entry: std::fs::DirEntry| {
            let what = std::fs::read_link(entry.path()).ok()?.display().to_string();
            // Skip the descriptor that lists this folder.
            let is_listing = what.starts_with("/proc/") && what.ends_with("/fd");
            (!is_listing).then(|| (entry.file_name().to_string_lossy().into_owned(), what))
        };
        entries.filter_map(of).collect()
    }

    /// Allocates `bytes` bytes that end at a page that can't be accessed. They are never freed. Returns `None` if the
    /// system refuses.
    pub fn before_a_guard_page(bytes: usize) -> Option<*mut u8> {
        let page = rustix::param::page_size();
        let length = bytes.div_ceil(page) * page;
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the memory is new and unused; `start.add(length)` is its last page.
        unsafe {
            mmap_anonymous(ptr::null_mut(), length + page, flags, MapFlags::PRIVATE).and_then(|start| {
                let start = start.cast::<u8>();
                mprotect(start.add(length).cast(), page, MprotectFlags::empty())?;
                Ok(start.add(length - bytes))
            })
        }
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_this_process_is_observed() {
        let found = observe();
        assert!(found["directory"]["working directory"].starts_with('/'), "{found:?}");
        #[cfg(target_os = "linux")]
        {
            assert_eq!(
                found.keys().copied().collect::<Vec<_>>(),
                ["descriptors", "directory", "float_mode", "signals", "umask"]
            );
            // Rust's runtime installs a handler for stack overflows.
            assert!(found["signals"]["handler of SIGSEGV"].starts_with("a function"), "{found:?}");
            assert!(found["descriptors"].values().filter(|what| *what == "/dev/null").count() >= 8, "{found:?}");
        }
    }

    #[test]
    fn memory_before_a_guard_page_can_be_used_to_its_end() {
        let Some(allocate) = allocate_guarded() else { return };
        let start = allocate(5000).unwrap();
        // SAFETY: 5000 bytes were allocated.
        unsafe {
            start.write_bytes(7, 5000);
            assert_eq!(*start.add(4999), 7);
        }
        assert_eq!((start as usize + 5000) % 4096, 0);
    }
}
