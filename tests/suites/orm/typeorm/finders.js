// Find options: every operator, order, pagination, selection, comments, caches, locks, raw conditions.

const { assert, rejected } = require('../checks');
const orm = require('typeorm');

const { And, Any, Between, EntitySchema, Equal, ILike, In, IsNull, LessThan, LessThanOrEqual, Like, MoreThan, MoreThanOrEqual, Not, Or, Raw } = orm;

const Book = new EntitySchema({
  name: 'Book',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    title: { type: 'varchar', length: 50 },
    pages: { type: 'int' },
    price: { type: 'decimal', precision: 6, scale: 2, nullable: true },
    language: { type: 'char', length: 2, nullable: true },
    published: { type: 'date', nullable: true },
    read: { type: 'datetime', precision: 3, nullable: true },
    about: { type: 'json', nullable: true },
  },
});

const ROWS = [
  { title: 'Alpha', pages: 100, price: 9.99, language: 'en', published: '2001-05-01', read: new Date('2020-01-01T10:00:00.500Z'), about: { tags: ['a', 'b'], cover: { colour: 'red' } } },
  { title: 'Beta', pages: 200, price: 19.5, language: 'en', published: '2002-06-02', read: new Date('2021-01-01T00:00:00Z'), about: { tags: ['b'], cover: { colour: 'blue' } } },
  { title: 'Gamma', pages: 300, price: 5, language: 'de', published: '2003-07-03', about: { tags: [] } },
  { title: 'Delta', pages: 400, price: 12.25, language: 'de', published: '2004-08-04' },
  { title: '100% sure_thing', pages: 50 },
];

const CONDITIONS = [
  ['equal', { pages: Equal(100) }, 'A'],
  ['a value', { pages: 100, language: 'en' }, 'A'],
  ['not', { pages: Not(100) }, 'BGD1'],
  ['not equal', { pages: Not(Equal(100)) }, 'BGD1'],
  ['less than', { pages: LessThan(100) }, '1'],
  ['less than or equal', { pages: LessThanOrEqual(100) }, 'A1'],
  ['more than', { pages: MoreThan(300) }, 'D'],
  ['more than or equal', { pages: MoreThanOrEqual(300) }, 'GD'],
  ['between', { pages: Between(100, 200) }, 'AB'],
  ['between of dates', { published: Between('2002-01-01', '2003-12-31') }, 'BG'],
  ['times with milliseconds', { read: new Date('2020-01-01T10:00:00.500Z') }, 'A'],
  ['more than a time', { read: MoreThan(new Date('2020-06-01T00:00:00Z')) }, 'B'],
  ['in', { pages: In([50, 400]) }, 'D1'],
  ['in of nothing', { pages: In([]) }, ''],
  ['not in', { pages: Not(In([50, 400])) }, 'ABG'],
  ['is null', { price: IsNull() }, '1'],
  ['not null', { price: Not(IsNull()) }, 'ABGD'],
  ['like', { title: Like('%eta') }, 'B'],
  ['like with escapes', { title: Like('100\\% sure\\_%') }, '1'],
  ['not like', { title: Not(Like('%a')) }, '1'],
  ['ilike', { title: ILike('GA%') }, 'G'],
  ['or of conditions', [{ pages: 100 }, { language: 'de' }], 'AGD'],
  ['or within a column', { pages: Or(Equal(100), MoreThan(350)) }, 'AD'],
  ['and within a column', { pages: And(MoreThan(100), LessThan(400)) }, 'BG'],
  ['not of an or', { pages: Not(Or(Equal(100), MoreThan(350))) }, 'BG1'],
  ['raw', { pages: Raw((alias) => `${alias} % 200 = 0`) }, 'BD'],
  ['raw with parameters', { title: Raw((alias) => `CHAR_LENGTH(${alias}) = :length`, { length: 5 }) }, 'AGD'],
  ['raw on json', { about: Raw((alias) => `JSON_CONTAINS(${alias}, '"b"', '$.tags')`) }, 'AB'],
  ['raw on a json path', { about: Raw((alias) => `${alias}->>'$.cover.colour' = :colour`, { colour: 'red' }) }, 'A'],
  ['an emoji', { title: '🐬' }, ''],
];

