//! The network between processes: messages are late, get lost, and do not pass partitions.

use crate::sim::{Process, Sim, lock};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Delays of a message at a good time.
const DELAY_MS_MAX: u64 = 3;
/// Whoever waits for something that was lost finds out after this.
const LOST_AFTER: Duration = Duration::from_millis(250);

#[derive(Default)]
pub struct Network {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// From one place to another nothing passes.
    cut: BTreeSet<(u64, u64)>,
    loss_per_mille: u64,
    extra_delay_ms_max: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The request did not arrive.
    NotSent,
    /// It may have arrived.
    Unknown,
}

impl Network {
    /// Nothing passes from `from` to `to`, or it does again.
    pub fn cut(&self, from: u64, to: u64, is_cut: bool) {
        let mut state = lock(&self.state);
        if is_cut {
            state.cut.insert((from, to));
        } else {
            state.cut.remove(&(from, to));
        }
    }

    pub fn weather(&self, loss_per_mille: u64, extra_delay_ms_max: u64) {
        let mut state = lock(&self.state);
        (state.loss_per_mille, state.extra_delay_ms_max) = (loss_per_mille, extra_delay_ms_max);
    }

    pub fn heal(&self) {
        *lock(&self.state) = State::default();
    }

    fn passes(&self, sim: &Sim, from: &Process, to: &Process) -> bool {
        let loss = {
            let state = lock(&self.state);
            if state.cut.contains(&(from.place, to.place)) {
                return false;
            }
            state.loss_per_mille
        };
        loss == 0 || !sim.strikes(loss)
    }

    fn delay(&self, sim: &Sim) -> Duration {
        let extra = lock(&self.state).extra_delay_ms_max;
        let late = if extra > 0 { sim.random.below(extra + 1) } else { 0 };
        Duration::from_millis(sim.random.below(DELAY_MS_MAX + 1) + late)
    }
}

/// One message on its way. False: it got lost.
pub async fn travel(sim: &Sim, from: &Process, to: &Process) -> bool {
    if from.is_dead() || !sim.network.passes(sim, from, to) {
        tokio::time::sleep(LOST_AFTER).await;
        return false;
    }
    tokio::time::sleep(sim.network.delay(sim)).await;
    // What was on its way when its sender died may still arrive.
    !(to.is_dead() || from.is_dead() && sim.strikes(500))
}

/// Has `work` done in another process, and brings its answer.
pub async fn call<T: Send + 'static>(
    sim: &Arc<Sim>,
    from: &Process,
    to: &Arc<Process>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Lost> {
    if from.is_dead() {
        // A ghost: nobody hears it, and it need not hear that.
        std::future::pending::<()>().await;
    }
    if !travel(sim, from, to).await {
        return Err(Lost::NotSent);
    }
    let answer = to.spawn(work).await.map_err(|_| Lost::Unknown)?;
    if !travel(sim, to, from).await {
        return Err(Lost::Unknown);
    }
    Ok(answer)
}
