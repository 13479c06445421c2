//! Tables about the server: character sets, engines, sessions, variables.

use crate::account::Privileges;
use crate::catalog::virtual_tables::{VirtualContext, keywords, number, optional, text};
use expr::collation::{COLLATIONS, Charset, Pad};
use expr::function::fulltext::STOPWORDS;
use expr::value::{Row, Value};

/// Names, support, comments and abilities of storage engines: all tables are stored in one way, whatever they say.
pub const ENGINES: &[[&str; 6]] = &[
    ["InnoDB", "DEFAULT", "Supports transactions, row-level locking, and foreign keys", "YES", "NO", "YES"],
    ["MyISAM", "YES", "Stored as InnoDB", "YES", "NO", "YES"],
    ["MEMORY", "YES", "Stored as InnoDB", "YES", "NO", "YES"],
];

pub(super) fn information_schema(name: &str, context: &VirtualContext) -> Vec<Row> {
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
        "INNODB_FT_DEFAULT_STOPWORD" => STOPWORDS.iter().map(|word| vec![text(word)]).collect(),
        "KEYWORDS" => keywords::all().map(|(word, reserved)| vec![text(word), number(i64::from(reserved))]).collect(),
        "PLUGINS" => ["mysql_native_password", "caching_sha2_password"].iter().map(|name| plugin(name)).collect(),
        "PROCESSLIST" => processes(context, 8),
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
    let viewer = &context.viewer;
    let seen = |process: &crate::catalog::virtual_tables::Process| {
        viewer.global().has(Privileges::PROCESS) || process.user == viewer.account.user
    };
    context.server.processes().into_iter().filter(seen).map(row).collect()
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
