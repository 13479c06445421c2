//! optimizer_switch: a list of flags, of which a SET names those that change. Manual: "Switchable Optimizations" (10.9.2).
//!
//! Two have a meaning here: `semijoin` and `subquery_to_derived` say whether subqueries become joins. The others are kept
//! and shown.

use crate::session::variables;
use crate::sql::plan::rules::Unnesting;
use expr::{ErrorCode, SqlError};

/// The flags after `SET optimizer_switch = change`. 1231 for what is not a flag, or given twice.
pub fn changed(now: &str, change: &str) -> Result<String, SqlError> {
    let wrong = |shown: &str| {
        let text = format!("Variable 'optimizer_switch' can't be set to the value of '{shown}'");
        SqlError::new(ErrorCode::WRONG_VALUE_FOR_VAR, text)
    };
    let defaults = flags(variables::lookup("optimizer_switch").map_or("", |variable| variable.default));
    let mut result = flags(now);
    let mut named: Vec<String> = Vec::new();
    for part in change.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if part.eq_ignore_ascii_case("default") {
            let unnamed = defaults.iter().filter(|(name, _)| !named.contains(name));
            for (name, value) in unnamed.cloned().collect::<Vec<_>>() {
                put(&mut result, &name, &value);
            }
            continue;
        }
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(part))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        let default = defaults.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let default = default.filter(|_| !named.contains(&name)).ok_or_else(|| wrong(part))?;
        let value = match value.as_str() {
            "on" | "off" => value,
            "default" => default,
            _ => return Err(wrong(part)),
        };
        put(&mut result, &name, &value);
        named.push(name);
    }
    Ok(result.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
}

fn flags(text: &str) -> Vec<(String, String)> {
    text.split(',').filter_map(|flag| flag.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

fn put(flags: &mut [(String, String)], name: &str, value: &str) {
    if let Some(flag) = flags.iter_mut().find(|(known, _)| known == name) {
        flag.1 = value.to_owned();
    }
}

/// What the flags say of subqueries.
pub fn unnesting(text: &str) -> Unnesting {
    let is_on = |name: &str| text.split(',').any(|flag| flag.split_once('=') == Some((name, "on")));
    match (is_on("semijoin"), is_on("subquery_to_derived")) {
        (_, true) => Unnesting::Always,
        (true, false) => Unnesting::ByCost,
        (false, false) => Unnesting::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_changes_what_it_names() {
        let defaults = variables::lookup("optimizer_switch").unwrap().default;
        let one = changed(defaults, "mrr=off, SemiJoin = OFF").unwrap();
        assert!(one.contains(",mrr=off,") && one.contains(",semijoin=off,") && one.contains(",hash_join=on,"));
        assert_eq!(changed(&one, "default").unwrap(), defaults);
        assert_eq!(changed(&one, "mrr=default,semijoin=on").unwrap(), defaults);
        assert_eq!(changed(&one, "mrr=off,default").unwrap(), changed(defaults, "mrr=off").unwrap());
        for wrong in ["mrr", "mrr=maybe", "no_such=on", "mrr=on,mrr=on"] {
            assert_eq!(changed(defaults, wrong).unwrap_err().code, ErrorCode::WRONG_VALUE_FOR_VAR, "{wrong}");
        }
        assert_eq!(unnesting(defaults), Unnesting::ByCost);
        assert_eq!(unnesting(&one), Unnesting::Never);
        assert_eq!(unnesting(&changed(&one, "subquery_to_derived=on").unwrap()), Unnesting::Always);
    }
}
