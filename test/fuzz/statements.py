"""Random statements: each can say itself in SQL, and do itself in the model.

A Unit is what is sent to a configuration at once: one statement, or a
transaction.  Statements hold values, and nothing of the state that they were
made for, so that any of them can be left out.
"""

import copy
import json
from itertools import combinations

from model import ACCOUNTS, CONDITIONS, DAY, NOBODY, PLANS, PROPERTIES, ROLE, Refused, Work, WrongGuess, timestamp_text

DEFAULT = object()
TYPES = {'id': 'int', 'account': 'text', 'note': 'text', 'status': 'contacts_tier.marketing_status', 'flag': 'boolean',
         'source_type': 'text', 'source_name': 'text', 'changed_at': 'timestamptz', 'gone': 'boolean', 'opted_out': 'boolean',
         'engaged_at': 'timestamptz'}
READ = ('gone', 'opted_out', 'engaged_at')      # columns that conditions read
ALL = ('id', 'account', 'note') + READ + PROPERTIES
TIMES = ('changed_at', 'engaged_at')
RETURNING = ' RETURNING contacts.*'


def literal(column, value):
    if value is DEFAULT:
        return 'DEFAULT'
    if value is None:
        return 'NULL'
    if value == ROLE:
        return 'current_user'
    if column in TIMES:
        return "'%s'" % timestamp_text(value)
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return str(value)
    return "'%s'" % value.replace("'", "''")


def typed(column, value):
    return '%s::%s' % (literal(column, value), TYPES[column])


def given(row):
    """A row as the model takes it: what is not given is missing."""
    return {column: value for column, value in row.items() if value is not DEFAULT and value is not None}


def returned(state, ids):
    return [returned_row(state.contacts[key]) for key in ids if key is not None]


def returned_row(contact):
    return tuple(getattr(contact, column) for column in ALL)


class Step:
    """Something that is sent to the server; statements are those that have apply()."""
    kind = 'other'
    manages = False             # by the table's owner
    in_block = True             # may it be in a transaction?
    copied = None               # data of COPY

    def smaller(self):
        """The same with one thing less."""
        for name in ('rows', 'ids', 'deleted', 'caught', 'sets'):
            things = getattr(self, name, None)
            if not things or len(things) < 2:
                continue
            for index in range(len(things)):
                new = copy.copy(self)
                if isinstance(things, dict):
                    setattr(new, name, {key: value for i, (key, value) in enumerate(things.items()) if i != index})
                    if ('from',) not in new.sets.values() and getattr(new, 'values', None):
                        continue
                else:
                    setattr(new, name, things[:index] + things[index + 1:])
                yield new
        if getattr(self, 'returning', False) and isinstance(self, Statement):
            new = copy.copy(self)
            new.returning = False
            yield new

    def __str__(self):
        return self.sql() + ';' + (''.join('\n' + line for line in (self.copied + '\\.').split('\n')) if self.copied else '')


class Control(Step):
    """BEGIN, SAVEPOINT and the like."""

    def __init__(self, word, name=''):
        self.word, self.name = word, name

    def sql(self):
        return (self.word + ' ' + self.name).strip()


class SetLocal(Step):
    def __init__(self, setting, value):
        self.setting, self.value = setting, value

    def sql(self):
        return "SET LOCAL contacts_tier.%s = '%s'" % (self.setting, self.value)

    def set(self, state):
        setattr(state, self.setting, self.value)


class Statement(Step):
    returning = False
    counts = True               # does the command tag have a count that means something?

    def run(self, state, eager, wrong):
        """As one statement of its own; raises Refused."""
        work = Work(state, eager, wrong)
        self.apply(work)
        work.finish()
        self.done(work)
        return work

    def done(self, work):
        """What is known only at the end."""
        if self.returning and work.returned is not None:
            work.returned = [row if isinstance(row, tuple) else returned_row(work.state.contacts[row])
                             for row in work.returned if row is not None]


