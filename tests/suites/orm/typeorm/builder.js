// The query builder: select, joins, groups, subqueries, common table expressions, insert, update, delete, streams, hints.

const { assert, rejected } = require('../checks');
const { Brackets, EntitySchema, NotBrackets, OptimisticLockVersionMismatchError, QueryFailedError } = require('typeorm');

const id = { type: 'int', primary: true, generated: true };
const Author = new EntitySchema({ name: 'Author', columns: { id, name: { type: 'varchar', length: 40, unique: true }, born: { type: 'int', nullable: true } }, relations: { books: { type: 'one-to-many', target: 'Book', inverseSide: 'author' } } });
const Book = new EntitySchema({
  name: 'Book',
  columns: { id, title: { type: 'varchar', length: 40 }, pages: { type: 'int', default: 0 }, authorId: { type: 'int', nullable: true }, version: { type: 'int', version: true }, gone: { type: 'datetime', deleteDate: true } },
  relations: { author: { type: 'many-to-one', target: 'Author', inverseSide: 'books', joinColumn: { name: 'authorId' } } },
  indices: [{ name: 'by_pages', columns: ['pages'] }],
});

module.exports = async (check, { open }) => {
  const source = await open([Author, Book]);
  const books = (alias = 'b') => source.getRepository('Book').createQueryBuilder(alias);
  const authors = (alias = 'a') => source.getRepository('Author').createQueryBuilder(alias);
  const titles = async (query) => (await query.orderBy('b.id').getMany()).map((book) => book.title).join();

  await check('insert: rows, ids, from values and expressions', async () => {
    const result = await source.createQueryBuilder().insert().into('Author').values([{ name: 'Ann', born: 1950 }, { name: 'Ben', born: () => '1900 + 60' }, { name: 'Cat' }]).execute();
    assert.deepEqual(result.identifiers.map((one) => one.id), [1, 2, 3]);
    await source.createQueryBuilder().insert().into('Book').values([[1, 'A1', 100], [1, 'A2', 200], [2, 'B1', 300], [null, 'None', 50]].map(([authorId, title, pages]) => ({ authorId, title, pages }))).execute();
    assert.equal(await books().getCount(), 4);
  });
  await check('insert: orIgnore', async () => {
    await source.createQueryBuilder().insert().into('Author').values({ name: 'Ann', born: 1 }).orIgnore().execute();
    assert.equal((await authors().where({ name: 'Ann' }).getOne()).born, 1950);
  });
  await check('insert: orUpdate', async () => {
    await source.createQueryBuilder().insert().into('Author').values([{ name: 'Ann', born: 1951 }, { name: 'Dan', born: 1 }]).orUpdate(['born'], ['name']).execute();
    assert.equal((await authors().where({ name: 'Ann' }).getOne()).born, 1951);
    await source.createQueryBuilder().delete().from('Author').where({ name: 'Dan' }).execute();
  });
  await check('where, andWhere, orWhere', async () => {
    assert.equal(await titles(books().where('b.pages > :least', { least: 150 }).andWhere('b.authorId = 1').orWhere('b.title = :t', { t: 'None' })), 'A2,None');
  });
  await check('brackets', async () => {
    assert.equal(await titles(books().where('b.pages < 250').andWhere(new Brackets((one) => one.where('b.authorId = 1').orWhere('b.authorId IS NULL')))), 'A1,A2,None');
    assert.equal(await titles(books().where(new NotBrackets((one) => one.where('b.authorId = 1').orWhere('b.authorId = 2')))), '');
  });
  await check('lists as parameters, whereInIds', async () => {
    assert.equal(await titles(books().where('b.pages IN (:...list)', { list: [50, 300] })), 'B1,None');
    assert.equal(await titles(books().whereInIds([1, 3])), 'A1,B1');
  });
  await check('an object, or several, as condition', async () => {
    assert.equal(await titles(books().where([{ pages: 50 }, { title: 'A1' }])), 'A1,None');
  });
  await check('leftJoinAndSelect, innerJoinAndSelect', async () => {
    const all = await authors().leftJoinAndSelect('a.books', 'b').orderBy('a.name').addOrderBy('b.pages', 'DESC').getMany();
    assert.deepEqual(all.map((author) => author.books.map((book) => book.title)), [['A2', 'A1'], ['B1'], []]);
    assert.equal((await authors().innerJoinAndSelect('a.books', 'b').getMany()).length, 2);
  });
  await check('joins with conditions, and to tables without relation', async () => {
    const all = await authors().leftJoinAndSelect('a.books', 'b', 'b.pages > :least', { least: 150 }).orderBy('a.id').getMany();
    assert.deepEqual(all.map((author) => author.books.length), [1, 1, 0]);
    const raw = await authors().innerJoin('Book', 'x', 'x.authorId = a.id AND x.pages = 300').getMany();
    assert.deepEqual(raw.map((author) => author.name), ['Ben']);
  });
  await check('joinAndMap one and many', async () => {
    const found = await authors().leftJoinAndMapOne('a.longest', 'a.books', 'b', 'b.pages >= 200').orderBy('a.id').getMany();
    assert.deepEqual(found.map((author) => author.longest?.title ?? null), ['A2', 'B1', null]);
    const many = await authors().leftJoinAndMapMany('a.thick', 'Book', 'b', 'b.authorId = a.id AND b.pages > 50').where('a.id = 1').getOne();
    assert.equal(many.thick.length, 2);
  });
  await check('take and skip with joins', async () => {
    const [found, count] = await authors().leftJoinAndSelect('a.books', 'b').orderBy('a.name', 'DESC').skip(1).take(2).getManyAndCount();
    assert.deepEqual([found.map((author) => author.books.length), count], [[1, 2], 3]);
  });
  await check('limit and offset', async () => assert.equal(await titles(books().limit(2).offset(1)), 'A2,B1'));
  await check('getRawMany, getRawOne, getRawAndEntities', async () => {
    const rows = await books().select('b.title', 'title').addSelect('b.pages * 2', 'sides').orderBy('b.id').getRawMany();
    assert.deepEqual(rows.map((row) => Number(row.sides)), [200, 400, 600, 100]);
    assert.equal((await books().select('MAX(b.pages)', 'max').getRawOne()).max, 300);
    const { raw, entities } = await books().getRawAndEntities();
    assert.deepEqual([raw.length, entities.length], [4, 4]);
  });
  await check('groupBy, having, aggregates', async () => {
    const rows = await books().select('b.authorId', 'author').addSelect('COUNT(*)', 'n').addSelect('SUM(b.pages)', 'pages').groupBy('b.authorId').having('COUNT(*) > :n', { n: 1 }).getRawMany();
    assert.deepEqual(rows.map((row) => [row.author, Number(row.n), Number(row.pages)]), [[1, 2, 300]]);
  });
  await check('distinct', async () => assert.equal((await books().select('b.authorId', 'a').distinct(true).getRawMany()).length, 3));
  await check('subqueries in WHERE', async () => {
    assert.equal(await titles(books().where((query) => `b.authorId IN ${query.subQuery().select('a.id').from('Author', 'a').where('a.born > :born', { born: 1955 }).getQuery()}`)), 'B1');
    const longest = books('c').select('MAX(c.pages)');
    assert.equal(await titles(books().where(`b.pages = (${longest.getQuery()})`)), 'B1');
  });
  await check('subqueries in FROM and SELECT', async () => {
    const rows = await source.createQueryBuilder().select('t.author', 'author').addSelect('t.n', 'n').from((query) => query.select('b.authorId', 'author').addSelect('COUNT(*)', 'n').from('Book', 'b').groupBy('b.authorId'), 't').where('t.n > 1').getRawMany();
    assert.deepEqual(rows.map((row) => Number(row.n)), [2]);
    const found = await authors().select('a.name', 'name').addSelect((query) => query.select('COUNT(*)').from('Book', 'b').where('b.authorId = a.id'), 'books').orderBy('a.id').getRawMany();
    assert.deepEqual(found.map((row) => Number(row.books)), [2, 1, 0]);
  });
  await check('subqueries as joins', async () => {
    const rows = await authors().select('a.name', 'name').innerJoin((query) => query.select('b.authorId', 'x').addSelect('SUM(b.pages)', 'total').from('Book', 'b').groupBy('b.authorId'), 's', 's.x = a.id').addSelect('s.total', 'total').orderBy('a.id').getRawMany();
    assert.deepEqual(rows.map((row) => Number(row.total)), [300, 300]);
  });
  await check('whereExists', async () => {
    const found = await authors().whereExists(books('b').where('b.authorId = a.id AND b.pages > 250')).getMany();
    assert.deepEqual(found.map((author) => author.name), ['Ben']);
  });
  await check('common table expressions', async () => {
    const cte = source.createQueryBuilder().select('b.authorId', 'author').addSelect('COUNT(*)', 'n').from('Book', 'b').groupBy('b.authorId');
    const rows = await source.createQueryBuilder().addCommonTableExpression(cte, 'counts', { columnNames: ['author', 'n'] }).from('counts', 'c').select('c.n', 'n').where('c.author = 1').getRawMany();
    assert.deepEqual(rows.map((row) => Number(row.n)), [2]);
  });
  await check('recursive common table expressions', async () => {
    const rows = await source.createQueryBuilder().addCommonTableExpression('SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 20', 'n', { recursive: true, columnNames: ['v'] }).from('n', 'n').select('SUM(n.v)', 's').getRawOne();
    assert.equal(Number(rows.s), 210);
  });
  await check('window functions', async () => {
    const rows = await books().select('b.title', 'title').addSelect('ROW_NUMBER() OVER (PARTITION BY b.authorId ORDER BY b.pages DESC)', 'place').orderBy('b.id').getRawMany();
    assert.deepEqual(rows.map((row) => Number(row.place)), [2, 1, 1, 1]);
  });
  await check('update: affected, expressions, of relations', async () => {
    const { affected } = await source.createQueryBuilder().update('Book').set({ pages: () => 'pages + 1' }).where('authorId = :a', { a: 1 }).execute();
    assert.equal(affected, 2);
    await books().update().set({ author: { id: 2 } }).where({ title: 'None' }).execute();
    assert.equal((await books().where({ title: 'None' }).getOne()).authorId, 2);
  });
  await check('update with order and limit', async () => {
    const { affected } = await source.createQueryBuilder().update('Book').set({ pages: 1 }).orderBy('pages', 'DESC').limit(1).execute();
    assert.equal(affected, 1);
    assert.equal((await books().where({ title: 'B1' }).getOne()).pages, 1);
  });
  await check('softDelete, withDeleted, restore', async () => {
    await books().softDelete().where({ title: 'None' }).execute();
    assert.deepEqual([await books().getCount(), await books().withDeleted().getCount()], [3, 4]);
    await books().restore().where({ title: 'None' }).execute();
    assert.equal(await books().getCount(), 4);
  });
  await check('delete', async () => {
    const { affected } = await source.createQueryBuilder().delete().from('Book').where('title = :t', { t: 'None' }).execute();
    assert.equal(affected, 1);
  });
  await check('loadRelationIdAndMap, loadAllRelationIds', async () => {
    const author = await authors().loadAllRelationIds().where('a.id = 1').getOne();
    assert.deepEqual(author.books, [1, 2]);
  });
  await check('useIndex, maxExecutionTime, comment', async () => {
    assert.equal(await titles(books().useIndex('by_pages').comment('a note')), 'A1,A2,B1');
    assert.equal((await books().maxExecutionTime(10_000).getMany()).length, 3);
  });
  await check('getExists', async () => assert.deepEqual([await books().getExists(), await books().where('b.id = 99').getExists()], [true, false]));
  await check('stream', async () => {
    const stream = await books().select('b.title', 'title').orderBy('b.id').stream();
    const seen = [];
    for await (const row of stream) seen.push(row.title);
    assert.deepEqual(seen, ['A1', 'A2', 'B1']);
  });
  await check('stream of 50,000 rows', async () => {
    const runner = source.createQueryRunner();
    const stream = await runner.stream('WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 500) SELECT a.v AS x, b.v AS y FROM n AS a, n AS b WHERE b.v <= 100');
    let rows = 0;
    for await (const row of stream) rows += row.x > 0;
    assert.equal(rows, 50_000);
    await runner.release();
  });
  await check('optimistic locks', async () => {
    const book = await books().where({ title: 'A1' }).getOne();
    await books().setLock('optimistic', book.version).where({ title: 'A1' }).getOne();
    await rejected(books().setLock('optimistic', book.version + 5).where({ title: 'A1' }).getOne(), OptimisticLockVersionMismatchError);
  });
  await check('printSql and getQueryAndParameters', async () => {
    const [text, parameters] = books().where('b.id = :id', { id: 5 }).getQueryAndParameters();
    assert.match(text, /WHERE .*= \?/);
    assert.deepEqual(parameters, [5]);
  });
  await check('errors keep the query and its parameters', async () => {
    const error = await rejected(books().where('b.nothing = :v', { v: 1 }).getMany(), QueryFailedError);
    assert.equal(error.driverError.errno, 1054);
    assert.deepEqual(error.parameters, [1]);
    assert.match(error.query, /nothing/);
  });
  await source.destroy();
};
