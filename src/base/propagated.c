/*-------------------------------------------------------------------------
 *
 * propagated.c
 *	  Settings that Citus hands on to other nodes, and whom they must not reach.
 *
 * With citus.propagate_set_commands = local Citus sends the text of each SET LOCAL, and all that is in
 * one string with it, to all connections to nodes that the transaction has and will have, whosever
 * these are: one who sets a search_path, or adds a statement to the string, has it run as the role that
 * a managing function acts as there.  So a transaction that hands on settings does not act on nodes as
 * a role whose privileges the caller lacks, and one that has done so hands on none.
 *
 * The hook sees each SET from when the library is loaded (capture/hooks.c).  What was set before, in the same
 * transaction, nobody can tell; so the library must have been there when that began.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"

#include "base/base.h"

static bool seen_begin = false; /* has the transaction begun with the library? */
static bool handed_on = false;	/* has it handed on a setting? */
static bool has_acted = false;	/* as another role, on nodes? */

/* The next transaction begins without either, and is seen. */
static void
end_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE || event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	seen_begin = true;
	handed_on = false;
	has_acted = false;
}

/*
 * Begin to watch transactions; the one in which the library is loaded was not seen from its beginning.
 */
void
ct_propagated_init(void)
{
	seen_begin = !IsTransactionState();
	RegisterXactCallback(end_transaction, NULL);
}

/*
 * A SET or RESET is about to run.  Errors: 25001 where Citus would hand it on, and the transaction has
 * acted as another role.
 */
void
ct_propagated_set(void)
{
	const char *propagates = GetConfigOption("citus.propagate_set_commands", true, false);

	if (propagates == NULL || strcmp(propagates, "local") != 0)
		return;
	if (has_acted)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot hand on settings to nodes in a transaction that has acted as another role there"),
				 errdetail("Citus would hand them on to sessions of that role, too."),
				 errhint("Set them in another transaction, or without citus.propagate_set_commands.")));
	handed_on = true;
}

/*
 * The caller is about to act as this role on other nodes.  Errors: 25001 and 55000 where settings of a
 * caller without the privileges of that role may reach its sessions.
 */
void
ct_check_propagated(Oid role)
{
	if (has_privs_of_role(GetUserId(), role) && has_privs_of_role(GetOuterUserId(), role))
		return;
	if (handed_on)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot act as role \"%s\" in a transaction that has handed on settings to nodes", GetUserNameFromId(role, false)),
				 errdetail("Citus would hand them on to sessions of that role, too."),
				 errhint("Use another transaction, or do without citus.propagate_set_commands.")));
	if (!seen_begin)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot act as role \"%s\" on nodes in the transaction that has loaded the library", GetUserNameFromId(role, false)),
				 errdetail("It may have handed on settings before, which would reach sessions of that role."),
				 errhint("Have the library loaded at the start, by shared_preload_libraries = 'citus, contacts_tier' or session_preload_libraries = 'contacts_tier'.  Or try again in a new transaction of this session.")));
	has_acted = true;
}
