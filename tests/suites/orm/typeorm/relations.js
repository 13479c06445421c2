// Relations of all kinds: eager, lazy, joined or queried apart, cascades, orphans, trees of four kinds.

const { assert, rejected } = require('../checks');
const { EntitySchema, In, IsNull, MoreThan, QueryFailedError } = require('typeorm');

const id = { type: 'int', primary: true, generated: true };
const text = { type: 'varchar', length: 50 };

const Country = new EntitySchema({
  name: 'Country',
  columns: { id, name: text },
  relations: {
    cities: { type: 'one-to-many', target: 'City', inverseSide: 'country', cascade: true },
    seat: { type: 'one-to-one', target: 'Seat', inverseSide: 'country', cascade: true },
  },
});
const City = new EntitySchema({
  name: 'City',
  columns: { id, name: text, people: { type: 'int', default: 0 } },
  relations: {
    country: { type: 'many-to-one', target: 'Country', inverseSide: 'cities', onDelete: 'CASCADE', nullable: true },
    streets: { type: 'one-to-many', target: 'Street', inverseSide: 'city', cascade: ['insert', 'update'] },
  },
});
const Street = new EntitySchema({
  name: 'Street',
  columns: { id, name: text, cityId: { type: 'int', nullable: true } },
  relations: { city: { type: 'many-to-one', target: 'City', inverseSide: 'streets', orphanedRowAction: 'delete', joinColumn: { name: 'cityId' } } },
});
const Seat = new EntitySchema({
  name: 'Seat',
  columns: { id, since: { type: 'int' } },
  relations: { country: { type: 'one-to-one', target: 'Country', inverseSide: 'seat', joinColumn: true, onDelete: 'CASCADE' } },
});
const Person = new EntitySchema({
  name: 'Person',
  columns: { id, name: text },
  relations: {
    clubs: { type: 'many-to-many', target: 'Club', inverseSide: 'members', joinTable: { name: 'memberships', joinColumn: { name: 'person' }, inverseJoinColumn: { name: 'club' } }, cascade: true },
    friends: { type: 'many-to-many', target: 'Person', joinTable: true },
    home: { type: 'many-to-one', target: 'City', eager: true, nullable: true, onDelete: 'SET NULL' },
    boss: { type: 'many-to-one', target: 'Person', inverseSide: 'staff', nullable: true },
    staff: { type: 'one-to-many', target: 'Person', inverseSide: 'boss' },
  },
});
const Club = new EntitySchema({ name: 'Club', columns: { id, name: text }, relations: { members: { type: 'many-to-many', target: 'Person', inverseSide: 'clubs' } } });
const Album = new EntitySchema({ name: 'Album', columns: { id, name: text }, relations: { songs: { type: 'one-to-many', target: 'Song', inverseSide: 'album', lazy: true, cascade: true } } });
const Song = new EntitySchema({ name: 'Song', columns: { id, name: text }, relations: { album: { type: 'many-to-one', target: 'Album', inverseSide: 'songs', lazy: true } } });
const Coded = new EntitySchema({ name: 'Coded', columns: { a: { type: 'int', primary: true }, b: { type: 'varchar', length: 5, primary: true } } });
const Coding = new EntitySchema({ name: 'Coding', columns: { id }, relations: { coded: { type: 'many-to-one', target: 'Coded', joinColumn: [{ name: 'ca', referencedColumnName: 'a' }, { name: 'cb', referencedColumnName: 'b' }] } } });
const Restricted = new EntitySchema({ name: 'Restricted', columns: { id }, relations: { club: { type: 'many-to-one', target: 'Club', onDelete: 'RESTRICT', nullable: false } } });

const tree = (kind) => new EntitySchema({
  name: `Tree_${kind}`,
  columns: { id, name: text },
  trees: [{ type: kind }],
  relations: {
    parent: { type: 'many-to-one', target: `Tree_${kind}`, treeParent: true, inverseSide: 'children', ...(kind === 'closure-table' ? { onDelete: 'CASCADE' } : {}) },
    children: { type: 'one-to-many', target: `Tree_${kind}`, treeChildren: true, inverseSide: 'parent', cascade: true },
  },
});
const TREES = ['adjacency-list', 'nested-set', 'materialized-path', 'closure-table'];

