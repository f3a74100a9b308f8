'use strict';
// A day with knex

const notices = [];
const knex = require('knex')({
  client: 'pg',
  connection: {
    host: process.env.PGHOST, port: process.env.PGPORT, user: process.env.PGUSER, database: process.env.PGDATABASE,
  },
  pool: {
    min: 1,
    max: 1,
    // notices come to the connection, which knex does not show
    afterCreate(connection, done) {
      connection.on('notice', (notice) => notices.push(notice));
      done(null, connection);
    },
  },
});
const { same, refused, capped } = require('./tables');

const mail = (name) => `${name}@example.com`;

async function status(email, table = 'contacts') {
  const row = await knex(table).where({ email: mail(email) }).first();
  return [row.marketing_contact_status, row.marketing_contact_until_next_update];
}

// A transaction with a source
function as(type, name, work) {
  return knex.transaction(async (trx) => {
    await trx.raw(`SELECT set_config('contacts_tier.source_type', ?, true),
                          set_config('contacts_tier.source_name', ?, true)`, [type, name]);
    return work(trx);
  });
}

async function saveRows(table) {
  const read = () => knex(table).where({ account_id: 3 }).orderBy('id');
  const rows = (await read()).map((row) => ({ ...row, name: 'typo' }));
  for (const { id, ...row } of rows) await knex(table).where({ id }).update(row);
  same(await read(), rows, `save: only names change in ${table}`);
  const { id, ...plain } = rows[2];
  await as('WORKFLOW', 'welcome', (trx) => trx(table).where({ id }).update({ ...plain, marketing_contact_status: 'marketing' }));
  same(await status('plain', table), ['marketing', null], `save: promotes in ${table}`);
}

async function day() {
  const [ada] = await as('FORM', 'signup', (trx) => trx('contacts')
    .insert({ account_id: 1, email: mail('ada'), marketing_contact_status: 'marketing' }).returning('*'));
  same(ada.marketing_contact_status_source_type, 'FORM', 'create: the source of SET LOCAL');

  const imported = { account_id: 1, marketing_contact_status_source_type: 'IMPORT', marketing_contact_status_source_name: 'list.csv' };
  await knex('contacts').insert([1, 2, 3, 4, 5, 6].map((n) => (
    { ...imported, email: mail(`b${n}`), marketing_contact_status: n <= 3 ? 'marketing' : null })));
  same(await status('b4'), ['non_marketing', null], 'bulk create: null is the default of the source type');

  imported.marketing_contact_status_source_name = 'again.csv';
  await knex('contacts').insert([
    { ...imported, email: mail('b4'), name: 'upserted', marketing_contact_status: 'marketing' },
    { ...imported, email: mail('b5'), name: 'upserted' },
    { ...imported, email: mail('c1'), name: 'upserted' },
  ]).onConflict(['account_id', 'email']).merge();
  same([await status('b4'), await status('b5')], [['marketing', null], ['non_marketing', null]], 'onConflict().merge()');

  await knex('contacts').where({ email: mail('b5') }).update({ marketing_contact_status: 'marketing' });
  same(await status('b5'), ['marketing', null], 'update');

  await saveRows('contacts');
  await saveRows('leads');

  await knex('contacts').whereIn('email', ['b1', 'b2', 'b6'].map(mail)).update({
    marketing_contact_status: knex.raw('CASE email WHEN ? THEN ? ELSE ? END', [mail('b6'), 'marketing', 'non_marketing']),
  });
  same([await status('b1'), await status('b6')], [['marketing', true], ['marketing', null]], 'bulk update');
  await knex('contacts').where({ email: mail('b2') }).update({ marketing_contact_status: 'marketing' });

  same(await knex('contacts').where({ email: mail('b3') }).del(), 1, 'delete');

  await as('WORKFLOW', 'welcome', async (trx) => {
    await trx('contacts').where({ email: mail('c1') }).update({ marketing_contact_status: 'marketing' });
    await refused('MC001 and its fields', () => trx.transaction((savepoint) => savepoint('contacts').insert(
      Array.from({ length: 10 }, (_, n) => ({ account_id: 1, email: mail(`d${n}`), marketing_contact_status: 'marketing' })))));
  });
  same(await status('c1'), ['marketing', null], 'what was before the savepoint stays');

  notices.length = 0;
  await knex('contacts').insert(Array.from({ length: 7 }, (_, n) => (
    { account_id: 2, email: mail(`e${n + 1}`), marketing_contact_status: 'marketing' })));
  capped(notices);
  await knex.destroy();
  console.log('done');
}

day().catch((error) => {
  console.error(error);
  process.exit(1);
});
