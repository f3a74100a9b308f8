/*-------------------------------------------------------------------------
 *
 * contact.h
 *	  One contact: which columns of which table, the rules of its status, who sets it; which
 *	  tables are attached and what belongs to them.  Knows nothing of counts.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_CONTACT_H
#define CONTACTS_TIER_CONTACT_H

#include "base/base.h"

/* names.c */

/* The companion tables */
typedef enum CtCompanion
{
	CT_ACCOUNT,
	CT_COUNTER,
	CT_LEDGER,
	CT_NCOMPANIONS
} CtCompanion;

/* The tables of the catalogue that statements on companion tables read */
typedef enum CtCatalogue
{
	CT_PLAN,
	CT_TIER,
	CT_SOURCE_TYPE,
	CT_NCATALOGUE
} CtCatalogue;

/* How the tables are called that belong to an attached relation */
typedef struct CtNames
{
	NameData	schema;			/* of the companion tables */
	NameData	companions[CT_NCOMPANIONS];
	NameData	catalogue_schema;
	NameData	catalogue[CT_NCATALOGUE];
} CtNames;

/* What is known of an attached table: see table.c below */
typedef struct CtTable CtTable;

extern void ct_names_resolve(CtNames *names, Oid relid, const char *companion_schema);
extern bool ct_names_equal(const CtNames *a, const CtNames *b);
extern bool ct_same_companions(const CtNames *a, const CtNames *b);
extern Oid	ct_companion_relid(const CtNames *names, CtCompanion which);
extern Oid	ct_catalogue_relid(const CtNames *names, CtCatalogue which);
extern char *ct_sql(const CtTable *table, const char *text);
extern char *ct_sqlf(const CtTable *table, const char *format,...) pg_attribute_printf(2, 3);
extern char *ct_names_sqlf(const CtNames *names, const char *format,...) pg_attribute_printf(2, 3);

/* shard.c */

extern bool ct_has_citus(void);
extern bool ct_is_shard(Oid relid);
extern bool ct_is_left_behind(Oid relid);
extern bool ct_may_become_shard(Oid relid);
extern bool ct_is_distributed(Oid relid);
extern bool ct_has_replacement(Oid relid);
extern bool ct_is_reference(Oid relid);
extern void ct_names_localise(CtNames *names, Oid relid);
extern bool ct_may_have_companions(Oid relid, const CtNames *names);
extern bool ct_is_work_of_citus(Oid relid, Oid parent);
extern void ct_allow_distributed_ddl(void);
extern void ct_allow_distributed_ddl_of_others(void);
extern Oid	ct_shard_beside(Oid relid, const char *contacts);

/* The account of a table that has no account column */
#define CT_DEFAULT_ACCOUNT	"default"

/* Trigger arguments, the same for each row trigger of an attached table */
typedef enum CtTriggerArg
{
	CT_ARG_SCHEMA,				/* schema of the companion tables */
	CT_ARG_ACCOUNT,				/* account column, "" for none */
	CT_ARG_STATUS,				/* the five status columns, in the order of */
	CT_ARG_UNTIL,				/* docs/reference.md, "marketing_status" */
	CT_ARG_SOURCE_TYPE,
	CT_ARG_SOURCE_NAME,
	CT_ARG_UPDATED_AT,
	CT_ARG_OPTIONS,				/* words: see option.c */
	CT_NARGS
} CtTriggerArg;

/* The arguments that name columns end before this one */
#define CT_COLUMNS_END	CT_ARG_OPTIONS
#define CT_NCOLUMNS		(CT_COLUMNS_END - CT_ARG_STATUS)

/* Columns of the default name, and no options, are left out at the end */
#define CT_MIN_NARGS	CT_ARG_STATUS
#define ct_right_args(nargs)	((nargs) >= CT_MIN_NARGS && (nargs) <= CT_NARGS)

/* function.c */

extern const char *const ct_default_columns[CT_NARGS];
extern void ct_complete_args(int nargs, char **given, char *args[CT_NARGS]);

