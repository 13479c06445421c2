//! Functions that wait: SLEEP, GET_LOCK and its kin. Their calls are answered first, one after the other, and the
//! expression is evaluated with the answers in their places. So a branch that is not taken waits too.

use crate::execute::row::walk;
use async_trait::async_trait;
use expr::eval::{EvalContext, eval};
use expr::function::misc::WAITING;
use expr::value::Value;
use expr::{Expression, SqlError};

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

/// True for a call whose arguments hold no other.
fn is_ready(expression: &Expression) -> bool {
    let Expression::Call { arguments, .. } = expression else { return false };
    is_waiting(expression) && !arguments.iter().any(waits)
}

/// The expression with all such calls replaced by their answers.
pub async fn resolve(
    expression: &Expression,
    row: &[Value],
    context: &EvalContext,
    functions: &dyn WaitingFunctions,
) -> Result<Expression, SqlError> {
    let mut expression = expression.clone();
    loop {
        let mut call = None;
        walk::visit_expression(&expression, &mut |part| {
            if let Expression::Call { function, arguments, .. } = part
                && call.is_none()
                && is_ready(part)
            {
                call = Some((function.name, arguments));
            }
        });
        let Some((name, arguments)) = call else { return Ok(expression) };
        let arguments = arguments.iter().map(|argument| eval(argument, row, context)).collect::<Result<_, _>>()?;
        let mut answer = Some(functions.call(name, arguments).await?);
        walk::visit_expression_mut(&mut expression, &mut |part| {
            if is_ready(part)
                && let Some(value) = answer.take()
            {
                let ty = part.ty();
                *part = Expression::Literal { value, ty };
            }
        });
    }
}
