//! Reads at an LSN: `get` for keys, `scan` for ranges. Both see one snapshot of the tablet from begin to end.

mod aggregate;
mod ahead;
mod batch;
mod bounds;
mod column;
pub mod estimate;
pub mod get;
pub mod pool;
pub mod scan;
mod source;
pub mod statistics;
pub mod tablets;
mod term;
mod unit;
