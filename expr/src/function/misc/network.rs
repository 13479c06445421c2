//! Network addresses as numbers and bytes: INET_ATON, INET6_NTOA, IS_IPV4 and their like.

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::value::Value;
use Arguments::Exactly;
use std::net::{Ipv4Addr, Ipv6Addr};

pub static FUNCTIONS: &[Function] = &[
    Function::new("INET_ATON", Exactly(1), result::bigint_unsigned, inet_aton),
    Function::new("INET_NTOA", Exactly(1), result::text::<31>, inet_ntoa),
    Function::new("INET6_ATON", Exactly(1), result::binary::<16>, inet6_aton),
    Function::new("INET6_NTOA", Exactly(1), result::text::<39>, inet6_ntoa),
    Function::new("IS_IPV4", Exactly(1), result::boolean, is_ipv4),
    Function::new("IS_IPV6", Exactly(1), result::boolean, is_ipv6),
    Function::new("IS_IPV4_COMPAT", Exactly(1), result::boolean, is_ipv4_compat),
    Function::new("IS_IPV4_MAPPED", Exactly(1), result::boolean, is_ipv4_mapped),
];

/// The warning for what is no address, and the NULL.
fn no_address(value: &Value, function: &str, context: &EvalContext) -> Value {
    let message = format!("Incorrect string value: '{}' for function {function}", value.to_text());
    context.warn(ErrorCode::WRONG_VALUE_FOR_TYPE, message);
    Value::Null
}

/// Short forms too: in `127.1` the last number is the last byte.
fn inet_aton(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_text();
    let parts: Option<Vec<u8>> = text
        .split('.')
        .map(|part| if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None })
        .collect();
    let Some((last, first)) = parts.as_deref().and_then(<[u8]>::split_last).filter(|(_, first)| first.len() <= 3)
    else {
        return Ok(no_address(&arguments[0], "inet_aton", context));
    };
    let leading = first.iter().enumerate().map(|(index, byte)| u64::from(*byte) << (24 - 8 * index));
    Ok(Value::UInt(leading.sum::<u64>() + u64::from(*last)))
}

fn inet_ntoa(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    match u32::try_from(argument::integer(&arguments[0], context)?) {
        Ok(number) => Ok(Value::text(Ipv4Addr::from(number).to_string())),
        Err(_) => Ok(no_address(&arguments[0], "inet_ntoa", context)),
    }
}

fn inet6_aton(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_text();
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Value::bytes(address.octets()));
    }
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Ok(Value::bytes(address.octets())),
        Err(_) => Ok(no_address(&arguments[0], "inet6_aton", context)),
    }
}

/// Only binary strings are addresses.
fn octets<const N: usize>(value: &Value) -> Option<[u8; N]> {
    match value {
        Value::Bytes(bytes) => bytes.as_ref().try_into().ok(),
        _ => None,
    }
}

fn inet6_ntoa(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if let Some(octets) = octets::<4>(&arguments[0]) {
        return Ok(Value::text(Ipv4Addr::from(octets).to_string()));
    }
    match octets::<16>(&arguments[0]).map(Ipv6Addr::from) {
        Some(address) if is_compatible(&address.octets()) => {
            let [.., a, b, c, d] = address.octets();
            Ok(Value::text(format!("::{a}.{b}.{c}.{d}")))
        }
        Some(address) => Ok(Value::text(address.to_string())),
        None => Ok(no_address(&arguments[0], "inet6_ntoa", context)),
    }
}

/// `::1.2.3.4`, an old way to write an IPv4 address; `::1` and `::` are none.
fn is_compatible(octets: &[u8; 16]) -> bool {
    octets[..12].iter().all(|byte| *byte == 0) && (octets[12] != 0 || octets[13] != 0)
}

fn is_ipv4(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::boolean(arguments[0].to_text().parse::<Ipv4Addr>().is_ok()))
}

fn is_ipv6(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::boolean(arguments[0].to_text().parse::<Ipv6Addr>().is_ok()))
}

fn is_ipv4_compat(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::boolean(octets::<16>(&arguments[0]).is_some_and(|octets| is_compatible(&octets))))
}

fn is_ipv4_mapped(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mapped = octets::<16>(&arguments[0]).is_some_and(|octets| Ipv6Addr::from(octets).to_ipv4_mapped().is_some());
    Ok(Value::boolean(mapped))
}
