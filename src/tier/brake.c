/*-------------------------------------------------------------------------
 *
 * brake.c
 *	  How many promotions the brake of an account allows in a sliding window (rule P1).
 *
 * The ledger has each statement of an account with a brake by itself, with its time.  Whoever
 * counts there holds all slots of the account, so no promotion is under way.  The protocol is in
 * src/README, "The brake".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "tier/tier.h"

/*
 * Promotions in the window before $2, as rows "c" of source_type, at and contacts.  Statements that were folded into
 * one entry, before there was a brake, count until the last of them has left the window; an entry is
 * not longer than a minute.
 */
#define WINDOW \
	"(SELECT l.details OPERATOR(pg_catalog.->>) 'source_type' AS source_type, l.contacts," \
	"  coalesce((l.details OPERATOR(pg_catalog.->>) 'ended_at')::pg_catalog.timestamptz, l.recorded_at) AS at" \
	"  FROM {ledger} l WHERE l.account {=} $1 AND l.event" CT_EQ "'activity' AND l.contacts" CT_GT "0" \
	"  AND l.recorded_at" CT_GT "($2" CT_SUB "w.length" CT_SUB "pg_catalog.interval '1 minute')" \
	"  AND coalesce((l.details OPERATOR(pg_catalog.->>) 'ended_at')::pg_catalog.timestamptz, l.recorded_at)" CT_GT "($2" CT_SUB "w.length)) c"

#define OF_ACCOUNT \
	" FROM {account} a, LATERAL (SELECT (a.brake OPERATOR(pg_catalog.->>) 'window')::pg_catalog.interval AS length) w"

/* $2: now */
static const CtQuery count_query = {
	"SELECT b.source_type, b.maximum,"
	" coalesce((SELECT pg_catalog.sum(c.contacts) FROM " WINDOW
	"  WHERE b.source_type IS NULL OR c.source_type" CT_EQ "b.source_type), 0)::pg_catalog.int8"
	OF_ACCOUNT ","
	" LATERAL (SELECT NULL::pg_catalog.text AS source_type, (a.brake OPERATOR(pg_catalog.->>) 'limit')::pg_catalog.int8 AS maximum"
	"  WHERE (a.brake OPERATOR(pg_catalog.->>) 'limit') IS NOT NULL"
	"  UNION ALL SELECT s.key, s.value::pg_catalog.int8"
	"  FROM pg_catalog.jsonb_each_text(a.brake OPERATOR(pg_catalog.->) 'sources') s) b"
	" WHERE a.account {=} $1 AND a.brake IS NOT NULL",
	2, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID}
};

/*
 * $2: now, $3: source type, or NULL, $4: promotions of the window that may stay in it.  The newest
 * promotion that must leave the window before others fit; when that is, and the window, as text
 */
static const CtQuery next_query = {
	"SELECT a.brake OPERATOR(pg_catalog.->>) 'window', (SELECT (pg_catalog.max(r.at)" CT_ADD "w.length)::pg_catalog.text"
	" FROM (SELECT c.at, pg_catalog.sum(c.contacts) OVER (ORDER BY c.at DESC RANGE UNBOUNDED PRECEDING) AS total"
	"  FROM " WINDOW " WHERE $3 IS NULL OR c.source_type" CT_EQ "$3) r WHERE r.total" CT_GT "$4)"
	OF_ACCOUNT " WHERE a.account {=} $1",
	4, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID, TEXTOID, INT8OID}
};

/*
 * The limits of the brake, a list of CtBrakeLimit.  The caller is the table's owner and holds all
 * slots of the account.
 */
List *
ct_brake_read(const CtClaim *claim)
{
	Datum		values[] = {claim->account, TimestampTzGetDatum(ct_now())};
	MemoryContext context = CurrentMemoryContext;
	uint64		count;
	List	   *result = NIL;

	ct_connect_spi();
	count = ct_companion_query(claim->table, &count_query, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		CtBrakeLimit *limit = palloc(sizeof(CtBrakeLimit));
		bool		isnull;
		Datum		source_type = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		limit->source_type = isnull ? NULL : TextDatumGetCString(source_type);
		limit->maximum = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		limit->counted = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull));
		result = lappend(result, limit);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return result;
}

/* When is there room, and the window, as texts; NULL if there never is. */
static char *
find_next(const CtClaim *claim, const CtBrakeLimit *limit, int64 promoted, char **window)
{
	Datum		values[] = {
		claim->account, TimestampTzGetDatum(ct_now()),
		limit->source_type == NULL ? (Datum) 0 : CStringGetTextDatum(limit->source_type),
		Int64GetDatum(limit->maximum - promoted)
	};

	ct_companion_query(claim->table, &next_query, values, limit->source_type == NULL ? "  n " : NULL);
	*window = ct_result_text(1);
	return promoted > limit->maximum ? NULL : ct_result_text(2);
}

/*
 * The brake refuses to promote so many: MC004.
 */
void
ct_brake_error(const CtClaim *claim, const CtBrakeLimit *limit, int64 promoted)
{
	char	   *window;
	char	   *next;
	long long	room = (long long) Max(limit->maximum - limit->counted, 0);

	ct_connect_spi();
	next = find_next(claim, limit, promoted, &window);
	ereport(ERROR,
			(errcode(ERRCODE_CT_BRAKE),
			 errmsg("promotion brake of account \"%s\" reached", ct_account_text(claim->table, claim->account)),
			 limit->source_type == NULL ?
			 errdetail("The account has %lld of %lld promotions within %s; the statement promotes %lld, but there is room for %lld.",
					   (long long) limit->counted, (long long) limit->maximum, window, (long long) promoted, room) :
			 errdetail("Source type \"%s\" has %lld of %lld promotions of the account within %s; the statement promotes %lld, but there is room for %lld.",
					   limit->source_type, (long long) limit->counted, (long long) limit->maximum, window, (long long) promoted, room),
			 next != NULL ?
			 errhint("The statement fits from %s on.  A role with the privilege can call contacts_tier.pass_brake() before it.", next) :
			 errhint("Promote fewer contacts at once.  A role with the privilege can call contacts_tier.pass_brake() before it."),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "contact_tier"),
			 ct_errcontacts(claim->table)));
}

static void
end_pass(CtXactNote *note, bool rolled_back)
{
	pfree(note);
}

/* That the running transaction passes; in TopTransactionContext */
static CtXactList passes = {.end = end_pass};

/*
 * Does the running transaction pass the brake?
 */
bool
ct_brake_is_passed(void)
{
	return !slist_is_empty(&passes.notes);
}

/*
 * Add the list, so that a pass ends with its subtransaction.
 */
void
ct_brake_init(void)
{
	ct_xact_list_add(&passes);
}

PG_FUNCTION_INFO_V1(contacts_tier_pass_brake);

/*
 * pass_brake() void: EXECUTE on it is the right to pass
 */
Datum
contacts_tier_pass_brake(PG_FUNCTION_ARGS)
{
	ct_xact_note(&passes, MemoryContextAlloc(TopTransactionContext, sizeof(CtXactNote)));
	PG_RETURN_VOID();
}
