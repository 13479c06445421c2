//! Running plans: the row path, the analytic path, definitions, SHOW.
//!
//! The session makes a [`StatementContext`] for each statement and calls [`write::execute`] or [`ddl::execute`] with it;
//! whatever they change is in the transaction afterwards, or nothing is if they give an error. The session commits.

pub mod account;
pub mod analytic;
pub mod bounds;
pub mod choose;
pub mod codec;
pub mod context;
pub mod ddl;
pub mod expressions;
pub mod query_memory;
pub mod routines;
pub mod row;
pub mod show;
pub mod show_routine;
pub mod temporary;
pub mod write;

pub use context::{BindExpressions, QuerySettings, ScanLocker, Services, Settings, StatementContext};
