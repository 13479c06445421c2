//! Plan: which objects of the archive, in which order, say what was committed after an LSN.

use super::{Base, Contents, ObjectName};
use crate::id::Lsn;
use std::collections::BTreeMap;

/// One object, and what of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub name: ObjectName,
    pub from: Lsn,
    /// That LSN included; it ends a batch.
    pub up_to: Lsn,
}

/// LSNs that the archive should have and has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub from: Lsn,
    /// That LSN included.
    pub up_to: Lsn,
    /// The newest that lies behind the gap.
    pub newest: Lsn,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The newest LSN that can be had without a gap.
    pub end: Lsn,
    /// There is more behind a gap.
    pub gap: Option<Gap>,
}

impl Plan {
    /// What follows `after`, from the newest generation and those before it.
    pub fn new(contents: &Contents, bases: &BTreeMap<u64, Base>, after: Lsn) -> Plan {
        let parts = parts(contents, bases, after);
        let mut plan = Plan { steps: Vec::new(), end: after, gap: None };
        loop {
            let wanted = plan.end.next();
            let holding = parts.iter().filter(|step| step.from <= wanted && wanted <= step.up_to);
            // Of those that overlap the one that reaches farthest.
            let Some(step) = holding.max_by_key(|step| step.up_to) else { break };
            plan.steps.push(Step { from: wanted, ..*step });
            plan.end = step.up_to;
        }
        let behind = parts.iter().filter(|step| step.from > plan.end.next());
        plan.gap = behind.clone().map(|step| step.from).min().map(|next| Gap {
            from: plan.end.next(),
            up_to: Lsn(next.0 - 1),
            newest: behind.map(|step| step.up_to).max().unwrap_or(next),
        });
        plan
    }
}

/// What counts of each object, from `after` on.
fn parts(contents: &Contents, bases: &BTreeMap<u64, Base>, after: Lsn) -> Vec<Step> {
    let mut parts = Vec::new();
    let (mut generation, mut limit) = (contents.newest_generation(), Lsn::MAX);
    loop {
        let base = bases.get(&generation);
        let begins = base.map_or(Lsn::ZERO, |base| base.continues_at);
        for listed in contents.objects.iter().filter(|listed| listed.name.generation == generation) {
            let (from, up_to) = (listed.name.first.max(begins.next()), listed.name.last.min(limit));
            if from <= up_to && up_to > after {
                parts.push(Step { name: listed.name, from, up_to });
            }
        }
        limit = limit.min(begins);
        match base {
            Some(base) if limit > after && base.previous < generation => generation = base.previous,
            _ => return parts,
        }
    }
}
