// Transactions: managed and unmanaged, isolation, savepoints, locks, hooks, the pool.

const { assert, rejected, signal, pause } = require('../checks');
const { ConnectionAcquireTimeoutError, DataTypes, DatabaseError, Sequelize, Transaction } = require('sequelize');

const { ISOLATION_LEVELS, LOCK } = Transaction;

module.exports = async (check, { sequelize, connect }) => {
  const Account = sequelize.define('account', { owner: { type: DataTypes.STRING, unique: true }, balance: DataTypes.INTEGER }, { timestamps: false });
  const balance = async (owner, options = {}) => (await Account.findOne({ where: { owner }, ...options })).balance;
  const reset = async () => {
    await Account.sync({ force: true });
    await Account.bulkCreate([{ owner: 'a', balance: 100 }, { owner: 'b', balance: 50 }]);
  };
  await check('sync', reset);

  await check('managed: commits', async () => {
    const given = await sequelize.transaction(async (transaction) => {
      await Account.decrement('balance', { by: 10, where: { owner: 'a' }, transaction });
      await Account.increment('balance', { by: 10, where: { owner: 'b' }, transaction });
      return 'given';
    });
    assert.deepEqual([given, await balance('a'), await balance('b')], ['given', 90, 60]);
  });
  await check('managed: an error rolls back', async () => {
    await rejected(sequelize.transaction(async (transaction) => {
      await Account.update({ balance: 0 }, { where: {}, transaction });
      throw new Error('no');
    }));
    assert.equal(await balance('a'), 90);
  });
  await check('managed: an error of the database rolls back', async () => {
    await rejected(sequelize.transaction(async (transaction) => {
      await Account.create({ owner: 'c', balance: 1 }, { transaction });
      await Account.create({ owner: 'a', balance: 1 }, { transaction });
    }), Sequelize.UniqueConstraintError);
    assert.equal(await Account.count(), 2);
  });
  await check('unmanaged: rollback', async () => {
    const transaction = await sequelize.transaction();
    await Account.destroy({ where: {}, transaction });
    assert.deepEqual([await Account.count({ transaction }), await Account.count()], [0, 2]);
    await transaction.rollback();
    assert.equal(await Account.count(), 2);
  });
  await check('unmanaged: commit, and not twice', async () => {
    const transaction = await sequelize.transaction();
    await Account.create({ owner: 'd', balance: 5 }, { transaction });
    await transaction.commit();
    await rejected(transaction.commit());
    assert.equal(await balance('d'), 5);
    await Account.destroy({ where: { owner: 'd' } });
  });
  await check('afterCommit', async () => {
    let called = 0;
    await sequelize.transaction(async (transaction) => {
      transaction.afterCommit(() => { called += 1; });
      await Account.count({ transaction });
      assert.equal(called, 0);
    });
    assert.equal(called, 1);
  });
  for (const [name, level] of Object.entries(ISOLATION_LEVELS)) {
    await check(`isolation level ${name}`, async () => {
      await sequelize.transaction({ isolationLevel: level }, async (transaction) => {
        await Account.increment('balance', { where: { owner: 'a' }, transaction });
        await Account.decrement('balance', { where: { owner: 'a' }, transaction });
      });
    });
  }
  await check('REPEATABLE READ reads as at its beginning', async () => {
    await sequelize.transaction({ isolationLevel: ISOLATION_LEVELS.REPEATABLE_READ }, async (transaction) => {
      const before = await balance('b', { transaction });
      await Account.update({ balance: 1234 }, { where: { owner: 'b' } });
      assert.equal(await balance('b', { transaction }), before);
    });
    assert.equal(await balance('b'), 1234);
  });
  await check('READ COMMITTED reads what is committed', async () => {
    await sequelize.transaction({ isolationLevel: ISOLATION_LEVELS.READ_COMMITTED }, async (transaction) => {
      await balance('b', { transaction });
      await Account.update({ balance: 60 }, { where: { owner: 'b' } });
      assert.equal(await balance('b', { transaction }), 60);
    });
  });
  await check('the isolation level does not stay with the connection', async () => {
    const one = connect({ pool: { max: 1 } });
    await one.transaction({ isolationLevel: ISOLATION_LEVELS.SERIALIZABLE }, (transaction) => one.query('SELECT 1', { transaction }));
    const [[row]] = await one.query('SELECT @@transaction_isolation AS level').catch(() => one.query('SELECT @@tx_isolation AS level'));
    assert.equal(row.level, 'REPEATABLE-READ');
    await one.close();
  });
  await check('savepoints: an inner one rolls back alone', async () => {
    await sequelize.transaction(async (transaction) => {
      await Account.update({ balance: 7 }, { where: { owner: 'a' }, transaction });
      await rejected(sequelize.transaction({ transaction }, async (inner) => {
        await Account.update({ balance: 8 }, { where: { owner: 'a' }, transaction: inner });
        throw new Error('inner');
      }));
      assert.equal(await balance('a', { transaction }), 7);
      await sequelize.transaction({ transaction }, (inner) => Account.update({ balance: 9 }, { where: { owner: 'b' }, transaction: inner }));
    });
    assert.deepEqual([await balance('a'), await balance('b')], [7, 9]);
  });
  await check('savepoints: three deep', async () => {
    await sequelize.transaction(async (one) => {
      await sequelize.transaction({ transaction: one }, async (two) => {
        await sequelize.transaction({ transaction: two }, (three) => Account.create({ owner: 'deep', balance: 3 }, { transaction: three }));
      });
    });
    assert.equal(await balance('deep'), 3);
    await Account.destroy({ where: { owner: 'deep' } });
  });
  await check('lock UPDATE makes a second one wait', async () => {
    await reset();
    const order = [];
    const { give, given } = signal();
    const first = sequelize.transaction(async (transaction) => {
      const a = await Account.findOne({ where: { owner: 'a' }, lock: LOCK.UPDATE, transaction });
      give();
      await pause(200);
      await a.update({ balance: a.balance + 1 }, { transaction });
      order.push('first');
    });
    await given;
    const second = sequelize.transaction(async (transaction) => {
      const a = await Account.findOne({ where: { owner: 'a' }, lock: true, transaction });
      order.push('second');
      await a.update({ balance: a.balance + 1 }, { transaction });
    });
    await Promise.all([first, second]);
    assert.deepEqual([order, await balance('a')], [['first', 'second'], 102]);
  });
  await check('lock SHARE lets others share', async () => {
    await sequelize.transaction(async (one) => {
      await Account.findAll({ lock: LOCK.SHARE, transaction: one });
      await sequelize.transaction((two) => Account.findAll({ lock: LOCK.SHARE, transaction: two }));
    });
  });
  await check('SKIP LOCKED leaves locked rows out', async () => {
    await sequelize.transaction(async (one) => {
      await Account.findOne({ where: { owner: 'a' }, lock: true, transaction: one });
      await sequelize.transaction(async (two) => {
        const found = await sequelize.query('SELECT owner FROM accounts FOR UPDATE SKIP LOCKED', { type: 'SELECT', transaction: two });
        assert.deepEqual(found.map((account) => account.owner), ['b']);
      });
    });
  });
  await check('a lock of one model of a join', async () => {
    await sequelize.transaction(async (transaction) => {
      const found = await Account.findAll({ lock: { level: LOCK.UPDATE, of: Account }, transaction });
      assert.equal(found.length, 2);
    }).catch((error) => {
      // FOR UPDATE OF is MySQL's alone.
      assert.equal(sequelize.getDialect(), 'mariadb', error.message);
    });
  });
  await check('a deadlock has a victim, whose error says so', async () => {
    const meet = [signal(), signal()];
    const run = (mine, other, at) => sequelize.transaction(async (transaction) => {
      await Account.increment('balance', { where: { owner: mine }, transaction });
      meet[at].give();
      await meet[1 - at].given;
      await Account.increment('balance', { where: { owner: other }, transaction });
    });
    const results = await Promise.allSettled([run('a', 'b', 0), run('b', 'a', 1)]);
    const failed = results.filter((result) => result.status === 'rejected');
    assert.equal(failed.length, 1);
    assert.equal(failed[0].reason.original.code, 'ER_LOCK_DEADLOCK');
  });
  await check('a lock wait that takes too long', async () => {
    await sequelize.transaction(async (one) => {
      await Account.findOne({ where: { owner: 'a' }, lock: true, transaction: one });
      const error = await rejected(sequelize.transaction(async (two) => {
        await sequelize.query('SET SESSION innodb_lock_wait_timeout = 1', { transaction: two });
        await Account.update({ balance: 0 }, { where: { owner: 'a' }, transaction: two });
      }), DatabaseError);
      assert.equal(error.original.code, 'ER_LOCK_WAIT_TIMEOUT');
    });
  });
  await check('a read-only transaction refuses to write', async () => {
    await sequelize.transaction(async (transaction) => {
      await sequelize.query('SELECT 1', { transaction });
    });
    const one = connect({ pool: { max: 1 } });
    await one.query('START TRANSACTION READ ONLY');
    const error = await rejected(one.query('UPDATE accounts SET balance = 0'));
    assert.equal(error.original.code, 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION');
    await one.query('ROLLBACK');
    await one.close();
  });
  await check('findOrCreate within a transaction', async () => {
    await rejected(sequelize.transaction(async (transaction) => {
      const [, created] = await Account.findOrCreate({ where: { owner: 'foc' }, defaults: { balance: 1 }, transaction });
      assert.equal(created, true);
      throw new Error('back');
    }));
    assert.equal(await Account.count({ where: { owner: 'foc' } }), 0);
  });
  await check('fifty transfers at once keep the sum', async () => {
    await reset();
    const busy = connect({ pool: { max: 10 } });
    await Promise.all(Array.from({ length: 50 }, (_, at) => busy.transaction(async (transaction) => {
      const [from, to] = at % 2 ? ['a', 'b'] : ['b', 'a'];
      await busy.query('SELECT * FROM accounts ORDER BY id FOR UPDATE', { transaction });
      await busy.query('UPDATE accounts SET balance = balance - 1 WHERE owner = ?', { replacements: [from], transaction });
      await busy.query('UPDATE accounts SET balance = balance + 1 WHERE owner = ?', { replacements: [to], transaction });
    })));
    assert.equal(await Account.sum('balance'), 150);
    await busy.close();
  });
  await check('pool: no more connections than it may have', async () => {
    const small = connect({ pool: { max: 3 } });
    const ids = await Promise.all(Array.from({ length: 20 }, () => small.query('SELECT CONNECTION_ID() AS id, SLEEP(0.02)', { type: 'SELECT', plain: true })));
    assert(new Set(ids.map((row) => row.id)).size <= 3);
    await small.close();
  });
  await check('pool: acquire gives up in time', async () => {
    const small = connect({ pool: { max: 1, acquire: 300 } });
    const transaction = await small.transaction();
    await rejected(small.query('SELECT 1'), ConnectionAcquireTimeoutError);
    await transaction.rollback();
    await small.close();
  });
  await check('pool: a connection that the server ended is replaced', async () => {
    const small = connect({ pool: { max: 1 } });
    const { id } = await small.query('SELECT CONNECTION_ID() AS id', { type: 'SELECT', plain: true });
    await sequelize.query(`KILL ${id}`);
    await pause(200);
    const again = await small.query('SELECT CONNECTION_ID() AS id', { type: 'SELECT', plain: true });
    assert.notEqual(again.id, id);
    await small.close();
  });
  await check('reading and writing connections apart', async () => {
    const { config, options } = sequelize;
    const one = { host: config.host, port: config.port, username: 'root', password: config.password, database: config.database };
    const both = new Sequelize({ dialect: options.dialect, logging: false, replication: { read: [one, one], write: one } });
    await both.query('SELECT 1', { type: 'SELECT' });
    await both.query("UPDATE accounts SET balance = 51 WHERE owner = 'b'");
    assert.equal(await balance('b'), 51);
    await both.close();
  });
};
