// Raw queries: types, replacements, bind, nesting, procedures, statements of every kind, CTEs, dates, several results.

const { assert, rejected } = require('../checks');
const { DataTypes, QueryTypes, Sequelize } = require('sequelize');

module.exports = async (check, { sequelize, connect }) => {
  const select = (text, options = {}) => sequelize.query(text, { type: QueryTypes.SELECT, ...options });
  await check('DDL and INSERT give ids and counts', async () => {
    await sequelize.query('DROP TABLE IF EXISTS raws');
    await sequelize.query('CREATE TABLE raws (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(50), parent INT)');
    assert.deepEqual(await sequelize.query("INSERT INTO raws (a, b) VALUES (1, 'x'), (2, 'y')", { type: QueryTypes.INSERT }), [1, 2]);
  });
  await check('UPDATE and DELETE give counts', async () => {
    const [, count] = await sequelize.query('UPDATE raws SET a = a + 10', { type: QueryTypes.UPDATE });
    assert.equal(count, 2);
    const deleted = await sequelize.query('DELETE FROM raws WHERE a = 12', { type: QueryTypes.BULKDELETE });
    assert.equal(deleted, 1);
  });
  await check('UPSERT type', async () => {
    await sequelize.query("INSERT INTO raws (id, a, b) VALUES (1, 5, 'z') ON DUPLICATE KEY UPDATE a = VALUES(a)", { type: QueryTypes.UPSERT });
    assert.equal((await select('SELECT a FROM raws WHERE id = 1'))[0].a, 5);
  });
  await check('without a type: rows and metadata', async () => {
    const [rows] = await sequelize.query('SELECT 1 AS one, NULL AS none');
    assert.equal(Number(rows[0].one), 1);
    assert.equal(rows[0].none, null);
  });
  await check('plain gives the first row', async () => assert.deepEqual(await select("SELECT 'x' AS v UNION SELECT 'y'", { plain: true }), { v: 'x' }));
  await check('replacements by position', async () => {
    assert.deepEqual(await select('SELECT ? AS a, ? AS b, ? AS c', { replacements: [1, "it's \\ \"q\"", null] }), [{ a: 1, b: "it's \\ \"q\"", c: null }]);
  });
  await check('replacements by name, with lists', async () => {
    const rows = await select('SELECT b FROM raws WHERE id IN (:ids) AND b <> :not', { replacements: { ids: [1, 2, 3], not: ':ids' } });
    assert.deepEqual(rows, [{ b: 'x' }]);
  });
  await check('replacements: dates, booleans, buffers, emoji', async () => {
    const [row] = await select('SELECT CAST(:d AS CHAR) AS d, :t AS t, HEX(:b) AS b, :e AS e', { replacements: { d: new Date('2024-05-06T07:08:09Z'), t: true, b: Buffer.from([0, 255]), e: '🐬' } });
    assert.match(row.d, /^2024-05-06 07:08:09/);
    assert.deepEqual([Number(row.t), row.b, row.e], [1, '00FF', '🐬']);
  });
  await check('replacements: rows of values', async () => {
    await sequelize.query('INSERT INTO raws (a, b) VALUES ?', { replacements: [[[7, 'seven'], [8, 'eight']]] });
    assert.equal((await select('SELECT COUNT(*) AS n FROM raws WHERE a IN (7, 8)'))[0].n, 2);
  });
  await check('bind by position', async () => {
    const rows = await select('SELECT a, b FROM raws WHERE a = $1 AND b = $2', { bind: [7, 'seven'] });
    assert.deepEqual(rows, [{ a: 7, b: 'seven' }]);
  });
  await check('bind by name, used twice', async () => {
    const rows = await select('SELECT b FROM raws WHERE a = $a OR a + 1 = $a ORDER BY a', { bind: { a: 8 } });
    assert.deepEqual(rows.map((row) => row.b), ['seven', 'eight']);
  });
  await check('bind: NULL, dates, buffers, numbers of all sizes', async () => {
    await sequelize.query('DROP TABLE IF EXISTS bound');
    await sequelize.query('CREATE TABLE bound (n BIGINT, d DATETIME(3), b BLOB, f DOUBLE, t TEXT, z INT)');
    await sequelize.query('INSERT INTO bound VALUES ($1, $2, $3, $4, $5, $6)', { bind: [9007199254740991, '2024-01-02 03:04:05.678', Buffer.from('ab\0'), 1.5e300, 'ü🐬', null] });
    const [row] = await select("SELECT n, CAST(d AS CHAR) AS d, HEX(b) AS b, f, t, z FROM bound");
    assert.deepEqual([Number(row.n), row.d, row.b, row.f, row.t, row.z], [9007199254740991, '2024-01-02 03:04:05.678', '616200', 1.5e300, 'ü🐬', null]);
  });
  await check('bind: a dollar that is none', async () => {
    const [row] = await select("SELECT '$$' AS d, $1 AS v", { bind: ['x'] });
    assert.equal(row.v, 'x');
  });
  await check('bind: the same statement a hundred times', async () => {
    for (let n = 0; n < 100; n += 1) {
      const [row] = await select('SELECT $1 + 1 AS n', { bind: [n] });
      assert.equal(Number(row.n), n + 1);
    }
  });
  await check('nest', async () => {
    const [row] = await select("SELECT 1 AS 'a.b', 2 AS 'a.c'", { nest: true });
    assert.deepEqual([Number(row.a.b), Number(row.a.c)], [1, 2]);
  });
  await check('model and mapToModel', async () => {
    const Raw = sequelize.define('raw', { a: DataTypes.INTEGER, word: { type: DataTypes.STRING, field: 'b' } }, { timestamps: false });
    const rows = await sequelize.query('SELECT * FROM raws WHERE a = 7', { model: Raw, mapToModel: true });
    assert.deepEqual([rows[0] instanceof Raw, rows[0].word], [true, 'seven']);
  });
  await check('fieldMap', async () => {
    const rows = await select('SELECT a, b FROM raws WHERE a = 7', { fieldMap: { b: 'word' } });
    assert.equal(rows[0].word, 'seven');
  });
  await check('common table expressions', async () => {
    const rows = await select('WITH x AS (SELECT a FROM raws WHERE a > 6) SELECT COUNT(*) AS n FROM x');
    assert.equal(Number(rows[0].n), 2);
  });
  await check('recursive common table expressions', async () => {
    const rows = await select('WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 100) SELECT SUM(v) AS s FROM n');
    assert.equal(Number(rows[0].s), 5050);
  });
  await check('UNION, INTERSECT, EXCEPT', async () => {
    const rows = await select('(SELECT 1 AS v UNION SELECT 2 UNION SELECT 3) EXCEPT SELECT 2 ORDER BY v');
    assert.deepEqual(rows.map((row) => Number(row.v)), [1, 3]);
    assert.equal((await select('SELECT 1 AS v INTERSECT SELECT 1')).length, 1);
  });
  await check('window functions', async () => {
    const rows = await select('SELECT a, SUM(a) OVER (ORDER BY a) AS s, LAG(a) OVER (ORDER BY a) AS l FROM raws ORDER BY a');
    assert.deepEqual(rows.map((row) => Number(row.s)), [5, 12, 20]);
    assert.deepEqual(rows.map((row) => row.l), [null, 5, 7]);
  });
  await check('lateral values of JSON_TABLE', async () => {
    const rows = await select(`SELECT j.v FROM JSON_TABLE('[1,2,3]', '$[*]' COLUMNS (v INT PATH '$')) AS j ORDER BY 1`);
    assert.deepEqual(rows.map((row) => row.v), [1, 2, 3]);
  });
  await check('procedures', async () => {
    await sequelize.query('DROP PROCEDURE IF EXISTS add_up');
    await sequelize.query('CREATE PROCEDURE add_up(IN x INT, IN y INT) BEGIN SELECT x + y AS s; END');
    const rows = await sequelize.query('CALL add_up(2, 3)');
    assert.equal(Number(rows[0].s), 5);
  });
  await check('functions and triggers', async () => {
    await sequelize.query('DROP FUNCTION IF EXISTS twice');
    await sequelize.query('CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2');
    assert.equal((await select('SELECT twice(4) AS t'))[0].t, 8);
    await sequelize.query("CREATE TRIGGER stamp BEFORE INSERT ON raws FOR EACH ROW SET NEW.b = CONCAT(NEW.b, '!')");
    await sequelize.query("INSERT INTO raws (a, b) VALUES (99, 'hey')");
    assert.equal((await select('SELECT b FROM raws WHERE a = 99'))[0].b, 'hey!');
    await sequelize.query('DROP TRIGGER stamp');
  });
  await check('views', async () => {
    await sequelize.query('CREATE OR REPLACE VIEW raw_view AS SELECT a, UPPER(b) AS loud FROM raws');
    const View = sequelize.define('raw_view', { a: { type: DataTypes.INTEGER, primaryKey: true }, loud: DataTypes.STRING }, { timestamps: false, freezeTableName: true });
    assert.equal((await View.findByPk(7)).loud, 'SEVEN');
    await sequelize.query('DROP VIEW raw_view');
  });
  await check('SHOW statements as query types', async () => {
    assert((await sequelize.query('SHOW TABLES'))[0].some((row) => Object.values(row)[0] === 'raws'));
    assert.match((await select('SHOW CREATE TABLE raws'))[0]['Create Table'], /^CREATE TABLE `raws`/);
    assert((await sequelize.query('SHOW INDEX FROM raws', { type: QueryTypes.SHOWINDEXES })).length >= 1);
    assert.equal(Object.keys(await sequelize.query('SHOW FULL COLUMNS FROM raws', { type: QueryTypes.DESCRIBE })).length, 4);
    assert.match((await sequelize.query('SELECT VERSION() AS version', { type: QueryTypes.VERSION })), /^\d/);
  });
  await check('EXPLAIN', async () => assert((await select('EXPLAIN SELECT * FROM raws WHERE id = 1')).length >= 1));
  await check('several statements in one query', async () => {
    const many = connect({ dialectOptions: { multipleStatements: true } });
    const [first] = await many.query("SELECT 1 AS v; SELECT 2 AS v");
    assert.notEqual(first, undefined);
    await many.close();
  });
  await check('several statements are refused where they are off', () => rejected(sequelize.query('SELECT 1; SELECT 2'), Sequelize.DatabaseError));
  await check('session variables', async () => {
    const one = connect({ pool: { max: 1 } });
    await one.query('SET @v = 41');
    const [row] = await one.query('SELECT @v + 1 AS v', { type: QueryTypes.SELECT });
    assert.equal(Number(row.v), 42);
    await one.close();
  });
  await check('time zones of a connection', async () => {
    const zoned = connect({ timezone: '+05:30' });
    const [row] = await zoned.query("SELECT @@session.time_zone AS z, CAST(FROM_UNIXTIME(0) AS CHAR) AS e", { type: QueryTypes.SELECT });
    assert.equal(row.z, '+05:30');
    assert.match(row.e, /^1970-01-01 05:30:00/);
    await zoned.close();
  });
  await check('big numbers as text', async () => {
    const options = { supportBigNumbers: true, bigNumberStrings: true };
    const big = connect({ dialectOptions: options });
    const [row] = await big.query('SELECT 9223372036854775807 AS v', { type: QueryTypes.SELECT });
    assert.equal(String(row.v), '9223372036854775807');
    await big.close();
  });
  await check('dates as text', async () => {
    const plain = connect({ dialectOptions: { dateStrings: true, typeCast: true } });
    const [row] = await plain.query("SELECT CAST('2024-02-03 04:05:06' AS DATETIME) AS d", { type: QueryTypes.SELECT });
    assert.match(typeof row.d === 'string' ? row.d : row.d.toISOString(), /^2024-02-03/);
    await plain.close();
  });
  await check('ten thousand rows', async () => {
    const rows = await select('WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 1000) SELECT a.v FROM n AS a, n AS b WHERE b.v <= 10');
    assert.equal(rows.length, 10_000);
  });
  await check('a megabyte there and back', async () => {
    const text = 'abcdefghij'.repeat(100_000);
    assert.equal((await select('SELECT ? AS v', { replacements: [text] }))[0].v, text);
  });
  await check('comments before and after', async () => {
    assert.equal((await select('/* before */ SELECT 1 AS v -- after')).length, 1);
    assert.equal((await select('SELECT /*!40001 SQL_NO_CACHE */ 1 AS v')).length, 1);
  });
};