class Insert(Statement):
    def __init__(self, columns, rows, form='values', conflict=None, sets=None, where=None, returning=False):
        self.columns, self.rows, self.form = columns, rows, form
        self.conflict, self.sets, self.where, self.returning = conflict, sets, where, returning
        self.kind = 'insert' if conflict is None else 'upsert'

    def sql(self):
        if self.form == 'values':
            source = 'VALUES ' + ', '.join(
                '(%s)' % ', '.join(literal(c, row[c]) for c in self.columns) for row in self.rows)
        else:
            source = 'SELECT * FROM (VALUES %s) AS v' % ', '.join(
                '(%s)' % ', '.join(typed(c, None if row[c] is DEFAULT else row[c]) for c in self.columns)
                for row in self.rows)
        sql = 'INSERT INTO contacts (%s) %s' % (', '.join(self.columns), source)
        if self.conflict == 'nothing':
            sql += ' ON CONFLICT (id) DO NOTHING'
        elif self.conflict == 'update':
            sql += ' ON CONFLICT (id) DO UPDATE SET ' + ', '.join('%s = %s' % (c, self.set_sql(c, v)) for c, v in self.sets)
            if self.where:
                sql += ' WHERE ' + UPSERT_WHERE[self.where][0]
        return sql + (RETURNING if self.returning else '')

    @staticmethod
    def set_sql(column, value):
        if value == ('excluded',):
            return 'EXCLUDED.' + column
        if value == ('status seen',):
            return "coalesce(EXCLUDED.status::text, 'not given')"
        return literal(column, value)

    def apply(self, work):
        work.returned = []
        written = set()
        for row in self.rows:
            row = given(row)
            if row.get('note') == 'bad' or self.conflict and work.would_refuse(row):
                # constraints are checked before conflicts
                work.errors.add('23514')
                continue
            if self.conflict is None or row['id'] not in work.state.contacts:
                key = work.insert(row)
            elif self.conflict == 'nothing':
                continue
            elif row['id'] in written:
                work.errors.add('21000')
                continue
            else:
                old = work.state.contacts[row['id']]
                if self.where and not UPSERT_WHERE[self.where][1](old, row):
                    continue
                key = work.update(row['id'], self.resolved(row))
            if key is not None:
                written.add(key)
            work.count += 1
            work.returned.append(key)

    def resolved(self, row):
        sets = {}
        for column, value in self.sets:
            if value == ('excluded',):
                value = row.get(column)
                if value is None and column in PROPERTIES:
                    continue            # what nobody stated changes nothing
            elif value == ('status seen',):
                value = row.get('status') or 'not given'
            sets[column] = value
        return sets


UPSERT_WHERE = {
    'note': ("contacts.note IS DISTINCT FROM 'n1'", lambda old, row: old.note != 'n1'),
    'asked': ("EXCLUDED.status = 'marketing'", lambda old, row: row.get('status') == 'marketing'),
    'not asked': ('EXCLUDED.status IS NULL', lambda old, row: row.get('status') is None),
    'non': ("contacts.status = 'non_marketing'", lambda old, row: old.status == 'non_marketing'),
}


class Copy(Statement):
    kind = 'copy'

    def __init__(self, columns, rows, where=None):
        self.columns, self.rows, self.where = columns, rows, where

    @property
    def copied(self):
        return ''.join('\t'.join(self.field(c, row[c]) for c in self.columns) + '\n' for row in self.rows)

    @staticmethod
    def field(column, value):
        if value is DEFAULT or value is None:
            return '\\N'
        if column in TIMES:
            return timestamp_text(value)
        if isinstance(value, bool):
            return 't' if value else 'f'
        return str(value)

    def sql(self):
        sql = 'COPY contacts (%s) FROM stdin' % ', '.join(self.columns)
        return sql + (' WHERE ' + COPY_WHERE[self.where][0] if self.where else '')

    def apply(self, work):
        for row in self.rows:
            row = given(row)
            if self.where and not COPY_WHERE[self.where][1](row):
                continue
            work.insert(row)
            work.count += 1


COPY_WHERE = {
    'asked': ("status = 'marketing'", lambda row: row.get('status') == 'marketing'),
    'not asked': ('status IS NULL', lambda row: row.get('status') is None),
    'no source': ('source_type IS NULL', lambda row: row.get('source_type') is None),
    'even': ('id % 2 = 0', lambda row: row['id'] % 2 == 0),
}


class Update(Statement):
    """sets: column -> value, or ('plus', n) for the key, or ('from',) for a value per row."""
    kind = 'update'

    def __init__(self, ids, sets, account=None, values=None, returning=False):
        self.ids, self.sets, self.account, self.values, self.returning = ids, sets, account, values, returning

    def sql(self):
        sets = ', '.join('%s = %s' % (c, self.set_sql(c, v)) for c, v in self.sets.items())
        if self.values is not None:
            # in the order of the values: a nested loop over them, since nothing
            # but a sequential scan, which is disabled, could be the outer side
            columns = [c for c, v in self.sets.items() if v == ('from',)]
            rows = ', '.join('(%s)' % ', '.join([str(key)] + [typed(c, self.values[key][c]) for c in columns])
                             for key in self.ids)
            return 'UPDATE contacts SET %s FROM (VALUES %s) AS v (%s) WHERE contacts.id = ANY (ARRAY[v.id])' % (
                sets, rows, ', '.join(['id'] + columns)) + (RETURNING if self.returning else '')
        if self.account is not None:
            where = "id > -1000 AND account = '%s'" % self.account
        elif len(self.ids) == 1:
            where = 'id = %d' % self.ids[0]
        else:
            where = 'id IN (%s)' % ', '.join(map(str, self.ids))
        return 'UPDATE contacts SET %s WHERE %s' % (sets, where) + (RETURNING if self.returning else '')

    @staticmethod
    def set_sql(column, value):
        if value == ('from',):
            return 'v.' + column
        if isinstance(value, tuple):
            return '%s + %d' % (column, value[1]) if value[0] == 'plus' else column
        return literal(column, value)

    def apply(self, work):
        before = dict(work.state.contacts)
        if self.values is not None:
            ids = self.ids
        elif self.account is not None:
            ids = sorted(key for key, c in before.items() if c.account == self.account)
        else:
            ids = sorted(set(self.ids))
        work.returned = []
        for key in ids:
            if key not in before:
                continue
            sets = {}
            for column, value in self.sets.items():
                if value is DEFAULT:
                    value = None
                elif value == ('from',):
                    value = self.values[key][column]
                elif isinstance(value, tuple):
                    old = getattr(before[key], column)
                    value = old + value[1] if value[0] == 'plus' else old
                sets[column] = value
            work.returned.append(work.update(key, sets))
            work.count += 1


