// Repositories: save, insert, upsert, update, delete, soft removal, versions, embedded columns, inheritance, listeners, subscribers.

const { assert, rejected } = require('../checks');
const orm = require('typeorm');

const { BaseEntity, EntityNotFoundError, EntitySchema, In, IsNull, Like, MoreThan, Not, QueryFailedError } = orm;

const id = { type: 'int', primary: true, generated: true };

/** Applies TypeORM's decorators to a class: of its own, and of its properties. */
function decorate(kind, own, properties) {
  for (const [name, decorators] of Object.entries(properties)) {
    for (const decorator of [decorators].flat()) decorator(kind.prototype, name);
  }
  for (const decorator of [own].flat()) decorator(kind);
  return kind;
}

class Animal {}
class Dog extends Animal {}
class Cat extends Animal {}
decorate(Animal, [orm.TableInheritance({ column: { type: 'varchar', length: 20, name: 'kind' } }), orm.Entity()], { id: orm.PrimaryGeneratedColumn(), name: orm.Column('varchar') });
decorate(Dog, orm.ChildEntity(), { barks: orm.Column('int') });
decorate(Cat, orm.ChildEntity('tom'), { lives: orm.Column('int', { default: 9 }) });

class Name {}
decorate(Name, [], { first: orm.Column('varchar'), last: orm.Column('varchar', { nullable: true }) });
class Human {}
decorate(Human, orm.Entity(), { id: orm.PrimaryGeneratedColumn(), name: orm.Column(() => Name), other: orm.Column(() => Name, { prefix: 'x_' }) });

class Active extends BaseEntity {}
decorate(Active, orm.Entity(), { id: orm.PrimaryGeneratedColumn(), v: orm.Column('int') });

const told = [];
class Told {
  before() { told.push('beforeInsert'); }
  after() { told.push('afterInsert'); }
  loaded() { told.push('afterLoad'); }
  updating() { told.push('beforeUpdate'); }
  updated() { told.push('afterUpdate'); }
  removing() { told.push('beforeRemove'); }
  removed() { told.push('afterRemove'); }
}
decorate(Told, orm.Entity(), {
  id: orm.PrimaryGeneratedColumn(), v: orm.Column('int'),
  before: orm.BeforeInsert(), after: orm.AfterInsert(), loaded: orm.AfterLoad(), updating: orm.BeforeUpdate(), updated: orm.AfterUpdate(), removing: orm.BeforeRemove(), removed: orm.AfterRemove(),
});

const heard = [];
class Listener {
  listenTo() { return Told; }
  beforeInsert(event) { heard.push(`insert ${event.entity.v}`); }
  afterUpdate(event) { heard.push(`update ${event.updatedColumns.map((column) => column.propertyName)}`); }
  afterRemove(event) { heard.push(`remove ${event.entityId}`); }
  afterTransactionCommit() { heard.push('commit'); }
  afterTransactionRollback() { heard.push('rollback'); }
}
decorate(Listener, orm.EventSubscriber(), {});

const User = new EntitySchema({
  name: 'User',
  columns: {
    id,
    name: { type: 'varchar', length: 40, unique: true },
    age: { type: 'int', default: 30 },
    score: { type: 'decimal', precision: 8, scale: 2, default: 0 },
    hidden: { type: 'varchar', nullable: true, select: false },
    fixed: { type: 'varchar', nullable: true, update: false },
    data: { type: 'json', nullable: true },
    made: { type: 'datetime', precision: 6, createDate: true },
    changed: { type: 'datetime', precision: 6, updateDate: true },
    gone: { type: 'datetime', precision: 6, deleteDate: true },
    version: { type: 'int', version: true },
  },
});
const Keyed = new EntitySchema({ name: 'Keyed', columns: { a: { type: 'varchar', length: 10, primary: true }, b: { type: 'int', primary: true }, v: { type: 'int', nullable: true } } });
const Checked = new EntitySchema({ name: 'Checked', columns: { id, small: { type: 'tinyint' }, short: { type: 'varchar', length: 3 } } });

