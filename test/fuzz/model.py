"""What contacts_tier promises (rules S, C, T and P), as plainly as possible.

A State is what one attached table and its companion tables hold.  A Work is one
statement on it: rows are written one after the other, then each account is
decided in ascending order.  Nothing here knows of SQL; times are seconds since
1970.
"""

from collections import namedtuple
from datetime import datetime, timezone

Contact = namedtuple('Contact', 'id account status flag source_type source_name changed_at note gone opted_out engaged_at',
                     defaults=(None, None, None))
PROPERTIES = ('status', 'flag', 'source_type', 'source_name', 'changed_at')

# tiers of the plans; None: without marketing contacts
PLANS = {'steps': (3, 5, 10, 20), 'small': (3, 5), 'none': None}

# account: plan, tier, policy, grace, source defaults, day of the month of its update date, more policies
ACCOUNTS = {
    'a': ('steps', 3, 'upgrade', 0, {}, 10, {'proration': 'full'}),
    'b': ('steps', 5, 'block', 0, {}, 10, {}),
    'c': ('steps', 3, 'cap', 0, {}, 15, {}),
    'd': ('steps', 3, 'upgrade', 2, {}, 15, {'max_limit': 5}),
    'e': ('steps', 5, 'block', 1, {'IMPORT': 'marketing', 'FORM': 'non_marketing'}, 20,
          {'source_policies': {'IMPORT': 'upgrade', 'API': 'cap'}}),
    'f': ('small', 3, 'upgrade', 0, {'USER': 'marketing'}, 20, {'brake': {'window': '4 days', 'limit': 4, 'sources': {'FORM': 1}}}),
    'g': ('steps', 5, 'cap', 1, {'USER': 'marketing'}, 5, {}),
    'h': ('none', 0, 'upgrade', 0, {}, 10, {}),
}
NOBODY = 'i'            # has no subscription
CHANGEABLE = {'FORM', 'EXTERNAL_FORM', 'CHATFLOW', 'IMPORT', 'INTEGRATION', 'API', 'CRM_SYNC', 'USER'}
MARKETING_BY_DEFAULT = {'FORM', 'EXTERNAL_FORM'}
THRESHOLDS = (75, 90, 98, 100)
EXCEEDED = 101          # announced instead of a threshold: above the limit
DAY = 86400
# P2, P3: the conditions that the table can have, in SQL and of a contact
CONDITIONS = {
    'exists': {
        'NOT gone': lambda c, clock: c.gone is False,
        'gone IS NOT TRUE': lambda c, clock: c.gone is not True,
        'gone IS NOT TRUE AND opted_out IS NOT TRUE': lambda c, clock: c.gone is not True and c.opted_out is not True,
    },
    'eligible': {
        'opted_out IS NOT TRUE': lambda c, clock: c.opted_out is not True,
        "engaged_at > contacts_tier.clock() - interval '10 days'":
            lambda c, clock: c.engaged_at is not None and c.engaged_at > clock - 10 * DAY,
        "opted_out IS NOT TRUE AND coalesce(engaged_at, 'infinity') > contacts_tier.clock() - interval '30 days'":
            lambda c, clock: c.opted_out is not True and (c.engaged_at is None or c.engaged_at > clock - 30 * DAY),
    },
}
START = int(datetime(2026, 1, 10, 12, tzinfo=timezone.utc).timestamp())
ROLE = '@role'

# columns of the application
APPLICATION = ('id', 'account', 'note', 'gone', 'opted_out', 'engaged_at')
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


def first_day(day):
    """An instant up to START at which a subscription begins that has this update date."""
    return START if day == 10 else int(datetime(*((2026, 1) if day < 10 else (2025, 12)), day, tzinfo=timezone.utc).timestamp())


def timestamp_text(instant):
    """As PostgreSQL writes a timestamptz in UTC."""
    return datetime.fromtimestamp(instant, timezone.utc).strftime('%Y-%m-%d %H:%M:%S+00')