class Delete(Statement):
    kind = 'delete'

    def __init__(self, ids, account=None, returning=False):
        self.ids, self.account, self.returning = ids, account, returning

    def sql(self):
        where = "id > -1000 AND account = '%s'" % self.account if self.account is not None else \
            'id IN (%s)' % ', '.join(map(str, self.ids))
        return 'DELETE FROM contacts WHERE ' + where + (RETURNING if self.returning else '')

    def apply(self, work):
        contacts = work.state.contacts
        ids = [key for key, c in contacts.items() if c.account == self.account] if self.account is not None else \
            [key for key in set(self.ids) if key in contacts]
        work.returned = []
        for key in sorted(ids):
            work.returned.append(returned_row(contacts[key]))
            work.delete(key)
            work.count += 1


class Merge(Statement):
    """Source rows are (id, account, status, note); contacts with the note 'gone' are deleted."""
    kind = 'merge'

    def __init__(self, rows, sets, columns, deletes):
        self.rows, self.sets, self.columns, self.deletes = rows, sets, columns, deletes

    def sql(self):
        names = ('id', 'account', 'status', 'note')
        rows = ', '.join('(%s)' % ', '.join(typed(c, v) for c, v in zip(names, row)) for row in self.rows)
        sql = 'MERGE INTO contacts USING (VALUES %s) AS v (%s) ON contacts.id = v.id' % (rows, ', '.join(names))
        if self.deletes:
            sql += " WHEN MATCHED AND v.note = 'gone' THEN DELETE"
        if self.sets:
            sql += ' WHEN MATCHED THEN UPDATE SET ' + ', '.join(
                '%s = %s' % (c, 'v.' + c if v == ('from',) else literal(c, v)) for c, v in self.sets.items())
        if self.columns:
            sql += ' WHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)' % (
                ', '.join(self.columns), ', '.join('v.' + c for c in self.columns))
        return sql

    def apply(self, work):
        before = set(work.state.contacts)
        for values in self.rows:
            row = dict(zip(('id', 'account', 'status', 'note'), values))
            if row['id'] in before:
                if self.deletes and row['note'] == 'gone':
                    work.delete(row['id'])
                elif self.sets:
                    work.update(row['id'], {c: row[c] if v == ('from',) else v for c, v in self.sets.items()})
                else:
                    continue
            elif self.columns:
                work.insert(given({c: row[c] for c in self.columns}))
            else:
                continue
            work.count += 1


class Replace(Statement):
    """Contacts are deleted in a WITH query, and others take their places."""
    kind = 'with'

    def __init__(self, deleted, offset=None, status=None, update=None):
        self.deleted, self.offset, self.status, self.update = deleted, offset, status, update

    def sql(self):
        sql = 'WITH d AS (DELETE FROM contacts WHERE id IN (%s) RETURNING id, account) ' % \
            ', '.join(map(str, self.deleted))
        if self.update is not None:
            return sql + self.update.sql()
        return sql + 'INSERT INTO contacts (id, account, status) SELECT id + %d, account, %s FROM d' % (
            self.offset, typed('status', self.status))

    def apply(self, work):
        contacts = work.state.contacts
        gone = sorted(key for key in set(self.deleted) if key in contacts)
        if self.update is not None:
            self.update.apply(work)
            work.returned = None
            for key in gone:
                work.delete(key)
            return
        # one by one, as the WITH query is read
        for key in gone:
            if key not in contacts:
                continue
            account = contacts[key].account
            work.delete(key)
            work.insert(given({'id': key + self.offset, 'account': account, 'status': self.status}))
            work.count += 1


class Truncate(Statement):
    kind = 'truncate'
    counts = False

    def sql(self):
        return 'TRUNCATE contacts'

    def apply(self, work):
        activity = {name: list(counts) for name, counts in work.state.activity.items()}
        for key in list(work.state.contacts):
            work.delete(key)
        work.state.activity = activity          # says nothing


