//! Privileges: static ones as a set of bits, dynamic ones by name. Manual: "Privileges Provided by MySQL" (8.2.2).

use serde::{Deserialize, Serialize};
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of static privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Privileges(pub u64);

/// One static privilege.
pub struct Named {
    pub privilege: Privileges,
    /// In GRANT.
    pub sql: &'static str,
    /// Column of mysql.user and mysql.db.
    pub column: &'static str,
    /// Member of the sets in mysql.tables_priv.
    pub member: &'static str,
}

macro_rules! privileges {
    ($($name:ident $bit:literal $sql:literal $column:literal $member:literal,)*) => {
        impl Privileges {
            $(pub const $name: Privileges = Privileges(1 << $bit);)*
        }

        /// In the order in which SHOW GRANTS lists them.
        pub const STATIC: &[Named] = &[
            $(Named { privilege: Privileges::$name, sql: $sql, column: $column, member: $member },)*
        ];
    };
}

privileges! {
    SELECT 0 "SELECT" "Select_priv" "Select",
    INSERT 1 "INSERT" "Insert_priv" "Insert",
    UPDATE 2 "UPDATE" "Update_priv" "Update",
    DELETE 3 "DELETE" "Delete_priv" "Delete",
    CREATE 4 "CREATE" "Create_priv" "Create",
    DROP 5 "DROP" "Drop_priv" "Drop",
    RELOAD 6 "RELOAD" "Reload_priv" "",
    SHUTDOWN 7 "SHUTDOWN" "Shutdown_priv" "",
    PROCESS 8 "PROCESS" "Process_priv" "",
    FILE 9 "FILE" "File_priv" "",
    GRANT_OPTION 10 "GRANT OPTION" "Grant_priv" "Grant",
    REFERENCES 11 "REFERENCES" "References_priv" "References",
    INDEX 12 "INDEX" "Index_priv" "Index",
    ALTER 13 "ALTER" "Alter_priv" "Alter",
    SHOW_DATABASES 14 "SHOW DATABASES" "Show_db_priv" "",
    SUPER 15 "SUPER" "Super_priv" "",
    CREATE_TEMPORARY_TABLES 16 "CREATE TEMPORARY TABLES" "Create_tmp_table_priv" "",
    LOCK_TABLES 17 "LOCK TABLES" "Lock_tables_priv" "",
    EXECUTE 18 "EXECUTE" "Execute_priv" "Execute",
    REPLICATION_SLAVE 19 "REPLICATION SLAVE" "Repl_slave_priv" "",
    REPLICATION_CLIENT 20 "REPLICATION CLIENT" "Repl_client_priv" "",
    CREATE_VIEW 21 "CREATE VIEW" "Create_view_priv" "Create View",
    SHOW_VIEW 22 "SHOW VIEW" "Show_view_priv" "Show View",
    CREATE_ROUTINE 23 "CREATE ROUTINE" "Create_routine_priv" "",
    ALTER_ROUTINE 24 "ALTER ROUTINE" "Alter_routine_priv" "Alter Routine",
    CREATE_USER 25 "CREATE USER" "Create_user_priv" "",
    EVENT 26 "EVENT" "Event_priv" "",
    TRIGGER 27 "TRIGGER" "Trigger_priv" "Trigger",
    CREATE_TABLESPACE 28 "CREATE TABLESPACE" "Create_tablespace_priv" "",
    CREATE_ROLE 29 "CREATE ROLE" "Create_role_priv" "",
    DROP_ROLE 30 "DROP ROLE" "Drop_role_priv" "",
}

impl Privileges {
    pub const NONE: Privileges = Privileges(0);
    /// All there are, GRANT OPTION included.
    pub const ALL: Privileges = Privileges((1 << 31) - 1);
    /// What GRANT ... ON db.* takes.
    pub const OF_DATABASE: Privileges = Privileges(
        Self::OF_TABLE.0
            | Self::CREATE_TEMPORARY_TABLES.0
            | Self::LOCK_TABLES.0
            | Self::EXECUTE.0
            | Self::CREATE_ROUTINE.0
            | Self::ALTER_ROUTINE.0
            | Self::EVENT.0,
    );
    pub const OF_TABLE: Privileges = Privileges(
        Self::SELECT.0
            | Self::INSERT.0
            | Self::UPDATE.0
            | Self::DELETE.0
            | Self::CREATE.0
            | Self::DROP.0
            | Self::GRANT_OPTION.0
            | Self::REFERENCES.0
            | Self::INDEX.0
            | Self::ALTER.0
            | Self::CREATE_VIEW.0
            | Self::SHOW_VIEW.0
            | Self::TRIGGER.0,
    );
    pub const OF_COLUMN: Privileges = Privileges(Self::SELECT.0 | Self::INSERT.0 | Self::UPDATE.0 | Self::REFERENCES.0);
    pub const OF_ROUTINE: Privileges = Privileges(Self::EXECUTE.0 | Self::ALTER_ROUTINE.0 | Self::GRANT_OPTION.0);