class Account:
    __slots__ = ('name', 'plan', 'limit', 'policy', 'grace', 'defaults', 'day', 'next_update', 'renewal_limit',
                 'requested', 'marketing', 'opening', 'peak', 'promoted', 'demoted', 'corrected', 'upgrades', 'period_limit',
                 'seen', 'started', 'max_limit', 'source_policies', 'proration', 'brake', 'promotions')

    def __init__(self, name, plan, limit, policy, grace, defaults, day, policies):
        self.name, self.plan, self.limit, self.policy, self.grace = name, plan, limit, policy, grace
        self.defaults, self.day = defaults, day
        self.next_update = midnight_after(START, day)
        self.started = first_day(day)       # of the running period
        self.max_limit = policies.get('max_limit')
        self.source_policies = policies.get('source_policies', {})
        self.proration = policies.get('proration', 'prorated')
        self.brake = policies.get('brake')
        self.promotions = ()                # as the ledger has them: (instant, source type, number)
        self.corrected = 0
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

    def may_move_to(self, limit):
        """T7"""
        return limit is not None and limit > self.limit and (self.max_limit is None or limit <= self.max_limit)

    def policy_of(self, effect):
        """T8"""
        return self.source_policies.get(effect.source[0], self.policy)

    def fraction(self, clock):
        """T9: of the period, that a move to another tier is charged for."""
        if self.proration != 'prorated':
            return 1 if self.proration == 'full' else 0
        return round((self.next_update - clock) / (self.next_update - self.started), 6)

    def threshold_count(self, percent):
        return self.limit + 1 if percent == EXCEEDED else -(-self.limit * percent // 100)

    def tier_and_period(self):
        """What an announcement holds for: in another tier or period it is made again."""
        return self.limit, self.next_update

    def rearmed_at(self, percent):
        """The count at which a threshold is announced again when it is reached later: 5 points less."""
        return self.limit * (min(percent, 100) - 5) // 100

    def saw(self, count):
        """The count is this now."""
        self.seen = {percent: at for percent, at in self.seen.items() if count > self.rearmed_at(percent)}
        self.peak = max(self.peak, count)


class State:
    __slots__ = ('contacts', 'accounts', 'activity', 'clock', 'source_type', 'source_name', 'events', 'events_text',
                 'whole_rows', 'conditions', 'refuses', 'passes')

    def __init__(self, whole_rows=False):
        self.whole_rows = whole_rows        # whole_row_saves of attach()
        self.contacts = {}
        self.accounts = {name: Account(name, *rest) for name, rest in ACCOUNTS.items()}
        self.activity = {}
        self.clock = START
        self.source_type = self.source_name = ''
        self.events = []            # of the ledger, but activity; as they were seen
        self.events_text = None
        self.conditions = {}        # by kind: the text
        self.refuses = False        # promotions of contacts that are not eligible
        self.passes = False         # the brake, until the transaction ends

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
        new.conditions, new.refuses, new.passes = dict(self.conditions), self.refuses, self.passes
        return new

    def holds(self, kind, contact):
        text = self.conditions.get(kind)
        return text is None or CONDITIONS[kind][text](contact, self.clock)

    def is_there(self, contact):
        """P2"""
        return self.holds('exists', contact)

    def is_eligible(self, contact):
        """P3"""
        return self.holds('eligible', contact)

    def counts(self, contact):
        return contact.status == 'marketing' and self.is_there(contact)

    # what fuzz.inspect() shows

    def contacts_text(self):
        def text(value):
            return '~' if value is None else str(value)

        def boolean(value):
            return '~' if value is None else 'true' if value else 'false'
        return '\n'.join('%s|%s|%s|%s|%s|%s|%s|%s|%s|%s|%s' % (
            c.id, text(c.account), c.status, boolean(c.flag),
            text(c.source_type), text(c.source_name), text(c.changed_at), text(c.note),
            boolean(c.gone), boolean(c.opted_out), text(c.engaged_at))
            for c in sorted(self.contacts.values()))

    def counters_text(self):
        pending = {}
        for c in self.contacts.values():
            if c.flag and self.is_there(c):
                pending[c.account] = pending.get(c.account, 0) + 1
        return '\n'.join('%s|%s|%s|%s|%s|%s|%s|%s|%s' % (
            a.name, a.limit, a.marketing, pending.get(a.name, 0), a.promoted, a.demoted, a.opening, a.upgrades,
            a.requested or 0) for a in self.accounts.values())

    def activity_text(self):
        return '\n'.join('%s|%s' % (account, '|'.join(map(str, counts)))
                         for account, counts in sorted(self.activity.items()) if any(counts))


# "source" is its type and name
Effect = namedtuple('Effect', 'account id change by_default old source')


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
        self.announced = []         # (account, thresholds that must be announced, that may be, tier and period)
        self.loose = {}             # contact: properties that the rules leave open
        self.dropped = set()        # contacts that the end of the statement makes non-marketing
        self.count = 0              # of the command tag
        self.returned = None
        self.undone = None          # (account, limit): promotions were taken back

    # rows

    def insert(self, given):
        """One row of INSERT, COPY or MERGE; what is not given is missing or None."""
        state = self.state
        # constraints are checked before keys
        if given.get('note') == 'bad':
            self.errors.add('23514')
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
                      source_type, source_name, changed_at, given.get('note'),
                      given.get('gone'), given.get('opted_out'), given.get('engaged_at'))
        if status == 'marketing' and not state.is_eligible(new) and self.wrong != 'eligible':
            if self.refuses(by_default):
                return None
            new = new._replace(status='non_marketing', flag=None)
        if new.id in state.contacts:
            self.errors.add('23505')
            return None
        state.contacts[new.id] = new
        self.changed(None, new, by_default)
        return new.id

    def would_refuse(self, given):
        """P3: of a row that an upsert proposes, as a CHECK constraint would."""
        state = self.state
        new = Contact(given['id'], *(None,) * 7, given.get('gone'), given.get('opted_out'), given.get('engaged_at'))
        return state.refuses and given.get('status') == 'marketing' and not state.is_eligible(new)

    def refuses(self, by_default):
        """P3: is the promotion of a contact that is not eligible an error?"""
        if self.state.refuses and not by_default:
            self.errors.add('23514')
            return True
        return False

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
        new = old._replace(**{name: sets[name] for name in APPLICATION if name in sets})
        if new.note == 'bad':
            self.errors.add('23514')
            return None
        status, flag = self.changed_status(old, sets)
        if status == 'marketing' and not state.is_eligible(new):
            if old.status != 'marketing' or not state.is_there(old) and state.is_there(new):
                if self.refuses(False):
                    return None
                if self.wrong != 'eligible':
                    status, flag = 'non_marketing', None
            elif (old.flag or state.is_eligible(old)) and self.wrong != 'ineligible is flagged':
                flag = True
        if new.id != key and new.id in state.contacts:
            self.errors.add('23505')
            return None
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
        state = self.state
        was, now = (c if c is not None and (state.is_there(c) or self.wrong == 'exists') else None for c in (old, new))
        if now is not None and now.account is None and now.status == 'marketing':
            self.errors.add('MC002')
            return
        source = (state.source_type or 'USER', state.source_name or ROLE)
        if now is not None and (was is not None or old is None or
                                any(getattr(old, name) != getattr(now, name) for name in PROPERTIES)):
            source = (now.source_type, now.source_name)
        if was is not None and now is not None and was.account == now.account:
            self.changed_account(was.account, was, now, was, by_default, source, False)
            return
        if was is not None:
            self.changed_account(was.account, was, None, was, False, source, now is None)
        if now is not None:
            self.changed_account(now.account, None, now, was, by_default, source, was is None)

    def changed_account(self, account, before, after, old, by_default, source, whole):
        if account is None:
            return
        was = before is not None and before.status == 'marketing'
        now = after is not None and after.status == 'marketing'
        flag_was = was and before.flag
        flag_now = now and after.flag
        self.activity(account, created=whole and after is not None, deleted=whole and before is not None,
                      promoted=now and not was, demoted=was and not now, flagged=bool(flag_now and not flag_was),
                      unflagged=bool(flag_was and now and not flag_now))
        if was != now or whole or bool(flag_was) != bool(flag_now):
            self.effects.append(Effect(account, (after or before).id, now - was, by_default, old, source))

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
        self.not_promoted = []      # of this account
        limit = account.limit if account else 0
        sources = {e.source[0] for e in effects}
        promoting = any(e.change > 0 for e in effects)
        if asked:
            if account is not None and (name in self.eager or account.marketing + net > account.limit + account.grace):
                self.catch_up(account, {e.id for e in effects if e.change > 0})
            if account is None or not account.has_access():
                effects = self.drop(effects, len(effects), lambda e: e.by_default)
                if sum(e.change for e in effects) > 0:
                    raise Refused('MC002')
            else:
                limit = account.limit
                effects = self.fit(account, effects)
        if account is None:
            self.tell_dropped(name)
            return
        if account.has_access():
            effects = self.brake(account, effects)
            self.tell_dropped(name, account, effects, account.limit != limit)
        else:
            self.tell_dropped(name)
        net = sum(e.change for e in effects)
        more = sum(1 for e in effects if e.change > 0)
        account.promotions += tuple((self.state.clock, e.source[0] if len(sources) == 1 or account.brake else None, 1)
                                    for e in effects if e.change > 0)
        account.promoted += more
        account.demoted += more - net
        account.marketing += net
        account.saw(account.marketing)
        # a brake asks, too, where the tier need not
        if asked or account.brake and promoting:
            self.announce(account, net > 0)

    def fit(self, account, effects):
        """T1 to T4"""
        net = sum(e.change for e in effects)
        wanted = account.marketing + net
        room = account.limit + account.grace
        if self.wrong == 'grace' and account.grace:
            room -= 1
        if wanted <= room:
            return effects
        larger = account.smallest_tier(wanted)

        def policy(effect):
            return account.policy if self.wrong == 'source policies' else account.policy_of(effect)
        # T8: first those that may be dropped
        effects = self.drop(effects, wanted - room, lambda e: policy(e) == 'cap' or policy(e) == 'block' and e.by_default)
        capped = any(policy(e) == 'cap' for e in self.not_promoted)
        wanted = account.marketing + sum(e.change for e in effects)
        if wanted > room:
            before = account.limit
            self.move_up(account, wanted, [e for e in effects if e.change > 0], policy)
            room += account.limit - before
            effects = self.drop(effects, wanted - room, lambda e: e.by_default)
        if capped and larger is not None and larger > (account.requested or 0) and account.may_move_to(larger):
            account.requested = larger
            self.events.append((account.name, 'upgrade_request', account.marketing + net, {'contact_limit': larger}))
        net = sum(e.change for e in effects)
        if net > 0 and account.marketing + net > account.limit + account.grace:
            raise Refused('MC001')
        return effects

    def move_up(self, account, wanted, promotions, policy):
        """T1, T7: as far as promotions under "upgrade" need; if there is no such tier, without those by default."""
        upgrading = [e for e in promotions if policy(e) == 'upgrade']
        by_default = sum(1 for e in upgrading if e.by_default)
        needed = wanted - (len(promotions) - len(upgrading))
        for number in ([needed] if upgrading else []) + ([needed - by_default] if by_default < len(upgrading) else []):
            if number <= account.limit + account.grace:
                return
            larger = account.smallest_tier(account.limit + 1 if self.wrong == 'next tier' else number)
            if larger is not None and larger > account.limit and (account.may_move_to(larger) or self.wrong == 'max_limit'):
                self.move(account, larger, wanted, 'exceeded')
                return

    def brake(self, account, effects):
        """P1: what the tier lets through, but those by default if need be."""
        brake = account.brake
        if not brake or self.state.passes:
            return effects
        window = self.state.clock - int(brake['window'].split()[0]) * DAY
        limits = [(None, brake['limit'])] if 'limit' in brake else []
        for source, most in limits + sorted(brake.get('sources', {}).items()):
            def is_of(one):
                return source is None or one == source
            room = most - sum(n for at, of, n in account.promotions if at > window and is_of(of))
            while True:
                excess = sum(1 for e in effects if e.change > 0 and is_of(e.source[0])) - max(room, 0)
                if excess <= 0 or self.wrong == 'brake':
                    break
                fewer = self.drop(effects, excess, lambda e: e.by_default)
                if len(fewer) == len(effects):
                    raise Refused('MC004')
                effects = fewer
        return effects

    def move(self, account, limit, count, reason):
        fraction = {'grace': 1, 'renewal': 0}.get(reason, account.fraction(self.state.clock))
        if self.wrong == 'proration':
            fraction = 0.5
        self.events.append((account.name, 'tier_change', count, {
            'from': account.limit, 'to': limit, 'reason': reason, 'period_fraction': fraction}))
        if limit > account.limit:
            account.upgrades += 1
        account.limit = limit
        account.seen = {}
        if account.requested is not None and account.requested <= limit:
            account.requested = None

    def drop(self, effects, number, may_be):
        """The last so many promotions that may be do not take place after all."""
        left = []
        in_order = effects if self.wrong == 'first are dropped' else effects[::-1]
        for e in in_order:
            if number > 0 and e.change > 0 and may_be(e):
                self.take_back(e)
                self.not_promoted.append(e)
                number -= 1
            else:
                left.append(e)
        return left[::-1] if in_order is not effects else left

    def tell_dropped(self, name, account=None, effects=(), moved=False):
        dropped = len(self.not_promoted)
        if dropped == 0:
            return
        details = {'dropped': dropped}
        if account is not None:
            details['marketing_contacts'] = account.marketing + sum(e.change for e in effects)
            if not moved:
                details['contact_limit'] = account.limit
        self.events.append((name, 'capped', dropped, details))
        self.warnings.append((name, dropped))

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
        self.announced.append((account.name, new if sure else [], new + may, account.tier_and_period()))

    # conditions, undoing and merging

    def set_condition(self, kind, text, refuses):
        """P2, P3: counts anew, whatever the tiers."""
        state = self.state
        before = {c.id for c in state.contacts.values() if state.counts(c)}
        state.conditions[kind] = text
        if kind == 'eligible':
            state.refuses = refuses
        if any(c.account is None and c.id not in before and state.counts(c) for c in state.contacts.values()):
            raise Refused('MC002')
        if self.wrong == 'recount':
            return
        for account in state.accounts.values():
            mine = [c for c in state.contacts.values() if c.account == account.name]
            less = sum(1 for c in mine if c.id in before and not state.counts(c))
            more = sum(1 for c in mine if c.id not in before and state.counts(c))
            for change in (-less, more):
                account.marketing += change
                account.corrected += change
                if change:
                    account.saw(account.marketing)

    def flag_ineligible(self, account):
        """P3: a rollover, where time has passed."""
        state = self.state
        for c in list(state.contacts.values()):
            if c.account == account.name and state.counts(c) and not c.flag and not state.is_eligible(c) and \
                    self.wrong != 'rollover flags':
                state.contacts[c.id] = c._replace(flag=True, source_type='ROLLOVER', source_name='not eligible',
                                                  changed_at=state.clock)
                self.activity(account.name, flagged=1)

    def undo_promotion(self, account, source_type, source_name, since):
        """P4"""
        state = self.state
        if since < account.started:
            raise Refused('22023')
        taken_back = [c for c in state.contacts.values() if c.account == account.name and state.counts(c) and not c.flag and
                      (c.source_type, c.source_name) == (source_type, source_name) and c.changed_at >= since]
        if self.wrong == 'undo':
            taken_back = taken_back[1:]
        for c in taken_back:
            state.contacts[c.id] = c._replace(status='non_marketing', source_type=state.source_type or 'USER',
                                              source_name=state.source_name or ROLE, changed_at=state.clock)
        if taken_back:
            self.activity(account.name, demoted=len(taken_back))
        account.marketing -= len(taken_back)
        account.demoted += len(taken_back)
        account.saw(account.marketing)
        self.events.append((account.name, 'undo', len(taken_back), {'source_type': source_type, 'source_name': source_name}))
        self.undone = account.name

    def follow_undo(self, events):
        """
        Which tier changes nothing else needed only the ledger knows, which is pruned and folded here (the
        property test has it): but each is the opposite of a move, and the count fits.
        """
        account = self.state.accounts[self.undone]
        problems = []
        for name, event, contacts, details in events:
            if name != account.name or event != 'tier_change' or details.get('reason') != 'undo':
                continue
            if details['from'] != account.limit or details['to'] >= account.limit or account.marketing > details['to']:
                problems.append('withdrawn tier change: %s' % details)
            self.events.append((name, event, account.marketing, {'reason': 'undo'}))
            account.limit = details['to']
            account.seen = {}
            account.upgrades = max(account.upgrades - 1, 0)
        return problems

    def rank(self, contact):
        return 0 if not self.state.counts(contact) else 1 if contact.flag else 2

    def merge(self, winner, loser):
        """P5"""
        contacts = self.state.contacts
        both = [contacts.get(key) for key in (winner, loser)]
        if None in both or winner == loser or both[0].account != both[1].account:
            raise Refused('22023')
        if 1 in map(self.rank, both) and both[0].account in self.state.accounts:
            self.catch_up(self.state.accounts[both[0].account])
        w, l = contacts[winner], contacts[loser]
        self.delete(loser)
        if self.rank(l) > (2 if self.wrong == 'merge' else self.rank(w)):
            self.update(winner, {'status': 'marketing', 'flag': l.flag})

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
        counted = sum(1 for c in flagged if state.is_there(c))
        for c in flagged:
            state.contacts[c.id] = c._replace(status='non_marketing', flag=None, source_type='ROLLOVER',
                                              source_name=timestamp_text(due), changed_at=state.clock)
        # they were returned before the statement that meets the date was over
        self.dropped.update(c.id for c in flagged)
        if counted:
            self.activity(account.name, demoted=counted)
        account.marketing -= counted
        account.demoted += counted
        account.saw(account.marketing)
        self.events.append((account.name, 'rollover', len(flagged), {}))
        self.events.append((account.name, 'billing_period', account.marketing, {
            'contact_limit': account.period_limit, 'opening': account.opening, 'peak': account.peak,
            'closing': account.marketing, 'promoted': account.promoted, 'demoted': account.demoted,
            'corrected': account.corrected, 'upgrades': account.upgrades}))
        self.renew(account)
        account.opening = account.peak = account.marketing
        account.promoted = account.demoted = account.corrected = account.upgrades = 0
        account.period_limit = account.limit
        account.seen = {}
        account.started = due
        account.next_update = midnight_after(due, account.day)
        if account.policy == 'upgrade' and account.marketing > account.limit:
            larger = account.smallest_tier(account.marketing)
            if account.may_move_to(larger):
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
         'next tier', 'first are dropped', 'dropped update keeps source', 'max_limit', 'source policies', 'proration', 'brake',
         'exists', 'eligible', 'ineligible is flagged', 'recount', 'rollover flags', 'undo', 'merge')
