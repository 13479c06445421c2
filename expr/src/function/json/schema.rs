//! JSON_SCHEMA_VALID and JSON_SCHEMA_VALIDATION_REPORT: documents against draft 4 of the JSON Schema specification.
//! Manual: "JSON Schema Validation Functions" (14.17.7).
//!
//! Keywords that do not say anything of a value of its kind are met by it; those of a wrong form say nothing. `$ref` is
//! refused (1235), as in MySQL.

use super::{document, json_value};
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::{Arguments, Call, Function, result};
use crate::value::Value;
use crate::value::decimal::Decimal;
use crate::value::json::compare::compare_nodes;
use Arguments::Exactly;
use regex::Regex;
use serde_json::{Map, Number, Value as Node, json};
use std::cmp::Ordering;

pub static FUNCTIONS: &[Function] = &[
    Function::new("JSON_SCHEMA_VALID", Exactly(2), result::boolean, valid).takes_null(),
    Function::new("JSON_SCHEMA_VALIDATION_REPORT", Exactly(2), result::json, report).takes_null(),
];

/// What a document does not meet.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    keyword: &'static str,
    /// Where the keyword stands, and where the value that it is about.
    schema: String,
    document: String,
}

fn valid(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(validate(arguments, "json_schema_valid")?.map_or(Value::Null, |failure| Value::boolean(failure.is_none())))
}

fn report(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(match validate(arguments, "json_schema_validation_report")? {
        None => Value::Null,
        Some(None) => json_value(json!({ "valid": true })),
        Some(Some(Failure { keyword, schema, document })) => json_value(json!({
            "valid": false,
            "reason": format!(
                "The JSON document location '{document}' failed requirement '{keyword}' at JSON Schema location \
                 '{schema}'"
            ),
            "schema-location": schema,
            "document-location": document,
            "schema-failed-keyword": keyword,
        })),
    })
}

/// None if an argument is NULL.
fn validate(arguments: &[Value], function: &str) -> Result<Option<Option<Failure>>, SqlError> {
    if arguments[0].is_null() {
        return Ok(None);
    }
    let schema = document(arguments, 0, function)?;
    let Node::Object(rules) = &*schema.0 else {
        let message = format!("Invalid JSON type in argument 1 to function {function}; an object is required.");
        return Err(SqlError::new(ErrorCode(3853), message));
    };
    if arguments[1].is_null() {
        return Ok(None);
    }
    if refers(&schema.0) {
        return Err(SqlError::not_supported("references in JSON Schema"));
    }
    let document = document(arguments, 1, function)?;
    Ok(Some(Place { schema: "#".to_owned(), document: "#".to_owned() }.check(rules, &document.0).err()))
}

