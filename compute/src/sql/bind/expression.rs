//! Expressions: syntax to bound, typed expressions.

use crate::sql::bind::comparison::row_items;
use crate::sql::bind::unify::{as_text, cast_to, unify_choices};
use crate::sql::bind::{Binder, column_type, derivation, error, literal};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::syntax::{
    BinaryOperator, CaseWhen, Expr, Ident, TrimWhereField, UnaryOperator, Value as Literal,
};
use crate::sql::plan::{SubqueryKind, VariableScope};
use expr::collation::CollationId;
use expr::expression::Comparison;
use expr::function::{Arguments, Function, lookup};
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};
use expr::{ErrorCode, Expression, SqlError};

/// Makes a call; the type comes from the function.
pub fn call(function: &'static Function, arguments: Vec<Expression>) -> Result<Expression, SqlError> {
    let count = arguments.len();
    let fits = match function.arguments {
        Arguments::Exactly(expected) => count == expected,
        Arguments::Between(low, high) => (low..=high).contains(&count),
        Arguments::AtLeast(low) => count >= low,
    };
    if !fits {
        return Err(error::parameter_count(function.name));
    }
    let mut ty = function.result_type(&arguments)?;
    if ty.is_text() && derivation::follows_arguments(function.name) {
        let together = derivation::aggregate(arguments.iter());
        if together.strength < derivation::strength::NUMERIC && together.collation != CollationId::BINARY {
            ty.collation = together.collation;
        }
    }
    Ok(Expression::Call { function, arguments, ty })
}

/// Makes a call of an operator or of a function that surely exists.
pub fn operator(name: &str, arguments: Vec<Expression>) -> Result<Expression, SqlError> {
    match lookup(name) {
        Some(function) => call(function, arguments),
        None => Err(SqlError::not_supported(name)),
    }
}

/// A member as its name; everything else as it is.
fn named(expression: Expression) -> Expression {
    let ty = expression.ty();
    match ty.kind {
        TypeKind::Enum(_) | TypeKind::Set(_) => cast_to(expression, &as_text(&ty)),
        _ => expression,
    }
}

