/*-------------------------------------------------------------------------
 *
 * expression.c
 *	  Expressions that the owner of contacts has written, evaluated for one row after the other.
 *
 * They are evaluated as the owner, whose privileges they need, and under a safe search_path if
 * they call what is not PostgreSQL's own (R3).
 *
 * A part that reads no column, and calls no volatile function, is evaluated once a statement, if
 * it is at all, and not for each row: now() - interval '6 months' costs more than all else.  That is what STABLE
 * promises, and what an index scan does with such a part.
 *
 * What makes it sound:
 *
 *	 ExecInitExprRec() has paramCompile create the step of a PARAM_EXTERN, as PL/pgSQL has
 *	 it, so a part is looked at when the expression comes to it, and not before: what CASE, AND
 *	 and OR leave out is not evaluated.
 *
 *	 A statement that writes marks its command as used when it starts (standard_ExecutorStart(),
 *	 CopyFrom(), and simple_heap_insert() in a replication worker), so that the next one of
 *	 the transaction has another (CommandCounterIncrement()), also after an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "executor/execExpr.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "utils/expandeddatum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "contact/contact.h"

/* What is evaluated: the whole expression, or a part of it */
struct CtExpression
{
	Oid			owner;
	ExprState  *state;
	ExprContext *context;
	bool		is_pure;		/* immutable, and PostgreSQL's own */
	bool		is_builtin;		/* PostgreSQL's own */
	bool		is_running;
};

/* A part that is the same for all rows of a statement */
typedef struct Part
{
	Expr	   *expr;
	CtExpression *expression;
	int16		typlen;
	/* the statement that it was evaluated for last, and what it was */
	uint64		transaction;
	CommandId	command;
	Datum		value;
	bool		isnull;
} Part;

/* Is it a function that somebody has created?  Our clock is none, whatever it is called. */
static bool
is_foreign_function(Oid function, void *context)
{
	FmgrInfo	info;

	if (function < FirstNormalObjectId)
		return false;
	fmgr_info(function, &info);
	return info.fn_addr != contacts_tier_clock;
}

/* Does an expression run what is not PostgreSQL's own, as the constraints of a domain? */
static bool
calls_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_foreign_function, context))
		return true;
	return ct_expression_tree_walker(node, calls_foreign, context);
}

/* Does an expression need more than itself, as a row, or the value that a CASE tests? */
static bool
is_open(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, Param) || IsA(node, CaseTestExpr) || IsA(node, CoerceToDomain) ||
		IsA(node, CoerceToDomainValue))
		return true;
	return ct_expression_tree_walker(node, is_open, context);
}

/* Is a node of an expression a part? */
static bool
is_part(Node *node)
{
	switch (nodeTag(node))
	{
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_CaseExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_SQLValueFunction:
		case T_RelabelType:
		case T_CoerceViaIO:
			return !is_open(node, NULL) && contain_mutable_functions(node) && !contain_volatile_functions(node);
		default:
			return false;
	}
}

/* Put a parameter where a part is, and note the part; the largest ones first. */
static Node *
replace_parts(Node *node, void *context)
{
	List	  **parts = context;
	Part	   *part;
	Param	   *param;

	if (node == NULL)
		return NULL;
	if (!is_part(node))
		return ct_expression_tree_mutator(node, replace_parts, context);
	part = palloc0(sizeof(Part));
	part->expr = (Expr *) node;
	*parts = lappend(*parts, part);
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = list_length(*parts);
	param->paramtype = exprType(node);
	param->paramtypmod = exprTypmod(node);
	param->paramcollid = exprCollation(node);
	param->location = -1;
	return (Node *) param;
}

/* Evaluate a part, for this statement. */
static void
evaluate_part(Part *part)
{
	part->value = ct_expression_evaluate(part->expression, NULL, &part->isnull);
	/* a function that modifies an array in place must not find it so */
	part->value = MakeExpandedObjectReadOnly(part->value, part->isnull, part->typlen);
	part->transaction = ct_transaction_number();
	part->command = GetCurrentCommandId(false);
}

/* The step of a part, as the executor calls it. */
static void
part_step(ExprState *state, ExprEvalStep *op, ExprContext *econtext)
{
	Part	   *part = op->d.cparam.paramarg;

	if (part->command != GetCurrentCommandId(false) || part->transaction != ct_transaction_number())
		evaluate_part(part);
	*op->resvalue = part->value;
	*op->resnull = part->isnull;
}

