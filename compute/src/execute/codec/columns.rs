//! Stored rows as Arrow arrays, for scans that ask for columns where rows had to be read.

use arrow::array::{
    ArrayRef, BinaryBuilder, Decimal128Builder, Decimal256Builder, Float64Builder, Int64Builder, UInt64Builder,
};
use arrow::datatypes::{Field, Schema, i256};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{ScanColumn, ScannedRow};
use expr::SqlError;
use expr::row_encoding::{PhysicalRef, RowReader};
use std::sync::Arc;

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
