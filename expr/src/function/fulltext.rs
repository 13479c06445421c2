//! `MATCH (columns) AGAINST (pattern)`. Manual: "Full-Text Search Functions" (14.9).
//!
//! Words are those of InnoDB's own parser: letters, digits and underscores; those that are shorter than three characters
//! or stand in the list of stopwords are not searched for. They compare by the collation of the columns. The relevance
//! of a row counts how often the words stand in it; how rare they are elsewhere is not known here and does not count.

use crate::collation::{self, CollationId};
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use std::cell::RefCell;
use std::sync::Arc;

mod query;
mod words;

use query::Query;
use words::Document;
pub use words::STOPWORDS;

/// Of a call: the pattern, the mode (`NATURAL` or `BOOLEAN`), the columns.
pub static FUNCTIONS: &[Function] =
    &[Function::new("MATCH", Arguments::AtLeast(3), relevance_type, relevance).takes_null()];

fn relevance_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::double().with_nullable(false))
}

/// A pattern as it was parsed last: it is the same for all rows.
type Parsed = (String, bool, Arc<Query>);

thread_local! {
    static LAST: RefCell<Option<Parsed>> = const { RefCell::new(None) };
}

fn parsed(pattern: &str, boolean: bool) -> Result<Arc<Query>, SqlError> {
    LAST.with_borrow_mut(|last| {
        if let Some((known, known_mode, query)) = last
            && known == pattern
            && *known_mode == boolean
        {
            return Ok(query.clone());
        }
        let query = Arc::new(if boolean { Query::boolean(pattern)? } else { Query::natural(pattern) });
        *last = Some((pattern.to_owned(), boolean, query.clone()));
        Ok(query)
    })
}

fn relevance(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let [pattern, mode, columns @ ..] = arguments else { return Err(SqlError::internal("MATCH without columns")) };
    if pattern.is_null() {
        return Ok(Value::Double(0.0));
    }
    let query = parsed(&pattern.to_text(), mode.to_text() == "BOOLEAN")?;
    let texts: Vec<_> = columns.iter().filter(|value| !value.is_null()).map(Value::to_text).collect();
    let collation = call.argument_types.get(2).map_or(CollationId::UTF8MB4_0900_AI_CI, |ty| ty.collation);
    let document = Document::of(texts.iter().map(AsRef::as_ref));
    let found = query.relevance(&document, &|left, right| collation::equal(collation, left, right));
    Ok(Value::Double(found.map_or(0.0, |relevance| relevance.max(0.0))))
}

#[cfg(test)]
mod tests;
