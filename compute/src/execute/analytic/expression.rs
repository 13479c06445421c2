//! MySQL's expressions as DataFusion's: natively where both mean the same, else as a [`RowFunction`].
//!
//! Native are: columns and constants; comparisons of values of one kind; AND, OR, NOT, IS NULL; IN and BETWEEN of such;
//! decimal arithmetic that cannot overflow, and what is added up even if it can; CASE over these. Texts are compared and
//! matched as their collation says: natively where that is the order of code points, else by [`TextFunction`]. Everything
//! else is evaluated by `expr`, row by row.

use crate::execute::analytic::scalar::{Kind, RowFunction};
use crate::execute::analytic::text::{self, TextFunction};
use crate::execute::analytic::types::{array_of, arrow_type};
use crate::execute::row::keys::KeyColumn;
use crate::execute::row::walk;
use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Case, Expr, Like, Operator, binary_expr, cast, lit, not};
use expr::Expression;
use expr::collation::{CollationId, comparison_collation};
use expr::eval::{EvalContext, SqlMode, eval};
use expr::expression::Comparison;
use expr::mysql_type::{MysqlType, TypeKind};
use std::sync::Arc;

use crate::execute::analytic::error::wrapped;

/// Expressions over one input.
pub struct Translator<'a> {
    /// The input's columns and their types.
    pub columns: &'a [Column],
    pub types: &'a [MysqlType],
    /// With the results of subqueries.
    pub eval: &'a Arc<EvalContext>,
}

