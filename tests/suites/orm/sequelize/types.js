// Each data type: a value and NULL go there and come back, are found by value, and describeTable tells the column.

const { assert, rejected } = require('../checks');
const { DataTypes, Op, ValidationError } = require('sequelize');

const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
const text = 'plain, üß, 漢字, 🐬, \' " \\ \n \0 end';

// name, type, value, and, if they differ: what comes back, how the column is described, whether it is not to be searched.
const TYPES = [
  ['STRING', DataTypes.STRING, text, { described: 'VARCHAR(255)' }],
  ['STRING(40)', DataTypes.STRING(40), 'x'.repeat(40), { described: 'VARCHAR(40)' }],
  ['STRING.BINARY', DataTypes.STRING(40).BINARY, 'Case', { described: 'VARCHAR(40)' }],
  ['CHAR(7)', DataTypes.CHAR(7), 'seven', { described: 'CHAR(7)' }],
  ['TEXT', DataTypes.TEXT, text, { described: 'TEXT' }],
  ['TEXT tiny', DataTypes.TEXT('tiny'), 'x'.repeat(255), { described: 'TINYTEXT' }],
  ['TEXT medium', DataTypes.TEXT('medium'), 'x'.repeat(70_000), { described: 'MEDIUMTEXT' }],
  ['TEXT long', DataTypes.TEXT('long'), 'y'.repeat(300_000), { described: 'LONGTEXT' }],
  ['BOOLEAN true', DataTypes.BOOLEAN, true, { described: 'TINYINT(1)' }],
  ['BOOLEAN false', DataTypes.BOOLEAN, false, { described: 'TINYINT(1)' }],
  ['TINYINT', DataTypes.TINYINT, -128, { described: /^TINYINT/ }],
  ['TINYINT.UNSIGNED', DataTypes.TINYINT.UNSIGNED, 255, { described: /^TINYINT.*UNSIGNED$/ }],
  ['SMALLINT', DataTypes.SMALLINT, -32768, { described: /^SMALLINT/ }],
  ['MEDIUMINT', DataTypes.MEDIUMINT, 8388607, { described: /^MEDIUMINT/ }],
  ['INTEGER', DataTypes.INTEGER, -2147483648, { described: /^INT/ }],
  ['INTEGER.UNSIGNED', DataTypes.INTEGER.UNSIGNED, 4294967295, { described: /^INT.*UNSIGNED$/ }],
  ['INTEGER(5).UNSIGNED.ZEROFILL', DataTypes.INTEGER(5).UNSIGNED.ZEROFILL, 42, { described: /ZEROFILL$/, back: (value) => Number(value) === 42 }],
  ['BIGINT', DataTypes.BIGINT, '-9223372036854775808', { described: /^BIGINT/, back: (value) => String(value) === '-9223372036854775808' }],
  ['BIGINT.UNSIGNED', DataTypes.BIGINT.UNSIGNED, '18446744073709551615', { back: (value) => String(value) === '18446744073709551615' }],
  ['FLOAT', DataTypes.FLOAT, 0.15625, { described: 'FLOAT' }],
  ['FLOAT(11,2)', DataTypes.FLOAT(11, 2), 1.25, { described: 'FLOAT(11,2)' }],
  ['DOUBLE', DataTypes.DOUBLE, -1.7976931348623157e308, { described: /^DOUBLE/ }],
  ['DOUBLE(11,3)', DataTypes.DOUBLE(11, 3), 1.125, { described: 'DOUBLE(11,3)' }],
  ['DECIMAL(10,2)', DataTypes.DECIMAL(10, 2), '12345678.90', { described: 'DECIMAL(10,2)', back: (value) => Number(value) === 12345678.9 }],
  ['DECIMAL(65,30)', DataTypes.DECIMAL(65, 30), '-1.5', { described: 'DECIMAL(65,30)', back: (value) => Number(value) === -1.5 }],
  ['DATE', DataTypes.DATE, new Date('2024-02-29T23:59:59Z'), { described: 'DATETIME' }],
  ['DATE(3)', DataTypes.DATE(3), new Date('1999-12-31T23:59:59.123Z'), { described: 'DATETIME(3)' }],
  ['DATE(6)', DataTypes.DATE(6), new Date('2038-01-19T03:14:08.999Z'), { described: 'DATETIME(6)' }],
  ['DATEONLY', DataTypes.DATEONLY, '1000-01-01', { described: 'DATE' }],
  ['TIME', DataTypes.TIME, '23:59:58', { described: 'TIME' }],
  ['UUID', DataTypes.UUID, '6e0e6d1f-9c5b-4e3c-8a43-9d3b0c3d6f10', { described: /^CHAR\(36\)/ }],
  ['BLOB', DataTypes.BLOB, bytes, { described: 'BLOB' }],
  ['BLOB tiny', DataTypes.BLOB('tiny'), bytes.subarray(0, 255), { described: 'TINYBLOB' }],
  ['BLOB medium', DataTypes.BLOB('medium'), Buffer.alloc(80_000, bytes), { described: 'MEDIUMBLOB' }],
  ['BLOB long', DataTypes.BLOB('long'), Buffer.alloc(1_000_000, bytes), { described: 'LONGBLOB' }],
  ['ENUM', DataTypes.ENUM('small', 'it\'s large', 'größte'), 'größte', { described: "ENUM('small','it''s large','größte')" }],
  ['JSON object', DataTypes.JSON, { a: [1, 2.5, null, true], b: { 'ü "x"': '🐬\\' } }, { search: false }],
  ['JSON array', DataTypes.JSON, [1, 'two', { three: 3 }], { search: false }],
  ['JSON string', DataTypes.JSON, 'a "string"', { search: false }],
  ['GEOMETRY', DataTypes.GEOMETRY, { type: 'Point', coordinates: [39.807222, -76.984722] }, { search: false, described: 'GEOMETRY' }],
  ['GEOMETRY POLYGON', DataTypes.GEOMETRY('POLYGON'), { type: 'Polygon', coordinates: [[[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]] }, { search: false }],
];

module.exports = async (check, { sequelize, connect }) => {
  const queries = sequelize.getQueryInterface();
  for (const [name, type, value, { back, described, search = true } = {}] of TYPES) {
    const define = (table) => sequelize.define(table, { v: type }, { timestamps: false, freezeTableName: true });
    const label = `t_${name.replace(/\W+/g, '_').toLowerCase()}`;
    await check(`${name} round trip`, async () => {
      const Model = define(label);
      await Model.sync({ force: true });
      const { id } = await Model.create({ v: value });
      await Model.bulkCreate([{ v: null }, { v: value }]);
      const read = (await Model.findByPk(id)).v;
      if (back) assert(back(read), `came back as ${read}`);
      else assert.deepEqual(read, value);
      assert.equal(await Model.count({ where: { v: null } }), 1);
      if (search) {
        const float = name === 'DOUBLE' ? { [Op.lt]: 0 } : value;
        assert.equal(await Model.count({ where: { v: float } }), 2);
      }
      await Model.update({ v: value }, { where: { v: null } });
      assert.equal(await Model.count({ where: { v: null } }), 0);
    });
    if (!described) continue;
    await check(`${name} described`, async () => {
      const { v, id } = await queries.describeTable(label);
      if (described instanceof RegExp) assert.match(v.type, described);
      else assert.equal(v.type, described);
      assert.equal(v.allowNull, true);
      assert.equal(v.defaultValue, null);
      assert.deepEqual([id.primaryKey, id.autoIncrement, id.allowNull], [true, true, false]);
    });
  }

  await check('defaults: values, NOW, UUIDV1, UUIDV4, functions', async () => {
    const Model = sequelize.define('defaults', {
      flag: { type: DataTypes.BOOLEAN, defaultValue: true },
      word: { type: DataTypes.STRING, defaultValue: "it's" },
      count: { type: DataTypes.INTEGER, defaultValue: 7 },
      price: { type: DataTypes.DECIMAL(5, 2), defaultValue: 1.5 },
      at: { type: DataTypes.DATE, defaultValue: DataTypes.NOW },
      by_server: { type: DataTypes.DATE, defaultValue: sequelize.literal('CURRENT_TIMESTAMP') },
      v1: { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV1 },
      v4: { type: DataTypes.UUID, defaultValue: DataTypes.UUIDV4 },
      drawn: { type: DataTypes.INTEGER, defaultValue: () => 3 * 4 },
    }, { timestamps: false });
    await Model.sync({ force: true });
    const row = await (await Model.create({})).reload();
    assert.deepEqual([row.flag, row.word, row.count, Number(row.price), row.drawn], [true, "it's", 7, 1.5, 12]);
    assert.match(row.v1, /^[0-9a-f-]{36}$/);
    assert.match(row.v4, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    assert(Math.abs(Date.now() - row.at) < 60_000);
    await sequelize.query(`INSERT INTO ${Model.getTableName()} (count) VALUES (8)`);
    const other = await Model.findOne({ where: { count: 8 } });
    assert.deepEqual([other.flag, other.word], [true, "it's"]);
    assert(Math.abs(Date.now() - other.by_server) < 60_000);
    const columns = await queries.describeTable(Model.getTableName());
    assert.match(columns.word.defaultValue, /it'+s/);
    assert.match(columns.by_server.defaultValue, /current_timestamp/i);
  });
  await check('VIRTUAL columns are no columns', async () => {
    const Model = sequelize.define('virtuals', {
      first: DataTypes.STRING,
      last: DataTypes.STRING,
      full: { type: DataTypes.VIRTUAL(DataTypes.STRING, ['first', 'last']), get() { return `${this.first} ${this.last}`; } },
    });
    await Model.sync({ force: true });
    await Model.create({ first: 'Ada', last: 'Lovelace' });
    const row = await Model.findOne({ attributes: ['full'] });
    assert.equal(row.full, 'Ada Lovelace');
    assert.equal((await queries.describeTable('virtuals')).full, undefined);
  });
  await check('typeValidation refuses what is not of the type', async () => {
    const typed = connect({ typeValidation: true });
    const Model = typed.define('typed', { n: DataTypes.INTEGER }, { timestamps: false });
    await Model.sync({ force: true });
    await rejected(Model.create({ n: 'seven' }), ValidationError);
    await Model.create({ n: 7 });
    await typed.close();
  });
  await check('times keep the time zone of the connection', async () => {
    const Model = sequelize.define('zones', { at: DataTypes.DATE(3) }, { timestamps: false });
    await Model.sync({ force: true });
    const at = new Date('2024-07-01T12:00:00.250Z');
    const { id } = await Model.create({ at });
    const [[row]] = await sequelize.query('SELECT CAST(at AS CHAR) AS at FROM zones');
    assert.equal(row.at, '2024-07-01 12:00:00.250');
    assert.deepEqual((await Model.findByPk(id)).at, at);
  });
  await check('binary strings compare by case', async () => {
    const Model = sequelize.define('binaries', { v: DataTypes.STRING.BINARY }, { timestamps: false });
    await Model.sync({ force: true });
    await Model.bulkCreate([{ v: 'a' }, { v: 'A' }]);
    assert.equal(await Model.count({ where: { v: 'a' } }), 1);
  });
  await check('out of range values are refused', async () => {
    const Model = sequelize.define('narrow', { v: DataTypes.TINYINT }, { timestamps: false });
    await Model.sync({ force: true });
    const error = await rejected(Model.create({ v: 128 }));
    assert.equal(error.original.code, 'ER_WARN_DATA_OUT_OF_RANGE');
    assert(!(error instanceof ValidationError));
  });
  await check('enums refuse other words', async () => {
    const Model = sequelize.define('words', { v: DataTypes.ENUM('a', 'b') }, { timestamps: false });
    await Model.sync({ force: true });
    await rejected(Model.create({ v: 'c' }));
  });
};
