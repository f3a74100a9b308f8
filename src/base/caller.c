/*-------------------------------------------------------------------------
 *
 * caller.c
 *	  The role on whose behalf the session works, which provenance and the ledger name.
 *
 * A managing function that Citus brings to a shard is called there by a session of the owner of the
 * table, on behalf of the role that called it on another node.  The session says which, and could say any, as
 * everybody can who is the owner.  So what it says holds only while the call runs, and only for what is done as
 * that owner: into a ledger of his he can write what he likes anyway.  Tables of others that his triggers write
 * to meanwhile act as their own owners, and name the role of the session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/base.h"

/* The calls that are running; the innermost one first */
static const CtCaller *calls = NULL;

/*
 * A call on behalf of "name", done as "owner", begins; to be ended by ct_caller_end(), also where it
 * fails.  Both structure and name live as long.
 */
void
ct_caller_begin(CtCaller *call, Oid owner, const char *name)
{
	call->owner = owner;
	call->name = name;
	call->outer = calls;
	calls = call;
}

/*
 * The innermost call ends.
 */
void
ct_caller_end(void)
{
	calls = calls->outer;
}

/* What the calls that are running say of what is done as the current user; NULL: nothing */
static const char *
name_by_call(void)
{
	for (const CtCaller *call = calls; call != NULL; call = call->outer)
		if (call->owner == GetUserId())
			return call->name;
	return NULL;
}

/*
 * OID of the role that ct_caller_name() names, for whoever remembers the name.  Invalid where a call says it: then
 * nobody may remember it.
 */
Oid
ct_caller(void)
{
	return calls != NULL && name_by_call() != NULL ? InvalidOid : GetOuterUserId();
}

/*
 * Name of the role on whose behalf the session works, whatever identity a
 * trigger or a SECURITY DEFINER function has assumed: provenance records who
 * requested the change, not who owns the table.
 */
char *
ct_caller_name(void)
{
	static Oid	role = InvalidOid;
	static char name[NAMEDATALEN];
	static uint64 known_at;
	uint64		changes = ct_name_changes();
	const char *said = calls == NULL ? NULL : name_by_call();

	if (said != NULL)
		return pstrdup(said);
	/* looked up once: a statement needs it for its rows and for the ledger */
	if (role != GetOuterUserId() || known_at != changes)
	{
		role = InvalidOid;
		strlcpy(name, GetUserNameFromId(GetOuterUserId(), false), sizeof(name));
		role = GetOuterUserId();
		known_at = changes;
	}
	return pstrdup(name);
}