module.exports = async (check, { open, type }) => {
  const source = await open([Book], { cache: { type: 'database', tableName: 'kept', duration: 60_000 } });
  const books = source.getRepository('Book');
  const titles = async (options) => (await books.find({ order: { id: 'ASC' }, ...options })).map((book) => book.title[0]).join('');
  await check('fill', async () => {
    await books.save(ROWS);
    assert.equal(await books.count(), 5);
  });
  for (const [name, where, expected] of CONDITIONS) {
    await check(`where: ${name}`, async () => {
      if (name.startsWith('raw on a json path') && type === 'mariadb') {
        // MariaDB has no ->>.
        where.about = Raw((alias) => `JSON_UNQUOTE(JSON_EXTRACT(${alias}, '$.cover.colour')) = 'red'`);
      }
      assert.equal(await titles({ where }), expected);
    });
  }
  await check('any is refused by MySQL', () => rejected(books.findBy({ pages: Any([1, 2]) })));
  await check('order: both ways, several, NULL', async () => {
    assert.equal(await titles({ order: { pages: 'DESC' } }), 'DGBA1');
    assert.equal(await titles({ order: { language: 'ASC', pages: 'DESC' } }), '1DGBA');
    assert.equal(await titles({ order: { pages: { direction: 'ASC' } } }), '1ABGD');
  });
  await check('take and skip', async () => {
    assert.equal(await titles({ take: 2 }), 'AB');
    assert.equal(await titles({ take: 2, skip: 3 }), 'D1');
  });
  await check('select', async () => {
    const [book] = await books.find({ select: { id: true, title: true }, take: 1 });
    assert.deepEqual(Object.keys(book), ['id', 'title']);
  });
  await check('findAndCount', async () => {
    const [found, count] = await books.findAndCount({ where: { language: Not(IsNull()) }, take: 2 });
    assert.deepEqual([found.length, count], [2, 4]);
  });
  await check('findAndCountBy, findBy, findOneBy', async () => {
    const [found, count] = await books.findAndCountBy({ language: 'en' });
    assert.deepEqual([found.length, count], [2, 2]);
    assert.equal((await books.findBy({ language: 'de' })).length, 2);
    assert.equal((await books.findOneBy({ title: 'Delta' })).pages, 400);
  });
  await check('exists', async () => assert.deepEqual([await books.exists({ where: { pages: 50 } }), await books.exists({ where: { pages: 51 } })], [true, false]));
  await check('comments', async () => assert.equal((await books.find({ comment: 'why it is asked' })).length, 5));
  await check('values come as their types', async () => {
    const book = await books.findOneBy({ title: 'Alpha' });
    assert.deepEqual([book.price, book.published, book.read.toISOString(), book.about.cover.colour], ['9.99', '2001-05-01', '2020-01-01T10:00:00.500Z', 'red']);
  });
  await check('results kept in a table of the database', async () => {
    const first = await books.find({ where: { language: 'en' }, cache: { id: 'english', milliseconds: 60_000 } });
    await books.insert({ title: 'Extra', pages: 1, language: 'en' });
    const second = await books.find({ where: { language: 'en' }, cache: { id: 'english', milliseconds: 60_000 } });
    assert.deepEqual([first.length, second.length], [2, 2]);
    await source.queryResultCache.remove(['english']);
    assert.equal((await books.find({ where: { language: 'en' }, cache: { id: 'english', milliseconds: 60_000 } })).length, 3);
    await source.queryResultCache.clear();
    await books.delete({ title: 'Extra' });
  });
  await check('locks in find', async () => {
    await source.transaction(async (manager) => {
      assert.equal((await manager.find('Book', { where: { pages: 100 }, lock: { mode: 'pessimistic_write' } })).length, 1);
      assert.equal((await manager.find('Book', { where: { pages: 100 }, lock: { mode: 'pessimistic_read' } })).length, 1);
    });
    await rejected(books.find({ lock: { mode: 'pessimistic_write' } }));
  });
  await check('raw queries with parameters', async () => {
    const rows = await source.query('SELECT title FROM book WHERE pages > ? AND language = ? ORDER BY id', [100, 'de']);
    assert.deepEqual(rows.map((row) => row.title), ['Gamma', 'Delta']);
  });
  await check('raw queries with named parameters', async () => {
    const named = await open([Book], { extra: { namedPlaceholders: true }, dropSchema: false });
    const rows = await named.query('SELECT title FROM book WHERE pages = :pages', { pages: 400 });
    assert.deepEqual(rows.map((row) => row.title), ['Delta']);
    await named.destroy();
  });
  await check('sql templates', async () => {
    const [least, language] = [150, 'en'];
    const rows = await source.sql`SELECT title FROM book WHERE pages > ${least} AND language = ${language}`;
    assert.deepEqual(rows.map((row) => row.title), ['Beta']);
  });
  await check('several statements in one query', async () => {
    const many = await open([Book], { multipleStatements: true, dropSchema: false });
    const [one, two] = await many.query('SELECT 1 AS v; SELECT 2 AS v');
    assert.deepEqual([Number(one[0].v), Number(two[0].v)], [1, 2]);
    await many.destroy();
  });
  await check('big numbers as the options say', async () => {
    const big = await open([Book], { supportBigNumbers: true, bigNumberStrings: false, dropSchema: false });
    const [row] = await big.query('SELECT CAST(12 AS SIGNED) AS small, 9223372036854775807 AS large');
    assert.deepEqual([row.small, row.large], [12, '9223372036854775807']);
    await big.destroy();
  });
  await check('dates as text', async () => {
    const plain = await open([Book], { dateStrings: true, dropSchema: false });
    const [row] = await plain.query("SELECT `read` AS r FROM book WHERE title = 'Alpha'");
    assert.equal(row.r, '2020-01-01 10:00:00.500');
    await plain.destroy();
  });
  await source.destroy();
};
