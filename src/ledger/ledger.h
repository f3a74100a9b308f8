/*-------------------------------------------------------------------------
 *
 * ledger.h
 *	  What happened: entries of the ledger, and notifications.  Knows nothing of what is
 *	  allowed.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_LEDGER_H
#define CONTACTS_TIER_LEDGER_H

#include "base/compat.h"
#include "counter/counter.h"

/* ledger.c */

extern void ct_ledger_init(void);
extern bool ct_ledger_folds(const CtTable *table);
extern void ct_ledger_record_activity(const CtTable *table, const List *activities);
extern void ct_ledger_record(const CtTable *table, Datum account, const char *event,
							 int64 contacts, const char *details);

/* open_entries.c */

/* A member of the details that counts something; a count of 0 is left out.  "cast" is nothing, or that to text. */
#define CT_OPEN_COUNT(member, cast) \
	"'" member "', nullif(c.entry_" member ", 0)" cast

/*
 * The members of the details of an open entry of a row "c" of the counter table, as those of the ledger; the
 * two texts are the only nulls that the columns have beside those counts
 */
#define CT_OPEN_MEMBERS(cast, ended_at) \
	"'source_type', c.entry_source_type," \
	" 'source_name', c.entry_source_name, " CT_OPEN_COUNT("created", cast) ", " CT_OPEN_COUNT("deleted", cast) "," \
	" " CT_OPEN_COUNT("promoted", cast) ", " CT_OPEN_COUNT("demoted", cast) ", " CT_OPEN_COUNT("flagged", cast) "," \
	" " CT_OPEN_COUNT("unflagged", cast) ", " CT_OPEN_COUNT("dropped", cast) "," \
	" 'statements', nullif(c.entry_statements, 1)" cast "," \
	" 'ended_at', CASE WHEN c.entry_statements" CT_GT "1 THEN " ended_at " END"

#define CT_OPEN_DETAILS \
	"pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(" CT_OPEN_MEMBERS("", "c.entry_ended_at") "))"

/*
 * For a FROM clause: the ledger with what is open, as it would stand there now; "entry" is NULL
 * for that, which sorts after all others, and its details have texts only.  For statements that are no CtQuery, under a safe
 * search_path.  Citus may send it to nodes: see ct_report().
 */
#define CT_WHOLE_LEDGER \
	"(SELECT account, recorded_at, entry, event, role, contacts, details FROM {ledger}" \
	" UNION ALL SELECT c.account, c.entry_started_at, NULL, 'activity', c.entry_role, c.entry_promoted," \
	"  jsonb_strip_nulls(jsonb_object(ARRAY[" \
	CT_OPEN_MEMBERS("::text", "to_char(c.entry_ended_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.USTZH:TZM')") "]))" \
	" FROM {counter} c WHERE c.entry_started_at IS NOT NULL)"

extern CtCount ct_ledger_withdraw(const CtTable *table, Datum account);
extern CtCount ct_ledger_close_period(const CtTable *table, Datum account);

/* Entries that ct_ledger_close_entries() closes at most */
#define CT_ENTRIES_AT_ONCE	10000

extern uint64 ct_ledger_close_entries(const CtTable *table, bool idle);

/* notify.c */

/* Stands for the number of marketing contacts of an account where the details have it */
#define CT_COUNT_IN_DETAILS	(-1)

extern void ct_announce(const CtTable *table, Datum account, const char *event,
						int64 contacts, int64 marketing_contacts, const char *details);
extern void ct_notify(const CtTable *table, Datum account, const char *event,
					  int64 marketing_contacts, const char *details);
extern void ct_notify_init(void);

/*
 * Inside ledger/ only
 * ===================
 */

/* Columns of an entry */
typedef enum CtLedgerColumn
{
	CT_LEDGER_ACCOUNT,
	CT_LEDGER_ENTRY,
	CT_LEDGER_RECORDED_AT,
	CT_LEDGER_EVENT,
	CT_LEDGER_ROLE,
	CT_LEDGER_CONTACTS,
	CT_LEDGER_DETAILS,
	CT_NLEDGER_COLUMNS
} CtLedgerColumn;

/* entry.c */

extern Datum ct_new_entry_key(void);
extern Datum ct_activity_details(const CtActivity *activity);

/* partitioned.c */

extern bool ct_ledger_index_is_plain(HeapTuple index);
extern bool ct_ledger_parts_are_plain(Oid relid, Oid owner);

/* own_entry.c */

extern bool ct_own_entry_sum(Relation rel, const CtTable *table, const AttrNumber *attno,
							 const CtActivity *activity, TupleTableSlot *row, CtActivity *sum);
extern bool ct_own_entry_update(Relation rel, TupleTableSlot *row, const CtTable *table, const CtActivity *sum,
								CtUpdateIndexes *update_indexes);
extern void ct_own_entry_remember(Relation rel, const CtTable *table, TupleTableSlot *row, Datum entry,
								  const CtActivity *activity);

#endif							/* CONTACTS_TIER_LEDGER_H */
