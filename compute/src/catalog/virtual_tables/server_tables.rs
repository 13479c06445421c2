//! Tables about the server: character sets, engines, privileges, sessions, variables, accounts.

use crate::catalog::Catalog;
use crate::catalog::virtual_tables::schema_tables::CATALOG;
use crate::catalog::virtual_tables::{VirtualContext, keywords, lookup, number, optional, text};
use expr::collation::{COLLATIONS, Charset, Pad};
use expr::value::{Row, Value};

/// Privileges that an account with all of them has, as USER_PRIVILEGES and mysql.user name them.
const PRIVILEGES: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "RELOAD",
    "SHUTDOWN",
    "PROCESS",
    "FILE",
    "REFERENCES",
    "INDEX",
    "ALTER",
    "SHOW DATABASES",
    "SUPER",
    "CREATE TEMPORARY TABLES",
    "LOCK TABLES",
    "EXECUTE",
    "REPLICATION SLAVE",
    "REPLICATION CLIENT",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "CREATE USER",
    "EVENT",
    "TRIGGER",
    "CREATE TABLESPACE",
    "CREATE ROLE",
    "DROP ROLE",
];

/// Names, support, comments and abilities of storage engines: all tables are stored in one way, whatever they say.
pub const ENGINES: &[[&str; 6]] = &[
    ["InnoDB", "DEFAULT", "Supports transactions, row-level locking, and foreign keys", "YES", "NO", "YES"],
    ["MyISAM", "YES", "Stored as InnoDB", "YES", "NO", "YES"],
    ["MEMORY", "YES", "Stored as InnoDB", "YES", "NO", "YES"],
];

pub(super) fn information_schema(name: &str, _catalog: &Catalog, context: &VirtualContext) -> Vec<Row> {
    match name {
        "CHARACTER_SETS" => Charset::ALL
            .iter()
            .map(|charset| {
                vec![
                    text(charset.name()),
                    text(charset.default_collation().name()),
                    text(charset.description()),
                    number(charset.bytes_max()),
                ]
            })
            .collect(),
        "COLLATIONS" => COLLATIONS
            .iter()
            .map(|collation| {
                vec![
                    text(collation.name),
                    text(collation.charset.name()),
                    Value::UInt(collation.id.0.into()),
                    text(if collation.is_default { "Yes" } else { "" }),
                    text("Yes"),
                    number(collation.sort_length),
                    text(if collation.pad == Pad::Space { "PAD SPACE" } else { "NO PAD" }),
                ]
            })
            .collect(),
        "COLLATION_CHARACTER_SET_APPLICABILITY" => {
            COLLATIONS.iter().map(|collation| vec![text(collation.name), text(collation.charset.name())]).collect()
        }
        "ENGINES" => ENGINES.iter().map(|engine| engine.iter().map(text).collect()).collect(),
        "KEYWORDS" => keywords::all().map(|(word, reserved)| vec![text(word), number(i64::from(reserved))]).collect(),
        "PLUGINS" => ["mysql_native_password", "caching_sha2_password"].iter().map(|name| plugin(name)).collect(),
        "PROCESSLIST" => processes(context, 8),
        "USER_PRIVILEGES" => {
            let mut rows = Vec::new();
            for (user, host) in context.server.accounts() {
                let grantee = format!("'{user}'@'{host}'");
                let row = |privilege: &&str| vec![text(&grantee), text(CATALOG), text(privilege), text("YES")];
                rows.extend(PRIVILEGES.iter().map(row));
            }
            rows
        }
        "USER_ATTRIBUTES" => {
            context.server.accounts().iter().map(|(user, host)| vec![text(user), text(host), Value::Null]).collect()
        }
        // Triggers, routines, events, files: there are none.
        _ => Vec::new(),
    }
}

fn plugin(name: &str) -> Row {
    vec![
        text(name),
        text("1.0"),
        text("ACTIVE"),
        text("AUTHENTICATION"),
        text("2.1"),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        text("Apache-2.0"),
        text("FORCE"),
    ]
}

fn processes(context: &VirtualContext, width: usize) -> Vec<Row> {
    let row = |process: crate::catalog::virtual_tables::Process| {
        let mut row = vec![
            Value::UInt(process.id),
            text(process.user),
            text(process.host),
            optional(process.database),
            text(process.command),
            number(process.seconds),
            optional(process.state),
            optional(process.info),
        ];
        row.resize_with(width, || text("PRIMARY"));
        row
    };
    context.server.processes().into_iter().map(row).collect()
}

pub(super) fn performance_schema(name: &str, context: &VirtualContext) -> Vec<Row> {
    let pairs = match name {
        "global_variables" => context.server.variables(true),
        "session_variables" => context.server.variables(false),
        "global_status" => context.server.status(true),
        "session_status" => context.server.status(false),
        "processlist" => return processes(context, 9),
        _ => return Vec::new(),
    };
    pairs.into_iter().map(|(name, value)| vec![text(name), text(value)]).collect()
}

pub(super) fn mysql(name: &str, context: &VirtualContext) -> Vec<Row> {
    let Some(table) = lookup("mysql", name).filter(|table| table.name == "user") else { return Vec::new() };
    let row = |(user, host): (String, String)| {
        let value = |column: &str| match column {
            "Host" => text(&host),
            "User" => text(&user),
            "plugin" => text("caching_sha2_password"),
            "ssl_type" | "authentication_string" => text(""),
            "ssl_cipher" | "x509_issuer" | "x509_subject" => Value::Bytes(Default::default()),
            "max_questions" | "max_updates" | "max_connections" | "max_user_connections" => number(0),
            "password_expired" | "account_locked" => text("N"),
            name if name.ends_with("_priv") => text("Y"),
            _ => Value::Null,
        };
        table.columns.iter().map(|column| value(column.name)).collect()
    };
    context.server.accounts().into_iter().map(row).collect()
}