class Block(Statement):
    """DO with a block for each statement that catches its errors, and one without."""
    kind = 'do'
    counts = False

    def __init__(self, caught, last):
        self.caught, self.last = caught, last

    def sql(self):
        return 'DO $do$ BEGIN %s%s END $do$' % (
            ''.join('BEGIN %s; EXCEPTION WHEN OTHERS THEN NULL; END; ' % s.sql() for s in self.caught),
            self.last.sql() + ';' if self.last else '')

    def guesses(self):
        """What cannot be seen: see run()."""
        numbers = range(len(self.caught))
        return [(first, refused) for count in range(len(self.caught) + 1) for refused in combinations(numbers, count)
                for first in range(len(self.caught) + 2)]

    def run(self, state, eager, wrong, guess=(0, ())):
        """
        The statements from the first one on apply dates that they need not apply, and some apply
        any before they are refused, which takes that back.
        """
        first, refused = guess
        whole = Work(state, eager, wrong)
        for index, statement in enumerate(self.caught):
            before = state.copy()
            accounts = set(state.accounts) if index in refused else eager if index >= first else ()
            try:
                self.add(whole, statement.run(state, accounts, wrong))
                if index in refused:
                    raise WrongGuess
            except Refused:
                for name in STATE_SLOTS:
                    setattr(state, name, getattr(before, name))
        if self.last:
            self.add(whole, self.last.run(state, eager if len(self.caught) >= first else (), wrong))
        return whole

    @staticmethod
    def add(whole, work):
        whole.events += work.events
        whole.warnings += work.warnings
        whole.announced += [(name, [], may + must, when) for name, must, may, when in work.announced]
        whole.is_whole = False
        whole.loose.update(work.loose)
        whole.returned = None


STATE_SLOTS = ('contacts', 'accounts', 'activity', 'clock', 'source_type', 'source_name', 'conditions', 'refuses', 'passes')


class Join(Statement):
    """merge_contacts() (P5)"""
    kind = 'join'
    counts = False

    def __init__(self, winner, loser):
        self.winner, self.loser = winner, loser

    def sql(self):
        return "SELECT contacts_tier.merge_contacts('app.contacts', %d, %d)" % (self.winner, self.loser)

    def apply(self, work):
        work.merge(self.winner, self.loser)


class PassBrake(Step):
    kind = 'pass'
    manages = True
    counts = False
    returning = False

    def sql(self):
        return 'SELECT contacts_tier.pass_brake()'

    def run(self, state, eager, wrong):
        state.passes = True
        return Work(state, eager, wrong)


class SetCondition(Step):
    kind = 'condition'
    manages = True
    counts = False
    returning = False

    def __init__(self, which, text, refuses):
        self.which, self.text, self.refuses = which, text, refuses

    def sql(self):
        return "SELECT contacts_tier.set_condition('app.contacts', '%s', %s, '%s')" % (
            self.which, literal('text', self.text), 'refuse' if self.refuses else 'keep')

    def run(self, state, eager, wrong):
        work = Work(state, eager, wrong)
        work.set_condition(self.which, self.text, self.refuses)
        return work


class Manage(Step):
    """What the owner does with an account."""
    kind = 'manage'
    manages = True
    counts = False
    returning = False

    def __init__(self, function, account, **arguments):
        self.function, self.account, self.arguments = function, account, arguments

    def sql(self):
        return "SELECT contacts_tier.%s('app.contacts', '%s'%s)" % (self.function, self.account, ''.join(
            ', %s => %s' % (name, 'fuzz.writer()' if value == ROLE else literal('changed_at' if name == 'since' else name, value))
            for name, value in self.arguments.items()))

    def run(self, state, eager, wrong):
        work = Work(state, eager, wrong)
        account = state.accounts[self.account]
        work.catch_up(account)
        getattr(self, self.function)(work, account, **self.arguments)
        return work

    @staticmethod
    def set_policy(work, account, on_exceed=None, grace=None, source_defaults=None, max_limit=None, source_policies=None,
                   proration=None, brake=None):
        if on_exceed is not None:
            account.policy = on_exceed
        if grace is not None:
            account.grace = grace
        if source_defaults is not None:
            account.defaults = json.loads(source_defaults)
        if max_limit is not None:
            account.max_limit = max_limit or None
            if max_limit and (account.requested or 0) > max_limit:
                account.requested = None
        if source_policies is not None:
            account.source_policies = json.loads(source_policies)
        if proration is not None:
            account.proration = proration
        if brake is not None:
            account.brake = json.loads(brake) or None
        work.events.append((account.name, 'policy', 0, {}))

    @staticmethod
    def change_tier(work, account, contact_limit):
        if contact_limit > account.limit:
            work.move(account, contact_limit, account.marketing, 'requested')
            account.renewal_limit = None
        else:
            work.events.append((account.name, 'tier_asked', account.marketing, {'contact_limit': contact_limit}))
            account.renewal_limit = contact_limit if contact_limit < account.limit else None

    @staticmethod
    def undo_promotion(work, account, **arguments):
        work.undo_promotion(account, **arguments)

    @staticmethod
    def approve_upgrade(work, account):
        if (account.requested or 0) <= account.limit:
            raise Refused('55000')
        work.move(account, account.requested, account.marketing, 'approved')


class Rollover(Step):
    kind = 'rollover'
    manages = True
    in_block = False
    counts = False
    returning = False

    def sql(self):
        return 'CALL contacts_tier.rollover()'

    def run(self, state, eager, wrong):
        work = Work(state, eager, wrong)
        for account in state.accounts.values():
            if account.next_update <= state.clock:
                work.flag_ineligible(account)
            work.catch_up(account)
        return work


