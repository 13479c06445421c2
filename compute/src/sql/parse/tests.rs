use super::*;
use expr::eval::SqlMode;

/// `ok` or an error number, then the statement.
const CASES: &str = "
ok    SELECT 1
ok    SELECT /* W::x */ a, b FROM t WHERE a DIV 2 = 1 AND b REGEXP 'x' LIMIT 3, 4
ok    SELECT j->'$.a' = 1, a || b, NOT a = b, -a ^ 2, a << 1 FROM t
ok    SELECT _utf8mb4'x', x'4D', 0x4D, b'01', N'x', 'a' 'b', DATE '2024-01-01'
ok    SELECT GROUP_CONCAT(DISTINCT a ORDER BY b DESC SEPARATOR '; ') FROM t GROUP BY c WITH ROLLUP
ok    SELECT a FROM t FOR UPDATE SKIP LOCKED
ok    SELECT a FROM t LOCK IN SHARE MODE
ok    /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */
ok    INSERT INTO t (a, b) VALUES (1, 'x'), (DEFAULT, NULL) ON DUPLICATE KEY UPDATE a = VALUES(a)
ok    INSERT INTO t VALUES (1, /*!50705 0x00,*/ 'x')
ok    REPLACE INTO t SET a = 1
ok    UPDATE t JOIN u ON t.a = u.a SET t.b = u.b WHERE u.c > 1
ok    DELETE t FROM t LEFT JOIN u USING (a) WHERE u.a IS NULL
ok    CREATE TABLE t (a INT UNSIGNED NOT NULL AUTO_INCREMENT, b ENUM('x','y') DEFAULT 'x', PRIMARY KEY (a), KEY k (b(3) DESC)) ENGINE=InnoDB
ok    ALTER TABLE t ADD COLUMN c INT AFTER a, DROP INDEX k, ADD CONSTRAINT f FOREIGN KEY (c) REFERENCES u (id) ON DELETE CASCADE
ok    SHOW FULL COLUMNS FROM t LIKE 'a%'
ok    SET NAMES utf8mb4 COLLATE utf8mb4_bin
ok    START TRANSACTION WITH CONSISTENT SNAPSHOT
ok    LOCK TABLES `t` WRITE, u READ
1065
1065  -- nothing
1064  SELEC 1
1064  SELECT 1 FROM
1064  CREATE TABLE t (a)
ok    XA START 'x', X'00ff', 7
1064  XA START
1064  XA COMMIT 'x', 'y', -1
ok    CREATE TRIGGER t BEFORE INSERT ON u FOR EACH ROW SET NEW.a = 1
ok    CREATE PROCEDURE p() BEGIN SELECT 1; END
ok    /*!50003 CREATE*/ /*!50020 DEFINER=`root`@`%`*/ /*!50003 FUNCTION f(a INT) RETURNS INT RETURN a */
ok    CREATE EVENT e ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS NOW() + INTERVAL 1 DAY ON COMPLETION PRESERVE DO SELECT 1
ok    CALL d.p(1, @a)
";

#[test]
fn statements_parse_or_give_mysqls_error() {
    for case in CASES.lines().filter(|line| !line.is_empty()) {
        let (expected, statement) = case.split_once(' ').unwrap_or((case, ""));
        let found = match parse(statement.trim(), SqlMode::default()) {
            Ok(_) => "ok".to_string(),
            Err(error) => error.code.0.to_string(),
        };
        assert_eq!(found, expected, "{statement}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let deep = format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(parse(&deep, SqlMode::default()).is_err());
}
