/*-------------------------------------------------------------------------
 *
 * refuse.c
 *	  The errors by which a statement is refused (rule T2).
 *
 * They tell in numbers what was to be, in the fields of an error which table, and what can
 * be done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "utils/lsyscache.h"

#include "tier/tier.h"

/*
 * The attached table to name in an error: the root of a partition, for which
 * the statement may have been meant.
 */
static Oid
attached_relid(const CtTable *table)
{
	List	   *ancestors;

	if (!get_rel_relispartition(table->relid))
		return table->relid;
	/* none for a partition that waits to be detached, and has one still */
	ancestors = get_partition_ancestors(table->relid);
	return ancestors == NIL ? table->relid : llast_oid(ancestors);
}

/*
 * Put schema and table of the contacts into the fields of an error.
 */
static int
errcontacts(const CtTable *table)
{
	Oid			relid = attached_relid(table);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *name = get_rel_name(relid);

	/* the root is not locked by a statement on a partition, and may be gone */
	if (schema != NULL && name != NULL)
	{
		err_generic_string(PG_DIAG_SCHEMA_NAME, schema);
		err_generic_string(PG_DIAG_TABLE_NAME, name);
	}
	return 0;
}

/*
 * A contact that belongs to no account cannot be a marketing contact: MC002.
 */
void
ct_null_account_error(const CtTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("a contact without an account cannot be a marketing contact"),
			 errdetail("Column \"%s\" is null.",
					   get_attname(table->relid, table->attno[CT_ARG_ACCOUNT], false)),
			 errhint("Set the account of the contact first, or leave the contact non-marketing."),
			 errcontacts(table)));
}

/*
 * The account may not have marketing contacts: MC002.  "subscription" is NULL where
 * there is none.
 */
void
ct_no_access_error(const CtClaim *claim, const CtSubscription *subscription)
{
	char	   *account = ct_account_text(claim->table, claim->account);

	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("account \"%s\" has no marketing contacts", account),
			 subscription == NULL ?
			 errdetail("The account has no subscription; the statement would make %lld of its contacts marketing contacts.",
					   (long long) claim->marketing) :
			 subscription->ended ?
			 errdetail("The subscription of the account has ended; the statement would make %lld of its contacts marketing contacts.",
					   (long long) claim->marketing) :
			 errdetail("Plan \"%s\" does not include marketing contacts; the statement would make %lld of its contacts marketing contacts.",
					   subscription->plan, (long long) claim->marketing),
			 errhint("Subscribe the account to a plan with marketing contacts by contacts_tier.subscribe(), or leave the contacts non-marketing."),
			 errcontacts(claim->table)));
}

/*
 * The claim does not fit into the tier: MC001.
 */
void
ct_exceeded_error(const CtClaim *claim, const CtSubscription *subscription)
{
	char	   *account = ct_account_text(claim->table, claim->account);
	int64		room = subscription->contact_limit - claim->used + subscription->grace;
	char	   *grace = subscription->grace == 0 ? "" :
		psprintf(" and a grace of %lld", (long long) subscription->grace);

	ereport(ERROR,
			(errcode(ERRCODE_CT_TIER_EXCEEDED),
			 errmsg("contact tier of account \"%s\" exceeded", account),
			 errdetail("The account has %lld of %lld marketing contacts%s; the statement adds %lld where %lld fit.",
					   (long long) claim->used, (long long) subscription->contact_limit,
					   grace, (long long) claim->marketing, (long long) Max(room, 0)),
			 subscription->larger_tier > 0 ?
			 errhint("Make fewer contacts marketing, or set the policy of the account to \"upgrade\" by contacts_tier.set_policy(): the next tier that fits has %lld contacts.",
					 (long long) subscription->larger_tier) :
			 errhint("Make fewer contacts marketing: plan \"%s\" has no larger tier that fits.",
					 subscription->plan),
			 errcontacts(claim->table)));
}