impl Translator<'_> {
    /// The value, as an array of `arrow_type` of the expression's type.
    pub fn value(&self, expression: &Expression) -> Result<Expr> {
        match self.native(expression)? {
            Some(native) => Ok(native),
            None => match self.native_truth(expression)? {
                Some(truth) => Ok(cast(truth, arrow_type(&expression.ty()))),
                None => self.by_row(expression, Kind::Value),
            },
        }
    }

    /// The truth, as a boolean.
    pub fn truth(&self, expression: &Expression) -> Result<Expr> {
        if let Some(truth) = self.native_truth(expression)? {
            return Ok(truth);
        }
        match self.native(expression)? {
            Some(native) if expression.ty().is_integer() => Ok(native.not_eq(self.zero(&expression.ty()))),
            _ => self.by_row(expression, Kind::Truth),
        }
    }

    /// What to sort, group or join by, so that equal values are equal and come in MySQL's order.
    pub fn key(&self, expression: &Expression, null_matches: bool) -> Result<Expr> {
        let value = self.value(expression)?;
        let ty = expression.ty();
        Ok(match Form::of(&ty) {
            Form::Bytes => self.key_of(value, &ty, null_matches),
            form => form.apply(value),
        })
    }

    /// As [`Translator::key`], of a value that is there already; always bytes.
    pub fn key_of(&self, value: Expr, ty: &MysqlType, null_matches: bool) -> Expr {
        let column = KeyColumn { ty: ty.clone(), descending: false };
        RowFunction::udf(Kind::Key { column, null_matches }, vec![ty.clone()], self.eval.clone()).call(vec![value])
    }

    fn zero(&self, ty: &MysqlType) -> Expr {
        match arrow_type(ty) {
            DataType::UInt64 => lit(0_u64),
            _ => lit(0_i64),
        }
    }

    fn by_row(&self, expression: &Expression, kind: fn(Expression) -> Kind) -> Result<Expr> {
        let mut read: Vec<usize> = Vec::new();
        walk::visit_expression(expression, &mut |part| {
            if let Expression::Column { index, .. } = part {
                read.push(*index);
            }
        });
        read.sort_unstable();
        read.dedup();
        let mut compact = expression.clone();
        walk::visit_expression_mut(&mut compact, &mut |part| {
            if let Expression::Column { index, .. } = part
                && let Ok(position) = read.binary_search(index)
            {
                *index = position;
            }
        });
        let types = read.iter().map(|&index| self.types[index].clone()).collect();
        let arguments = read.iter().map(|&index| Expr::Column(self.columns[index].clone())).collect();
        Ok(RowFunction::udf(kind(compact), types, self.eval.clone()).call(arguments))
    }

    /// A constant of the expression's type; `None` if it is none.
    fn constant(&self, expression: &Expression) -> Result<Option<Expr>> {
        if !matches!(
            expression,
            Expression::Literal { .. }
                | Expression::Parameter { .. }
                | Expression::Outer { .. }
                | Expression::Subquery { .. }
        ) {
            return Ok(None);
        }
        let ty = expression.ty();
        let value = eval(expression, &[], self.eval).map_err(wrapped)?;
        let array = array_of(std::iter::once(value), &ty, self.eval).map_err(wrapped)?;
        Ok(Some(Expr::Literal(ScalarValue::try_from_array(&array, 0)?, None)))
    }

    /// The value, if DataFusion computes the same; of `arrow_type` of the expression's type.
    fn native(&self, expression: &Expression) -> Result<Option<Expr>> {
        if let Some(constant) = self.constant(expression)? {
            return Ok(Some(constant));
        }
        Ok(match expression {
            Expression::Column { index, ty } => {
                let column = Expr::Column(self.columns[*index].clone());
                let stored = arrow_type(&self.types[*index]);
                // Types of one value may differ in what has no part in its array, such as nullability.
                (stored == arrow_type(ty)).then_some(column)
            }
            Expression::Call { function, arguments, ty } => match (function.name, &arguments[..]) {
                ("+", [left, right]) => self.arithmetic(Operator::Plus, left, right, ty)?,
                ("-", [left, right]) => self.arithmetic(Operator::Minus, left, right, ty)?,
                ("*", [left, right]) => self.arithmetic(Operator::Multiply, left, right, ty)?,
                _ => None,
            },
            Expression::Case { branches, otherwise, ty } => self.case(branches, otherwise.as_deref(), ty)?,
            _ => None,
        })
    }

    fn case(
        &self,
        branches: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
        ty: &MysqlType,
    ) -> Result<Option<Expr>> {
        let mut cases = Vec::with_capacity(branches.len());
        for (condition, value) in branches {
            let Some(condition) = self.native_truth(condition)? else { return Ok(None) };
            let Some(value) = self.native_as(value, ty)? else { return Ok(None) };
            cases.push((Box::new(condition), Box::new(value)));
        }
        let otherwise = match otherwise {
            None => None,
            Some(value) => match self.native_as(value, ty)? {
                None => return Ok(None),
                Some(value) => Some(Box::new(value)),
            },
        };
        Ok(Some(cast(Expr::Case(Case::new(None, cases, otherwise)), arrow_type(ty))))
    }

    /// A native value that is of another type's array, or a constant converted to that type.
    fn native_as(&self, expression: &Expression, ty: &MysqlType) -> Result<Option<Expr>> {
        if let Expression::Literal { .. } = expression {
            let constant = Expression::Cast { argument: Box::new(expression.clone()), ty: ty.clone() };
            let value = eval(&constant, &[], self.eval).map_err(wrapped)?;
            let array = array_of(std::iter::once(value), ty, self.eval).map_err(wrapped)?;
            return Ok(Some(Expr::Literal(ScalarValue::try_from_array(&array, 0)?, None)));
        }
        let native = self.native(expression)?;
        Ok(native.filter(|_| arrow_type(&expression.ty()) == arrow_type(ty)))
    }

    /// Sums, differences and products of decimals, where the widest result still fits Arrow's decimal.
    fn arithmetic(
        &self,
        operator: Operator,
        left: &Expression,
        right: &Expression,
        ty: &MysqlType,
    ) -> Result<Option<Expr>> {
        let TypeKind::Decimal { .. } = ty.kind else { return Ok(None) };
        let DataType::Decimal128(..) = arrow_type(ty) else { return Ok(None) };
        let (Some(left), Some(right)) = (self.as_decimal(left)?, self.as_decimal(right)?) else { return Ok(None) };
        let digits = digits_of(operator, &left, &right);
        Ok((digits <= DIGITS_MAX).then(|| cast(binary_expr(left.value, operator, right.value), arrow_type(ty))))
    }

    /// A decimal to be added up, with its scale: as [`Translator::value`], but of whatever digits its values need, for
    /// declared types promise far more of them than there are. One that needs more than Arrow's decimal has ends the query with
    /// an overflow, and the row path runs it. `None` if it is not computed natively.
    pub fn addend(&self, expression: &Expression) -> Result<Option<(Expr, i32)>> {
        let decimal = self.wide_decimal(expression)?;
        Ok(decimal.map(|decimal| (decimal.value, decimal.scale)))
    }

    fn wide_decimal(&self, expression: &Expression) -> Result<Option<NativeDecimal>> {
        let operator = match expression {
            Expression::Call { function, ty, .. } if matches!(ty.kind, TypeKind::Decimal { .. }) => match function.name
            {
                "+" => Operator::Plus,
                "-" => Operator::Minus,
                "*" => Operator::Multiply,
                _ => return self.as_decimal(expression),
            },
            _ => return self.as_decimal(expression),
        };
        let Expression::Call { arguments, .. } = expression else { return Ok(None) };
        let [left, right] = &arguments[..] else { return Ok(None) };
        let (Some(left), Some(right)) = (self.wide_decimal(left)?, self.wide_decimal(right)?) else { return Ok(None) };
        let digits = digits_of(operator, &left, &right).min(DIGITS_MAX);
        let scale = match operator {
            Operator::Multiply => left.scale + right.scale,
            _ => left.scale.max(right.scale),
        };
        let value = binary_expr(left.value, operator, right.value);
        Ok((scale <= DIGITS_MAX).then_some(NativeDecimal { value, digits, scale }))
    }

    /// A decimal with its digits and scale, if natively so.
    fn as_decimal(&self, expression: &Expression) -> Result<Option<NativeDecimal>> {
        if let Expression::Literal { value: expr::Value::Int(number), .. } = expression {
            let digits = number.unsigned_abs().to_string().len() as u8;
            let scalar = ScalarValue::Decimal128(Some((*number).into()), digits, 0);
            return Ok(Some(NativeDecimal { value: Expr::Literal(scalar, None), digits: digits.into(), scale: 0 }));
        }
        let Some(native) = self.native(expression)? else { return Ok(None) };
        let ty = expression.ty();
        Ok(match (&ty.kind, arrow_type(&ty)) {
            (TypeKind::Decimal { .. }, DataType::Decimal128(precision, scale)) => {
                Some(NativeDecimal { value: native, digits: precision.into(), scale: scale.into() })
            }
            (TypeKind::Int { .. }, DataType::Int64 | DataType::UInt64) => {
                Some(NativeDecimal { value: cast(native, DataType::Decimal128(20, 0)), digits: 20, scale: 0 })
            }
            _ => None,
        })
    }

    /// The truth, if DataFusion finds the same.
    fn native_truth(&self, expression: &Expression) -> Result<Option<Expr>> {
        Ok(match expression {
            Expression::And(parts) => Some(self.chain(parts, Operator::And)?),
            Expression::Or(parts) => Some(self.chain(parts, Operator::Or)?),
            Expression::Call { function, arguments, .. } => match (function.name, &arguments[..]) {
                ("NOT", [argument]) => Some(not(self.truth(argument)?)),
                ("IS NULL", [argument]) => Some(self.value(argument)?.is_null()),
                ("IS NOT NULL", [argument]) => Some(self.value(argument)?.is_not_null()),
                ("=", [left, right]) => self.comparison(Comparison::Equal, left, right)?,
                ("<>", [left, right]) => self.comparison(Comparison::NotEqual, left, right)?,
                ("<", [left, right]) => self.comparison(Comparison::Less, left, right)?,
                ("<=", [left, right]) => self.comparison(Comparison::LessOrEqual, left, right)?,
                (">", [left, right]) => self.comparison(Comparison::Greater, left, right)?,
                (">=", [left, right]) => self.comparison(Comparison::GreaterOrEqual, left, right)?,
                ("BETWEEN", [value, low, high]) => {
                    let low = self.comparison(Comparison::GreaterOrEqual, value, low)?;
                    let high = self.comparison(Comparison::LessOrEqual, value, high)?;
                    low.zip(high).map(|(low, high)| low.and(high))
                }
                ("LIKE", [text, pattern]) => self.like(text, pattern)?,
                ("IN", [value, list @ ..]) => self.in_list(value, list)?,
                _ => None,
            },
            _ => None,
        })
    }

    fn chain(&self, parts: &[Expression], operator: Operator) -> Result<Expr> {
        let mut truths = parts.iter().map(|part| self.truth(part)).collect::<Result<Vec<Expr>>>()?.into_iter();
        let first = truths.next().unwrap_or_else(|| lit(operator == Operator::And));
        Ok(truths.fold(first, |so_far, next| binary_expr(so_far, operator, next)))
    }

    fn comparison(&self, comparison: Comparison, left: &Expression, right: &Expression) -> Result<Option<Expr>> {
        let operator = match comparison {
            Comparison::Equal => Operator::Eq,
            Comparison::NotEqual => Operator::NotEq,
            Comparison::Less => Operator::Lt,
            Comparison::LessOrEqual => Operator::LtEq,
            Comparison::Greater => Operator::Gt,
            Comparison::GreaterOrEqual => Operator::GtEq,
            Comparison::NullSafeEqual => return Ok(None),
        };
        if let Some((left, right)) = self.comparable(left, right)? {
            return Ok(Some(binary_expr(left, operator, right)));
        }
        let (left_type, right_type) = (left.ty(), right.ty());
        if !(is_characters(&left_type) && is_characters(&right_type)) {
            return Ok(None);
        }
        let Ok(collation) = comparison_collation(&left_type, &right_type) else { return Ok(None) };
        if arrow_type(&left_type) != DataType::Utf8 || arrow_type(&right_type) != DataType::Utf8 {
            return Ok(None);
        }
        let (left, right) = (self.value(left)?, self.value(right)?);
        if collation.orders_by_code_point() {
            let form = Form::of_collation(collation);
            return Ok(Some(binary_expr(form.apply(left), operator, form.apply(right))));
        }
        Ok(Some(TextFunction::udf(text::Kind::Compare(comparison, collation)).call(vec![left, right])))
    }

    /// `text LIKE pattern` for a pattern that is the same for all rows.
    fn like(&self, text: &Expression, pattern: &Expression) -> Result<Option<Expr>> {
        let (ty, pattern_type) = (text.ty(), pattern.ty());
        if !(is_characters(&ty) && is_characters(&pattern_type)) || arrow_type(&ty) != DataType::Utf8 {
            return Ok(None);
        }
        let Ok(collation) = comparison_collation(&ty, &pattern_type) else { return Ok(None) };
        let Some(Expr::Literal(ScalarValue::Utf8(Some(pattern)), _)) = self.constant(pattern)? else { return Ok(None) };
        let text = self.value(text)?;
        if collation.orders_by_code_point() && !pattern.contains('\\') {
            let pattern = Box::new(lit(pattern));
            return Ok(Some(Expr::Like(Like::new(false, Box::new(text), pattern, None, false))));
        }
        let escape = (!self.eval.sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES)).then_some('\\');
        Ok(Some(TextFunction::udf(text::Kind::Like { pattern, escape, collation }).call(vec![text])))
    }

    /// Both sides, if their arrays compare as MySQL compares the values.
    fn comparable(&self, left: &Expression, right: &Expression) -> Result<Option<(Expr, Expr)>> {
        if !same_order(&left.ty(), &right.ty()) {
            return Ok(None);
        }
        let sides = (self.native_number(left, &right.ty())?, self.native_number(right, &left.ty())?);
        let (Some(left), Some(right)) = sides else { return Ok(None) };
        Ok(Some((left, right)))
    }

    /// Whole constants that meet the other signedness are converted, so that numbers of one array type are compared.
    fn native_number(&self, expression: &Expression, other: &MysqlType) -> Result<Option<Expr>> {
        match (self.native(expression)?, arrow_type(other)) {
            (Some(Expr::Literal(ScalarValue::Int64(Some(number)), _)), DataType::UInt64) if number >= 0 => {
                Ok(Some(lit(number as u64)))
            }
            (Some(Expr::Literal(ScalarValue::UInt64(Some(number)), _)), DataType::Int64)
                if number <= i64::MAX as u64 =>
            {
                Ok(Some(lit(number as i64)))
            }
            (native, _) => Ok(native),
        }
    }

    fn in_list(&self, value: &Expression, list: &[Expression]) -> Result<Option<Expr>> {
        if is_characters(&value.ty()) && !is_plain(&value.ty()) {
            return self.in_texts(value, list);
        }
        let Some(needle) = self.native(value)? else { return Ok(None) };
        let mut members = Vec::with_capacity(list.len());
        for member in list {
            match self.comparable(value, member)? {
                Some((_, member)) if matches!(member, Expr::Literal(..)) => members.push(member),
                _ => return Ok(None),
            }
        }
        Ok(Some(Expr::InList(InList::new(Box::new(needle), members, false))))
    }
}

