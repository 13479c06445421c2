//! Function calls: aggregates, windows, the functions that are expressions of their own, casts, intervals.

use crate::catalog::TableDef;
use crate::catalog::schema::{IndexDef, IndexKind};
use crate::sql::bind::expression::{call, operator};
use crate::sql::bind::literal::{literal_value, text_literal};
use crate::sql::bind::unify::{as_text, cast_to, unify_choices};
use crate::sql::bind::{Binder, column_type, derivation, error, literal};
use crate::sql::parse::ARRAY;
use crate::sql::parse::ast::syntax::{
    DataType, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Interval,
};
use crate::sql::plan::{AggregateCall, SortKey};
use expr::aggregate::{AggregateFunction, result_type};
use expr::collation::{Charset, CollationId};
use expr::expression::Comparison;
use expr::function::json::table::CAST_ARRAY;
use expr::function::lookup;
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};

/// What stands between a call's parentheses.
pub struct CallSyntax<'s> {
    pub arguments: Vec<&'s Expr>,
    pub star: bool,
    pub distinct: bool,
    pub clauses: &'s [FunctionArgumentClause],
}

impl<'s> CallSyntax<'s> {
    pub fn of(function: &'s Function) -> Result<CallSyntax<'s>, SqlError> {
        let mut syntax = CallSyntax { arguments: Vec::new(), star: false, distinct: false, clauses: &[] };
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => return Err(SqlError::not_supported(function)),
            FunctionArguments::List(list) => {
                syntax.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                syntax.clauses = &list.clauses;
                for argument in &list.args {
                    match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => syntax.arguments.push(expression),
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => syntax.star = true,
                        other => return Err(SqlError::not_supported(other)),
                    }
                }
            }
        }
        Ok(syntax)
    }
}

