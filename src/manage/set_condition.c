/*-------------------------------------------------------------------------
 *
 * set_condition.c
 *	  set_condition(): which contacts exist (P2), and which may be promoted (P3).
 *
 * A condition is stored in the WHEN clause of a trigger that never fires; see src/README,
 * "Conditions".  It is created and replaced under a lock that lets readers pass, and for that
 * reason it is not dropped but emptied: DROP TRIGGER excludes readers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_collate.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* What there is of a kind of condition */
typedef struct Kind
{
	const char *name;			/* of argument "kind" */
	CtFunction	function;		/* of the trigger */
	const char *trigger;
	const char *comment;
} Kind;

static const Kind kinds[] = {
	{"exists", CT_TRIGGER_EXISTS, "contacts_tier_exists",
	"holds the condition of the contacts that exist, and never fires; created by contacts_tier.set_condition()"},
	{"eligible", CT_TRIGGER_ELIGIBLE, "contacts_tier_eligible",
	"holds the condition of the contacts that can be promoted, and never fires; created by contacts_tier.set_condition()"}
};

static const Kind *
find_kind(const char *name)
{
	for (size_t i = 0; i < lengthof(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a kind of condition", name),
			 errhint("The kinds are exists and eligible.")));
}

static void
check_mode(const char *mode)
{
	if (strcmp(mode, "keep") != 0 && strcmp(mode, "refuse") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"on_ineligible\" must be keep or refuse, not \"%s\"", mode)));
}

/* An error of the parser points into the condition, not into the statement of the caller. */
static void
transpose_position(void *condition)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(condition);
}

/* Is a parsed SELECT nothing but one expression? */
static bool
is_expression(const SelectStmt *select)
{
	const ResTarget *target = list_length(select->targetList) == 1 ? linitial(select->targetList) : NULL;

	return target != NULL && target->name == NULL && select->distinctClause == NIL && select->fromClause == NIL &&
		select->whereClause == NULL && select->groupClause == NIL && select->havingClause == NULL &&
		select->windowClause == NIL && select->sortClause == NIL && select->limitOffset == NULL &&
		select->limitCount == NULL && select->lockingClause == NIL &&
		!(IsA(target->val, ColumnRef) && IsA(llast(((ColumnRef *) target->val)->fields), A_Star));
}

/* The expression in a text, without a look at what it names.  Errors: 42601. */
static Node *
parse_expression(const char *source)
{
	RawStmt    *raw = linitial(raw_parser(source, RAW_PARSE_PLPGSQL_EXPR));

	if (!IsA(raw->stmt, SelectStmt) || !is_expression((SelectStmt *) raw->stmt))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("argument \"condition\" must be a boolean expression"),
				 errhint("For example 'deleted_at IS NULL'.")));
	return ((ResTarget *) linitial(((SelectStmt *) raw->stmt)->targetList))->val;
}

/*
 * A condition over the columns of an open relation.  It is parsed as that of a trigger, so there
 * are no subqueries, aggregates, window or set-returning functions in it.  Names mean what
 * they mean to the caller.  Errors: those of the parser, such as 42601, 42703, 42804, 0A000.
 */
static Node *
parse_condition(Relation rel, char *source)
{
	ErrorContextCallback context = {
		.callback = transpose_position,.arg = source,.previous = error_context_stack
	};
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;
	Node	   *condition;

	error_context_stack = &context;
	pstate->p_sourcetext = source;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, false);
	addNSItemToQuery(pstate, item, false, true, true);
	condition = transformWhereClause(pstate, parse_expression(source), EXPR_KIND_TRIGGER_WHEN, "condition");
	assign_expr_collations(pstate, condition);
	error_context_stack = context.previous;
	free_parsestate(pstate);
	return condition;
}

/* Of a column that a condition must not read; "reason" is a sentence. */
static void
refuse_column(Relation rel, AttrNumber attno, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("a condition on contacts cannot refer to column \"%s\"",
					attno == 0 ? "*" : get_attname(RelationGetRelid(rel), attno, false)),
			 errdetail_internal("%s", reason),
			 errtable(rel)));
}

