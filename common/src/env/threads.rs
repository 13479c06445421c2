//! Work that blocks: on threads made for it for real; where it stands in a simulation, which has one thread and no other.
//!
//! A simulation declares its thread with [`simulate_on_this_thread`]. Nothing else may ask whether there is one, but to
//! find a home for work that would need a thread.

use std::cell::Cell;
use thread_priority::ThreadPriority;
use tokio::task::JoinError;

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

/// From now on this thread has only what others leave of the processors: where one of them wants to run, this one stops at once.
/// Linux has a policy for that (SCHED_IDLE, sched(7)). A low priority alone (nice) does less: it is given seldom, and then kept for
/// milliseconds, which is many commits. Where the policy is refused, the priority has to do.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy};
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let me = thread_priority::thread_native_id();
        if set_thread_priority_and_policy(me, ThreadPriority::Min, idle).is_ok() {
            return;
        }
    }
    if let Err(error) = thread_priority::set_current_thread_priority(ThreadPriority::Min) {
        tracing::debug!(?error, "a thread for long work keeps its priority");
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
