// Finders: operators, JSON paths, aggregates, grouping, ordering, pagination, literals and subqueries.

const { assert, rejected } = require('../checks');
const { DataTypes, EmptyResultError, Op } = require('sequelize');

module.exports = async (check, { sequelize }) => {
  const { fn, col, literal, where, cast, json } = sequelize.constructor;
  const Book = sequelize.define('book', {
    title: DataTypes.STRING,
    pages: DataTypes.INTEGER,
    price: DataTypes.DECIMAL(6, 2),
    language: DataTypes.STRING(2),
    published: DataTypes.DATEONLY,
    about: DataTypes.JSON,
  }, { timestamps: false });
  const rows = [
    ['Alpha', 100, 9.99, 'en', '2001-05-01', { tags: ['a', 'b'], cover: { colour: 'red', weight: 10 }, sold: true }],
    ['Beta', 200, 19.5, 'en', '2002-06-02', { tags: ['b'], cover: { colour: 'blue', weight: 20 }, sold: false }],
    ['Gamma', 300, 5, 'de', '2003-07-03', { tags: [], cover: { colour: 'red', weight: 30.5 } }],
    ['Delta', 400, 12.25, 'de', '2004-08-04', null],
    ['100% sure_thing', 50, null, null, null, { tags: ['c'], cover: { colour: "it's" } }],
  ].map(([title, pages, price, language, published, about]) => ({ title, pages, price, language, published, about }));
  await check('fill', async () => {
    await Book.sync({ force: true });
    await Book.bulkCreate(rows);
    assert.equal(await Book.count(), 5);
  });
  const titles = async (condition, options = {}) => (await Book.findAll({ where: condition, order: ['id'], ...options })).map((book) => book.title[0]).join('');

  const OPERATORS = [
    ['eq', { pages: { [Op.eq]: 100 } }, 'A'],
    ['ne', { pages: { [Op.ne]: 100 } }, 'BGD1'],
    ['is null', { price: { [Op.is]: null } }, '1'],
    ['not null', { price: { [Op.not]: null } }, 'ABGD'],
    ['not true', { pages: { [Op.not]: 300 } }, 'ABD1'],
    ['gt, lte', { pages: { [Op.gt]: 100, [Op.lte]: 300 } }, 'BG'],
    ['gte, lt', { pages: { [Op.gte]: 100, [Op.lt]: 300 } }, 'AB'],
    ['between', { pages: { [Op.between]: [100, 200] } }, 'AB'],
    ['notBetween', { pages: { [Op.notBetween]: [100, 300] } }, 'D1'],
    ['between of dates', { published: { [Op.between]: ['2002-01-01', '2003-12-31'] } }, 'BG'],
    ['in', { pages: { [Op.in]: [50, 400] } }, 'D1'],
    ['in of nothing', { pages: { [Op.in]: [] } }, ''],
    ['notIn', { pages: { [Op.notIn]: [50, 400] } }, 'ABG'],
    ['notIn of nothing', { pages: { [Op.notIn]: [] } }, 'ABGD1'],
    ['an array is IN', { title: ['Alpha', 'Delta'] }, 'AD'],
    ['like', { title: { [Op.like]: '%eta' } }, 'B'],
    ['notLike', { title: { [Op.notLike]: '%a' } }, '1'],
    ['startsWith', { title: { [Op.startsWith]: 'Ga' } }, 'G'],
    ['endsWith', { title: { [Op.endsWith]: 'lta' } }, 'D'],
    ['substring', { title: { [Op.substring]: 'et' } }, 'B'],
    ['like escapes nothing, a pattern does', { title: { [Op.like]: '100\\% sure\\_%' } }, '1'],
    ['like any', { [Op.or]: ['Al%', 'Be%'].map((pattern) => ({ title: { [Op.like]: pattern } })) }, 'AB'],
    ['regexp', { title: { [Op.regexp]: '^[AB].*a$' } }, 'AB'],
    ['notRegexp', { title: { [Op.notRegexp]: '^[ABGD]' } }, '1'],
    ['or', { [Op.or]: [{ pages: 100 }, { language: 'de' }] }, 'AGD'],
    ['or within a column', { pages: { [Op.or]: [100, { [Op.gt]: 350 }] } }, 'AD'],
    ['and', { [Op.and]: [{ language: 'en' }, { pages: { [Op.lt]: 150 } }] }, 'A'],
    ['not of a group', { [Op.not]: [{ language: 'en' }, { pages: 100 }] }, 'BGD1'],
    ['col', { price: { [Op.lt]: { [Op.col]: 'pages' } } }, 'ABGD'],
    ['a function of a column', where(fn('LENGTH', col('title')), 5), 'AGD'],
    ['a function with an operator', where(fn('LOWER', col('title')), { [Op.like]: 'a%' }), 'A'],
    ['cast', where(cast(col('pages'), 'CHAR'), { [Op.like]: '%00' }), 'ABGD'],
    ['literal', literal('pages % 200 = 0'), 'BD'],
    ['a subquery', { pages: { [Op.gt]: literal('(SELECT AVG(pages) FROM books AS b)') } }, 'GD'],
    ['IN of a subquery', { id: { [Op.in]: literal("(SELECT id FROM books AS b WHERE language = 'de')") } }, 'GD'],
    ['json path, nested', { about: { cover: { colour: 'red' } } }, 'AG'],
    ['json path, dotted', { 'about.cover.colour': 'blue' }, 'B'],
    ['json path with a quote', { 'about.cover.colour': "it's" }, '1'],
    ['json number compared', { about: { cover: { weight: { [Op.gt]: 15 } } } }, 'BG'],
    ['json boolean', { about: { sold: true } }, 'A'],
    ['json function of a path', where(fn('JSON_UNQUOTE', fn('JSON_EXTRACT', col('about'), literal("'$.cover.colour'"))), 'red'), 'AG'],
    ['json contains', where(fn('JSON_CONTAINS', col('about'), '"b"', literal("'$.tags'")), 1), 'AB'],
    ['json length', where(fn('JSON_LENGTH', col('about'), literal("'$.tags'")), { [Op.gte]: 1 }), 'AB1'],
    ['a column that is NULL', { about: null }, 'D'],
    ['text with quotes and backslashes', { title: { [Op.ne]: 'it\'s a "\\" \u0000' } }, 'ABGD1'],
    ['text with an emoji', { title: '🐬' }, ''],
  ];
  for (const [name, condition, expected] of OPERATORS) {
    await check(`where: ${name}`, async () => assert.equal(await titles(condition), expected));
  }

  await check('findAll: attributes, renamed, computed, excluded', async () => {
    const [book] = await Book.findAll({ attributes: ['title', ['pages', 'leaves'], [fn('UPPER', col('title')), 'loud']], order: ['id'], limit: 1 });
    assert.deepEqual(book.get(), { title: 'Alpha', leaves: 100, loud: 'ALPHA' });
    const [rest] = await Book.findAll({ attributes: { exclude: ['about', 'published'], include: [[literal('pages * 2'), 'sides']] }, order: ['id'], limit: 1 });
    assert.deepEqual([rest.get('sides'), rest.about], [200, undefined]);
  });
  await check('findAll: raw', async () => {
    const [book] = await Book.findAll({ raw: true, order: ['id'], limit: 1 });
    assert.deepEqual([book.title, book.published], ['Alpha', '2001-05-01']);
  });
  await check('findAll: order in every form', async () => {
    assert.equal(await titles({}, { order: [['pages', 'DESC']] }), 'DGBA1');
    assert.equal(await titles({}, { order: [['language', 'ASC'], ['pages', 'DESC']] }), '1DGBA');
    assert.equal(await titles({}, { order: [[fn('LENGTH', col('title')), 'DESC'], 'id'] }), '1AGDB');
    assert.equal(await titles({}, { order: literal('pages % 300, id') }), 'G1ADB');
    assert.equal(await titles({}, { order: [[literal('language IS NULL'), 'ASC'], ['id', 'DESC']] }), 'DGBA1');
    assert.equal((await Book.findAll({ order: sequelize.random() })).length, 5);
    assert.equal(await titles({}, { order: [[fn('ISNULL', col('price')), 'DESC'], 'id'] }), '1ABGD');
  });
  await check('findAll: limit and offset', async () => {
    assert.equal(await titles({}, { limit: 2 }), 'AB');
    assert.equal(await titles({}, { limit: 2, offset: 3 }), 'D1');
    assert.equal(await titles({}, { offset: 3 }), 'D1');
  });
  await check('findAndCountAll', async () => {
    const { count, rows: found } = await Book.findAndCountAll({ where: { language: ['en', 'de'] }, limit: 3, order: ['id'] });
    assert.deepEqual([count, found.length], [4, 3]);
  });
  await check('findAndCountAll with groups', async () => {
    const { count } = await Book.findAndCountAll({ attributes: ['language', [fn('COUNT', col('id')), 'n']], group: ['language'] });
    assert.equal(count.length, 3);
  });
  await check('findOne, findByPk, of nothing', async () => {
    assert.equal((await Book.findOne({ where: { pages: { [Op.gt]: 100 } }, order: ['id'] })).title, 'Beta');
    assert.equal((await Book.findByPk(3)).title, 'Gamma');
    assert.equal(await Book.findByPk(999), null);
  });
  await check('rejectOnEmpty', () => rejected(Book.findByPk(999, { rejectOnEmpty: true }), EmptyResultError));
  await check('count: rows, by condition, distinct, by group', async () => {
    assert.equal(await Book.count(), 5);
    assert.equal(await Book.count({ where: { language: 'en' } }), 2);
    assert.equal(await Book.count({ distinct: true, col: 'language' }), 2);
    assert.deepEqual((await Book.count({ group: ['language'] })).map((row) => row.count).sort(), [1, 2, 2]);
  });
  await check('min, max, sum, average', async () => {
    assert.deepEqual([await Book.min('pages'), await Book.max('pages'), await Book.sum('pages')], [50, 400, 1050]);
    assert.equal(Number(await Book.sum('price')), 46.74);
    assert.equal(await Book.max('published'), '2004-08-04');
    assert.equal(Number(await Book.aggregate('pages', 'avg', { dataType: 'float' })), 210);
    assert.equal(await Book.sum('pages', { where: { language: 'de' } }), 700);
  });
  await check('group and having', async () => {
    const found = await Book.findAll({ attributes: ['language', [fn('SUM', col('pages')), 'total']], group: 'language', having: literal('total > 400'), raw: true });
    assert.deepEqual(found.map((row) => [row.language, Number(row.total)]), [['de', 700]]);
    const others = await Book.findAll({ attributes: ['language'], group: ['language'], having: where(fn('COUNT', literal('*')), { [Op.gt]: 1 }), order: ['language'], raw: true });
    assert.deepEqual(others.map((row) => row.language), ['de', 'en']);
  });
  await check('distinct values', async () => {
    const found = await Book.aggregate('language', 'DISTINCT', { plain: false });
    assert.deepEqual(found.map((row) => row.DISTINCT).filter(Boolean).sort(), ['de', 'en']);
  });
  await check('GROUP_CONCAT and IF through fn', async () => {
    const [row] = await Book.findAll({ attributes: [[fn('GROUP_CONCAT', literal('title ORDER BY id')), 'all'], [fn('SUM', fn('IF', literal('pages > 150'), 1, 0)), 'thick']], where: { language: ['en', 'de'] }, raw: true });
    assert.deepEqual([row.all, Number(row.thick)], ['Alpha,Beta,Gamma,Delta', 3]);
  });
  await check('window functions through literal', async () => {
    const found = await Book.findAll({ attributes: ['title', [literal('ROW_NUMBER() OVER (PARTITION BY language ORDER BY pages DESC)'), 'rank']], where: { language: 'de' }, order: ['id'], raw: true });
    assert.deepEqual(found.map((row) => Number(row.rank)), [2, 1]);
  });
  await check('json: order and attributes by a path', async () => {
    assert.equal(await titles({ about: { [Op.ne]: null } }, { order: [[json('about.cover.colour'), 'ASC'], 'id'] }), 'B1AG');
    const [row] = await Book.findAll({ attributes: [[json('about.cover.colour'), 'colour']], order: ['id'], limit: 1, raw: true });
    assert.equal(row.colour.replaceAll('"', ''), 'red');
  });
  await check('json: changed in place and saved', async () => {
    const book = await Book.findByPk(1);
    book.set('about.cover.colour', 'green');
    await book.save();
    assert.deepEqual((await book.reload()).about.cover, { colour: 'green', weight: 10 });
    book.about.tags.push('z');
    book.changed('about', true);
    await book.save();
    assert.deepEqual((await book.reload()).about.tags, ['a', 'b', 'z']);
  });
  await check('index hints', async () => {
    await sequelize.getQueryInterface().addIndex('books', ['pages'], { name: 'by_pages' });
    const { IndexHints } = sequelize.constructor;
    assert.equal(await titles({ pages: { [Op.lt]: 150 } }, { indexHints: [{ type: IndexHints.USE, values: ['by_pages'] }] }), 'A1');
    assert.equal(await titles({ pages: { [Op.lt]: 150 } }, { indexHints: [{ type: IndexHints.FORCE, values: ['by_pages'] }] }), 'A1');
    assert.equal(await titles({ pages: { [Op.lt]: 150 } }, { indexHints: [{ type: IndexHints.IGNORE, values: ['by_pages'] }] }), 'A1');
  });
  await check('pages by key', async () => {
    const seen = [];
    for (let last = 0; ;) {
      const page = await Book.findAll({ where: { id: { [Op.gt]: last } }, order: ['id'], limit: 2 });
      if (!page.length) break;
      seen.push(...page.map((book) => book.id));
      last = seen.at(-1);
    }
    assert.deepEqual(seen, [1, 2, 3, 4, 5]);
  });
};
