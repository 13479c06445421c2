//! Identifiers, amounts for people, and SLEEP. Manual: "Miscellaneous Functions" (14.23). Network addresses are in
//! [`network`].

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{AtLeast, Between, Exactly};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

pub mod network;

pub static FUNCTIONS: &[Function] = &[
    Function::new("UUID", Exactly(0), result::text::<36>, uuid).volatile(),
    Function::new("UUID_SHORT", Exactly(0), result::bigint_unsigned, uuid_short).volatile(),
    Function::new("UUID_TO_BIN", Between(1, 2), result::binary::<16>, uuid_to_bin),
    Function::new("BIN_TO_UUID", Between(1, 2), result::text::<36>, bin_to_uuid),
    Function::new("IS_UUID", Exactly(1), result::boolean, is_uuid),
    Function::new("NAME_CONST", Exactly(2), name_const_type, name_const).takes_null(),
    Function::new("SLEEP", Exactly(1), result::int::<21>, waits).takes_null().volatile(),
    Function::new("GET_LOCK", Exactly(2), result::int::<21>, waits).takes_null().volatile(),
    Function::new("RELEASE_LOCK", Exactly(1), result::int::<21>, waits).takes_null().volatile(),
    Function::new("RELEASE_ALL_LOCKS", Exactly(0), result::bigint_unsigned, waits).volatile(),
    Function::new("IS_FREE_LOCK", Exactly(1), result::int::<21>, waits).takes_null().volatile(),
    Function::new("IS_USED_LOCK", Exactly(1), result::bigint_unsigned, waits).takes_null().volatile(),
    Function::new("FORMAT_BYTES", Exactly(1), result::text::<11>, format_bytes),
    Function::new("FORMAT_PICO_TIME", Exactly(1), result::text::<11>, format_pico_time),
];

/// Ticks of 100 ns from 1582-10-15, where UUIDs count from, to 1970.
const TICKS_TO_1970: u64 = 0x01B2_1DD2_1381_4000;

/// The latest tick that a UUID of this process has. Only ever grows, so that no two have the same.
static LAST_TICK: AtomicU64 = AtomicU64::new(0);

/// What stands for the host in this process's UUIDs. The bit for multicast tells that it is no network card's number.
static NODE: LazyLock<[u8; 8]> = LazyLock::new(|| {
    let mut node = rand::random::<[u8; 8]>();
    node[0] = node[0] & 0x3F | 0x80;
    node[2] |= 1;
    node
});

/// The statement's time, or the tick after the last if that is later.
fn next_tick(context: &EvalContext) -> u64 {
    let now = (context.now_us.max(0) as u64) * 10 + TICKS_TO_1970;
    let later = |last: u64| Some(now.max(last + 1));
    let previous = LAST_TICK.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap_or(0);
    now.max(previous + 1)
}

/// Version 1: by time and host.
fn uuid(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let tick = next_tick(context);
    let high = (tick >> 48) as u16 & 0x0FFF | 0x1000;
    Ok(Value::text(Uuid::from_fields(tick as u32, (tick >> 32) as u16, high, &NODE).hyphenated().to_string()))
}

/// A byte for the process and a number that grows with time.
fn uuid_short(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let tick = next_tick(context).wrapping_sub(TICKS_TO_1970);
    Ok(Value::UInt(u64::from(NODE[7] & 0x7F) << 56 | tick & 0x00FF_FFFF_FFFF_FFFF))
}

/// The forms with and without hyphens, and with braces.
fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() > 38 || text.starts_with("urn") { None } else { Uuid::try_parse(text).ok() }
}

fn is_swapped(arguments: &[Value], context: &EvalContext) -> Result<bool, SqlError> {
    Ok(arguments.get(1).map_or(Ok(Some(false)), |swap| swap.to_bool(context))?.unwrap_or(false))
}

fn wrong_uuid(text: &str, function: &str) -> SqlError {
    let message = format!("Incorrect string value: '{text}' for function {function}");
    SqlError::new(ErrorCode::WRONG_VALUE_FOR_TYPE, message)
}

/// With the swap flag the parts of the time come from high to low, so that later values are larger.
fn uuid_to_bin(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_text();
    let bytes = *parse_uuid(&text).ok_or_else(|| wrong_uuid(&text, "uuid_to_bin"))?.as_bytes();
    Ok(match is_swapped(arguments, context)? {
        false => Value::bytes(bytes),
        true => Value::bytes([&bytes[6..8], &bytes[4..6], &bytes[..4], &bytes[8..]].concat()),
    })
}

fn bin_to_uuid(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bytes = arguments[0].to_bytes();
    let ordered = match (bytes.len(), is_swapped(arguments, context)?) {
        (16, false) => bytes.to_vec(),
        (16, true) => [&bytes[4..8], &bytes[2..4], &bytes[..2], &bytes[8..]].concat(),
        _ => return Err(wrong_uuid(&String::from_utf8_lossy(&bytes), "bin_to_uuid")),
    };
    let uuid = Uuid::from_slice(&ordered).map_err(|_| wrong_uuid(&hex::encode(&ordered), "bin_to_uuid"))?;
    Ok(Value::text(uuid.hyphenated().to_string()))
}

fn is_uuid(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::boolean(parse_uuid(&arguments[0].to_text()).is_some()))
}

fn name_const_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(types[1].clone())
}

fn name_const(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(arguments[1].clone())
}

/// Functions whose answer the executor has to wait for: it must be able to stop, and must not hold a thread.
pub const WAITING: [&str; 7] =
    ["SLEEP", "GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS", "IS_FREE_LOCK", "IS_USED_LOCK", STORED_FUNCTION.name];

/// A call of a stored function: database, name, then its own arguments. Nobody finds it by its name.
pub static STORED_FUNCTION: Function =
    Function::new("STORED FUNCTION", AtLeast(2), stored_type, waits).takes_null().volatile();

/// The binder gives the call its type: the function's definition is not known here.
fn stored_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::null())
}

fn waits(_: &Call<'_>, _: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Err(SqlError::not_supported("SLEEP, GET_LOCK, stored functions in this place"))
}

fn format_bytes(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let bytes = arguments[0].to_f64(context)?;
    let exponent = (1..=6).rev().find(|exponent| bytes.abs() >= 1024f64.powi(*exponent));
    Ok(Value::text(match exponent {
        None => format!("{:4} bytes", bytes as i64),
        Some(exponent) => {
            let amount = bytes / 1024f64.powi(exponent);
            let unit = UNITS[exponent as usize - 1];
            if amount.abs() >= 100_000.0 { format!("{amount:.2e} {unit}") } else { format!("{amount:.2} {unit}") }
        }
    }))
}

fn format_pico_time(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    const UNITS: [(f64, &str); 6] =
        [(86_400e12, "d"), (3_600e12, "h"), (60e12, "min"), (1e12, "s"), (1e9, "ms"), (1e6, "us")];
    let picos = arguments[0].to_f64(context)?;
    Ok(Value::text(match UNITS.iter().find(|(length, _)| picos.abs() >= *length) {
        None if picos.abs() >= 1_000.0 => format!("{:.2} ns", picos / 1_000.0),
        None => format!("{:3} ps", picos as i64),
        Some((length, unit)) if picos.abs() / length >= 100_000.0 => format!("{:.2e} {unit}", picos / length),
        Some((length, unit)) => format!("{:.2} {unit}", picos / length),
    }))
}
