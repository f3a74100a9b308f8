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

#include "contact/contact.h"

/* ledger.c */

/* A contact that a statement made a marketing contact, and where it is */
typedef struct CtPromotion
{
	Oid			relid;
	ItemPointerData tid;
	ItemPointerData before;		/* the version that an UPDATE ended; invalid
								 * for a new row */
	Oid			before_relid;	/* where that is: another partition, perhaps */
	bool		created;
	bool		by_default;		/* only a default asked for it (S4) */
	bool		dropped;		/* was looked at, and did not fit */
	int			mending;		/* as in CtRowChange */
} CtPromotion;

/* What a statement changed in the counts of one account, in contacts */
typedef struct CtDelta
{
	Datum		account;
	int64		marketing;		/* promoted less demoted, and less what was
								 * borrowed from, or lent to, another
								 * statement */
	int64		pending;		/* marketing contacts until next update */
	int64		promoted;		/* became marketing contacts of the account */
	int64		demoted;		/* ceased to be */
	int64		flagged;		/* became so until next update */
	int64		unflagged;		/* ceased to be, and stay marketing contacts */
	int64		created;
	int64		deleted;
	/* the promoted ones, in the order of the statement */
	CtPromotion *promotions;
	int64		npromotions;
	int64		dropped;		/* of these, or stored non-marketing at once */
	int64		total;			/* marketing contacts before the statement,
								 * where some were stored non-marketing at
								 * once */
	struct CtDrops *drops;		/* of those who catch rows */
	bool		is_unrecorded;	/* does the account want no entry of it? */
	/* who did it; NULL where it was not told, or by several */
	char	   *source_type;
	char	   *source_name;
} CtDelta;
extern void ct_ledger_record_activity(const CtTable *table, const CtDelta *deltas, int ndeltas, bool direct);
extern void ct_ledger_record(const CtTable *table, Datum account, const char *event,
							 int64 contacts, const char *details);

/* notify.c */

extern void ct_announce(const CtTable *table, Datum account, const char *event,
						int64 contacts, int64 marketing_contacts, const char *details);
extern void ct_notify_init(void);

#endif							/* CONTACTS_TIER_LEDGER_H */
