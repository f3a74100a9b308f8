/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  Conditions on contacts: which rows exist (P2), which may be promoted (P3).
 *
 * A condition is stored in the WHEN clause of a trigger that never fires (src/README,
 * "Conditions"), as PostgreSQL has parsed it: it names attributes, functions and operators,
 * and nothing is looked up by name when it is evaluated (expression.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"

#include "contact/contact.h"

/* Ready to be evaluated */
struct CtCondition
{
	Oid			relid;			/* whose rows it is about */
	Node	   *condition;		/* as it was parsed */
	Bitmapset  *columns;		/* that it reads, as bits of an UPDATE */
	CtExpression *expression;
};

/*
 * The condition in the WHEN clause of its trigger, which is "(false AND condition) IS TRUE"; NULL
 * if there is none, and the clause is "false".  TriggerEnabled() plans the clauses of an AND one by
 * one, and who deletes contacts need not be allowed to call the functions of a condition: so it is
 * no AND.  The result is palloc'd.
 */
Node *
ct_condition_of_clause(const char *clause)
{
	BooleanTest *test = stringToNode(clause);
	BoolExpr   *both;

	if (!IsA(test, BooleanTest) || !IsA(test->arg, BoolExpr))
		return NULL;
	both = (BoolExpr *) test->arg;
	if (both->boolop != AND_EXPR || list_length(both->args) < 2)
		return NULL;
	return (Node *) make_ands_explicit(list_delete_first(both->args));
}

/*
 * The condition of an open relation, over its attributes; NULL if it has none.  "kind" is
 * CT_TRIGGER_EXISTS or CT_TRIGGER_ELIGIBLE.  The result is palloc'd.
 */
Node *
ct_condition_of_relation(Relation rel, CtFunction kind)
{
	Trigger    *trigger = ct_find_trigger(rel, kind);

	return trigger == NULL || trigger->tgqual == NULL ? NULL : ct_condition_of_clause(trigger->tgqual);
}

/*
 * A condition on rows of a relation as text, for a statement in which "prefix", if not NULL,
 * stands before its columns.  Names are qualified, but for those of pg_catalog.
 */
char *
ct_condition_text(Oid relid, Node *condition, const char *prefix)
{
	List	   *context = deparse_context_for(prefix != NULL ? prefix : get_rel_name(relid), relid);
	int			level = NewGUCNestLevel();
	char	   *text;

	ct_set_safe_search_path();
	text = deparse_expression(condition, context, prefix != NULL, false);

	AtEOXact_GUC(false, level);
	return text;
}

/*
 * Make a condition over the attributes of a relation ready to be evaluated, in a memory
 * context as long as that lives, but no longer than ct_expression_prepare() says.  Errors: as there.
 */
CtCondition *
ct_condition_prepare(Relation rel, Node *condition, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	CtCondition *result = palloc0(sizeof(CtCondition));

	result->relid = RelationGetRelid(rel);
	result->condition = copyObject(condition);
	pull_varattnos(condition, 1, &result->columns);
	result->expression = ct_expression_prepare(rel->rd_rel->relowner, condition);
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * Prepare a condition of a relation as above; NULL if it has none.
 */
CtCondition *
ct_condition_resolve(Relation rel, CtFunction kind, MemoryContext context)
{
	Node	   *condition = ct_condition_of_relation(rel, kind);

	return condition == NULL ? NULL : ct_condition_prepare(rel, condition, context);
}

/*
 * Is a condition true of the row in the slot?  NULL is not.  Errors: those of its functions.
 */
bool
ct_condition_is_true(const CtCondition *condition, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = ct_expression_evaluate(condition->expression, slot, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * What selects the rows of which a condition is true, or is not, to be put behind WHERE ... in a
 * statement on its relation; empty if there is no condition.
 */
char *
ct_and_condition(const CtCondition *condition, bool is_true)
{
	return condition == NULL ? "" :
		psprintf(" AND (%s) IS%s TRUE", ct_condition_text(condition->relid, condition->condition, NULL), is_true ? "" : " NOT");
}

/*
 * Does an UPDATE that names these columns set one that a condition reads?  NULL reads none.
 */
bool
ct_condition_reads(const CtCondition *condition, const Bitmapset *sets)
{
	return condition != NULL && bms_overlap(condition->columns, sets);
}
