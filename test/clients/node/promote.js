'use strict';

// Makes contacts marketing contacts; false if the tier has no room for all of them
async function promote(client, ids, sourceType, sourceName) {
  await client.query('BEGIN');
  try {
    await client.query('SELECT contacts_tier.set_source($1, $2)', [sourceType, sourceName]);
    await client.query("UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = ANY ($1)", [ids]);
    await client.query('COMMIT');
    return true;
  } catch (error) {
    await client.query('ROLLBACK');
    if (error.code !== 'MC001') throw error;
    return false;
  }
}

module.exports = { promote };
