//! Columns of the made-up tables, in MySQL 8's order.
//!
//! One line per table: its name, then `name:type` for each column. Types: `sN` is VARCHAR(N), `nN` the same for names
//! that compare by case, `t` a long text, `i`/`u` INT and INT UNSIGNED, `b`/`B` BIGINT and BIGINT UNSIGNED, `d` DATETIME,
//! `ts` TIMESTAMP, `f` DOUBLE, `j` JSON, `x` a BLOB; a `!` at the end is NOT NULL.

use crate::catalog::virtual_tables::{VirtualColumn, VirtualTable};
use expr::collation::CollationId;
use expr::mysql_type::{BlobSize, IntDisplay, MysqlType, TypeKind};
use std::sync::LazyLock;

const INFORMATION_SCHEMA: &[&str] = &[
    "ADMINISTRABLE_ROLE_AUTHORIZATIONS USER:s97 HOST:s256 GRANTEE:s97 GRANTEE_HOST:s256 ROLE_NAME:s255 ROLE_HOST:s256 IS_GRANTABLE:s3! IS_DEFAULT:s3 IS_MANDATORY:s3!",
    "APPLICABLE_ROLES USER:s97 HOST:s256 GRANTEE:s97 GRANTEE_HOST:s256 ROLE_NAME:s255 ROLE_HOST:s256 IS_GRANTABLE:s3! IS_DEFAULT:s3 IS_MANDATORY:s3!",
    "CHARACTER_SETS CHARACTER_SET_NAME:s64! DEFAULT_COLLATE_NAME:s64! DESCRIPTION:s2048! MAXLEN:u!",
    "CHECK_CONSTRAINTS CONSTRAINT_CATALOG:n64! CONSTRAINT_SCHEMA:n64! CONSTRAINT_NAME:s64! CHECK_CLAUSE:t!",
    "COLLATIONS COLLATION_NAME:s64! CHARACTER_SET_NAME:s64! ID:B! IS_DEFAULT:s3! IS_COMPILED:s3! SORTLEN:u! PAD_ATTRIBUTE:s9!",
    "COLLATION_CHARACTER_SET_APPLICABILITY COLLATION_NAME:s64! CHARACTER_SET_NAME:s64!",
    "COLUMNS TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! COLUMN_NAME:s64 ORDINAL_POSITION:u! COLUMN_DEFAULT:t IS_NULLABLE:s3! DATA_TYPE:t CHARACTER_MAXIMUM_LENGTH:b CHARACTER_OCTET_LENGTH:b NUMERIC_PRECISION:B NUMERIC_SCALE:B DATETIME_PRECISION:u CHARACTER_SET_NAME:s64 COLLATION_NAME:s64 COLUMN_TYPE:t! COLUMN_KEY:s3! EXTRA:s256 PRIVILEGES:s154 COLUMN_COMMENT:t! GENERATION_EXPRESSION:t! SRS_ID:u",
    "COLUMN_PRIVILEGES GRANTEE:s292! TABLE_CATALOG:s512! TABLE_SCHEMA:s64! TABLE_NAME:s64! COLUMN_NAME:s64! PRIVILEGE_TYPE:s64! IS_GRANTABLE:s3!",
    "COLUMN_STATISTICS SCHEMA_NAME:n64! TABLE_NAME:n64! COLUMN_NAME:s64! HISTOGRAM:j!",
    "ENABLED_ROLES ROLE_NAME:s255 ROLE_HOST:s255 IS_DEFAULT:s3 IS_MANDATORY:s3!",
    "ENGINES ENGINE:s64! SUPPORT:s8! COMMENT:s80! TRANSACTIONS:s3 XA:s3 SAVEPOINTS:s3",
    "EVENTS EVENT_CATALOG:n64! EVENT_SCHEMA:n64! EVENT_NAME:s64! DEFINER:s288! TIME_ZONE:s64! EVENT_BODY:s3! EVENT_DEFINITION:t! EVENT_TYPE:s9! EXECUTE_AT:d INTERVAL_VALUE:s256 INTERVAL_FIELD:s18 SQL_MODE:t! STARTS:d ENDS:d STATUS:s21! ON_COMPLETION:s12! CREATED:ts! LAST_ALTERED:ts! LAST_EXECUTED:d EVENT_COMMENT:s2048! ORIGINATOR:u! CHARACTER_SET_CLIENT:s64! COLLATION_CONNECTION:s64! DATABASE_COLLATION:s64!",
    "FILES FILE_ID:b FILE_NAME:t FILE_TYPE:s256 TABLESPACE_NAME:s268! TABLE_CATALOG:s0! TABLE_SCHEMA:x TABLE_NAME:x LOGFILE_GROUP_NAME:s256 LOGFILE_GROUP_NUMBER:b ENGINE:s64! FULLTEXT_KEYS:x DELETED_ROWS:x UPDATE_COUNT:x FREE_EXTENTS:b TOTAL_EXTENTS:b EXTENT_SIZE:b INITIAL_SIZE:b MAXIMUM_SIZE:b AUTOEXTEND_SIZE:b CREATION_TIME:x LAST_UPDATE_TIME:x LAST_ACCESS_TIME:x RECOVER_TIME:x TRANSACTION_COUNTER:x VERSION:b ROW_FORMAT:s256 TABLE_ROWS:x AVG_ROW_LENGTH:x DATA_LENGTH:x MAX_DATA_LENGTH:x INDEX_LENGTH:x DATA_FREE:b CREATE_TIME:x UPDATE_TIME:x CHECK_TIME:x CHECKSUM:x STATUS:s256 EXTRA:s256",
    "INNODB_CMP page_size:i! compress_ops:i! compress_ops_ok:i! compress_time:i! uncompress_ops:i! uncompress_time:i!",
    "INNODB_CMPMEM page_size:i! buffer_pool_instance:i! pages_used:i! pages_free:i! relocation_ops:b! relocation_time:i!",
    "INNODB_CMPMEM_RESET page_size:i! buffer_pool_instance:i! pages_used:i! pages_free:i! relocation_ops:b! relocation_time:i!",
    "INNODB_CMP_RESET page_size:i! compress_ops:i! compress_ops_ok:i! compress_time:i! uncompress_ops:i! uncompress_time:i!",
    "INNODB_FT_DEFAULT_STOPWORD value:s18!",
    "INNODB_METRICS NAME:s193! SUBSYSTEM:s193! COUNT:b! MAX_COUNT:b MIN_COUNT:b AVG_COUNT:f COUNT_RESET:b! MAX_COUNT_RESET:b MIN_COUNT_RESET:b AVG_COUNT_RESET:f TIME_ENABLED:d TIME_DISABLED:d TIME_ELAPSED:b TIME_RESET:d STATUS:s193! TYPE:s193! COMMENT:s193!",
    "INNODB_TABLESPACES SPACE:u! NAME:s655! FLAG:u! ROW_FORMAT:s22 PAGE_SIZE:u! ZIP_PAGE_SIZE:u! SPACE_TYPE:s10 FS_BLOCK_SIZE:u! FILE_SIZE:B! ALLOCATED_SIZE:B! AUTOEXTEND_SIZE:B! SERVER_VERSION:s10 SPACE_VERSION:u! ENCRYPTION:s1 STATE:s10",
    "INNODB_TRX trx_id:B! trx_state:s13! trx_started:d! trx_requested_lock_id:s105 trx_wait_started:d trx_weight:B! trx_mysql_thread_id:B! trx_query:s1024 trx_operation_state:s64 trx_tables_in_use:B! trx_tables_locked:B! trx_lock_structs:B! trx_lock_memory_bytes:B! trx_rows_locked:B! trx_rows_modified:B! trx_concurrency_tickets:B! trx_isolation_level:s16! trx_unique_checks:i! trx_foreign_key_checks:i! trx_last_foreign_key_error:s256 trx_adaptive_hash_latched:i! trx_adaptive_hash_timeout:B! trx_is_read_only:i! trx_autocommit_non_locking:i! trx_schedule_weight:B",
    "KEYWORDS WORD:s128 RESERVED:i",
    "KEY_COLUMN_USAGE CONSTRAINT_CATALOG:n64! CONSTRAINT_SCHEMA:n64! CONSTRAINT_NAME:s64 TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! COLUMN_NAME:s64 ORDINAL_POSITION:u! POSITION_IN_UNIQUE_CONSTRAINT:u REFERENCED_TABLE_SCHEMA:n64 REFERENCED_TABLE_NAME:n64 REFERENCED_COLUMN_NAME:s64",
    "OPTIMIZER_TRACE QUERY:t! TRACE:t! MISSING_BYTES_BEYOND_MAX_MEM_SIZE:i! INSUFFICIENT_PRIVILEGES:i!",
    "PARAMETERS SPECIFIC_CATALOG:n64! SPECIFIC_SCHEMA:n64! SPECIFIC_NAME:s64! ORDINAL_POSITION:B! PARAMETER_MODE:s5 PARAMETER_NAME:s64 DATA_TYPE:t CHARACTER_MAXIMUM_LENGTH:b CHARACTER_OCTET_LENGTH:b NUMERIC_PRECISION:u NUMERIC_SCALE:b DATETIME_PRECISION:u CHARACTER_SET_NAME:s64 COLLATION_NAME:s64 DTD_IDENTIFIER:t! ROUTINE_TYPE:s9!",
    "PARTITIONS TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! PARTITION_NAME:s64 SUBPARTITION_NAME:s64 PARTITION_ORDINAL_POSITION:u SUBPARTITION_ORDINAL_POSITION:u PARTITION_METHOD:s13 SUBPARTITION_METHOD:s13 PARTITION_EXPRESSION:s2048 SUBPARTITION_EXPRESSION:s2048 PARTITION_DESCRIPTION:t TABLE_ROWS:B AVG_ROW_LENGTH:B DATA_LENGTH:B MAX_DATA_LENGTH:B INDEX_LENGTH:B DATA_FREE:B CREATE_TIME:ts! UPDATE_TIME:d CHECK_TIME:d CHECKSUM:b PARTITION_COMMENT:t! NODEGROUP:s256 TABLESPACE_NAME:s268",
    "PLUGINS PLUGIN_NAME:s64! PLUGIN_VERSION:s20! PLUGIN_STATUS:s10! PLUGIN_TYPE:s80! PLUGIN_TYPE_VERSION:s20! PLUGIN_LIBRARY:s64 PLUGIN_LIBRARY_VERSION:s20 PLUGIN_AUTHOR:s64 PLUGIN_DESCRIPTION:t PLUGIN_LICENSE:s80 LOAD_OPTION:s64!",
    "PROCESSLIST ID:B! USER:s32! HOST:s261! DB:s64 COMMAND:s16! TIME:i! STATE:s64 INFO:t",
    "REFERENTIAL_CONSTRAINTS CONSTRAINT_CATALOG:n64! CONSTRAINT_SCHEMA:n64! CONSTRAINT_NAME:s64 UNIQUE_CONSTRAINT_CATALOG:n64! UNIQUE_CONSTRAINT_SCHEMA:n64! UNIQUE_CONSTRAINT_NAME:s64 MATCH_OPTION:s7! UPDATE_RULE:s11! DELETE_RULE:s11! TABLE_NAME:n64! REFERENCED_TABLE_NAME:n64!",
    "RESOURCE_GROUPS RESOURCE_GROUP_NAME:s64! RESOURCE_GROUP_TYPE:s6! RESOURCE_GROUP_ENABLED:i! VCPU_IDS:x THREAD_PRIORITY:i!",
    "ROUTINES SPECIFIC_NAME:s64! ROUTINE_CATALOG:n64! ROUTINE_SCHEMA:n64! ROUTINE_NAME:s64! ROUTINE_TYPE:s9! DATA_TYPE:t CHARACTER_MAXIMUM_LENGTH:b CHARACTER_OCTET_LENGTH:b NUMERIC_PRECISION:u NUMERIC_SCALE:u DATETIME_PRECISION:u CHARACTER_SET_NAME:s64 COLLATION_NAME:s64 DTD_IDENTIFIER:t ROUTINE_BODY:s3! ROUTINE_DEFINITION:t EXTERNAL_NAME:x EXTERNAL_LANGUAGE:s64! PARAMETER_STYLE:s3! IS_DETERMINISTIC:s3! SQL_DATA_ACCESS:s17! SQL_PATH:x SECURITY_TYPE:s7! CREATED:ts! LAST_ALTERED:ts! SQL_MODE:t! ROUTINE_COMMENT:t! DEFINER:s288! CHARACTER_SET_CLIENT:s64! COLLATION_CONNECTION:s64! DATABASE_COLLATION:s64!",
    "SCHEMATA CATALOG_NAME:n64! SCHEMA_NAME:n64! DEFAULT_CHARACTER_SET_NAME:s64! DEFAULT_COLLATION_NAME:s64! SQL_PATH:x DEFAULT_ENCRYPTION:s3!",
    "SCHEMATA_EXTENSIONS CATALOG_NAME:n64! SCHEMA_NAME:n64! OPTIONS:s256",
    "SCHEMA_PRIVILEGES GRANTEE:s292! TABLE_CATALOG:s512! TABLE_SCHEMA:s64! PRIVILEGE_TYPE:s64! IS_GRANTABLE:s3!",
    "STATISTICS TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! NON_UNIQUE:i! INDEX_SCHEMA:n64! INDEX_NAME:s64 SEQ_IN_INDEX:u! COLUMN_NAME:s64 COLLATION:s1 CARDINALITY:b SUB_PART:b PACKED:x NULLABLE:s3! INDEX_TYPE:s11! COMMENT:s8! INDEX_COMMENT:s2048! IS_VISIBLE:s3! EXPRESSION:t",
    "ST_GEOMETRY_COLUMNS TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! COLUMN_NAME:s64 SRS_NAME:s80 SRS_ID:u GEOMETRY_TYPE_NAME:t",
    "TABLES TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! TABLE_TYPE:s11! ENGINE:s64 VERSION:i ROW_FORMAT:s10 TABLE_ROWS:B AVG_ROW_LENGTH:B DATA_LENGTH:B MAX_DATA_LENGTH:B INDEX_LENGTH:B DATA_FREE:B AUTO_INCREMENT:B CREATE_TIME:ts! UPDATE_TIME:d CHECK_TIME:d TABLE_COLLATION:s64 CHECKSUM:b CREATE_OPTIONS:s256 TABLE_COMMENT:t",
    "TABLES_EXTENSIONS TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! ENGINE_ATTRIBUTE:j SECONDARY_ENGINE_ATTRIBUTE:j",
    "TABLE_CONSTRAINTS CONSTRAINT_CATALOG:n64! CONSTRAINT_SCHEMA:n64! CONSTRAINT_NAME:s64 TABLE_SCHEMA:n64! TABLE_NAME:n64! CONSTRAINT_TYPE:s11! ENFORCED:s3!",
    "TABLE_PRIVILEGES GRANTEE:s292! TABLE_CATALOG:s512! TABLE_SCHEMA:s64! TABLE_NAME:s64! PRIVILEGE_TYPE:s64! IS_GRANTABLE:s3!",
    "TRIGGERS TRIGGER_CATALOG:n64! TRIGGER_SCHEMA:n64! TRIGGER_NAME:n64! EVENT_MANIPULATION:s6! EVENT_OBJECT_CATALOG:n64! EVENT_OBJECT_SCHEMA:n64! EVENT_OBJECT_TABLE:n64! ACTION_ORDER:u! ACTION_CONDITION:x ACTION_STATEMENT:t! ACTION_ORIENTATION:s3! ACTION_TIMING:s6! ACTION_REFERENCE_OLD_TABLE:x ACTION_REFERENCE_NEW_TABLE:x ACTION_REFERENCE_OLD_ROW:s3! ACTION_REFERENCE_NEW_ROW:s3! CREATED:ts! SQL_MODE:t! DEFINER:s288! CHARACTER_SET_CLIENT:s64! COLLATION_CONNECTION:s64! DATABASE_COLLATION:s64!",
    "USER_ATTRIBUTES USER:s32! HOST:s255! ATTRIBUTE:t",
    "USER_PRIVILEGES GRANTEE:s292! TABLE_CATALOG:s512! PRIVILEGE_TYPE:s64! IS_GRANTABLE:s3!",
    "VIEWS TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! VIEW_DEFINITION:t CHECK_OPTION:s8 IS_UPDATABLE:s3 DEFINER:s288 SECURITY_TYPE:s7 CHARACTER_SET_CLIENT:s64! COLLATION_CONNECTION:s64!",
    "VIEW_ROUTINE_USAGE TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64! SPECIFIC_CATALOG:n64! SPECIFIC_SCHEMA:n64! SPECIFIC_NAME:s64!",
    "VIEW_TABLE_USAGE VIEW_CATALOG:n64! VIEW_SCHEMA:n64! VIEW_NAME:n64! TABLE_CATALOG:n64! TABLE_SCHEMA:n64! TABLE_NAME:n64!",
];

