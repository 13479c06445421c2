//! Parameters (`?`): each takes the type that its surroundings ask for.

use crate::sql::bind::Binder;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{Expression, SqlError};

/// Of a text parameter, whose value may be longer than what it meets.
pub const TEXT_CHARACTERS: u32 = 16_383;

impl Binder<'_> {
    pub fn parameter(&mut self, number: &str) -> Result<Expression, SqlError> {
        let index = number.trim_start_matches('?').parse::<usize>().ok().filter(|index| *index < self.parameters.len());
        let Some(index) = index else { return Err(SqlError::not_supported("? in this place")) };
        if let Some(taken) = &mut self.taken {
            taken.note_bound(index);
        }
        let ty = self.parameters[index].clone().unwrap_or_else(MysqlType::null);
        Ok(Expression::Parameter { index, ty })
    }

    /// Gives a parameter whose type is not known yet the type of what it meets.
    pub fn infer(&mut self, expression: &mut Expression, ty: &MysqlType) {
        if let Expression::Parameter { index, ty: unknown } = expression
            && unknown.kind == TypeKind::Null
            && ty.kind != TypeKind::Null
        {
            let ty = match ty.kind {
                // Members are for columns; the parameter is a text.
                TypeKind::Enum(_) | TypeKind::Set(_) => MysqlType::varchar(255, ty.collation),
                TypeKind::Char { .. } | TypeKind::VarChar { .. } => MysqlType::varchar(TEXT_CHARACTERS, ty.collation),
                TypeKind::Binary { .. } | TypeKind::VarBinary { .. } => {
                    MysqlType::new(TypeKind::VarBinary { length: 65_535 })
                }
                _ => ty.clone().with_nullable(true),
            };
            *unknown = ty.clone();
            self.parameters[*index].get_or_insert(ty);
        }
    }

    /// Values of which one is taken.
    pub fn infer_all(&mut self, values: &mut [Expression]) -> Result<(), SqlError> {
        let types: Vec<MysqlType> = values.iter().map(Expression::ty).collect();
        let together = super::unify::unify_choices(&types, self.context.collation_connection)?;
        values.iter_mut().for_each(|value| self.infer(value, &together));
        Ok(())
    }

    /// Two operands that should be alike.
    pub fn infer_pair(&mut self, left: &mut Expression, right: &mut Expression) {
        let (left_type, right_type) = (left.ty(), right.ty());
        self.infer(left, &right_type);
        self.infer(right, &left_type);
    }
}

/// Positions of the parameters that nothing was learned of.
pub fn open(binder: &Binder<'_>) -> Vec<usize> {
    let unknown = |(position, ty): (usize, &Option<MysqlType>)| ty.is_none().then_some(position);
    binder.parameters.iter().enumerate().filter_map(unknown).collect()
}
