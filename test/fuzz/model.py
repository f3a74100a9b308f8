"""What contacts_tier promises (rules S, C and T), as plainly as possible.

A State is what one attached table and its companion tables hold.  A Work is one
statement on it: rows are written one after the other, then each account is
decided in ascending order.  Nothing here knows of SQL; times are seconds since
1970.
"""

from collections import namedtuple
from datetime import datetime, timezone

Contact = namedtuple('Contact', 'id account status flag source_type source_name changed_at note')
PROPERTIES = ('status', 'flag', 'source_type', 'source_name', 'changed_at')

# tiers of the plans; None: without marketing contacts
PLANS = {'steps': (3, 5, 10, 20), 'small': (3, 5), 'none': None}

# account: plan, tier, policy, grace, source defaults, day of the month of its update date
ACCOUNTS = {
    'a': ('steps', 3, 'upgrade', 0, {}, 10),
    'b': ('steps', 5, 'block', 0, {}, 10),
    'c': ('steps', 3, 'cap', 0, {}, 15),
    'd': ('steps', 3, 'upgrade', 2, {}, 15),
    'e': ('steps', 5, 'block', 1, {'IMPORT': 'marketing', 'FORM': 'non_marketing'}, 20),
    'f': ('small', 3, 'upgrade', 0, {'USER': 'marketing'}, 20),
    'g': ('steps', 5, 'cap', 1, {'USER': 'marketing'}, 5),
    'h': ('none', 0, 'upgrade', 0, {}, 10),
}
NOBODY = 'i'            # has no subscription
CHANGEABLE = {'FORM', 'EXTERNAL_FORM', 'CHATFLOW', 'IMPORT', 'INTEGRATION', 'API', 'CRM_SYNC', 'USER'}
MARKETING_BY_DEFAULT = {'FORM', 'EXTERNAL_FORM'}
THRESHOLDS = (75, 90, 98, 100)
EXCEEDED = 101          # announced instead of a threshold: above the limit
START = int(datetime(2026, 1, 10, 12, tzinfo=timezone.utc).timestamp())
ROLE = '@role'

# columns of "activity"
COUNTS = ('created', 'deleted', 'promoted', 'flagged', 'unflagged', 'demoted', 'dropped')


class Refused(Exception):
    """A statement fails, with one of these SQLSTATEs."""

    def __init__(self, *codes):
        super().__init__(*codes)
        self.codes = set(codes)


class WrongGuess(Exception):
    """What was supposed of a statement of a block cannot be."""


def midnight_after(instant, day):
    """The next midnight of this day of the month, in UTC; days up to 28 only."""
    t = datetime.fromtimestamp(instant, timezone.utc)
    year, month = t.year, t.month
    while True:
        found = int(datetime(year, month, day, tzinfo=timezone.utc).timestamp())
        if found > instant:
            return found
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def timestamp_text(instant):
    """As PostgreSQL writes a timestamptz in UTC."""
    return datetime.fromtimestamp(instant, timezone.utc).strftime('%Y-%m-%d %H:%M:%S+00')