const PERFORMANCE_SCHEMA: &[&str] = &[
    "data_lock_waits ENGINE:s32! REQUESTING_ENGINE_LOCK_ID:s128 REQUESTING_ENGINE_TRANSACTION_ID:B REQUESTING_THREAD_ID:B REQUESTING_EVENT_ID:B REQUESTING_OBJECT_INSTANCE_BEGIN:B! BLOCKING_ENGINE_LOCK_ID:s128 BLOCKING_ENGINE_TRANSACTION_ID:B BLOCKING_THREAD_ID:B BLOCKING_EVENT_ID:B BLOCKING_OBJECT_INSTANCE_BEGIN:B!",
    "data_locks ENGINE:s32! ENGINE_LOCK_ID:s128! ENGINE_TRANSACTION_ID:B THREAD_ID:B EVENT_ID:B OBJECT_SCHEMA:s64 OBJECT_NAME:s64 PARTITION_NAME:s64 SUBPARTITION_NAME:s64 INDEX_NAME:s64 OBJECT_INSTANCE_BEGIN:B! LOCK_TYPE:s32! LOCK_MODE:s32! LOCK_STATUS:s32! LOCK_DATA:s8192",
    "global_status VARIABLE_NAME:s64! VARIABLE_VALUE:s1024",
    "global_variables VARIABLE_NAME:s64! VARIABLE_VALUE:s1024",
    "processlist ID:B! USER:s32 HOST:s255 DB:s64 COMMAND:s16 TIME:b STATE:s64 INFO:t EXECUTION_ENGINE:s9",
    "session_status VARIABLE_NAME:s64! VARIABLE_VALUE:s1024",
    "session_variables VARIABLE_NAME:s64! VARIABLE_VALUE:s1024",
];

