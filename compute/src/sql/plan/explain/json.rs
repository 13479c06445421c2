//! EXPLAIN FORMAT=JSON, in the layout of MySQL's version 1.

use super::{Block, Line};
use serde_json::{Map, Value, json};

pub fn statement(blocks: &[Block]) -> String {
    let value = match blocks {
        [only] => json!({ "query_block": query_block(only) }),
        several => json!({ "query_block": union(several) }),
    };
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn union(blocks: &[Block]) -> Value {
    let parts: Vec<Value> = blocks
        .iter()
        .filter(|block| block.union_of.is_empty())
        .map(|block| json!({ "query_block": query_block(block) }))
        .collect();
    let result = blocks.iter().find(|block| !block.union_of.is_empty());
    let mut inner = Map::new();
    inner.insert("using_temporary_table".to_owned(), Value::Bool(result.is_some()));
    if let Some(result) = result {
        inner.insert("table_name".to_owned(), Value::from(union_name(result)));
        inner.insert("access_type".to_owned(), Value::from("ALL"));
    }
    inner.insert("query_specifications".to_owned(), Value::Array(parts));
    json!({ "union_result": inner })
}

pub fn union_name(block: &Block) -> String {
    let word = block.select_type.split(' ').next().unwrap_or_default().to_lowercase();
    let ids: Vec<String> = block.union_of.iter().map(u64::to_string).collect();
    format!("<{word}{}>", ids.join(","))
}

fn query_block(block: &Block) -> Value {
    let mut value = Map::new();
    value.insert("select_id".to_owned(), Value::from(block.id));
    let mut tables = Map::new();
    match block.lines.as_slice() {
        [] => {
            tables.insert("message".to_owned(), Value::from("No tables used"));
        }
        [only] => {
            tables.insert("table".to_owned(), table(only, block));
        }
        lines => {
            let all = lines.iter().map(|line| json!({ "table": table(line, block) })).collect();
            tables.insert("nested_loop".to_owned(), Value::Array(all));
        }
    }
    if block.groups {
        tables.insert("using_temporary_table".to_owned(), Value::Bool(block.temporary));
        tables = Map::from_iter([("grouping_operation".to_owned(), Value::Object(tables))]);
    }
    if block.filesort {
        tables.insert("using_filesort".to_owned(), Value::Bool(true));
        tables = Map::from_iter([("ordering_operation".to_owned(), Value::Object(tables))]);
    }
    value.extend(tables);
    let subqueries: Vec<Value> = block
        .inner
        .iter()
        .filter(|inner| inner.select_type.ends_with("SUBQUERY"))
        .map(|inner| {
            let dependent = inner.select_type.starts_with("DEPENDENT");
            json!({ "dependent": dependent, "cacheable": !dependent, "query_block": query_block(inner) })
        })
        .collect();
    if !subqueries.is_empty() {
        value.insert("attached_subqueries".to_owned(), Value::Array(subqueries));
    }
    Value::Object(value)
}

fn table(line: &Line, block: &Block) -> Value {
    let mut value = Map::new();
    let mut put = |name: &str, part: Value| value.insert(name.to_owned(), part);
    if matches!(block.select_type, "INSERT" | "REPLACE") {
        put("insert", Value::Bool(true));
    } else if block.select_type == "UPDATE" {
        put("update", Value::Bool(true));
    } else if block.select_type == "DELETE" {
        put("delete", Value::Bool(true));
    }
    put("table_name", Value::from(line.table.as_str()));
    put("access_type", Value::from(line.access_type));
    if !line.possible_keys.is_empty() {
        put("possible_keys", Value::from(line.possible_keys.clone()));
    }
    if let Some(key) = &line.key {
        put("key", Value::from(key.as_str()));
        put("used_key_parts", Value::from(line.key_parts.clone()));
        put("key_length", Value::from(line.key_length.to_string()));
    }
    if !line.references.is_empty() {
        put("ref", Value::from(line.references.clone()));
    }
    if line.rows > 0 {
        put("rows_examined_per_scan", Value::from(line.rows));
        let produced = (line.rows as f64 * line.filtered / 100.0).round().max(1.0) as u64;
        put("rows_produced_per_join", Value::from(produced));
        put("filtered", Value::from(format!("{:.2}", line.filtered)));
    }
    if line.extra.iter().any(|extra| extra.starts_with("Using join buffer")) {
        put("using_join_buffer", Value::from("hash join"));
    }
    if !line.columns.is_empty() {
        put("used_columns", Value::from(line.columns.clone()));
    }
    if let Some(condition) = &line.condition {
        put("attached_condition", Value::from(condition.as_str()));
    }
    let id = line
        .table
        .strip_prefix("<derived")
        .and_then(|rest| rest.strip_suffix('>'))
        .and_then(|id| id.parse::<u64>().ok());
    if let Some(id) = id {
        let first = block.inner.iter().position(|inner| inner.id == id);
        if let Some(first) = first {
            let others = block.inner[first + 1..].iter().take_while(|inner| inner.select_type.starts_with("UNION"));
            let parts: Vec<Value> = std::iter::once(&block.inner[first])
                .chain(others)
                .filter(|inner| inner.union_of.is_empty())
                .map(|inner| json!({ "query_block": query_block(inner) }))
                .collect();
            let inner = match parts.as_slice() {
                [only] => json!({ "using_temporary_table": true, "query_block": only["query_block"] }),
                _ => json!({ "using_temporary_table": true, "query_specifications": parts }),
            };
            put("materialized_from_subquery", inner);
        }
    }
    Value::Object(value)
}