    /// All of `other`.
    pub fn has(self, other: Privileges) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn has_any(self, other: Privileges) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn without(self, other: Privileges) -> Privileges {
        Privileges(self.0 & !other.0)
    }

    /// Those in the set, in the order of SHOW GRANTS.
    pub fn iter(self) -> impl Iterator<Item = &'static Named> {
        STATIC.iter().filter(move |named| self.has(named.privilege))
    }

    /// By the words of GRANT, in upper case.
    pub fn by_sql(words: &str) -> Option<Privileges> {
        STATIC.iter().find(|named| named.sql == words).map(|named| named.privilege)
    }

    /// `SELECT, INSERT`.
    pub fn list(self) -> String {
        self.iter().map(|named| named.sql).collect::<Vec<_>>().join(", ")
    }
}

impl BitOr for Privileges {
    type Output = Privileges;

    fn bitor(self, other: Privileges) -> Privileges {
        Privileges(self.0 | other.0)
    }
}

impl BitOrAssign for Privileges {
    fn bitor_assign(&mut self, other: Privileges) {
        self.0 |= other.0;
    }
}

impl BitAnd for Privileges {
    type Output = Privileges;

    fn bitand(self, other: Privileges) -> Privileges {
        Privileges(self.0 & other.0)
    }
}

impl Not for Privileges {
    type Output = Privileges;

    fn not(self) -> Privileges {
        Privileges::ALL.without(self)
    }
}

/// Dynamic privileges that may be granted, sorted.
pub const DYNAMIC: &[&str] = &[
    "ALLOW_NONEXISTENT_DEFINER",
    "APPLICATION_PASSWORD_ADMIN",
    "AUDIT_ABORT_EXEMPT",
    "AUDIT_ADMIN",
    "AUTHENTICATION_POLICY_ADMIN",
    "BACKUP_ADMIN",
    "BINLOG_ADMIN",
    "BINLOG_ENCRYPTION_ADMIN",
    "CLONE_ADMIN",
    "CONNECTION_ADMIN",
    "ENCRYPTION_KEY_ADMIN",
    "FIREWALL_EXEMPT",
    "FLUSH_OPTIMIZER_COSTS",
    "FLUSH_PRIVILEGES",
    "FLUSH_STATUS",
    "FLUSH_TABLES",
    "FLUSH_USER_RESOURCES",
    "GROUP_REPLICATION_ADMIN",
    "GROUP_REPLICATION_STREAM",
    "INNODB_REDO_LOG_ARCHIVE",
    "INNODB_REDO_LOG_ENABLE",
    "OPTIMIZE_LOCAL_TABLE",
    "PASSWORDLESS_USER_ADMIN",
    "PERSIST_RO_VARIABLES_ADMIN",
    "REPLICATION_APPLIER",
    "REPLICATION_SLAVE_ADMIN",
    "RESOURCE_GROUP_ADMIN",
    "RESOURCE_GROUP_USER",
    "ROLE_ADMIN",
    "SENSITIVE_VARIABLES_OBSERVER",
    "SERVICE_CONNECTION_ADMIN",
    "SESSION_VARIABLES_ADMIN",
    "SET_ANY_DEFINER",
    "SHOW_ROUTINE",
    "SYSTEM_USER",
    "SYSTEM_VARIABLES_ADMIN",
    "TABLE_ENCRYPTION_ADMIN",
    "TELEMETRY_LOG_ADMIN",
    "TRANSACTION_GTID_TAG",
    "XA_RECOVER_ADMIN",
];

/// Whether a dynamic privilege of this name, in upper case, can be granted.
pub fn is_dynamic(name: &str) -> bool {
    DYNAMIC.binary_search(&name).is_ok()
}