/* A function that is ours, or not */
typedef enum CtFunction
{
	CT_OTHER_FUNCTION,
	CT_TRIGGER_STATUS,
	CT_TRIGGER_COUNT,
	CT_TRIGGER_APPLY,
	CT_TRIGGER_TRUNCATE,
	CT_TRIGGER_EXISTS,
	CT_TRIGGER_ELIGIBLE,
	CT_IS_GIVEN,
	CT_GIVEN_FLAG,
	CT_GIVEN_MARKETING,
	CT_LIBRARY_LOADED,
	CT_DEFAULT_STATUS,
	CT_DEFAULT_UNTIL,
	CT_DEFAULT_SOURCE_TYPE,
	CT_DEFAULT_SOURCE_NAME,
	CT_DEFAULT_UPDATED_AT,
	CT_DEFAULT_MARKETING		/* of a status that is a boolean */
} CtFunction;

extern CtFunction ct_function(Oid function);
extern Oid	ct_function_oid(CtFunction function);
extern bool ct_has_our_default(Relation rel, AttrNumber attno);
extern bool ct_fires(const Trigger *trigger);
extern Trigger *ct_find_trigger(Relation rel, CtFunction kind);
extern bool ct_trigger_args(Relation rel, CtFunction kind, char *args[CT_NARGS]);

/* option.c */

extern bool ct_option_whole_row_saves(const char *options);
extern bool ct_option_had_column(const char *options, CtTriggerArg which);
extern char *ct_options(bool whole_row_saves, const bool had[CT_NCOLUMNS]);

/* retype.c */

extern char *ct_retype_statement(const char *table, Oid relid, const char *name, Oid type, Oid collation);

/* expression.c */

/* An expression over a row, ready to be evaluated */
typedef struct CtExpression CtExpression;

extern CtExpression *ct_expression_prepare(Oid owner, Node *expression);
extern Datum ct_expression_evaluate(CtExpression *expression, TupleTableSlot *slot, bool *isnull);

/* condition.c */

/* A condition on contacts, ready to be evaluated */
typedef struct CtCondition CtCondition;

extern Node *ct_condition_of_clause(const char *clause);
extern Node *ct_condition_of_relation(Relation rel, CtFunction kind);
extern char *ct_condition_text(Oid relid, Node *condition, const char *prefix);
extern CtCondition *ct_condition_prepare(Relation rel, Node *condition, MemoryContext context);
extern CtCondition *ct_condition_resolve(Relation rel, CtFunction kind, MemoryContext context);
extern bool ct_condition_is_true(const CtCondition *condition, TupleTableSlot *slot);
extern char *ct_and_condition(const CtCondition *condition, bool is_true);
extern bool ct_condition_reads(const CtCondition *condition, const Bitmapset *sets);

/* table.c */

/* How the status column of a table says what a contact is: see status.c below */
typedef struct CtStatusType
{
	bool		is_boolean;		/* true: marketing; else an enum */
	Oid			marketing;		/* enum value "marketing" */
	Oid			non_marketing;	/* enum value "non_marketing" */
} CtStatusType;

/*
 * What a trigger knows of its table: which attribute is which, and how values
 * of the account column are compared.  Resolved by name from the trigger
 * arguments for the very relation that fires, which may be a partition with
 * another column order.
 */
