// What the server refuses arrives as the library's own classes, with table, fields and numbers.

const { assert, rejected } = require('../checks');
const { ConnectionError, AccessDeniedError, ConnectionRefusedError, DataTypes, DatabaseError, ForeignKeyConstraintError, UniqueConstraintError, UnknownConstraintError, ValidationError } = require('sequelize');

module.exports = async (check, { sequelize, connect }) => {
  const Thing = sequelize.define('err_thing', {
    code: { type: DataTypes.STRING(10), unique: true },
    a: DataTypes.INTEGER,
    b: DataTypes.INTEGER,
    must: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 1 },
    small: DataTypes.STRING(3),
  }, { timestamps: false, indexes: [{ unique: true, name: 'a_and_b', fields: ['a', 'b'] }] });
  const Child = sequelize.define('err_child', {}, { timestamps: false });
  Child.belongsTo(Thing, { foreignKey: 'thingId', onDelete: 'RESTRICT' });
  await check('sync', async () => {
    await Child.drop();
    await Thing.sync({ force: true });
    await Child.sync();
    await Thing.create({ code: 'one', a: 1, b: 2 });
  });
  const number = (error) => error.original.errno;

  await check('unique: fields and value', async () => {
    const error = await rejected(Thing.create({ code: 'one' }), UniqueConstraintError);
    assert.deepEqual([number(error), error.fields, error.errors[0].path, error.errors[0].type], [1062, { code: 'one' }, 'code', 'unique violation']);
    assert(error instanceof ValidationError);
  });
  await check('unique: of two columns, by its name', async () => {
    const error = await rejected(Thing.create({ code: 'two', a: 1, b: 2 }), UniqueConstraintError);
    assert.deepEqual(Object.keys(error.fields), ['a_and_b']);
    assert.equal(error.original.sqlState, '23000');
  });
  await check('unique: of the primary key', async () => {
    const error = await rejected(Thing.create({ id: 1 }), UniqueConstraintError);
    assert.deepEqual(Object.keys(error.fields), ['PRIMARY']);
  });
  await check('unique: by an update', async () => {
    const other = await Thing.create({ code: 'other' });
    await rejected(other.update({ code: 'one' }), UniqueConstraintError);
  });
  await check('unique: in a bulk', async () => {
    const before = await Thing.count();
    await rejected(Thing.bulkCreate([{ code: 'fresh' }, { code: 'one' }]), UniqueConstraintError);
    assert.equal(await Thing.count(), before);
  });
  await check('unique: by case and accents', async () => {
    await rejected(Thing.create({ code: 'ONE' }), UniqueConstraintError);
    await rejected(Thing.create({ code: 'öne' }), UniqueConstraintError);
  });
  await check('foreign key: no parent', async () => {
    const error = await rejected(Child.create({ thingId: 77 }), ForeignKeyConstraintError);
    assert.deepEqual([number(error), error.table, error.fields, error.reltype], [1452, 'err_things', ['thingId'], 'child']);
    assert.match(error.index, /ibfk/);
  });
  await check('foreign key: children are there', async () => {
    await Child.create({ thingId: 1 });
    const error = await rejected(Thing.destroy({ where: { id: 1 } }), ForeignKeyConstraintError);
    assert.equal(number(error), 1451);
    assert.equal(error.reltype, 'parent');
  });
  const NUMBERS = [
    ['a syntax error', 'SELEC 1', 1064],
    ['an unknown table', 'SELECT * FROM err_nothing', 1146],
    ['an unknown column', 'SELECT nothing FROM err_things', 1054],
    ['an ambiguous column', 'SELECT id FROM err_things JOIN err_children', 1052],
    ['a table that is there', 'CREATE TABLE err_things (id INT)', 1050],
    ['a column twice', 'CREATE TABLE err_twice (a INT, a INT)', 1060],
    ['NULL where it is not allowed', 'INSERT INTO err_things (must) VALUES (NULL)', 1048],
    ['text that is too long', "INSERT INTO err_things (small) VALUES ('four')", 1406],
    ['a number out of range', 'INSERT INTO err_things (a) VALUES (3000000000)', 1264],
    ['text that is no number', "INSERT INTO err_things (a) VALUES ('x')", 1366],
    ['more values than columns', 'INSERT INTO err_things (a) VALUES (1, 2)', 1136],
    ['a subquery with two rows', 'SELECT (SELECT 1 UNION SELECT 2)', 1242],
    ['an unknown function', 'SELECT no_such_function(1)', 1305],
    ['an unknown database', 'USE err_nowhere', 1049],
    ['an aggregate in WHERE', 'SELECT 1 FROM err_things WHERE COUNT(*) > 1', 1111],
    ['a view of nothing dropped', 'DROP TABLE err_nothing', 1051],
    ['an index of nothing dropped', 'ALTER TABLE err_things DROP INDEX nothing', 1091],
    ['two primary keys', 'ALTER TABLE err_things ADD PRIMARY KEY (a)', 1068],
    ['an unknown variable', 'SET SESSION nothing_like_it = 1', 1193],
    ['a signal', "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own text'", 1644],
  ];
  for (const [name, statement, expected] of NUMBERS) {
    await check(`number of ${name}`, async () => {
      const error = await rejected(sequelize.query(statement), DatabaseError);
      assert.equal(number(error), expected);
      assert.equal(error.sql, statement);
    });
  }
  await check('a check constraint', async () => {
    await sequelize.query('DROP TABLE IF EXISTS err_checked');
    await sequelize.query('CREATE TABLE err_checked (v INT, CONSTRAINT v_is_small CHECK (v < 10))');
    const error = await rejected(sequelize.query('INSERT INTO err_checked VALUES (10)'), DatabaseError);
    assert.match(error.message, /v_is_small/);
  });
  await check('a constraint that is not there', () => rejected(sequelize.getQueryInterface().removeConstraint('err_things', 'no_such'), UnknownConstraintError).catch((error) => {
    // MariaDB's dialect does not tell it apart.
    if (sequelize.getDialect() !== 'mariadb') throw error;
  }));
  await check('a wrong password', async () => {
    const wrong = connect({ username: 'root', password: 'wrong' });
    await rejected(wrong.authenticate(), AccessDeniedError);
    await wrong.close();
  });
  await check('a port where nobody listens', async () => {
    const nobody = connect({ port: 1 });
    await rejected(nobody.authenticate(), ConnectionRefusedError);
    await nobody.close();
  });
  await check('an unknown database at connecting', async () => {
    const nowhere = connect({ database: 'err_nowhere' });
    await rejected(nowhere.authenticate(), ConnectionError);
    await nowhere.close();
  });
};
