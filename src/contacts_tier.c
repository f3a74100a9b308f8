/*-------------------------------------------------------------------------
 *
 * contacts_tier.c
 *	  The module: magic block and initialization.
 *
 * Each file that keeps state between calls has an init function, called here
 * once per backend, when the first trigger or function of the extension runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "manage/manage.h"

CT_MODULE_MAGIC();

PG_FUNCTION_INFO_V1(contacts_tier_library_loaded);
PG_FUNCTION_INFO_V1(contacts_tier_not_given);

void
_PG_init(void)
{
	ct_settings_init();
	ct_propagated_init();
	ct_cache_init();
	ct_xact_list_init();
	ct_table_init();
	ct_query_init();
	ct_renamed_init();
	ct_source_init();
	ct_source_default_init();
	ct_slot_init();
	ct_notify_init();
	ct_ledger_init();
	ct_account_init();
	ct_brake_init();
	ct_frames_init();
	ct_truncate_init();
	ct_hooks_init();
	ct_fast_path_init();
	ct_ddl_init();
	ct_gate_init();
	ct_guard_init();
}

/*
 * library_loaded() boolean, always true
 *
 * attach() makes it part of an index predicate.  The planner folds constants
 * of index predicates, so the first statement of a session that touches an
 * attached table loads the library before its executor starts, which is when
 * fast_path.c must be there.
 */
Datum
contacts_tier_library_loaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}

/*
 * default_status() contacts_tier.marketing_status, and the like for the other properties:
 * NULL, for nobody has given one.  What it becomes is the status trigger's to say.
 *
 * They are immutable, so the planner finds that out, which loads the library before the
 * executor of an INSERT starts.
 */
Datum
contacts_tier_not_given(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}
