/* The whole operator layer on a few neighbouring elements of one row of the grid: included by dg_operator.c once per
 * instruction set. What lies between z and the kernel integrals, or between z and the result, stays in the cache. */

#define VF NAME(vector)
#define VI NAME(integers)
#include "vectors.h"
#include "reductions.h"
#include "gelu.h"
#include "products.h"

/* The rows of the tile's pixels, one after the other. */
static TARGET void NAME(gather)(const struct dg_layer *s, long strip, long column, long columns, float *rows) {
    const long c = s->heads * s->width, w = s->columns * s->side, pixels = columns * s->side;
    for (long y = 0; y < s->side; y++)
        memcpy(rows + y * pixels * c, s->z + ((strip * s->side + y) * w + column * s->side) * c,
            (size_t)(pixels * c) * sizeof(float));
}

/* The map of `count` rows by a packed matrix, to rows of `outputs` without padding. */
static TARGET void NAME(project)(const float *packed, const float *bias, long parts, long inputs, long outputs,
    long count, const float *rows, float *out) {
    const long padded = PADDED(outputs);
    const struct matrix m = {inputs, padded / LANES, packed, bias, parts};
    NAME(product)(&m, count, rows, inputs, out, padded);
    if (padded > outputs)
        for (long i = 1; i < count; i++) memmove(out + i * outputs, out + i * padded, (size_t)outputs * sizeof(float));
}

/* This tile as a grid of its own, one row high. */
static struct dg NAME(grid)(const struct dg_layer *s, long columns) {
    struct dg grid = {
        .batch = 1, .rows = 1, .columns = columns, .ph = s->side, .pw = s->side, .heads = s->heads, .width = s->width};
    grid.key_norm = s->key_norm;
    grid.value_norm = s->value_norm;
    return grid;
}

/* Kernel integrals of elements [column, column + columns) of a row of the grid. What the operator's steps need of the
 * memory comes first: they take it as aligned vectors, and rows of pixels need not end where one begins. */
static TARGET void NAME(layer_integrate)(
    const struct dg_layer *s, const struct steps *steps, long strip, long column, long columns, float *memory) {
    const long c = s->heads * s->width, tokens = columns * s->side * s->side,
               room = ROUNDED(s->tile * s->side * s->side);
    const long size = c * s->width, at = (strip * s->columns + column) * size,
               all = s->batch * s->rows * s->columns * size;
    struct dg grid = NAME(grid)(s, columns);
    float *rows = memory + steps->workspace(&grid), *kv = rows + room * c, *sides = kv + room * PADDED(2 * c);
    NAME(gather)(s, strip, column, columns, rows);
    NAME(project)(s->project_kv, s->kv_bias, s->parts, c, 2 * c, tokens, rows, kv);
    grid.kv = kv;
    grid.volume = s->volume + at;
    grid.sides = s->sides ? sides : NULL;
    steps->integrate(&grid, 0, memory);
    if (s->sides)
        for (int side = 0; side < 4; side++)
            memcpy(s->sides + side * all + at, sides + side * columns * size, (size_t)(columns * size) * sizeof(float));
}

/* mlp(q K + z) + z on the same elements, in memory laid out alike. */
static TARGET void NAME(layer_apply)(
    const struct dg_layer *s, const struct steps *steps, long strip, long column, long columns, float *memory) {
    const long c = s->heads * s->width, w = s->columns * s->side, pixels = columns * s->side, tokens = pixels * s->side;
    const long room = ROUNDED(s->tile * s->side * s->side) * PADDED(c);
    const int streams = NAME(wants_stream)(s->out, s->batch * s->rows * s->side * w, c);
    struct dg grid = NAME(grid)(s, columns);
    float *rows = memory + steps->workspace(&grid), *q = rows + room, *sum = q + room;
    NAME(gather)(s, strip, column, columns, rows);
    NAME(project)(s->project_q, s->q_bias, s->parts, c, c, tokens, rows, q);
    grid.q = q;
    grid.operators = s->operators + (strip * s->columns + column) * c * s->width;
    grid.onto = rows;
    grid.out = sum;
    steps->apply(&grid, 0, memory);
    NAME(project)(s->mlp_in, s->mlp_in_bias, s->parts, c, c, tokens, sum, q);
    for (long i = 0; i < tokens * c; i += LANES) {
        const VF value = NAME(load)(q + i, LANES);
        NAME(store)(q + i, value * NAME(normal_cdf)(value), LANES);
    }
    NAME(project)(s->mlp_out, s->mlp_out_bias, s->parts, c, c, tokens, q, sum);
    for (long y = 0; y < s->side; y++) {
        float *out = s->out + ((strip * s->side + y) * w + column * s->side) * c;
        if (streams)
            NAME(stream_row)(rows + y * pixels * c, sum + y * pixels * c, c, pixels, c, out);
        else
            NAME(add_row)(rows + y * pixels * c, sum + y * pixels * c, c, pixels, c, out);
    }
}

/* Floats of memory that a task needs. */
static long NAME(layer_workspace)(const struct dg_layer *s, const struct steps *steps) {
    const long c = s->heads * s->width, room = ROUNDED(s->tile * s->side * s->side);
    const struct dg grid = NAME(grid)(s, s->tile);
    const long integrate = room * (c + PADDED(2 * c)) + 4 * s->tile * c * s->width, apply = 3 * room * PADDED(c);
    return (integrate > apply ? integrate : apply) + steps->workspace(&grid) + LANES;
}

#undef VF
#undef VI
