//! MySQL's values and expressions: what a value is, how types convert and compare, what every function gives.
//!
//! One home for MySQL's semantics, used by compute for every statement and by page servers for pushdown. No I/O, no
//! clock: what an expression needs from its surroundings comes in [`eval::EvalContext`].
//!
//! The specification is the MySQL 8.4 manual, chapters "Data Types" and "Functions and Operators".

pub mod aggregate;
pub mod cast;
pub mod coerce;
pub mod collation;
pub mod compare;
pub mod error;
pub mod eval;
pub mod expression;
pub mod function;
pub mod key_encoding;
pub mod mysql_type;
pub mod partial;
pub mod row_encoding;
pub mod sqlstate;
pub mod store;
pub mod value;

pub use error::{ErrorCode, SqlError};
pub use expression::Expression;
pub use mysql_type::{MysqlType, TypeKind};
pub use value::Value;