const MYSQL: &[&str] = &[
    "columns_priv Host:s255! Db:n64! User:s32! Table_name:n64! Column_name:s64! Timestamp:ts! Column_priv:s31!",
    "db Host:s255! Db:n64! User:s32! Select_priv:s1! Insert_priv:s1! Update_priv:s1! Delete_priv:s1! Create_priv:s1! Drop_priv:s1! Grant_priv:s1! References_priv:s1! Index_priv:s1! Alter_priv:s1! Create_tmp_table_priv:s1! Lock_tables_priv:s1! Create_view_priv:s1! Show_view_priv:s1! Create_routine_priv:s1! Alter_routine_priv:s1! Execute_priv:s1! Event_priv:s1! Trigger_priv:s1!",
    "default_roles HOST:s255! USER:s32! DEFAULT_ROLE_HOST:s255! DEFAULT_ROLE_USER:s32!",
    "func name:s64! ret:i! dl:s128! type:s9!",
    "global_grants USER:s32! HOST:s255! PRIV:s32! WITH_GRANT_OPTION:s1!",
    "password_history Host:s255! User:s32! Password_timestamp:ts! Password:t",
    "plugin name:s64! dl:s128!",
    "procs_priv Host:s255! Db:n64! User:s32! Routine_name:s64! Routine_type:s9! Grantor:s288! Proc_priv:s27! Timestamp:ts!",
    "proxies_priv Host:s255! User:s32! Proxied_host:s255! Proxied_user:s32! With_grant:i! Grantor:s288! Timestamp:ts!",
    "role_edges FROM_HOST:s255! FROM_USER:s32! TO_HOST:s255! TO_USER:s32! WITH_ADMIN_OPTION:s1!",
    "tables_priv Host:s255! Db:n64! User:s32! Table_name:n64! Grantor:s288! Timestamp:ts! Table_priv:s98! Column_priv:s31!",
    "user Host:s255! User:s32! Select_priv:s1! Insert_priv:s1! Update_priv:s1! Delete_priv:s1! Create_priv:s1! Drop_priv:s1! Reload_priv:s1! Shutdown_priv:s1! Process_priv:s1! File_priv:s1! Grant_priv:s1! References_priv:s1! Index_priv:s1! Alter_priv:s1! Show_db_priv:s1! Super_priv:s1! Create_tmp_table_priv:s1! Lock_tables_priv:s1! Execute_priv:s1! Repl_slave_priv:s1! Repl_client_priv:s1! Create_view_priv:s1! Show_view_priv:s1! Create_routine_priv:s1! Alter_routine_priv:s1! Create_user_priv:s1! Event_priv:s1! Trigger_priv:s1! Create_tablespace_priv:s1! ssl_type:s9! ssl_cipher:x! x509_issuer:x! x509_subject:x! max_questions:u! max_updates:u! max_connections:u! max_user_connections:u! plugin:s64! authentication_string:t password_expired:s1! password_last_changed:ts password_lifetime:u account_locked:s1! Create_role_priv:s1! Drop_role_priv:s1! Password_reuse_history:u Password_reuse_time:u Password_require_current:s1 User_attributes:j",
];

