/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  What a statement changed is counted, held against the tier, and told.
 *
 * This is the one place where counters (counter.c), update dates (catch_up.c), limits
 * (limit.c) and the ledger meet.  Each of them is given what it needs of a change, and knows
 * nothing of how it came about:
 *
 *	 the counter	CtChange: what is claimed or released
 *	 update dates	CtRowPlaces: the rows that come after the date
 *	 limits			CtClaim: what does not fit, and what was dropped for that
 *	 the ledger		CtActivity: an entry
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/* Does the change concern the counter, or only the ledger? */
static bool
is_counted(const CtDelta *delta)
{
	return delta->promoted != 0 || delta->demoted != 0 || delta->pending != 0;
}

static CtText
text_of(const char *string)
{
	return (CtText)
	{
		string, string == NULL ? 0 : strlen(string)
	};
}

/* The entry of the ledger for a change by a role */
static CtActivity
activity_of(const CtDelta *delta, const char *role)
{
	TimestampTz now = ct_now();

	return (CtActivity)
	{
		.account = delta->account,.started_at = now,.ended_at = now,.statements = 1,
			.count =
		{
			[CT_CREATED] = delta->created,[CT_DELETED] = delta->deleted,[CT_PROMOTED] = delta->promoted,
				[CT_DEMOTED] = delta->demoted,[CT_FLAGGED] = delta->flagged,[CT_UNFLAGGED] = delta->unflagged,
				[CT_DROPPED] = delta->dropped
		},.actor =
		{
			[CT_ACTOR_ROLE] = text_of(role),[CT_ACTOR_SOURCE_TYPE] = text_of(delta->source_type),
				[CT_ACTOR_SOURCE_NAME] = text_of(delta->source_name)
		}
	};
}

/* What a statement changed, on its way into the counters and the ledger */
typedef struct Applying
{
	const CtTable *table;
	CtCounters *counters;
	bool		is_move;		/* do accounts lose marketing contacts by it? */
	const char *role;			/* who ran it */
	List	   *told;			/* CtClaim that a warning is to follow */
	List	   *entries;		/* CtActivity that is not folded */
} Applying;

/* How is the activity of an account recorded? */
static CtRecording
recording(const CtTable *table, Datum account)
{
	CtRecords	records = ct_records_activity(table, account);

	return records == CT_RECORDS_NOTHING ? CT_NOT_RECORDED :
		records == CT_RECORDS_ACTIVITY && ct_ledger_folds(table) ? CT_FOLDED : CT_RECORDED_AT_ONCE;
}

/*
 * What the counter is to change; anew where some of it has been dropped.  "activity" is NULL
 * if it is not folded there.
 */
static CtChange
change_of(const CtDelta *delta, const CtActivity *activity)
{
	return (CtChange)
	{
		.account = delta->account,.marketing = delta->marketing,.pending = delta->pending,
			.promoted = delta->promoted,.demoted = delta->demoted,
			.activity = activity,.recording = recording,.passes_brake = ct_brake_is_passed()
	};
}

/* Where the contacts are that a change promotes; in the current memory context. */
static CtRowPlaces
places_of(const CtDelta *delta)
{
	CtRowPlaces places = {.count = delta->npromotions};

	places.relid = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Oid) * Max(places.count, 1));
	places.tid = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(ItemPointerData) * Max(places.count, 1));
	for (int64 i = 0; i < places.count; i++)
	{
		places.relid[i] = delta->promotions[i].relid;
		places.tid[i] = delta->promotions[i].tid;
	}
	return places;
}

/* Apply the update dates of the account that have passed; false if there were none. */
static bool
catch_up(const CtTable *table, CtDelta *delta)
{
	CtRowPlaces places;

	if (!ct_is_overdue(table, delta->account))
		return false;
	ct_delta_follow(delta);
	places = places_of(delta);
	return ct_catch_up(table, delta->account, &places);
}

/*
 * Count the change of one account.  Update dates that have passed come before what the
 * statement promotes (T6).  Where it may be, the
 * entry of the ledger goes with it.
 */
static void
count_delta(const Applying *applying, CtClaim *claim, CtDelta *delta)
{
	CtCounters *counters = applying->counters;
	CtActivity	activity = activity_of(delta, applying->role);
	CtChange	change = change_of(delta, ct_activity_is_small(&activity) ? &activity : NULL);
	CtExact		exact;
	CtBounds	bounds;

	if (ct_counter_claim(counters, &change))
		return;
	if (change.marketing > 0 && catch_up(claim->table, delta) && ct_counter_claim(counters, &change))
		return;
	if (ct_counter_lock(counters, &change, &exact))
		return;
	claim->used = exact.used;
	claim->lowest = exact.lowest;
	bounds = ct_judge(claim, delta);
	/* one that counts nothing any more is not to be written into a slot */
	activity = activity_of(delta, applying->role);
	change = change_of(delta, is_counted(delta) ? change.activity : NULL);
	ct_counter_settle(counters, &change, &bounds);
}

/*
 * How many marketing contacts the account had before a change that was counted, for what is
 * told of rows that were decided early.  The last look at it (room.c) may be out of date: a
 * function that the statement has called since may have changed contacts.  What others are
 * changing is taken as it is committed, for nobody waits here.
 */
static int64
count_before(const CtTable *table, const CtDelta *delta)
{
	CtExact		exact = {.used = delta->total + delta->marketing};

	CommandCounterIncrement();	/* to see what was counted */
	(void) ct_counter_look(table, delta->account, &exact);
	return exact.used - delta->marketing;
}

