'use strict';
// A day with node-postgres

const { Client } = require('pg');
const { promote } = require('./promote');
const { same, refused, capped } = require('./tables');

const client = new Client();  // PGHOST and so on
const query = async (text, values) => (await client.query(text, values)).rows;

async function status(email, table = 'contacts') {
  const [row] = await query(`SELECT * FROM ${table} WHERE email = $1`, [`${email}@example.com`]);
  return [row.marketing_contact_status, row.marketing_contact_until_next_update];
}

async function transaction(type, name, work) {
  await client.query('BEGIN');
  try {
    await client.query(
      "SELECT set_config('contacts_tier.source_type', $1, true), set_config('contacts_tier.source_name', $2, true)", [type, name]);
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

// Write all columns of a row, as a mapper does
async function save(table, { id, ...row }) {
  const columns = Object.keys(row);
  await client.query(`UPDATE ${table} SET ${columns.map((column, i) => `${column} = $${i + 2}`)} WHERE id = $1`,
    [id, ...Object.values(row)]);
}

async function saveRows(table) {
  const read = () => query(`SELECT * FROM ${table} WHERE account_id = 3 ORDER BY id`);
  const rows = (await read()).map((row) => ({ ...row, name: 'typo' }));
  for (const row of rows) await save(table, row);
  same(await read(), rows, `save: only names change in ${table}`);
  await transaction('WORKFLOW', 'welcome', () => save(table, { ...rows[2], marketing_contact_status: 'marketing' }));
  same(await status('plain', table), ['marketing', null], `save: promotes in ${table}`);
}

async function day() {
  await client.connect();
  const [ada] = await transaction('FORM', 'signup', () => query(
    'INSERT INTO contacts (account_id, email, marketing_contact_status) VALUES ($1, $2, $3) RETURNING *',
    [1, 'ada@example.com', 'marketing']));
  same(ada.marketing_contact_status_source_type, 'FORM', 'create: the source of SET LOCAL');

  await query(`INSERT INTO contacts (account_id, email, marketing_contact_status,
                                     marketing_contact_status_source_type, marketing_contact_status_source_name)
               SELECT 1, email, status, 'IMPORT', 'list.csv' FROM unnest($1::text[], $2::text[]) AS new (email, status)`,
  [[1, 2, 3, 4, 5, 6].map((n) => `b${n}@example.com`), ['marketing', 'marketing', 'marketing', null, null, null]]);
  same(await status('b4'), ['non_marketing', null], 'bulk create: null is the default of the source type');

  await query(`INSERT INTO contacts (account_id, email, name, marketing_contact_status,
                                     marketing_contact_status_source_type, marketing_contact_status_source_name)
               SELECT 1, email, 'upserted', status, 'IMPORT', 'again.csv'
               FROM unnest($1::text[], $2::text[]) AS new (email, status)
               ON CONFLICT (account_id, email) DO UPDATE
               SET name = EXCLUDED.name, marketing_contact_status = EXCLUDED.marketing_contact_status,
                   marketing_contact_status_source_type = EXCLUDED.marketing_contact_status_source_type,
                   marketing_contact_status_source_name = EXCLUDED.marketing_contact_status_source_name`,
  [['b4@example.com', 'b5@example.com', 'c1@example.com'], ['marketing', null, null]]);
  same([await status('b4'), await status('b5')], [['marketing', null], ['non_marketing', null]], 'upsert');

  await query("UPDATE contacts SET marketing_contact_status = $1 WHERE email = 'b5@example.com'", ['marketing']);
  same(await status('b5'), ['marketing', null], 'update');

  await saveRows('contacts');
  await saveRows('leads');

  await query('UPDATE contacts SET marketing_contact_status = CASE email WHEN $1 THEN $2 ELSE $3 END WHERE email = ANY ($4)',
    ['b6@example.com', 'marketing', 'non_marketing', ['b1@example.com', 'b2@example.com', 'b6@example.com']]);
  same([await status('b1'), await status('b6')], [['marketing', true], ['marketing', null]], 'bulk update');
  await query("UPDATE contacts SET marketing_contact_status = $1 WHERE email = 'b2@example.com'", ['marketing']);

  same((await client.query("DELETE FROM contacts WHERE email = 'b3@example.com'")).rowCount, 1, 'delete');

  await transaction('WORKFLOW', 'welcome', async () => {
    await query("UPDATE contacts SET marketing_contact_status = $1 WHERE email = 'c1@example.com'", ['marketing']);
    await query('SAVEPOINT more');
    await refused('MC001 and its fields', () => query(
      `INSERT INTO contacts (account_id, email, marketing_contact_status)
       SELECT 1, 'd' || n || '@example.com', 'marketing' FROM generate_series(1, 10) AS n`));
    await query('ROLLBACK TO more');
  });

  const ids = (await query(`INSERT INTO contacts (account_id, email)
                            SELECT 1, 'f' || n || '@example.com' FROM generate_series(1, 10) AS n RETURNING id`)).map(({ id }) => id);
  same(await promote(client, ids, 'WORKFLOW', 'welcome'), false, 'promote() has no room');
  same(await promote(client, ids.slice(0, 1), 'WORKFLOW', 'welcome'), true, 'promote() has room');
  same(await query('SELECT marketing_contact_status_source_name AS name FROM contacts WHERE id = $1', [ids[0]]),
    [{ name: 'welcome' }], 'promote(): the source');
  await query('DELETE FROM contacts WHERE id = ANY ($1)', [ids]);

  const notices = [];
  client.on('notice', (notice) => notices.push(notice));
  await query(`INSERT INTO contacts (account_id, email, marketing_contact_status)
               SELECT 2, 'e' || n || '@example.com', $1 FROM generate_series(1, 7) AS n`, ['marketing']);
  capped(notices);
  await client.end();
  console.log('done');
}

day().catch((error) => {
  console.error(error);
  process.exit(1);
});
