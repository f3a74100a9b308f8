/*-------------------------------------------------------------------------
 *
 * base.h
 *	  PostgreSQL itself, as the extension needs it: whose rights and which search_path are in
 *	  force, statements, settings and the clock, what is remembered of relations, names,
 *	  differences of versions.  Knows nothing of contacts.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_BASE_H
#define CONTACTS_TIER_BASE_H

#include "commands/trigger.h"
#include "executor/spi.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/rel.h"

#include "base/compat.h"

/*
 * SQLSTATE class MC, which applications look at: 001 where marketing contacts do not fit into
 * the tier, 002 where an account may not have any.  Neither SQL nor PostgreSQL has the class.
 */
#define ERRCODE_CT_TIER_EXCEEDED		MAKE_SQLSTATE('M', 'C', '0', '0', '1')
#define ERRCODE_CT_NO_ACCESS			MAKE_SQLSTATE('M', 'C', '0', '0', '2')
#define ERRCODE_CT_NOT_MARKETING		MAKE_SQLSTATE('M', 'C', '0', '0', '3')
#define ERRCODE_CT_BRAKE				MAKE_SQLSTATE('M', 'C', '0', '0', '4')
#define ERRCODE_CT_STORED_NON_MARKETING	MAKE_SQLSTATE('0', '1', 'M', 'C', '1')

/* settings.c */

extern char *ct_source_type;	/* contacts_tier.source_type, "" when unset */
extern char *ct_source_name;	/* contacts_tier.source_name, "" when unset */
extern bool ct_fast_path;		/* contacts_tier.fast_path */

extern void ct_settings_init(void);
extern const char *ct_valid_setting(const char *value);
extern TimestampTz ct_now(void);
extern PGDLLEXPORT Datum contacts_tier_clock(PG_FUNCTION_ARGS);
extern bool ct_clock_is_fixed(void);
extern void ct_warn_of_clock(void);

/* cache.c */

/*
 * What a backend remembers of relations.  One entry of it is found or begun, filled by the
 * caller, and ended; from then on it is read only, and stays in place until the transaction
 * ends.
 */
typedef struct CtCache CtCache;

extern void ct_cache_init(void);
extern uint64 ct_name_changes(void);
extern uint64 ct_relation_name_changes(void);
extern uint64 ct_transaction_number(void);
extern CtCache *ct_cache_create(const char *name, Size size, int limit);
extern void *ct_cache_find(CtCache *cache, Oid relid);
extern void *ct_cache_begin(CtCache *cache, Oid relid, MemoryContext *context);
extern void ct_cache_end(void *data);

/* xact_list.c */

/* The head of something that is noted until a (sub)transaction ends */
typedef struct CtXactNote
{
	slist_node	node;			/* in CtXactList.notes */
	SubTransactionId subid;		/* whose it is */
} CtXactNote;

/*
 * What a file notes in a transaction, a static variable of its own.  Each function may be
 * NULL.  All but before_end run where nothing may be looked up: in a transaction that is
 * being aborted no catalog can be read.
 */
typedef struct CtXactList
{
	slist_head	notes;			/* of CtXactNote, newest first */

	/* The transaction is about to be committed, or "prepared"; may fail. */
	void		(*before_end) (bool prepared);

	/*
	 * The subtransaction of the note is released: is it the parent's then, or
	 * to end at once?
	 */
	bool		(*outlives) (const CtXactNote *note, SubTransactionId parent);

	/*
	 * The note has left the list at the end of a subtransaction.  At the end
	 * of the transaction it is not called: memory goes with that.
	 */
	void		(*end) (CtXactNote *note, bool rolled_back);

	/* A subtransaction was rolled back, or the transaction has ended. */
	void		(*forget) (void);
	slist_node	node;			/* of xact_list.c */
} CtXactList;

extern void ct_xact_list_init(void);
extern void ct_xact_list_add(CtXactList *list);
extern void ct_xact_note(CtXactList *list, CtXactNote *note);

/* caller.c */

/* A call on behalf of a role, for what is done as an owner */
typedef struct CtCaller
{
	Oid			owner;
	const char *name;			/* of the role */
	const struct CtCaller *outer;	/* which it is a part of; NULL: none */
} CtCaller;

extern void ct_caller_begin(CtCaller *call, Oid owner, const char *name);
extern void ct_caller_end(void);
extern Oid	ct_caller(void);
extern char *ct_caller_name(void);

/* propagated.c */