impl Translator<'_> {
    /// IN a list of constant texts, where texts are compared by code points.
    fn in_texts(&self, value: &Expression, list: &[Expression]) -> Result<Option<Expr>> {
        let ty = value.ty();
        let form = Form::of_collation(ty.collation);
        let mut members = Vec::with_capacity(list.len());
        for member in list {
            let same = is_characters(&member.ty())
                && comparison_collation(&ty, &member.ty()).is_ok_and(|of| of == ty.collation);
            match self.constant(member)? {
                Some(Expr::Literal(ScalarValue::Utf8(text), _)) if same => members.push(text),
                _ => return Ok(None),
            }
        }
        if !ty.collation.orders_by_code_point() || arrow_type(&ty) != DataType::Utf8 {
            return Ok(None);
        }
        let unpadded = |text: String| match form {
            Form::Unpadded => text.trim_end_matches(' ').to_owned(),
            _ => text,
        };
        let members =
            members.into_iter().map(|text| Expr::Literal(ScalarValue::Utf8(text.map(unpadded)), None)).collect();
        Ok(Some(Expr::InList(InList::new(Box::new(form.apply(self.value(value)?)), members, false))))
    }
}

/// Digits of Arrow's 128-bit decimal.
const DIGITS_MAX: i32 = 38;

