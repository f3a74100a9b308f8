"""The configurations, each a database of its own, and what runs units in them."""

import ctypes
import ctypes.util
import io
import json
import os
import queue
import re
import threading
from collections import namedtuple
from datetime import datetime

import psycopg2
import psycopg2.extensions

from model import ACCOUNTS, START, first_day, timestamp_text
from statements import Control

ADMIN = 'fuzz_admin'        # roles that sessions run as
WRITER = 'fuzz_writer'

# plans in which rows come in the order that the statement names them in
PLANNER = ('enable_hashjoin', 'enable_mergejoin', 'enable_seqscan', 'enable_bitmapscan', 'enable_material', 'jit')

COLUMNS = '{"status": "status", "until_next_update": "flag", "source_type": "source_type",' \
    ' "source_name": "source_name", "updated_at": "changed_at"}'

PLAIN = "CREATE TABLE app.contacts (id integer PRIMARY KEY, account text, note text CONSTRAINT good CHECK (note <> 'bad'), gone boolean, opted_out boolean, engaged_at timestamptz);"
ATTACH = "SELECT contacts_tier.attach('app.contacts', 'account', '%s', whole_row_saves => %%s);" % COLUMNS
PROPERTIES = """status contacts_tier.marketing_status, flag boolean, source_type text, source_name text,
    changed_at timestamptz"""
PARTITIONED = """
CREATE TABLE app.contacts (id integer PRIMARY KEY, account text, note text CONSTRAINT good CHECK (note <> 'bad'), gone boolean, opted_out boolean, engaged_at timestamptz, %s) PARTITION BY RANGE (id);
CREATE TABLE app.contacts_0 PARTITION OF app.contacts FOR VALUES FROM (MINVALUE) TO (20);
CREATE TABLE app.contacts_1 (junk integer, changed_at timestamptz, opted_out boolean, engaged_at timestamptz, note text CONSTRAINT good CHECK (note <> 'bad'), source_name text, more text,
    status contacts_tier.marketing_status, id integer NOT NULL, flag boolean, account text, gone boolean, source_type text);
ALTER TABLE app.contacts_1 DROP junk, DROP more;
ALTER TABLE app.contacts ATTACH PARTITION app.contacts_1 FOR VALUES FROM (20) TO (40);
CREATE TABLE app.contacts_2 PARTITION OF app.contacts FOR VALUES FROM (40) TO (70) PARTITION BY RANGE (id);
CREATE TABLE app.contacts_2a PARTITION OF app.contacts_2 FOR VALUES FROM (40) TO (55);
CREATE TABLE app.contacts_2b (id integer NOT NULL, junk integer, account text, note text CONSTRAINT good CHECK (note <> 'bad'), gone boolean, opted_out boolean, engaged_at timestamptz, %s);
ALTER TABLE app.contacts_2b DROP junk;
ALTER TABLE app.contacts_2 ATTACH PARTITION app.contacts_2b FOR VALUES FROM (55) TO (70);
CREATE TABLE app.contacts_3 PARTITION OF app.contacts DEFAULT;
""" % (PROPERTIES, PROPERTIES)
PASS = 'CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON app.contacts FOR EACH ROW EXECUTE FUNCTION fuzz.pass();'
LOOK = 'CREATE TRIGGER %s AFTER INSERT OR UPDATE ON app.contacts FOR EACH ROW EXECUTE FUNCTION fuzz.look();'
TOUCH = 'CREATE TRIGGER a_touch AFTER INSERT OR UPDATE ON app.contacts FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION fuzz.touch();'


class Configuration:
    def __init__(self, name, what, table=PLAIN, after='', settings=None, role=None, fresh=False, needs=None):
        self.name, self.what, self.table, self.after = name, what, table, after
        self.settings, self.role, self.fresh, self.needs = settings or {}, role, fresh, needs


CONFIGURATIONS = [
    Configuration('plain', 'a plain table'),
    Configuration('slow', 'fast_path = off', settings={'contacts_tier.fast_path': 'off'}, needs='contacts_tier.fast_path'),
    Configuration('before', "a BEFORE trigger of the application's that does nothing", after=PASS % 'a_pass'),
    Configuration('later', 'one that fires after the status trigger', after=PASS % 'zzzz_pass'),
    Configuration('parts', 'partitions, some with other column orders', table=PARTITIONED),
    Configuration('writer', 'a role that may only write contacts', role=WRITER,
                  after="GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON app.contacts TO %s;"
                        " CREATE OR REPLACE FUNCTION fuzz.writer() RETURNS name LANGUAGE sql AS 'SELECT ''%s''::name';" % (WRITER, WRITER)),
    Configuration('fresh', 'new sessions, whose first statement loads the library', fresh=True),
    Configuration('audit', 'AFTER triggers that look', after=LOOK % 'a_look' + LOOK % 'zzzz_look'),
    Configuration('touch', 'an AFTER trigger that writes contacts again before they are counted', after=TOUCH,
                  settings={'contacts_tier.fast_path': 'off'}, needs='contacts_tier.fast_path'),
]

