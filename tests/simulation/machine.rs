//! The machine that a simulation runs on: time and randomness of one thread, both from its seed.
//!
//! Libraries ask the C library, not us: `HashMap` for its keys, tokio for the order of `select!` and for the time, rand
//! for its generators. So this test binary brings its own `getrandom` and `clock_gettime`. On the thread of a simulation
//! they answer from the seed; on any other they ask the kernel, as the real ones do.
//!
//! Time stands still while anything can run. When nothing can, it moves on by a millisecond, the step of tokio's timers,
//! and the thread never sleeps.
#![allow(unsafe_code, reason = "two functions of the C library, replaced in this test binary alone")]

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Notify;

thread_local! {
    /// The state of the generator; `None` on threads that are not simulated.
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
}

/// 2026-01-01, and what the monotonic clock says at the start.
const START_NS: u64 = 1_767_225_600_000_000_000;
const STEP_NS: u64 = 1_000_000;

#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    let Some(mut state) = RANDOM.get() else {
        // SAFETY: the caller's buffer, handed on as it came.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    };
    for at in 0..length {
        state = splitmix(state);
        // SAFETY: the caller says that `length` bytes may be written.
        unsafe { *buffer.add(at) = (mixed(state) >> 32) as u8 };
    }
    RANDOM.set(Some(state));
    length as isize
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: i32, time: *mut libc::timespec) -> i32 {
    if RANDOM.get().is_none() {
        // SAFETY: the caller's structure, handed on as it came.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as i32 };
    }
    let now = NOW_NS.get();
    // SAFETY: the caller says that a `timespec` may be written.
    unsafe { *time = libc::timespec { tv_sec: (now / 1_000_000_000) as i64, tv_nsec: (now % 1_000_000_000) as i64 } };
    0
}

fn splitmix(state: u64) -> u64 {
    state.wrapping_add(0x9e37_79b9_7f4a_7c15)
}

fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Milliseconds since the start.
pub fn now_ms() -> u64 {
    NOW_NS.get().saturating_sub(START_NS) / STEP_NS
}

/// The wall clock, in microseconds.
pub fn wall_us() -> u64 {
    NOW_NS.get() / 1_000
}

/// Runs what `make` gives on a new machine, to its end. One in a process: some libraries count over all threads.
pub fn run<T: Send + 'static, F: Future<Output = T>>(seed: u64, make: impl FnOnce() -> F + Send + 'static) -> T {
    let machine = move || {
        RANDOM.set(Some(mixed(splitmix(seed))));
        NOW_NS.set(START_NS);
        common::env::threads::simulate_on_this_thread();
        let idle = Arc::new(Notify::new());
        let woken = idle.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            // Timers are looked at after each task, so also after the one that idleness wakes.
            .event_interval(1)
            .on_thread_park(move || {
                NOW_NS.set(NOW_NS.get() + STEP_NS);
                woken.notify_one();
            })
            .build()
            .expect("a runtime of one thread");
        runtime.block_on(async {
            tokio::spawn(async move {
                loop {
                    // A thread with something to run does not sleep.
                    idle.notified().await;
                }
            });
            make().await
        })
    };
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(machine).expect("a thread");
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