/* paramCompile: create that step. */
static void
compile_part(ParamListInfo params, Param *param, ExprState *state, Datum *resv, bool *resnull)
{
	ExprEvalStep step = {
		.opcode = EEOP_PARAM_CALLBACK,.resvalue = resv,.resnull = resnull
	};

	step.d.cparam.paramfunc = part_step;
	step.d.cparam.paramarg = list_nth(params->paramCompileArg, param->paramid - 1);
	step.d.cparam.paramid = param->paramid;
	step.d.cparam.paramtype = param->paramtype;
	ExprEvalPushStep(state, &step);
}

/*
 * Make a planned expression with such parameters ready.  What was inlined can still look up names, as
 * to_regclass() does, unless it is immutable.
 */
static CtExpression *
create_expression(Oid owner, Expr *planned, List *parts, bool is_inlined)
{
	CtExpression *result = palloc0(sizeof(CtExpression));
	ParamListInfo params = makeParamList(list_length(parts));

	params->paramCompile = compile_part;
	params->paramCompileArg = parts;
	result->owner = owner;
	result->is_builtin = !calls_foreign((Node *) planned, NULL);
	result->is_pure = result->is_builtin && !contain_mutable_functions((Node *) planned);
	result->is_builtin &= result->is_pure || !is_inlined;
	result->state = ExecInitExprWithParams(planned, params);
	result->context = CreateStandaloneExprContext();
	return result;
}

/*
 * Make an expression over the attributes of a relation ready to be evaluated, in the current
 * memory context.  Functions are inlined, so it does not outlive a change of one
 * (ct_name_changes()).  Errors: 42501 if the owner may not execute one of its functions.
 */
CtExpression *
ct_expression_prepare(Oid owner, Node *expression)
{
	List	   *parts = NIL;
	CtExpression *result;
	CtIdentity	identity;
	Node	   *planned;
	bool		is_inlined;
	ListCell   *cell;

	ct_act_as_owner(owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	is_inlined = calls_foreign(expression, NULL);
	planned = replace_parts((Node *) expression_planner(copyObject((Expr *) expression)), &parts);
	foreach(cell, parts)
	{
		Part	   *part = lfirst(cell);

		part->expression = create_expression(owner, part->expr, NIL, is_inlined);
		part->typlen = get_typlen(exprType((Node *) part->expr));
	}
	result = create_expression(owner, (Expr *) planned, parts, is_inlined);
	ct_restore_identity(&identity);
	return result;
}

static Datum
evaluate(CtExpression *expression, TupleTableSlot *slot, bool *isnull)
{
	ResetExprContext(expression->context);
	expression->context->ecxt_scantuple = slot;
	return ExecEvalExprSwitchContext(expression->state, expression->context, isnull);
}

/*
 * Evaluate what calls functions of others.  If these write contacts, which a function that is not
 * volatile should not do, the state is in use.
 */
static Datum
evaluate_foreign(CtExpression *expression, TupleTableSlot *slot, bool *isnull)
{
	CtIdentity	identity;
	volatile Datum result = (Datum) 0;

	if (expression->is_running)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a condition on contacts must not write contacts"),
				 errhint("Its functions must not have side effects.")));
	expression->is_running = true;
	PG_TRY();
	{
		ct_act_as_owner(expression->owner, &identity);
		identity.guc_level = NewGUCNestLevel();
		ct_set_safe_search_path();
		result = evaluate(expression, slot, isnull);
		ct_restore_identity(&identity);
	}
	PG_FINALLY();
	{
		expression->is_running = false;
	}
	PG_END_TRY();
	return result;
}

/*
 * Evaluate an expression for the row in the slot, or NULL if it reads none.  The result lasts
 * until the next time.  Errors: those of its functions.
 */
Datum
ct_expression_evaluate(CtExpression *expression, TupleTableSlot *slot, bool *isnull)
{
	CtIdentity	identity;
	Datum		result;

	if (expression->is_pure)
		return evaluate(expression, slot, isnull);
	if (!expression->is_builtin)
		return evaluate_foreign(expression, slot, isnull);
	ct_act_as_owner(expression->owner, &identity);
	result = evaluate(expression, slot, isnull);
	ct_restore_identity(&identity);
	return result;
}
