//! Work that blocks: on threads made for it for real; where it stands in a simulation, which has one thread and no other.
//!
//! A simulation declares its thread with [`simulate_on_this_thread`]. Nothing else may ask whether there is one, but to
//! find a home for work that would need a thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(target_os = "linux")]
use thread_priority::ThreadPriority;
use tokio::task::JoinError;

/// About a tenth of the share of a thread at priority 0.
const NICENESS: i32 = 10;

static LONG_WORK_IDLES: AtomicBool = AtomicBool::new(false);

thread_local! {
    static SIMULATED: Cell<bool> = const { Cell::new(false) };
}

/// From now on whatever would run on another thread runs on this one.
pub fn simulate_on_this_thread() {
    SIMULATED.set(true);
}

/// Whether this thread is all there is.
pub fn are_simulated() -> bool {
    SIMULATED.get()
}

/// Whether long work (analytic queries, scans) has some share of processors that others want too, or none. For the whole process,
/// before its threads start.
pub fn let_long_work_idle(idle: bool) {
    LONG_WORK_IDLES.store(idle, Ordering::Relaxed);
}

/// From now on this thread does long work, and stands behind others where they want its processor.
///
/// With a low priority (`nice`) it has about a tenth of what one of them has, and keeps the processor for its turn: some milliseconds, which
/// is many commits. With Linux' SCHED_IDLE (sched(7)) it stops at once, and starves where others want to run all the time.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    if LONG_WORK_IDLES.load(Ordering::Relaxed) {
        use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy};
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let me = thread_priority::thread_native_id();
        if set_thread_priority_and_policy(me, ThreadPriority::Min, idle).is_ok() {
            return;
        }
    }
    // On Linux, of this thread alone.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a thread for long work keeps its priority");
    }
}

/// Runs work that may block for a while. The error says that it panicked, or that the runtime ends.
pub async fn blocking<T, F>(work: F) -> Result<T, JoinError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if are_simulated() {
        // Others get their turn, as they would.
        tokio::task::yield_now().await;
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}
