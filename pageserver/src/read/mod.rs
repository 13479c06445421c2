//! Reads at an LSN: `get` for keys, `scan` for ranges. Both see one snapshot of the tablet from begin to end.

mod batch;
pub mod column;
pub mod estimate;
pub mod get;
pub mod scan;
mod source;
pub mod tablets;
mod unit;
