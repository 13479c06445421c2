//! From text to plan: `parse` (syntax), `bind` (MySQL's meaning of names and types), `plan` (what the executors run).

pub mod bind;
pub mod parse;
pub mod plan;
pub mod text_bytes;