struct CtTable
{
	Oid			relid;
	Oid			owner;			/* triggers act as this role */
	CtNames		names;			/* of companion tables and catalogue */
	uint64		id;				/* of what is known here: as long as this is
								 * the same, so is all of it */
	AttrNumber	attno[CT_COLUMNS_END];	/* by CtTriggerArg; of CT_ARG_ACCOUNT,
										 * invalid if the whole table is one
										 * account */
	bool		whole_row_saves;	/* S8 */
	CtStatusType status;		/* of the status column */
	/* the account column's type */
	Oid			account_type;
	Oid			account_collation;
	int16		account_typlen;
	bool		account_typbyval;
	Oid			account_output; /* its output function */
	Oid			account_eq;		/* its default equality operator */
	FmgrInfo	account_cmp;	/* btree comparison */
	FmgrInfo	account_hash;
	/* conditions on contacts, NULL if there are none (P2, P3) */
	CtCondition *exists;
	CtCondition *eligible;
	bool		refuses_ineligible; /* or are they non-marketing contacts? */
	uint64		known_at;		/* ct_name_changes() for the conditions */
	bool		is_unsettled;	/* may it become known as a shard? */
	uint64		names_known_at; /* ct_relation_name_changes() for that */
};

extern void ct_table_init(void);

extern Oid	ct_own_type(const char *name);
extern Oid	ct_column_type(CtTriggerArg which);
extern bool ct_is_column_type(CtTriggerArg which, Oid type);
extern char *ct_missing_column_hint(Oid type);

extern CtTable *ct_table_of_trigger(FunctionCallInfo fcinfo, const char *function);
extern CtTable *ct_table_resolve(Relation rel, int nargs, char **args);
extern CtTable *ct_table_of_relation(Relation rel);
extern CtTable *ct_table_of_accounts(Relation rel, const char *column);
extern Datum ct_table_account(const CtTable *table, TupleTableSlot *slot, bool *isnull);
extern const char *ct_table_column(const CtTable *table, CtTriggerArg which);
extern void ct_table_copy(CtTable *copy, const CtTable *table, MemoryContext context);

/* registry.c */

extern bool ct_look_up_args(Oid relid, char *args[CT_NARGS]);
pg_noreturn extern void ct_not_attached_error(Oid relid);
extern char *ct_companion_schema(Oid relid);
extern void ct_attached_names(Oid relid, CtNames *names);
extern List *ct_attached_tables(const CtNames *names);
extern List *ct_companion_sets(void);
extern bool ct_is_sound(Oid relid, const CtNames *names);
extern void ct_check_sound(Oid relid);

/* managed.c */

/*
 * An attached table that is being managed, from ct_manage_begin() to ct_manage_end(): open
 * and locked, with an SPI connection, and its owner as the current role
 */
typedef struct CtManaged
{
	Relation	rel;			/* NULL once it was closed early */
	CtTable    *table;			/* until the transaction ends */
	CtIdentity	identity;		/* of the caller */
	const char *account_type;	/* of the account column, as in a statement */
} CtManaged;

/*
 * How long a lock is waited for that is one of many, in milliseconds.  A second at first, which is
 * enough for ordinary transactions; once a lock was not to be had the others do not
 * pay for it.
 */
#define CT_FIRST_PATIENCE	1000
#define CT_NEXT_PATIENCE	50

extern void ct_check_not_null(FunctionCallInfo fcinfo, int argument, const char *name);
extern void ct_check_account_not_null(FunctionCallInfo fcinfo);
extern char *ct_account_argument(FunctionCallInfo fcinfo, int argument);
extern void ct_check_owner(Oid relid);
extern ErrorData *ct_try(void (*work) (void *arg), void *arg);
extern bool ct_attempt(void (*work) (void *arg), void *arg, const char *what);
extern void ct_lock_within(Oid relid, LOCKMODE lockmode, int *patience);
extern void ct_limit_lock_waits(int milliseconds);
extern List *ct_primary_key(Relation rel);
extern Relation ct_open_owned(Oid relid, LOCKMODE lockmode);
extern void ct_manage_begin(CtManaged *managed, Oid relid, LOCKMODE lockmode);
extern Datum ct_managed_account(const CtManaged *managed, const char *account);
extern Datum ct_manage_begin_account(CtManaged *managed, FunctionCallInfo fcinfo);
extern void ct_read_open(CtManaged *managed, Oid relid);
extern void ct_read_begin(CtManaged *managed);
extern void ct_manage_close_table(CtManaged *managed);
extern void ct_manage_end(CtManaged *managed);

