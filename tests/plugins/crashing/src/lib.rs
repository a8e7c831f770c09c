//! Components that crash or block their process: in the function that the setting `at` names, in the way that `how`
//! names, once `after` calls have succeeded.
use plugfit_api::{NestedLoss, prelude::*};
use std::{
    cell::RefCell,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Number of calls, in this process, of functions that are set to fail.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct PanicsAtItsEnd;

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        panic!("told to panic at a thread's end");
    }
}

thread_local! {
    static GUARD: RefCell<Option<PanicsAtItsEnd>> = const { RefCell::new(None) };
}

#[expect(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    black_box([depth; 64])[0] + deeper(depth + 1)
}

/// Returns the address range of the memory that this process shares with its host.
fn shared_memory() -> std::ops::Range<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("it is Linux");
    let line = maps.lines().find(|line| line.contains("plugfit-call")).expect("it is isolated");
    let (range, _) = line.split_once(' ').expect("a range");
    let (start, end) = range.split_once('-').expect("two ends");
    let address = |text: &str| usize::from_str_radix(text, 16).expect("an address");
    address(start)..address(end)
}

/// Writes the number of a turn into the first word of the shared memory.
fn forge_turn(turn: u32) {
    let word = std::ptr::with_exposed_provenance_mut::<u32>(shared_memory().start);
    // SAFETY: none. The host must tolerate any value that a worker writes there.
    unsafe { word.write_volatile(turn) };
    crash("sleep long");
}

fn crash(how: &str) {
    match how {
        "forge end" => forge_turn(2),
        "forge nonsense" => forge_turn(77),
        "forge answer" => forge_turn(0),
        "grow" => enlarge_shared_memory(),
        "begin" => {
            let mut command = std::process::Command::new("sleep");
            command.arg("65.25").spawn().map(drop).expect("a process");
            crash("sleep long");
        }
        "sleep long" => std::thread::sleep(Duration::from_secs(60)),

        // SAFETY: none. The crash is intended.
        "segfault" => unsafe { std::ptr::without_provenance_mut::<u8>(16).write_volatile(1) },
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "loop" => loop {
            std::hint::spin_loop();
        },
        "leave" => {
            join_group_of_parent();
            crash("loop");
        }
        "stack" => drop(black_box(deeper(0))),
        "allocation" => drop(black_box(vec![1_u8; 1 << 45])),
        "leak" => {
            let mut leaked = Vec::new();
            loop {
                leaked.push(black_box(vec![1_u8; 1 << 24]));
            }
        }
        "panic" => panic!("told to panic"),
        "thread" => {
            let thread = std::thread::spawn(|| GUARD.with(|guard| *guard.borrow_mut() = Some(PanicsAtItsEnd)));
            let _ = thread.join();
        }
        "sleep" => std::thread::sleep(Duration::from_millis(20)),
        "print" => println!("{{\"event\": \"this isn't the program's\"}}"),
        _ => {}
    }
}

/// Enlarges the shared memory through every descriptor of it that can be opened for writing, and writes to it.
fn enlarge_shared_memory() {
    for descriptor in 0..64 {
        let path = format!("/proc/self/fd/{descriptor}");
        let found = std::fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().contains("plugfit-call"));
        let file = found.then(|| std::fs::File::options().write(true).open(&path)).and_then(std::io::Result::ok);
        if let Some(file) = file {
            file.set_len(1 << 33).expect("it grows");
        }
    }
    for page in shared_memory().step_by(1 << 12) {
        let page = std::ptr::with_exposed_provenance_mut::<u8>(page + 64);
        // SAFETY: none. A page that doesn't exist ends this process.
        unsafe { page.write_volatile(1) };
    }
}

/// Moves this process to the process group of its parent.
fn join_group_of_parent() {
    unsafe extern "C" {
        fn getppid() -> i32;
        fn getpgid(process: i32) -> i32;
        fn setpgid(process: i32, group: i32) -> i32;
    }
    // SAFETY: these functions take and return integers.
    let status = unsafe { setpgid(0, getpgid(getppid())) };
    assert_eq!(status, 0, "a process may move to the group of its parent");
}

fn crash_at_load() {
    if let Ok(how) = std::env::var("CRASH_AT_LOAD") {
        crash(&how);
    }
}

extern "C" fn at_load() {
    crash_at_load();
}

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

