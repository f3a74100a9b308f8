/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  Conditions on contacts: which rows exist (P2), which may be promoted (P3).
 *
 * A condition is stored in the WHEN clause of a trigger that never fires (src/README,
 * "Conditions"), as PostgreSQL has parsed it: it names attributes, functions and operators,
 * and nothing is looked up by name when it is evaluated.
 *
 * It is evaluated as the owner of the contacts, whose privileges it needs, and under a safe
 * search_path if it calls what is not PostgreSQL's own (R3).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
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
	Oid			owner;			/* of the contacts */
	Node	   *expression;		/* as it was parsed */
	Bitmapset  *columns;		/* that it reads, as bits of an UPDATE */
	ExprState  *state;
	ExprContext *context;
	bool		is_pure;		/* immutable, and PostgreSQL's own */
	bool		is_builtin;		/* PostgreSQL's own */
	bool		is_running;
};

/* Is it a function that somebody has created? */
static bool
is_foreign_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/* Does an expression run what is not PostgreSQL's own, as the constraints of a domain? */
static bool
calls_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_foreign_function, context))
		return true;
	return expression_tree_walker(node, calls_foreign, context);
}

/*
 * The condition in the WHEN clause of its trigger, which is "false AND condition"; NULL if
 * there is none, and the clause is "false".  The result is palloc'd.
 */
Node *
ct_condition_of_clause(const char *clause)
{
	BoolExpr   *both = stringToNode(clause);

	if (!IsA(both, BoolExpr) || both->boolop != AND_EXPR || list_length(both->args) < 2)
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
 * context as long as that lives.  Functions are inlined, so it does not outlive a change of one
 * (ct_name_changes()).  Errors: 42501 if the owner may not execute one of its functions.
 */
CtCondition *
ct_condition_prepare(Relation rel, Node *condition, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	CtCondition *result = palloc0(sizeof(CtCondition));
	CtIdentity	identity;
	Expr	   *planned;

	result->relid = RelationGetRelid(rel);
	result->owner = rel->rd_rel->relowner;
	result->expression = copyObject(condition);
	pull_varattnos(condition, 1, &result->columns);
	ct_act_as_owner(result->owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	planned = expression_planner(copyObject((Expr *) condition));
	result->is_builtin = !calls_foreign((Node *) planned, NULL) && !calls_foreign(condition, NULL);
	result->is_pure = result->is_builtin && !contain_mutable_functions((Node *) planned);
	result->state = ExecInitExpr(planned, NULL);
	result->context = CreateStandaloneExprContext();
	ct_restore_identity(&identity);
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

static bool
evaluate(const CtCondition *condition, TupleTableSlot *slot)
{
	ExprContext *context = condition->context;
	bool		isnull;
	Datum		value;

	ResetExprContext(context);
	context->ecxt_scantuple = slot;
	value = ExecEvalExprSwitchContext(condition->state, context, &isnull);
	context->ecxt_scantuple = NULL;
	return !isnull && DatumGetBool(value);
}

/*
 * Evaluate what calls functions of others.  If these write contacts, which a function that is not
 * volatile should not do, the state is in use.
 */
static bool
evaluate_foreign(CtCondition *condition, TupleTableSlot *slot)
{
	CtIdentity	identity;
	volatile bool result = false;

	if (condition->is_running)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a condition on contacts must not write contacts"),
				 errhint("Its functions must not have side effects.")));
	condition->is_running = true;
	PG_TRY();
	{
		ct_act_as_owner(condition->owner, &identity);
		identity.guc_level = NewGUCNestLevel();
		ct_set_safe_search_path();
		result = evaluate(condition, slot);
		ct_restore_identity(&identity);
	}
	PG_FINALLY();
	{
		condition->is_running = false;
	}
	PG_END_TRY();
	return result;
}

/*
 * Is a condition true of the row in the slot?  NULL is not.  Errors: those of its functions.
 */
bool
ct_condition_is_true(CtCondition *condition, TupleTableSlot *slot)
{
	CtIdentity	identity;
	bool		result;

	if (condition->is_pure)
		return evaluate(condition, slot);
	if (!condition->is_builtin)
		return evaluate_foreign(condition, slot);
	ct_act_as_owner(condition->owner, &identity);
	result = evaluate(condition, slot);
	ct_restore_identity(&identity);
	return result;
}

/*
 * What selects the rows of which a condition is true, or is not, to be put behind WHERE ... in a
 * statement on its relation; empty if there is no condition.
 */
char *
ct_and_condition(const CtCondition *condition, bool is_true)
{
	return condition == NULL ? "" :
		psprintf(" AND (%s) IS%s TRUE", ct_condition_text(condition->relid, condition->expression, NULL), is_true ? "" : " NOT");
}

/*
 * Does an UPDATE that names these columns touch one that a condition reads?
 */
bool
ct_conditions_read(const CtTable *table, const Bitmapset *sets)
{
	return (table->exists != NULL && bms_overlap(table->exists->columns, sets)) ||
		(table->eligible != NULL && bms_overlap(table->eligible->columns, sets));
}

/*
 * Can an UPDATE that names these columns delete contacts, or bring them back?
 */
bool
ct_may_change_existence(const CtTable *table, const Bitmapset *sets)
{
	return table->exists != NULL && bms_overlap(table->exists->columns, sets);
}
