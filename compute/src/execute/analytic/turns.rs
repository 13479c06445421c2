//! Joins take turns with other queries on the few threads of the analytic path, and end soon after their query does.
//!
//! DataFusion's operators give their thread back between batches of their leaves. A join makes any number of rows of two
//! batches, without a leaf in between: nobody could end it, nor run beside it.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};
use futures::{Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long an operator keeps its thread.
const TURN: Duration = Duration::from_millis(5);

/// DataFusion's rules, and the one that makes joins take turns.
pub fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    // What is pushed down after this one ties operators together; they must not be made anew then.
    let at = rules.iter().position(|rule| rule.name() == "EnsureCooperative").map_or(rules.len(), |at| at + 1);
    rules.insert(at, Arc::new(TakeTurns));
    rules
}

#[derive(Debug)]
struct TakeTurns;

impl PhysicalOptimizerRule for TakeTurns {
    fn name(&self) -> &str {
        "TakeTurns"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let joins = plan.children().len() == 2 && plan.name().ends_with("JoinExec");
            if !joins {
                return Ok(Transformed::no(plan));
            }
            let children = plan.children();
            let probed = Arc::new(Turns::new(children[1].clone(), true));
            let children = vec![children[0].clone(), probed as Arc<dyn ExecutionPlan>];
            let join = replace_children_if_necessary(plan, children)?;
            Ok(Transformed::yes(Arc::new(Turns::new(join, false))))
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Hands batches on, and the thread back when its turn is over.
#[derive(Debug)]
pub struct Turns {
    input: Arc<dyn ExecutionPlan>,
    /// Whether batches are cut, so that what is done with one of them takes no longer than a turn.
    cuts: bool,
    properties: Arc<PlanProperties>,
}

impl Turns {
    pub const NAME: &str = "Turns";

    fn new(input: Arc<dyn ExecutionPlan>, cuts: bool) -> Turns {
        let properties = PlanProperties::clone(input.properties()).with_scheduling_type(SchedulingType::Cooperative);
        Turns { input, cuts, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Turns {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Turns::NAME)
    }
}

impl ExecutionPlan for Turns {
    fn name(&self) -> &str {
        Turns::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| self.input.clone());
        Ok(Arc::new(Turns::new(input, self.cuts)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = input.schema();
        let cutter = self.cuts.then(Cutter::default);
        Ok(Box::pin(TurnsStream { input, schema, cutter, began: Instant::now() }))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        child: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child))
    }
}

struct TurnsStream {
    input: SendableRecordBatchStream,
    schema: SchemaRef,
    cutter: Option<Cutter>,
    /// When this turn did.
    began: Instant,
}

impl Stream for TurnsStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let now = Instant::now();
        if let Some(cutter) = &mut self.cutter {
            cutter.asked(now);
        }
        if now.duration_since(self.began) >= TURN {
            self.began = now;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(piece) = self.cutter.as_mut().and_then(|cutter| cutter.next(now)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        let polled = self.input.poll_next_unpin(context);
        match (polled, &mut self.cutter) {
            (Poll::Ready(Some(Ok(batch))), Some(cutter)) if batch.num_rows() > 0 => {
                cutter.rest = Some(batch);
                Poll::Ready(cutter.next(Instant::now()).map(Ok))
            }
            (Poll::Pending, _) => {
                self.began = Instant::now();
                Poll::Pending
            }
            (polled, _) => polled,
        }
    }
}

impl RecordBatchStream for TurnsStream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Cuts batches into pieces that take whoever asks for them about a turn.
struct Cutter {
    /// Not empty.
    rest: Option<RecordBatch>,
    piece_rows: usize,
    given: Option<Instant>,
}

impl Default for Cutter {
    fn default() -> Cutter {
        // How much there is to do for one row is not known yet.
        Cutter { rest: None, piece_rows: 1, given: None }
    }
}

impl Cutter {
    /// Nobody makes batches of more rows.
    const ROWS_MAX: usize = 1 << 20;

    /// The last piece is done with.
    fn asked(&mut self, now: Instant) {
        let Some(given) = self.given.take() else { return };
        let took = now.duration_since(given);
        if took > TURN {
            // So long, it was perhaps not the join that took it, but a client that reads slowly.
            let least = if took > TURN * 20 { self.piece_rows.min(64) } else { 1 };
            self.piece_rows = (self.piece_rows / 2).max(least);
        } else if took < TURN / 4 {
            self.piece_rows = (self.piece_rows * 2).min(Cutter::ROWS_MAX);
        }
    }

    fn next(&mut self, now: Instant) -> Option<RecordBatch> {
        let batch = self.rest.take()?;
        self.given = Some(now);
        if batch.num_rows() <= self.piece_rows {
            return Some(batch);
        }
        let piece = batch.slice(0, self.piece_rows);
        self.rest = Some(batch.slice(self.piece_rows, batch.num_rows() - self.piece_rows));
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    fn batch(rows: i64) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..rows))]).unwrap()
    }

    #[test]
    fn pieces_grow_while_they_are_cheap_and_shrink_when_they_are_not() {
        let mut cutter = Cutter { rest: Some(batch(1_000)), ..Cutter::default() };
        let mut now = Instant::now();
        let mut sizes = Vec::new();
        while let Some(piece) = cutter.next(now) {
            sizes.push(piece.num_rows());
            now += if sizes.len() < 6 { TURN / 10 } else { TURN * 2 };
            cutter.asked(now);
        }
        assert_eq!(sizes[..10], [1, 2, 4, 8, 16, 32, 16, 8, 4, 2]);
        assert_eq!(sizes.iter().sum::<usize>(), 1_000);
    }

    #[test]
    fn a_client_that_reads_slowly_does_not_get_single_rows() {
        let mut cutter = Cutter { rest: Some(batch(16_000)), piece_rows: 4_000, ..Cutter::default() };
        let mut now = Instant::now();
        let mut smallest = usize::MAX;
        for _ in 0..20 {
            let Some(piece) = cutter.next(now) else { break };
            smallest = smallest.min(piece.num_rows());
            now += TURN * 1_000;
            cutter.asked(now);
        }
        assert_eq!((smallest, cutter.piece_rows), (64, 64));
    }

    #[test]
    fn joins_take_turns_where_datafusion_looks_for_them() {
        let names: Vec<String> = rules().iter().map(|rule| rule.name().to_owned()).collect();
        let at = names.iter().position(|name| name == "TakeTurns").unwrap();
        assert_eq!(names[at - 1], "EnsureCooperative");
        assert!(names[at + 1..].iter().any(|name| name.starts_with("FilterPushdown")), "{names:?}");
    }
}
