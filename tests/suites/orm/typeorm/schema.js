// Schema synchronisation: what entities say is made, found again unchanged, and changed with the rows kept.

const { assert, rejected } = require('../checks');
const { EntitySchema, QueryFailedError, Table } = require('typeorm');

const id = { type: 'int', primary: true, generated: true };

/** An entity of which the later ones differ in a column or two. */
function product(columns, more = {}) {
  return new EntitySchema({ name: 'Product', tableName: 'product', columns: { id, name: { type: 'varchar', length: 50 }, ...columns }, ...more });
}

module.exports = async (check, { open, pending, database }) => {
  const keep = { dropSchema: false };
  /** Synchronises with the first entities, stores a row, does so with the second, and tells the row and whether anything is left to do. */
  const change = async (before, after, row) => {
    const first = await open(before);
    await first.getRepository('Product').insert({ ...row });
    await first.destroy();
    const second = await open(after, keep);
    const left = await pending(second);
    const [found] = await second.query('SELECT * FROM product');
    await second.destroy();
    assert.deepEqual(left, []);
    return found;
  };

  const everything = [
    product({
      price: { type: 'decimal', precision: 10, scale: 2, default: 0 },
      word: { type: 'varchar', default: 'plain "word"' },
      flag: { type: 'boolean', default: true },
      at: { type: 'datetime', default: () => 'CURRENT_TIMESTAMP' },
      at6: { type: 'datetime', precision: 6, default: () => 'CURRENT_TIMESTAMP(6)', onUpdate: 'CURRENT_TIMESTAMP(6)' },
      stamp: { type: 'timestamp', nullable: true, default: null },
      kind: { type: 'enum', enum: ['a', 'b'], default: 'b' },
      kinds: { type: 'set', enum: ['x', 'y'], default: ['x'] },
      hex: { type: 'varchar', length: 10, charset: 'latin1', collation: 'latin1_swedish_ci', default: '' },
      number: { type: 'double', default: 2 },
      big: { type: 'bigint', unsigned: true, default: 0 },
      day: { type: 'date', default: '2020-01-01' },
      code: { type: 'varchar', length: 20, unique: true },
      first: { type: 'varchar', length: 20 },
      full: { type: 'varchar', length: 80, asExpression: "concat(`first`, ' ', `name`)", generatedType: 'VIRTUAL' },
      kept: { type: 'int', asExpression: '`number` + 1', generatedType: 'STORED', nullable: true },
      made: { type: 'datetime', createDate: true },
      changed: { type: 'datetime', updateDate: true },
      gone: { type: 'datetime', deleteDate: true },
      version: { type: 'int', version: true },
      note: { type: 'text', nullable: true, comment: 'may be "empty"' },
    }, {
      indices: [{ name: 'by_price', columns: ['price', 'day'] }, { columns: ['word'] }, { name: 'only_one', columns: ['first', 'day'], unique: true }, { name: 'words', columns: ['name'], fulltext: true }],
      uniques: [{ name: 'u_two', columns: ['kind', 'number'] }],
      relations: { parent: { type: 'many-to-one', target: 'Product', onDelete: 'SET NULL', onUpdate: 'CASCADE', joinColumn: { name: 'parent_id' } } },
    }),
    new EntitySchema({ name: 'Tag', columns: { a: { type: 'varchar', length: 10, primary: true }, b: { type: 'int', primary: true } }, relations: { products: { type: 'many-to-many', target: 'Product', joinTable: true } } }),
    new EntitySchema({ name: 'Uuid', columns: { id: { type: 'uuid', primary: true, generated: 'uuid' }, n: { type: 'int' } } }),
    new EntitySchema({ name: 'Big', columns: { id: { type: 'bigint', unsigned: true, primary: true, generated: 'increment' }, n: { type: 'int' } } }),
  ];
  let source;
  const opened = () => assert(source?.isInitialized, 'not opened');
  await check('an empty database is made', async () => {
    source = await open(everything);
    assert.equal(source.isInitialized, true);
  });
  await check('the second time finds nothing to change', async () => {
    opened();
    assert.deepEqual(await pending(source), []);
  });
  await check('synchronize again does nothing', async () => {
    opened();
    await source.synchronize();
    await source.synchronize(false);
  });
  await check('defaults, generated columns, times and versions', async () => {
    opened();
    const products = source.getRepository('Product');
    const saved = await products.save({ name: 'N', code: 'c1', first: 'F' });
    const row = await products.findOneByOrFail({ id: saved.id });
    assert.deepEqual([row.price, row.word, Boolean(row.flag), row.kind, row.kinds, row.number, row.day, row.full], ['0.00', 'plain "word"', true, 'b', ['x'], 2, '2020-01-01', 'F N']);
    assert(row.made instanceof Date && Math.abs(Date.now() - row.made) < 60_000);
    assert(row.at6 instanceof Date);
    assert.equal(row.version, 1);
    row.first = 'G';
    await products.save(row);
    const again = await products.findOneByOrFail({ id: saved.id });
    assert.deepEqual([again.version, again.full], [2, 'G N']);
  });
  await check('generated uuid and bigint keys', async () => {
    opened();
    const uuid = await source.getRepository('Uuid').save({ n: 1 });
    assert.match(uuid.id, /^[0-9a-f-]{36}$/);
    const big = await source.getRepository('Big').save({ n: 1 });
    assert.equal(String(big.id), '1');
  });
  await check('the tables as the query runner loads them', async () => {
    opened();
    const runner = source.createQueryRunner();
    const table = await runner.getTable('product');
    const column = (name) => table.findColumnByName(name);
    assert.deepEqual([column('price').precision, column('price').scale, column('name').length, column('big').unsigned], [10, 2, '50', true]);
    assert.deepEqual(column('kind').enum, ['a', 'b']);
    assert.deepEqual([column('full').generatedType, column('kept').generatedType], ['VIRTUAL', 'STORED']);
    assert.equal(column('note').comment, 'may be "empty"');
    assert.match(column('at6').onUpdate, /CURRENT_TIMESTAMP\(6\)/i);
    assert.deepEqual([column('hex').charset, column('hex').collation], ['latin1', 'latin1_swedish_ci']);
    assert.equal(table.foreignKeys.length, 1);
    assert.deepEqual([table.foreignKeys[0].onDelete, table.foreignKeys[0].onUpdate], ['SET NULL', 'CASCADE']);
    assert(table.indices.some((index) => index.name === 'words' && index.isFulltext));
    assert(table.indices.some((index) => index.name === 'only_one' && index.isUnique));
    assert.equal((await runner.getTables(['product', 'tag'])).length, 2);
    await runner.release();
  });
  await check('what the runner asks: databases, tables, columns', async () => {
    opened();
    const runner = source.createQueryRunner();
    assert((await runner.getDatabases()).length >= 0);
    assert.equal(await runner.hasDatabase(database), true);
    assert.equal(await runner.getCurrentDatabase(), database);
    assert.deepEqual([await runner.hasTable('product'), await runner.hasTable('nothing')], [true, false]);
    assert.deepEqual([await runner.hasColumn('product', 'price'), await runner.hasColumn('product', 'nothing')], [true, false]);
    await runner.release();
  });
  await check('dropDatabase through the source', async () => {
    opened();
    await source.dropDatabase();
    const runner = source.createQueryRunner();
    assert.equal(await runner.hasTable('product'), false);
    await runner.release();
    await source.destroy();
  });

  const row = { name: 'kept' };
  await check('a column is added', async () => {
    const found = await change([product({})], [product({ colour: { type: 'varchar', length: 10, default: 'red' } })], row);
    assert.deepEqual([found.name, found.colour], ['kept', 'red']);
  });
  await check('a column is dropped', async () => {
    const found = await change([product({ colour: { type: 'varchar', length: 10, default: 'red' } })], [product({})], row);
    assert.deepEqual(Object.keys(found), ['id', 'name']);
  });
  await check('a column is made longer', async () => {
    const longer = product({});
    longer.options.columns.name = { type: 'varchar', length: 80 };
    await change([product({})], [longer], row);
  });
  await check('a type changes', async () => {
    await change([product({ n: { type: 'int', default: 1 } })], [product({ n: { type: 'bigint', default: 1 } })], row);
  });
  await check('a default changes, comes and goes', async () => {
    await change([product({ n: { type: 'int', default: 1 } })], [product({ n: { type: 'int', default: 2 } })], row);
    await change([product({ n: { type: 'int', default: 1 } })], [product({ n: { type: 'int' } })], row);
    await change([product({ n: { type: 'int', nullable: true } })], [product({ n: { type: 'int', nullable: true, default: 5 } })], row);
  });
  await check('NULL is allowed, and no longer', async () => {
    await change([product({ n: { type: 'int', default: 1 } })], [product({ n: { type: 'int', default: 1, nullable: true } })], row);
    await change([product({ n: { type: 'int', default: 1, nullable: true } })], [product({ n: { type: 'int', default: 1 } })], { ...row, n: 3 });
  });
  await check('a comment changes', async () => {
    await change([product({ n: { type: 'int', default: 1, comment: 'one' } })], [product({ n: { type: 'int', default: 1, comment: "it's two" } })], row);
  });
  await check('words of an enum are added', async () => {
    const found = await change([product({ k: { type: 'enum', enum: ['a', 'b'], default: 'a' } })], [product({ k: { type: 'enum', enum: ['a', 'b', 'c'], default: 'a' } })], { ...row, k: 'b' });
    assert.equal(found.k, 'b');
  });
  await check('words of a set are added', async () => {
    await change([product({ k: { type: 'set', enum: ['a', 'b'] } })], [product({ k: { type: 'set', enum: ['a', 'b', 'c'] } })], { ...row, k: ['a', 'b'] });
  });
  await check('unsigned, zerofill and width change', async () => {
    await change([product({ n: { type: 'int', default: 1 } })], [product({ n: { type: 'int', default: 1, unsigned: true } })], row);
  });
  await check('precision and scale change', async () => {
    await change([product({ n: { type: 'decimal', precision: 8, scale: 2, default: 1 } })], [product({ n: { type: 'decimal', precision: 12, scale: 4, default: 1 } })], row);
    await change([product({ t: { type: 'datetime', precision: 0, nullable: true } })], [product({ t: { type: 'datetime', precision: 6, nullable: true } })], row);
  });
  await check('collation changes', async () => {
    await change([product({ c: { type: 'varchar', length: 10, default: '', collation: 'utf8mb4_general_ci' } })], [product({ c: { type: 'varchar', length: 10, default: '', collation: 'utf8mb4_bin' } })], row);
  });
  await check('a unique column comes and goes', async () => {
    await change([product({ c: { type: 'varchar', length: 10, default: '' } })], [product({ c: { type: 'varchar', length: 10, default: '', unique: true } })], row);
    await change([product({ c: { type: 'varchar', length: 10, default: '', unique: true } })], [product({ c: { type: 'varchar', length: 10, default: '' } })], row);
  });
  await check('an index comes and goes', async () => {
    const indexed = product({}, { indices: [{ columns: ['name'] }] });
    await change([product({})], [indexed], row);
    await change([indexed], [product({})], row);
  });
  await check('an index of several columns changes', async () => {
    const n = { n: { type: 'int', default: 1 } };
    await change([product(n, { indices: [{ name: 'i', columns: ['name'] }] })], [product(n, { indices: [{ name: 'i', columns: ['name', 'n'] }] })], row);
  });
  await check('a generated column comes, changes and goes', async () => {
    const generated = (text) => product({ g: { type: 'int', asExpression: text, generatedType: 'VIRTUAL', nullable: true } });
    await change([product({})], [generated('char_length(`name`)')], row);
    const found = await change([generated('char_length(`name`)')], [generated('char_length(`name`) + 1')], row);
    assert.equal(Number(found.g), 5);
    await change([generated('char_length(`name`)')], [product({})], row);
  });
  await check('a primary key is added to', async () => {
    await change([product({ k: { type: 'int', default: 1 } })], [product({ k: { type: 'int', default: 1, primary: true } })], row);
  });
  await check('a relation comes and goes', async () => {
    const other = new EntitySchema({ name: 'Maker', columns: { id } });
    const related = product({}, { relations: { maker: { type: 'many-to-one', target: 'Maker', onDelete: 'CASCADE' } } });
    await change([product({}), other], [related, other], row);
    await change([related, other], [product({}), other], row);
  });
  await check('onDelete of a relation changes', async () => {
    const other = new EntitySchema({ name: 'Maker', columns: { id } });
    const related = (onDelete) => product({}, { relations: { maker: { type: 'many-to-one', target: 'Maker', onDelete } } });
    await change([related('CASCADE'), other], [related('SET NULL'), other], row);
  });
  await check('many to many tables come and go', async () => {
    const other = new EntitySchema({ name: 'Maker', columns: { id } });
    const related = product({}, { relations: { makers: { type: 'many-to-many', target: 'Maker', joinTable: true } } });
    await change([product({}), other], [related, other], row);
  });
  await check('check constraints', async () => {
    const found = await open([product({ n: { type: 'int' } }, { checks: [{ name: 'small', expression: '`n` < 10' }] })]);
    assert.deepEqual(await pending(found), []);
    await found.destroy();
  });
  await check('views are made, and made again when they change', async () => {
    const view = (expression) => new EntitySchema({ name: 'Loud', type: 'view', expression, columns: { id: { type: 'int' }, name: { type: 'varchar' } } });
    const first = await open([product({}), view('SELECT `id`, UPPER(`name`) AS `name` FROM `product`')]);
    await first.getRepository('Product').insert({ ...row });
    assert.equal((await first.getRepository('Loud').find())[0].name, 'KEPT');
    assert.deepEqual(await pending(first), []);
    await first.destroy();
    const second = await open([product({}), view("SELECT `id`, CONCAT(`name`, '!') AS `name` FROM `product`")], keep);
    assert.equal((await second.getRepository('Loud').find())[0].name, 'kept!');
    assert.deepEqual(await pending(second), []);
    await second.destroy();
  });
  await check('a view over a query builder', async () => {
    const view = new EntitySchema({ name: 'Counted', type: 'view', expression: (one) => one.createQueryBuilder().select('p.name', 'name').addSelect('COUNT(*)', 'n').from('Product', 'p').groupBy('p.name'), columns: { name: { type: 'varchar' }, n: { type: 'int' } } });
    const found = await open([product({}), view]);
    await found.getRepository('Product').insert([{ ...row }, { ...row }]);
    assert.equal(Number((await found.getRepository('Counted').findOneBy({ name: 'kept' })).n), 2);
    await found.destroy();
  });
  await check('tables in another database', async () => {
    const far = new EntitySchema({ name: 'Far', tableName: 'far', database: 'orm_far', columns: { id, v: { type: 'int' } } });
    const maker = await open([]);
    await maker.createQueryRunner().createDatabase('orm_far', true);
    await maker.destroy();
    const found = await open([far]);
    await found.getRepository('Far').save({ v: 3 });
    assert.equal(await found.getRepository('Far').count(), 1);
    assert.deepEqual(await pending(found), []);
    await found.query('DROP DATABASE orm_far');
    await found.destroy();
  });
  await check('engine and prefix', async () => {
    const found = await open([product({}, { engine: 'InnoDB' })], { entityPrefix: 'p_' });
    const [told] = await found.query("SELECT ENGINE AS e FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'p_product'");
    assert.deepEqual({ ...told }, { e: 'InnoDB' });
    assert.deepEqual(await pending(found), []);
    await found.destroy();
  });
  await check('an entity without synchronisation is left alone', async () => {
    const found = await open([product({}, { synchronize: false })]);
    const runner = found.createQueryRunner();
    assert.equal(await runner.hasTable('product'), false);
    await runner.createTable(new Table({ name: 'made_by_hand', columns: [{ name: 'id', type: 'int', isPrimary: true }] }));
    assert.deepEqual(await pending(found), []);
    await runner.release();
    await found.destroy();
  });
  await check('a table that is not there', async () => {
    const found = await open([product({})], { synchronize: false });
    const error = await rejected(found.getRepository('Product').find(), QueryFailedError);
    assert.equal(error.driverError.errno, 1146);
    await found.destroy();
  });
};
