//! The one plan type that both executors run, and the rules that improve it.
//!
//! Every node gives rows; expressions refer to columns of the node's input by position (a join's input is left then
//! right). Subqueries belong to the [`Query`] in whose expressions they stand, and are named by position in its list.

pub mod account;
pub mod ddl;
pub mod display;
pub mod explain;
pub mod load;
pub mod query;
pub mod rules;
pub mod statement;
pub mod walk;
pub mod xa;

pub use ddl::*;
pub use load::*;
pub use query::*;
pub use statement::*;
