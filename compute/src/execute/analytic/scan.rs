//! Tables for DataFusion: stored ones as columns at a view, and rows that the row path gives.

use crate::catalog::TableDef;
use crate::execute::analytic::error::wrapped;
use crate::execute::analytic::types::{array_of, arrow_type, from_stored};
use crate::execute::codec;
use crate::txn::read_view::{ReadView, ViewScan};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use common::key::KeyRange;
use common::service::page::{ColumnBound, Direction, ScanBatch, ScanOutput};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use expr::SqlError;
use expr::eval::EvalContext;
use expr::mysql_type::MysqlType;
use expr::value::Row;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::fmt;
use std::sync::Arc;

/// Where a table's rows come from.
pub enum Source {
    Stored(StoredSource),
    /// Given by the row path; called once for each execution.
    Rows(Arc<dyn Fn() -> BoxStream<'static, Result<Vec<Row>, SqlError>> + Send + Sync>),
}

pub struct StoredSource {
    pub view: ReadView,
    pub table: Arc<TableDef>,
    /// Each is read by itself, beside the others.
    pub parts: Vec<KeyRange>,
    /// Positions in the table's columns.
    pub columns: Vec<usize>,
    pub bounds: Vec<ColumnBound>,
}

/// One table of one query.
pub struct QueryTable {
    pub source: Source,
    pub types: Vec<MysqlType>,
    pub schema: SchemaRef,
    /// If known.
    pub row_count: Option<usize>,
    pub eval: Arc<EvalContext>,
}

impl QueryTable {
    /// `names`: one for each of `types`.
    pub fn new(
        source: Source,
        types: Vec<MysqlType>,
        names: impl Iterator<Item = String>,
        row_count: Option<usize>,
        eval: Arc<EvalContext>,
    ) -> QueryTable {
        let fields: Vec<Field> =
            types.iter().zip(names).map(|(ty, name)| Field::new(name, arrow_type(ty), true)).collect();
        QueryTable { source, types, schema: Arc::new(Schema::new(fields)), row_count, eval }
    }

    fn part_count(&self) -> usize {
        match &self.source {
            Source::Stored(stored) => stored.parts.len(),
            Source::Rows(_) => 1,
        }
    }

    /// The columns at `projection`, a batch at a time.
    fn batches(
        self: Arc<Self>,
        part: usize,
        projection: Vec<usize>,
        limit: Option<usize>,
        batch_rows: usize,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        match &self.source {
            Source::Stored(stored) => {
                let batches = match stored.scan(part, &projection, limit, batch_rows) {
                    Ok(batches) => batches,
                    Err(error) => return futures::stream::iter([Err(wrapped(error))]).boxed(),
                };
                batches
                    .map(move |batch| match batch {
                        Ok(ScanBatch::Columns(batch)) => self.stored_batch(&batch, &projection),
                        Ok(ScanBatch::Rows(_) | ScanBatch::Aggregates(_)) => {
                            internal_err!("asked for columns, got something else")
                        }
                        Err(error) => Err(wrapped(error)),
                    })
                    .boxed()
            }
            Source::Rows(rows) => rows()
                .map(move |batch| {
                    let batch = batch.map_err(wrapped)?;
                    self.row_batch(&batch, &projection).map_err(wrapped)
                })
                .boxed(),
        }
    }

    fn projected_schema(&self, projection: &[usize]) -> Result<SchemaRef> {
        Ok(Arc::new(self.schema.project(projection)?))
    }

    fn stored_batch(&self, batch: &RecordBatch, projection: &[usize]) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(projection.len());
        for (array, &column) in batch.columns().iter().zip(projection) {
            arrays.push(from_stored(array, &self.types[column]).map_err(wrapped)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.projected_schema(projection)?, arrays, &options)?)
    }

    fn row_batch(&self, rows: &[Row], projection: &[usize]) -> Result<RecordBatch, SqlError> {
        let mut arrays = Vec::with_capacity(projection.len());
        for &column in projection {
            arrays.push(array_of(rows.iter().map(|row| row[column].clone()), &self.types[column], &self.eval)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let schema = self.projected_schema(projection).map_err(super::error::unwrapped)?;
        RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|error| SqlError::internal(format!("Rows do not become columns: {error}")))
    }
}

impl StoredSource {
    fn scan(
        &self,
        part: usize,
        projection: &[usize],
        limit: Option<usize>,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<ScanBatch, SqlError>>, SqlError> {
        let positions: Vec<usize> = projection.iter().map(|&column| self.columns[column]).collect();
        Ok(self.view.scan(ViewScan {
            ranges: vec![self.parts[part].clone()],
            direction: Direction::Forward,
            limit: limit.map(|limit| limit as u64),
            output: ScanOutput::Columns(codec::scan_columns(&self.table, &positions)?),
            bounds: self.bounds.clone(),
            batch_rows,
        }))
    }
}

impl fmt::Debug for QueryTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Stored(stored) => write!(formatter, "{}.{}", stored.table.database, stored.table.name),
            Source::Rows(_) => formatter.write_str("rows of the row path"),
        }
    }
}

/// What DataFusion plans with.
#[derive(Debug)]
pub struct Provider(pub Arc<QueryTable>);

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        self.0.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.0.types.len()).collect());
        let schema = self.0.projected_schema(&projection)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(self.0.part_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(TableScan { table: self.0.clone(), projection, limit, properties: Arc::new(properties) }))
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics(&self.0, &self.0.schema))
    }
}

fn statistics(table: &QueryTable, schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    if let Some(rows) = table.row_count {
        statistics.num_rows = Precision::Inexact(rows);
    }
    statistics
}

/// One running scan.
#[derive(Debug)]
struct TableScan {
    table: Arc<QueryTable>,
    projection: Vec<usize>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for TableScan {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TableScan: {:?}, columns={:?}", self.table, self.projection)
    }
}

impl ExecutionPlan for TableScan {
    fn name(&self) -> &str {
        "TableScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batch_rows = context.session_config().batch_size();
        let batches = self.table.clone().batches(partition, self.projection.clone(), self.limit, batch_rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = statistics(&self.table, &self.schema());
        if let (Some(_), Precision::Inexact(rows)) = (partition, statistics.num_rows) {
            statistics.num_rows = Precision::Inexact(rows / self.table.part_count().max(1));
        }
        Ok(Arc::new(statistics))
    }
}
