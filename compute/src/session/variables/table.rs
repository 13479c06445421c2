//! The table of system variables: MySQL 8.4's names and defaults, for those that have a meaning here or that software
//! reads or sets.

use super::{Kind, Scope, Variable};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The variable of that name, in any case.
pub fn lookup(name: &str) -> Option<&'static Variable> {
    static BY_NAME: LazyLock<HashMap<&str, &Variable>> =
        LazyLock::new(|| VARIABLES.iter().map(|variable| (variable.name, variable)).collect());
    if let Some(found) = BY_NAME.get(name) {
        return Some(found);
    }
    let name = name.to_ascii_lowercase();
    // The names of MySQL 5.7, which drivers still send.
    let name = match &*name {
        "tx_isolation" => "transaction_isolation",
        "tx_read_only" => "transaction_read_only",
        name => name,
    };
    BY_NAME.get(name).copied()
}

pub fn all() -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter()
}

const fn row(name: &'static str, scope: Scope, kind: Kind, default: &'static str) -> Variable {
    Variable { name, scope, kind, default }
}

const fn int(min: i64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

use Kind::{Boolean, CharacterSet, Collation, Enumeration, NullableText, SqlMode, Text, TimeZone};
use Scope::{Both, Global, ReadOnly, Session};

const U32_MAX: u64 = u32::MAX as u64;

/// What block_encryption_mode may be.
const AES_MODES: &[&str] = &[
    "aes-128-ecb",
    "aes-128-cbc",
    "aes-128-cfb1",
    "aes-128-cfb8",
    "aes-128-cfb128",
    "aes-128-ofb",
    "aes-192-ecb",
    "aes-192-cbc",
    "aes-192-cfb1",
    "aes-192-cfb8",
    "aes-192-cfb128",
    "aes-192-ofb",
    "aes-256-ecb",
    "aes-256-cbc",
    "aes-256-cfb1",
    "aes-256-cfb8",
    "aes-256-cfb128",
    "aes-256-ofb",
];

static VARIABLES: &[Variable] = &[
    row("activate_all_roles_on_login", Global, Boolean, "OFF"),
    row("auto_increment_increment", Both, int(1, 65535), "1"),
    row("auto_increment_offset", Both, int(1, 65535), "1"),
    row("authentication_policy", ReadOnly, Text, "*,,"),
    row("autocommit", Both, Boolean, "ON"),
    row("automatic_sp_privileges", Global, Boolean, "ON"),
    row("back_log", ReadOnly, int(1, 65535), "151"),
    row("basedir", ReadOnly, Text, "/"),
    row("big_tables", Both, Boolean, "OFF"),
    row("binlog_format", Both, Enumeration(&["MIXED", "STATEMENT", "ROW"]), "ROW"),
    row("binlog_row_image", Both, Enumeration(&["MINIMAL", "NOBLOB", "FULL"]), "FULL"),
    row("block_encryption_mode", Both, Enumeration(AES_MODES), "aes-128-ecb"),
    row("bulk_insert_buffer_size", Both, int(0, u64::MAX), "8388608"),
    row("character_set_client", Both, CharacterSet, "utf8mb4"),
    row("character_set_connection", Both, CharacterSet, "utf8mb4"),
    row("character_set_database", Both, CharacterSet, "utf8mb4"),
    row("character_set_filesystem", Both, CharacterSet, "binary"),
    row("character_set_results", Both, CharacterSet, "utf8mb4"),
    row("character_set_server", Both, CharacterSet, "utf8mb4"),
    row("character_set_system", ReadOnly, CharacterSet, "utf8mb3"),
    row("collation_connection", Both, Collation, "utf8mb4_0900_ai_ci"),
    row("collation_database", Both, Collation, "utf8mb4_0900_ai_ci"),
    row("collation_server", Both, Collation, "utf8mb4_0900_ai_ci"),
    row("completion_type", Both, Enumeration(&["NO_CHAIN", "CHAIN", "RELEASE"]), "NO_CHAIN"),
    row("connect_timeout", Global, int(2, 31_536_000), "10"),
    row("cte_max_recursion_depth", Both, int(0, U32_MAX), "1000"),
    row("datadir", ReadOnly, Text, "/"),
    row("default_collation_for_utf8mb4", Both, Collation, "utf8mb4_0900_ai_ci"),
    row("default_password_lifetime", Global, int(0, 65535), "0"),
    row("default_storage_engine", Both, Text, "InnoDB"),
    row("default_tmp_storage_engine", Both, Text, "InnoDB"),
    row("default_week_format", Both, int(0, 7), "0"),
    row("disconnect_on_expired_password", ReadOnly, Boolean, "ON"),
    row("div_precision_increment", Both, int(0, 30), "4"),
    row("drumlin_outlines", Both, Enumeration(&["off", "auto", "always"]), "auto"),
    row("drumlin_executor", Both, Enumeration(&["auto", "row", "analytic"]), "auto"),
    row("end_markers_in_json", Both, Boolean, "OFF"),
    row("error_count", Session, int(0, 65535), "0"),
    row("event_scheduler", Global, Enumeration(&["OFF", "ON", "DISABLED"]), "ON"),
    row("explicit_defaults_for_timestamp", Both, Boolean, "ON"),
    row("foreign_key_checks", Both, Boolean, "ON"),
    row("ft_min_word_len", ReadOnly, int(1, 84), "4"),
    row("general_log", Global, Boolean, "OFF"),
    row("group_concat_max_len", Both, int(4, u64::MAX), "1024"),
    row("gtid_mode", Global, Enumeration(&["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"]), "OFF"),
    row("have_openssl", ReadOnly, Text, "YES"),
    row("have_profiling", ReadOnly, Text, "NO"),
    row("have_query_cache", ReadOnly, Text, "NO"),
    row("have_ssl", ReadOnly, Text, "YES"),
    row("hostname", ReadOnly, Text, "localhost"),
    row("identity", Session, int(0, u64::MAX), "0"),
    row("init_connect", Global, Text, ""),
    row("information_schema_stats_expiry", Both, int(0, 31_536_000), "86400"),
    row("innodb_autoinc_lock_mode", ReadOnly, int(0, 2), "2"),
    row("innodb_buffer_pool_size", Global, int(0, u64::MAX), "134217728"),
    // It does not go from zero to another number while a server runs, and begins as zero.
    row("innodb_commit_concurrency", Global, Enumeration(&["0"]), "0"),
    row("innodb_default_row_format", Global, Enumeration(&["redundant", "compact", "dynamic"]), "dynamic"),
    row("innodb_file_per_table", Global, Boolean, "ON"),
    row("innodb_flush_log_at_trx_commit", Global, int(0, 2), "1"),
    row("innodb_lock_wait_timeout", Both, int(1, 1_073_741_824), "50"),
    row("innodb_strict_mode", Both, Boolean, "ON"),
    row("innodb_table_locks", Both, Boolean, "ON"),
    row("innodb_version", ReadOnly, Text, "8.4.0"),
    row("insert_id", Session, int(0, u64::MAX), "0"),
    row("interactive_timeout", Both, int(1, 31_536_000), "28800"),
    row("last_insert_id", Session, int(0, u64::MAX), "0"),
    row("lc_messages", Both, Text, "en_US"),
    row("lc_time_names", Both, Text, "en_US"),
    row("license", ReadOnly, Text, "Apache-2.0"),
    row("local_infile", Global, Boolean, "OFF"),
    row("lock_wait_timeout", Both, int(1, 31_536_000), "31536000"),
    row("log_bin", ReadOnly, Boolean, "OFF"),
    row("log_bin_trust_function_creators", Global, Boolean, "OFF"),
    row("log_output", ReadOnly, Text, "FILE"),
    row("long_query_time", Both, Kind::Real { min: 0, max: 31_536_000 }, "10.000000"),
    row("low_priority_updates", Both, Boolean, "OFF"),
    row("lower_case_file_system", ReadOnly, Boolean, "OFF"),
    row("lower_case_table_names", ReadOnly, int(0, 2), "0"),
    row("mandatory_roles", Global, Text, ""),
    row("max_allowed_packet", Both, int(1024, 1 << 30), "67108864"),
    row("max_binlog_cache_size", Global, int(4096, u64::MAX), "18446744073709547520"),
    row("max_connections", Global, int(1, 100_000), "10000"),
    row("max_error_count", Both, int(0, 65535), "1024"),
    row("max_execution_time", Both, int(0, U32_MAX), "0"),
    row("max_heap_table_size", Both, int(16384, u64::MAX), "16777216"),
    row("max_join_size", Both, int(1, u64::MAX), "18446744073709551615"),
    row("max_length_for_sort_data", Both, int(4, 8_388_608), "4096"),
    row("max_prepared_stmt_count", Global, int(0, 4_194_304), "16382"),
    row("max_sort_length", Both, int(4, 8_388_608), "1024"),
    row("max_sp_recursion_depth", Both, int(0, 255), "0"),
    row("max_user_connections", Global, int(0, U32_MAX), "0"),
    row("min_examined_row_limit", Both, int(0, u64::MAX), "0"),
    row("net_buffer_length", Both, int(1024, 1_048_576), "16384"),
    row("net_read_timeout", Both, int(1, 31_536_000), "30"),
    row("net_retry_count", Both, int(1, u64::MAX), "10"),
    row("net_write_timeout", Both, int(1, 31_536_000), "60"),
    row("old_alter_table", Both, Boolean, "OFF"),
    row("optimizer_prune_level", Both, int(0, 1), "1"),
    row("optimizer_search_depth", Both, int(0, 62), "62"),
    row(
        "optimizer_switch",
        Both,
        Text,
        "index_merge=on,index_merge_union=on,index_merge_sort_union=on,index_merge_intersection=on,\
         engine_condition_pushdown=on,index_condition_pushdown=on,mrr=on,mrr_cost_based=on,block_nested_loop=on,\
         batched_key_access=off,materialization=on,semijoin=on,loosescan=on,firstmatch=on,duplicateweedout=on,\
         subquery_materialization_cost_based=on,use_index_extensions=on,condition_fanout_filter=on,derived_merge=on,\
         use_invisible_indexes=off,skip_scan=on,hash_join=on,subquery_to_derived=off,prefer_ordering_index=on,\
         hypergraph_optimizer=off,derived_condition_pushdown=on,hash_set_operations=on",
    ),
    row("partial_revokes", ReadOnly, Boolean, "OFF"),
    row("password_history", Global, int(0, U32_MAX), "0"),
    row("password_require_current", Global, Boolean, "OFF"),
    row("password_reuse_interval", Global, int(0, U32_MAX), "0"),
    row("performance_schema", ReadOnly, Boolean, "OFF"),
    row("pid_file", ReadOnly, Text, ""),
    row("port", ReadOnly, int(0, 65535), "3306"),
    row("protocol_version", ReadOnly, int(0, U32_MAX), "10"),
    row("pseudo_thread_id", Session, int(0, u64::MAX), "0"),
    row("query_cache_size", ReadOnly, int(0, u64::MAX), "0"),
    row("query_cache_type", ReadOnly, Text, "OFF"),
    row("rand_seed1", Session, int(0, U32_MAX), "0"),
    row("rand_seed2", Session, int(0, U32_MAX), "0"),
    row("read_only", Global, Boolean, "OFF"),
    row("require_secure_transport", Global, Boolean, "OFF"),
    row("secure_file_priv", ReadOnly, NullableText, ""),
    row("server_id", Global, int(0, U32_MAX), "1"),
    row("server_uuid", ReadOnly, Text, "00000000-0000-0000-0000-000000000001"),
    row("session_track_gtids", Both, Enumeration(&["OFF", "OWN_GTID", "ALL_GTIDS"]), "OFF"),
    row("session_track_schema", Both, Boolean, "ON"),
    row("session_track_state_change", Both, Boolean, "OFF"),
    row(
        "session_track_system_variables",
        Both,
        Text,
        "time_zone,autocommit,character_set_client,character_set_results,character_set_connection",
    ),
    row("session_track_transaction_info", Both, Enumeration(&["OFF", "STATE", "CHARACTERISTICS"]), "OFF"),
    row("show_create_table_verbosity", Both, Boolean, "OFF"),
    row("skip_networking", ReadOnly, Boolean, "OFF"),
    row("slow_query_log", Global, Boolean, "OFF"),
    row("slow_query_log_file", ReadOnly, Text, ""),
    row("socket", ReadOnly, Text, ""),
    row("sort_buffer_size", Both, int(32768, u64::MAX), "262144"),
    row("sql_auto_is_null", Both, Boolean, "OFF"),
    row("sql_big_selects", Both, Boolean, "ON"),
    row("sql_buffer_result", Both, Boolean, "OFF"),
    row("sql_log_bin", Session, Boolean, "ON"),
    row("sql_log_off", Both, Boolean, "OFF"),
    row(
        "sql_mode",
        Both,
        SqlMode,
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    ),
    row("sql_notes", Both, Boolean, "ON"),
    row("sql_quote_show_create", Both, Boolean, "ON"),
    row("sql_require_primary_key", Both, Boolean, "OFF"),
    row("sql_safe_updates", Both, Boolean, "OFF"),
    row("sql_select_limit", Both, int(0, u64::MAX), "18446744073709551615"),
    row("sql_warnings", Both, Boolean, "OFF"),
    row("ssl_ca", ReadOnly, Text, ""),
    row("ssl_cert", ReadOnly, Text, "server-cert.pem"),
    row("ssl_crl", ReadOnly, Text, ""),
    row("ssl_crlpath", ReadOnly, Text, ""),
    row("ssl_key", ReadOnly, Text, "server-key.pem"),
    row("stored_program_cache", Global, int(16, 524_288), "256"),
    row("super_read_only", Global, Boolean, "OFF"),
    row("system_time_zone", ReadOnly, Text, "UTC"),
    row("table_definition_cache", Global, int(400, 524_288), "2000"),
    row("table_open_cache", Global, int(1, 524_288), "4000"),
    row("thread_cache_size", Global, int(0, 16384), "9"),
    row("time_zone", Both, TimeZone, "SYSTEM"),
    row("timestamp", Session, Kind::Real { min: 0, max: 32_536_771_199 }, "0.000000"),
    row("tls_version", ReadOnly, Text, "TLSv1.2,TLSv1.3"),
    row("tmp_table_size", Both, int(1024, u64::MAX), "16777216"),
    row("tmpdir", ReadOnly, Text, "/tmp"),
    row(
        "transaction_isolation",
        Both,
        Enumeration(&["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]),
        "REPEATABLE-READ",
    ),
    row("transaction_read_only", Both, Boolean, "OFF"),
    row("unique_checks", Both, Boolean, "ON"),
    row("updatable_views_with_limit", Both, Boolean, "ON"),
    row("version", ReadOnly, Text, ""),
    row("version_comment", ReadOnly, Text, "Drumlin"),
    row("version_compile_machine", ReadOnly, Text, "x86_64"),
    row("version_compile_os", ReadOnly, Text, "Linux"),
    row("wait_timeout", Both, int(1, 31_536_000), "28800"),
    row("warning_count", Session, int(0, 65535), "0"),
    row("windowing_use_high_precision", Both, Boolean, "ON"),
];
