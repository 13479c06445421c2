//! MySQL's expressions as DataFusion functions: evaluated row by row by `expr`, over the columns that they read.

use crate::execute::analytic::error::wrapped;
use crate::execute::analytic::types::{ValueReader, array_of, arrow_type};
use crate::execute::row::keys::{KeyColumn, sort_key};
use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use expr::Expression;
use expr::eval::{EvalContext, eval};
use expr::mysql_type::MysqlType;
use expr::value::Value;
use expr::value::decimal::Decimal;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a function makes of the values in its arguments.
pub enum Kind {
    /// An expression's value, as an array of its type. Its columns are the arguments, by position.
    Value(Expression),
    /// An expression's truth.
    Truth(Expression),
    /// The only argument as bytes that order and compare as MySQL orders and compares; `None` for NULL if it shall match
    /// nothing (joins), else NULL has bytes of its own (groups, ORDER BY).
    Key { column: KeyColumn, null_matches: bool },
    /// AVG, of this type: the first argument, a sum, divided by the second, a count.
    Average { ty: MysqlType },
}

/// One function of one query.
pub struct RowFunction {
    /// Functions are the same if they are this one.
    id: u64,
    name: String,
    kind: Kind,
    argument_types: Vec<MysqlType>,
    eval: Arc<EvalContext>,
    signature: Signature,
}

impl RowFunction {
    pub fn udf(kind: Kind, argument_types: Vec<MysqlType>, eval: Arc<EvalContext>) -> Arc<ScalarUDF> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = match kind {
            Kind::Value(_) => "value",
            Kind::Truth(_) => "truth",
            Kind::Key { .. } => "key",
            Kind::Average { .. } => "average",
        };
        let signature = match argument_types.is_empty() {
            true => Signature::nullary(Volatility::Immutable),
            false => Signature::any(argument_types.len(), Volatility::Immutable),
        };
        let function = RowFunction { id, name: format!("{prefix}_{id}"), kind, argument_types, eval, signature };
        Arc::new(ScalarUDF::new_from_impl(function))
    }

    /// Calls `each` with the arguments of every row.
    fn for_each_row(
        &self,
        args: &ScalarFunctionArgs,
        mut each: impl FnMut(&[Value]) -> std::result::Result<(), expr::SqlError>,
    ) -> Result<()> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let readers = arrays
            .iter()
            .zip(&self.argument_types)
            .map(|(array, ty)| ValueReader::new(array, ty, self.eval.time_zone).map_err(wrapped))
            .collect::<Result<Vec<_>>>()?;
        let mut row = Vec::with_capacity(readers.len());
        for index in 0..rows {
            row.clear();
            for reader in &readers {
                row.push(reader.value(index).map_err(wrapped)?);
            }
            each(&row).map_err(wrapped)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for RowFunction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl PartialEq for RowFunction {
    fn eq(&self, other: &RowFunction) -> bool {
        self.id == other.id
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match &self.kind {
            Kind::Value(expression) => arrow_type(&expression.ty()),
            Kind::Truth(_) => DataType::Boolean,
            Kind::Key { .. } => DataType::Binary,
            Kind::Average { ty } => arrow_type(ty),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array: ArrayRef = match &self.kind {
            Kind::Value(expression) => {
                let mut values = Vec::with_capacity(args.number_rows);
                self.for_each_row(&args, |row| {
                    values.push(eval(expression, row, &self.eval)?);
                    Ok(())
                })?;
                array_of(values.into_iter(), &expression.ty(), &self.eval).map_err(wrapped)?
            }
            Kind::Truth(expression) => {
                let mut truths = BooleanBuilder::with_capacity(args.number_rows);
                self.for_each_row(&args, |row| {
                    truths.append_option(eval(expression, row, &self.eval)?.to_bool(&self.eval)?);
                    Ok(())
                })?;
                Arc::new(truths.finish())
            }
            Kind::Key { column, null_matches } => {
                let mut keys = BinaryBuilder::new();
                let mut key = Vec::new();
                self.for_each_row(&args, |row| {
                    let [value] = row else {
                        return Err(expr::SqlError::internal("a key of no value; report this query"));
                    };
                    if value.is_null() && !null_matches {
                        keys.append_null();
                        return Ok(());
                    }
                    key.clear();
                    sort_key(value, column, &mut key)?;
                    keys.append_value(&key);
                    Ok(())
                })?;
                Arc::new(keys.finish())
            }
            Kind::Average { ty } => {
                let mut averages = Vec::with_capacity(args.number_rows);
                self.for_each_row(&args, |row| {
                    averages.push(average(row, self.eval.session.div_precision_increment.max(4)));
                    Ok(())
                })?;
                array_of(averages.into_iter(), ty, &self.eval).map_err(wrapped)?
            }
        };
        if array.len() != args.number_rows {
            return Err(DataFusionError::Internal(format!("{} gave {} rows", self.name, array.len())));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// (sum, count) to average, as `expr::aggregate` has it.
fn average(row: &[Value], increment: u8) -> Value {
    match row {
        [Value::Decimal(sum), Value::Int(count)] => {
            let digits = (sum.scale() + increment).min(Decimal::SCALE_MAX);
            sum.divide(&Decimal::from(*count), increment)
                .map_or(Value::Null, |average| Value::Decimal(average.round(digits.into())))
        }
        [Value::Double(sum), Value::Int(count)] if *count > 0 => Value::Double(sum / *count as f64),
        _ => Value::Null,
    }
}