extern void ct_propagated_init(void);
extern void ct_propagated_set(void);
extern void ct_check_propagated(Oid role);

/* spi.c */

/*
 * An identity to return to.  Where an error prevents the return, PostgreSQL does it: the
 * abort of a (sub)transaction restores what was in force at its start (AbortTransaction(),
 * AbortSubTransaction()), settings included.
 */
typedef struct CtIdentity
{
	Oid			userid;
	int			sec_context;	/* bits of miscadmin.h, and ours */
	int			guc_level;		/* 0: no settings to restore */
} CtIdentity;

extern void ct_act_as_owner(Oid owner, CtIdentity *saved);
extern void ct_manage_as_owner(Oid owner, CtIdentity *saved);
extern void ct_set_safe_search_path(void);
extern void ct_set_exact_text(void);
extern void ct_set_for_now(const char *name, const char *value);
extern bool ct_acts_as_owner(void);
extern void ct_restore_identity(const CtIdentity *saved);
extern void ct_connect_spi(void);
extern SPIPlanPtr ct_prepare(const char *command, int nargs, Oid *types, int options);
extern struct CachedPlan *ct_plan_by_index(SPIPlanPtr plan);
extern SPIPlanPtr ct_prepare_by_index(const char *command, int nargs, Oid *types);
extern uint64 ct_execute(const char *command, int nargs, Oid *types, Datum *values,
						 const char *nulls);
extern void ct_execute_each(List *commands);
extern uint64 ct_execute_latest(const char *command);
extern uint64 ct_execute_now(const char *command, int nargs, Oid *types, Datum *values);
extern uint64 ct_execute_now_nulls(const char *command, int nargs, Oid *types, Datum *values,
								   const char *nulls);
extern bool ct_is_own_statement(const void *key);
extern uint64 ct_execute_as_application(Oid owner, Oid relid, const char *command,
										int nargs, Oid *types, Datum *values);
extern uint64 ct_execute_as_application_by_index(Oid owner, Oid relid, const char *command,
												 int nargs, Oid *types, Datum *values);
extern uint64 ct_execute_unchecked_by_index(Oid relid, const char *command);
extern uint64 ct_execute_now_by_index(const char *command, int nargs, Oid *types, Datum *values);
extern char *ct_vpsprintf(const char *format, va_list args) pg_attribute_printf(1, 0);
extern uint64 ct_executef(const char *format,...) pg_attribute_printf(1, 2);
extern uint64 ct_query(const char *query);
extern Datum ct_result(int column, Oid type, bool *isnull);
extern void ct_check_result_type(TupleDesc tupdesc, int column, Oid type);
extern bool ct_result_bool(int column);
extern int64 ct_result_int64(int column);
extern char *ct_enum_label(Oid value);
extern char *ct_result_text(int column);

/* plan.c */

/* Plans of one file, by a key of its own */
typedef struct CtPlanCache CtPlanCache;

extern CtPlanCache *ct_plan_cache_create(const char *name, Size keysize, int limit);
extern SPIPlanPtr ct_plan_begin(CtPlanCache *cache, const void *key,
								SPIPlanPtr (*prepare) (const void *key, const void *arg),
								const void *arg);
extern void ct_plan_end(CtPlanCache *cache, const void *key);
extern uint64 ct_plan_execute(CtPlanCache *cache, const void *key,
							  SPIPlanPtr (*prepare) (const void *key, const void *arg), const void *arg,
							  Datum *values, const char *nulls);

/* owner_path.c */

extern char *ct_owner_search_path(Oid owner, Oid relid);

/* name.c */

extern char *ct_type_name(Oid type);
extern Oid	ct_find_relation(const char *schema, const char *name);
pg_noreturn extern void ct_no_relation_error(Oid relid);
extern int	ct_errtable(Oid relid);
extern char *ct_qualified_name(Relation rel);
extern const char *ct_quoted_operator(Oid operator);

/* trigger.c */

extern TriggerData *ct_trigger_data(FunctionCallInfo fcinfo, const char *function);
pg_noreturn extern void ct_wrong_trigger_error(const char *function);

/* update_row.c */

extern ResultRelInfo *ct_create_relinfo(EState *estate, Relation rel, Index index, ResultRelInfo *root);

extern bool ct_update_row(EState *estate, EPQState *epqstate, ResultRelInfo *relinfo, ItemPointer place,
						  TupleTableSlot *row, TransitionCaptureState *capture);

#endif							/* CONTACTS_TIER_BASE_H */