/* Note an entry of the ledger. */
static CtActivity *
add_entry(Applying *applying, const CtActivity *activity)
{
	CtActivity *entry = memcpy(palloc(sizeof(CtActivity)), activity, sizeof(CtActivity));

	applying->entries = lappend(applying->entries, entry);
	return entry;
}

/*
 * Several source types have met in a statement: note the promotions of each of them, as a brake
 * counts them, in entries of their own.
 */
static void
note_sources(Applying *applying, CtDelta *delta, CtActivity *all)
{
	List	   *entries = NIL;

	for (int64 i = 0; i < delta->npromotions; i++)
	{
		char	   *source_type = delta->promotions[i].dropped ? NULL :
			ct_source_of_promotion(delta, &delta->promotions[i]);
		CtActivity *entry = NULL;
		ListCell   *cell;

		if (source_type == NULL)
			continue;
		foreach(cell, entries)
			if (strcmp(((CtActivity *) lfirst(cell))->actor[CT_ACTOR_SOURCE_TYPE].data, source_type) == 0)
			entry = lfirst(cell);
		if (entry == NULL)
		{
			entry = add_entry(applying, all);
			memset(entry->count, 0, sizeof(entry->count));
			entry->actor[CT_ACTOR_SOURCE_TYPE] = text_of(source_type);
			entries = lappend(entries, entry);
		}
		entry->count[CT_PROMOTED]++;
		all->count[CT_PROMOTED]--;
	}
}

/*
 * Note an entry of its own, if the account records activity; what cannot be a key has no
 * marketing contacts, and no entries.  "context" is that of the list.
 */
static void
note_entry(Applying *applying, CtDelta *delta, MemoryContext context)
{
	MemoryContext old;
	CtActivity	activity = activity_of(delta, applying->role);
	CtRecords	records = !ct_account_fits(applying->table, delta->account) ? CT_RECORDS_NOTHING :
		ct_records_activity(applying->table, delta->account);

	if (records == CT_RECORDS_NOTHING)
		return;
	old = MemoryContextSwitchTo(context);
	activity.is_single = records == CT_RECORDS_EACH && delta->promoted > 0;
	if (activity.is_single && delta->source_type == NULL)
		note_sources(applying, delta, &activity);
	(void) add_entry(applying, &activity);
	MemoryContextSwitchTo(old);
}

/* Note what a warning is to tell, in "context". */
static void
note_told(Applying *applying, const CtClaim *claim, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	applying->told = lappend(applying->told, memcpy(palloc(sizeof(CtClaim)), claim, sizeof(CtClaim)));
	MemoryContextSwitchTo(old);
}

/*
 * Apply the change of one account, and announce what was dropped of it, unless the decision
 * has: if rows were decided early and the claim fits, there was no decision.
 */
static void
apply_delta(Applying *applying, CtDelta *delta, MemoryContext context)
{
	CtClaim		claim = {.table = applying->table,.account = delta->account,.is_move = applying->is_move};
	bool		counted = is_counted(delta);

	claim.marketing = delta->marketing;
	claim.dropped = claim.dropped_early = delta->dropped;
	if (counted)
	{
		ct_check_account_fits(applying->table, delta->account);
		count_delta(applying, &claim, delta);
	}
	if (!claim.is_told && delta->dropped > 0)
	{
		claim.used = count_before(applying->table, delta);
		ct_limit_tell_dropped(&claim);
	}
	if (claim.is_told)
		note_told(applying, &claim, context);
	if (!counted || !ct_counters_have_recorded(applying->counters))
		note_entry(applying, delta, context);
}

/*
 * Apply what a statement changed, in the order of accounts given, which must be
 * ascending: single-statement transactions then lock counters in one order and
 * cannot deadlock on them.  Then warn, and note it in the ledger, since none of it is
 * refused any more.  The current memory context is one that ends with the statement.
 *
 * Locks: of each account a slot, or all slots and the account row where the
 * ceiling is reached, until the transaction ends.  Errors: MC001 and MC002 (also
 * those of ct_check_account_fits()), those of ct_companion_query() and ct_catch_up(), and 55000
 * where a trigger on the counters interferes.
 */
void
ct_apply_deltas(const CtTable *table, CtDelta *deltas, int ndeltas)
{
	Applying	applying = {.table = table};
	MemoryContext context;
	MemoryContext old = CurrentMemoryContext;
	CtIdentity	identity;
	List	   *finished;
	ListCell   *cell;

	if (ndeltas == 0)
		return;
	ct_warn_of_clock();
	/* the writer needs no privileges on the companion tables */
	ct_act_as_owner(table->owner, &identity);
	applying.role = ct_caller_name();
	applying.counters = ct_counters_open(table);
	/* the memory of each account is freed before the next one */
	context = ndeltas == 1 ? old : AllocSetContextCreate(old, "contacts_tier counter", ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < ndeltas; i++)
		applying.is_move = applying.is_move || deltas[i].marketing < 0;
	for (int i = 0; i < ndeltas; i++)
	{
		MemoryContextSwitchTo(context);
		apply_delta(&applying, &deltas[i], old);
		if (context != old)
			MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	finished = ct_counters_finished(applying.counters);
	ct_counters_close(applying.counters);
	/* a statement that is refused for a later account warns of nothing */
	foreach(cell, applying.told)
		ct_limit_warn_dropped(lfirst(cell));
	ct_ledger_record_activity(table, list_concat(finished, applying.entries));
	if (context != old)
		MemoryContextDelete(context);
	ct_restore_identity(&identity);
}