class Repair(Step):
    """verify() finds no drift, and repair() nothing to mend, but a contact that does not exist and has no account."""
    kind = 'repair'
    manages = True
    in_block = False
    counts = False
    returning = True

    def __init__(self, repairs):
        self.repairs = repairs

    def sql(self):
        return 'SELECT account, counted, actual FROM contacts_tier.repair()' if self.repairs else \
            'SELECT account, counted, actual FROM contacts_tier.verify()' \
            ' WHERE drift <> 0 OR pending_counted <> pending_actual'

    def run(self, state, eager, wrong):
        work = Work(state, eager, wrong)
        work.returned = []
        for c in list(state.contacts.values()):
            if self.repairs and c.account is None and c.status == 'marketing':
                state.contacts[c.id] = c._replace(status='non_marketing', flag=None)
        return work


class Unit:
    """Steps that are sent together, what the session's source is, and how late it is."""

    def __init__(self, number, steps, clock, source_type='', source_name=''):
        self.number, self.steps, self.clock = number, steps, clock
        self.source_type, self.source_name = source_type, source_name

    def is_transaction(self):
        return isinstance(self.steps[0], Control)

    def text(self, last):
        """To be pasted into psql, after the last one."""
        before = last.settings() if last else Unit(0, [], 0).settings()
        return ''.join('%s\n' % line for line in [s for s in self.settings() if s not in before] + self.steps)

    def but(self, **changes):
        new = copy.copy(self)
        for name, value in changes.items():
            setattr(new, name, value)
        return new

    def smaller(self):
        """The same with one thing less."""
        if self.source_type or self.source_name:
            yield self.but(source_type='', source_name='')
        if self.is_transaction():
            if self.steps[-1].word == 'COMMIT' and len(self.steps) == 3:
                yield self.but(steps=self.steps[1:-1])
            for index in reversed(range(1, len(self.steps) - 1)):
                yield self.but(steps=self.steps[:index] + self.steps[index + 1:])
        for index, step in enumerate(self.steps):
            for other in step.smaller():
                yield self.but(steps=self.steps[:index] + [other] + self.steps[index + 1:])

    def settings(self):
        return ["SET contacts_tier.now = '%s';" % timestamp_text(self.clock)] + \
            ["SET contacts_tier.%s = '%s';" % (name, getattr(self, name)) for name in ('source_type', 'source_name')]