# What is seen of one step
Seen = namedtuple('Seen', 'code message count rows warnings contacts counters activity events audit notified')

libpq = ctypes.CDLL(ctypes.util.find_library('pq'))
libpq.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
FRESH = 3                   # units between two new sessions, which are slow
VERBOSE = 2                 # so that warnings have their SQLSTATE


def connect(database, user=None, options=''):
    connection = psycopg2.connect(dbname=database, user=user, options=options)
    connection.autocommit = True
    libpq.PQsetErrorVerbosity(connection.pgconn_ptr, VERBOSE)
    return connection


def execute(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def neutral(text):
    return text.replace(WRITER, '@role').replace(ADMIN, '@role') if text else text


def plain_value(value):
    if isinstance(value, datetime):
        return int(value.timestamp())
    return neutral(value) if isinstance(value, str) else value


def warning(text):
    """Severity, SQLSTATE and message of a notice; None for one that is of no interest."""
    text = re.sub(r'\n(LOCATION|CONTEXT|HINT): .*', '', text, flags=re.S).strip()
    if not text.startswith('WARNING') or 'contacts_tier.now' in text:
        return None
    return neutral(text)


def prepare(configurations, whole_rows):
    """Make the databases; returns the configurations that this version of the extension can have."""
    server = connect('postgres')
    for role, attributes in ((ADMIN, 'SUPERUSER LOGIN'), (WRITER, 'LOGIN')):
        if not execute(server, "SELECT 1 FROM pg_roles WHERE rolname = '%s'" % role):
            execute(server, 'CREATE ROLE %s %s' % (role, attributes))
    execute(server, 'DROP DATABASE IF EXISTS fuzz_template')
    execute(server, 'CREATE DATABASE fuzz_template')
    with connect('fuzz_template', ADMIN) as template:
        execute(template, 'CREATE EXTENSION contacts_tier')
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'setup.sql')) as file:
            execute(template, file.read())
        execute(template, 'SELECT contacts_tier.clock()')
        settings = {name for name, in execute(template, "SELECT name FROM pg_settings WHERE name LIKE 'contacts_tier.%'")}
    template.close()
    possible = [c for c in configurations if c.needs is None or c.needs in settings]
    for configuration in possible:
        database = 'fuzz_' + configuration.name
        execute(server, 'DROP DATABASE IF EXISTS %s' % database)
        execute(server, 'CREATE DATABASE %s TEMPLATE fuzz_template' % database)
        for name, value in [(name, 'off') for name in PLANNER] + [
                ('search_path', 'app, pg_catalog'), ('timezone', 'UTC'), ('statement_timeout', '20000'),
                ('synchronous_commit', 'off')]:
            execute(server, 'ALTER DATABASE %s SET %s = %s' % (database, name, value))
        connection = connect(database, ADMIN)
        execute(connection, "SET contacts_tier.now = '%s'" % timestamp_text(START))
        execute(connection, configuration.table)
        execute(connection, ATTACH % whole_rows)
        if configuration.after:
            execute(connection, configuration.after)
        # repair() of all tables waits for nobody who is at work on one, autovacuum included
        for name, in execute(connection, "SELECT oid::regclass::text FROM pg_class"
                             " WHERE relkind = 'r' AND relnamespace = 'app'::regnamespace"):
            execute(connection, 'ALTER TABLE %s SET (autovacuum_enabled = off)' % name)
        check_plans(connection)
        connection.close()
    server.close()
    return possible


def check_plans(connection):
    """Rows must come in a known order, or the last ones of a statement are anybody's guess."""
    for sql, wanted in (
            ('UPDATE contacts SET note = v.note FROM (VALUES (2, NULL::text), (1, NULL)) AS v (id, note)'
             ' WHERE contacts.id = ANY (ARRAY[v.id])', r'Nested Loop.*Values Scan.*Index Scan'),
            ('MERGE INTO contacts USING (VALUES (2), (1)) AS v (id) ON contacts.id = v.id WHEN NOT MATCHED THEN'
             ' INSERT (id) VALUES (v.id)', r'Nested Loop Left Join.*Values Scan.*Index Scan'),
            ("UPDATE contacts SET note = NULL WHERE id > -1000 AND account = 'a'", r'Index Scan'),
            ('UPDATE contacts SET note = NULL WHERE id IN (1, 2, 3)', r'Index Scan')):
        plan = '\n'.join(line for line, in execute(connection, 'EXPLAIN ' + sql))
        if not re.search(wanted, plan, re.S) or 'Seq Scan' in plan:
            raise SystemExit('the order of rows is not known in\n%s\n%s' % (sql, plan))