class Account:
    __slots__ = ('name', 'plan', 'limit', 'policy', 'grace', 'defaults', 'day', 'next_update', 'renewal_limit',
                 'requested', 'marketing', 'opening', 'peak', 'promoted', 'demoted', 'upgrades', 'period_limit', 'seen')

    def __init__(self, name, plan, limit, policy, grace, defaults, day):
        self.name, self.plan, self.limit, self.policy, self.grace = name, plan, limit, policy, grace
        self.defaults, self.day = defaults, day
        self.next_update = midnight_after(START, day)
        self.renewal_limit = self.requested = None
        self.marketing = self.opening = self.peak = self.promoted = self.demoted = self.upgrades = 0
        self.period_limit = limit
        # thresholds that were announced in this period and tier, and the
        # lowest count since
        self.seen = {}

    def copy(self):
        new = Account.__new__(Account)
        for name in Account.__slots__:
            setattr(new, name, getattr(self, name))
        new.seen = dict(self.seen)
        return new

    def has_access(self):
        return PLANS[self.plan] is not None

    def smallest_tier(self, count):
        return min((t for t in PLANS[self.plan] or () if t >= count), default=None)

    def threshold_count(self, percent):
        return self.limit + 1 if percent == EXCEEDED else -(-self.limit * percent // 100)

    def rearmed_at(self, percent):
        """The count at which a threshold is announced again when it is reached later: 5 points less."""
        return self.limit * (min(percent, 100) - 5) // 100

    def saw(self, count):
        """The count is this now."""
        self.seen = {percent: at for percent, at in self.seen.items() if count > self.rearmed_at(percent)}
        self.peak = max(self.peak, count)


class State:
    __slots__ = ('contacts', 'accounts', 'activity', 'clock', 'source_type', 'source_name', 'events', 'events_text',
                 'whole_rows')

    def __init__(self, whole_rows=False):
        self.whole_rows = whole_rows        # whole_row_saves of attach()
        self.contacts = {}
        self.accounts = {name: Account(name, *rest) for name, rest in ACCOUNTS.items()}
        self.activity = {}
        self.clock = START
        self.source_type = self.source_name = ''
        self.events = []            # of the ledger, but activity; as they were seen
        self.events_text = None

    def copy(self):
        new = State.__new__(State)
        new.whole_rows = self.whole_rows
        new.contacts = dict(self.contacts)
        new.accounts = {name: account.copy() for name, account in self.accounts.items()}
        new.activity = {name: list(counts) for name, counts in self.activity.items()}
        new.clock = self.clock
        new.source_type, new.source_name = self.source_type, self.source_name
        new.events = self.events
        new.events_text = self.events_text
        return new

    # what fuzz.inspect() shows

    def contacts_text(self):
        def text(value):
            return '~' if value is None else str(value)
        return '\n'.join('%s|%s|%s|%s|%s|%s|%s|%s' % (
            c.id, text(c.account), c.status, '~' if c.flag is None else 'true' if c.flag else 'false',
            text(c.source_type), text(c.source_name), text(c.changed_at), text(c.note))
            for c in sorted(self.contacts.values()))

    def counters_text(self):
        pending = {}
        for c in self.contacts.values():
            if c.flag:
                pending[c.account] = pending.get(c.account, 0) + 1
        return '\n'.join('%s|%s|%s|%s|%s|%s|%s|%s|%s' % (
            a.name, a.limit, a.marketing, pending.get(a.name, 0), a.promoted, a.demoted, a.opening, a.upgrades,
            a.requested or 0) for a in self.accounts.values())

    def activity_text(self):
        return '\n'.join('%s|%s' % (account, '|'.join(map(str, counts)))
                         for account, counts in sorted(self.activity.items()) if any(counts))


Effect = namedtuple('Effect', 'account id change by_default old')


class Work:
    """One statement."""

    def __init__(self, state, eager=(), wrong=None):
        self.state = state
        self.eager = eager          # accounts whose overdue dates were applied, needed or not
        self.wrong = wrong          # a rule that is broken on purpose
        self.effects = []
        self.errors = set()         # what rows were refused for
        self.events = []            # (account, event, contacts, details)
        self.warnings = []          # (account, number of contacts stored non-marketing)
        self.is_whole = True        # one statement, not a block of several
        self.announced = []         # (account, thresholds that must be announced, that may be)
        self.loose = {}             # contact: properties that the rules leave open
        self.dropped = set()        # contacts that the end of the statement makes non-marketing
        self.count = 0              # of the command tag
        self.returned = None

    # rows

    def insert(self, given):
        """One row of INSERT, COPY or MERGE; what is not given is missing or None."""
        state = self.state
        # constraints are checked before keys
        if given.get('note') == 'bad':
            self.errors.add('23514')
            return None
        if given['id'] in state.contacts:
            self.errors.add('23505')
            return None
        account = given.get('account')
        source_type = given.get('source_type') or state.source_type or 'USER'
        source_name = given.get('source_name') or state.source_name or ROLE
        status = given.get('status')
        by_default = status is None
        if by_default:
            status = self.default_status(account, source_type)
        changed_at = given.get('changed_at')
        if changed_at is None or changed_at > state.clock:
            changed_at = state.clock
        new = Contact(given['id'], account, status, True if status == 'marketing' and given.get('flag') else None,
                      source_type, source_name, changed_at, given.get('note'))
        state.contacts[new.id] = new
        self.changed(None, new, by_default)
        return new.id

    def default_status(self, name, source_type):
        account = self.state.accounts.get(name)
        if account is None or not account.has_access():
            return 'non_marketing'
        if self.wrong == 'default of the account':
            return 'marketing' if source_type in MARKETING_BY_DEFAULT else 'non_marketing'
        if source_type in CHANGEABLE and source_type in account.defaults:
            return account.defaults[source_type]
        return 'marketing' if source_type in MARKETING_BY_DEFAULT else 'non_marketing'

    def update(self, key, sets):
        """One row of UPDATE, of the columns that the SET list names."""
        state = self.state
        old = state.contacts[key]
        new = old._replace(**{name: sets[name] for name in ('id', 'account', 'note') if name in sets})
        if new.note == 'bad':
            self.errors.add('23514')
            return None
        if new.id != key and new.id in state.contacts:
            self.errors.add('23505')
            return None
        status, flag = self.changed_status(old, sets)
        if (status, flag) != (old.status, old.flag):
            new = new._replace(status=status, flag=flag, changed_at=state.clock,
                               source_type=self.source(old.source_type, 'source_type', sets, state.source_type, 'USER'),
                               source_name=self.source(old.source_name, 'source_name', sets, state.source_name, ROLE))
        elif self.wrong == 'source without status':
            new = new._replace(**{name: sets[name] for name in ('source_type', 'source_name') if sets.get(name)})
        del state.contacts[key]
        state.contacts[new.id] = new
        self.changed(old, new, False)
        return new.id

    def changed_status(self, old, sets):
        was = old.status == 'marketing'
        status = sets.get('status')
        marketing = was if status is None else status == 'marketing'
        if not marketing:
            if self.wrong == 'demoted at once':
                return 'non_marketing', None
            return (old.status, True) if was else (old.status, None)        # S2
        if status is not None and 'flag' not in sets and not (self.state.whole_rows and status == old.status):    # S8
            return 'marketing', old.flag if self.wrong == 'flag stays' else None        # S1
        flag = sets['flag'] if 'flag' in sets else old.flag
        return 'marketing', True if flag else None                          # S3

    def source(self, old, column, sets, setting, otherwise):
        """S5"""
        value = sets.get(column)
        if value and (value != old or (not setting and not self.state.whole_rows and self.wrong != 'repeated source')):
            return value
        return setting or otherwise

    def delete(self, key):
        self.changed(self.state.contacts.pop(key), None, False)

    def activity(self, account, **counts):
        mine = self.state.activity.setdefault(account, [0] * len(COUNTS))
        for name, count in counts.items():
            mine[COUNTS.index(name)] += count

    def changed(self, old, new, by_default):
        """Note what a row means for its account, or its two accounts."""
        if new is not None and new.account is None and new.status == 'marketing':
            self.errors.add('MC002')
            return
        if old is not None and new is not None and old.account == new.account:
            self.changed_account(old.account, old, new, old, by_default, False)
            return
        if old is not None:
            self.changed_account(old.account, old, None, old, False, new is None)
        if new is not None:
            self.changed_account(new.account, None, new, old, by_default, old is None)

    def changed_account(self, account, before, after, old, by_default, whole):
        if account is None:
            return
        was = before is not None and before.status == 'marketing'
        now = after is not None and after.status == 'marketing'
        flag_was = was and before.flag
        flag_now = now and after.flag
        self.activity(account, created=whole and after is not None, deleted=whole and before is not None,
                      promoted=now and not was, demoted=was and not now, flagged=bool(flag_now and not flag_was),
                      unflagged=bool(flag_was and now and not flag_now))
        if was != now:
            self.effects.append(Effect(account, (after or before).id, now - was, by_default, old))

    # accounts

    def finish(self):
        """All rows are written: decide about each account, or refuse."""
        codes = set(self.errors)
        for name in sorted({e.account for e in self.effects}):
            try:
                self.decide(name, [e for e in self.effects if e.account == name])
            except Refused as e:
                codes |= e.codes
        if codes:
            raise Refused(*codes)

    def decide(self, name, effects):
        account = self.state.accounts.get(name)
        net = sum(e.change for e in effects)
        asked = net > 0
        if asked:
            if account is not None and (name in self.eager or account.marketing + net > account.limit + account.grace):
                self.catch_up(account, {e.id for e in effects if e.change > 0})
            if account is None or not account.has_access():
                effects = self.drop(account, effects, len(effects), True)
                if sum(e.change for e in effects) > 0:
                    raise Refused('MC002')
            else:
                effects = self.fit(account, effects)
        if account is None:
            return
        net = sum(e.change for e in effects)
        more = sum(1 for e in effects if e.change > 0)
        account.promoted += more
        account.demoted += more - net
        account.marketing += net
        account.saw(account.marketing)
        if asked:
            self.announce(account, net > 0)

    def fit(self, account, effects):
        """T1 to T4"""
        wanted = account.marketing + sum(e.change for e in effects)
        room = account.limit + account.grace
        if self.wrong == 'grace' and account.grace:
            room -= 1
        if wanted <= room:
            return effects
        larger = account.smallest_tier(wanted)
        if account.policy == 'upgrade' and larger is not None:
            if self.wrong == 'next tier':
                larger = account.smallest_tier(account.limit + 1)
            self.move(account, larger, wanted, 'exceeded')
            return effects
        if account.policy == 'cap' and larger is not None and larger > (account.requested or 0):
            account.requested = larger
            self.events.append((account.name, 'upgrade_request', wanted, {'contact_limit': larger}))
        effects = self.drop(account, effects, wanted - account.limit - account.grace, account.policy != 'cap')
        net = sum(e.change for e in effects)
        if net > 0 and account.marketing + net > account.limit + account.grace:
            raise Refused('MC001')
        return effects

    def move(self, account, limit, count, reason):
        self.events.append((account.name, 'tier_change', count, {'from': account.limit, 'to': limit, 'reason': reason}))
        if limit > account.limit:
            account.upgrades += 1
        account.limit = limit
        account.seen = {}
        if account.requested is not None and account.requested <= limit:
            account.requested = None

    def drop(self, account, effects, number, only_defaults):
        """The last so many promotions do not take place after all."""
        left = []
        dropped = 0
        in_order = effects if self.wrong == 'first are dropped' else effects[::-1]
        for e in in_order:
            if number > dropped and e.change > 0 and (e.by_default or not only_defaults):
                self.take_back(e)
                dropped += 1
            else:
                left.append(e)
        if dropped:
            name = effects[0].account
            if account is not None and account.has_access():
                count = account.marketing + sum(e.change for e in left)
                self.events.append((name, 'capped', dropped, {
                    'dropped': dropped, 'marketing_contacts': count, 'contact_limit': account.limit}))
            else:
                self.events.append((name, 'capped', dropped, {'dropped': dropped}))
            self.warnings.append((name, dropped))
        return left[::-1] if in_order is not effects else left

    def take_back(self, effect):
        state = self.state
        new = state.contacts[effect.id]
        old = effect.old
        self.dropped.add(new.id)
        self.activity(effect.account, promoted=-1, dropped=1, flagged=-1 if new.flag else 0)
        if old is None:
            if new.changed_at != state.clock:
                self.loose[new.id] = ('changed_at',)
            new = new._replace(status='non_marketing', flag=None, changed_at=state.clock)
        elif old.status == 'marketing':
            # it was one in another account
            self.loose[new.id] = ('source_type', 'source_name', 'changed_at')
            new = new._replace(status='non_marketing', flag=None)
        elif self.wrong != 'dropped update keeps source':
            new = new._replace(**{name: getattr(old, name) for name in PROPERTIES})
        else:
            new = new._replace(status='non_marketing', flag=None)
        state.contacts[new.id] = new

    def announce(self, account, sure):
        """N1: which thresholds must, and which may, be announced now."""
        reached = [t for t in THRESHOLDS + (EXCEEDED,) if account.threshold_count(t) <= account.marketing]
        new = [t for t in reached if t not in account.seen]
        may = [t for t in reached if account.seen.get(t) == 'perhaps']
        self.announced.append((account.name, new if sure else [], new + may))

    # time

    def catch_up(self, account, spared=()):
        """D2, D3, T4, T5: all update dates that have passed, one by one."""
        while account.next_update <= self.state.clock:
            self.apply_date(account, spared)

    def apply_date(self, account, spared):
        state = self.state
        due = account.next_update
        flagged = [c for c in state.contacts.values()
                   if c.account == account.name and c.flag and c.changed_at < due and c.id not in spared]
        for c in flagged:
            state.contacts[c.id] = c._replace(status='non_marketing', flag=None, source_type='ROLLOVER',
                                              source_name=timestamp_text(due), changed_at=state.clock)
        # they were returned before the statement that meets the date was over
        self.dropped.update(c.id for c in flagged)
        if flagged:
            self.activity(account.name, demoted=len(flagged))
        account.marketing -= len(flagged)
        account.demoted += len(flagged)
        account.saw(account.marketing)
        self.events.append((account.name, 'rollover', len(flagged), {}))
        self.events.append((account.name, 'billing_period', account.marketing, {
            'contact_limit': account.period_limit, 'opening': account.opening, 'peak': account.peak,
            'closing': account.marketing, 'promoted': account.promoted, 'demoted': account.demoted,
            'upgrades': account.upgrades}))
        self.renew(account)
        account.opening = account.peak = account.marketing
        account.promoted = account.demoted = account.upgrades = 0
        account.period_limit = account.limit
        account.seen = {}
        account.next_update = midnight_after(due, account.day)
        if account.policy == 'upgrade' and account.marketing > account.limit:
            larger = account.smallest_tier(account.marketing)
            if larger is not None:
                self.move(account, larger, account.marketing, 'grace')
        if account.has_access():
            self.announce(account, True)

    def renew(self, account):
        wanted = account.renewal_limit
        account.renewal_limit = None
        if wanted is None or wanted == account.limit:
            return
        if account.marketing > wanted:
            self.events.append((account.name, 'downgrade_kept', account.marketing,
                                {'asked': wanted, 'contact_limit': account.limit}))
        else:
            self.move(account, wanted, account.marketing, 'renewal')


# rules that can be broken on purpose, to see that it is noticed
WRONG = ('default of the account', 'source without status', 'demoted at once', 'flag stays', 'repeated source', 'grace',
         'next tier', 'first are dropped', 'dropped update keeps source')
