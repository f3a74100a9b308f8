'use strict';
// What the days of node-postgres and knex share

const DETAIL = 'The account has 7 of 10 marketing contacts; the statement adds 10, but there is room for 3.';

function ok(seen, name, what) {
  console.log(`${seen ? 'ok' : 'not ok'} - ${name}`);
  if (!seen) console.log('#', what);
}

function same(seen, expected, name) {
  ok(JSON.stringify(seen) === JSON.stringify(expected), name,
    `${JSON.stringify(seen)}, expected ${JSON.stringify(expected)}`);
}

// The fields of an error that applications go by
async function refused(name, statement) {
  try {
    await statement();
    ok(false, name, 'not refused');
  } catch (error) {
    same([error.code, error.schema, error.table, error.constraint, error.detail],
      ['MC001', 'public', 'contacts', 'contact_tier', DETAIL], name);
  }
}

function capped(notices) {
  same(notices.map((notice) => notice.severity), ['WARNING'], 'cap: one warning');
  ok(notices[0]?.message.startsWith('2 contacts of account "2" were stored as '), 'cap: its text', notices[0]?.message);
}

module.exports = { ok, same, refused, capped };
