// Transactions: nested, isolated, locked, through query runners; and connections: pools, variables, ends, names.

const { assert, rejected, signal, pause } = require('../checks');
const { DataSource, EntitySchema, PessimisticLockTransactionRequiredError, QueryFailedError, TransactionNotStartedError } = require('typeorm');

const Account = new EntitySchema({ name: 'Account', columns: { id: { type: 'int', primary: true, generated: true }, owner: { type: 'varchar', length: 10, unique: true }, balance: { type: 'int' } } });
const LEVELS = ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];

module.exports = async (check, { open }) => {
  const source = await open([Account]);
  const accounts = source.getRepository('Account');
  const balance = async (owner, manager = source.manager) => (await manager.findOneByOrFail('Account', { owner })).balance;
  await accounts.insert([{ owner: 'a', balance: 100 }, { owner: 'b', balance: 50 }]);

  await check('commits', async () => {
    const given = await source.transaction(async (manager) => {
      await manager.decrement('Account', { owner: 'a' }, 'balance', 10);
      await manager.increment('Account', { owner: 'b' }, 'balance', 10);
      return 'given';
    });
    assert.deepEqual([given, await balance('a'), await balance('b')], ['given', 90, 60]);
  });
  await check('an error rolls back', async () => {
    await rejected(source.transaction(async (manager) => {
      await manager.update('Account', { owner: 'a' }, { balance: 0 });
      throw new Error('no');
    }));
    assert.equal(await balance('a'), 90);
  });
  await check('an error of the database rolls back', async () => {
    await rejected(source.transaction(async (manager) => {
      await manager.insert('Account', { owner: 'c', balance: 1 });
      await manager.insert('Account', { owner: 'a', balance: 1 });
    }), QueryFailedError);
    assert.equal(await accounts.count(), 2);
  });
  await check('a query runner by hand', async () => {
    const runner = source.createQueryRunner();
    await runner.connect();
    await runner.startTransaction();
    assert.equal(runner.isTransactionActive, true);
    await runner.manager.update('Account', { owner: 'a' }, { balance: 1 });
    assert.deepEqual([await balance('a', runner.manager), await balance('a')], [1, 90]);
    await runner.rollbackTransaction();
    await rejected(runner.commitTransaction(), TransactionNotStartedError);
    await runner.release();
    assert.equal(await balance('a'), 90);
  });
  await check('nested transactions are savepoints', async () => {
    await source.transaction(async (manager) => {
      await manager.update('Account', { owner: 'a' }, { balance: 7 });
      await rejected(manager.transaction(async (inner) => {
        await inner.update('Account', { owner: 'a' }, { balance: 8 });
        throw new Error('inner');
      }));
      assert.equal(await balance('a', manager), 7);
      await manager.transaction((inner) => inner.transaction((deep) => deep.update('Account', { owner: 'b' }, { balance: 9 })));
    });
    assert.deepEqual([await balance('a'), await balance('b')], [7, 9]);
  });
  for (const level of LEVELS) {
    await check(`isolation level ${level}`, async () => {
      await source.transaction(level, async (manager) => {
        await manager.increment('Account', { owner: 'a' }, 'balance', 1);
        await manager.decrement('Account', { owner: 'a' }, 'balance', 1);
      });
    });
  }
  await check('REPEATABLE READ reads as at its beginning', async () => {
    await source.transaction('REPEATABLE READ', async (manager) => {
      const before = await balance('b', manager);
      await accounts.update({ owner: 'b' }, { balance: 1234 });
      assert.equal(await balance('b', manager), before);
    });
  });
  await check('READ COMMITTED reads what is committed', async () => {
    await source.transaction('READ COMMITTED', async (manager) => {
      await balance('b', manager);
      await accounts.update({ owner: 'b' }, { balance: 60 });
      assert.equal(await balance('b', manager), 60);
    });
  });
  await check('the isolation level of a data source', async () => {
    const own = await open([Account], { isolationLevel: 'READ COMMITTED', dropSchema: false });
    await own.transaction(async (manager) => {
      await manager.find('Account');
    });
    await own.destroy();
  });
  await check('pessimistic_write makes a second one wait', async () => {
    const order = [];
    const { give, given } = signal();
    await accounts.update({ owner: 'a' }, { balance: 100 });
    const first = source.transaction(async (manager) => {
      const a = await manager.findOne('Account', { where: { owner: 'a' }, lock: { mode: 'pessimistic_write' } });
      give();
      await pause(200);
      await manager.update('Account', { owner: 'a' }, { balance: a.balance + 1 });
      order.push('first');
    });
    await given;
    const second = source.transaction(async (manager) => {
      const a = await manager.findOne('Account', { where: { owner: 'a' }, lock: { mode: 'pessimistic_write' } });
      order.push('second');
      await manager.update('Account', { owner: 'a' }, { balance: a.balance + 1 });
    });
    await Promise.all([first, second]);
    assert.deepEqual([order, await balance('a')], [['first', 'second'], 102]);
  });
  await check('pessimistic_read is shared', async () => {
    await source.transaction(async (one) => {
      await one.find('Account', { lock: { mode: 'pessimistic_read' } });
      await source.transaction((two) => two.find('Account', { lock: { mode: 'pessimistic_read' } }));
    });
  });
  await check('nowait and skip_locked', async () => {
    await source.transaction(async (one) => {
      await one.findOne('Account', { where: { owner: 'a' }, lock: { mode: 'pessimistic_write' } });
      const error = await rejected(source.transaction((two) => two.find('Account', { where: { owner: 'a' }, lock: { mode: 'pessimistic_write', onLocked: 'nowait' } })), QueryFailedError);
      assert([3572, 1205].includes(error.driverError.errno), String(error.driverError.errno));
      await source.transaction(async (two) => {
        const found = await two.find('Account', { lock: { mode: 'pessimistic_write', onLocked: 'skip_locked' } });
        assert.deepEqual(found.map((account) => account.owner), ['b']);
      });
    });
  });
  await check('a lock needs a transaction', () => rejected(accounts.find({ lock: { mode: 'pessimistic_write' } }), PessimisticLockTransactionRequiredError));
  await check('a deadlock has a victim, whose error says so', async () => {
    const meet = [signal(), signal()];
    const run = (mine, other, at) => source.transaction(async (manager) => {
      await manager.increment('Account', { owner: mine }, 'balance', 1);
      meet[at].give();
      await meet[1 - at].given;
      await manager.increment('Account', { owner: other }, 'balance', 1);
    });
    const results = await Promise.allSettled([run('a', 'b', 0), run('b', 'a', 1)]);
    const failed = results.filter((result) => result.status === 'rejected');
    assert.equal(failed.length, 1);
    assert.equal(failed[0].reason.driverError.code, 'ER_LOCK_DEADLOCK');
  });
  await check('a lock wait that takes too long', async () => {
    await source.transaction(async (one) => {
      await one.findOne('Account', { where: { owner: 'a' }, lock: { mode: 'pessimistic_write' } });
      const error = await rejected(source.transaction(async (two) => {
        await two.query('SET SESSION innodb_lock_wait_timeout = 1');
        await two.update('Account', { owner: 'a' }, { balance: 0 });
      }), QueryFailedError);
      assert.equal(error.driverError.errno, 1205);
    });
  });
  await check('fifty transfers at once keep the sum', async () => {
    const before = await accounts.sum('balance');
    await Promise.all(Array.from({ length: 50 }, (_, at) => source.transaction(async (manager) => {
      const [from, to] = at % 2 ? ['a', 'b'] : ['b', 'a'];
      await manager.find('Account', { order: { id: 'ASC' }, lock: { mode: 'pessimistic_write' } });
      await manager.decrement('Account', { owner: from }, 'balance', 1);
      await manager.increment('Account', { owner: to }, 'balance', 1);
    })));
    assert.equal(await accounts.sum('balance'), before);
  });
  await check('pool: no more connections than it may have', async () => {
    const small = await open([Account], { poolSize: 3, dropSchema: false });
    const rows = await Promise.all(Array.from({ length: 20 }, () => small.query('SELECT CONNECTION_ID() AS id, SLEEP(0.02)')));
    assert(new Set(rows.map(([row]) => row.id)).size <= 3);
    await small.destroy();
  });
  await check('pool: a connection that the server ended is replaced', async () => {
    const small = await open([Account], { poolSize: 1, dropSchema: false });
    const [{ id }] = await small.query('SELECT CONNECTION_ID() AS id');
    await source.query(`KILL ${id}`);
    await pause(200);
    const [again] = await small.query('SELECT CONNECTION_ID() AS id').catch(() => small.query('SELECT CONNECTION_ID() AS id'));
    assert.notEqual(again.id, id);
    await small.destroy();
  });
  await check('reading and writing connections apart', async () => {
    const { host, port, username, password, database, type } = source.options;
    const one = { host, port, username, password, database };
    const both = await new DataSource({ type, replication: { master: one, slaves: [one, one] }, entities: [Account] }).initialize();
    await both.getRepository('Account').update({ owner: 'b' }, { balance: 77 });
    assert.equal((await both.getRepository('Account').findOneByOrFail({ owner: 'b' })).balance, 77);
    await both.destroy();
  });
  await check('a wrong password', async () => {
    const error = await rejected(open([Account], { password: 'wrong', dropSchema: false, synchronize: false }));
    assert.equal(error.code, 'ER_ACCESS_DENIED_ERROR');
  });
  await check('an unknown database', async () => {
    const error = await rejected(open([Account], { database: 'orm_nowhere', dropSchema: false, synchronize: false }));
    assert.equal(error.code, 'ER_BAD_DB_ERROR');
  });
  await check('a connection by URL', async () => {
    const { host, port, password, database, type } = source.options;
    const own = await new DataSource({ type, url: `${type}://root:${password}@${host}:${port}/${database}`, entities: [Account] }).initialize();
    assert.equal(await own.getRepository('Account').count(), 2);
    await own.destroy();
  });
  await check('procedures', async () => {
    await source.query('DROP PROCEDURE IF EXISTS add_up');
    await source.query('CREATE PROCEDURE add_up(IN x INT, IN y INT) BEGIN SELECT x + y AS s; SELECT x * y AS p; END');
    const [sum, product] = await source.query('CALL add_up(2, 3)');
    assert.deepEqual([Number(sum[0].s), Number(product[0].p)], [5, 6]);
  });
  await check('logging of slow queries', async () => {
    const slow = [];
    const logger = { logQuery() {}, logQueryError() {}, logQuerySlow: (time, text) => slow.push([time, text]), logSchemaBuild() {}, logMigration() {}, log() {} };
    const own = await open([Account], { maxQueryExecutionTime: 50, logger, logging: true, dropSchema: false, synchronize: false });
    await own.query('SELECT SLEEP(0.1)');
    assert(slow.some(([, text]) => /SLEEP/.test(text)));
    await own.destroy();
  });
  await source.destroy();
};