/*
 * Which columns can a condition read?  Those that our triggers see before a row is written and
 * leave as they are.  Errors: 42P10.
 */
static void
check_columns(const CtManaged *managed, Node *condition)
{
	Bitmapset  *columns = NULL;
	int			bit = -1;

	pull_varattnos(condition, 1, &columns);
	while ((bit = bms_next_member(columns, bit)) >= 0)
	{
		AttrNumber	attno = bit + FirstLowInvalidHeapAttributeNumber;

		if (attno <= 0)
			refuse_column(managed->rel, attno, "Name columns of the table, not system columns or the whole row.");
		if (TupleDescAttr(RelationGetDescr(managed->rel), attno - 1)->attgenerated)
			refuse_column(managed->rel, attno, "A generated column is computed after the status has been decided.");
		for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
			if (managed->table->attno[i] == attno)
				refuse_column(managed->rel, attno, "The columns of the marketing contact status depend on the condition.");
	}
}

/*
 * What a condition may call: whether a contact exists must not change while nobody writes it, or
 * the counters would be wrong.  Errors: 42P17.
 */
static void
check_functions(const Kind *kind, Node *condition)
{
	/* functions get their defaults, and are inlined, as when it is evaluated */
	Node	   *planned = (Node *) expression_planner(copyObject((Expr *) condition));

	if (kind->function == CT_TRIGGER_EXISTS && contain_mutable_functions(planned))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in condition \"exists\" must be marked IMMUTABLE"),
				 errdetail("A contact must not cease to exist without being written: it would still be counted.")));
	if (contain_volatile_functions(planned))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in condition \"%s\" must be marked IMMUTABLE or STABLE", kind->name)));
}

/* Nobody is at work on the table and its partitions, which are locked against writers: 55006. */
static void
check_not_in_use(const CtManaged *managed)
{
	List	   *relids = find_all_inheritors(RelationGetRelid(managed->rel), ShareRowExclusiveLock, NULL);
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = lfirst_oid(cell) == RelationGetRelid(managed->rel) ? managed->rel :
			table_open(lfirst_oid(cell), NoLock);

		CheckTableNotInUse(rel, "set a condition of");
		if (rel != managed->rel)
			table_close(rel, NoLock);
	}
	ct_frames_check_none(list_make1_oid(RelationGetRelid(managed->rel)));
}

/* Is set_condition() creating or replacing a trigger? */
static bool sets_condition = false;

/*
 * Is set_condition() creating a trigger?
 */
bool
ct_sets_condition(void)
{
	return sets_condition;
}

/* Create a trigger as set_condition() alone may. */
static void
create_trigger(const char *command)
{
	sets_condition = true;
	PG_TRY();
	{
		ct_execute(command, 0, NULL, NULL, NULL);
	}
	PG_FINALLY();
	{
		sets_condition = false;
	}
	PG_END_TRY();
}

/* Create the trigger, or replace the one that is there, whatever it is called by now. */
static void
store_condition(const CtManaged *managed, const Kind *kind, Node *condition, const char *mode)
{
	Trigger    *existing = ct_find_trigger(managed->rel, kind->function);
	char	   *name = pstrdup(quote_identifier(existing != NULL ? existing->tgname : kind->trigger));
	const char *clause = condition == NULL ? "false" :
		psprintf("(false AND (%s)) IS TRUE", ct_condition_text(RelationGetRelid(managed->rel), condition, "old"));

	if (existing == NULL && condition == NULL)
		return;
	create_trigger(psprintf("CREATE%s TRIGGER %s AFTER DELETE ON %s FOR EACH ROW WHEN (%s)"
							" EXECUTE FUNCTION contacts_tier_internal.%s_condition(%s)",
							existing != NULL ? " OR REPLACE" : "", name, ct_qualified_name(managed->rel), clause, kind->name,
							kind->function == CT_TRIGGER_ELIGIBLE ? quote_literal_cstr(mode) : ""));
	ct_executef("COMMENT ON TRIGGER %s ON %s IS %s", name, ct_qualified_name(managed->rel),
				quote_literal_cstr(kind->comment));
}