/* renamed.c */

extern void ct_renamed_init(void);
extern bool ct_has_renamed(void);
extern void ct_note_renamed(const CtTable *table, Datum former, Datum account);
extern bool ct_is_renamed(const CtTable *table, Datum account);
extern Datum ct_renamed_account(const CtTable *table, Datum account);
extern const char *ct_renamed_account_sql(const CtTable *table, const char *column);
extern bool ct_has_contacts(const CtManaged *managed, Datum account);
extern void ct_check_renamed(void);

/* status.c */

/* The part of a contact that the status rules speak of */
typedef struct CtStatus
{
	bool		given;			/* false: the status is NULL */
	bool		marketing;
	bool		until_next_update;	/* the pending flag */
} CtStatus;

extern CtStatus ct_status_on_insert(CtStatus row, bool default_marketing);
extern CtStatus ct_status_on_update(CtStatus old, CtStatus row,
									bool sets_status, bool sets_until);
extern bool ct_status_equal(CtStatus a, CtStatus b);

/*
 * Does a value of the status column, not NULL, say that the contact is a marketing contact?
 */
static inline bool
ct_status_is_marketing(const CtStatusType *type, Datum status)
{
	return type->is_boolean ? DatumGetBool(status) : DatumGetObjectId(status) == type->marketing;
}

extern Datum ct_status_datum(const CtStatusType *type, bool marketing);
extern const char *ct_status_literal(const CtStatusType *type, bool marketing);
extern char *ct_status_condition(const CtStatusType *type, const char *column);

/* contact.c */

/*
 * The columns of a row that concern us, by CtTriggerArg from CT_ARG_ACCOUNT on,
 * and its place, if it has one already
 */
typedef struct CtRow
{
	Datum		value[CT_COLUMNS_END];	/* by reference: see ct_row_copy() */
	bool		isnull[CT_COLUMNS_END];
	ItemPointerData tid;		/* invalid before it is written */
	bool		is_absent;		/* the row counts as deleted (P2) */
	bool		is_ineligible;	/* it cannot be promoted (P3), as far as
								 * ct_row_judge() has seen */
} CtRow;

extern void ct_row_read_columns(const CtTable *table, TupleTableSlot *slot, CtRow *row);
extern bool ct_row_is_set(const CtTable *table, const Bitmapset *sets);
extern void ct_row_read(const CtTable *table, TupleTableSlot *slot, CtRow *row);

/*
 * Note of a row that was read from this slot whether it is one that cannot be promoted.
 */
static inline void
ct_row_judge(const CtTable *table, TupleTableSlot *slot, CtRow *row)
{
	row->is_ineligible = table->eligible != NULL && !ct_condition_is_true(table->eligible, slot);
}

/*
 * The same for a changed row; whether the old one was eligible matters only if the new one is
 * not.
 */
static inline void
ct_row_judge_change(const CtTable *table, TupleTableSlot *old_slot, CtRow *old, TupleTableSlot *slot, CtRow *row)
{
	ct_row_judge(table, slot, row);
	if (row->is_ineligible)
		ct_row_judge(table, old_slot, old);
}

/*
 * Status and flag of a row; called several times for each.
 */
static inline CtStatus
ct_row_status(const CtTable *table, const CtRow *row)
{
	CtStatus	status;

	status.given = !row->isnull[CT_ARG_STATUS];
	status.marketing = status.given && ct_status_is_marketing(&table->status, row->value[CT_ARG_STATUS]);
	status.until_next_update = !row->isnull[CT_ARG_UNTIL] && DatumGetBool(row->value[CT_ARG_UNTIL]);
	return status;
}

