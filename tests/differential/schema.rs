//! Tables of a round: their columns, keys and what values are put into them.
//!
//! Every table has `id INT NOT NULL`, unique by itself, so that orders can be made total, and `k INT`, so that tables can
//! be joined by USING and NATURAL.

use crate::tree::Kind;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

#[derive(Debug, Clone)]
pub enum Type {
    Int { sql: &'static str, bits: u32, unsigned: bool },
    Decimal { precision: u32, scale: u32 },
    Double,
    Text { sql: String, characters: usize },
    Binary { sql: String, bytes: usize },
    Date,
    DateTime { digits: u32 },
    Timestamp { digits: u32 },
    Time { digits: u32 },
    Year,
    Enum,
    Set,
    Bit { bits: u32 },
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub of: Type,
    pub not_null: bool,
    /// The whole expression of a generated column.
    pub generated: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    pub create: String,
}

/// Of those that MySQL and MariaDB have in common. One for all texts of a round and for its literals: what is computed
/// from columns of several has none.
pub const COLLATIONS: [&str; 3] = ["utf8mb4_general_ci", "utf8mb4_bin", "utf8mb4_unicode_ci"];

const TEXTS: [&str; 22] = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "aab",
    "x y",
    "1",
    "12",
    "-3",
    "1.5",
    "0",
    "2e1",
    "z",
    "ba",
    "a b c",
    "%",
    "a_b",
    "é",
    "bb",
    "7up",
    "2024-02-29",
];
/// What a collation or padding takes for one of the above.
const VARIANTS: [&str; 6] = ["A", "AB", "a ", "ab  ", "É", "B"];
const DATES: [&str; 10] = [
    "2024-02-29",
    "2023-12-31",
    "2024-01-01",
    "1999-12-31",
    "2000-02-28",
    "1970-01-02",
    "2037-11-30",
    "2024-03-01",
    "2023-05-03",
    "9998-12-31",
];
const TIMES: [&str; 8] =
    ["00:00:00", "12:34:56.5", "23:59:59.999999", "01:02:03", "12:00:00", "08:09:10.25", "23:59:59", "05:30:00.000001"];

pub fn text(random: &mut StdRng, variants: bool) -> &'static str {
    match variants && random.random_bool(0.3) {
        true => VARIANTS.choose(random).unwrap(),
        false => TEXTS.choose(random).unwrap(),
    }
}

pub fn date(random: &mut StdRng) -> &'static str {
    DATES.choose(random).unwrap()
}

/// None that is rounded to beyond year 9999.
pub fn datetime(random: &mut StdRng) -> String {
    format!("{} {}", date(random).replace("9998", "2030"), TIMES.choose(random).unwrap())
}

pub fn time(random: &mut StdRng) -> String {
    match random.random_range(0..6) {
        0 => "-01:30:00".to_owned(),
        1 => "100:00:01".to_owned(),
        _ => (*TIMES.choose(random).unwrap()).to_owned(),
    }
}

impl Type {
    fn any(random: &mut StdRng, collation: &str) -> Type {
        let unsigned = random.random_bool(0.3);
        let int = |sql, bits| Type::Int { sql, bits, unsigned };
        let text = |sql: &str, characters| Type::Text { sql: format!("{sql} COLLATE {collation}"), characters };
        match random.random_range(0..26) {
            0 => int("TINYINT", 8),
            1 => int("SMALLINT", 16),
            2 => int("MEDIUMINT", 24),
            3 | 4 => int("INT", 32),
            5 | 6 => int("BIGINT", 64),
            7 => Type::Decimal { precision: 10, scale: 2 },
            8 => Type::Decimal { precision: 5, scale: 0 },
            9 => Type::Decimal { precision: 20, scale: 6 },
            10 | 11 => Type::Double,
            12 | 13 => text("VARCHAR(20)", 20),
            14 => text("CHAR(5)", 5),
            15 => text("TEXT", 100),
            16 => Type::Binary { sql: "VARBINARY(8)".to_owned(), bytes: 8 },
            17 => Type::Binary { sql: "BINARY(3)".to_owned(), bytes: 3 },
            18 | 19 => Type::Date,
            20 => Type::DateTime { digits: *[0, 3, 6].choose(random).unwrap() },
            21 => Type::Timestamp { digits: *[0, 6].choose(random).unwrap() },
            22 => Type::Time { digits: *[0, 2, 6].choose(random).unwrap() },
            23 => Type::Year,
            24 => [Type::Enum, Type::Set].choose(random).unwrap().clone(),
            _ => Type::Bit { bits: *[1, 8, 12].choose(random).unwrap() },
        }
    }