class Generator:
    FEATURES = ('insert', 'copy', 'upsert', 'unstated', 'update', 'merge', 'with', 'delete', 'truncate', 'do', 'savepoint', 'source',
                'blank', 'key', 'account', 'time', 'manage', 'late', 'rollover', 'repair', 'returning', 'policies', 'brake', 'condition',
                'undo', 'join')

    def __init__(self, random, without=()):
        self.random, self.without = random, set(without)
        self.clock = None
        self.state = None

    # values

    def has(self, feature):
        return feature not in self.without

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, **weights):
        names = [name for name in weights if self.has(name) and weights[name] > 0]
        return self.random.choices(names, [weights[name] for name in names])[0]

    def some_account(self):
        if self.chance(0.04):
            return None
        if self.chance(0.03):
            return NOBODY
        # few of them at a time, so that limits are reached
        return self.random.choice('abcdefgh' if self.chance(0.5) else self.favourites)

    def some_status(self):
        return self.random.choices(['marketing', 'non_marketing', None, DEFAULT], [6, 3, 1, 1])[0]

    def some_source(self, column):
        known = ['FORM', 'IMPORT', 'API', 'USER', 'EXTERNAL_FORM', 'OTHER'] if column == 'source_type' else ['jane', 'file 1']
        return self.random.choice(known + [None, DEFAULT] + ([''] if self.has('blank') else []))

    def some_read(self, column):
        """Of a column that conditions read, mostly what lets a contact be"""
        if column == 'engaged_at':
            return self.random.choice([None] + [self.clock - DAY * days for days in (0, 1, 2, 5, 9, 10, 11, 40)])
        return self.random.choices([False, None, True], [5, 2, 3])[0]

    def some_property(self, column, updates=False):
        if column == 'status':
            return self.some_status() if not updates else self.random.choices(
                ['marketing', 'non_marketing', None], [6, 3, 1])[0]
        if column == 'flag':
            return self.random.choice([True, False, None] if updates else [True, False, None, DEFAULT])
        if column == 'changed_at':
            return self.random.choice([None, self.clock, self.clock - 86400 * self.random.randint(1, 40),
                                       self.clock + 86400])
        value = self.some_source(column)
        return None if updates and value is DEFAULT else value

    def free_ids(self, number):
        ids = []
        while len(ids) < number:
            key = self.random.randint(1, 99)
            if key not in ids and (key not in self.state.contacts or self.chance(0.02)):
                ids.append(key)
        if self.chance(0.1):
            ids.sort(reverse=True)
        return ids

    def known_ids(self, number):
        known = sorted(self.state.contacts)
        ids = self.random.sample(known, min(number, len(known)))
        if not ids or self.chance(0.03):
            ids.append(self.random.randint(1, 99))
        return list(dict.fromkeys(ids))

    def number(self):
        return self.random.choice([1, 1, 1, 2, 2, 3, 4, 5, 7])

    # statements

    def new_columns(self, copies=False):
        columns = ['id', 'account']
        for column, probability in (('note', 0.3), ('status', 0.75), ('flag', 0.15), ('source_type', 0.25),
                                    ('source_name', 0.2), ('changed_at', 0.08)):
            if column == 'changed_at' and not self.has('time'):
                continue
            if column.startswith('source') and not self.has('source'):
                continue
            if self.chance(probability):
                columns.append(column)
        if self.has('condition'):
            columns += [column for column in READ if self.chance(0.25 if column != 'engaged_at' else 0.5)]
        if self.chance(0.3):
            self.random.shuffle(columns)
        return columns

    def new_rows(self, columns, ids):
        account = self.some_account() if self.chance(0.6) else False
        same = {c: self.some_property(c) for c in columns if c in PROPERTIES and self.chance(0.5)}
        rows = []
        for key in ids:
            row = {'id': key, 'account': self.some_account() if account is False else account}
            for column in columns:
                if column == 'note':
                    row[column] = 'bad' if self.chance(0.01) else self.random.choice(['n1', 'n2', None])
                elif column in READ:
                    row[column] = self.some_read(column)
                elif column in PROPERTIES:
                    row[column] = same[column] if column in same else self.some_property(column)
            rows.append(row)
        return rows

    def insert(self):
        columns = self.new_columns()
        return Insert(columns, self.new_rows(columns, self.free_ids(self.number())),
                      self.random.choice(['values', 'values', 'select']), returning=self.may_return())

    def copy(self):
        columns = self.new_columns(True)
        return Copy(columns, self.new_rows(columns, self.free_ids(self.number())),
                    self.random.choice(list(COPY_WHERE)) if self.chance(0.2) else None)

    def upsert(self):
        columns = self.new_columns()
        number = self.number()
        ids = self.known_ids(number - number // 3) + self.free_ids(number // 3)
        self.random.shuffle(ids)
        if not self.chance(0.02):
            ids = list(dict.fromkeys(ids))
        rows = self.new_rows(columns, ids)
        form = self.random.choice(['values', 'values', 'select'])
        if self.chance(0.3):
            return Insert(columns, rows, form, 'nothing', returning=self.may_return())
        sets = []
        where = self.random.choice(list(UPSERT_WHERE)) if self.chance(0.2) else None
        stated = {c for c in columns if c not in PROPERTIES or all(row[c] not in (None, DEFAULT) for row in rows)}
        if self.has('unstated'):
            stated = set(ALL)
        elif 'status' not in stated and where in ('asked', 'not asked'):
            where = None
        if self.chance(0.3) or not self.has('source'):
            sets.append(('note', ('status seen',) if self.chance(0.5) and 'status' in stated else ('excluded',)))
        for column in PROPERTIES:
            if column == 'changed_at' and not self.has('time') or column.startswith('source') and not self.has('source'):
                continue
            if self.chance({'status': 0.7, 'flag': 0.3}.get(column, 0.3)):
                sets.append((column, ('excluded',) if self.chance(0.7) and column in stated else
                             self.some_property(column, True)))
        if self.has('account') and self.chance(0.1):
            sets.append(('account', ('excluded',)))
        if self.has('condition'):
            sets += [(c, ('excluded',) if self.chance(0.5) else self.some_read(c)) for c in READ if self.chance(0.12)]
        if not sets:
            sets.append(('note', 'n3'))
        return Insert(columns, rows, form, 'update', sets, where, self.may_return())

    def changes(self):
        """Columns for a SET list."""
        columns = []
        for column, probability in (('status', 0.75), ('flag', 0.2), ('source_type', 0.2), ('source_name', 0.2),
                                    ('changed_at', 0.05), ('note', 0.15), ('account', 0.12)):
            if {'source_type': 'source', 'source_name': 'source', 'changed_at': 'time'}.get(column, column) in self.without:
                continue
            if self.chance(probability):
                columns.append(column)
        if self.has('condition'):
            columns += [column for column in READ if self.chance(0.12)]
        self.random.shuffle(columns)
        return columns or ['status']

    def new_value(self, column):
        if column == 'account':
            return self.some_account()
        if column == 'note':
            return 'bad' if self.chance(0.02) else self.random.choice(['n1', 'n2', None])
        if column in READ:
            return self.some_read(column)
        return self.some_property(column, True)

    def update(self):
        if self.chance(0.15):
            return self.save()
        if self.has('condition') and self.chance(0.12):
            column = self.random.choice(READ)
            return Update(self.known_ids(self.number()), {column: self.some_read(column)}, returning=self.may_return())
        if self.has('key') and self.chance(0.1):
            ids = self.known_ids(self.number())
            sets = {'id': ('plus', self.random.choice([-20, 20, 50, 100, -100]))}
            if self.chance(0.3):
                sets['status'] = self.some_property('status', True)
            if self.has('account') and self.chance(0.2):
                sets['account'] = self.some_account()
            return Update(ids, sets, returning=self.may_return())
        columns = self.changes()
        if 'account' in columns or self.chance(0.25):
            # their order is that of the values
            ids = self.known_ids(self.number())
            per_row = [c for c in columns if self.chance(0.5)]
            if not per_row:
                per_row = columns[:1]
            return Update(ids, {c: ('from',) if c in per_row else self.new_value(c) for c in columns},
                          values={key: {c: self.new_value(c) for c in per_row} for key in ids},
                          returning=self.may_return())
        sets = {c: self.new_value(c) for c in columns}
        if self.chance(0.1):
            sets[self.random.choice(['account', 'status', 'flag', 'note'])] = ('same',)
        if self.chance(0.2):
            return Update([], sets, account=self.random.choice('abcdefg'), returning=self.may_return())
        return Update(self.known_ids(self.number()), sets, returning=self.may_return())

    def save(self):
        """The whole row, as an object mapper has read it, with a change."""
        key = self.known_ids(1)[0]
        contact = self.state.contacts.get(key)
        sets = {} if contact is None else {c: getattr(contact, c) for c in ALL if c != 'id' and (c != 'account' or self.has('account'))}
        sets['note'] = self.random.choice(['n1', 'n2', None])
        if self.chance(0.6):
            column = self.random.choice(['status', 'flag', 'source_type'])
            sets[column] = self.some_property(column, True)
        for column in PROPERTIES:
            if {'source_type': 'source', 'source_name': 'source', 'changed_at': 'time'}.get(column) in self.without:
                sets.pop(column, None)
        return Update([key], sets, returning=self.may_return())

    def merge(self):
        number = self.number() + 1
        ids = list(dict.fromkeys(self.known_ids(number // 2 + 1) + self.free_ids(number // 2)))
        self.random.shuffle(ids)
        account = self.some_account()
        status = self.some_property('status', True)
        per_row = self.chance(0.4)
        rows = [(key, self.some_account() if self.chance(0.2) else account,
                 self.some_property('status', True) if per_row else status,
                 self.random.choice(['n1', 'gone', None])) for key in ids]
        sets = {c: ('from',) if c in ('status', 'note', 'account') and self.chance(0.7) else self.new_value(c)
                for c in self.changes()} if self.chance(0.8) else {}
        columns = (['id', 'account'] + [c for c in ('status', 'note') if self.chance(0.6)]) if self.chance(0.8) else []
        deletes = self.chance(0.5)
        if not sets and not columns:
            deletes = True
        return Merge(rows, sets, columns, deletes)

    def with_(self):
        ids = self.known_ids(self.number())
        if self.chance(0.5):
            return Replace(ids, self.random.choice([100, 120]), self.some_property('status', True))
        others = [key for key in self.known_ids(self.number()) if key not in ids]
        if not others:
            return Delete(ids)
        return Replace(ids, update=Update(others, {'status': 'marketing'}))

    def delete(self):
        if self.chance(0.1):
            return Delete([], account=self.random.choice('abcdefg'), returning=self.may_return())
        return Delete(self.known_ids(self.number()), returning=self.may_return())

    def truncate(self):
        return Truncate()

    def do(self):
        statements = [self.plain() for _ in range(self.random.randint(1, 3))]
        if self.chance(0.6):
            return Block(statements, self.plain())
        return Block(statements, None)

    def plain(self):
        """One that may be in a function."""
        statement = self.statement(['insert', 'upsert', 'update', 'merge', 'delete', 'with'])
        statement.returning = False
        return statement

    def join(self):
        ids = (self.known_ids(2) * 2)[:2]
        if self.chance(0.9):
            # of one account, or they cannot be merged
            first = self.state.contacts.get(ids[0])
            others = sorted(c.id for c in self.state.contacts.values() if first and c.account == first.account and c.id != first.id)
            ids = [ids[0], self.random.choice(others)] if others else ids
            self.random.shuffle(ids)
        return Join(*ids)

    def may_return(self):
        return self.has('returning') and self.chance(0.3)

    def manage(self):
        name = self.random.choice('abcdefg')
        what = self.pick(policy=4, tier=4, approve=2, undo=4, condition=5)
        if what == 'condition':
            return self.set_condition()
        if what == 'undo':
            return self.undo(name)
        what = {'policy': 'set_policy', 'tier': 'change_tier', 'approve': 'approve_upgrade'}[what]
        if what == 'set_policy':
            arguments = {}
            if self.chance(0.7):
                arguments['on_exceed'] = self.random.choice(['upgrade', 'block', 'cap'])
            if self.chance(0.4):
                arguments['grace'] = self.random.choice([0, 0, 1, 2])
            if self.chance(0.2):
                arguments['source_defaults'] = self.random.choice(
                    ['{}', '{"USER": "marketing"}', '{"IMPORT": "marketing", "FORM": "non_marketing"}'])
            if self.has('policies'):
                self.add_policies(arguments)
            if self.has('brake') and self.chance(0.3):
                arguments['brake'] = self.random.choice([
                    '{}', '{}', '{"window": "1 day", "limit": 3}', '{"window": "4 days", "limit": 6, "sources": {"FORM": 1, "USER": 3}}',
                    '{"window": "30 days", "sources": {"IMPORT": 1, "USER": 5}}'])
            return Manage(what, name, **arguments)
        if what == 'change_tier':
            tiers = PLANS[ACCOUNTS[name][0]]
            return Manage(what, name, contact_limit=self.random.choice(tiers[:1] * 3 + tiers))
        return Manage(what, name)

    def add_policies(self, arguments):
        if self.chance(0.3):
            arguments['max_limit'] = self.random.choice([0, 3, 5, 10])
        if self.chance(0.4):
            arguments['source_policies'] = self.random.choice([
                '{}', '{"IMPORT": "block", "API": "cap"}', '{"FORM": "cap", "USER": "upgrade"}',
                '{"USER": "block", "FORM": "upgrade"}', '{"USER": "cap", "OTHER": "upgrade", "FORM": "block"}'])
        if self.chance(0.3):
            arguments['proration'] = self.random.choice(['prorated', 'full', 'none'])

    def set_condition(self):
        kind = self.random.choice(list(CONDITIONS))
        return SetCondition(kind, self.random.choice([None] + list(CONDITIONS[kind])), self.chance(0.3))

    def undo(self, name):
        """What some contact says of its source, mostly"""
        contacts = [c for c in self.state.contacts.values() if c.account == name and c.status == 'marketing']
        one = self.random.choice(contacts) if contacts else None
        since = self.random.choice([self.clock, self.state.accounts[name].started, self.clock - DAY] + ([one.changed_at] if one else []))
        return Manage('undo_promotion', name, source_type=one.source_type if one else 'USER', source_name=one.source_name if one else ROLE,
                      since=since)

    def statement(self, kinds=None):
        crowded = len(self.state.contacts) > 45
        weights = {'insert': 4 if crowded else 18, 'copy': 2 if crowded else 8, 'upsert': 12, 'update': 30,
                   'merge': 5, 'with': 4, 'delete': 16 if crowded else 8, 'truncate': 0.3, 'do': 3, 'join': 4}
        if kinds:
            weights = {kind: weights[kind] for kind in kinds}
        kind = self.pick(**weights)
        return self.with_() if kind == 'with' else getattr(self, kind)()

    # units

    def transaction(self):
        steps = [Control('BEGIN')]
        names = []
        for _ in range(self.random.randint(1, 6)):
            if self.has('savepoint') and self.chance(0.25):
                names.append('s%d' % len(names))
                steps.append(Control('SAVEPOINT', names[-1]))
            if self.has('source') and self.chance(0.15):
                steps.append(self.set_local())
            if self.has('brake') and self.chance(0.04):
                steps.append(PassBrake())
            steps.append(self.manage() if self.has('manage') and self.chance(0.05) else self.statement())
            if names and self.chance(0.3):
                if self.chance(0.6):
                    which = self.random.randrange(len(names))
                    steps.append(Control('ROLLBACK TO', names[which]))
                    del names[which + 1:]
                else:
                    steps.append(Control('RELEASE', names.pop()))
        steps.append(Control('ROLLBACK' if self.chance(0.2) else 'COMMIT'))
        return steps

    def set_local(self):
        if self.chance(0.5):
            return SetLocal('source_type', self.random.choice(['FORM', 'IMPORT', 'WORKFLOW', '']))
        return SetLocal('source_name', self.random.choice(['job 1', 'job 2', '']))

    def unit(self, number, state):
        """The next one, after a state that may be older than what the server has by then."""
        self.state = state
        if number % 20 == 1 or self.clock is None:
            self.favourites = [self.random.choice('abcdefg') for _ in range(2)]
            self.source = ('', '') if not self.has('source') or self.chance(0.5) else (
                self.random.choice(['', 'FORM', 'IMPORT', 'USER']), self.random.choice(['', 'job 3']))
        if self.clock is None:
            self.clock = state.clock
        kind = None
        if self.has('late') and self.chance(0.03):
            self.clock += DAY * self.random.choice([1, 3, 5, 20])
            kind = 'rollover' if self.has('rollover') and self.chance(0.4) else None
        if self.has('condition') and number == 1 and self.chance(0.5):
            kind = 'condition'
        kind = kind or self.pick(statement=60, transaction=24, manage=9, rollover=3, repair=2)
        steps = [self.statement()] if kind == 'statement' else self.transaction() if kind == 'transaction' else \
            [self.manage()] if kind == 'manage' else [self.set_condition()] if kind == 'condition' else \
            [Rollover()] if kind == 'rollover' else [Repair(self.chance(0.4))]
        return Unit(number, steps, self.clock, *self.source)