extern void ct_row_copy(const CtTable *table, const CtRow *row, CtRow *copy, MemoryContext context);
extern bool ct_row_same_account(const CtTable *table, const CtRow *a, const CtRow *b);
extern bool ct_row_lacks(const CtRow *row, CtTriggerArg which);
extern void ct_row_copy_properties(CtRow *row, const CtRow *from);
extern bool ct_row_is_legal(const CtTable *table, const CtRow *row);
extern bool ct_row_is_complete(const CtTable *table, const CtRow *row);
extern bool ct_row_same_column(const CtRow *a, const CtRow *b, CtTriggerArg which);
extern bool ct_row_same_columns(const CtRow *a, const CtRow *b);
extern void ct_row_set_status(const CtTable *table, CtRow *row, CtStatus status);
extern void ct_row_set_time(CtRow *row);
extern uint32 ct_tuple_image(Relation rel, HeapTuple tuple);
extern bool ct_is_moved(TupleTableSlot *slot);
extern HeapTuple ct_row_write(const CtTable *table, Relation rel, HeapTuple tuple, const CtRow *row);

/* source.c */

/* What the session says about the source type or name, as a text that many rows get */
typedef struct CtSourceText
{
	char	   *setting;		/* NULL: not known yet */
	Oid			role;			/* whose name it is where the setting is empty */
	Datum		value;			/* of type text */
	bool		borrowed;		/* do setting and value belong to somebody
								 * else? */
} CtSourceText;

/*
 * Both, for the rows of a statement; all zero but for the memory of the statement at first
 */
typedef struct CtSessionSource
{
	MemoryContext context;		/* of what is not borrowed */
	CtSourceText texts[2];		/* by CtTriggerArg less CT_ARG_SOURCE_TYPE */
} CtSessionSource;

extern const char *ct_session_source_type(void);
extern const char *ct_session_source_name(void);
extern bool ct_source_is_set(CtTriggerArg which);
extern void ct_row_set_source(CtRow *row, CtTriggerArg which);
extern void ct_use_session_source(CtSessionSource *source);
extern void ct_row_complete_source(CtRow *row);
extern void ct_source_init(void);

/* triggers.c */

extern bool ct_triggers_are_private(const ResultRelInfo *relinfo);

/* The row triggers of a relation, as far as they matter for an event */
typedef struct CtTriggers
{
	Trigger    *status;			/* ours; NULL if there is none */
	bool		has_plain_status;	/* does it fire, without a condition? */
	Trigger    *count;			/* ours, if it does; NULL otherwise */
	bool		is_sole;		/* is "status" the only BEFORE trigger? */
	bool		has_followers;	/* has the application AFTER triggers?  What
								 * they do may make room for contacts of the
								 * statement */
	bool		is_alone;		/* does nothing fire after rows but "count"? */
} CtTriggers;

extern CtTriggers ct_judge_triggers(TriggerDesc *triggers, int16 event);

/* Which triggers are removed */
#define CT_REMOVE_STATUS	(1 << CT_TRIGGER_STATUS)
#define CT_REMOVE_COUNT		(1 << CT_TRIGGER_COUNT)
#define CT_REMOVE_APPLY		(1 << CT_TRIGGER_APPLY)

extern void ct_remove_triggers(ResultRelInfo *relinfo, int kinds, int16 events);
extern void ct_fire_after_update(ResultRelInfo *relinfo, bool fires);
extern void ct_triggers_for_second_write(ResultRelInfo *relinfo);
extern void ct_fire_at_once(EState *estate);

/* query.c */

/* Stands for the type of the account column among the types of parameters */
#define CT_ACCOUNT_TYPE	InvalidOid

#define CT_MAX_PARAMS	14

/*
 * A statement on companion tables, whose plan a backend saves.  Its text has
 * placeholders for names (names.c); parameter 1 is always the account.
 */
typedef struct CtQuery
{
	const char *text;
	int			nparams;
	Oid			types[CT_MAX_PARAMS];
} CtQuery;

