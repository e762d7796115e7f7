/* One instruction set's version of the linear map at every row, and of the gradient at its weights: included by
 * pointwise.c once per set, which defines NAME, TARGET and LANES. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "products.h"
#include "outer_products.h"

/* Rows [first, first + count) of the result: whole tiles from and to where they lie, the others through the buffers. */
static TARGET void NAME(forward)(const struct pointwise *s, long first, long count, float *memory) {
    const long padded = PADDED(s->outputs), whole = padded == s->outputs ? count / TILE_ROWS * TILE_ROWS : 0,
               rest = count - whole;
    const struct matrix m = {s->inputs, padded / LANES, s->packed, s->bias, 0};
    const float *x = s->x + first * s->inputs;
    float *out = s->out + first * s->outputs, *from = memory, *to = memory + ROUNDED(ROWS) * s->inputs;
    if (whole) NAME(product)(&m, whole, x, s->inputs, out, s->outputs);
    if (!rest) return;
    const long direct = rest / TILE_ROWS * TILE_ROWS; /* may be read where they lie, but not written */
    if (direct) NAME(product)(&m, direct, x + whole * s->inputs, s->inputs, to, padded);
    if (rest > direct) {
        memcpy(from, x + (whole + direct) * s->inputs, (size_t)((rest - direct) * s->inputs) * sizeof(float));
        NAME(product)(&m, rest - direct, from, s->inputs, to + direct * padded, padded);
    }
    for (long i = 0; i < rest; i++)
        memcpy(out + (whole + i) * s->outputs, to + i * padded, (size_t)s->outputs * sizeof(float));
}

/* a^T b over the rows of one chunk, block by block so that rows stay in the cache. */
static TARGET void NAME(outer)(const struct outer *s, long chunk) {
    const struct factors factors = {s->left, s->right, s->left, s->right};
    const long begin = chunk * s->chunk, end = begin + s->chunk < s->rows ? begin + s->chunk : s->rows;
    float *out = s->out + chunk * s->left * s->right;
    for (long first = begin; first < end; first += BLOCK)
        NAME(outer_products)(&factors, end - first < BLOCK ? end - first : BLOCK, s->a + first * s->left,
            s->b + first * s->right, out, first == begin);
}

static long NAME(workspace)(const struct pointwise *s) { return ROUNDED(ROWS) * (s->inputs + PADDED(s->outputs)); }

#include "merge_body.h"

#undef VF
#undef VI