module.exports = async (check, { open, pending }) => {
  const source = await open([Country, City, Street, Seat, Person, Club, Album, Song, Coded, Coding, Restricted]);
  const [countries, cities, streets, people, clubs] = ['Country', 'City', 'Street', 'Person', 'Club'].map((name) => source.getRepository(name));
  await check('the schema needs no change', async () => assert.deepEqual(await pending(source), []));
  await check('cascades insert three levels', async () => {
    await countries.save({ name: 'Norway', cities: [{ name: 'Oslo', people: 700, streets: [{ name: 'Karl Johan' }, { name: 'Storgata' }] }, { name: 'Bergen', people: 280 }], seat: { since: 1814 } });
    await countries.save({ name: 'Chile', cities: [{ name: 'Arica', people: 220 }] });
    await countries.save({ name: 'Empty' });
    assert.deepEqual([await cities.count(), await streets.count(), await source.getRepository('Seat').count()], [3, 2, 1]);
  });
  await check('relations in find', async () => {
    const found = await countries.find({ relations: { cities: { streets: true }, seat: true }, order: { name: 'ASC', cities: { name: 'DESC' } } });
    assert.deepEqual(found.map((country) => [country.name, country.cities.map((city) => city.name), country.seat?.since ?? null]), [['Chile', ['Arica'], null], ['Empty', [], null], ['Norway', ['Oslo', 'Bergen'], 1814]]);
    assert.equal(found[2].cities[0].streets.length, 2);
  });
  await check('relations by queries of their own', async () => {
    const found = await countries.find({ relations: { cities: { streets: true } }, relationLoadStrategy: 'query', order: { name: 'ASC' } });
    assert.deepEqual(found.map((country) => country.cities.length), [1, 0, 2]);
  });
  await check('conditions on relations', async () => {
    assert.deepEqual((await countries.find({ where: { cities: { people: MoreThan(250) } }, relations: { cities: true } })).map((country) => country.name), ['Norway']);
    assert.deepEqual((await cities.find({ where: { country: { name: 'Chile' } } })).map((city) => city.name), ['Arica']);
    assert.equal(await cities.countBy({ streets: { name: 'Storgata' } }), 1);
  });
  await check('take and skip with joined relations', async () => {
    const [found, count] = await countries.findAndCount({ relations: { cities: true }, order: { name: 'DESC' }, take: 2, skip: 0 });
    assert.deepEqual([found.map((country) => country.cities.length), count], [[2, 0], 3]);
    const next = await countries.find({ relations: { cities: true }, order: { cities: { people: 'DESC' } }, take: 1, skip: 1 });
    assert.equal(next.length, 1);
  });
  await check('select of columns of relations', async () => {
    const [found] = await countries.find({ select: { name: true, cities: { name: true } }, relations: { cities: true }, where: { name: 'Chile' } });
    assert.deepEqual(Object.keys(found.cities[0]), ['name']);
  });
  await check('loadRelationIds', async () => {
    const [found] = await countries.find({ where: { name: 'Norway' }, loadRelationIds: true });
    assert.equal(found.cities.length, 2);
    assert.equal(typeof found.cities[0], 'number');
  });
  await check('many to many: cascades, both sides', async () => {
    const chess = await clubs.save({ name: 'Chess' });
    const oslo = await cities.findOneByOrFail({ name: 'Oslo' });
    await people.save([{ name: 'Ann', clubs: [chess, { name: 'Rowing' }], home: oslo }, { name: 'Ben', clubs: [chess] }, { name: 'Cat' }]);
    const found = await clubs.findOneOrFail({ where: { name: 'Chess' }, relations: { members: true }, order: { members: { name: 'ASC' } } });
    assert.deepEqual(found.members.map((person) => person.name), ['Ann', 'Ben']);
    const [row] = await source.query('SELECT COUNT(*) AS n FROM memberships');
    assert.equal(Number(row.n), 3);
  });
  await check('many to many: changed by save', async () => {
    const ann = await people.findOneOrFail({ where: { name: 'Ann' }, relations: { clubs: true } });
    ann.clubs = ann.clubs.filter((club) => club.name === 'Rowing');
    await people.save(ann);
    assert.equal((await people.findOneOrFail({ where: { name: 'Ann' }, relations: { clubs: true } })).clubs.length, 1);
  });
  await check('eager relations come by themselves', async () => {
    assert.equal((await people.findOneByOrFail({ name: 'Ann' })).home.name, 'Oslo');
    assert.equal((await people.findOne({ where: { name: 'Ann' }, loadEagerRelations: false })).home, undefined);
  });
  await check('a relation with itself', async () => {
    const [ann, ben, cat] = await people.find({ order: { name: 'ASC' } });
    ann.friends = [ben, cat];
    ann.boss = cat;
    ben.boss = cat;
    await people.save([ann, ben]);
    const found = await people.findOneOrFail({ where: { name: 'Ann' }, relations: { friends: true, boss: { staff: true } } });
    assert.deepEqual([found.friends.length, found.boss.staff.length], [2, 2]);
  });
  await check('lazy relations', async () => {
    const albums = source.getRepository('Album');
    const album = albums.create({ name: 'A' });
    album.songs = Promise.resolve([source.getRepository('Song').create({ name: 's1' }), source.getRepository('Song').create({ name: 's2' })]);
    await albums.save(album);
    const found = await albums.findOneByOrFail({ name: 'A' });
    assert.equal((await found.songs).length, 2);
    const song = await source.getRepository('Song').findOneByOrFail({ name: 's1' });
    assert.equal((await song.album).name, 'A');
  });
  await check('relation query builder: add, remove, set, load', async () => {
    const [ann] = await people.find({ where: { name: 'Ann' } });
    const chess = await clubs.findOneByOrFail({ name: 'Chess' });
    const relation = () => source.createQueryBuilder().relation('Person', 'clubs').of(ann);
    await relation().add(chess.id);
    assert.equal((await relation().loadMany()).length, 2);
    await relation().remove(chess);
    assert.equal((await relation().loadMany()).length, 1);
    await relation().addAndRemove([chess], []);
    const home = source.createQueryBuilder().relation('Person', 'home').of(ann);
    await home.set(null);
    assert.equal(await home.loadOne(), undefined);
    await home.set(1);
    assert.equal((await home.loadOne()).id, 1);
  });
  await check('orphans are deleted', async () => {
    const oslo = await cities.findOneOrFail({ where: { name: 'Oslo' }, relations: { streets: true } });
    oslo.streets = oslo.streets.slice(1);
    await cities.save(oslo);
    assert.equal(await streets.count(), 1);
  });
  await check('children move to another parent', async () => {
    const chile = await countries.findOneOrFail({ where: { name: 'Chile' }, relations: { cities: true } });
    const bergen = await cities.findOneByOrFail({ name: 'Bergen' });
    chile.cities.push(bergen);
    await countries.save(chile);
    assert.equal(await cities.countBy({ country: { name: 'Chile' } }), 2);
    chile.cities = chile.cities.filter((city) => city.name !== 'Bergen');
    await countries.save(chile);
    assert.equal(await cities.countBy({ country: IsNull() }), 1);
  });
  await check('keys of two columns', async () => {
    await source.getRepository('Coded').save({ a: 1, b: 'x' });
    await source.getRepository('Coding').save({ coded: { a: 1, b: 'x' } });
    const [found] = await source.getRepository('Coding').find({ relations: { coded: true } });
    assert.deepEqual({ ...found.coded }, { a: 1, b: 'x' });
    await rejected(source.getRepository('Coding').save({ coded: { a: 1, b: 'y' } }), QueryFailedError);
  });
  await check('onDelete CASCADE', async () => {
    const short = await countries.save({ name: 'Short', cities: [{ name: 'S1' }, { name: 'S2' }], seat: { since: 1 } });
    await countries.delete(short.id);
    assert.equal(await cities.countBy({ name: In(['S1', 'S2']) }), 0);
  });
  await check('onDelete SET NULL', async () => {
    const town = await cities.save({ name: 'Gone' });
    const dan = await people.save({ name: 'Dan', home: town });
    await cities.delete(town.id);
    assert.equal((await people.findOneByOrFail({ id: dan.id })).home, null);
  });
  await check('onDelete RESTRICT keeps the parent', async () => {
    const club = await clubs.save({ name: 'Kept' });
    await source.getRepository('Restricted').save({ club });
    const error = await rejected(clubs.delete(club.id), QueryFailedError);
    assert.equal(error.driverError.errno, 1451);
  });
  await check('a child of no parent is refused', async () => {
    const error = await rejected(streets.insert({ name: 'Nowhere', cityId: 9999 }), QueryFailedError);
    assert.equal(error.driverError.errno, 1452);
  });
  await source.destroy();

  for (const kind of TREES) {
    const name = `Tree_${kind}`;
    let trees;
    let repository;
    await check(`${kind}: made and found unchanged`, async () => {
      trees = await open([tree(kind)]);
      repository = kind === 'adjacency-list' ? trees.getRepository(name) : trees.getTreeRepository(name);
      assert.deepEqual(await pending(trees), []);
    });
    await check(`${kind}: nodes are saved`, async () => {
      const root = await repository.save({ name: 'root' });
      const left = await repository.save({ name: 'left', parent: root });
      await repository.save({ name: 'right', parent: root });
      await repository.save({ name: 'leaf', parent: left });
      assert.equal(await repository.count(), 4);
    });
    if (kind === 'adjacency-list') {
      await check(`${kind}: parents and children`, async () => {
        const root = await repository.findOneOrFail({ where: { name: 'root' }, relations: { children: { children: true } }, order: { children: { name: 'ASC' } } });
        assert.deepEqual(root.children.map((node) => [node.name, node.children.length]), [['left', 1], ['right', 0]]);
      });
    } else {
      await check(`${kind}: findTrees, findRoots`, async () => {
        const [root] = await repository.findTrees();
        assert.deepEqual([root.name, root.children.length, root.children.find((node) => node.name === 'left').children[0].name], ['root', 2, 'leaf']);
        assert.equal((await repository.findRoots()).length, 1);
        assert.equal((await repository.findTrees({ depth: 1 }))[0].children[0].children.length, 0);
      });
      await check(`${kind}: descendants`, async () => {
        const left = await repository.findOneByOrFail({ name: 'left' });
        assert.deepEqual((await repository.findDescendants(left)).map((node) => node.name).sort(), ['leaf', 'left']);
        assert.equal(await repository.countDescendants(left), 2);
        assert.equal((await repository.findDescendantsTree(left)).children[0].name, 'leaf');
      });
      await check(`${kind}: ancestors`, async () => {
        const leaf = await repository.findOneByOrFail({ name: 'leaf' });
        assert.deepEqual((await repository.findAncestors(leaf)).map((node) => node.name).sort(), ['leaf', 'left', 'root']);
        assert.equal(await repository.countAncestors(leaf), 3);
        assert.equal((await repository.findAncestorsTree(leaf)).parent.parent.name, 'root');
      });
      await check(`${kind}: a node moves`, async () => {
        const [leaf, right] = [await repository.findOneByOrFail({ name: 'leaf' }), await repository.findOneByOrFail({ name: 'right' })];
        leaf.parent = right;
        await repository.save(leaf);
        assert.deepEqual((await repository.findDescendants(right)).map((node) => node.name).sort(), ['leaf', 'right']);
      });
    }
    await check(`${kind}: a leaf is removed`, async () => {
      await repository.remove(await repository.findOneByOrFail({ name: 'leaf' }));
      assert.equal(await repository.count(), 3);
    });
    await trees?.destroy();
  }
};
