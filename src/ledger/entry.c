/*-------------------------------------------------------------------------
 *
 * entry.c
 *	  What an entry of the ledger consists of: its key, and the details of activity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "ledger/ledger.h"

/*
 * A new key: the time, and random bits (RFC 9562, version 7)
 *
 * The 12 bits behind the milliseconds are the fraction of one, and those of one
 * backend grow strictly, so that entries can be read in their order.  No
 * sequence, which distributed tables could not share.
 */
Datum
ct_new_entry_key(void)
{
	const int64 unix_epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	static uint64 last = 0;
	uint64		now = Max((uint64) (GetCurrentTimestamp() + unix_epoch), last + 1);
	uint64		fraction = now % 1000 * 4096 / 1000;
	uint64		random = pg_prng_uint64(&pg_global_prng_state);
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));
	uint64		high = pg_hton64(now / 1000 << 16 | 0x7000 | fraction);
	uint64		low = pg_hton64((random & UINT64CONST(0x3fffffffffffffff)) | UINT64CONST(0x8000000000000000));

	last = now;
	memcpy(uuid->data, &high, sizeof(high));
	memcpy(uuid->data + sizeof(high), &low, sizeof(low));
	return UUIDPGetDatum(uuid);
}

PG_FUNCTION_INFO_V1(contacts_tier_ledger_entry);

/*
 * ledger_entry() uuid: the default of the key
 */
Datum
contacts_tier_ledger_entry(PG_FUNCTION_ARGS)
{
	return ct_new_entry_key();
}

/*
 * Members of a JSON object.  A text that is NULL and a count of 0 are left out: readers
 * take a missing member for these.
 */
static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value = {.type = jbvString,.val.string = {.val = unconstify(char *, key),.len = strlen(key)}};

	(void) pushJsonbValue(state, WJB_KEY, &value);
}

/*
 * Bytes of a source type or name that an entry holds at most: it identifies the source,
 * and a contact may hold any text.
 */
#define MAX_SOURCE	1000

/* A text, cut between characters; unconstify() only drops a const, nothing writes to it. */
static void
push_text(JsonbParseState **state, const char *key, const CtText *text)
{
	JsonbValue	value = {.type = jbvString};

	if (text->data == NULL)
		return;
	value.val.string.val = unconstify(char *, text->data);
	value.val.string.len = pg_mbcliplen(text->data, text->length, MAX_SOURCE);
	push_key(state, key);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* An instant, as JSON has it.  The text is palloc'd, since pushJsonbValue() does not copy it. */
static void
push_instant(JsonbParseState **state, const char *key, TimestampTz instant)
{
	char	   *buffer = palloc(MAXDATELEN + 1);
	const CtText text = {buffer, strlen(JsonEncodeDateTime(buffer, TimestampTzGetDatum(instant), TIMESTAMPTZOID, NULL))};

	push_text(state, key, &text);
}

/* A count; numeric, since JSON numbers are. */
static void
push_count(JsonbParseState **state, const char *key, int64 count)
{
	JsonbValue	value = {.type = jbvNumeric};

	if (count == 0)
		return;
	value.val.numeric = int64_to_numeric(count);
	push_key(state, key);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* Members of the details that count contacts; those promoted are in a column */
static const char *const count_members[CT_NACTIVITIES] = {
	[CT_CREATED] = "created",
	[CT_DELETED] = "deleted",
	[CT_PROMOTED] = "promoted",
	[CT_DEMOTED] = "demoted",
	[CT_FLAGGED] = "flagged",
	[CT_UNFLAGGED] = "unflagged",
	[CT_DROPPED] = "dropped"
};

/*
 * What statements did in an account, as the details of an entry.  ct_ledger_open_entries()
 * reads the same from slots.
 */
Datum
ct_activity_details(const CtActivity *activity)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "source_type", &activity->actor[CT_ACTOR_SOURCE_TYPE]);
	push_text(&state, "source_name", &activity->actor[CT_ACTOR_SOURCE_NAME]);
	for (int i = 0; i < CT_NACTIVITIES; i++)
		push_count(&state, count_members[i], activity->count[i]);
	if (activity->statements > 1)
	{
		push_count(&state, "statements", activity->statements);
		push_instant(&state, "ended_at", activity->ended_at);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
