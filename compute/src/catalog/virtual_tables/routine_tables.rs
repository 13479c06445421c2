//! ROUTINES, PARAMETERS, TRIGGERS, EVENTS.

use crate::account::RoutineKind;
use crate::catalog::routine::{BodyDef, EventDef, EventStatus, ParameterMode, RoutineDef, ScheduleDef, TriggerDef};
use crate::catalog::virtual_tables::schema_tables::{CATALOG, moment};
use crate::catalog::virtual_tables::{VirtualContext, number, optional, text, yes_no};
use crate::catalog::{Catalog, Database};
use expr::MysqlType;
use expr::eval::SqlMode;
use expr::value::{Row, Value};

/// `None` if the table is none of these.
pub(super) fn rows(name: &str, catalog: &Catalog, context: &VirtualContext) -> Option<Vec<Row>> {
    let databases = || catalog.databases.values();
    Some(match name {
        "ROUTINES" => databases().flat_map(|of| of.routines.values()).map(|it| routine(it, context)).collect(),
        "PARAMETERS" => databases().flat_map(|of| of.routines.values()).flat_map(|it| parameters(it)).collect(),
        "TRIGGERS" => databases().flat_map(|of| triggers(of, context)).collect(),
        "EVENTS" => databases().flat_map(|of| of.events.values()).map(|it| event(it, context)).collect(),
        _ => return None,
    })
}

fn time(us: u64, context: &VirtualContext) -> Value {
    moment(us / 1_000_000, context.time_zone)
}

/// character_set_client, collation_connection, the database's collation.
fn surroundings(body: &BodyDef) -> [Value; 3] {
    [text(&body.character_set_client), text(body.collation_connection.name()), text(body.database_collation.name())]
}

/// DATA_TYPE and what follows from it, up to COLLATION_NAME; then DTD_IDENTIFIER.
fn type_columns(ty: &MysqlType) -> [Value; 9] {
    let of_text = |name: &str| if ty.is_text() { text(name) } else { Value::Null };
    [
        text(ty.data_type()),
        ty.character_length().map_or(Value::Null, number),
        ty.octet_length().map_or(Value::Null, number),
        ty.numeric_precision().map_or(Value::Null, Value::UInt),
        ty.numeric_scale().map_or(Value::Null, Value::UInt),
        ty.datetime_precision().map_or(Value::Null, number),
        of_text(ty.collation.charset().name()),
        of_text(ty.collation.name()),
        text(ty.column_type()),
    ]
}

fn routine(routine: &RoutineDef, context: &VirtualContext) -> Row {
    let body = &routine.body;
    let mut row = vec![
        text(&routine.name),
        text(CATALOG),
        text(&routine.database),
        text(&routine.name),
        text(routine.kind.sql()),
    ];
    match &routine.returns {
        Some(ty) => row.extend(type_columns(ty)),
        None => {
            row.push(text(""));
            row.extend(vec![Value::Null; 8]);
        }
    }
    let shown = context.viewer.sees_body(&body.definer);
    row.extend([
        text("SQL"),
        optional(shown.then_some(&body.text)),
        Value::Null,
        text("SQL"),
        text("SQL"),
        yes_no(routine.deterministic),
        text(routine.data_access.words()),
        Value::Null,
        text(if routine.invoker { "INVOKER" } else { "DEFINER" }),
        time(body.created_us, context),
        time(body.altered_us, context),
        text(SqlMode(body.sql_mode).text()),
        text(&body.comment),
        text(&body.definer),
    ]);
    row.extend(surroundings(body));
    row
}

fn parameters(routine: &RoutineDef) -> Vec<Row> {
    let row = |position: usize, mode: Option<ParameterMode>, name: Option<&str>, ty: &MysqlType| {
        let mut row = vec![
            text(CATALOG),
            text(&routine.database),
            text(&routine.name),
            number(position as i64),
            optional(mode.map(ParameterMode::word)),
            optional(name),
        ];
        row.extend(type_columns(ty));
        row.push(text(routine.kind.sql()));
        row
    };
    let mut rows: Vec<Row> = routine.returns.iter().map(|ty| row(0, None, None, ty)).collect();
    let named = routine.parameters.iter().enumerate();
    rows.extend(named.map(|(at, it)| row(at + 1, Some(it.mode), Some(&it.name), &it.ty)));
    debug_assert!(routine.kind == RoutineKind::Function || routine.returns.is_none());
    rows
}

fn triggers(database: &Database, context: &VirtualContext) -> Vec<Row> {
    let mut triggers: Vec<&TriggerDef> = database.triggers.values().map(|trigger| &**trigger).collect();
    triggers.sort_by_key(|trigger| (&trigger.table, trigger.event, trigger.timing, trigger.order));
    triggers.into_iter().map(|it| trigger(it, context)).collect()
}

fn trigger(trigger: &TriggerDef, context: &VirtualContext) -> Row {
    let body = &trigger.body;
    let mut row = vec![
        text(CATALOG),
        text(&trigger.database),
        text(&trigger.name),
        text(trigger.event.word()),
        text(CATALOG),
        text(&trigger.database),
        text(&trigger.table),
        number(i64::from(trigger.order)),
        Value::Null,
        text(&body.text),
        text("ROW"),
        text(trigger.timing.word()),
        Value::Null,
        Value::Null,
        text("OLD"),
        text("NEW"),
        time(body.created_us, context),
        text(SqlMode(body.sql_mode).text()),
        text(&body.definer),
    ];
    row.extend(surroundings(body));
    row
}

/// ENABLED, DISABLED, SLAVESIDE_DISABLED.
fn status(status: EventStatus) -> &'static str {
    match status {
        EventStatus::Enabled => "ENABLED",
        EventStatus::Disabled => "DISABLED",
        EventStatus::DisabledOnReplica => "REPLICA_SIDE_DISABLED",
    }
}

fn event(event: &EventDef, context: &VirtualContext) -> Row {
    let body = &event.body;
    let (kind, at, count, unit, starts, ends) = match &event.schedule {
        ScheduleDef::At(at) => ("ONE TIME", time(*at, context), Value::Null, Value::Null, Value::Null, Value::Null),
        ScheduleDef::Every { count, unit, starts_us, ends_us } => (
            "RECURRING",
            Value::Null,
            text(count),
            text(unit),
            time(*starts_us, context),
            ends_us.map_or(Value::Null, |us| time(us, context)),
        ),
    };
    let mut row = vec![
        text(CATALOG),
        text(&event.database),
        text(&event.name),
        text(&body.definer),
        text(&event.time_zone),
        text("SQL"),
        text(&body.text),
        text(kind),
        at,
        count,
        unit,
        text(SqlMode(body.sql_mode).text()),
        starts,
        ends,
        text(status(event.status)),
        text(if event.preserve { "PRESERVE" } else { "NOT PRESERVE" }),
        time(body.created_us, context),
        time(body.altered_us, context),
        event.last_executed_us.map_or(Value::Null, |us| time(us, context)),
        text(&body.comment),
        number(1),
    ];
    row.extend(surroundings(body));
    row
}
