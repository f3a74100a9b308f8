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

/* What a statement did in an account, in contacts, for an entry "activity" */
typedef struct CtActivity
{
	Datum		account;
	int64		created;
	int64		deleted;
	int64		promoted;		/* became marketing contacts */
	int64		demoted;		/* ceased to be */
	int64		flagged;		/* became so until next update */
	int64		unflagged;		/* ceased to be, and stay marketing contacts */
	int64		dropped;		/* stored non-marketing for want of room */
	/* who did it; NULL where it is not known, or where several did */
	const char *source_type;
	const char *source_name;
} CtActivity;

extern void ct_ledger_init(void);
extern void ct_ledger_record_activity(const CtTable *table, const CtActivity *activities, int count, bool direct);
extern void ct_ledger_record(const CtTable *table, Datum account, const char *event,
							 int64 contacts, const char *details);

/* notify.c */

/* Stands for the number of marketing contacts of an account where the details have it */
#define CT_COUNT_IN_DETAILS	(-1)

extern void ct_announce(const CtTable *table, Datum account, const char *event,
						int64 contacts, int64 marketing_contacts, const char *details);
extern void ct_notify(const CtTable *table, Datum account, const char *event,
					  int64 marketing_contacts, const char *details);
extern void ct_notify_init(void);

#endif							/* CONTACTS_TIER_LEDGER_H */