module.exports = async (check, { open }) => {
  const source = await open([Animal, Dog, Cat, Human, Active, Told, User, Keyed, Checked], { subscribers: [Listener] });
  const users = source.getRepository('User');
  await check('save inserts', async () => {
    const user = await users.save({ name: 'Ada', data: { a: 1 } });
    assert.deepEqual([user.id, user.age, user.version], [1, 30, 1]);
    assert(user.made instanceof Date);
  });
  await check('save updates', async () => {
    const user = await users.findOneByOrFail({ name: 'Ada' });
    user.age = 31;
    const saved = await users.save(user);
    assert.deepEqual([saved.version, (await users.findOneByOrFail({ id: 1 })).age], [2, 31]);
  });
  await check('save of what has not changed writes nothing', async () => {
    const user = await users.findOneByOrFail({ name: 'Ada' });
    await users.save(user);
    assert.equal((await users.findOneByOrFail({ id: 1 })).version, user.version);
  });
  await check('save of many, in chunks', async () => {
    const saved = await users.save(Array.from({ length: 500 }, (_, n) => ({ name: `many ${n}`, age: n % 90 })), { chunk: 100 });
    assert.equal(new Set(saved.map((user) => user.id)).size, 500);
    assert.equal(await users.countBy({ name: Like('many %') }), 500);
  });
  await check('save of part of an entity', async () => {
    await users.save({ id: 1, age: 32 });
    assert.deepEqual((({ name, age }) => [name, age])(await users.findOneByOrFail({ id: 1 })), ['Ada', 32]);
  });
  await check('preload and merge', async () => {
    const user = await users.preload({ id: 1, age: 33 });
    assert.deepEqual([user.name, user.age], ['Ada', 33]);
    users.merge(user, { age: 34 });
    await users.save(user);
    assert.equal((await users.findOneByOrFail({ id: 1 })).age, 34);
    assert.equal(await users.preload({ id: 99999 }), undefined);
  });
  await check('insert tells ids', async () => {
    const { identifiers, generatedMaps } = await users.insert([{ name: 'i1' }, { name: 'i2' }]);
    assert.equal(identifiers.length, 2);
    assert.equal(identifiers[1].id, identifiers[0].id + 1);
    assert.equal(generatedMaps[0].age, 30);
  });
  await check('update by a condition', async () => {
    const { affected } = await users.update({ name: In(['i1', 'i2']) }, { age: 50, score: () => 'score + 1.5' });
    assert.equal(affected, 2);
    assert.equal((await users.findOneByOrFail({ name: 'i1' })).score, '1.50');
  });
  await check('update of a json column', async () => {
    await users.update({ name: 'i1' }, { data: { deep: [1, { er: 'ü' }] } });
    assert.deepEqual((await users.findOneByOrFail({ name: 'i1' })).data, { deep: [1, { er: 'ü' }] });
  });
  await check('columns that are not updated, or not selected', async () => {
    const user = await users.save({ name: 'special', hidden: 'h', fixed: 'f' });
    await users.save({ id: user.id, fixed: 'g', age: 1 });
    const found = await users.findOneByOrFail({ name: 'special' });
    assert.deepEqual([found.fixed, found.hidden], ['f', undefined]);
    assert.equal((await users.findOne({ where: { name: 'special' }, select: { hidden: true } })).hidden, 'h');
  });
  await check('upsert inserts and updates', async () => {
    await users.upsert([{ name: 'i1', age: 60 }, { name: 'i3', age: 61 }], ['name']);
    assert.deepEqual((await users.find({ where: { name: In(['i1', 'i3']) }, order: { name: 'ASC' } })).map((user) => user.age), [60, 61]);
  });
  await check('upsert of a composite key', async () => {
    const keyed = source.getRepository('Keyed');
    await keyed.upsert({ a: 'x', b: 1, v: 1 }, ['a', 'b']);
    await keyed.upsert({ a: 'x', b: 1, v: 2 }, { conflictPaths: ['a', 'b'] });
    assert.deepEqual((await keyed.find()).map((row) => row.v), [2]);
  });
  await check('composite keys: save, find, remove', async () => {
    const keyed = source.getRepository('Keyed');
    await keyed.save([{ a: 'x', b: 1, v: 5 }, { a: 'y', b: 1, v: 6 }]);
    assert.equal((await keyed.findOneBy({ a: 'y', b: 1 })).v, 6);
    await keyed.remove(await keyed.findOneBy({ a: 'y', b: 1 }));
    assert.equal(await keyed.count(), 1);
  });
  await check('delete tells how many', async () => {
    assert.equal((await users.delete({ name: In(['i2', 'i3']) })).affected, 2);
    assert.equal((await users.delete([99998, 99999])).affected, 0);
    await rejected(users.delete({}));
  });
  await check('remove', async () => {
    const user = await users.save({ name: 'removed' });
    await users.remove(user);
    assert.equal(user.id, undefined);
    assert.equal(await users.existsBy({ name: 'removed' }), false);
  });
  await check('softDelete and restore', async () => {
    await users.softDelete({ name: 'i1' });
    assert.equal(await users.findOneBy({ name: 'i1' }), null);
    const hidden = await users.findOne({ where: { name: 'i1' }, withDeleted: true });
    assert(hidden.gone instanceof Date);
    await users.restore({ name: 'i1' });
    assert.equal((await users.findOneByOrFail({ name: 'i1' })).gone, null);
  });
  await check('softRemove and recover', async () => {
    const user = await users.findOneByOrFail({ name: 'i1' });
    await users.softRemove(user);
    assert.equal(await users.existsBy({ name: 'i1' }), false);
    await users.recover(user);
    assert.equal(await users.existsBy({ name: 'i1' }), true);
  });
  await check('increment and decrement', async () => {
    await users.increment({ name: 'i1' }, 'age', 5);
    await users.decrement({ name: 'i1' }, 'score', 0.5);
    const user = await users.findOneByOrFail({ name: 'i1' });
    assert.deepEqual([user.age, user.score], [65, '1.00']);
  });
  await check('twenty increments at once add up', async () => {
    const before = (await users.findOneByOrFail({ name: 'i1' })).age;
    await Promise.all(Array.from({ length: 20 }, () => users.increment({ name: 'i1' }, 'age', 1)));
    assert.equal((await users.findOneByOrFail({ name: 'i1' })).age, before + 20);
  });
  await check('count, exists, sum, average, minimum, maximum', async () => {
    const many = { name: Like('many %') };
    assert.deepEqual([await users.countBy(many), await users.existsBy(many), await users.sum('age', many)], [500, true, 5 * (89 * 90) / 2 + (49 * 50) / 2]);
    assert.deepEqual([await users.minimum('age', many), await users.maximum('age', many)], [0, 89]);
    assert(Math.abs(await users.average('age', many) - 42.5) < 1);
    assert.equal(await users.sum('age', { name: 'nobody' }), null);
  });
  await check('clear', async () => {
    await source.getRepository('Keyed').clear();
    assert.equal(await source.getRepository('Keyed').count(), 0);
  });
  await check('findOneOrFail', () => rejected(users.findOneByOrFail({ name: 'nobody' }), EntityNotFoundError));
  await check('single table inheritance', async () => {
    await source.getRepository(Dog).save(Object.assign(new Dog(), { name: 'Rex', barks: 3 }));
    await source.manager.save(Cat, Object.assign(new Cat(), { name: 'Tom' }));
    assert.equal(await source.getRepository(Animal).count(), 2);
    const [dog] = await source.getRepository(Dog).find();
    assert.deepEqual([dog instanceof Dog, dog.barks], [true, 3]);
    const animals = await source.getRepository(Animal).find({ order: { id: 'ASC' } });
    assert.deepEqual(animals.map((animal) => animal.constructor.name), ['Dog', 'Cat']);
    assert.equal((await source.getRepository(Cat).findOneBy({ lives: 9 })).name, 'Tom');
    const [row] = await source.query('SELECT kind FROM animal WHERE name = ?', ['Tom']);
    assert.equal(row.kind, 'tom');
  });
  await check('embedded columns', async () => {
    const humans = source.getRepository(Human);
    await humans.save({ name: { first: 'A', last: 'B' }, other: { first: 'C' } });
    const found = await humans.findOneBy({ name: { last: 'B' } });
    assert.deepEqual([found.name.first, found.other.first, found.other.last], ['A', 'C', null]);
    const [row] = await source.query('SELECT nameFirst, x_first FROM human');
    assert.deepEqual({ ...row }, { nameFirst: 'A', x_first: 'C' });
  });
  await check('active records', async () => {
    Active.useDataSource(source);
    const one = Active.create({ v: 5 });
    await one.save();
    await one.reload();
    assert.deepEqual([await Active.count(), (await Active.findOneBy({ v: 5 })).id], [1, one.id]);
    await one.remove();
    assert.equal(await Active.count(), 0);
  });
  await check('listeners, in order', async () => {
    const repository = source.getRepository(Told);
    told.length = 0;
    const row = await repository.save(repository.create({ v: 1 }));
    row.v = 2;
    await repository.save(row);
    await repository.findOneBy({ id: row.id });
    await repository.remove(row);
    assert.deepEqual(told.filter((name) => name !== 'afterLoad'), ['beforeInsert', 'afterInsert', 'beforeUpdate', 'afterUpdate', 'beforeRemove', 'afterRemove']);
    assert(told.includes('afterLoad'));
  });
  await check('subscribers, with transactions', async () => {
    heard.length = 0;
    const repository = source.getRepository(Told);
    const row = await repository.save(repository.create({ v: 7 }));
    row.v = 8;
    await repository.save(row);
    await repository.remove(row);
    await rejected(source.transaction(async () => { throw new Error('no'); }));
    assert.deepEqual(heard.filter((text) => !['commit'].includes(text)), ['insert 7', 'update v', `remove ${heard.find((text) => text.startsWith('remove')).slice(7)}`, 'rollback']);
    assert(heard.includes('commit'));
  });
  const fails = async (promise, number) => {
    const error = await rejected(promise, QueryFailedError);
    assert.equal(error.driverError.errno, number);
    return error;
  };
  await check('errors: unique', async () => {
    const error = await fails(users.insert({ name: 'Ada' }), 1062);
    assert.match(error.message, /Duplicate entry 'Ada' for key/);
  });
  await check('errors: NULL where it is not allowed', () => fails(users.insert({ name: null }), 1048));
  await check('errors: no default', () => fails(source.getRepository('Checked').insert({ small: 1 }), 1364));
  await check('errors: out of range', () => fails(source.getRepository('Checked').insert({ small: 200, short: 'a' }), 1264));
  await check('errors: too long', () => fails(source.getRepository('Checked').insert({ small: 1, short: 'abcd' }), 1406));
  await check('errors: a save of many is one transaction', async () => {
    const before = await users.count();
    await fails(users.save([{ name: 'fresh' }, { name: 'Ada' }]), 1062);
    assert.equal(await users.count(), before);
  });
  await check('conditions in every form', async () => {
    const names = async (where) => (await users.find({ where, order: { name: 'ASC' } })).map((user) => user.name).join();
    assert.equal(await names([{ name: 'Ada' }, { name: 'i1' }]), 'Ada,i1');
    assert.equal(await names({ name: Not(Like('many %')), age: MoreThan(30) }), 'Ada,i1');
    assert.equal(await names({ data: Not(IsNull()) }), 'Ada,i1');
  });
  await source.destroy();
};