/// A decimal that DataFusion computes.
struct NativeDecimal {
    value: Expr,
    digits: i32,
    scale: i32,
}

/// Digits that the result may need.
fn digits_of(operator: Operator, left: &NativeDecimal, right: &NativeDecimal) -> i32 {
    match operator {
        Operator::Multiply => left.digits + right.digits + 1,
        _ => {
            let whole = (left.digits - left.scale).max(right.digits - right.scale);
            whole + left.scale.max(right.scale) + 1
        }
    }
}

/// What a value becomes, so that equal values are equal arrays and their order is MySQL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is so already.
    Plain,
    /// A text without the spaces at its end.
    Unpadded,
    /// Bytes that `expr` makes.
    Bytes,
}

impl Form {
    pub fn of(ty: &MysqlType) -> Form {
        match is_plain(ty) {
            true => Form::Plain,
            false if is_characters(ty) && arrow_type(ty) == DataType::Utf8 => Form::of_collation(ty.collation),
            false => Form::Bytes,
        }
    }

    fn of_collation(collation: CollationId) -> Form {
        match (collation.orders_by_code_point(), collation.info().pad) {
            (true, expr::collation::Pad::None) => Form::Plain,
            (true, expr::collation::Pad::Space) => Form::Unpadded,
            (false, _) => Form::Bytes,
        }
    }

