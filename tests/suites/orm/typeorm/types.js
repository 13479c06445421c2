// Each column type: a value and NULL go there and come back, are found by value, and the schema needs no change after.

const { assert } = require('../checks');
const { EntitySchema, IsNull } = require('typeorm');

const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
const text = 'plain, üß, 漢字, 🐬, \' " \\ \n end';

// name, options of the column, value, and, if they differ: what comes back, whether it is not to be searched.
const TYPES = [
  ['int', { type: 'int' }, -2147483648],
  ['int unsigned', { type: 'int', unsigned: true }, 4294967295],
  ['int zerofill', { type: 'int', zerofill: true, width: 7 }, 42, { back: (value) => Number(value) === 42 }],
  ['tinyint', { type: 'tinyint' }, -128],
  ['tinyint unsigned', { type: 'tinyint', unsigned: true }, 255],
  ['smallint', { type: 'smallint' }, 32767],
  ['mediumint', { type: 'mediumint' }, -8388608],
  ['bigint', { type: 'bigint' }, '9223372036854775807'],
  ['bigint unsigned', { type: 'bigint', unsigned: true }, '18446744073709551615'],
  ['bool', { type: 'bool' }, 1, { back: (value) => Boolean(value) }],
  ['boolean', { type: 'boolean' }, true],
  ['Boolean', { type: Boolean }, false],
  ['Number', { type: Number }, 77],
  ['String', { type: String }, text],
  ['Date', { type: Date }, new Date('2024-02-29T12:13:14Z')],
  ['float', { type: 'float' }, 0.15625],
  ['float unsigned', { type: 'float', precision: 7, scale: 2 }, 12.25],
  ['double', { type: 'double' }, -1.5e300],
  ['double(10,3)', { type: 'double', precision: 10, scale: 3 }, 1.125],
  ['real', { type: 'real' }, 2.5],
  ['double precision', { type: 'double precision' }, 2.25],
  ['decimal', { type: 'decimal', precision: 20, scale: 6 }, '12345678901234.123456'],
  ['dec', { type: 'dec', precision: 5, scale: 1 }, '12.5'],
  ['numeric', { type: 'numeric', precision: 8, scale: 0 }, '12345678'],
  ['fixed', { type: 'fixed', precision: 9, scale: 2 }, '1.50'],
  ['date', { type: 'date' }, '1000-01-01'],
  ['datetime', { type: 'datetime' }, new Date('2024-02-29T23:59:59Z')],
  ['datetime(3)', { type: 'datetime', precision: 3 }, new Date('9999-12-31T23:59:59.999Z')],
  ['datetime(6)', { type: 'datetime', precision: 6 }, new Date('1970-01-01T00:00:00.001Z')],
  ['timestamp', { type: 'timestamp' }, new Date('2038-01-19T03:14:07Z')],
  ['timestamp(6)', { type: 'timestamp', precision: 6 }, new Date('2001-02-03T04:05:06.789Z')],
  ['time', { type: 'time' }, '-838:59:59'],
  ['time(3)', { type: 'time', precision: 3 }, '12:34:56.789'],
  ['year', { type: 'year' }, 2155],
  ['char', { type: 'char', length: 7 }, 'seven'],
  ['nchar', { type: 'nchar', length: 7 }, 'nchar'],
  ['varchar', { type: 'varchar', length: 100 }, text],
  ['national varchar', { type: 'national varchar', length: 40 }, 'national'],
  ['tinytext', { type: 'tinytext' }, text],
  ['text', { type: 'text' }, text],
  ['mediumtext', { type: 'mediumtext' }, 'x'.repeat(70_000)],
  ['longtext', { type: 'longtext' }, 'y'.repeat(300_000)],
  ['binary', { type: 'binary', length: 4 }, bytes.subarray(1, 5)],
  ['varbinary', { type: 'varbinary', length: 300 }, bytes],
  ['tinyblob', { type: 'tinyblob' }, bytes.subarray(0, 255)],
  ['blob', { type: 'blob' }, bytes],
  ['mediumblob', { type: 'mediumblob' }, Buffer.alloc(80_000, bytes)],
  ['longblob', { type: 'longblob' }, Buffer.alloc(1_000_000, bytes)],
  ['bit', { type: 'bit' }, Buffer.from([1]), { search: false }],
  ['enum', { type: 'enum', enum: ['small', 'very "large"', 'größte'] }, 'größte'],
  ['enum of numbers', { type: 'enum', enum: [1, 2, 3] }, 2, { back: (value) => Number(value) === 2, search: false }],
  ['set', { type: 'set', enum: ['a', 'b', 'c'] }, ['a', 'c'], { search: false }],
  ['json object', { type: 'json' }, { a: [1, 2.5, null, true], b: { 'ü "x"': '🐬\\' } }, { search: false }],
  ['json array', { type: 'json' }, [1, 'two', { three: 3 }], { search: false }],
  ['simple-array', { type: 'simple-array' }, ['x', 'y z'], { search: false }],
  ['simple-json', { type: 'simple-json' }, { deep: { er: [1] } }, { search: false }],
  ['simple-enum', { type: 'simple-enum', enum: ['p', 'q'] }, 'q'],
  ['uuid', { type: 'uuid' }, '6e0e6d1f-9c5b-4e3c-8a43-9d3b0c3d6f10'],
  ['inet6', { type: 'inet6' }, '2001:db8::ff00:42:8329', { only: 'mariadb' }],
  ['point', { type: 'point' }, 'POINT(1 2)', { search: false }],
  ['geometry', { type: 'geometry' }, 'LINESTRING(0 0,1 1,2 0)', { search: false }],
  ['transformer', { type: 'varchar', length: 40, transformer: { to: (value) => value && value.toUpperCase(), from: (value) => value && value.toLowerCase() } }, 'shout'],
  ['charset and collation', { type: 'varchar', length: 40, charset: 'latin1', collation: 'latin1_general_cs' }, 'Größe'],
  ['utf8mb4_bin', { type: 'varchar', length: 40, charset: 'utf8mb4', collation: 'utf8mb4_bin' }, 'Case'],
  ['comment', { type: 'int', comment: "it's \\ a comment" }, 5],
];

module.exports = async (check, { open, pending, type: server }) => {
  for (const [name, options, value, { back, search = true, only } = {}] of TYPES) {
    if (only && only !== server) continue;
    const entity = new EntitySchema({
      name: 'Typed',
      tableName: 't_typed',
      columns: { id: { type: 'int', primary: true, generated: true }, v: { nullable: true, ...options } },
    });
    let source;
    await check(`${name} round trip`, async () => {
      source = await open([entity]);
      const typed = source.getRepository('Typed');
      const { id } = await typed.save({ v: value });
      await typed.insert([{ v: null }]);
      const { v } = await typed.findOneByOrFail({ id });
      if (back) assert(back(v), `came back as ${v}`);
      else assert.deepEqual(v, value);
      assert.equal(await typed.countBy({ v: IsNull() }), 1);
      if (search && !/float|real/.test(name)) assert.equal(await typed.countBy({ v: value }), 1);
      await typed.update({ v: IsNull() }, { v: value });
      assert.equal(await typed.countBy({ v: IsNull() }), 0);
    });
    await check(`${name} needs no change`, async () => {
      assert(source?.isInitialized, 'not opened');
      assert.deepEqual(await pending(source), []);
    });
    if (source?.isInitialized) await source.destroy();
  }
};
