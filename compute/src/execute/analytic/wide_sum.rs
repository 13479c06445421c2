//! Sums of decimals that may need more digits than what is added has: kept in 192 bits, which no number of rows overflows.
//!
//! DataFusion's own sum of 128-bit decimals wraps around, and one of 256-bit ones needs each value widened first.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Decimal256Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, i256};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
};
use std::sync::Arc;

/// Digits of a sum: ten more than of a 128-bit decimal.
const PRECISION: u8 = 48;

/// The sum of a `Decimal128`, as a `Decimal256` of the same scale; NULL without values.
pub fn wide_sum(argument: Expr) -> Expr {
    AggregateUDF::new_from_impl(WideSum { signature: Signature::any(1, Volatility::Immutable) }).call(vec![argument])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WideSum {
    signature: Signature,
}

fn sum_type(argument: &DataType) -> Result<DataType> {
    match argument {
        DataType::Decimal128(_, scale) => Ok(DataType::Decimal256(PRECISION, *scale)),
        other => internal_err!("a wide sum of {other}"),
    }
}

impl AggregateUDFImpl for WideSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        sum_type(&arguments[0])
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[sum]", args.name), args.return_type().clone(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sums::new(args.return_field.data_type())))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sums::new(args.return_field.data_type())))
    }
}

/// A sum in two's complement: the lower 128 bits, and those above.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    low: u128,
    high: i64,
    /// A value was added.
    is_some: bool,
}

impl Sum {
    fn add(&mut self, value: i128) {
        let (low, carry) = self.low.overflowing_add(value as u128);
        self.low = low;
        // The bits above of a negative number are all ones.
        self.high += i64::from(carry) - i64::from(value < 0);
        self.is_some = true;
    }

    fn add_wide(&mut self, value: i256) {
        let (low, high) = value.to_parts();
        let (low, carry) = self.low.overflowing_add(low);
        self.low = low;
        self.high += i64::from(carry) + high as i64;
        self.is_some = true;
    }

    fn value(self) -> i256 {
        i256::from_parts(self.low, self.high.into())
    }
}

/// Of each group; of one group where there are none.
#[derive(Debug)]
struct Sums {
    sums: Vec<Sum>,
    data_type: DataType,
}

impl Sums {
    fn new(data_type: &DataType) -> Sums {
        Sums { sums: Vec::new(), data_type: data_type.clone() }
    }

    fn array(&self, sums: &[Sum]) -> ArrayRef {
        let nulls: NullBuffer = sums.iter().map(|sum| sum.is_some).collect();
        let values = sums.iter().map(|sum| sum.value()).collect();
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        Arc::new(Decimal256Array::new(values, nulls).with_data_type(self.data_type.clone()))
    }

    fn only(&mut self) -> &mut Sum {
        if self.sums.is_empty() {
            self.sums.push(Sum::default());
        }
        &mut self.sums[0]
    }
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.sums.resize(group_count, Sum::default());
        let array: &Decimal128Array = values[0].as_primitive::<Decimal128Type>();
        if array.null_count() == 0 && filter.is_none() {
            for (value, group) in array.values().iter().zip(groups) {
                self.sums[*group].add(*value);
            }
            return Ok(());
        }
        for (row, (value, group)) in array.iter().zip(groups).enumerate() {
            let counts = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(value), true) = (value, counts) {
                self.sums[*group].add(value);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.sums.resize(group_count, Sum::default());
        for (value, group) in values[0].as_primitive::<Decimal256Type>().iter().zip(groups) {
            if let Some(value) = value {
                self.sums[*group].add_wide(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.sums);
        Ok(self.array(&sums))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![GroupsAccumulator::evaluate(self, emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Sums::new(&self.data_type);
        let rows: Vec<usize> = (0..values[0].len()).collect();
        GroupsAccumulator::update_batch(&mut each, values, &rows, filter, rows.len())?;
        GroupsAccumulator::state(&mut each, EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Sum>()
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let sum = self.only();
        values[0].as_primitive::<Decimal128Type>().iter().flatten().for_each(|value| sum.add(value));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let sum = self.only();
        states[0].as_primitive::<Decimal256Type>().iter().flatten().for_each(|value| sum.add_wide(value));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = *self.only();
        ScalarValue::try_from_array(&self.array(&[sum]), 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![Accumulator::evaluate(self)?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.capacity() * size_of::<Sum>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_more_bits_than_what_is_added() {
        let values = [i128::MAX, i128::MAX, -5, i128::MIN, i128::MAX, i128::MIN, 7, i128::MIN, i128::MIN];
        let expected = values.iter().fold(i256::ZERO, |sum, value| sum.wrapping_add(i256::from_i128(*value)));
        let (mut one, mut first, mut second) = (Sum::default(), Sum::default(), Sum::default());
        values.iter().for_each(|value| one.add(*value));
        values[..4].iter().for_each(|value| first.add(*value));
        values[4..].iter().for_each(|value| second.add(*value));
        assert_eq!(one.value(), expected);
        first.add_wide(second.value());
        assert_eq!(first.value(), expected);
    }

    #[test]
    fn groups_without_values_are_null() {
        let data_type = DataType::Decimal256(PRECISION, 2);
        let mut sums = Sums::new(&data_type);
        let values =
            Decimal128Array::from(vec![Some(5), None, Some(-7), Some(1)]).with_data_type(DataType::Decimal128(38, 2));
        let filter = BooleanArray::from(vec![true, true, true, false]);
        let values: Vec<ArrayRef> = vec![Arc::new(values)];
        GroupsAccumulator::update_batch(&mut sums, &values, &[0, 1, 0, 2], Some(&filter), 3).unwrap();
        let array = GroupsAccumulator::evaluate(&mut sums, EmitTo::All).unwrap();
        let found: Vec<Option<i256>> = array.as_primitive::<Decimal256Type>().iter().collect();
        assert_eq!(found, [Some(i256::from_i128(-2)), None, None]);
    }
}