fn refers(schema: &Node) -> bool {
    match schema {
        Node::Object(members) => members.get("$ref").is_some_and(Node::is_string) || members.values().any(refers),
        Node::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

/// Where in the schema and in the document, as fragments of a URI.
struct Place {
    schema: String,
    document: String,
}

type Checked = Result<(), Failure>;

impl Place {
    fn fails(&self, keyword: &'static str) -> Checked {
        Err(Failure { keyword, schema: self.schema.clone(), document: self.document.clone() })
    }

    fn require(&self, keyword: &'static str, met: bool) -> Checked {
        if met { Ok(()) } else { self.fails(keyword) }
    }

    fn under(&self, schema: &str) -> Place {
        Place { schema: format!("{}/{schema}", self.schema), document: self.document.clone() }
    }

    fn at(&self, schema: &str, document: &str) -> Place {
        Place { schema: format!("{}/{schema}", self.schema), document: format!("{}/{document}", self.document) }
    }

    fn check(&self, rules: &Map<String, Node>, value: &Node) -> Checked {
        self.check_kind(rules, value)?;
        if let Some(Node::Array(members)) = rules.get("enum") {
            self.require("enum", members.iter().any(|member| compare_nodes(member, value).is_eq()))?;
        }
        self.check_combinations(rules, value)?;
        match value {
            Node::Number(number) => self.check_number(rules, number),
            Node::String(text) => self.check_text(rules, text),
            Node::Array(items) => self.check_items(rules, items),
            Node::Object(members) => self.check_members(rules, members),
            Node::Null | Node::Bool(_) => Ok(()),
        }
    }

    fn check_kind(&self, rules: &Map<String, Node>, value: &Node) -> Checked {
        let is = |kind: &Node| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("boolean") => value.is_boolean(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("string") => value.is_string(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => false,
        };
        match rules.get("type") {
            Some(Node::Array(kinds)) => self.require("type", kinds.iter().any(is)),
            Some(kind @ Node::String(_)) => self.require("type", is(kind)),
            _ => Ok(()),
        }
    }

    fn check_combinations(&self, rules: &Map<String, Node>, value: &Node) -> Checked {
        let met = |keyword: &'static str| {
            let schemas = rules.get(keyword)?.as_array()?;
            let meets = |schema: &&Node| schema.as_object().is_none_or(|rules| self.check(rules, value).is_ok());
            Some((schemas.iter().filter(meets).count(), schemas.len()))
        };
        self.require("allOf", met("allOf").is_none_or(|(met, all)| met == all))?;
        self.require("anyOf", met("anyOf").is_none_or(|(met, _)| met > 0))?;
        self.require("oneOf", met("oneOf").is_none_or(|(met, _)| met == 1))?;
        match rules.get("not").and_then(Node::as_object) {
            Some(forbidden) => self.require("not", self.check(forbidden, value).is_err()),
            None => Ok(()),
        }
    }

    fn check_number(&self, rules: &Map<String, Node>, number: &Number) -> Checked {
        let value = Node::Number(number.clone());
        let excludes = |keyword: &str| rules.get(keyword).and_then(Node::as_bool).unwrap_or(false);
        for (keyword, exclusive, wrong) in
            [("minimum", "exclusiveMinimum", Ordering::Less), ("maximum", "exclusiveMaximum", Ordering::Greater)]
        {
            let Some(bound @ Node::Number(_)) = rules.get(keyword) else { continue };
            let order = compare_nodes(&value, bound);
            self.require(keyword, order != wrong)?;
            self.require(exclusive, !(excludes(exclusive) && order.is_eq()))?;
        }
        match rules.get("multipleOf") {
            Some(Node::Number(step)) => self.require("multipleOf", is_multiple(number, step)),
            _ => Ok(()),
        }
    }

    fn check_text(&self, rules: &Map<String, Node>, text: &str) -> Checked {
        let length = text.chars().count() as u64;
        self.check_size(rules, "minLength", "maxLength", length)?;
        match rules.get("pattern").and_then(Node::as_str).and_then(|pattern| Regex::new(pattern).ok()) {
            Some(pattern) => self.require("pattern", pattern.is_match(text)),
            None => Ok(()),
        }
    }

    fn check_size(&self, rules: &Map<String, Node>, min: &'static str, max: &'static str, size: u64) -> Checked {
        self.require(min, rules.get(min).and_then(Node::as_u64).is_none_or(|least| size >= least))?;
        self.require(max, rules.get(max).and_then(Node::as_u64).is_none_or(|most| size <= most))
    }

    fn check_items(&self, rules: &Map<String, Node>, items: &[Node]) -> Checked {
        self.check_size(rules, "minItems", "maxItems", items.len() as u64)?;
        if rules.get("uniqueItems").and_then(Node::as_bool) == Some(true) {
            let twice = |(at, item)| items[..at].iter().any(|other| compare_nodes(other, item).is_eq());
            self.require("uniqueItems", !items.iter().enumerate().any(twice))?;
        }
        let tuple = match rules.get("items") {
            Some(Node::Object(schema)) => {
                for (at, item) in items.iter().enumerate() {
                    self.at("items", &at.to_string()).check(schema, item)?;
                }
                return Ok(());
            }
            Some(Node::Array(tuple)) => tuple,
            _ => return Ok(()),
        };
        for (at, (schema, item)) in tuple.iter().zip(items).enumerate() {
            if let Node::Object(schema) = schema {
                self.at(&format!("items/{at}"), &at.to_string()).check(schema, item)?;
            }
        }
        for (at, item) in items.iter().enumerate().skip(tuple.len()) {
            match rules.get("additionalItems") {
                Some(Node::Bool(false)) => return self.fails("additionalItems"),
                Some(Node::Object(schema)) => self.at("additionalItems", &at.to_string()).check(schema, item)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_members(&self, rules: &Map<String, Node>, members: &Map<String, Node>) -> Checked {
        if let Some(Node::Array(required)) = rules.get("required") {
            let mut names = required.iter().filter_map(Node::as_str);
            self.require("required", names.all(|name| members.contains_key(name)))?;
        }
        self.check_size(rules, "minProperties", "maxProperties", members.len() as u64)?;
        self.check_dependencies(rules, members)?;
        let named = rules.get("properties").and_then(Node::as_object);
        let patterns: Vec<(&String, Regex, &Node)> = rules
            .get("patternProperties")
            .and_then(Node::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(pattern, schema)| Some((pattern, Regex::new(pattern).ok()?, schema)))
            .collect();
        for (name, member) in members {
            let mut known = false;
            if let Some(schema) = named.and_then(|named| named.get(name)) {
                known = true;
                if let Node::Object(schema) = schema {
                    self.at(&format!("properties/{name}"), name).check(schema, member)?;
                }
            }
            for (pattern, _, schema) in patterns.iter().filter(|(_, regex, _)| regex.is_match(name)) {
                known = true;
                if let Node::Object(schema) = schema {
                    self.at(&format!("patternProperties/{pattern}"), name).check(schema, member)?;
                }
            }
            match rules.get("additionalProperties") {
                _ if known => {}
                Some(Node::Bool(false)) => return self.fails("additionalProperties"),
                Some(Node::Object(schema)) => self.at("additionalProperties", name).check(schema, member)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Names that must be there, or a schema that the object must meet, if a name is.
    fn check_dependencies(&self, rules: &Map<String, Node>, members: &Map<String, Node>) -> Checked {
        let dependencies = rules.get("dependencies").and_then(Node::as_object).into_iter().flatten();
        for (name, dependency) in dependencies.filter(|(name, _)| members.contains_key(*name)) {
            match dependency {
                Node::Array(names) => {
                    let mut names = names.iter().filter_map(Node::as_str);
                    self.require("dependencies", names.all(|name| members.contains_key(name)))?;
                }
                Node::Object(schema) => {
                    self.under(&format!("dependencies/{name}")).check(schema, &Node::Object(members.clone()))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_multiple(number: &Number, step: &Number) -> bool {
    match (Decimal::parse(number.as_str()), Decimal::parse(step.as_str())) {
        (Some(number), Some(step)) => number.remainder(&step).is_none_or(|rest| rest.is_zero()),
        _ => match (number.as_f64(), step.as_f64()) {
            (Some(number), Some(step)) => step == 0.0 || (number % step).abs() < f64::EPSILON,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(schema: &str, document: &str) -> Option<String> {
        let arguments = [Value::text(schema), Value::text(document)];
        let found = validate(&arguments, "json_schema_valid").expect("a schema").expect("no NULL");
        found.map(|Failure { keyword, schema, document }| format!("{keyword} {schema} {document}"))
    }

    #[test]
    fn documents_meet_their_schema_or_not() {
        for (schema, met, unmet, told) in [
            (r#"{"type": "object"}"#, "{}", "[]", "type # #"),
            (r#"{"type": ["integer", "null"]}"#, "7", "7.5", "type # #"),
            (r#"{"required": ["a", "b"]}"#, r#"{"a": 5, "b": 6}"#, r#"{"a": 5, "c": 6}"#, "required # #"),
            (r#"{"properties": {"a": {"minimum": 5}}}"#, r#"{"a": 5}"#, r#"{"a": 4}"#, "minimum #/properties/a #/a"),
            (r#"{"maximum": 5, "exclusiveMaximum": true}"#, "4.9", "5", "exclusiveMaximum # #"),
            (r#"{"multipleOf": 0.1}"#, "0.3", "0.35", "multipleOf # #"),
            (r#"{"minLength": 2, "maxLength": 3}"#, r#""éé""#, r#""abcd""#, "maxLength # #"),
            (r#"{"pattern": "^a"}"#, r#""abc""#, r#""cba""#, "pattern # #"),
            (r#"{"items": {"type": "string"}}"#, r#"["a"]"#, r#"["a", 1]"#, "type #/items #/1"),
            (r#"{"items": [{}], "additionalItems": false}"#, "[1]", "[1, 2]", "additionalItems # #"),
            (r#"{"uniqueItems": true}"#, "[1, 2]", "[1, 1.0]", "uniqueItems # #"),
            (r#"{"enum": [1, "a", null]}"#, r#""a""#, "2", "enum # #"),
            (
                r#"{"patternProperties": {"^x": {"type": "null"}}}"#,
                r#"{"a": 1}"#,
                r#"{"xa": 1}"#,
                "type #/patternProperties/^x #/xa",
            ),
            (
                r#"{"properties": {"a": {}}, "additionalProperties": false}"#,
                r#"{"a": 1}"#,
                r#"{"b": 1}"#,
                "additionalProperties # #",
            ),
            (r#"{"dependencies": {"a": ["b"]}}"#, r#"{"b": 1}"#, r#"{"a": 1}"#, "dependencies # #"),
            (r#"{"oneOf": [{"minimum": 1}, {"minimum": 3}]}"#, "2", "4", "oneOf # #"),
            (r#"{"not": {"type": "string"}}"#, "1", r#""a""#, "not # #"),
        ] {
            assert_eq!(failure(schema, met), None, "{schema} {met}");
            assert_eq!(failure(schema, unmet).as_deref(), Some(told), "{schema} {unmet}");
        }
    }
}