macro_rules! crashing {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Config)]
        pub struct $name {
            /// How the process fails.
            #[config(default = "nothing")]
            how: String,
            /// The function that fails.
            #[config(default = "update")]
            at: String,
            /// Number of calls before the failure.
            #[config(default = 0, range = 0..)]
            after: i64,
        }

        impl $name {
            fn crash_if_at(&self, function: &str) {
                if self.at == function && CALLS.fetch_add(1, Ordering::Relaxed) >= self.after as u64 {
                    crash(&self.how);
                }
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.crash_if_at("drop");
            }
        }
    };
}

crashing! {
    /// A loss that is 1 for each row.
    CrashingLoss
}

impl Loss for CrashingLoss {
    fn info(&self) -> LossInfo {
        self.crash_if_at("info");
        LossInfo::default()
    }
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        self.crash_if_at("create");
        Ok(())
    }
    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        self.crash_if_at("output_shape");
        Ok(vec![inputs.y_pred()?.shape()[0]])
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, host: &Host<'_>) -> Result<LossTotals> {
        self.crash_if_at("update");
        if self.at == "host" {
            host.warn("it is done in two pieces");
            let done = AtomicU64::new(0);
            host.parallel(2, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            if done.into_inner() != 2 {
                return Err(Error::other("the pieces weren't done"));
            }
        }
        if self.at == "until cancelled" {
            while !host.is_cancelled() {
                std::hint::spin_loop();
            }
            return Err(Error::cancelled());
        }
        let rows = inputs.y_pred()?.shape()[0] as f64;
        if let Some(values) = output.values.as_deref_mut() {
            values.fill(1.0);
        }
        if let Some(gradient) = output.gradient(1)? {
            gradient.fill(0.1);
        }
        Ok(LossTotals { value: rows, weight: rows, count: rows })
    }
}
/// A loss that creates another loss through its host.
#[derive(Config)]
pub struct NestingLoss {
    /// The other loss.
    #[config(default = "mse")]
    loss: Identifier,
    #[config(skip)]
    inner: Option<NestedLoss>,
}

impl Loss for NestingLoss {
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        self.inner = Some(host.loss(&self.loss)?);
        Ok(())
    }
    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> Result<LossTotals> {
        let rows = inputs.y_pred()?.shape()[0] as f64;
        if let Some(values) = output.values.as_deref_mut() {
            values.fill(1.0);
        }
        Ok(LossTotals { value: rows, weight: rows, count: rows })
    }
}

crashing! {
    /// A metric that counts its updates.
    CrashingMetric
}

/// The number of updates.
#[state]
pub struct Updates(u64);

impl Metric for CrashingMetric {
    type State = Updates;
    fn info(&self) -> MetricInfo {
        self.crash_if_at("info");
        MetricInfo::new(Direction::Maximize)
    }
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        self.crash_if_at("create");
        Ok(())
    }
    fn init(&self) -> Updates {
        self.crash_if_at("init");
        Updates(0)
    }
    fn update(&self, updates: &mut Updates, _: &Inputs<'_>) -> Result<()> {
        self.crash_if_at("update");
        updates.0 += 1;
        Ok(())
    }
    fn merge(&self, updates: &mut Updates, other: &Updates) -> Result<()> {
        self.crash_if_at("merge");
        updates.0 += other.0;
        Ok(())
    }
    fn result(&self, updates: &Updates) -> Result<Outcome> {
        self.crash_if_at("result");
        Ok(Outcome::Scalar(updates.0 as f64))
    }
}

crashing! {
    /// An optimizer that changes nothing.
    CrashingOptimizer
}

impl Optimizer for CrashingOptimizer {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        self.crash_if_at("slots");
        Ok(vec![Slot::like(0, &parameters[0], "slot")])
    }
    fn update(&self, _: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        self.crash_if_at("update");
        Ok(())
    }
    fn finalize(&self, _: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        self.crash_if_at("finalize");
        Ok(())
    }
}

crashing! {
    /// A schedule with a constant rate.
    CrashingSchedule
}

impl Schedule for CrashingSchedule {
    fn learning_rate(&self, _: &When) -> f64 {
        self.crash_if_at("update");
        0.01
    }
}

export_plugin! {
    losses: [CrashingLoss, NestingLoss], metrics: [CrashingMetric], optimizers: [CrashingOptimizer],
    schedules: [CrashingSchedule]
}