impl Binder<'_> {
    /// Binds an expression of one column.
    pub fn expression(&mut self, expression: &Expr) -> Result<Expression, SqlError> {
        stacker::maybe_grow(128 << 10, 2 << 20, || self.one(expression))
    }

    /// Binds what is asked for its truth.
    pub fn condition(&mut self, condition: &Expr) -> Result<Expression, SqlError> {
        let mut bound = self.expression(condition)?;
        super::choice::as_number(&mut bound);
        Ok(bound)
    }

    pub fn expressions(&mut self, expressions: &[Expr]) -> Result<Vec<Expression>, SqlError> {
        expressions.iter().map(|expression| self.expression(expression)).collect()
    }

    fn one(&mut self, expression: &Expr) -> Result<Expression, SqlError> {
        match expression {
            Expr::Identifier(name) if name.quote_style == Some(VARIABLE_QUOTE) => self.variable(name),
            Expr::Identifier(name) => self.column(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Value(value) => self.literal(&value.value),
            Expr::Prefixed { prefix, value } => self.introduced(prefix, value),
            Expr::TypedString(typed) => self.typed_string(typed),
            Expr::Nested(inner) => self.expression(inner),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::Function(function) => self.function(function),
            Expr::Cast { expr, data_type, .. } => self.cast(expr, data_type),
            Expr::Convert { expr, charset, .. } => {
                let argument = self.expression(expr)?;
                let name = charset.as_ref().map(column_type::plain_name).unwrap_or_default();
                Ok(self.convert_using(argument, &name)?)
            }
            Expr::Collate { expr, collation } => self.collate(expr, &column_type::plain_name(collation)),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::IsNull(inner) => self.test("IS NULL", inner),
            Expr::IsNotNull(inner) => self.test("IS NOT NULL", inner),
            Expr::IsTrue(inner) => self.test("IS TRUE", inner),
            Expr::IsNotTrue(inner) => self.test("IS NOT TRUE", inner),
            Expr::IsFalse(inner) => self.test("IS FALSE", inner),
            Expr::IsNotFalse(inner) => self.test("IS NOT FALSE", inner),
            Expr::IsUnknown(inner) => self.test("IS UNKNOWN", inner),
            Expr::IsNotUnknown(inner) => self.test("IS NOT UNKNOWN", inner),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::InSubquery { expr, subquery, negated } => {
                let found = self.quantified(expr, Comparison::Equal, false, subquery)?;
                negate(found, *negated)
            }
            Expr::Between { expr, negated, low, high } => self.between(expr, low, high, *negated),
            Expr::Like { negated, expr, pattern, escape_char, .. } => {
                let mut arguments = vec![self.expression(expr)?, self.expression(pattern)?];
                derivation::unite(&mut arguments, "like")?;
                if let Some(escape) = escape_char {
                    arguments.push(self.expression(escape)?);
                }
                negate(operator("LIKE", arguments)?, *negated)
            }
            Expr::RLike { negated, expr, pattern, .. } => {
                let mut arguments = vec![self.expression(expr)?, self.expression(pattern)?];
                derivation::unite(&mut arguments, "regexp_like")?;
                negate(operator("REGEXP_LIKE", arguments)?, *negated)
            }
            Expr::AnyOp { left, compare_op, right, .. } => self.any_or_all(left, compare_op, right, false),
            Expr::AllOp { left, compare_op, right } => self.any_or_all(left, compare_op, right, true),
            Expr::Exists { subquery, negated } => {
                let (id, _) = self.subquery(subquery, SubqueryKind::Exists)?;
                negate(Expression::Subquery { id, ty: MysqlType::boolean().with_nullable(false) }, *negated)
            }
            Expr::Subquery(subquery) => {
                let (id, types) = self.subquery(subquery, SubqueryKind::Scalar)?;
                match types.as_slice() {
                    // No row is NULL. Of a member there is the name: its number is lost.
                    [ty] => Ok(named(Expression::Subquery { id, ty: ty.clone().with_nullable(true) })),
                    _ => Err(error::operand_columns(1)),
                }
            }
            Expr::Trim { expr, trim_where, trim_what, .. } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "TRIM_LEADING",
                    Some(TrimWhereField::Trailing) => "TRIM_TRAILING",
                    Some(TrimWhereField::Both) => "TRIM_BOTH",
                    None => "TRIM",
                };
                let mut arguments = vec![self.expression(expr)?];
                if let Some(what) = trim_what {
                    arguments.push(self.expression(what)?);
                }
                operator(if arguments.len() == 2 && name == "TRIM" { "TRIM_BOTH" } else { name }, arguments)
            }
            Expr::Tuple(items) => Err(match items.len() {
                0 => SqlError::not_supported(expression),
                _ => error::operand_columns(1),
            }),
            Expr::Interval(_) => Err(SqlError::new(
                ErrorCode::PARSE_ERROR,
                "You have an error in your SQL syntax; INTERVAL stands where a date is not added to",
            )),
            other => Err(SqlError::not_supported(other)),
        }
    }

    /// A column by name.
    pub fn column(&mut self, parts: &[Ident]) -> Result<Expression, SqlError> {
        let path: Vec<String> = parts.iter().map(|part| part.value.clone()).collect();
        // A routine's variable comes before a column of its name. Manual: "Local Variable Scope and Resolution".
        if let Some(variable) = self.local(&path)? {
            return Ok(variable);
        }
        match self.find_column(&path)? {
            Some(found) => Ok(found),
            None => Err(error::unknown_column(&path.join("."), self.clause().name())),
        }
    }

    /// `@name`, `@@name`, `@@scope.name`.
    fn variable(&mut self, name: &Ident) -> Result<Expression, SqlError> {
        self.reads_variable = true;
        if let Some(system) = name.value.strip_prefix("@@") {
            let system = system.to_ascii_lowercase();
            let (scope, system) = match system.split_once('.') {
                Some(("session" | "local", name)) => (Some(VariableScope::Session), name),
                Some(("global", name)) => (Some(VariableScope::Global), name),
                _ => (None, system.as_str()),
            };
            let (value, mut ty) = (self.context.variable)(scope, system)?;
            // Weaker than any literal it is compared with.
            if ty.is_text() {
                ty.collation = self.context.collation_connection;
            }
            return Ok(Expression::Literal { value, ty });
        }
        let name = name.value.trim_start_matches('@').to_ascii_lowercase();
        let assigned = self.assigned.iter().rev().find(|(other, _)| *other == name).map(|(_, ty)| ty.clone());
        let ty = assigned.or_else(|| (self.context.user_variable)(&name)).unwrap_or_else(|| {
            // Never set: NULL, which MySQL shows as a long text.
            MysqlType::text(TypeKind::Text { size: BlobSize::Medium }, self.context.collation_connection)
        });
        Ok(Expression::UserVariable { name, ty: ty.with_nullable(true) })
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expression, SqlError> {
        let name = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.chain(left, op, right),
            BinaryOperator::Assignment => return self.assignment(left, right),
            BinaryOperator::Plus | BinaryOperator::Minus if self.is_interval(left, right) => {
                return self.add_interval(left, op, right);
            }
            BinaryOperator::Arrow | BinaryOperator::LongArrow => {
                let arguments = vec![self.expression(left)?, self.expression(right)?];
                let extracted = operator("JSON_EXTRACT", arguments)?;
                return match op {
                    BinaryOperator::Arrow => Ok(extracted),
                    _ => operator("JSON_UNQUOTE", vec![extracted]),
                };
            }
            BinaryOperator::Plus => "+",
            BinaryOperator::Minus => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Modulo => "%",
            BinaryOperator::MyIntegerDivide => "DIV",
            BinaryOperator::BitwiseOr => "|",
            BinaryOperator::BitwiseAnd => "&",
            BinaryOperator::BitwiseXor => "^",
            BinaryOperator::PGBitwiseShiftLeft => "<<",
            BinaryOperator::PGBitwiseShiftRight => ">>",
            BinaryOperator::StringConcat => "CONCAT",
            BinaryOperator::Xor => "XOR",
            other => match comparison(other) {
                Some(comparison) => return self.compare_syntax(left, comparison, right),
                None => return Err(SqlError::not_supported(other)),
            },
        };
        let mut left = self.expression(left)?;
        let mut right = self.expression(right)?;
        self.infer_pair(&mut left, &mut right);
        if matches!(name, "+" | "-") {
            self.meet_added(&left, &right);
            self.meet_added(&right, &left);
        }
        let double = MysqlType::double();
        if name != "CONCAT" {
            let both_binary = left.ty().is_binary() && right.ty().is_binary();
            if !(both_binary && matches!(name, "&" | "|" | "^")) {
                literal::as_number(&mut left);
                literal::as_number(&mut right);
            }
            self.infer(&mut left, &double);
            self.infer(&mut right, &double);
        }
        operator(name, vec![left, right])
    }

    /// AND and OR become flat: a chain of thousands is common in generated statements.
    fn chain(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expression, SqlError> {
        let mut operands = vec![right];
        let mut next = left;
        while let Expr::BinaryOp { left, op: inner, right } = next {
            if inner != op {
                break;
            }
            operands.push(right);
            next = left;
        }
        operands.push(next);
        let mut bound = Vec::with_capacity(operands.len());
        for operand in operands.into_iter().rev() {
            let operand = self.condition(operand)?;
            // Chains on the right in parentheses, too.
            match (operand, op) {
                (Expression::And(inner), BinaryOperator::And) | (Expression::Or(inner), BinaryOperator::Or) => {
                    bound.extend(inner)
                }
                (operand, _) => bound.push(operand),
            }
        }
        Ok(if *op == BinaryOperator::And { Expression::And(bound) } else { Expression::Or(bound) })
    }

    fn assignment(&mut self, left: &Expr, right: &Expr) -> Result<Expression, SqlError> {
        let Expr::Identifier(name) = left else { return Err(SqlError::not_supported(left)) };
        let value = Box::new(self.expression(right)?);
        let name = name.value.trim_start_matches('@').to_ascii_lowercase();
        self.assigned.push((name.clone(), value.ty()));
        Ok(Expression::Assign { name, value })
    }

    fn is_interval(&self, left: &Expr, right: &Expr) -> bool {
        matches!(left, Expr::Interval(_)) || matches!(right, Expr::Interval(_))
    }

    /// `d + INTERVAL 1 DAY`, `INTERVAL 1 DAY + d`, `d - INTERVAL 1 DAY`.
    fn add_interval(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expression, SqlError> {
        let (date, interval) = match (left, right) {
            (Expr::Interval(interval), date) if *op == BinaryOperator::Plus => (date, interval),
            (date, Expr::Interval(interval)) => (date, interval),
            _ => return Err(SqlError::not_supported("INTERVAL on the left of a minus sign")),
        };
        let mut arguments = vec![self.expression(date)?];
        arguments.extend(self.interval(interval)?);
        operator(if *op == BinaryOperator::Plus { "DATE_ADD" } else { "DATE_SUB" }, arguments)
    }

    fn unary(&mut self, op: UnaryOperator, operand: &Expr) -> Result<Expression, SqlError> {
        let mut argument = self.expression(operand)?;
        if op == UnaryOperator::Minus {
            literal::as_number(&mut argument);
        }
        match op {
            UnaryOperator::Plus => Ok(argument),
            UnaryOperator::Minus => match literal::negated(argument) {
                Ok(literal) => Ok(literal),
                Err(argument) => operator("NEG", vec![argument]),
            },
            UnaryOperator::BitwiseNot => operator("~", vec![argument]),
            UnaryOperator::Not | UnaryOperator::BangNot => {
                super::choice::as_number(&mut argument);
                negate(argument, true)
            }
            other => Err(SqlError::not_supported(other)),
        }
    }

    fn test(&mut self, name: &str, inner: &Expr) -> Result<Expression, SqlError> {
        let argument = self.expression(inner)?;
        operator(name, vec![argument])
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Expression, SqlError> {
        let mut branches = Vec::new();
        for CaseWhen { condition, result } in conditions {
            let condition = match operand {
                Some(operand) => self.case_equal(operand, condition)?,
                None => self.condition(condition)?,
            };
            branches.push((condition, self.expression(result)?));
        }
        let otherwise = otherwise.map(|otherwise| self.expression(otherwise)).transpose()?;
        self.case_of(branches, otherwise)
    }

    /// `CASE operand WHEN condition`: a comparison, but JSON beside a text is a text there.
    fn case_equal(&mut self, operand: &Expr, condition: &Expr) -> Result<Expression, SqlError> {
        if row_items(operand).is_some() || row_items(condition).is_some() {
            return self.compare_syntax(operand, Comparison::Equal, condition);
        }
        let json_text = MysqlType::text(TypeKind::Text { size: BlobSize::Long }, CollationId::UTF8MB4_BIN);
        let as_text = |json: Expression, other: &Expression| match other.ty().is_text() {
            true if json.ty().kind == TypeKind::Json => cast_to(json, &json_text),
            _ => json,
        };
        let (operand, condition) = (self.expression(operand)?, self.expression(condition)?);
        let operand = as_text(operand, &condition);
        let condition = as_text(condition, &operand);
        self.compare(operand, Comparison::Equal, condition)
    }

    /// A CASE with its result type; the branches are cast to it.
    pub fn case_of(
        &mut self,
        branches: Vec<(Expression, Expression)>,
        otherwise: Option<Expression>,
    ) -> Result<Expression, SqlError> {
        let (conditions, mut results): (Vec<Expression>, Vec<Expression>) = branches.into_iter().unzip();
        let without_else = otherwise.is_none();
        results.extend(otherwise);
        self.infer_all(&mut results)?;
        let otherwise = if without_else { None } else { results.pop() };
        let branches: Vec<(Expression, Expression)> = conditions.into_iter().zip(results).collect();
        let mut types: Vec<MysqlType> = branches.iter().map(|(_, result)| result.ty()).collect();
        types.push(otherwise.as_ref().map_or_else(MysqlType::null, Expression::ty));
        let ty = unify_choices(&types, self.context.collation_connection)?;
        let branches = branches.into_iter().map(|(condition, result)| (condition, cast_to(result, &ty))).collect();
        let otherwise = otherwise.map(|otherwise| Box::new(cast_to(otherwise, &ty)));
        Ok(Expression::Case { branches, otherwise, ty })
    }

    fn collate(&mut self, inner: &Expr, name: &str) -> Result<Expression, SqlError> {
        let argument = self.expression(inner)?;
        let collation = self.collation_named(name)?;
        let ty = argument.ty();
        if ty.is_binary() && collation != CollationId::BINARY {
            return Err(SqlError::new(
                ErrorCode(1253),
                format!("COLLATION '{name}' is not valid for CHARACTER SET 'binary'"),
            ));
        }
        if ty.is_text() && ty.collation.charset() != collation.charset() {
            return Err(SqlError::new(
                ErrorCode(1253),
                format!("COLLATION '{name}' is not valid for CHARACTER SET '{}'", ty.collation.charset().name()),
            ));
        }
        let kind = if ty.is_text() && !matches!(ty.kind, TypeKind::Enum(_) | TypeKind::Set(_)) {
            ty.kind
        } else {
            TypeKind::VarChar { length: crate::sql::bind::unify::characters_max(&argument.ty()).min(16_383) as u32 }
        };
        let ty = MysqlType { kind, collation, nullable: ty.nullable };
        let Some(function) = lookup("COLLATE") else { return Err(SqlError::not_supported("COLLATE")) };
        Ok(Expression::Call { function, arguments: vec![argument], ty })
    }

    fn any_or_all(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        all: bool,
    ) -> Result<Expression, SqlError> {
        let comparison = comparison(op).ok_or_else(|| SqlError::not_supported(op))?;
        match right {
            Expr::Subquery(subquery) => self.quantified(left, comparison, all, subquery),
            Expr::Nested(inner) => self.any_or_all(left, op, inner, all),
            other => Err(SqlError::not_supported(other)),
        }
    }

    /// The literal of an integer, if the expression is one: positions in ORDER BY and GROUP BY.
    pub fn position(expression: &Expr) -> Option<usize> {
        match expression {
            Expr::Value(value) => match &value.value {
                Literal::Number(digits, _) => digits.parse().ok(),
                _ => None,
            },
            _ => None,
        }
    }

    /// True where an aggregate or window call may stand.
    pub fn allows_aggregates(&self) -> bool {
        self.blocks.last().is_some_and(|block| !block.in_aggregate && block.allows_aggregates())
    }
}

pub fn negate(expression: Expression, negated: bool) -> Result<Expression, SqlError> {
    if negated { operator("NOT", vec![expression]) } else { Ok(expression) }
}

pub fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::Spaceship => Comparison::NullSafeEqual,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
