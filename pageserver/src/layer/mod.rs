//! Layers: immutable files in object storage that hold the sorted versions of one tablet, column by column.
//!
//! ```text
//! header | block | block | ... | index | footer
//! ```
//!
//! A point read asks the filter, finds the one block in the index, and reads a row of it; a scan reads the columns
//! that it wants. Versioned and described byte by byte in docs/formats.md, "Layer".
//!
//! Invariants
//! - Versions are sorted by key, then newest first; the versions of one key are in one block.
//! - Every byte is under a checksum: each block's is in the index, the index's in the footer, the footer's in itself.

pub mod block;
pub mod column;
pub mod encode;
mod fetch;
pub mod filter;
pub mod format;
mod held;
pub mod reader;
pub mod row;
mod row_plan;
mod search;
pub mod sequential;
pub mod sketch;
pub mod statistics;
pub mod writer;

pub use block::{Block, Version};
pub use column::FormatError;
pub use column::bytes::Compression;
pub use reader::{Layer, ReadError};
