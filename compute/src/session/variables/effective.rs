//! The variables that statements look at, parsed once after each change instead of once per statement.

use super::{Values, time_zone};
use crate::execute::choose::Executor;
use crate::session::{optimizer_switch, sql_mode};
use crate::sql::plan::Isolation;
use crate::sql::plan::rules::Unnesting;
use expr::collation::{Charset, CollationId};
use expr::eval::{SqlMode, TimeZone};
use expr::function::encryption::aes::AesMode;
use expr::value::Value;
use std::sync::Arc;
use std::time::Duration;

/// The session variable `drumlin_outlines`: whether texts are known by their outlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outlines {
    Off,
    /// Those that come again.
    #[default]
    Auto,
    /// All that have one; for tests.
    Always,
}

#[derive(Debug, Clone)]
pub struct Effective {
    pub sql_mode: SqlMode,
    pub time_zone: TimeZone,
    pub collation_connection: CollationId,
    pub character_set_client: Charset,
    /// None: results are not converted.
    pub character_set_results: Option<Charset>,
    pub autocommit: bool,
    pub isolation: Isolation,
    pub transaction_read_only: bool,
    pub foreign_key_checks: bool,
    /// innodb_lock_wait_timeout.
    pub lock_wait_timeout: Duration,
    pub wait_timeout: Duration,
    pub auto_increment_increment: u64,
    pub auto_increment_offset: u64,
    pub max_allowed_packet: usize,
    pub group_concat_max_len: usize,
    pub div_precision_increment: u8,
    pub default_week_format: u8,
    pub lc_time_names: Arc<str>,
    pub block_encryption_mode: AesMode,
    pub cte_max_recursion_depth: u64,
    /// sql_select_limit.
    pub select_limit: u64,
    /// SET TIMESTAMP: the time that statements see, in microseconds since 1970.
    pub timestamp_us: Option<i64>,
    pub executor: Executor,
    pub outlines: Outlines,
    /// optimizer_switch.
    pub unnesting: Unnesting,
    pub long_query_time: Duration,
    pub min_examined_row_limit: u64,
}

impl Effective {
    /// Texts were checked when they were set, so the defaults here stand for nothing that happens.
    pub(super) fn of(values: &Values) -> Effective {
        Effective {
            sql_mode: sql_mode::parse(&Value::text(values.get("sql_mode")), "sql_mode").unwrap_or_default(),
            time_zone: time_zone(values.get("time_zone")).unwrap_or(TimeZone::Offset(0)),
            collation_connection: CollationId::by_name(values.get("collation_connection"))
                .map_or(CollationId::UTF8MB4_0900_AI_CI, |info| info.id),
            character_set_client: Charset::by_name(values.get("character_set_client")).unwrap_or(Charset::Utf8mb4),
            character_set_results: Charset::by_name(values.get("character_set_results"))
                .filter(|charset| *charset != Charset::Binary),
            autocommit: values.boolean("autocommit"),
            unnesting: optimizer_switch::unnesting(values.get("optimizer_switch")),
            isolation: match values.get("transaction_isolation") {
                "READ-UNCOMMITTED" => Isolation::ReadUncommitted,
                "READ-COMMITTED" => Isolation::ReadCommitted,
                "SERIALIZABLE" => Isolation::Serializable,
                _ => Isolation::RepeatableRead,
            },
            transaction_read_only: values.boolean("transaction_read_only"),
            foreign_key_checks: values.boolean("foreign_key_checks"),
            lock_wait_timeout: Duration::from_secs(values.integer("innodb_lock_wait_timeout")),
            wait_timeout: Duration::from_secs(values.integer("wait_timeout")),
            auto_increment_increment: values.integer("auto_increment_increment"),
            auto_increment_offset: values.integer("auto_increment_offset"),
            max_allowed_packet: values.integer("max_allowed_packet") as usize,
            group_concat_max_len: values.integer("group_concat_max_len") as usize,
            div_precision_increment: values.integer("div_precision_increment") as u8,
            default_week_format: values.integer("default_week_format") as u8,
            lc_time_names: values.get("lc_time_names").into(),
            block_encryption_mode: AesMode::parse(values.get("block_encryption_mode")).unwrap_or_default(),
            select_limit: values.integer("sql_select_limit"),
            cte_max_recursion_depth: values.integer("cte_max_recursion_depth"),
            timestamp_us: match values.get("timestamp").parse::<f64>() {
                Ok(seconds) if seconds > 0.0 => Some((seconds * 1e6) as i64),
                _ => None,
            },
            long_query_time: Duration::try_from_secs_f64(values.get("long_query_time").parse().unwrap_or(10.0))
                .unwrap_or(Duration::MAX),
            min_examined_row_limit: values.integer("min_examined_row_limit"),
            outlines: match values.get("drumlin_outlines") {
                "off" => Outlines::Off,
                "always" => Outlines::Always,
                _ => Outlines::Auto,
            },
            executor: match values.get("drumlin_executor") {
                "row" => Executor::Row,
                "analytic" => Executor::Analytic,
                _ => Executor::Auto,
            },
        }
    }
}
