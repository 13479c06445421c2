//! Compaction: keeps the number of layers that a read has to ask small, and drops what nobody can see any more.
//!
//! `choose` decides what to merge (`level0` and its `parts` where that is most), `debt` says how much there is of it, `in_use` and `retention` which versions stay, `run` does the work, `workers` says how
//! much of it at a time, `reaper` deletes objects late, `leftovers` finds those that nobody came to delete.

pub mod choose;
pub mod debt;
pub mod in_use;
pub mod leftovers;
pub mod level0;
pub mod parts;
pub mod reaper;
pub mod retention;
pub mod run;
pub mod workers;
