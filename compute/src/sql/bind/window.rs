//! Window functions: OVER with its partition, order and frame.

use crate::sql::bind::call::CallSyntax;
use crate::sql::bind::query::is_descending;
use crate::sql::bind::scope::Clause;
use crate::sql::bind::{Binder, WINDOWS, error};
use crate::sql::parse::ast::syntax::{
    Expr, Function, NamedWindowExpr, WindowFrame as FrameSyntax, WindowFrameBound, WindowFrameUnits, WindowSpec,
    WindowType,
};
use crate::sql::plan::{FrameBound, SortKey, WindowCall, WindowFrame, WindowFunction};
use expr::aggregate::AggregateFunction;
use expr::mysql_type::MysqlType;
use expr::{ErrorCode, Expression, SqlError};

impl Binder<'_> {
    /// A window call: remembered in its block, a placeholder in the expression.
    pub fn window_call(
        &mut self,
        name: &str,
        function: &Function,
        syntax: &CallSyntax<'_>,
    ) -> Result<Expression, SqlError> {
        if !self.allows_aggregates() || self.clause() == Clause::Having {
            return Err(SqlError::new(
                ErrorCode(3593),
                format!("You cannot use the window function '{}' in this context.'", name.to_ascii_lowercase()),
            ));
        }
        let specification = match &function.over {
            Some(WindowType::WindowSpec(specification)) => self.resolved(specification.clone(), 0)?,
            Some(WindowType::NamedWindow(name)) => self.named_window(&name.value, 0)?,
            None => return Err(SqlError::internal("a window call without OVER")),
        };
        let (function, arguments, ty) = self.window_function(name, syntax)?;
        let mut partition_by = Vec::new();
        for key in &specification.partition_by {
            partition_by.push(self.expression(key)?);
        }
        let mut order_by = Vec::new();
        for key in &specification.order_by {
            order_by.push(SortKey { expression: self.expression(&key.expr)?, descending: is_descending(key) });
        }
        let frame = match &specification.window_frame {
            None => None,
            Some(frame) => {
                let rows = match frame.units {
                    WindowFrameUnits::Rows => true,
                    WindowFrameUnits::Range => false,
                    WindowFrameUnits::Groups => return Err(SqlError::not_supported("GROUPS")),
                };
                let start = self.frame_bound(&frame.start_bound, false)?;
                let end = match &frame.end_bound {
                    Some(bound) => self.frame_bound(bound, true)?,
                    None => FrameBound::CurrentRow,
                };
                Some(WindowFrame { rows, start, end })
            }
        };
        let call = WindowCall { function, arguments, partition_by, order_by, frame, ty: ty.clone() };
        let windows = &mut self.block().windows;
        windows.push(call);
        Ok(Expression::Column { index: WINDOWS + windows.len() - 1, ty })
    }

    fn window_function(
        &mut self,
        name: &str,
        syntax: &CallSyntax<'_>,
    ) -> Result<(WindowFunction, Vec<Expression>, MysqlType), SqlError> {
        if let Some(aggregate) = AggregateFunction::by_name(name) {
            if syntax.distinct {
                return Err(SqlError::not_supported("<window function>(DISTINCT ..)"));
            }
            if aggregate == AggregateFunction::GroupConcat {
                return Err(SqlError::not_supported("GROUP_CONCAT as a window function"));
            }
            // The arguments may hold aggregates of the block: `SUM(SUM(a)) OVER ()`.
            let mut arguments = Vec::new();
            for argument in &syntax.arguments {
                arguments.push(self.expression(argument)?);
            }
            let types: Vec<MysqlType> = arguments.iter().map(Expression::ty).collect();
            let ty = expr::aggregate::result_type(aggregate, &types);
            return Ok((WindowFunction::Aggregate(aggregate), arguments, ty));
        }
        let (function, expected) = match name {
            "ROW_NUMBER" => (WindowFunction::RowNumber, 0..=0),
            "RANK" => (WindowFunction::Rank, 0..=0),
            "DENSE_RANK" => (WindowFunction::DenseRank, 0..=0),
            "PERCENT_RANK" => (WindowFunction::PercentRank, 0..=0),
            "CUME_DIST" => (WindowFunction::CumeDist, 0..=0),
            "NTILE" => (WindowFunction::Ntile, 1..=1),
            "LAG" => (WindowFunction::Lag, 1..=3),
            "LEAD" => (WindowFunction::Lead, 1..=3),
            "FIRST_VALUE" => (WindowFunction::FirstValue, 1..=1),
            "LAST_VALUE" => (WindowFunction::LastValue, 1..=1),
            "NTH_VALUE" => (WindowFunction::NthValue, 2..=2),
            _ => return Err(error::no_function(self.context.database, name)),
        };
        if !expected.contains(&syntax.arguments.len()) {
            return Err(error::parameter_count(&name.to_ascii_lowercase()));
        }
        let mut arguments = Vec::new();
        for argument in &syntax.arguments {
            arguments.push(self.expression(argument)?);
        }
        let unsigned = MysqlType::bigint_unsigned().with_nullable(false);
        let ty = match function {
            WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank | WindowFunction::Ntile => {
                unsigned
            }
            WindowFunction::PercentRank | WindowFunction::CumeDist => MysqlType::double().with_nullable(false),
            WindowFunction::Lag | WindowFunction::Lead if arguments.len() == 3 => {
                let ty =
                    super::unify::unify(&[arguments[0].ty(), arguments[2].ty()], self.context.collation_connection)?;
                arguments[0] = super::unify::cast_to(arguments[0].clone(), &ty);
                arguments[2] = super::unify::cast_to(arguments[2].clone(), &ty);
                ty.with_nullable(true)
            }
            _ => arguments[0].ty().with_nullable(true),
        };
        Ok((function, arguments, ty))
    }

    fn frame_bound(&mut self, bound: &WindowFrameBound, is_end: bool) -> Result<FrameBound, SqlError> {
        Ok(match bound {
            WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
            WindowFrameBound::Preceding(None) => FrameBound::UnboundedPreceding,
            WindowFrameBound::Following(None) => FrameBound::UnboundedFollowing,
            WindowFrameBound::Preceding(Some(amount)) => FrameBound::Preceding(self.frame_amount(amount)?),
            WindowFrameBound::Following(Some(amount)) => {
                let _ = is_end;
                FrameBound::Following(self.frame_amount(amount)?)
            }
        })
    }

    fn frame_amount(&mut self, amount: &Expr) -> Result<Expression, SqlError> {
        match amount {
            Expr::Interval(_) => Err(SqlError::not_supported("RANGE with INTERVAL")),
            amount => {
                let mut bound = self.expression(amount)?;
                self.infer(&mut bound, &MysqlType::bigint_unsigned());
                Ok(bound)
            }
        }
    }

    /// Windows of the WINDOW clause must make sense even where nothing uses them.
    pub fn check_windows(&mut self) -> Result<(), SqlError> {
        let names: Vec<String> = self.block().named_windows.iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            let specification = self.named_window(&name, 0)?;
            self.block().clause = Clause::WindowPartition;
            for key in &specification.partition_by {
                self.expression(key)?;
            }
            self.block().clause = Clause::WindowOrder;
            for key in &specification.order_by {
                self.expression(&key.expr)?;
            }
            let counts = |bound: &WindowFrameBound| {
                matches!(bound, WindowFrameBound::Preceding(Some(_)) | WindowFrameBound::Following(Some(_)))
            };
            let ranges = |frame: &FrameSyntax| {
                frame.units == WindowFrameUnits::Range
                    && (counts(&frame.start_bound) || frame.end_bound.as_ref().is_some_and(counts))
            };
            if specification.window_frame.as_ref().is_some_and(ranges) && specification.order_by.len() != 1 {
                let text = format!(
                    "Window '{name}' with RANGE N PRECEDING/FOLLOWING frame requires exactly one ORDER BY expression, of \
                     numeric or temporal type"
                );
                return Err(SqlError::new(ErrorCode(3587), text));
            }
        }
        Ok(())
    }

    /// A window of the WINDOW clause.
    fn named_window(&mut self, name: &str, depth: usize) -> Result<WindowSpec, SqlError> {
        let lower = name.to_ascii_lowercase();
        let found =
            self.block().named_windows.iter().find(|(other, _)| *other == lower).map(|(_, found)| found.clone());
        match found {
            _ if depth > 16 => {
                Err(SqlError::new(ErrorCode(3580), "There is a circularity in the window dependency graph."))
            }
            Some(NamedWindowExpr::WindowSpec(specification)) => self.resolved(specification, depth + 1),
            Some(NamedWindowExpr::NamedWindow(other)) => self.named_window(&other.value, depth + 1),
            None => Err(SqlError::new(ErrorCode(3579), format!("Window name '{name}' is not defined."))),
        }
    }

    /// A specification with what it takes from the window that it names.
    fn resolved(&mut self, mut specification: WindowSpec, depth: usize) -> Result<WindowSpec, SqlError> {
        let Some(base) = specification.window_name.take() else { return Ok(specification) };
        let base = self.named_window(&base.value, depth)?;
        if specification.partition_by.is_empty() {
            specification.partition_by = base.partition_by;
        }
        if specification.order_by.is_empty() {
            specification.order_by = base.order_by;
        }
        if specification.window_frame.is_none() {
            specification.window_frame = base.window_frame;
        }
        Ok(specification)
    }
}