/* Operators in such texts, for the types of PostgreSQL; accounts are compared by {=} */
#define CT_EQ	" OPERATOR(pg_catalog.=) "
#define CT_GT	" OPERATOR(pg_catalog.>) "
#define CT_GE	" OPERATOR(pg_catalog.>=) "
#define CT_LT	" OPERATOR(pg_catalog.<) "
#define CT_LE	" OPERATOR(pg_catalog.<=) "
#define CT_ADD	" OPERATOR(pg_catalog.+) "
#define CT_SUB	" OPERATOR(pg_catalog.-) "
#define CT_MUL	" OPERATOR(pg_catalog.*) "
#define CT_DIV	" OPERATOR(pg_catalog./) "

extern void ct_query_init(void);
extern uint64 ct_companion_query(const CtTable *table, const CtQuery *query,
								 Datum *values, const char *nulls);

/* companion_shape.c */

/* What is wrong with a table or its companion tables, for an error or a WARNING */
typedef struct CtFault
{
	int			code;			/* SQLSTATE */
	char	   *message;
	const char *hint;			/* NULL: none */
} CtFault;

/* Whose companion tables, and in which shape */
typedef struct CtCompanionOf
{
	CtNames		names;
	const char *contacts;		/* the table, for messages */
	Oid			owner;			/* of the table */
	bool		has_account_column; /* or is the whole table one account? */
	Oid			account_type;	/* then text */
	Oid			account_collation;
	bool		may_be_missing; /* is only what exists looked at? */
} CtCompanionOf;

extern Oid	ct_companion_owner(Oid relid);
extern bool ct_has_key(Oid index, Oid account_collation, const AttrNumber *key, int nkeys);
extern bool ct_find_companion_fault(const CtCompanionOf *of, CtFault *fault);
extern bool ct_has_companions(const CtTable *table);
extern bool ct_some_companions_fit(const CtTable *table);
extern void ct_check_companions(const CtTable *table);

/* companion.c */

extern Relation ct_open_companion(const CtTable *table, CtCompanion which, LOCKMODE lockmode);

/* Companion tables of each kind that a backend knows in any case */
#define CT_MAX_KNOWN	32

/*
 * How the entry of a companion table begins in a cache of such tables.  It holds
 * for contacts of one owner with one type of account.
 */
typedef struct CtKnownTable
{
	Oid			owner;			/* of the contacts */
	Oid			account_type;	/* of their account column */
	Oid			account_collation;
	MemoryContext context;		/* of what belongs to the entry */
} CtKnownTable;

extern CtKnownTable *ct_known_table(CtCache *cache, Relation rel, const CtTable *table, bool *is_new);
extern AttrNumber ct_typed_column(Oid relid, const char *name, Oid type);
extern bool ct_is_ordinary(Relation rel, const CtTable *table, const AttrNumber *key, int nkeys);
pg_noreturn extern void ct_refuse_companion(Relation rel, const CtTable *table);

/* account_map.c */

/* What an entry of a hash table by account begins with */
typedef struct CtAccountEntry
{
	Datum		account;
	struct CtAccountEntry *older;	/* the one created before it, or NULL */
} CtAccountEntry;

/* A hash table by account, in the memory context that it was created in */
typedef struct CtAccountMap CtAccountMap;

extern CtAccountMap *ct_account_map(MemoryContext context, const CtTable *table, Size size);
extern void *ct_account_find(CtAccountMap *map, Datum account);
extern void *ct_account_enter(CtAccountMap *map, Datum account);
extern void *ct_account_newest(const CtAccountMap *map);
extern uint32 ct_account_count(const CtAccountMap *map);

/* account_key.c */

extern Datum ct_account_copy(const CtTable *table, Datum account, MemoryContext context);
extern uint32 ct_account_hash(const CtTable *table, Datum account);
extern int	ct_account_compare(const CtTable *table, Datum a, Datum b);
extern char *ct_account_text(const CtTable *table, Datum account);
extern bool ct_account_fits(const CtTable *table, Datum account);
extern Datum ct_account_input(const CtTable *table, const char *text);
extern void ct_check_account_fits(const CtTable *table, Datum account);

#endif							/* CONTACTS_TIER_CONTACT_H */
