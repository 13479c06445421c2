//! SHOW CREATE PROCEDURE, FUNCTION, TRIGGER, EVENT: texts that make them again.

use crate::catalog::describe::{literal, quoted};
use crate::catalog::routine::{BodyDef, DataAccess, EventDef, EventStatus, RoutineDef, ScheduleDef, TriggerDef};
use crate::execute::show::ShowTable;
use crate::sql::plan::ShownBody;
use expr::eval::{SqlMode, TimeZone};
use expr::mysql_type::MysqlType;
use std::fmt::Write;

/// Names of the columns.
pub fn columns(shown: &ShownBody) -> &'static [&'static str] {
    match shown {
        ShownBody::Routine { definition, .. } => match definition.kind {
            crate::account::RoutineKind::Procedure => &[
                "Procedure",
                "sql_mode",
                "Create Procedure",
                "character_set_client",
                "collation_connection",
                "Database Collation",
            ],
            crate::account::RoutineKind::Function => &[
                "Function",
                "sql_mode",
                "Create Function",
                "character_set_client",
                "collation_connection",
                "Database Collation",
            ],
        },
        ShownBody::Trigger(_) => &[
            "Trigger",
            "sql_mode",
            "SQL Original Statement",
            "character_set_client",
            "collation_connection",
            "Database Collation",
            "Created",
        ],
        ShownBody::Event(_) => &[
            "Event",
            "sql_mode",
            "time_zone",
            "Create Event",
            "character_set_client",
            "collation_connection",
            "Database Collation",
        ],
    }
}

pub fn create(shown: &ShownBody, zone: TimeZone) -> ShowTable {
    let columns = columns(shown).to_vec();
    let row = match shown {
        ShownBody::Routine { definition, visible } => {
            let text = visible.then(|| routine_text(definition));
            row(&definition.name, &definition.body, None, text)
        }
        ShownBody::Trigger(trigger) => {
            let mut row = row(&trigger.name, &trigger.body, None, Some(trigger_text(trigger)));
            row.push(Some(with_hundredths(trigger.body.created_us, zone)));
            row
        }
        ShownBody::Event(event) => {
            row(&event.name, &event.body, Some(event.time_zone.clone()), Some(event_text(event, zone)))
        }
    };
    ShowTable { columns, rows: vec![row] }
}

fn row(name: &str, body: &BodyDef, zone: Option<String>, text: Option<String>) -> Vec<Option<String>> {
    let mut row = vec![Some(name.to_owned()), Some(SqlMode(body.sql_mode).text())];
    row.extend(zone.map(Some));
    row.extend([
        text,
        Some(body.character_set_client.clone()),
        Some(body.collation_connection.name().to_owned()),
        Some(body.database_collation.name().to_owned()),
    ]);
    row
}

/// `2020-01-01 10:00:00.12`, as SHOW CREATE TRIGGER has it.
fn with_hundredths(us: u64, zone: TimeZone) -> String {
    let local = i64::try_from(us).ok().and_then(|us| zone.from_utc_micros(us, 2));
    local.map(|local| local.to_string()).unwrap_or_default()
}

fn time(us: u64, zone: TimeZone) -> String {
    let local = i64::try_from(us).ok().and_then(|us| zone.from_utc_micros(us, 0));
    local.map(|local| local.to_string()).unwrap_or_default()
}

fn definer(body: &BodyDef) -> String {
    let (user, host) = body.definer.rsplit_once('@').unwrap_or((&body.definer, "%"));
    format!("DEFINER={}@{}", quoted(user), quoted(host))
}

/// `varchar(20) CHARSET utf8mb4`
fn returned(ty: &MysqlType) -> String {
    let mut text = ty.column_type();
    if ty.is_text() {
        let charset = ty.collation.charset();
        let _ = write!(text, " CHARSET {}", charset.name());
        if ty.collation != charset.default_collation() {
            let _ = write!(text, " COLLATE {}", ty.collation.name());
        }
    }
    text
}

pub fn routine_text(routine: &RoutineDef) -> String {
    let body = &routine.body;
    let mut text = format!(
        "CREATE {} {} {}({})",
        definer(body),
        routine.kind.sql(),
        quoted(&routine.name),
        routine.parameters_text
    );
    if let Some(ty) = &routine.returns {
        let _ = write!(text, " RETURNS {}", returned(ty));
    }
    text.push('\n');
    if routine.data_access != DataAccess::ContainsSql {
        let _ = writeln!(text, "    {}", routine.data_access.words());
    }
    if routine.deterministic {
        text.push_str("    DETERMINISTIC\n");
    }
    if routine.invoker {
        text.push_str("    SQL SECURITY INVOKER\n");
    }
    if !body.comment.is_empty() {
        let _ = writeln!(text, "    COMMENT {}", literal(&body.comment));
    }
    text.push_str(&body.text);
    text
}

fn trigger_text(trigger: &TriggerDef) -> String {
    format!(
        "CREATE {} TRIGGER {} {} {} ON {} FOR EACH ROW {}",
        definer(&trigger.body),
        quoted(&trigger.name),
        trigger.timing.word(),
        trigger.event.word(),
        quoted(&trigger.table),
        trigger.body.text
    )
}

fn event_text(event: &EventDef, zone: TimeZone) -> String {
    let mut text = format!("CREATE {} EVENT {} ON SCHEDULE ", definer(&event.body), quoted(&event.name));
    match &event.schedule {
        ScheduleDef::At(at_us) => {
            let _ = write!(text, "AT '{}'", time(*at_us, zone));
        }
        ScheduleDef::Every { count, unit, starts_us, ends_us } => {
            let plain = count.bytes().all(|byte| byte.is_ascii_digit());
            let count = if plain { count.clone() } else { literal(count) };
            let _ = write!(text, "EVERY {count} {unit} STARTS '{}'", time(*starts_us, zone));
            if let Some(ends_us) = ends_us {
                let _ = write!(text, " ENDS '{}'", time(*ends_us, zone));
            }
        }
    }
    let _ = write!(text, " ON COMPLETION {}PRESERVE", if event.preserve { "" } else { "NOT " });
    text.push_str(match event.status {
        EventStatus::Enabled => " ENABLE",
        EventStatus::Disabled => " DISABLE",
        EventStatus::DisabledOnReplica => " DISABLE ON REPLICA",
    });
    if !event.body.comment.is_empty() {
        let _ = write!(text, " COMMENT {}", literal(&event.body.comment));
    }
    let _ = write!(text, " DO {}", event.body.text);
    text
}
