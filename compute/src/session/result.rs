//! What a statement answers.

use crate::sql::plan::Field;
use expr::SqlError;
use expr::value::Row;
use futures::stream::BoxStream;

pub enum StatementResult {
    Done(Done),
    Rows(ResultSet),
    /// LOAD DATA LOCAL waits for a file of that name.
    File(String),
    /// A procedure has been called, and runs when the session goes on.
    Called,
}

/// An OK packet's worth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows changed (with CLIENT_FOUND_ROWS: matched).
    pub affected_rows: u64,
    /// First generated AUTO_INCREMENT value of the statement, or of LAST_INSERT_ID(expr); 0 if none.
    pub last_insert_id: u64,
    /// Last value that was given for the AUTO_INCREMENT column; 0 if none. Clients are told it where none was generated
    /// (manual: mysql_insert_id()), LAST_INSERT_ID() is not.
    pub given_insert_id: u64,
    /// `Records: 2  Duplicates: 0  Warnings: 1`, or empty.
    pub info: String,
}

pub struct ResultSet {
    pub fields: Vec<Field>,
    /// In chunks, so that nothing holds a whole result.
    pub rows: BoxStream<'static, Result<Vec<Row>, SqlError>>,
    /// OUT and INOUT parameters of a prepared CALL.
    pub is_out_parameters: bool,
}
