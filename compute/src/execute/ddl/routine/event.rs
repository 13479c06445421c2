//! CREATE, ALTER and DROP EVENT. Who runs them is `session::scheduler`.

use super::*;
use crate::catalog::routine::{EventDef, EventStatus, ScheduleDef};
use crate::sql::plan::{EventSpec, ScheduleSpec};
use expr::Expression;
use expr::eval::{EvalContext, eval};

pub async fn create(spec: &EventSpec, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let EventSpec { name, definition, schedule } = spec;
    refuse_made_up(name)?;
    check_name(&name.name)?;
    let key = storage::event_key(&name.database, &name.name);
    let catalog = lock_names(vec![key.clone(), storage::database_key(&name.database)], context).await?;
    let database = catalog.database(&name.database).ok_or_else(|| unknown_database(&name.database))?;
    if catalog.event(&name.database, &name.name).is_some() {
        let message = format!("Event '{}' already exists", name.name);
        if !definition.if_not_exists {
            return Err(SqlError::new(ErrorCode(1537), message));
        }
        context.warn(WarningLevel::Note, ErrorCode(1537), message);
        return Ok(Done::default());
    }
    let schedule = schedule_of(schedule, &context.eval)?;
    if is_past(&schedule, &context.eval) {
        if !definition.preserve {
            let text = "Event execution time is in the past and ON COMPLETION NOT PRESERVE is set. The event was \
                        dropped immediately after creation.";
            context.warn(WarningLevel::Note, ErrorCode(1588), text);
            return Ok(Done::default());
        }
        let text = "Event execution time is in the past. Event has been disabled";
        context.warn(WarningLevel::Note, ErrorCode(1544), text);
    }
    let status = match is_past(&schedule, &context.eval) {
        true => EventStatus::Disabled,
        false => definition.status,
    };
    let collation = database.definition.collation;
    let event = EventDef {
        database: name.database.clone(),
        name: name.name.clone(),
        schedule,
        preserve: definition.preserve,
        status,
        time_zone: zone_name(&context.eval),
        last_executed_us: None,
        body: body(&definition.body, definition.definer.as_ref(), definition.comment.clone(), collation, context),
        version: Lsn::ZERO,
    };
    context.transaction.write(key, Some(storage::row_of(&event)?), None)?;
    Ok(Done::default())
}

fn zone_name(context: &EvalContext) -> String {
    match context.time_zone {
        expr::eval::TimeZone::Named(zone) => zone.name().to_owned(),
        expr::eval::TimeZone::Offset(0) => "SYSTEM".to_owned(),
        expr::eval::TimeZone::Offset(seconds) => {
            let sign = if seconds < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
        }
    }
}

/// AT a time that is over.
fn is_past(schedule: &ScheduleDef, context: &EvalContext) -> bool {
    let now_us = u64::try_from(context.now_us).unwrap_or_default();
    match schedule {
        // Whole seconds count.
        ScheduleDef::At(at_us) => *at_us / 1_000_000 < now_us / 1_000_000,
        ScheduleDef::Every { ends_us, .. } => ends_us.is_some_and(|ends_us| ends_us < now_us),
    }
}

fn schedule_of(spec: &ScheduleSpec, context: &EvalContext) -> Result<ScheduleDef, SqlError> {
    Ok(match spec {
        ScheduleSpec::At(time) => ScheduleDef::At(time_of(time, "AT", context)?),
        ScheduleSpec::Every { count, unit, starts, ends } => {
            let value = eval(count, &[], context)?;
            let count = value.to_text().into_owned();
            if count.parse::<f64>().is_ok_and(|count| count <= 0.0) || value.is_null() {
                return Err(SqlError::new(ErrorCode(1542), "INTERVAL is either not positive or too big"));
            }
            let starts_us = match starts {
                Some(time) => time_of(time, "STARTS", context)?,
                None => u64::try_from(context.now_us).unwrap_or_default() / 1_000_000 * 1_000_000,
            };
            let ends_us = ends.as_ref().map(|time| time_of(time, "ENDS", context)).transpose()?;
            if ends_us.is_some_and(|ends_us| ends_us < starts_us) {
                return Err(SqlError::new(ErrorCode(1543), "ENDS is either invalid or before STARTS"));
            }
            ScheduleDef::Every { count, unit: unit.clone(), starts_us, ends_us }
        }
    })
}

