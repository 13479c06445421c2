//! Differences that are none of Drumlin's: MariaDB means something else than MySQL 8.4, or both leave it open.
//!
//! Each is as narrow as it can be said, with the reason and where MySQL's manual says it. What is not here fails the test.

use crate::case::Found;
use crate::servers::{Cell, Outcome, Rows};

pub struct Explained {
    pub name: &'static str,
    /// Why Drumlin's answer is MySQL 8.4's, with the section of its manual.
    pub reason: &'static str,
    /// The statement, who differs in what, and the statements that made the tables.
    pub applies: fn(sql: &str, found: &Found, tables: &[String]) -> bool,
}

/// The explanation of a difference, if there is one.
pub fn explanation(sql: &str, found: &Found, tables: &[String]) -> Option<&'static Explained> {
    EXPLAINED.iter().find(|explained| (explained.applies)(sql, found, tables))
}

/// Found by asking MariaDB again: see [`crate::case::Verdict::Contradiction`].
pub const CONTRADICTION: Explained = Explained {
    name: "MariaDB contradicts itself",
    reason: "With its conditions behind what its optimizer does not look into, it answers as Drumlin does (15.2.13 SELECT: \
             WHERE gives the rows for which the condition is true)",
    applies: |_, _, _| false,
};

/// True if MariaDB's answer is Drumlin's with fewer digits after the point.
fn is_rounded(found: &Found) -> bool {
    let [(_, Outcome::Rows(mariadb)), (_, Outcome::Rows(row)), ..] = found.answers.as_slice() else { return false };
    let sorted = |rows: &Rows| {
        let mut rows = rows.rows.clone();
        rows.sort();
        rows.concat()
    };
    let (mariadb, row) = (sorted(mariadb), sorted(row));
    let is = |(short, long): (&Cell, &Cell)| {
        let [short, long] = [short, long].map(|cell| cell.as_ref().map(|bytes| String::from_utf8_lossy(bytes)));
        let (Some(short), Some(long)) = (&short, &long) else { return short == long };
        let (Ok(rounded), Ok(exact)) = (short.parse::<f64>(), long.parse::<f64>()) else { return short == long };
        let decimals = short.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        (rounded - exact).abs() <= 0.5001 * 10f64.powi(-(decimals as i32))
    };
    mariadb.len() == row.len() && mariadb.iter().zip(&row).all(is)
}

/// True if every value that only MariaDB gives is the largest that a number of some digits holds: it has no digit but
/// nines, or is a power of ten where a double is made of them.
fn is_clipped(found: &Found) -> bool {
    let [(_, Outcome::Rows(mariadb)), (_, Outcome::Rows(row)), ..] = found.answers.as_slice() else { return false };
    let ours = row.rows.concat();
    let strange: Vec<Cell> = mariadb.rows.concat().into_iter().filter(|cell| !ours.contains(cell)).collect();
    let clipped = |text: &[u8]| {
        let digits: Vec<u8> = text.iter().copied().filter(|byte| !b"-.".contains(byte)).collect();
        let power_of_ten = digits.strip_prefix(b"1").is_some_and(|rest| rest.iter().all(|digit| *digit == b'0'));
        digits.iter().all(|digit| *digit == b'9') || (digits.len() > 17 || text.contains(&b'e')) && power_of_ten
    };
    !strange.is_empty() && strange.iter().all(|cell| cell.as_ref().is_some_and(|text| clipped(text)))
}

/// True if there is `(SELECT ...) IN (SELECT ...)`, or NOT IN.
fn is_subquery_in_another(sql: &str) -> bool {
    let begins_with_select = |end: usize| {
        let mut depth = 0;
        let open = sql[..end].char_indices().rev().find(|(_, character)| {
            depth += i32::from(*character == ')') - i32::from(*character == '(');
            depth == 0
        });
        open.is_some_and(|(open, _)| sql[open..].starts_with("(SELECT "))
    };
    [") IN (SELECT ", ") NOT IN (SELECT "]
        .iter()
        .any(|words| sql.match_indices(words).any(|(at, _)| begins_with_select(at + 1)))
}

