/* All head widths of one instruction set: included by dg_operator.c once per set; it defines SET, TARGET and LANES. */

#define JOIN(x, d, set) x##_##d##_##set
#define EXPAND(x, d, set) JOIN(x, d, set)
#define NAME(x) EXPAND(x, WIDTH, SET)

#define WIDTH 3
#include "dg_operator_body.h"
#undef WIDTH
#define WIDTH 4
#include "dg_operator_body.h"
#undef WIDTH
#define WIDTH 6
#include "dg_operator_body.h"
#undef WIDTH
#define WIDTH 8
#include "dg_operator_body.h"
#undef WIDTH
#define WIDTH 12
#include "dg_operator_body.h"
#undef WIDTH
#define WIDTH 16
#include "dg_operator_body.h"
#undef WIDTH

#define STEPS(d)                                                                                          \
    {d, EXPAND(workspace, d, SET), EXPAND(integrate, d, SET), EXPAND(integrate_backward, d, SET),       \
     EXPAND(apply, d, SET), EXPAND(apply_backward, d, SET)}
static const struct steps EXPAND(STEPS_OF, set, SET)[] = {STEPS(3), STEPS(4), STEPS(6), STEPS(8), STEPS(12), STEPS(16)};

#undef STEPS
#undef NAME
#undef EXPAND
#undef JOIN