class Worker(threading.Thread):
    """Runs units in one configuration."""

    def __init__(self, configuration):
        super().__init__(daemon=True)
        self.configuration = configuration
        self.database = 'fuzz_' + configuration.name
        self.jobs = queue.SimpleQueue()
        self.results = queue.SimpleQueue()
        self.connection = None
        self.observer = None
        self.statements = 0
        self.start()

    def run(self):
        for job, argument in iter(self.jobs.get, None):
            try:
                self.results.put(getattr(self, job)(argument))
            except Exception as e:              # whoever waits for the result gets it
                self.results.put(e)

    def ask(self, job, argument=None):
        self.jobs.put((job, argument))

    def answer(self):
        result = self.results.get()
        if isinstance(result, Exception):
            raise result
        return result

    # jobs

    def reset(self, _):
        """New sessions, and everything as at the beginning."""
        for connection in (self.connection, self.observer):
            if connection is not None:
                connection.close()
        self.connection = None
        self.told = None
        self.observer = connect(self.database, ADMIN)
        execute(self.observer, "SET contacts_tier.now = '%s'" % timestamp_text(START))
        accounts = json.dumps([[name, *rest[:5], timestamp_text(first_day(rest[5])), rest[6]] for name, rest in ACCOUNTS.items()])
        execute(self.observer, "SELECT fuzz.reset('%s')" % accounts)

    def prune(self, _):
        execute(self.observer, 'SELECT fuzz.prune()')

    def unit(self, unit):
        if self.configuration.fresh and self.connection is not None and unit.number % FRESH == 0:
            self.connection.close()
            self.connection = None
        if self.connection is None:
            self.connect()
        self.tell(unit)
        seen = []
        for step in unit.steps:
            seen.append(self.step(step, unit))
            if self.connection.closed:
                break
        if not self.connection.closed and self.status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            execute(self.connection, 'ROLLBACK')
        return seen

    def connect(self):
        self.connection = connect(self.database, ADMIN)
        settings = ["SET %s = '%s';" % item for item in self.configuration.settings.items()]
        if self.configuration.role:
            settings.append('SET ROLE %s;' % self.configuration.role)
        execute(self.connection, 'LISTEN contacts_tier; ' + ' '.join(settings))
        self.told = None

    def tell(self, unit):
        """Clock and source, which last for the unit."""
        settings = unit.settings()
        if self.told == settings:
            return
        if self.configuration.role:
            settings = ['RESET ROLE;'] + settings + ['SET ROLE %s;' % self.configuration.role]
        execute(self.connection, ' '.join(settings))
        self.told = unit.settings()

    def status(self):
        return self.connection.info.transaction_status

    def step(self, step, unit):
        connection = self.connection
        del connection.notices[:]
        code, message, count, rows = '00000', None, -1, None
        role = self.configuration.role if step.manages else None
        try:
            if role:
                execute(connection, 'RESET ROLE')
            with connection.cursor() as cursor:
                if step.copied is not None:
                    cursor.copy_expert(step.sql(), io.StringIO(step.copied))
                else:
                    cursor.execute(step.sql())
                count = cursor.rowcount
                if cursor.description:
                    rows = cursor.fetchall()
        except psycopg2.Error as e:
            code = e.pgcode or 'XXXXX'
            if code.startswith('MC'):
                message = neutral('%s | %s' % (e.diag.message_primary, e.diag.message_detail))
            elif code.startswith('X') or code[:2] in ('42', '55'):
                message = neutral(str(e).split('\nLOCATION')[0])
        if not isinstance(step, Control):
            self.statements += 1
        if connection.closed:
            return Seen('the server has closed the connection', message, -1, None, (), *(None,) * 6)
        if role and self.status() != psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            execute(connection, 'SET ROLE %s' % role)
        state = self.inspect()
        connection.poll()           # COPY does not look for notices and notifications
        warnings = [w for w in map(warning, connection.notices) if w]
        notified = sorted(n.payload for n in connection.notifies)
        del connection.notifies[:]
        if rows:
            rows = sorted((tuple(map(plain_value, row)) for row in rows), key=repr)
        return Seen(code, message, count, rows, tuple(warnings), *state, tuple(notified))

    def inspect(self):
        status = self.status()
        if status == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            return (None,) * 5
        in_block = status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
        return tuple(neutral(text) for text in execute(
            self.connection if in_block or not self.configuration.fresh else self.observer,
            'SELECT * FROM fuzz.inspect()')[0])