    pub fn sql(&self) -> String {
        match self {
            Type::Int { sql, unsigned, .. } => format!("{sql}{}", if *unsigned { " UNSIGNED" } else { "" }),
            Type::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Type::Double => "DOUBLE".to_owned(),
            Type::Text { sql, .. } | Type::Binary { sql, .. } => sql.clone(),
            Type::Date => "DATE".to_owned(),
            Type::DateTime { digits } => format!("DATETIME({digits})"),
            Type::Timestamp { digits } => format!("TIMESTAMP({digits}) NULL"),
            Type::Time { digits } => format!("TIME({digits})"),
            Type::Year => "YEAR".to_owned(),
            Type::Enum => "ENUM('a','b','zz','1')".to_owned(),
            Type::Set => "SET('a','b','c')".to_owned(),
            Type::Bit { bits } => format!("BIT({bits})"),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Type::Int { .. } | Type::Year | Type::Bit { .. } => Kind::Int,
            Type::Decimal { .. } => Kind::Decimal,
            Type::Double => Kind::Double,
            Type::Text { .. } | Type::Enum | Type::Set => Kind::Text,
            Type::Binary { .. } => Kind::Binary,
            Type::Date => Kind::Date,
            Type::DateTime { .. } | Type::Timestamp { .. } => Kind::DateTime,
            Type::Time { .. } => Kind::Time,
        }
    }

