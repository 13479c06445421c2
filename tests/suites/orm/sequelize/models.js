// Models: instances, validation, hooks, scopes, getters, upsert, bulk operations, increments, soft deletion, versions.

const { assert, rejected } = require('../checks');
const { DataTypes, Model, Op, OptimisticLockError, ValidationError, AggregateError } = require('sequelize');

module.exports = async (check, { sequelize, connect }) => {
  const User = sequelize.define('user', {
    name: { type: DataTypes.STRING, allowNull: false, unique: true },
    email: { type: DataTypes.STRING, validate: { isEmail: true } },
    age: { type: DataTypes.INTEGER, defaultValue: 30, validate: { min: 0, max: 150 } },
    score: { type: DataTypes.DECIMAL(8, 2), defaultValue: 0 },
    secret: {
      type: DataTypes.STRING,
      set(value) { this.setDataValue('secret', [...value].reverse().join('')); },
      get() { const kept = this.getDataValue('secret'); return kept && [...kept].reverse().join(''); },
    },
  }, {
    validate: { notOldAda() { if (this.name === 'Ada' && this.age > 100) throw new Error('too old'); } },
    scopes: {
      adults: { where: { age: { [Op.gte]: 18 } } },
      named: (name) => ({ where: { name } }),
      ordered: { order: [['age', 'DESC']] },
    },
  });
  await check('sync', () => User.sync({ force: true }));
  await check('create gives the id and times', async () => {
    const user = await User.create({ name: 'Ada', email: 'ada@example.org' });
    assert.equal(user.id, 1);
    assert(user.createdAt instanceof Date);
    assert.equal(user.age, 30);
  });
  await check('build, save, isNewRecord', async () => {
    const user = User.build({ name: 'Bob' });
    assert.equal(user.isNewRecord, true);
    await user.save();
    assert.deepEqual([user.isNewRecord, user.id], [false, 2]);
  });
  await check('create with chosen fields only', async () => {
    const user = await (await User.create({ name: 'Cy', age: 50 }, { fields: ['name'] })).reload();
    assert.equal(user.age, 30);
  });
  await check('create with raw values', async () => {
    const user = await User.create({ name: 'Raw', age: sequelize.literal('20 + 3') });
    assert.equal((await user.reload()).age, 23);
    await user.destroy();
  });
  await check('changed, previous, save writes what changed', async () => {
    const user = await User.findOne({ where: { name: 'Bob' } });
    user.age = 41;
    assert.deepEqual([user.changed(), user.previous('age')], [['age'], 30]);
    await user.save();
    assert.equal((await User.findByPk(user.id)).age, 41);
    assert.equal(user.changed(), false);
  });
  await check('update of an instance', async () => {
    const user = await User.findOne({ where: { name: 'Bob' } });
    await user.update({ age: 42, email: 'bob@example.org' });
    await user.reload();
    assert.deepEqual([user.age, user.email], [42, 'bob@example.org']);
  });
  await check('update by a condition tells how many', async () => {
    assert.deepEqual(await User.update({ email: 'both@example.org' }, { where: { name: ['Bob', 'Cy'] } }), [2]);
  });
  await check('update with a function of the column, and a limit', async () => {
    const [count] = await User.update({ age: sequelize.literal('age + 1') }, { where: {}, limit: 2 });
    assert.equal(count, 2);
  });
  await check('reload of what is gone', async () => {
    const user = await User.create({ name: 'Gone' });
    await User.destroy({ where: { id: user.id } });
    await rejected(user.reload());
  });
  await check('destroy tells how many', async () => {
    await User.bulkCreate([{ name: 'x1' }, { name: 'x2' }, { name: 'x3' }]);
    assert.equal(await User.destroy({ where: { name: { [Op.like]: 'x%' } }, limit: 2 }), 2);
    assert.equal(await User.destroy({ where: { name: { [Op.like]: 'x%' } } }), 1);
  });
  await check('getters and setters', async () => {
    const user = await User.create({ name: 'Sec', secret: 'abc' });
    const [[row]] = await sequelize.query("SELECT secret FROM users WHERE name = 'Sec'");
    assert.deepEqual([row.secret, (await user.reload()).secret], ['cba', 'abc']);
    await user.destroy();
  });
  await check('toJSON and get({ plain })', async () => {
    const user = await User.findByPk(1);
    assert.equal(user.get({ plain: true }).name, 'Ada');
    assert.equal(JSON.parse(JSON.stringify(user)).name, 'Ada');
  });
  await check('validation: of a column', async () => {
    const error = await rejected(User.create({ name: 'V', email: 'no address' }), ValidationError);
    assert.deepEqual([error.errors[0].path, error.errors[0].validatorKey], ['email', 'isEmail']);
    await rejected(User.create({ name: 'V', age: 200 }), ValidationError);
  });
  await check('validation: NULL where it is not allowed', async () => {
    const error = await rejected(User.create({}), ValidationError);
    assert.equal(error.errors[0].type, 'notNull Violation');
  });
  await check('validation: of the model', () => rejected(User.create({ name: 'Ada', age: 101 }), ValidationError));
  await check('validation can be left out', async () => {
    const user = await User.create({ name: 'NV', email: 'no address' }, { validate: false });
    await user.destroy();
  });
  await check('bulkCreate', async () => {
    const users = await User.bulkCreate([{ name: 'b1', age: 10 }, { name: 'b2', age: 20 }, { name: 'b3', age: 30 }]);
    assert.equal(users.length, 3);
    assert.equal(await User.count({ where: { name: { [Op.like]: 'b_' } } }), 3);
  });
  await check('bulkCreate with validation names each row', async () => {
    const error = await rejected(User.bulkCreate([{ name: 'v1' }, { name: 'v2', email: 'no' }], { validate: true }), AggregateError);
    assert.equal(error.errors.length, 1);
    assert.equal(await User.count({ where: { name: 'v1' } }), 0);
  });
  await check('bulkCreate with ignoreDuplicates', async () => {
    await User.bulkCreate([{ name: 'b1', age: 99 }, { name: 'b4', age: 40 }], { ignoreDuplicates: true });
    assert.equal((await User.findOne({ where: { name: 'b1' } })).age, 10);
    assert.equal(await User.count({ where: { name: 'b4' } }), 1);
  });
  await check('bulkCreate with updateOnDuplicate', async () => {
    await User.bulkCreate([{ name: 'b1', age: 11 }, { name: 'b5', age: 50 }], { updateOnDuplicate: ['age'] });
    assert.equal((await User.findOne({ where: { name: 'b1' } })).age, 11);
    assert.equal((await User.findOne({ where: { name: 'b5' } })).age, 50);
  });
  await check('bulkCreate of 5,000 rows', async () => {
    const Many = sequelize.define('many', { n: DataTypes.INTEGER, t: DataTypes.STRING }, { timestamps: false });
    await Many.sync({ force: true });
    await Many.bulkCreate(Array.from({ length: 5000 }, (_, n) => ({ n, t: `row ${n}` })));
    assert.deepEqual([await Many.count(), await Many.sum('n'), await Many.max('n')], [5000, 12497500, 4999]);
    await Many.drop();
  });
  await check('upsert inserts', async () => {
    await User.upsert({ name: 'up', age: 1 });
    assert.equal((await User.findOne({ where: { name: 'up' } })).age, 1);
  });
  await check('upsert updates', async () => {
    await User.upsert({ name: 'up', age: 2 });
    const found = await User.findAll({ where: { name: 'up' } });
    assert.deepEqual(found.map((user) => user.age), [2]);
  });
  await check('upsert tells whether it inserted', async () => {
    const [, first] = await User.upsert({ name: 'told', age: 1 });
    const [, second] = await User.upsert({ name: 'told', age: 5 });
    assert.deepEqual([first, second], [true, false]);
  });
  await check('findOrCreate', async () => {
    const [one, created] = await User.findOrCreate({ where: { name: 'foc' }, defaults: { age: 60 } });
    const [two, again] = await User.findOrCreate({ where: { name: 'foc' }, defaults: { age: 70 } });
    assert.deepEqual([created, again, one.id, two.age], [true, false, two.id, 60]);
  });
  await check('findOrCreate from ten at once makes one', async () => {
    const results = await Promise.all(Array.from({ length: 10 }, () => User.findOrCreate({ where: { name: 'raced' } })));
    assert.equal(results.filter(([, created]) => created).length, 1);
    assert.equal(await User.count({ where: { name: 'raced' } }), 1);
  });
  await check('findOrBuild and findCreateFind', async () => {
    const [built, isBuilt] = await User.findOrBuild({ where: { name: 'fob' } });
    assert.deepEqual([isBuilt, built.isNewRecord], [true, true]);
    const [, created] = await User.findCreateFind({ where: { name: 'fcf' } });
    assert.equal(created, true);
  });
  await check('increment and decrement of an instance', async () => {
    const user = await User.findOne({ where: { name: 'b2' } });
    await user.increment('age');
    await user.increment({ age: 2, score: 1.5 });
    await user.decrement('age', { by: 1 });
    await user.reload();
    assert.deepEqual([user.age, Number(user.score)], [22, 1.5]);
  });
  await check('increment by a condition', async () => {
    await User.increment({ age: 5 }, { where: { name: ['b2', 'b3'] } });
    assert.equal((await User.findOne({ where: { name: 'b3' } })).age, 35);
  });
  await check('increments from twenty at once add up', async () => {
    const user = await User.create({ name: 'counter', age: 0 });
    await Promise.all(Array.from({ length: 20 }, () => User.increment('age', { where: { name: 'counter' } })));
    assert.equal((await user.reload()).age, 20);
  });
  await check('scopes: named, with arguments, several, default', async () => {
    assert.equal(await User.scope('adults').count({ where: { name: 'b1' } }), 0);
    assert.equal((await User.scope({ method: ['named', 'Ada'] }).findAll()).length, 1);
    const found = await User.scope('adults', 'ordered').findAll();
    assert(found.every((user, at) => at === 0 || found[at - 1].age >= user.age));
  });
  await check('scopes: addScope, default and unscoped', async () => {
    const Scoped = sequelize.define('scoped', { active: DataTypes.BOOLEAN }, { defaultScope: { where: { active: true } }, timestamps: false });
    await Scoped.sync({ force: true });
    await Scoped.bulkCreate([{ active: true }, { active: false }]);
    Scoped.addScope('off', { where: { active: false } });
    assert.deepEqual([await Scoped.count(), await Scoped.unscoped().count(), await Scoped.scope('off').count()], [1, 2, 1]);
  });
  await check('hooks of an instance, in order', async () => {
    const told = [];
    const names = ['beforeValidate', 'afterValidate', 'beforeCreate', 'afterCreate', 'beforeSave', 'afterSave', 'beforeUpdate', 'afterUpdate', 'beforeDestroy', 'afterDestroy'];
    const hooks = Object.fromEntries(names.map((name) => [name, () => { told.push(name); }]));
    const Hooked = sequelize.define('hooked', { v: DataTypes.INTEGER }, { hooks });
    await Hooked.sync({ force: true });
    const row = await Hooked.create({ v: 1 });
    await row.update({ v: 2 });
    await row.destroy();
    assert.deepEqual(told.filter((name) => /Create|Update|Destroy/.test(name)), ['beforeCreate', 'afterCreate', 'beforeUpdate', 'afterUpdate', 'beforeDestroy', 'afterDestroy']);
  });
  await check('hooks of bulk operations, with individualHooks', async () => {
    const told = [];
    const Hooked = sequelize.define('bulk_hooked', { v: DataTypes.INTEGER });
    for (const name of ['beforeBulkCreate', 'afterBulkCreate', 'beforeBulkUpdate', 'beforeBulkDestroy', 'afterUpdate', 'afterDestroy', 'afterCreate']) {
      Hooked.addHook(name, () => { told.push(name); });
    }
    await Hooked.sync({ force: true });
    await Hooked.bulkCreate([{ v: 1 }, { v: 2 }], { individualHooks: true });
    await Hooked.update({ v: 3 }, { where: { v: 1 }, individualHooks: true });
    await Hooked.destroy({ where: {}, individualHooks: true });
    assert.equal(told.filter((name) => name === 'afterCreate').length, 2);
    assert.equal(told.filter((name) => name === 'afterDestroy').length, 2);
    assert.equal(told.filter((name) => name === 'afterUpdate').length, 1);
  });
  await check('a hook that throws stops the statement', async () => {
    const Hooked = sequelize.define('stopping', { v: DataTypes.INTEGER }, { hooks: { beforeCreate() { throw new Error('not today'); } } });
    await Hooked.sync({ force: true });
    await rejected(Hooked.create({ v: 1 }));
    assert.equal(await Hooked.count(), 0);
  });
  await check('paranoid: destroy hides, restore shows, force deletes', async () => {
    const Soft = sequelize.define('soft', { v: DataTypes.INTEGER }, { paranoid: true });
    await Soft.sync({ force: true });
    const row = await Soft.create({ v: 1 });
    await Soft.create({ v: 2 });
    await row.destroy();
    assert.deepEqual([await Soft.count(), await Soft.count({ paranoid: false }), row.isSoftDeleted()], [1, 2, true]);
    assert.equal(await Soft.count({ where: { deletedAt: { [Op.ne]: null } }, paranoid: false }), 1);
    await row.restore();
    assert.equal(await Soft.count(), 2);
    await Soft.destroy({ where: { v: 2 } });
    await Soft.restore({ where: { v: 2 } });
    assert.equal(await Soft.count(), 2);
    await row.destroy({ force: true });
    assert.equal(await Soft.count({ paranoid: false }), 1);
  });
  await check('version: a second writer of an old version fails', async () => {
    const Versioned = sequelize.define('versioned', { v: DataTypes.INTEGER }, { version: true });
    await Versioned.sync({ force: true });
    const { id } = await Versioned.create({ v: 1 });
    const [one, two] = [await Versioned.findByPk(id), await Versioned.findByPk(id)];
    await one.update({ v: 2 });
    await rejected(two.update({ v: 3 }), OptimisticLockError);
    assert.deepEqual([(await one.reload()).v, one.version], [2, 1]);
  });
  await check('classes as models, with methods', async () => {
    class Circle extends Model {
      get area() { return this.radius ** 2 * 3; }
      static large() { return this.findAll({ where: { radius: { [Op.gt]: 5 } } }); }
    }
    Circle.init({ radius: DataTypes.FLOAT }, { sequelize, modelName: 'circle' });
    await Circle.sync({ force: true });
    await Circle.bulkCreate([{ radius: 1 }, { radius: 10 }]);
    assert.deepEqual((await Circle.large()).map((circle) => circle.area), [300]);
  });
  await check('models without a primary key, and with keys of their own', async () => {
    const Keyless = sequelize.define('keyless', { v: DataTypes.INTEGER }, { timestamps: false });
    Keyless.removeAttribute('id');
    await Keyless.sync({ force: true });
    await Keyless.create({ v: 5 });
    assert.equal((await Keyless.findOne()).v, 5);
    const Pair = sequelize.define('pair', { a: { type: DataTypes.STRING(9), primaryKey: true }, b: { type: DataTypes.UUID, primaryKey: true, defaultValue: DataTypes.UUIDV4 } }, { timestamps: false });
    await Pair.sync({ force: true });
    const pair = await Pair.create({ a: 'x' });
    assert.equal((await Pair.findOne({ where: { a: 'x', b: pair.b } })).b, pair.b);
  });
  await check('times under other names, and switched off', async () => {
    const Timed = sequelize.define('timed', {}, { createdAt: 'made', updatedAt: false });
    await Timed.sync({ force: true });
    const row = await (await Timed.create({})).reload();
    assert(row.made instanceof Date);
    assert.equal(row.updatedAt, undefined);
  });
  await check('silent updates leave updatedAt', async () => {
    const user = await User.findByPk(1);
    const before = user.updatedAt.getTime();
    await user.update({ age: 33 }, { silent: true });
    assert.equal((await user.reload()).updatedAt.getTime(), before);
  });
  await check('benchmark and logging options', async () => {
    const lines = [];
    const timed = connect({ benchmark: true, logging: (text, time) => lines.push([text, time]) });
    await timed.query('SELECT 1');
    assert.match(lines.at(-1)[0], /SELECT 1/);
    assert.equal(typeof lines.at(-1)[1], 'number');
    await timed.close();
  });
};