impl Binder<'_> {
    pub fn function(&mut self, function: &Function) -> Result<Expression, SqlError> {
        let parts: Vec<String> =
            function.name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect();
        let syntax = CallSyntax::of(function)?;
        let name = match parts.as_slice() {
            [name] => name,
            [database, name] => return self.stored_function(Some(database), name, &syntax.arguments),
            _ => return Err(SqlError::not_supported(function)),
        };
        let upper = name.to_ascii_uppercase();
        if function.over.is_some() {
            return self.window_call(&upper, function, &syntax);
        }
        if let Some(aggregate) = AggregateFunction::by_name(&upper) {
            return self.aggregate(aggregate, &upper, &syntax);
        }
        if syntax.star || syntax.distinct || !syntax.clauses.is_empty() {
            return Err(SqlError::new(
                ErrorCode::PARSE_ERROR,
                format!("You have an error in your SQL syntax near '{name}'"),
            ));
        }
        if let Some(special) = self.special(&upper, &syntax.arguments)? {
            return Ok(special);
        }
        let Some(found) = lookup(&upper) else {
            return self.stored_function(None, name, &syntax.arguments);
        };
        let mut arguments = Vec::with_capacity(syntax.arguments.len());
        for argument in &syntax.arguments {
            match argument {
                Expr::Interval(interval) => arguments.extend(self.interval(interval)?),
                argument => arguments.push(self.expression(argument)?),
            }
        }
        literal::numbers_of_call(found.name, &mut arguments);
        match derivation::compares(found.name) {
            true => derivation::unite(&mut arguments, found.name)?,
            false => derivation::lend(&mut arguments, found.name)?,
        }
        if found.name.is_empty() {
            return Err(error::parameter_count(name));
        }
        let mut made = call(found, arguments)?;
        self.lend_collation(&mut made);
        Ok(made)
    }

    /// A text that is made of what is no text has the connection's collation.
    fn lend_collation(&self, made: &mut Expression) {
        let Expression::Call { function, arguments, ty } = made else { return };
        let connection = self.context.collation_connection;
        let has_own = |argument: &Expression| argument.ty().is_string() || argument.ty().kind == TypeKind::Json;
        if ty.is_text()
            && ty.collation == CollationId::UTF8MB4_0900_AI_CI
            && connection != CollationId::BINARY
            && !derivation::is_system(function.name)
            && !(derivation::follows_arguments(function.name) && arguments.iter().any(has_own))
        {
            ty.collation = connection;
        }
    }

    /// Functions that are not evaluated as calls.
    fn special(&mut self, name: &str, arguments: &[&Expr]) -> Result<Option<Expression>, SqlError> {
        let count = |expected: usize| {
            if arguments.len() == expected { Ok(()) } else { Err(error::parameter_count(name)) }
        };
        Ok(Some(match name {
            "IF" => {
                count(3)?;
                let condition = self.condition(arguments[0])?;
                let then = self.expression(arguments[1])?;
                let otherwise = self.expression(arguments[2])?;
                self.case_of(vec![(condition, then)], Some(otherwise))?
            }
            "IFNULL" | "COALESCE" => {
                if name == "IFNULL" {
                    count(2)?;
                } else if arguments.is_empty() {
                    return Err(error::parameter_count(name));
                }
                let mut bound = Vec::new();
                for argument in arguments {
                    bound.push(self.expression(argument)?);
                }
                derivation::lend(&mut bound, name)?;
                self.infer_all(&mut bound)?;
                let types: Vec<MysqlType> = bound.iter().map(Expression::ty).collect();
                let nullable = types.iter().all(|ty| ty.nullable);
                let ty = unify_choices(&types, self.context.collation_connection)?.with_nullable(nullable);
                let arguments = bound.into_iter().map(|argument| cast_to(argument, &ty)).collect();
                Expression::Coalesce { arguments, ty }
            }
            "NULLIF" => {
                count(2)?;
                let left = self.expression(arguments[0])?;
                let equal = self.compare_syntax(arguments[0], Comparison::Equal, arguments[1])?;
                let ty = left.ty().with_nullable(true);
                let null = Expression::literal(Value::Null, MysqlType::null());
                Expression::Case { branches: vec![(equal, null)], otherwise: Some(Box::new(left)), ty }
            }
            "MOD" => {
                count(2)?;
                let arguments = vec![self.expression(arguments[0])?, self.expression(arguments[1])?];
                operator("%", arguments)?
            }
            "VALUES" => {
                count(1)?;
                self.values_of(arguments[0])?
            }
            "DEFAULT" => {
                if arguments.is_empty() {
                    return Err(SqlError::not_supported("DEFAULT inside an expression"));
                }
                count(1)?;
                self.default_of(arguments[0])?
            }
            "NAME_CONST" => {
                count(2)?;
                let constants = [self.expression(arguments[0])?, self.expression(arguments[1])?];
                let plain = |expression: &Expression| matches!(expression, Expression::Literal { .. });
                if !constants.iter().all(plain) || !constants[0].ty().is_string() {
                    return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to NAME_CONST"));
                }
                let [_, value] = constants;
                value
            }
            "COERCIBILITY" => {
                count(1)?;
                let argument = self.expression(arguments[0])?;
                super::literal::integer(i64::from(derivation::of(&argument).strength))
            }
            "MATCH" => self.matching(arguments)?,
            "DATABASE" | "SCHEMA" if arguments.is_empty() && self.view_depth == 0 => return Ok(None),
            _ => return Ok(None),
        }))
    }

    /// MATCH ... AGAINST: the pattern, the mode and the columns of a FULLTEXT index, in any order.
    fn matching(&mut self, arguments: &[&Expr]) -> Result<Expression, SqlError> {
        let bound: Vec<Expression> =
            arguments.iter().map(|argument| self.expression(argument)).collect::<Result<_, _>>()?;
        let [pattern, _, columns @ ..] = bound.as_slice() else { return Err(error::parameter_count("MATCH")) };
        if !pattern.columns().is_empty() {
            return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to AGAINST"));
        }
        let wrong = || SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to MATCH");
        let block = self.block();
        let mut names = Vec::new();
        let mut table = None;
        for column in columns {
            let Expression::Column { index, .. } = column else { return Err(wrong()) };
            let found = block.scope.columns.iter().find(|column| column.index == *index).ok_or_else(wrong)?;
            if *table.get_or_insert(found.table) != found.table {
                return Err(wrong());
            }
            names.extend(found.origin.original_name().map(str::to_owned));
        }
        let definition = table.and_then(|table| block.scope.tables[table].definition.clone());
        let serves = |table: &TableDef, index: &IndexDef| {
            let parts = index.parts.iter().filter_map(|part| table.column_by_id(part.column));
            let has = |name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
            index.kind == IndexKind::Fulltext
                && index.parts.len() == names.len()
                && parts.clone().count() == names.len()
                && parts.clone().all(|(_, column)| has(&column.name))
        };
        if !definition.is_some_and(|table| table.indexes.iter().any(|index| serves(&table, index))) {
            return Err(SqlError::new(ErrorCode(1191), "Can't find FULLTEXT index matching the column list"));
        }
        operator("MATCH", bound)
    }

    /// DEFAULT(column): the column's default as a value.
    fn default_of(&mut self, argument: &Expr) -> Result<Expression, SqlError> {
        let Expression::Column { index, .. } = self.expression(argument)? else {
            return Err(SqlError::not_supported("DEFAULT of something that is no column"));
        };
        let block = self.block();
        let column = block.scope.columns.iter().find(|column| column.index == index).cloned();
        let definition = column.and_then(|column| {
            let table = block.scope.tables[column.table].definition.clone()?;
            let position = table.column_index(column.origin.original_name()?)?;
            Some(table.columns[position].clone())
        });
        match definition {
            Some(definition) => self.column_default(&definition),
            None => Err(SqlError::not_supported("DEFAULT of a column of a view")),
        }
    }

    /// VALUES(column) in ON DUPLICATE KEY UPDATE; elsewhere it is NULL.
    fn values_of(&mut self, argument: &Expr) -> Result<Expression, SqlError> {
        let name = match argument {
            Expr::Identifier(name) => name.value.clone(),
            Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
            other => return Err(SqlError::not_supported(format!("VALUES({other})"))),
        };
        let new_row = self.blocks.iter().rev().find_map(|block| block.new_row.clone());
        match new_row {
            Some((table, start)) => match table.column_index(&name) {
                Some(position) => {
                    let ty = table.columns[position].ty.clone().with_nullable(true);
                    Ok(Expression::Column { index: start + position, ty })
                }
                None => Err(error::unknown_column(&name, "field list")),
            },
            None => Ok(Expression::literal(Value::Null, MysqlType::null())),
        }
    }

    /// An interval as the arguments that date functions take: amount and unit.
    pub fn interval(&mut self, interval: &Interval) -> Result<[Expression; 2], SqlError> {
        let unit = match &interval.leading_field {
            Some(DateTimeField::Custom(unit)) => unit.value.to_ascii_uppercase(),
            Some(field) => field.to_string().to_ascii_uppercase(),
            None => return Err(SqlError::not_supported(interval)),
        };
        let amount = self.expression(&interval.value)?;
        Ok([amount, text_literal(&unit, CollationId::UTF8MB4_0900_AI_CI)])
    }

    pub fn cast(&mut self, inner: &Expr, data_type: &DataType) -> Result<Expression, SqlError> {
        let mut argument = self.expression(inner)?;
        let ty = column_type::cast_type(data_type, &argument.ty(), self.context.collation_connection)?;
        if matches!(data_type, DataType::Custom(_, modifiers) if modifiers.iter().any(|modifier| modifier == ARRAY)) {
            if !self.of_definition {
                return Err(SqlError::not_supported(
                    "Use of CAST( .. AS .. ARRAY) outside of functional index in CREATE(non-SELECT)/ALTER TABLE or in \
                     general expressions",
                ));
            }
            let item = Expression::literal(Value::Null, ty);
            return operator(CAST_ARRAY, vec![argument, item]);
        }
        if ty.is_numeric() {
            super::literal::as_number(&mut argument);
        } else if ty.is_string() && matches!(argument.ty().kind, TypeKind::Enum(_) | TypeKind::Set(_)) {
            // From here on it is a text, also where a number is wanted.
            argument = cast_to(argument.clone(), &as_text(&argument.ty()));
        }
        Ok(Expression::Cast { argument: Box::new(argument), ty })
    }

    /// `CONVERT(x USING charset)`
    pub fn convert_using(&mut self, argument: Expression, charset: &str) -> Result<Expression, SqlError> {
        let collation = Charset::from_name(charset)?.default_collation();
        let found = argument.ty();
        let characters = crate::sql::bind::unify::characters_max(&found);
        let kind = match (collation == CollationId::BINARY, characters) {
            (true, 0..=16_383) => TypeKind::VarBinary { length: characters as u32 * 4 },
            (true, _) => TypeKind::Blob { size: BlobSize::Long },
            (false, 0..=16_383) => TypeKind::VarChar { length: characters as u32 },
            (false, _) => TypeKind::Text { size: BlobSize::Long },
        };
        let ty = MysqlType { kind, collation, nullable: true };
        Ok(Expression::Cast { argument: Box::new(argument), ty })
    }

    /// An aggregate: remembered in its block, a placeholder in the expression.
    fn aggregate(
        &mut self,
        function: AggregateFunction,
        name: &str,
        syntax: &CallSyntax<'_>,
    ) -> Result<Expression, SqlError> {
        if function == AggregateFunction::AnyValue && !self.allows_aggregates() {
            let [argument] = syntax.arguments.as_slice() else { return Err(error::parameter_count(name)) };
            return self.expression(argument);
        }
        if self.blocks.is_empty() {
            return Err(error::invalid_group_function());
        }
        if function == AggregateFunction::Grouping {
            return match self.allows_aggregates() {
                true => self.grouping(syntax),
                false => Err(error::invalid_group_function()),
            };
        }
        let aggregate = self.aggregate_call(function, name, syntax)?;
        self.place_aggregate(aggregate)
    }

    /// GROUPING(a, b): which of the group's values are totals.
    fn grouping(&mut self, syntax: &CallSyntax<'_>) -> Result<Expression, SqlError> {
        self.block().in_aggregate = true;
        let arguments: Result<Vec<Expression>, SqlError> =
            syntax.arguments.iter().map(|argument| self.expression(argument)).collect();
        self.block().in_aggregate = false;
        let ty = MysqlType::bigint().with_nullable(false);
        let call = AggregateCall {
            function: AggregateFunction::Grouping,
            arguments: arguments?,
            distinct: false,
            order_by: Vec::new(),
            separator: None,
            ty,
        };
        self.place_aggregate(call)
    }

    /// Arguments and clauses of an aggregate, bound over the block's row.
    pub fn aggregate_call(
        &mut self,
        function: AggregateFunction,
        name: &str,
        syntax: &CallSyntax<'_>,
    ) -> Result<AggregateCall, SqlError> {
        let within = std::mem::replace(&mut self.block().in_aggregate, true);
        let bound = self.aggregate_parts(function, name, syntax);
        self.block().in_aggregate = within;
        bound
    }

    fn aggregate_parts(
        &mut self,
        function: AggregateFunction,
        name: &str,
        syntax: &CallSyntax<'_>,
    ) -> Result<AggregateCall, SqlError> {
        let mut arguments = Vec::new();
        for argument in &syntax.arguments {
            arguments.push(self.expression(argument)?);
        }
        let expected = match function {
            AggregateFunction::Count if syntax.star => 0..=0,
            AggregateFunction::Count if syntax.distinct => 1..=usize::MAX,
            AggregateFunction::GroupConcat => 1..=usize::MAX,
            AggregateFunction::JsonObjectAgg => 2..=2,
            _ => 1..=1,
        };
        if !expected.contains(&arguments.len()) || (syntax.star && function != AggregateFunction::Count) {
            return Err(SqlError::new(
                ErrorCode::PARSE_ERROR,
                format!("You have an error in your SQL syntax near '{name}': wrong number of arguments"),
            ));
        }
        let mut order_by = Vec::new();
        let mut separator = None;
        for clause in syntax.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(keys) if function == AggregateFunction::GroupConcat => {
                    for key in keys {
                        let expression = match Self::position(&key.expr) {
                            Some(position) => match position.checked_sub(1).and_then(|at| arguments.get(at)) {
                                Some(argument) => argument.clone(),
                                None => return Err(error::unknown_column(&position.to_string(), "order clause")),
                            },
                            None => self.expression(&key.expr)?,
                        };
                        order_by.push(SortKey { expression, descending: super::query::is_descending(key) });
                    }
                }
                FunctionArgumentClause::Separator(value) if function == AggregateFunction::GroupConcat => {
                    separator = value.value.clone().into_string();
                }
                other => return Err(SqlError::not_supported(other)),
            }
        }
        if function == AggregateFunction::GroupConcat {
            derivation::lend(&mut arguments, "group_concat")?;
            separator.get_or_insert_with(|| ",".to_owned());
        }
        let types: Vec<MysqlType> = arguments.iter().map(Expression::ty).collect();
        let mut ty = result_type(function, &types);
        if function == AggregateFunction::GroupConcat && ty.is_text() && !types.iter().any(MysqlType::is_text) {
            // A text that is made of numbers is the connection's.
            ty.collation = self.context.collation_connection;
        }
        Ok(AggregateCall { function, arguments, distinct: syntax.distinct, order_by, separator, ty })
    }

    /// A literal of a value, as a client would have written it.
    pub fn value_literal(&self, value: &Value) -> Expression {
        literal_value(value, self.context.collation_connection)
    }
}

/// The position of the call in the list, where it is put if an equal one is not there.
pub fn add_aggregate(aggregates: &mut Vec<AggregateCall>, call: AggregateCall) -> usize {
    let form = format!("{call:?}");
    let volatile = form.contains("Subquery") || form.contains("Quantified");
    match aggregates.iter().position(|other| !volatile && format!("{other:?}") == form) {
        Some(position) => position,
        None => {
            aggregates.push(call);
            aggregates.len() - 1
        }
    }
}
