// Migrations: run and reverted, generated from entities, and every change that a query runner knows.

const { assert, rejected } = require('../checks');
const { EntitySchema, Table, TableCheck, TableColumn, TableForeignKey, TableIndex, TableUnique } = require('typeorm');

class First1700000000001 {
  name = 'First1700000000001';
  async up(runner) {
    await runner.query('CREATE TABLE moved (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20))');
    await runner.query("INSERT INTO moved (v) VALUES ('one')");
  }
  async down(runner) {
    await runner.query('DROP TABLE moved');
  }
}

class Second1700000000002 {
  name = 'Second1700000000002';
  async up(runner) {
    await runner.addColumn('moved', new TableColumn({ name: 'n', type: 'int', default: 7 }));
  }
  async down(runner) {
    await runner.dropColumn('moved', 'n');
  }
}

class Broken1700000000003 {
  name = 'Broken1700000000003';
  async up(runner) {
    await runner.query("INSERT INTO moved (v) VALUES ('lost')");
    await runner.query('THIS IS NO SQL');
  }
  async down() {}
}

module.exports = async (check, { open, pending }) => {
  let source = await open([], { migrations: [First1700000000001, Second1700000000002], synchronize: false });
  await check('showMigrations before', async () => assert.equal(await source.showMigrations(), true));
  await check('runMigrations', async () => {
    const done = await source.runMigrations({ transaction: 'each' });
    assert.deepEqual(done.map((one) => one.name), ['First1700000000001', 'Second1700000000002']);
    const [row] = await source.query('SELECT * FROM moved');
    assert.deepEqual({ ...row }, { id: 1, v: 'one', n: 7 });
  });
  await check('runMigrations again does nothing', async () => assert.deepEqual(await source.runMigrations(), []));
  await check('showMigrations after', async () => assert.equal(await source.showMigrations(), false));
  await check('undoLastMigration', async () => {
    await source.undoLastMigration();
    const runner = source.createQueryRunner();
    assert.deepEqual([await runner.hasColumn('moved', 'n'), await runner.hasTable('moved')], [false, true]);
    await runner.release();
    assert.equal(await source.showMigrations(), true);
  });
  await check('undo of all', async () => {
    await source.undoLastMigration();
    const runner = source.createQueryRunner();
    assert.equal(await runner.hasTable('moved'), false);
    await runner.release();
  });
  await check('all in one transaction, and none', async () => {
    await source.runMigrations({ transaction: 'all' });
    await source.undoLastMigration({ transaction: 'all' });
    await source.undoLastMigration({ transaction: 'none' });
    await source.runMigrations({ transaction: 'none' });
  });
  await source.destroy();
  await check('one that fails is not recorded', async () => {
    const failing = await open([], { migrations: [First1700000000001, Second1700000000002, Broken1700000000003], synchronize: false, dropSchema: false });
    await rejected(failing.runMigrations({ transaction: 'each' }));
    const [{ n }] = await failing.query("SELECT COUNT(*) AS n FROM moved WHERE v = 'lost'");
    assert.equal(Number(n), 0);
    assert.equal((await failing.query('SELECT * FROM migrations')).length, 2);
    await failing.destroy();
  });
  await check('migrations generated from entities run both ways', async () => {
    const entity = new EntitySchema({ name: 'Made', columns: { id: { type: 'int', primary: true, generated: true }, v: { type: 'varchar', length: 30, unique: true } }, relations: { up: { type: 'many-to-one', target: 'Made' } } });
    const made = await open([entity], { synchronize: false });
    const { upQueries, downQueries } = await made.driver.createSchemaBuilder().log();
    for (const { query, parameters } of upQueries) await made.query(query, parameters);
    assert.deepEqual(await pending(made), []);
    for (const { query, parameters } of downQueries.reverse()) await made.query(query, parameters);
    const runner = made.createQueryRunner();
    assert.equal(await runner.hasTable('made'), false);
    await runner.release();
    await made.destroy();
  });

  source = await open([], { synchronize: false });
  const runner = source.createQueryRunner();
  /** Loads the table anew, as another process would see it. */
  const table = async (name) => {
    const fresh = source.createQueryRunner();
    const found = await fresh.getTable(name);
    await fresh.release();
    return found;
  };
  await check('createTable', async () => {
    await runner.createTable(new Table({
      name: 'q',
      columns: [
        { name: 'id', type: 'int', isPrimary: true, isGenerated: true, generationStrategy: 'increment' },
        { name: 'a', type: 'varchar', length: '30', isNullable: true },
        { name: 'b', type: 'int', default: '5', comment: 'b it is' },
        { name: 'p', type: 'int', isNullable: true },
      ],
      indices: [{ name: 'qa', columnNames: ['a'] }],
      uniques: [{ name: 'qb', columnNames: ['b'] }],
      foreignKeys: [{ name: 'qp', columnNames: ['p'], referencedTableName: 'q', referencedColumnNames: ['id'], onDelete: 'CASCADE' }],
    }), true);
    await runner.createTable(new Table({ name: 'q', columns: [{ name: 'id', type: 'int' }] }), true);
    const found = await table('q');
    assert.equal(found.columns.length, 4);
    assert.equal(found.foreignKeys[0].name, 'qp');
  });
  await check('addColumn, addColumns', async () => {
    await runner.addColumn('q', new TableColumn({ name: 'c', type: 'varchar', length: '9', default: "'x'" }));
    await runner.addColumns('q', [new TableColumn({ name: 'd', type: 'datetime', precision: 3, default: 'CURRENT_TIMESTAMP(3)' }), new TableColumn({ name: 'e', type: 'enum', enum: ['p', 'q'], isNullable: true })]);
    const found = await table('q');
    assert.deepEqual([found.findColumnByName('c').default, found.findColumnByName('d').precision, found.findColumnByName('e').enum], ["'x'", 3, ['p', 'q']]);
  });
  await check('renameColumn', async () => {
    await runner.query("INSERT INTO q (a, b) VALUES ('v', 1)");
    await runner.renameColumn('q', 'a', 'aa');
    assert.equal((await runner.query('SELECT aa FROM q'))[0].aa, 'v');
    const found = await table('q');
    assert(found.indices.some((index) => index.columnNames.join() === 'aa'));
  });
  await check('changeColumn, changeColumns', async () => {
    const found = await table('q');
    await runner.changeColumn('q', found.findColumnByName('c').name, new TableColumn({ name: 'c', type: 'varchar', length: '90', isNullable: true, default: "'y'" }));
    const c = (await table('q')).findColumnByName('c');
    assert.deepEqual([c.length, c.isNullable, c.default], ['90', true, "'y'"]);
  });
  await check('dropColumn, dropColumns', async () => {
    await runner.dropColumn('q', 'c');
    await runner.dropColumns('q', ['d', 'e']);
    assert.deepEqual((await table('q')).columns.map((column) => column.name), ['id', 'aa', 'b', 'p']);
  });
  await check('createIndex, dropIndex', async () => {
    await runner.createIndex('q', new TableIndex({ name: 'two', columnNames: ['aa', 'b'] }));
    await runner.createIndices('q', [new TableIndex({ name: 'three', columnNames: ['b', 'p'], isUnique: true }), new TableIndex({ name: 'full', columnNames: ['aa'], isFulltext: true })]);
    assert.deepEqual((await table('q')).indices.map((index) => index.name).filter((name) => ['two', 'three', 'full'].includes(name)).sort(), ['full', 'three', 'two']);
    await runner.dropIndex('q', 'two');
    await runner.dropIndices('q', [new TableIndex({ name: 'three', columnNames: ['b', 'p'] }), new TableIndex({ name: 'full', columnNames: ['aa'] })]);
    assert(!(await table('q')).indices.some((index) => ['two', 'three', 'full'].includes(index.name)));
  });
  await check('unique and check constraints are refused as documented', async () => {
    await rejected(runner.createUniqueConstraint('q', new TableUnique({ columnNames: ['b'] })));
    await rejected(runner.createCheckConstraint('q', new TableCheck({ expression: 'b > 0' })));
  });
  await check('createForeignKey, dropForeignKey', async () => {
    await runner.createTable(new Table({ name: 'r', columns: [{ name: 'id', type: 'int', isPrimary: true }, { name: 'q', type: 'int', isNullable: true }] }));
    await runner.createForeignKey('r', new TableForeignKey({ name: 'rq', columnNames: ['q'], referencedTableName: 'q', referencedColumnNames: ['id'], onDelete: 'SET NULL', onUpdate: 'RESTRICT' }));
    const [key] = (await table('r')).foreignKeys;
    assert.deepEqual([key.name, key.onDelete, key.referencedTableName], ['rq', 'SET NULL', 'q']);
    await runner.dropForeignKey('r', 'rq');
    assert.deepEqual((await table('r')).foreignKeys, []);
  });
  await check('createPrimaryKey, updatePrimaryKeys, dropPrimaryKey', async () => {
    await runner.createTable(new Table({ name: 'k', columns: [{ name: 'a', type: 'int' }, { name: 'b', type: 'int' }] }));
    await runner.createPrimaryKey('k', ['a']);
    await runner.updatePrimaryKeys('k', (await table('k')).columns);
    assert.deepEqual((await table('k')).primaryColumns.map((column) => column.name), ['a', 'b']);
    await runner.dropPrimaryKey('k');
    assert.deepEqual((await table('k')).primaryColumns, []);
  });
  await check('renameTable', async () => {
    await runner.renameTable('r', 's');
    assert.deepEqual([await runner.hasTable('r'), await runner.hasTable('s')], [false, true]);
  });
  await check('clearTable', async () => {
    await runner.query('INSERT INTO s (id) VALUES (1), (2)');
    await runner.clearTable('s');
    assert.equal((await runner.query('SELECT * FROM s')).length, 0);
  });
  await check('changeTableComment', async () => {
    await runner.changeTableComment('s', "it's said");
    assert.equal((await table('s')).comment, "it's said");
  });
  await check('what was done in memory is not done', async () => {
    runner.enableSqlMemory();
    await runner.dropTable('s');
    const { upQueries } = runner.getMemorySql();
    runner.clearSqlMemory();
    runner.disableSqlMemory();
    assert.match(upQueries[0].query, /DROP TABLE/);
    assert.equal(await runner.hasTable('s'), true);
  });
  await check('createDatabase, dropDatabase', async () => {
    await runner.createDatabase('orm_made', true);
    await runner.createDatabase('orm_made', true);
    assert.equal(await runner.hasDatabase('orm_made'), true);
    await runner.dropDatabase('orm_made', true);
    assert.equal(await runner.hasDatabase('orm_made'), false);
  });
  await check('dropTable', async () => {
    await runner.dropTable('s', true);
    await runner.dropTable('q', true, true, true);
    await runner.dropTable('nothing', true);
    assert.equal(await runner.hasTable('q'), false);
  });
  await check('clearDatabase', async () => {
    await runner.query('CREATE VIEW leftover AS SELECT 1 AS one');
    await runner.clearDatabase();
    assert.deepEqual(await runner.query('SHOW TABLES'), []);
  });
  await runner.release();
  await source.destroy();
};
