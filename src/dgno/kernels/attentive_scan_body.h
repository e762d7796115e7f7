/* One instruction set's version of the attentive scan: included by attentive_scan.c once per set, which defines NAME,
 * TARGET and LANES. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "reductions.h"
#include "gelu.h"
#include "logarithm.h"
#include "products.h"
#include "layer_norm.h"
#include "rings.h"
#include "selective_scan_rows.h"
#include "attentive_lift_body.h"
#include "attentive_core_body.h"
#include "outer_products.h"
#include "attentive_core_gradient_body.h"
#undef VF
#undef VI