const EXPLAINED: &[Explained] = &[
    Explained {
        name: "values that are cut fail where a strict statement writes",
        reason: "In strict mode MySQL makes errors of such warnings for the whole statement, MariaDB only for what is stored \
                 (7.1.11 Server SQL Modes, strict SQL mode)",
        applies: |_, found, _| {
            [1292, 1264, 1441].iter().any(|code| found.label == format!("write: no error, error {code}"))
        },
    },
    Explained {
        name: "which of two errors of an UPDATE comes first",
        reason: "MariaDB only warns of values that are cut in WHERE, and goes on to a duplicate key or a NULL; Drumlin finds a batch of rows \
                 before it changes the first of them (docs/compatibility.md)",
        applies: |sql, found, _| {
            [
                "write: error 1062, error 1292",
                "write: error 1062, error 1441",
                "write: error 1048, error 1292",
                "write: error 1265, error 1441",
            ]
            .contains(&found.label.as_str())
                && sql.starts_with("UPDATE ")
        },
    },
    Explained {
        name: "which of two errors of an UPDATE of joined tables comes first",
        reason: "MySQL computes the new values of all rows first where another table is read before the one that it changes, \
                 which is the optimizer's choice (15.2.17 UPDATE); Drumlin does so for a batch of rows",
        applies: |sql, found, _| {
            found.label == "write: error 1062, error 1264" && sql.starts_with("UPDATE ") && sql.contains(" JOIN ")
        },
    },
    Explained {
        name: "a unique key while rows of joined tables change",
        reason: "Rows change in the order of the join, which is the optimizer's choice, and one may meet what another has not left yet \
                 (15.2.17 UPDATE: ORDER BY is for single tables)",
        applies: |sql, found, _| {
            ["write: no error, error 1062", "write: error 1062, no error"].contains(&found.label.as_str())
                && sql.starts_with("UPDATE ")
                && sql.contains(" JOIN ")
        },
    },
    Explained {
        name: "zero and minus zero",
        reason: "A row that has -0 for 0 is a changed one to MySQL, which compares the bytes of both (15.2.17 UPDATE: rows that were \
                 actually changed)",
        applies: |sql, found, tables| {
            found.label == "write: affected rows"
                && sql.starts_with("UPDATE ")
                && sql.contains("(- ")
                && tables.iter().any(|create| create.contains(" DOUBLE"))
        },
    },
    Explained {
        name: "a stored zero date that a function cannot use",
        reason: "The function is NULL (14.7 Date and Time Functions: incomplete dates); only a text that is no date is an error \
                 where a strict statement writes",
        applies: |sql, found, _| {
            let zero = |outcome: &Outcome| outcome.text().contains("Incorrect datetime value: '0000-00-00");
            found.label == "write: error 1292, no error"
                && found.answers.iter().any(|(_, outcome)| zero(outcome))
                && !sql.contains("'0000-00-00")
        },
    },
    Explained {
        name: "a TIMESTAMP before 1970 with IGNORE",
        reason: "MySQL stores the zero value (13.2.2: what is out of range is converted to it), MariaDB fractions of a second \
                 behind the start of 1970",
        applies: |sql, found, tables| {
            let begin = |outcome: &Outcome| outcome.text().contains("1970-01-01 00:00:00.");
            found.label == "contents after write: values"
                && sql.contains(" IGNORE ")
                && tables.iter().any(|create| create.contains(" TIMESTAMP("))
                && found.answers.iter().any(|(name, outcome)| name.starts_with("MariaDB, ") && begin(outcome))
        },
    },
    Explained {
        name: "the memory of a query",
        reason: "Millions of rows are sorted in memory on rows, within what one query may have, and on disk on columns \
                 (docs/compatibility.md)",
        applies: |_, found, _| found.label == "row, analytic: error 1041, no error",
    },
    Explained {
        name: "the empty text as a number",
        reason: "It is 0 and nothing of it is cut, so that no warning becomes an error (14.3 Type Conversion in Expression Evaluation)",
        applies: |_, found, _| {
            let empty = |outcome: &Outcome| outcome.text().contains("Truncated incorrect DOUBLE value: ''");
            found.label.starts_with("write: error 1292, ") && found.answers.iter().any(|(_, outcome)| empty(outcome))
        },
    },
    Explained {
        name: "a constant condition that fails",
        reason: "Whether it is computed before it is known that there is a row is the optimizer's choice, and the empty text as a \
                 number is a warning in MariaDB alone; what the statement does otherwise may have another error",
        applies: |sql, found, _| {
            let without = ["no error", "error 1062"];
            let is = |code: &str| without.iter().any(|other| found.label == format!("write: error {code}, {other}"));
            (is("1292") || is("1441")) && sql.contains(" WHERE ")
        },
    },
    Explained {
        name: "an aggregate of distinct values with ROLLUP",
        reason: "MariaDB counts a constant once for each group below, and adds 10 four times where four groups have it; there is one \
                 distinct value (14.19.2 GROUP BY Modifiers)",
        applies: |sql, found, _| {
            found.label == "MariaDB, row: values"
                && sql.contains("WITH ROLLUP")
                && ["COUNT(DISTINCT ", "SUM(DISTINCT ", "AVG(DISTINCT "].iter().any(|words| sql.contains(words))
        },
    },
    Explained {
        name: "CONVERT_TZ beyond 2038",
        reason: "MySQL converts up to the end of the year 3000, MariaDB up to 2038-01-19 (14.7 Date and Time Functions, CONVERT_TZ)",
        applies: |sql, found, _| {
            let late = |outcome: &Outcome| (2038..3001).any(|year| outcome.text().contains(&format!("{year}-")));
            sql.contains("CONVERT_TZ(") && found.answers.iter().any(|(_, outcome)| late(outcome))
        },
    },
    Explained {
        name: "a table that is changed and read in a subquery",
        reason: "MySQL refuses it with 1093, MariaDB takes it in UPDATE and DELETE (15.2.15.9 Subquery Errors)",
        applies: |_, found, _| found.label == "write: no error, error 1093",
    },
    Explained {
        name: "a subquery looked for in a correlated one",
        reason: "MariaDB answers `(SELECT 1 ...) NOT IN (SELECT 2 ... WHERE outer.c ...)` with 0, and with 1 where the left \
                 subquery's value stands in its place (15.2.15.3 Subqueries with ANY, IN, or SOME)",
        applies: |sql, found, _| {
            found.label.starts_with("write: ") && !found.label.contains("error") && is_subquery_in_another(sql)
        },
    },
    Explained {
        name: "IF and CASE among members as numbers",
        reason: "MySQL asks the ENUM or SET that is chosen for its number, MariaDB for its name (13.3.6 The ENUM Type)",
        applies: |sql, found, tables| {
            ["MariaDB, row: values", "MariaDB, row: number of rows", "write: affected rows"]
                .contains(&found.label.as_str())
                && [" AS DECIMAL", " AS SIGNED", " AS DOUBLE", " * ", " + ", " - ", " / ", "e0 <=> "]
                    .iter()
                    .any(|words| sql.contains(words))
                && ["IF(", "CASE "].iter().any(|words| sql.contains(words))
                && tables.iter().any(|create| create.contains(" ENUM(") || create.contains(" SET("))
        },
    },
    Explained {
        name: "the least of integers with and without a sign as an amount of time, or a position",
        reason: "They have a DECIMAL type in MySQL; MariaDB adds the largest of them as -2 (14.4.2 LEAST)",
        applies: |sql, found, _| {
            found.label.ends_with("values")
                && ["INTERVAL LEAST(", "INTERVAL GREATEST(", "FROM LEAST(", "FROM GREATEST("]
                    .iter()
                    .any(|words| sql.contains(words))
                && ["<<", ">>", " | ", " & ", " ^ ", "~"].iter().any(|words| sql.contains(words))
        },
    },
    Explained {
        name: "the text of a function as a number",
        reason: "MariaDB shows `CAST('1.5' AS CHAR(3)) * 1` without its digits after the point, and four digits of an AVG of \
                 what TIME_FORMAT or HEX gave (12.6.2: a text is a double)",
        applies: |sql, found, _| {
            found.label == "MariaDB, row: values"
                && [" AS CHAR", "TIME_FORMAT(", "HEX("].iter().any(|words| sql.contains(words))
                && is_rounded(found)
        },
    },
    Explained {
        name: "the sign of a time that CASE chooses, as a number",
        reason: "MariaDB's `IF(1, TIME'-01:30:00', t) + 0` is 13000; as a number the time is -13000, and sorts as that (13.2.3 TIME)",
        applies: |sql, found, tables| {
            let times = tables.iter().any(|create| create.contains(" TIME(")) || sql.contains("TIME'-");
            found.label == "MariaDB, row: values"
                && [") + 0", ") * ", ") - ", " AS SIGNED", " AS DECIMAL"].iter().any(|words| sql.contains(words))
                && ["CASE ", "IF(", "IFNULL(", "COALESCE("].iter().any(|words| sql.contains(words))
                && times
        },
    },
    Explained {
        name: "MAKE_SET of a part that is NULL",
        reason: "MariaDB's `MAKE_SET(2, 'a', SUBSTRING(CONCAT('a', '') FROM 1 FOR NULL))` is 'a', of which bit 1 is not set \
                 (14.8 String Functions, MAKE_SET: NULL is not appended)",
        applies: |sql, found, _| found.label.starts_with("MariaDB, row: ") && sql.contains("MAKE_SET("),
    },
    Explained {
        name: "a column that is too short for its values",
        reason: "MariaDB gives what is made of DIV, PERIOD_ADD, YEARWEEK, BIT_COUNT or HEX too few digits where it takes a common type or \
                 sorts, and the largest number of these: `99.99 DIV 1` beside 1.5 is 9.9, and `HEX(1) + -9223372036854775808` \
                 -1e17 (14.5 Type Conversion: the type holds all values)",
        applies: |sql, found, _| {
            ["MariaDB, row: values", "MariaDB, row: number of rows"].contains(&found.label.as_str())
                && [" DIV ", "PERIOD_ADD(", "YEARWEEK(", "BIT_COUNT(", "HEX("].iter().any(|words| sql.contains(words))
                && is_clipped(found)
        },
    },
    Explained {
        name: "a negative DECIMAL as an unsigned number",
        reason: "MySQL gives the bits of the signed number, as for integers; MariaDB gives 0 (14.10 Cast Functions, CAST AS UNSIGNED)",
        applies: |sql, found, _| {
            let [(_, Outcome::Rows(mariadb)), (_, Outcome::Rows(row)), ..] = found.answers.as_slice() else {
                return false;
            };
            let zero = mariadb.rows.concat().iter().any(|cell| cell.as_deref() == Some(b"0".as_slice()));
            let of_bits =
                |cell: &Cell| cell.as_ref().is_some_and(|text| text.len() == 20 && text.starts_with(b"1844674"));
            let bits = row.rows.concat().iter().any(of_bits);
            ["MariaDB, row: values", "MariaDB, row: number of rows"].contains(&found.label.as_str())
                && sql.contains(" AS UNSIGNED")
                && zero
                && bits
        },
    },
    Explained {
        name: "a date before year 1",
        reason: "MariaDB has none and gives NULL; MySQL computes with days since year 0, and promises nothing for years below 1000 \
                 (13.2.2 The DATE, DATETIME, and TIMESTAMP Types)",
        applies: |sql, found, _| {
            let [(_, Outcome::Rows(mariadb)), (_, Outcome::Rows(row)), ..] = found.answers.as_slice() else {
                return false;
            };
            let early = |cell: &Cell| {
                cell.as_ref().is_some_and(|text| text.starts_with(b"0000-") && !text.starts_with(b"0000-00"))
            };
            found.label == "MariaDB, row: values"
                && sql.contains("INTERVAL ")
                && mariadb.rows.concat().contains(&None)
                && row.rows.concat().iter().any(early)
        },
    },
    Explained {
        name: "a DECIMAL looked for with more digits in joined tables that change",
        reason: "By an index MariaDB finds 0 where 0.001 is looked for, in SELECT too; SELECTs are asked again in another way, writes \
                 cannot be (14.3: numbers are compared as they are)",
        applies: |sql, found, tables| {
            found.label == "write: affected rows"
                && sql.starts_with("UPDATE ")
                && sql.contains(" JOIN ")
                && sql.contains(" = 0.001")
                && tables.iter().any(|create| create.contains(" DECIMAL(") && create.contains("KEY "))
        },
    },
    Explained {
        name: "a row looked for among rows beside an outer join that changes",
        reason: "MariaDB takes `(y.a, 1) IN ((8, 0))` for one that no NULL passes and makes an inner join of the outer one, but 1 is not 0 \
                 whatever y.a is (15.2.15.5 Row Subqueries; 14.4.2, IN); SELECTs are asked again in another way, writes cannot be",
        applies: |sql, found, _| {
            found.label == "write: affected rows"
                && sql.starts_with("UPDATE ")
                && [" LEFT JOIN ", " RIGHT JOIN "].iter().any(|words| sql.contains(words))
                && sql.contains(") IN ((")
        },
    },
    Explained {
        name: "text of a number beyond a SET's members",
        reason: "MySQL stores the empty SET, MariaDB the number's last bits (13.3.7 The SET Type)",
        applies: |sql, found, tables| {
            found.label == "contents after write: values"
                && sql.contains(" IGNORE ")
                && tables.iter().any(|create| create.contains(" SET("))
        },
    },
    Explained {
        name: "an overflow that only one meets",
        reason: "Which parts of a condition are evaluated for which rows is the optimizer's choice; an overflow in one \
                 that is not needed is met or not (13.1.7 Out-of-Range and Overflow Handling)",
        applies: |_, found, _| {
            found.label.ends_with("error 1690, no error") || found.label.ends_with("no error, error 1690")
        },
    },
];
