//! Faults: what goes wrong, when, for how long, as the seed has it.

use crate::sim::lock;
use crate::world::{COMPUTE_PLACE, COMPUTES, MEMBERS, PAGES_PLACE, World};
use common::id::NodeId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Faults of one run.
const FAULTS_MIN: u64 = 4;
const FAULTS_MAX: u64 = 10;

/// One fault after the other, some of which last into the next ones.
pub async fn rage(world: &Arc<World>) {
    let sim = &world.sim;
    let count = FAULTS_MIN + sim.random.below(FAULTS_MAX - FAULTS_MIN + 1);
    for _ in 0..count {
        tokio::time::sleep(sim.ms(50, 700)).await;
        one(world).await;
    }
    tokio::time::sleep(sim.ms(100, 1500)).await;
}

/// Everything is well again; what is dead is started by the world.
pub fn heal(world: &World) {
    world.sim.event(|| "no more faults".to_string());
    world.sim.network.heal();
    for platter in world.platters.values() {
        platter.faults.latency(2);
        platter.faults.power_goes_after(-1);
    }
    world.store_faults.failures_per_mille.store(0, Ordering::Relaxed);
    world.store_faults.delay_ms_max.store(0, Ordering::Relaxed);
}

/// The member that leads, as most members see it; else any.
async fn leader(world: &World) -> NodeId {
    let members = lock(&world.sim.members).clone();
    let mut newest = None;
    for (node, member) in members {
        if let Ok(status) = member.node.service().status().await
            && status.leader == Some(node)
        {
            newest = newest.max(Some((status.term, node)));
        }
    }
    newest.map_or_else(|| any(world), |(_, node)| node)
}

fn any(world: &World) -> NodeId {
    MEMBERS[world.sim.random.below(3) as usize]
}

/// The leader more often than another.
async fn victim(world: &World) -> NodeId {
    if world.sim.strikes(600) { leader(world).await } else { any(world) }
}

fn kill(world: &World, node: NodeId) {
    if let Some(member) = lock(&world.sim.members).get(&node) {
        member.process.kill();
    }
}

async fn one(world: &Arc<World>) {
    let sim = &world.sim;
    world.power_lost.store(sim.strikes(700), Ordering::Relaxed);
    match sim.random.below(15) {
        0 | 1 => {
            let node = victim(world).await;
            sim.event(|| format!("fault: wal{node} dies"));
            kill(world, node);
        }
        2 | 3 => {
            let node = victim(world).await;
            let operations = sim.random.below(6) as i64;
            sim.event(|| format!("fault: wal{node} loses power after {operations} operations"));
            world.platters[&node].faults.power_goes_after(operations);
        }
        4 => {
            sim.event(|| "fault: all members die at once".to_string());
            MEMBERS.into_iter().for_each(|node| kill(world, node));
        }
        5 | 6 => {
            let node = victim(world).await;
            isolate(world, node);
        }
        7 => {
            let (loss, delay) = (sim.random.below(150), sim.random.below(60));
            sim.event(|| format!("fault: bad weather, {loss} of 1000 lost, up to {delay} ms late"));
            sim.network.weather(loss, delay);
            let world = world.clone();
            tokio::spawn(async move {
                tokio::time::sleep(world.sim.ms(200, 1500)).await;
                world.sim.network.weather(0, 0);
            });
        }
        8 => {
            let (node, latency) = (victim(world).await, sim.random.below(400));
            sim.event(|| format!("fault: the disk of wal{node} takes up to {latency} ms"));
            let world = world.clone();
            world.platters[&node].faults.latency(latency);
            tokio::spawn(async move {
                tokio::time::sleep(world.sim.ms(200, 1500)).await;
                world.platters[&node].faults.latency(2);
            });
        }
        9 => {
            let node = victim(world).await;
            sim.event(|| format!("fault: the disk of wal{node} cannot sync any more"));
            world.platters[&node].faults.fail_syncs();
        }
        10 => {
            let dead = lock(&sim.pages).as_ref().map(|pages| pages.process.clone());
            sim.event(|| "fault: the page server dies".to_string());
            if let Some(process) = dead {
                process.kill();
            }
        }
        11 | 12 => {
            sim.event(|| "fault: the page server is replaced and does not know it".to_string());
            world.replace_pages.notify_one();
        }
        13 => {
            let (failures, delay) = (sim.random.below(300), sim.random.below(200));
            sim.event(|| format!("fault: the store fails {failures} of 1000, up to {delay} ms late"));
            world.store_faults.failures_per_mille.store(failures, Ordering::Relaxed);
            world.store_faults.delay_ms_max.store(delay, Ordering::Relaxed);
            let world = world.clone();
            tokio::spawn(async move {
                tokio::time::sleep(world.sim.ms(300, 2000)).await;
                world.store_faults.failures_per_mille.store(0, Ordering::Relaxed);
                world.store_faults.delay_ms_max.store(0, Ordering::Relaxed);
            });
        }
        _ => {
            let (node, skew) = (any(world), sim.random.below(20_000_000) as i64 - 10_000_000);
            sim.event(|| format!("fault: the clock of wal{node} is off by {skew} us"));
            world.clock_skew_us[&node].store(skew, Ordering::Relaxed);
        }
    }
}

/// Cuts a member off from the others, in both directions or in one, and from clients or not, for a while.
fn isolate(world: &Arc<World>, node: NodeId) {
    let sim = &world.sim;
    let mut cuts = Vec::new();
    let direction = sim.random.below(3);
    let mut others: Vec<u64> = MEMBERS.iter().filter(|other| **other != node).map(|other| other.0).collect();
    if sim.strikes(400) {
        others.push(PAGES_PLACE);
        others.extend((0..COMPUTES).map(|number| COMPUTE_PLACE + number));
    }
    for other in others {
        if direction != 1 {
            cuts.push((node.0, other));
        }
        if direction != 2 {
            cuts.push((other, node.0));
        }
    }
    sim.event(|| format!("fault: wal{node} is cut off: {cuts:?}"));
    cuts.iter().for_each(|(from, to)| sim.network.cut(*from, *to, true));
    let world = world.clone();
    tokio::spawn(async move {
        let wait: Duration = world.sim.ms(200, 3000);
        tokio::time::sleep(wait).await;
        cuts.iter().for_each(|(from, to)| world.sim.network.cut(*from, *to, false));
    });
}