    /// Not for bytes, which take more than the value: [`Translator::key_of`].
    pub fn apply(self, value: Expr) -> Expr {
        match (self, value) {
            (Form::Unpadded, Expr::Literal(ScalarValue::Utf8(Some(text)), metadata)) => {
                Expr::Literal(ScalarValue::Utf8(Some(text.trim_end_matches(' ').to_owned())), metadata)
            }
            (Form::Unpadded, value) => TextFunction::udf(text::Kind::Unpadded).call(vec![value]),
            (_, value) => value,
        }
    }
}

/// CHAR, VARCHAR and TEXT, with whatever collation.
pub fn is_characters(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. })
}

/// True if equal values have equal arrays and the order of the array is MySQL's.
pub fn is_plain(ty: &MysqlType) -> bool {
    match &ty.kind {
        TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. } => {
            ty.collation.is_binary() && ty.collation.info().pad == expr::collation::Pad::None
        }
        // -0 and 0 are equal, but not their bytes.
        TypeKind::Json | TypeKind::Float { .. } | TypeKind::Double { .. } => false,
        _ => true,
    }
}

/// True if values of both types compare as their arrays do.
fn same_order(left: &MysqlType, right: &MysqlType) -> bool {
    use TypeKind::{Date, DateTime, Decimal, Double, Float, Int, Time, Timestamp, Year};
    match (&left.kind, &right.kind) {
        (Int { .. } | Year, Int { .. } | Year) => true,
        (Decimal { .. }, Decimal { .. }) => arrow_type(left) == arrow_type(right) || fits(left, right),
        (Decimal { .. }, Int { .. }) | (Int { .. }, Decimal { .. }) => fits(left, right),
        (Double { .. }, Double { .. }) | (Float { .. }, Float { .. }) => true,
        (Date, Date) | (DateTime { .. }, DateTime { .. }) | (Timestamp { .. }, Timestamp { .. }) => true,
        (Time { .. }, Time { .. }) => true,
        // As arrays these are numbers; they compare as texts.
        (TypeKind::Enum(_) | TypeKind::Set(_), _) | (_, TypeKind::Enum(_) | TypeKind::Set(_)) => false,
        _ => left.is_text() && right.is_text() && is_plain(left) && is_plain(right),
    }
}

/// True if one Arrow decimal holds every value of both types.
fn fits(left: &MysqlType, right: &MysqlType) -> bool {
    let digits = |ty: &MysqlType| match ty.kind {
        TypeKind::Decimal { precision, scale, .. } => (precision - scale, scale),
        _ => (20, 0),
    };
    let ((left_whole, left_scale), (right_whole, right_scale)) = (digits(left), digits(right));
    left_whole.max(right_whole) + left_scale.max(right_scale) <= 38
}