/* The condition as text, as what is counted by it has it */
static const char *
text_of(const CtManaged *managed, Node *condition)
{
	return condition == NULL ? "true" : ct_condition_text(RelationGetRelid(managed->rel), condition, NULL);
}

/*
 * A marketing contact without an account that comes back is refused, as where a statement brings
 * it back: nothing could count it.
 */
static void
check_accounts(const CtManaged *managed, const char *was, const char *is)
{
	const CtTable *table = managed->table;
	int64		count = ct_count_coming_without_account(table, ct_qualified_name(managed->rel), was, is);

	if (count == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("a contact without an account cannot be a marketing contact"),
			 errdetail_plural("By condition \"exists\", %lld marketing contact would exist whose column \"%s\" is null.",
							  "By condition \"exists\", %lld marketing contacts would exist whose column \"%s\" is null.",
							  count, (long long) count,
							  get_attname(table->relid, table->attno[CT_ARG_ACCOUNT], false)),
			 errhint("Set the account of such contacts first, or make them non-marketing with contacts_tier.repair()."),
			 ct_errcontacts(table)));
}

/* Correct the counters by the contacts that come and go with a condition "exists". */
static void
recount(const CtManaged *managed, const char *was, const char *is)
{
	ct_check_companions(managed->table);
	if (AttributeNumberIsValid(managed->table->attno[CT_ARG_ACCOUNT]))
		check_accounts(managed, was, is);
	ct_recount_condition(managed->table, ct_qualified_name(managed->rel), was, is);
}

/* Set a condition of a table that is locked, as its owner. */
static void
set_condition(const CtManaged *managed, const Kind *kind, Node *condition, const char *mode)
{
	Node	   *former = ct_condition_of_relation(managed->rel, kind->function);

	check_not_in_use(managed);
	if (condition != NULL)
	{
		check_columns(managed, condition);
		check_functions(kind, condition);
	}
	if (kind->function == CT_TRIGGER_EXISTS)
		recount(managed, text_of(managed, former), text_of(managed, condition));
	store_condition(managed, kind, condition, mode);
}

PG_FUNCTION_INFO_V1(contacts_tier_set_condition);

/*
 * set_condition(contacts regclass, kind text, condition text, on_ineligible text) void
 *
 * A NULL condition drops it.
 *
 * Locks: the table and its partitions against writers, and the slots of accounts whose count
 * changes, until the transaction ends; readers pass.  Errors: 22004, 22023, 42501, 42P01, 42P10,
 * 42P17, 55000 (not attached, or a statement changes contacts), 55006, MC002 for marketing contacts
 * without an account that would come back, and those of the parser.
 */
Datum
contacts_tier_set_condition(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"contacts", "kind", NULL, "on_ineligible"};
	const Kind *kind;
	const char *mode;
	Node	   *condition = NULL;
	CtManaged	managed;

	for (size_t i = 0; i < lengthof(names); i++)
		if (names[i] != NULL)
			ct_check_not_null(fcinfo, i, names[i]);
	kind = find_kind(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	mode = text_to_cstring(PG_GETARG_TEXT_PP(3));
	check_mode(mode);
	ct_check_owner(PG_GETARG_OID(0));
	(void) ct_companion_schema(PG_GETARG_OID(0));
	if (!PG_ARGISNULL(2))
	{
		Relation	rel = ct_open_owned(PG_GETARG_OID(0), ShareRowExclusiveLock);

		condition = parse_condition(rel, text_to_cstring(PG_GETARG_TEXT_PP(2)));
		relation_close(rel, NoLock);
	}
	ct_manage_begin(&managed, PG_GETARG_OID(0), ShareRowExclusiveLock);
	if (ct_is_distributed(PG_GETARG_OID(0)))
		ct_allow_distributed_ddl();
	set_condition(&managed, kind, condition, mode);
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(contacts_tier_hold_condition);

/*
 * exists_condition(), eligible_condition(): of the triggers that hold a condition, which never
 * fire
 */
Datum
contacts_tier_hold_condition(PG_FUNCTION_ARGS)
{
	return PointerGetDatum(NULL);
}
