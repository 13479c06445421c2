// Associations of all kinds: eager and lazy loading, their methods, through tables, cascades, polymorphic ones, trees.

const { assert, rejected } = require('../checks');
const { DataTypes, ForeignKeyConstraintError, Op } = require('sequelize');

module.exports = async (check, { sequelize }) => {
  const { col, fn, literal } = sequelize.constructor;
  const define = (name, attributes, options = {}) => sequelize.define(name, attributes, { timestamps: false, ...options });
  const Country = define('country', { name: DataTypes.STRING });
  const City = define('city', { name: DataTypes.STRING, people: DataTypes.INTEGER });
  const Capital = define('capital', { since: DataTypes.INTEGER });
  const Person = define('person', { name: DataTypes.STRING });
  const Club = define('club', { name: DataTypes.STRING });
  const Membership = define('membership', { role: DataTypes.STRING, year: DataTypes.INTEGER });
  Country.hasMany(City, { onDelete: 'CASCADE' });
  City.belongsTo(Country);
  Country.hasOne(Capital, { as: 'seat', foreignKey: { name: 'landId', allowNull: false } });
  Capital.belongsTo(Country, { as: 'land', foreignKey: 'landId' });
  City.hasMany(Person, { as: 'inhabitants', foreignKey: 'homeId' });
  Person.belongsTo(City, { as: 'home', foreignKey: 'homeId', onDelete: 'SET NULL' });
  Person.belongsToMany(Club, { through: Membership });
  Club.belongsToMany(Person, { through: Membership, as: 'members' });
  Membership.belongsTo(Person);
  Membership.belongsTo(Club);
  Person.hasMany(Membership);
  Person.belongsToMany(Person, { as: 'friends', through: 'friendships', foreignKey: 'one', otherKey: 'two' });
  Person.belongsTo(Person, { as: 'parent' });
  Person.hasMany(Person, { as: 'children', foreignKey: 'parentId' });

  await check('sync', async () => {
    for (const table of ['friendships', 'memberships', 'people', 'clubs', 'capitals', 'cities', 'countries']) {
      await sequelize.query(`DROP TABLE IF EXISTS ${table}`);
    }
    for (const model of [Country, City, Capital, Person, Club, Membership, sequelize.models.friendships]) await model.sync();
  });
  await check('foreign keys as they are defined', async () => {
    const [key] = await sequelize.getQueryInterface().getForeignKeyReferencesForTable('cities');
    assert.deepEqual([key.columnName, key.referencedTableName], ['countryId', 'countries']);
    const [rows] = await sequelize.query("SELECT DELETE_RULE AS d, UPDATE_RULE AS u FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = 'cities'");
    assert.deepEqual(rows, [{ d: 'CASCADE', u: 'CASCADE' }]);
  });
  await check('create with nested associations', async () => {
    const country = await Country.create({
      name: 'Norway',
      cities: [{ name: 'Oslo', people: 700 }, { name: 'Bergen', people: 280 }],
      seat: { since: 1814 },
    }, { include: [City, 'seat'] });
    assert.equal(country.cities.length, 2);
    assert.equal(await City.count({ where: { countryId: country.id } }), 2);
    await Country.create({ name: 'Chile', cities: [{ name: 'Arica', people: 220 }] }, { include: [City] });
    await Country.create({ name: 'Empty' });
  });
  await check('lazy: getters', async () => {
    const norway = await Country.findOne({ where: { name: 'Norway' } });
    assert.deepEqual((await norway.getCities({ order: ['name'] })).map((city) => city.name), ['Bergen', 'Oslo']);
    assert.equal((await norway.getSeat()).since, 1814);
    assert.equal((await (await City.findOne({ where: { name: 'Oslo' } })).getCountry()).name, 'Norway');
    assert.equal(await norway.countCities(), 2);
    assert.equal(await norway.countCities({ where: { people: { [Op.gt]: 500 } } }), 1);
  });
  await check('eager: hasMany', async () => {
    const countries = await Country.findAll({ include: City, order: ['name', [City, 'name', 'DESC']] });
    assert.deepEqual(countries.map((country) => [country.name, country.cities.map((city) => city.name)]), [['Chile', ['Arica']], ['Empty', []], ['Norway', ['Oslo', 'Bergen']]]);
  });
  await check('eager: belongsTo and hasOne, nested', async () => {
    const city = await City.findOne({ where: { name: 'Oslo' }, include: { model: Country, include: 'seat' } });
    assert.deepEqual([city.country.name, city.country.seat.since], ['Norway', 1814]);
  });
  await check('eager: required, with a condition', async () => {
    const countries = await Country.findAll({ include: { model: City, where: { people: { [Op.gt]: 250 } } }, order: ['id'] });
    assert.deepEqual(countries.map((country) => [country.name, country.cities.length]), [['Norway', 2]]);
  });
  await check('eager: not required, with a condition', async () => {
    const countries = await Country.findAll({ include: { model: City, required: false, where: { people: { [Op.gt]: 500 } } }, order: ['id'] });
    assert.deepEqual(countries.map((country) => country.cities.length), [1, 0, 0]);
  });
  await check('eager: limit of the parents (a subquery)', async () => {
    const countries = await Country.findAll({ include: City, limit: 2, offset: 1, order: [['name', 'DESC']] });
    assert.deepEqual(countries.map((country) => [country.name, country.cities.length]), [['Empty', 0], ['Chile', 1]]);
  });
  await check('eager: limit with a required condition on children', async () => {
    const countries = await Country.findAll({ include: { model: City, where: { people: { [Op.gt]: 200 } } }, limit: 1, order: [['name', 'DESC']] });
    assert.deepEqual(countries.map((country) => [country.name, country.cities.length]), [['Norway', 2]]);
  });
  await check('eager: separate queries, with a limit per parent', async () => {
    const countries = await Country.findAll({ include: { model: City, separate: true, limit: 1, order: [['people', 'DESC']] }, order: ['name'] });
    assert.deepEqual(countries.map((country) => country.cities.map((city) => city.name)), [['Arica'], [], ['Oslo']]);
  });
  await check('eager: a condition of the parent on a child', async () => {
    const found = await Country.findAll({ where: { '$cities.name$': 'Arica' }, include: City });
    assert.deepEqual(found.map((country) => country.name), ['Chile']);
  });
  await check('eager: attributes and aggregates over children', async () => {
    const found = await Country.findAll({
      attributes: ['name', [fn('COUNT', col('cities.id')), 'n'], [fn('SUM', col('cities.people')), 'people']],
      include: { model: City, attributes: [] }, group: ['country.id'], order: [[literal('n'), 'DESC']], raw: true,
    });
    assert.deepEqual(found.map((row) => [row.name, Number(row.n), Number(row.people)]), [['Norway', 2, 980], ['Chile', 1, 220], ['Empty', 0, 0]]);
  });
  await check('eager: findAndCountAll counts parents once', async () => {
    const { count, rows } = await Country.findAndCountAll({ include: City, distinct: true, limit: 1, order: ['id'] });
    assert.deepEqual([count, rows.length, rows[0].cities.length], [3, 1, 2]);
  });
  await check('eager: right join', async () => {
    const found = await Country.findAll({ include: { model: City, required: false, right: true } });
    assert.equal(found.flatMap((country) => country.cities).length, 3);
  });
  await check('hasMany: create, add, set, has, remove', async () => {
    const empty = await Country.findOne({ where: { name: 'Empty' } });
    const first = await empty.createCity({ name: 'First', people: 1 });
    const second = await City.create({ name: 'Second', people: 2 });
    await empty.addCity(second);
    assert.deepEqual([await empty.hasCity(first), await empty.hasCities([first, second]), await empty.countCities()], [true, true, 2]);
    await empty.setCities([second]);
    assert.equal((await first.reload()).countryId, null);
    await empty.removeCity(second);
    assert.equal(await empty.countCities(), 0);
    await City.destroy({ where: { name: ['First', 'Second'] } });
  });
  await check('belongsTo and hasOne: set and create', async () => {
    const oslo = await City.findOne({ where: { name: 'Oslo' } });
    const chile = await Country.findOne({ where: { name: 'Chile' } });
    await oslo.setCountry(chile);
    assert.equal((await oslo.reload()).countryId, chile.id);
    await oslo.setCountry(await Country.findOne({ where: { name: 'Norway' } }));
    await chile.createSeat({ since: 1541 });
    assert.equal((await chile.getSeat()).since, 1541);
    assert.equal(await Capital.count(), 2);
  });
  await check('belongsToMany: add with values of the through table', async () => {
    const [ann, ben, cat] = await Promise.all(['Ann', 'Ben', 'Cat'].map((name) => Person.create({ name })));
    const [chess, rowing] = await Promise.all(['Chess', 'Rowing'].map((name) => Club.create({ name })));
    await ann.addClub(chess, { through: { role: 'head', year: 1999 } });
    await ann.addClubs([rowing]);
    await chess.addMembers([ben, cat], { through: { role: 'member', year: 2005 } });
    assert.equal(await Membership.count(), 4);
    const [club] = await ann.getClubs({ where: { name: 'Chess' } });
    assert.deepEqual([club.membership.role, club.membership.year], ['head', 1999]);
  });
  await check('belongsToMany: eager, with conditions on the through table', async () => {
    const club = await Club.findOne({ where: { name: 'Chess' }, include: { association: 'members', through: { where: { year: { [Op.gt]: 2000 } }, attributes: ['role'] } }, order: [[{ model: Person, as: 'members' }, 'name', 'ASC']] });
    assert.deepEqual(club.members.map((person) => [person.name, person.membership.role]), [['Ben', 'member'], ['Cat', 'member']]);
  });
  await check('belongsToMany: parents limited', async () => {
    const people = await Person.findAll({ include: { model: Club, required: true }, limit: 2, order: ['name'] });
    assert.deepEqual(people.map((person) => [person.name, person.clubs.length]), [['Ann', 2], ['Ben', 1]]);
  });
  await check('belongsToMany: set, remove, count, has', async () => {
    const ann = await Person.findOne({ where: { name: 'Ann' } });
    const [chess, rowing] = await Club.findAll({ order: ['name'] });
    assert.deepEqual([await ann.countClubs(), await ann.hasClub(chess)], [2, true]);
    await ann.removeClub(chess);
    assert.equal(await ann.hasClub(chess), false);
    await ann.setClubs([chess]);
    assert.deepEqual([await ann.hasClub(rowing), await ann.countClubs()], [false, 1]);
    await ann.addClub(chess, { through: { role: 'again' } });
    assert.equal((await Membership.findOne({ where: { personId: ann.id } })).role, 'again');
  });
  await check('belongsToMany: createClub through a person', async () => {
    const cat = await Person.findOne({ where: { name: 'Cat' } });
    await cat.createClub({ name: 'Sailing' }, { through: { role: 'founder' } });
    assert.equal((await cat.getClubs()).length, 2);
  });
  await check('the through table as a model of its own', async () => {
    const person = await Person.findOne({ where: { name: 'Ben' }, include: { model: Membership, include: Club } });
    assert.equal(person.memberships[0].club.name, 'Chess');
  });
  await check('a model with itself: friends', async () => {
    const [ann, ben] = await Person.findAll({ order: ['name'] });
    await ann.addFriend(ben);
    assert.deepEqual((await ann.getFriends()).map((person) => person.name), ['Ben']);
    const found = await Person.findOne({ where: { name: 'Ann' }, include: 'friends' });
    assert.equal(found.friends[0].name, 'Ben');
  });
  await check('a model with itself: parents and children, three deep', async () => {
    const [ann, ben, cat] = await Person.findAll({ order: ['name'] });
    await ben.setParent(ann);
    await cat.setParent(ben);
    const found = await Person.findOne({ where: { name: 'Ann' }, include: { association: 'children', include: 'children' } });
    assert.equal(found.children[0].children[0].name, 'Cat');
  });
  await check('three levels, several branches at once', async () => {
    const oslo = await City.findOne({ where: { name: 'Oslo' } });
    await oslo.setInhabitants(await Person.findAll());
    const norway = await Country.findOne({ where: { name: 'Norway' }, include: ['seat', { model: City, include: { association: 'inhabitants', include: [Club, 'parent'] } }] });
    const people = norway.cities.flatMap((city) => city.inhabitants);
    assert.equal(people.length, 3);
    assert.equal(people.find((person) => person.name === 'Cat').clubs.length, 2);
  });
  await check('include all, nested', async () => {
    const city = await City.findOne({ where: { name: 'Oslo' }, include: { all: true } });
    assert.deepEqual([city.country.name, city.inhabitants.length], ['Norway', 3]);
  });
  await check('a subquery over children in a condition', async () => {
    const found = await City.findAll({ where: literal('(SELECT COUNT(*) FROM people WHERE people.homeId = city.id) > 2') });
    assert.deepEqual(found.map((city) => city.name), ['Oslo']);
  });
  await check('order by a child of a child', async () => {
    const people = await Person.findAll({ include: { association: 'home', include: Country }, order: [['home', Country, 'name', 'ASC'], ['name', 'DESC']] });
    assert.deepEqual(people.map((person) => person.name), ['Cat', 'Ben', 'Ann']);
  });
  await check('onDelete SET NULL', async () => {
    const town = await City.create({ name: 'Gone', people: 1 });
    const dan = await Person.create({ name: 'Dan', homeId: town.id });
    await town.destroy();
    assert.equal((await dan.reload()).homeId, null);
    await dan.destroy();
  });
  await check('onDelete CASCADE', async () => {
    const land = await Country.create({ name: 'Short', cities: [{ name: 'S1' }, { name: 'S2' }] }, { include: City });
    await land.destroy();
    assert.equal(await City.count({ where: { name: ['S1', 'S2'] } }), 0);
  });
  await check('a child of no parent is refused', async () => {
    const error = await rejected(City.create({ name: 'Nowhere', countryId: 9999 }), ForeignKeyConstraintError);
    assert.deepEqual([error.table, error.fields], ['countries', ['countryId']]);
  });
  await check('onDelete RESTRICT keeps the parent', async () => {
    const A = define('holder', {});
    const B = define('held', {});
    B.belongsTo(A, { foreignKey: { allowNull: false }, onDelete: 'RESTRICT' });
    for (const model of [B, A]) await model.drop();
    for (const model of [A, B]) await model.sync();
    const a = await A.create({});
    await B.create({ holderId: a.id });
    await rejected(a.destroy(), ForeignKeyConstraintError);
  });
  await check('onUpdate CASCADE follows a key', async () => {
    const Code = define('code', { code: { type: DataTypes.STRING(8), primaryKey: true } });
    const Use = define('use', {});
    Use.belongsTo(Code, { foreignKey: 'codeCode', targetKey: 'code', onUpdate: 'CASCADE' });
    for (const model of [Use, Code]) await model.drop();
    for (const model of [Code, Use]) await model.sync();
    await Code.create({ code: 'old' });
    const use = await Use.create({ codeCode: 'old' });
    await Code.update({ code: 'new' }, { where: { code: 'old' } });
    assert.equal((await use.reload()).codeCode, 'new');
  });
  await check('keys other than the primary one', async () => {
    const Ship = define('ship', { captain: DataTypes.STRING(20) });
    const Captain = define('captain', { name: { type: DataTypes.STRING(20), unique: true } });
    Ship.belongsTo(Captain, { targetKey: 'name', foreignKey: 'captain', as: 'master' });
    Captain.hasMany(Ship, { sourceKey: 'name', foreignKey: 'captain' });
    for (const model of [Ship, Captain]) await model.drop();
    for (const model of [Captain, Ship]) await model.sync();
    await Captain.create({ name: 'Jack' });
    await Ship.create({ captain: 'Jack' });
    assert.equal((await Ship.findOne({ include: 'master' })).master.name, 'Jack');
    assert.equal((await Captain.findOne({ include: Ship })).ships.length, 1);
  });
  await check('polymorphic: comments of two kinds of parents', async () => {
    const Image = define('image', { title: DataTypes.STRING });
    const Video = define('video', { title: DataTypes.STRING });
    const Comment = define('comment', { text: DataTypes.STRING, kind: DataTypes.STRING, ofId: DataTypes.INTEGER });
    for (const [model, kind] of [[Image, 'image'], [Video, 'video']]) {
      model.hasMany(Comment, { foreignKey: 'ofId', constraints: false, scope: { kind } });
      Comment.belongsTo(model, { foreignKey: 'ofId', constraints: false });
    }
    for (const model of [Image, Video, Comment]) await model.sync({ force: true });
    const image = await Image.create({ title: 'i' });
    const video = await Video.create({ title: 'v' });
    await image.createComment({ text: 'nice image' });
    await video.createComment({ text: 'nice video' });
    assert.deepEqual((await image.getComments()).map((comment) => comment.text), ['nice image']);
    assert.equal((await Video.findOne({ include: Comment })).comments[0].kind, 'video');
    const comments = await Comment.findAll({ include: [Image, Video], order: ['id'] });
    assert.equal(comments[0].kind === 'image' && comments[0].image.title, 'i');
  });
  await check('paranoid children are left out of includes', async () => {
    const Shelf = define('shelf', {});
    const Item = define('item', { n: DataTypes.INTEGER }, { timestamps: true, paranoid: true });
    Shelf.hasMany(Item);
    for (const model of [Item, Shelf]) await model.drop();
    for (const model of [Shelf, Item]) await model.sync();
    const shelf = await Shelf.create({ items: [{ n: 1 }, { n: 2 }] }, { include: Item });
    await Item.destroy({ where: { n: 1 } });
    assert.equal((await Shelf.findByPk(shelf.id, { include: Item })).items.length, 1);
    assert.equal((await Shelf.findByPk(shelf.id, { include: { model: Item, paranoid: false } })).items.length, 2);
  });
  await check('scopes with includes', async () => {
    Country.addScope('withCities', { include: City });
    Country.addScope('norway', { where: { name: 'Norway' } });
    assert.equal((await Country.scope('withCities', 'norway').findOne()).cities.length, 2);
  });
  await check('bulkCreate with nested associations', async () => {
    await Country.bulkCreate([{ name: 'K1', cities: [{ name: 'K1a' }] }, { name: 'K2', cities: [{ name: 'K2a' }, { name: 'K2b' }] }], { include: City });
    assert.equal(await City.count({ where: { name: { [Op.like]: 'K%' } } }), 3);
  });
};