fn time_of(time: &Expression, what: &str, context: &EvalContext) -> Result<u64, SqlError> {
    let value = eval(time, &[], context)?;
    let wrong = || SqlError::new(ErrorCode(1525), format!("Incorrect {what} value: '{}'", value.to_text()));
    let local = value.to_datetime(context)?.ok_or_else(wrong)?;
    let micros = context.time_zone.to_utc_micros(local).ok_or_else(wrong)?;
    u64::try_from(micros).map(|micros| micros / 1_000_000 * 1_000_000).map_err(|_| wrong())
}

pub async fn alter(
    name: &ObjectName,
    definition: &ast::AlterEvent,
    schedule: Option<&ScheduleSpec>,
    rename: Option<&ObjectName>,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let key = storage::event_key(&name.database, &name.name);
    let mut keys = vec![key.clone()];
    keys.extend(rename.map(|to| storage::event_key(&to.database, &to.name)));
    let catalog = lock_names(keys, context).await?;
    let found = catalog.event(&name.database, &name.name);
    let mut event = (**found.ok_or_else(|| unknown(name))?).clone();
    if let Some(to) = rename {
        if catalog.database(&to.database).is_none() {
            return Err(unknown_database(&to.database));
        }
        if catalog.event(&to.database, &to.name).is_some() {
            return Err(SqlError::new(ErrorCode(1537), format!("Event '{}' already exists", to.name)));
        }
        (event.database, event.name) = (to.database.clone(), to.name.clone());
        context.transaction.write(key, None, None)?;
    }
    if let Some(schedule) = schedule {
        let kept = match &event.schedule {
            ScheduleDef::Every { ends_us, .. } => *ends_us,
            ScheduleDef::At(_) => None,
        };
        event.schedule = schedule_of(schedule, &context.eval)?;
        // ENDS stays where no other is given.
        if let ScheduleDef::Every { ends_us, .. } = &mut event.schedule {
            *ends_us = ends_us.or(kept);
        }
        event.time_zone = zone_name(&context.eval);
        event.last_executed_us = None;
    }
    event.preserve = definition.preserve.unwrap_or(event.preserve);
    event.status = definition.status.unwrap_or(event.status);
    event.body.comment = definition.comment.clone().unwrap_or(event.body.comment);
    let definer = definition.definer.clone();
    event.body.definer = definer.unwrap_or_else(|| context.eval.session.current_user.to_string());
    if let Some(text) = &definition.body {
        event.body.text.clone_from(text);
        event.body.sql_mode = context.eval.sql_mode.0;
    }
    event.body.altered_us = u64::try_from(context.eval.now_us).unwrap_or_default();
    if is_past(&event.schedule, &context.eval) && !event.preserve {
        let text = "Event execution time is in the past and ON COMPLETION NOT PRESERVE is set. The event was not \
                    changed. Specify a time in the future.";
        return Err(SqlError::new(ErrorCode(1589), text));
    }
    let key = storage::event_key(&event.database, &event.name);
    context.transaction.write(key, Some(storage::row_of(&event)?), None)?;
    Ok(Done::default())
}

fn unknown(name: &ObjectName) -> SqlError {
    SqlError::new(ErrorCode(1539), format!("Unknown event '{}'", name.name))
}

pub async fn drop(name: &ObjectName, if_exists: bool, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let key = storage::event_key(&name.database, &name.name);
    let catalog = lock_names(vec![key.clone()], context).await?;
    if catalog.event(&name.database, &name.name).is_none() {
        if !if_exists {
            return Err(unknown(name));
        }
        let text = format!("Event {} does not exist", name.name);
        context.warn(WarningLevel::Note, ErrorCode::SP_DOES_NOT_EXIST, text);
        return Ok(Done::default());
    }
    context.transaction.write(key, None, None)?;
    Ok(Done::default())
}
