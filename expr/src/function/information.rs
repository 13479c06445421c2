//! Functions that tell about the session. Manual: "Information Functions" (14.15).

use crate::collation::CollationId;
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{Between, Exactly};

pub static FUNCTIONS: &[Function] = &[
    Function::new("VERSION", Exactly(0), result::text::<60>, |_, _, context| Ok(Value::text(&context.session.version)))
        .statement(),
    Function::new("DATABASE", Exactly(0), result::text::<64>, database).statement(),
    Function::new("SCHEMA", Exactly(0), result::text::<64>, database).statement(),
    Function::new("USER", Exactly(0), result::text::<288>, user).statement(),
    Function::new("SESSION_USER", Exactly(0), result::text::<288>, user).statement(),
    Function::new("SYSTEM_USER", Exactly(0), result::text::<288>, user).statement(),
    Function::new("CURRENT_USER", Exactly(0), result::text::<288>, current_user).statement(),
    Function::new("CURRENT_ROLE", Exactly(0), result::text::<288>, current_role).statement(),
    Function::new("CONNECTION_ID", Exactly(0), result::bigint_unsigned, connection_id).statement(),
    Function::new("LAST_INSERT_ID", Between(0, 1), result::bigint_unsigned, last_insert_id).takes_null().statement(),
    Function::new("ROW_COUNT", Exactly(0), result::bigint, row_count).statement(),
    Function::new("FOUND_ROWS", Exactly(0), result::bigint, found_rows).statement(),
    Function::new("CHARSET", Exactly(1), result::text::<64>, charset).takes_null(),
    Function::new("COLLATION", Exactly(1), result::text::<64>, collation).takes_null(),
];

fn database(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(context.session.database.as_ref().map_or(Value::Null, |name| Value::text(&**name)))
}

fn user(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::text(&context.session.user))
}

fn current_role(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let roles = &*context.session.current_role;
    Ok(Value::text(if roles.is_empty() { "NONE" } else { roles }))
}

fn current_user(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::text(&context.session.current_user))
}

fn connection_id(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::UInt(context.session.connection_id))
}

/// With an argument it also leaves the number for the session: the next LAST_INSERT_ID() gives it.
fn last_insert_id(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(argument) = arguments.first() else { return Ok(Value::UInt(context.session.last_insert_id)) };
    let id = argument.to_u64(context)?;
    *context.effects.last_insert_id.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(id);
    Ok(if argument.is_null() { Value::Null } else { Value::UInt(id) })
}

fn row_count(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(context.session.row_count))
}

fn found_rows(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(context.session.found_rows as i64))
}

/// Numbers and dates have the binary one.
fn collation_of(ty: &MysqlType) -> CollationId {
    if ty.is_text() { ty.collation } else { CollationId::BINARY }
}

fn charset(call: &Call<'_>, _: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::text(collation_of(&call.argument_types[0]).charset().name()))
}

fn collation(call: &Call<'_>, _: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::text(collation_of(&call.argument_types[0]).name()))
}
