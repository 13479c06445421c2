//! Work that blocks: on threads made for it for real; where it stands in a simulation, which has one thread and no other.
//!
//! A simulation declares its thread with [`simulate_on_this_thread`]. Nothing else may ask whether there is one, but to
//! find a home for work that would need a thread.

use std::cell::Cell;
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
