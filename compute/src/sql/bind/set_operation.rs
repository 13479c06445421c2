//! UNION, INTERSECT, EXCEPT: both sides get the same types.

use crate::sql::bind::unify::{cast_to, unify};
use crate::sql::bind::{Binder, Built, error};
use crate::sql::parse::ast::syntax::{SetExpr, SetOperator, SetQuantifier};
use crate::sql::plan::{Field, Node, SetKind};
use expr::collation::CollationId;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{ErrorCode, Expression, SqlError};

impl Binder<'_> {
    pub fn set_operation(
        &mut self,
        left: &SetExpr,
        operator: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
    ) -> Result<Built, SqlError> {
        let kind = match operator {
            SetOperator::Union => SetKind::Union,
            SetOperator::Intersect => SetKind::Intersect,
            SetOperator::Except => SetKind::Except,
            SetOperator::Minus => return Err(SqlError::not_supported("MINUS")),
        };
        let all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::Distinct | SetQuantifier::None => false,
            _ => return Err(SqlError::not_supported("BY NAME")),
        };
        let left = self.set_expression(left)?;
        let right = self.set_expression(right)?;
        let types = unified(&left.fields, &right.fields, self.context.collation_connection)?;
        let calc_found_rows = left.calc_found_rows;
        let fields = left
            .fields
            .iter()
            .zip(&types)
            .map(|(field, ty)| Field { name: field.name.clone(), ty: ty.clone(), origin: None })
            .collect();
        let left = Box::new(converted(left.root, &left.fields, &types));
        let right = Box::new(converted(right.root, &right.fields, &types));
        Ok(Built { root: Node::SetOperation { kind, all, left, right }, fields, calc_found_rows })
    }
}

/// The types of the columns of both.
pub fn unified(left: &[Field], right: &[Field], connection: CollationId) -> Result<Vec<MysqlType>, SqlError> {
    if left.len() != right.len() {
        return Err(error::different_columns());
    }
    left.iter()
        .zip(right)
        .map(|(left, right)| {
            unify(&[left.ty.clone(), right.ty.clone()], connection).map_err(|error| match error.code {
                ErrorCode::CANT_AGGREGATE_2COLLATIONS => {
                    SqlError::new(ErrorCode(1271), "Illegal mix of collations for operation 'UNION'")
                }
                _ => error,
            })
        })
        .collect()
}

/// The rows with their columns cast to `types`.
pub fn converted(root: Node, fields: &[Field], types: &[MysqlType]) -> Node {
    if fields.iter().zip(types).all(|(field, ty)| field.ty.kind == ty.kind && field.ty.collation == ty.collation) {
        return root;
    }
    let expressions = fields
        .iter()
        .enumerate()
        .zip(types)
        .map(|((index, field), ty)| {
            let column = Expression::column(index, field.ty.clone());
            match field.ty.kind {
                // A column of NULLs alone too: both sides of a set operation are of one type, row by row and by columns.
                TypeKind::Null => Expression::Cast { argument: Box::new(column), ty: ty.clone().with_nullable(true) },
                _ => cast_to(column, ty),
            }
        })
        .collect();
    Node::Project { input: Box::new(root), expressions }
}
