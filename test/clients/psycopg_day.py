"""A day with psycopg 3.  POOLER has the connection string of a pooler, if there is one."""

import json
import os

import psycopg
from psycopg.rows import dict_row

from seen import CAPPED, ok, refused, same

SOURCE = "SELECT set_config('contacts_tier.source_type', %s, true), set_config('contacts_tier.source_name', %s, true)"

connection = psycopg.connect(os.environ.get('POOLER', ''), autocommit=True, row_factory=dict_row)
# a pooler hands each transaction to another session, which does not have what was prepared
connection.prepare_threshold = None
execute = connection.execute
# LISTEN needs a session of its own
listener = psycopg.connect('', autocommit=True)
heard = []
listener.add_notify_handler(lambda notify: heard.append(json.loads(notify.payload)))
listener.execute('LISTEN contacts_tier')


def status(email, table='contacts'):
    row = execute(f'SELECT * FROM {table} WHERE email = %s', (email + '@example.com',)).fetchone()
    return row['marketing_contact_status'], row['marketing_contact_until_next_update']


# create
with connection.transaction():
    execute(SOURCE, ('FORM', 'signup'))
    row = execute('''INSERT INTO contacts (account_id, email, marketing_contact_status)
                     VALUES (%s, %s, %s) RETURNING *''', (1, 'ada@example.com', 'marketing')).fetchone()
same(row['marketing_contact_status_source_type'], 'FORM', 'create: the source of SET LOCAL')
same(execute("SELECT current_setting('contacts_tier.source_type', true) AS source").fetchone()['source'] or '', '',
     'create: SET LOCAL ends with the transaction')

# bulk create, typed arrays
emails = [f'b{n}@example.com' for n in range(1, 7)]
statuses = ['marketing'] * 3 + [None] * 3
execute('''INSERT INTO contacts (account_id, email, marketing_contact_status,
                                 marketing_contact_status_source_type, marketing_contact_status_source_name)
           SELECT 1, email, status, 'IMPORT', 'list.csv' FROM unnest(%s::text[], %s::text[]) AS new (email, status)''',
        (emails, statuses))
same([status(f'b{n}')[0] for n in range(1, 7)], ['marketing'] * 3 + ['non_marketing'] * 3, 'bulk create')

# upsert
connection.cursor().executemany(
    '''INSERT INTO contacts (account_id, email, name, marketing_contact_status,
                             marketing_contact_status_source_type, marketing_contact_status_source_name)
       VALUES (1, %s, 'upserted', %s, 'IMPORT', 'again.csv')
       ON CONFLICT (account_id, email) DO UPDATE
       SET name = EXCLUDED.name,
           marketing_contact_status = EXCLUDED.marketing_contact_status,
           marketing_contact_status_source_type = EXCLUDED.marketing_contact_status_source_type,
           marketing_contact_status_source_name = EXCLUDED.marketing_contact_status_source_name''',
    [('b4@example.com', 'marketing'), ('b5@example.com', None), ('c1@example.com', None)])
same([status(email)[0] for email in ('b4', 'b5', 'c1')], ['marketing', 'non_marketing', 'non_marketing'], 'upsert')

# update
execute("UPDATE contacts SET marketing_contact_status = %s WHERE email = 'b5@example.com'", ('marketing',))
same(status('b5'), ('marketing', None), 'update')


# save: whole rows, as they were read
def save(table, row):
    columns = [column for column in row if column != 'id']
    settings = ', '.join(f'{column} = %({column})s' for column in columns)
    execute(f'UPDATE {table} SET {settings} WHERE id = %(id)s', row)


for table in ('contacts', 'leads'):
    rows = execute(f'SELECT * FROM {table} WHERE account_id = 3 ORDER BY id').fetchall()
    for row in rows:
        save(table, row | {'name': 'typo'})
    after = execute(f'SELECT * FROM {table} WHERE account_id = 3 ORDER BY id').fetchall()
    same(after, [row | {'name': 'typo'} for row in rows], f'save: only names change in {table}')
    with connection.transaction():
        execute(SOURCE, ('WORKFLOW', 'welcome'))
        save(table, after[2] | {'marketing_contact_status': 'marketing'})
    same(status('plain', table), ('marketing', None), f'save: promotes in {table}')

# bulk update
execute('''UPDATE contacts
           SET marketing_contact_status = CASE email WHEN 'b6@example.com' THEN %s ELSE %s END
           WHERE email = ANY (%s)''',
        ('marketing', 'non_marketing', ['b1@example.com', 'b2@example.com', 'b6@example.com']))
same([status(f'b{n}') for n in (1, 2, 6)], [('marketing', True), ('marketing', True), ('marketing', None)], 'bulk update')
execute("UPDATE contacts SET marketing_contact_status = 'marketing' WHERE email = 'b2@example.com'")
same(status('b2'), ('marketing', None), 'back to marketing')

# delete
same(execute("DELETE FROM contacts WHERE email = 'b3@example.com'").rowcount, 1, 'delete')

# transaction with savepoint
with connection.transaction():
    execute(SOURCE, ('WORKFLOW', 'welcome'))
    execute("UPDATE contacts SET marketing_contact_status = 'marketing' WHERE email = 'c1@example.com'")
    with refused('MC001 and its fields', psycopg.Error, lambda error: (error.sqlstate, error.diag)):
        with connection.transaction():
            execute('''INSERT INTO contacts (account_id, email, marketing_contact_status)
                       SELECT 1, 'd' || n || '@example.com', 'marketing' FROM generate_series(1, 10) AS n''')
    same(status('c1'), ('marketing', None), 'what was before the savepoint stays')

# cap
notices = []
connection.add_notice_handler(lambda diag: notices.append((diag.severity_nonlocalized, diag.message_primary)))
rows = execute('''INSERT INTO contacts (account_id, email, marketing_contact_status)
                  SELECT 2, 'e' || n || '@example.com', 'marketing' FROM generate_series(1, 7) AS n
                  RETURNING marketing_contact_status AS status''').fetchall()
same([severity for severity, _ in notices], ['WARNING'], 'cap: one warning')
ok(notices and notices[0][1].startswith(CAPPED), 'cap: its text', notices)

# what the pool's sessions notified
listener.execute('SELECT')
same(max(message.get('threshold', 0) for message in heard if message['account'] == '2'), 100, 'LISTEN beside the pool')
print('done')