/// All made-up tables, by database and name.
pub fn all() -> &'static [VirtualTable] {
    static ALL: LazyLock<Vec<VirtualTable>> = LazyLock::new(|| {
        let of = |database: &'static str, lines: &'static [&'static str]| {
            lines.iter().map(move |line| table(database, line)).collect::<Vec<_>>()
        };
        let mut all = of("information_schema", INFORMATION_SCHEMA);
        all.extend(of("mysql", MYSQL));
        all.extend(of("performance_schema", PERFORMANCE_SCHEMA));
        all
    });
    &ALL
}

fn table(database: &'static str, line: &'static str) -> VirtualTable {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let columns = words
        .map(|word| {
            let (name, ty) = word.split_once(':').unwrap_or((word, "t"));
            VirtualColumn { name, ty: column_type(ty) }
        })
        .collect();
    VirtualTable { database, name, columns }
}

/// Names of databases and tables compare by case, as files do where lower_case_table_names is 0.
const NAME_COLLATION: CollationId = CollationId(83);

fn column_type(word: &str) -> MysqlType {
    let (word, nullable) = match word.strip_suffix('!') {
        Some(word) => (word, false),
        None => (word, true),
    };
    let int = |bytes, unsigned| TypeKind::Int { bytes, unsigned, display: IntDisplay::default() };
    let length = || word[1..].parse().unwrap_or(64);
    let ty = match word {
        "t" => MysqlType::text(TypeKind::Text { size: BlobSize::Long }, CollationId::UTF8MB3_GENERAL_CI),
        "ts" => MysqlType::new(TypeKind::Timestamp { fsp: 0 }),
        "i" => MysqlType::new(int(4, false)),
        "u" => MysqlType::new(int(4, true)),
        "b" => MysqlType::new(int(8, false)),
        "B" => MysqlType::new(int(8, true)),
        "d" => MysqlType::new(TypeKind::DateTime { fsp: 0 }),
        "f" => MysqlType::double(),
        "j" => MysqlType::new(TypeKind::Json),
        "x" => MysqlType::new(TypeKind::VarBinary { length: 0 }),
        _ if word.starts_with('n') => MysqlType::varchar(length(), NAME_COLLATION),
        _ => MysqlType::varchar(length(), CollationId::UTF8MB3_GENERAL_CI),
    };
    ty.with_nullable(nullable)
}