    /// A value that the column takes.
    pub fn value(&self, random: &mut StdRng, variants: bool) -> String {
        match self {
            Type::Int { bits, unsigned, .. } => {
                let edge = random.random_range(0..if *bits == 64 { 24 } else { 12 });
                let maximum = if *unsigned { u64::MAX >> (64 - bits) } else { (u64::MAX >> (64 - bits)) >> 1 };
                match edge {
                    0 => maximum.to_string(),
                    1 if !unsigned => format!("-{}", maximum + 1),
                    2 => (maximum / 2).to_string(),
                    _ if *unsigned => random.random_range(0..9).to_string(),
                    _ => random.random_range(-4..9).to_string(),
                }
            }
            Type::Decimal { scale: 0, .. } => random.random_range(-20..20).to_string(),
            Type::Decimal { precision, scale } => match random.random_range(0..12) {
                0 => format!("-{}.{}", "9".repeat((precision - scale) as usize), "9".repeat(*scale as usize)),
                1 => format!("0.{}1", "0".repeat(*scale as usize - 1)),
                _ => format!("{}.{}", random.random_range(-9..30), ["0", "5", "25", "10"].choose(random).unwrap()),
            },
            Type::Double => match random.random_range(0..16) {
                0 => "1e15".to_owned(),
                1 => "-0.001".to_owned(),
                _ => format!("{}e0", f64::from(random.random_range(-12..24)) / 4.0),
            },
            Type::Text { characters, .. } => {
                let value = text(random, variants);
                format!("'{}'", value.chars().take(*characters).collect::<String>())
            }
            Type::Binary { bytes, .. } => {
                let value = text(random, false).as_bytes();
                format!("X'{}'", hex(&value[..value.len().min(*bytes)]))
            }
            Type::Date => format!("'{}'", date(random)),
            Type::DateTime { .. } => format!("'{}'", datetime(random)),
            Type::Timestamp { .. } => {
                format!("'{}'", datetime(random))
            }
            Type::Time { .. } => format!("'{}'", time(random)),
            Type::Year => ["2024", "1999", "2000", "2155", "1970"].choose(random).unwrap().to_string(),
            Type::Enum => ["'a'", "'b'", "'zz'", "'1'"].choose(random).unwrap().to_string(),
            Type::Set => ["''", "'a'", "'a,b'", "'b,c'", "'c'"].choose(random).unwrap().to_string(),
            Type::Bit { bits } => random.random_range(0..(1_u32 << bits)).to_string(),
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

impl Column {
    fn plain(name: &str, of: Type, not_null: bool) -> Column {
        Column { name: name.to_owned(), of, not_null, generated: None }
    }

    pub fn value(&self, random: &mut StdRng, variants: bool) -> String {
        if !self.not_null && random.random_bool(0.2) {
            return "NULL".to_owned();
        }
        self.of.value(random, variants)
    }
}

impl Table {
    pub fn any(name: &str, random: &mut StdRng, collation: &str) -> Table {
        let int = || Type::Int { sql: "INT", bits: 32, unsigned: false };
        let mut columns = vec![Column::plain("id", int(), true), Column::plain("k", int(), false)];
        for at in 0..random.random_range(2..7) {
            let of = Type::any(random, collation);
            // MariaDB makes the time of day of a NULL for such a TIMESTAMP.
            let not_null = random.random_bool(0.25) && !matches!(of, Type::Timestamp { .. });
            columns.push(Column::plain(&format!("{name}_c{at}"), of, not_null));
        }
        if random.random_bool(0.3) {
            columns.push(generated(name, random));
        }
        let create = create(name, &columns, random, collation);
        Table { name: name.to_owned(), columns, create }
    }

    pub fn rows(&self, random: &mut StdRng, first_id: u32, count: u32, variants: bool) -> String {
        let stored: Vec<&Column> = self.columns.iter().filter(|column| column.generated.is_none()).collect();
        let names: Vec<&str> = stored.iter().map(|column| column.name.as_str()).collect();
        let mut row = |id: u32| {
            let value = |column: &&Column| match column.name.as_str() {
                "id" => id.to_string(),
                "k" => random.random_range(0..6).to_string(),
                _ => column.value(random, variants),
            };
            format!("({})", stored.iter().map(value).collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = (first_id..first_id + count).map(&mut row).collect();
        // Rows that a unique key refuses are left out, by both servers the same ones.
        format!("INSERT IGNORE INTO {} ({}) VALUES {}", self.name, names.join(", "), rows.join(", "))
    }
}

fn generated(name: &str, random: &mut StdRng) -> Column {
    let (of, expression) = match random.random_range(0..3) {
        0 => (Type::Int { sql: "BIGINT", bits: 64, unsigned: false }, "k * 2 + id"),
        1 => (Type::Text { sql: "VARCHAR(40)".to_owned(), characters: 40 }, "CONCAT('g', k)"),
        _ => (Type::Decimal { precision: 20, scale: 3 }, "id / 4"),
    };
    let stored = ["STORED", "VIRTUAL"].choose(random).unwrap();
    let generated = Some(format!("GENERATED ALWAYS AS ({expression}) {stored}"));
    Column { name: format!("{name}_g"), of, not_null: false, generated }
}

fn create(name: &str, columns: &[Column], random: &mut StdRng, collation: &str) -> String {
    let define = |column: &Column| match &column.generated {
        Some(generated) => format!("{} {} {generated}", column.name, column.of.sql()),
        None => {
            let null = if column.not_null { " NOT NULL" } else { "" };
            format!("{} {}{null}", column.name, column.of.sql())
        }
    };
    let mut parts: Vec<String> = columns.iter().map(define).collect();
    let of_key = |column: &Column| match &column.of {
        Type::Text { sql, .. } if sql.starts_with("TEXT") => format!("{}(4)", column.name),
        Type::Text { sql, .. } if sql.starts_with("VARCHAR(20)") && name.ends_with('1') => {
            format!("{}(3)", column.name)
        }
        _ => column.name.clone(),
    };
    // MariaDB looks texts up in indexes of ENUM and SET, and takes NULL there for no answer.
    let has_number = |column: &&Column| matches!(column.of, Type::Enum | Type::Set);
    let own: Vec<&Column> = columns[2..].iter().filter(|column| !has_number(column)).collect();
    match own.iter().find(|column| column.not_null && column.generated.is_none()) {
        Some(first) if random.random_bool(0.4) => {
            parts.push(format!("PRIMARY KEY ({}, id)", of_key(first)));
            parts.push("UNIQUE KEY by_id (id)".to_owned());
        }
        _ => parts.push("PRIMARY KEY (id)".to_owned()),
    }
    for at in 0..random.random_range(0..4) {
        let Some(first) = own.choose(random) else { continue };
        let mut key = vec![of_key(first)];
        if random.random_bool(0.4) {
            let second = columns.choose(random).unwrap();
            if second.name != first.name && !has_number(&second) {
                key.push(of_key(second));
            }
        }
        let unique = if random.random_bool(0.25) { "UNIQUE " } else { "" };
        parts.push(format!("{unique}KEY i{at} ({})", key.join(", ")));
    }
    if random.random_bool(0.5) {
        parts.push("KEY by_k (k)".to_owned());
    }
    format!("CREATE TABLE {name} ({}) DEFAULT CHARSET = utf8mb4 COLLATE = {collation}", parts.join(", "))
}
