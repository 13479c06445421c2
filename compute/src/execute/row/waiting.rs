//! Functions that wait: SLEEP, GET_LOCK and its kin, stored functions. An expression with such calls is evaluated from
//! the outside in: what a branch that is not taken calls is not called, and what is left without such calls is evaluated
//! as any other.

use crate::execute::row::walk;
use async_trait::async_trait;
use expr::eval::{EvalContext, eval};
use expr::function::misc::WAITING;
use expr::value::Value;
use expr::{Expression, MysqlType, SqlError};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Who answers.
#[async_trait]
pub trait WaitingFunctions: Send + Sync {
    async fn call(&self, function: &str, arguments: Vec<Value>) -> Result<Value, SqlError>;
}

fn is_waiting(expression: &Expression) -> bool {
    matches!(expression, Expression::Call { function, .. } if WAITING.contains(&function.name))
}

/// True if there is a call in it that has to be waited for.
pub fn waits(expression: &Expression) -> bool {
    let mut found = false;
    walk::visit_expression(expression, &mut |part| found |= is_waiting(part));
    found
}

/// The value of an expression with such calls.
pub fn evaluate<'a>(
    expression: &'a Expression,
    row: &'a [Value],
    context: &'a EvalContext,
    functions: &'a dyn WaitingFunctions,
) -> BoxFuture<'a, Result<Value, SqlError>> {
    async move {
        if !waits(expression) {
            return eval(expression, row, context);
        }
        let value = |part: &'a Expression| evaluate(part, row, context, functions);
        match expression {
            Expression::Call { function, arguments, .. } if is_waiting(expression) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(value(argument).await?);
                }
                // How long to wait is a number; what is none of it is told in the statement.
                if let ("SLEEP", [seconds @ Value::Text(_)]) = (function.name, &mut values[..]) {
                    *seconds = Value::Double(seconds.to_f64(context)?);
                }
                functions.call(function.name, values).await
            }
            Expression::Call { function, arguments, ty } => {
                let arguments = answered(arguments, row, context, functions).await?;
                eval(&Expression::Call { function, arguments, ty: ty.clone() }, row, context)
            }
            Expression::Cast { argument, ty } => {
                let argument = Box::new(literal(value(argument).await?, argument.ty()));
                eval(&Expression::Cast { argument, ty: ty.clone() }, row, context)
            }
            Expression::And(operands) | Expression::Or(operands) => {
                let decides = matches!(expression, Expression::Or(_));
                let mut unknown = false;
                for operand in operands {
                    match value(operand).await?.to_bool(context)? {
                        Some(truth) if truth == decides => return Ok(Value::boolean(decides)),
                        Some(_) => {}
                        None => unknown = true,
                    }
                }
                Ok(if unknown { Value::Null } else { Value::boolean(!decides) })
            }
            Expression::Case { branches, otherwise, ty } => {
                let mut taken = otherwise.as_deref();
                for (condition, result) in branches {
                    if value(condition).await?.to_bool(context)? == Some(true) {
                        taken = Some(result);
                        break;
                    }
                }
                match taken {
                    Some(result) => expr::cast::cast(value(result).await?, ty, context),
                    None => Ok(Value::Null),
                }
            }
            Expression::Coalesce { arguments, ty } => {
                for argument in arguments {
                    let found = value(argument).await?;
                    if !found.is_null() {
                        return expr::cast::cast(found, ty, context);
                    }
                }
                Ok(Value::Null)
            }
            Expression::Quantified { needle, comparison, all, id } => {
                let needle = answered(needle, row, context, functions).await?;
                eval(&Expression::Quantified { needle, comparison: *comparison, all: *all, id: *id }, row, context)
            }
            Expression::Assign { name, value: assigned } => {
                let value = Box::new(literal(value(assigned).await?, assigned.ty()));
                eval(&Expression::Assign { name: name.clone(), value }, row, context)
            }
            Expression::Literal { .. }
            | Expression::Column { .. }
            | Expression::Outer { .. }
            | Expression::Parameter { .. }
            | Expression::Subquery { .. }
            | Expression::UserVariable { .. } => eval(expression, row, context),
        }
    }
    .boxed()
}

/// Parts with such calls become what they are worth.
async fn answered(
    parts: &[Expression],
    row: &[Value],
    context: &EvalContext,
    functions: &dyn WaitingFunctions,
) -> Result<Vec<Expression>, SqlError> {
    let mut answered = Vec::with_capacity(parts.len());
    for part in parts {
        answered.push(match waits(part) {
            true => literal(evaluate(part, row, context, functions).await?, part.ty()),
            false => part.clone(),
        });
    }
    Ok(answered)
}

fn literal(value: Value, ty: MysqlType) -> Expression {
    Expression::Literal { value, ty }
}
