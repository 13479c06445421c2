use super::*;
use crate::catalog::schema::{GeneratedDef, IndexPart};
use common::id::{ColumnId, CounterId, IndexId, Lsn, TableId};
use expr::mysql_type::{BlobSize, IntDisplay, MysqlType};

fn column(id: u16, name: &str, ty: MysqlType, default: ColumnDefault) -> ColumnDef {
    ColumnDef {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        default,
        on_update_now: false,
        auto_increment: false,
        generated: None,
        comment: String::new(),
        invisible: false,
        added_default: None,
    }
}

fn index(id: u32, name: &str, unique: bool, columns: &[u16]) -> IndexDef {
    let part = |id: &u16| IndexPart { column: ColumnId(*id), prefix: None, descending: false };
    IndexDef {
        id: IndexId(id),
        name: name.to_owned(),
        unique,
        parts: columns.iter().map(part).collect(),
        kind: IndexKind::Btree,
        comment: String::new(),
        invisible: false,
        building: false,
    }
}

fn table() -> TableDef {
    let int = MysqlType::new(TypeKind::Int { bytes: 4, unsigned: true, display: IntDisplay::default() });
    let text = |kind| MysqlType::text(kind, CollationId::UTF8MB4_UNICODE_CI);
    let mut id = column(1, "id", int.clone().with_nullable(false), ColumnDefault::None);
    id.auto_increment = true;
    let mut name =
        column(2, "na`me", text(TypeKind::VarChar { length: 20 }), ColumnDefault::Literal("it's".to_owned()));
    name.comment = "who".to_owned();
    let mut changed =
        column(4, "changed", MysqlType::new(TypeKind::Timestamp { fsp: 3 }).with_nullable(true), ColumnDefault::Now);
    changed.on_update_now = true;
    let mut twice = column(5, "twice", int, ColumnDefault::None);
    twice.generated = Some(GeneratedDef { expression: "(`id` + 1) * (2)".to_owned(), stored: true });
    let mut by_name = index(2, "by_name", false, &[2]);
    by_name.parts[0].prefix = Some(5);
    by_name.parts[0].descending = true;
    TableDef {
        id: TableId(7),
        database: "shop".to_owned(),
        name: "t".to_owned(),
        columns: vec![
            id,
            name,
            column(3, "note", text(TypeKind::Text { size: BlobSize::Normal }), ColumnDefault::None),
            changed,
            twice,
            column(
                6,
                "code",
                MysqlType::text(TypeKind::Char { length: 2 }, CollationId::LATIN1_SWEDISH_CI),
                ColumnDefault::None,
            ),
        ],
        indexes: vec![index(0, "PRIMARY", true, &[1]), index(1, "u", true, &[4, 5]), by_name],
        foreign_keys: vec![ForeignKeyDef {
            name: "fk".to_owned(),
            columns: vec![ColumnId(5)],
            parent_database: "shop".to_owned(),
            parent_table: "p".to_owned(),
            parent_columns: vec!["id".to_owned()],
            on_delete: ReferentialAction::Cascade,
            on_update: ReferentialAction::NoAction,
        }],
        checks: vec![CheckDef { name: "c".to_owned(), expression: "`id` > 0".to_owned(), enforced: false }],
        collation: CollationId::UTF8MB4_UNICODE_CI,
        comment: "all".to_owned(),
        engine: "InnoDB".to_owned(),
        options: vec!["ROW_FORMAT=DYNAMIC".to_owned()],
        partitioning: None,
        counter: CounterId(7),
        next_column: 7,
        next_index: 3,
        create_time: 0,
        version: Lsn::ZERO,
    }
}

#[test]
fn create_table_has_mysqls_layout() {
    let expected = "\
CREATE TABLE `t` (
  `id` int unsigned NOT NULL AUTO_INCREMENT,
  `na``me` varchar(20) COLLATE utf8mb4_unicode_ci DEFAULT 'it''s' COMMENT 'who',
  `note` text COLLATE utf8mb4_unicode_ci,
  `changed` timestamp(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  `twice` int unsigned GENERATED ALWAYS AS ((`id` + 1) * (2)) STORED,
  `code` char(2) CHARACTER SET latin1 DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`changed`,`twice`),
  KEY `by_name` (`na``me`(5) DESC),
  CONSTRAINT `fk` FOREIGN KEY (`twice`) REFERENCES `p` (`id`) ON DELETE CASCADE,
  CONSTRAINT `c` CHECK ((`id` > 0)) /*!80016 NOT ENFORCED */
) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci ROW_FORMAT=DYNAMIC COMMENT='all'";
    assert_eq!(table_text(&table(), Some(12)), expected);
    assert!(!table_text(&table(), Some(1)).contains("AUTO_INCREMENT=1"));
}

#[test]
fn parentheses_are_added_only_where_they_are_missing() {
    for (text, expected) in
        [("a + 1", "(a + 1)"), ("(a + 1)", "(a + 1)"), ("(a) + (b)", "((a) + (b))"), ("(')' = a)", "(')' = a)")]
    {
        assert_eq!(parenthesised(text), expected);
    }
}
