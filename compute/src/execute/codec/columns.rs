//! Stored rows and Arrow arrays: what a scan of columns asks for, its rows, and columns made of rows that had to be read.

use super::{ROW_ID, added_physical, column_type};
use crate::catalog::TableDef;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Builder, Decimal256Builder, Float64Builder, Int64Builder,
    UInt64Builder,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, Float64Type, Int64Type, Schema, UInt64Type, i256,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{ScanColumn, ScannedRow};
use expr::SqlError;
use expr::eval::TimeZone;
use expr::mysql_type::MysqlType;
use expr::row_encoding::{PhysicalRef, RowReader, from_physical, physical_type};
use expr::value::{Row, Value};
use std::sync::Arc;

/// Columns at these positions of a table, as scans ask for them.
pub fn scan_columns(table: &TableDef, positions: &[usize]) -> Result<Vec<ScanColumn>, SqlError> {
    let columns = positions.iter().map(|&position| {
        Ok(match table.columns.get(position) {
            Some(column) => {
                ScanColumn { column: column.id, physical: physical_type(&column.ty), default: added_physical(column)? }
            }
            None => ScanColumn { column: ROW_ID, physical: PhysicalType::UInt64, default: PhysicalValue::Null },
        })
    });
    columns.collect()
}

/// The rows of a batch that [`scan_columns`] of the same positions gave.
pub fn rows_of_columns(
    table: &TableDef,
    positions: &[usize],
    batch: &RecordBatch,
    zone: TimeZone,
) -> Result<Vec<Row>, SqlError> {
    let mut rows: Vec<Row> = (0..batch.num_rows()).map(|_| Row::with_capacity(positions.len())).collect();
    for (array, &position) in batch.columns().iter().zip(positions) {
        push_values(&mut rows, array, &column_type(table, position), zone)?;
    }
    Ok(rows)
}

/// Adds each row's value of one stored column.
fn push_values(rows: &mut [Row], array: &ArrayRef, ty: &MysqlType, zone: TimeZone) -> Result<(), SqlError> {
    macro_rules! push {
        ($array:expr, $physical:expr) => {{
            let array = $array;
            for (at, row) in rows.iter_mut().enumerate() {
                row.push(match array.is_null(at) {
                    true => Value::Null,
                    false => from_physical($physical(array.value(at)), ty, zone)?,
                });
            }
        }};
    }
    match array.data_type() {
        DataType::Int64 => push!(array.as_primitive::<Int64Type>(), PhysicalRef::Int64),
        DataType::UInt64 => push!(array.as_primitive::<UInt64Type>(), PhysicalRef::UInt64),
        DataType::Float64 => push!(array.as_primitive::<Float64Type>(), PhysicalRef::Float64),
        DataType::Decimal128(..) => push!(array.as_primitive::<Decimal128Type>(), PhysicalRef::Int128),
        DataType::Decimal256(..) => {
            push!(array.as_primitive::<Decimal256Type>(), |number: i256| PhysicalRef::Int256(number.to_le_bytes()))
        }
        DataType::Binary => push!(array.as_binary::<i32>(), PhysicalRef::Bytes),
        other => return Err(SqlError::internal(format!("No stored column is an array of {other}"))),
    }
    Ok(())
}

/// One array for each column, nullable, named by the column's id, as the page server gives them.
pub fn columns_of_rows(rows: &[ScannedRow], columns: &[ScanColumn]) -> Result<RecordBatch, SqlError> {
    let readers: Vec<RowReader<'_>> = rows.iter().map(|row| RowReader::new(&row.row)).collect::<Result<_, _>>()?;
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        fields.push(Field::new(column.column.to_string(), column.physical.arrow(), true));
        arrays.push(array(&readers, column)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| SqlError::internal(format!("Rows do not become columns: {error}")))
}

macro_rules! build {
    ($builder:expr, $readers:expr, $column:expr, $($pattern:pat => $value:expr),+) => {{
        let mut builder = $builder;
        let default = &$column.default;
        for reader in $readers {
            match reader.get($column.column).unwrap_or_else(|| PhysicalRef::from(default)) {
                PhysicalRef::Null => builder.append_null(),
                $($pattern => builder.append_value($value),)+
                _ => return Err(wrong_type($column)),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

fn array(readers: &[RowReader<'_>], column: &ScanColumn) -> Result<ArrayRef, SqlError> {
    Ok(match column.physical {
        PhysicalType::Int64 => build!(Int64Builder::new(), readers, column, PhysicalRef::Int64(number) => number),
        PhysicalType::UInt64 => build!(UInt64Builder::new(), readers, column, PhysicalRef::UInt64(number) => number),
        PhysicalType::Float64 => {
            build!(Float64Builder::new(), readers, column, PhysicalRef::Float64(number) => number)
        }
        PhysicalType::Int128 => {
            let builder = Decimal128Builder::new().with_data_type(column.physical.arrow());
            build!(builder, readers, column, PhysicalRef::Int128(number) => number)
        }
        PhysicalType::Int256 => {
            let builder = Decimal256Builder::new().with_data_type(column.physical.arrow());
            build!(builder, readers, column, PhysicalRef::Int256(number) => i256::from_le_bytes(number))
        }
        PhysicalType::Bytes => build!(BinaryBuilder::new(), readers, column, PhysicalRef::Bytes(bytes) => bytes),
    })
}

fn wrong_type(column: &ScanColumn) -> SqlError {
    let PhysicalValue::Null = column.default else {
        return SqlError::internal(format!("Column {} is stored as another type, or its default is", column.column));
    };
    SqlError::internal(format!("Column {} is stored as another type; run `drumlin doctor`", column.column))
}
